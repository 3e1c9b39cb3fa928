//! What the actors of a check found, each from where it stands, and what speaks for all of them. Pure.

use super::judge::is_open;
use crate::{
    api::{Class, Reason, v1alpha1::DEFAULT_ACTOR},
    mail::Diagnosis,
    verify::{Chosen, Report, report::LoginOutcome},
};

/// What one actor found.
#[derive(Clone, Debug)]
pub struct View {
    /// The actor's name.
    pub actor: String,
    /// Its zone.
    pub zone: Option<String>,
    /// What it found.
    pub report: Report,
}

/// What all actors of a check found, in the order in which they were asked.
#[derive(Clone, Debug, Default)]
pub struct Views(pub Vec<View>);

impl From<Report> for Views {
    /// What the operator itself found.
    fn from(report: Report) -> Self {
        Self(vec![View { actor: DEFAULT_ACTOR.to_owned(), zone: None, report }])
    }
}

impl Views {
    /// Takes up what an actor found.
    pub fn add(&mut self, actor: &Chosen, report: Report) {
        self.0.push(View { actor: actor.name.clone(), zone: actor.zone.clone(), report });
    }

    /// The report that speaks for all: of the first actor that failed, of the first that came to no conclusion, or of the
    /// first. What only others learnt of the server, and whether any of them sent, is in it too.
    #[must_use]
    pub(super) fn told(&self) -> Option<Report> {
        let found = |wanted: fn(&Diagnosis) -> bool| self.0.iter().find(|view| view.report.failure.as_ref().is_some_and(wanted));
        let speaker = found(|failure| !is_open(failure)).or_else(|| found(|_| true)).or(self.0.first())?;
        let mut told = speaker.report.clone();
        told.duration = self.0.iter().map(|view| view.report.duration).sum();
        for View { report, .. } in &self.0 {
            told.tls_hello |= report.tls_hello;
            told.capabilities = told.capabilities.or_else(|| report.capabilities.clone());
            told.helo = told.helo.or_else(|| report.helo.clone());
            if told.tls.is_none() {
                (told.tls, told.tls_verified) = (report.tls.clone(), report.tls_verified);
            }
            if told.addresses.is_empty() {
                told.addresses.clone_from(&report.addresses);
            }
            let sent = |report: &Report| report.delivery.as_ref().is_some_and(|delivery| delivery.dot_sent);
            if sent(report) && !sent(&told) {
                told.delivery.clone_from(&report.delivery);
            }
            // A login that one of them made proves the credentials; one that was refused is what counts.
            if told.login.is_none() || (told.login == Some(LoginOutcome::Undecided) && report.login.is_some()) {
                told.login = report.login;
            }
        }
        Some(told)
    }

    /// What stands for all where the actors differ: how many verified, and who did not.
    #[must_use]
    pub(super) fn differ(&self) -> Option<Diagnosis> {
        let failed: Vec<(&str, &Diagnosis)> =
            self.0.iter().filter_map(|view| Some((view.actor.as_str(), view.report.failure.as_ref()?))).collect();
        let closed: Vec<&Diagnosis> = failed.iter().map(|(_, failure)| *failure).filter(|failure| !is_open(failure)).collect();
        let first = closed.first()?;
        if failed.len() == self.0.len() && closed.iter().all(|failure| failure.reason == first.reason) {
            return None;
        }
        let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
        let class = if closed.iter().any(|failure| failure.class == Class::User) { Class::User } else { Class::Transient };
        let some = Diagnosis::new(Reason::SomeActorsUnverified)
            .class(class)
            .fact("verified", (self.0.len() - failed.len()).to_string())
            .fact("all", self.0.len().to_string())
            .fact("names", names.join(", "));
        Some(some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::Level;

    fn views(failures: &[Option<Reason>]) -> Views {
        let mut views = Views::default();
        for (number, failure) in failures.iter().enumerate() {
            let mut report = Report::new(Level::Authenticate, "smtp.corp.example:587".to_owned());
            report.failure = failure.map(Diagnosis::new);
            views.add(&Chosen::new(&format!("actor-{number}")), report);
        }
        views
    }

    #[test]
    fn what_fails_speaks_before_what_is_open_and_that_before_what_is_fine() {
        let speaks = |failures: &[Option<Reason>]| views(failures).told().unwrap().failure.map(|failure| failure.reason);
        let (held, refused) = (Some(Reason::CredentialHeld), Some(Reason::AuthenticationFailed));
        assert_eq!(speaks(&[None, held, refused]), refused);
        assert_eq!(speaks(&[None, held]), held);
        assert_eq!(speaks(&[None, None]), None);
        assert!(Views::default().told().is_none());
    }

    #[test]
    fn actors_that_differ_are_named_and_those_that_agree_are_not() {
        let (timed_out, refused) = (Some(Reason::ConnectionTimedOut), Some(Reason::AuthenticationFailed));
        let some = views(&[None, timed_out, None]).differ().unwrap();
        assert_eq!(some.hint(), "2 of 3 actors verified; see status.actors for actor-1.");
        assert_eq!(some.class, Class::Transient);
        assert_eq!(views(&[refused, timed_out]).differ().unwrap().class, Class::User);
        assert!(views(&[timed_out, timed_out]).differ().is_none());
        assert!(views(&[refused, Some(Reason::CredentialHeld)]).differ().is_none(), "the breaker held the second one back");
        assert!(views(&[None, Some(Reason::CredentialHeld)]).differ().is_none(), "nothing failed");
    }
}
