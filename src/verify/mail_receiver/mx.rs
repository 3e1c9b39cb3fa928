//! Whether the MX records of a domain lead to its receiver. Pure.

use crate::{
    api::{Class, Reason, v1alpha1::MxStatus},
    mail::{Diagnosis, dns::Exchange, domain::canonical},
};

/// The most characters of a record in a status, and the most records.
const RECORD: usize = 263;
const RECORDS: usize = 8;

/// What was found of one domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The domain, as the spec writes it.
    pub domain: String,
    /// Its MX records, or why they are not known.
    pub records: Result<Vec<Exchange>, Diagnosis>,
}

impl Found {
    /// What is wrong with it, if anything: every record of the lowest preference has to name `expected`, or mail for the domain
    /// goes elsewhere, always or now and then.
    #[must_use]
    pub fn fault(&self, expected: &str) -> Option<Diagnosis> {
        let records = match &self.records {
            Ok(records) => records,
            Err(failure) => return Some(failure.clone().class(Class::Transient)),
        };
        let told = |reason: Reason| {
            Diagnosis::new(reason).fact("domain", self.domain.as_str()).fact("expectedMX", canonical(expected).into_owned())
        };
        let Some(best) = records.iter().map(|record| record.preference).min() else {
            return Some(told(Reason::MXRecordMissing).detail(format!("{} has no MX record", self.domain)));
        };
        let leads = |record: &&Exchange| record.name == canonical(expected);
        let preferred = || records.iter().filter(|record| record.preference == best);
        (!preferred().all(|record| leads(&record))).then(|| {
            let list = records.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            told(Reason::MXPointsElsewhere).detail(format!("mail for {} goes elsewhere", self.domain)).fact("list", list)
        })
    }

    /// As the status tells it.
    #[must_use]
    pub fn status(&self, expected: &str) -> MxStatus {
        let records = self.records.as_deref().unwrap_or_default();
        MxStatus {
            domain: self.domain.clone(),
            records: records.iter().take(RECORDS).map(|record| record.to_string().chars().take(RECORD).collect()).collect(),
            result: self.fault(expected).map_or(Reason::Succeeded, |fault| fault.reason).as_str().to_owned(),
        }
    }
}

/// The fault that is told, of all: one that is certain before one that is not, and all of them in its words.
#[must_use]
pub fn worst(all: &[Found], expected: &str) -> Option<Diagnosis> {
    let mut faults: Vec<Diagnosis> = all.iter().filter_map(|found| found.fault(expected)).collect();
    faults.sort_by_key(|fault| fault.class == Class::Transient);
    let said = faults.iter().map(Diagnosis::said).collect::<Vec<_>>().join("; ");
    faults.into_iter().next().map(|first| first.detail(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(records: &[(u16, &str)]) -> Found {
        let record = |(preference, name): &(u16, &str)| Exchange { preference: *preference, name: (*name).to_owned() };
        Found { domain: "corp.example".to_owned(), records: Ok(records.iter().map(record).collect()) }
    }

    #[test]
    fn mail_has_to_come_to_the_expected_server_first() {
        for (records, reason) in [
            (&[(10, "mx.corp.example")][..], None),
            (&[(10, "mx.corp.example"), (20, "backup.example")], None),
            (&[(20, "mx.corp.example"), (10, "old.example")], Some("MXPointsElsewhere")),
            (&[(10, "mx.corp.example"), (10, "old.example")], Some("MXPointsElsewhere")),
            (&[(0, "")], Some("MXPointsElsewhere")),
            (&[], Some("MXRecordMissing")),
        ] {
            let fault = found(records).fault("MX.corp.example.");
            assert_eq!(fault.as_ref().map(|fault| fault.reason.as_str()), reason, "{records:?}");
        }
        let fault = found(&[(10, "old.example"), (20, "mx.corp.example")]).fault("mx.corp.example").unwrap();
        assert_eq!(fault.hint(), "Create: corp.example. MX 10 mx.corp.example. Found: 10 old.example, 20 mx.corp.example.");
        assert_eq!(found(&[(0, "")]).status("mx.corp.example").records, ["0 ."]);
    }

    #[test]
    fn what_is_certain_is_told_before_what_is_not() {
        let unknown = Found {
            domain: "dark.example".to_owned(),
            records: Err(Diagnosis::new(Reason::DNSLookupFailed).detail("MX of dark.example: SERVFAIL")),
        };
        let worst = |all: &[Found]| worst(all, "mx.corp.example");
        let told = worst(&[unknown.clone(), found(&[])]).unwrap();
        assert_eq!(told.reason, Reason::MXRecordMissing);
        assert_eq!(told.said(), "corp.example has no MX record; MX of dark.example: SERVFAIL");
        assert_eq!(worst(&[unknown, found(&[(1, "mx.corp.example")])]).unwrap().class, Class::Transient);
        assert!(worst(&[found(&[(1, "mx.corp.example")])]).is_none());
    }
}
