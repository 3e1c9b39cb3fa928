//! The status that follows from what was seen, decided and found. Pure. It never holds `listeners`: those are the receivers'.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Certificate, Look, Records, Seen,
    decide::{EXPIRY_WARNING, INTERVAL, unacceptable},
    mx::worst,
};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{ListenerStatus, MailReceiverStatus, condition as c},
    },
    mail::Diagnosis,
    verify::{
        conditions::{Conditions, Truth},
        halt::{Halt, whole_seconds},
        schedule::{back_off, due_after, later},
    },
};

/// The status to be told; `found`: a look that has ended.
#[must_use]
pub fn status(seen: &Seen<'_>, found: Option<(&Look, &Records)>) -> MailReceiverStatus {
    let mut status = seen.status.cloned().unwrap_or_default();
    status.listeners = Vec::new();
    let found = found.filter(|(look, _)| look.generation == seen.object.generation);
    let halted = seen.object.brakes().halt();
    status.state = Some(halted.as_ref().map(|halt| halt.state).unwrap_or_default());
    status.used_by = Some(seen.used_by);
    let conditions = Conditions::new(&status.conditions, seen.object.generation, whole_seconds(seen.object.now));
    let mut judge = Judge { conditions, seen, status: &mut status, class: None, pending: false };
    judge.spec();
    judge.certificate();
    judge.listening();
    judge.records(found);
    judge.ready(halted.as_ref());
    let conditions = judge.conditions.finish();
    status.conditions = conditions;
    let answered = match found {
        Some((look, _)) => look.request.clone(),
        // Everything that there is to verify is looked at each time.
        None if seen.spec.expected_mx.is_none() => seen.object.request(),
        None => None,
    };
    status.last_handled_verify_request = answered.or(status.last_handled_verify_request.take());
    status.observed_generation = Some(seen.object.generation);
    status
}

/// Whether a status is worth writing: it differs in more than the times of conditions.
#[must_use]
pub fn differs(old: Option<&MailReceiverStatus>, new: &MailReceiverStatus) -> bool {
    let timeless = |status: &MailReceiverStatus| {
        let mut status = status.clone();
        status.listeners = Vec::new();
        for condition in &mut status.conditions {
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
        status
    };
    old.map(timeless).as_ref() != Some(&timeless(new))
}

struct Judge<'a> {
    conditions: Conditions,
    seen: &'a Seen<'a>,
    status: &'a mut MailReceiverStatus,
    /// The class of what stands in the way now.
    class: Option<Class>,
    /// Something is not judged for this generation yet.
    pending: bool,
}

impl Judge<'_> {
    fn spec(&mut self) {
        match unacceptable(self.seen) {
            Some(diagnosis) => self.conditions.tell(c::ACCEPTED, Truth::False, &diagnosis),
            None => self.conditions.holds(c::ACCEPTED, "The spec makes sense as a whole."),
        }
        match &self.seen.certificate {
            Certificate::None => self.conditions.drop(c::RESOLVED_REFS),
            Certificate::Bad(fault) if fault.condition() == c::RESOLVED_REFS => {
                self.conditions.tell(c::RESOLVED_REFS, Truth::False, fault);
            }
            _ => self.conditions.holds(c::RESOLVED_REFS, "Everything that the spec names was found."),
        }
    }

    /// The certificate that is shown, and whether it ends soon.
    fn certificate(&mut self) {
        match &self.seen.certificate {
            Certificate::None => self.status.tls = None,
            Certificate::Good(pair) => self.status.tls = Some(pair.status.clone()),
            Certificate::Bad(_) if self.shown() == 0 => self.status.tls = None,
            Certificate::Bad(_) => {}
        }
        let tls = self.status.tls.as_ref();
        let end = tls.and_then(|tls| tls.not_after.as_deref()).and_then(|end| end.parse::<Timestamp>().ok());
        let warned = end.filter(|end| end.checked_sub(EXPIRY_WARNING).is_ok_and(|from| from <= self.seen.object.now));
        match (warned, tls) {
            (Some(end), Some(tls)) => {
                let subject = tls.subject.clone().unwrap_or_default();
                let expiring =
                    Diagnosis::new(Reason::CertificateExpiring).fact("subject", subject).fact("notAfter", end.to_string());
                self.conditions.tell(c::CERTIFICATE_EXPIRING, Truth::True, &expiring);
            }
            _ => self.conditions.drop(c::CERTIFICATE_EXPIRING),
        }
    }

    /// What receivers at work say of this generation.
    fn current(&self) -> impl Iterator<Item = &ListenerStatus> {
        self.seen.listeners.iter().filter(|one| one.generation >= self.seen.object.generation)
    }

    /// How many receivers show a certificate.
    fn shown(&self) -> usize {
        self.current().filter(|one| one.certificate.is_some()).count()
    }

    fn listening(&mut self) {
        self.conditions.drop(c::DEGRADED);
        let port = self.seen.spec.port();
        if self.seen.listeners.is_empty() && self.seen.object.now >= self.seen.noticed_by {
            let nobody = Diagnosis::new(Reason::NoListener).fact("namespace", self.seen.receiver_namespace);
            return self.closed(&nobody.detail("no receiver is at work"));
        }
        // A domain that another has is told by Ready.
        let takes = |one: &&ListenerStatus| one.reason.as_deref().is_none_or(|reason| reason == Reason::Conflict.as_str());
        let (all, open) = (self.current().count(), self.current().filter(takes).count());
        if all == 0 {
            return self.not_yet();
        }
        if open == 0 {
            let fault = self.refusal(port);
            return self.closed(&fault);
        }
        match &self.seen.certificate {
            Certificate::Bad(fault) if self.shown() == 0 => return self.closed(&fault.clone()),
            Certificate::Bad(fault) => {
                let kept = fault.clone().fact("kept", "The certificate before it stays in use");
                self.conditions.tell(c::DEGRADED, Truth::True, &kept);
            }
            Certificate::Good(_) if self.shown() == 0 => return self.not_yet(),
            Certificate::Good(_) | Certificate::None => {}
        }
        let told = if open == 1 { "One receiver listens".to_owned() } else { format!("{open} receivers listen") };
        self.conditions.holds(c::LISTENING, &format!("{told} on port {port}."));
    }

    /// Why none of the receivers takes mail for it.
    fn refusal(&self, port: u16) -> Diagnosis {
        let says = |reason: Reason| self.current().find(|one| one.reason.as_deref() == Some(reason.as_str()));
        if let Some(one) = says(Reason::PortUnavailable) {
            let listens = one.message.as_deref().and_then(|words| words.strip_prefix("listens on ")).unwrap_or(&one.address);
            return Diagnosis::new(Reason::PortUnavailable)
                .detail(format!("no receiver listens on port {port}"))
                .fact("list", listens)
                .fact("port", port.to_string());
        }
        let words = self.current().find_map(|one| one.message.clone()).unwrap_or_default();
        unacceptable(self.seen).unwrap_or_else(|| Diagnosis::new(Reason::SpecInvalid).detail(words.clone()).fact("fault", words))
    }

    fn closed(&mut self, fault: &Diagnosis) {
        self.class = Some(fault.class);
        self.conditions.tell(c::LISTENING, Truth::False, fault);
    }

    /// The receivers are about to take it up: what was known stands.
    fn not_yet(&mut self) {
        self.pending = true;
        self.unknown(c::LISTENING);
    }

    fn unknown(&mut self, kind: &str) {
        if self.conditions.get(kind).is_none() {
            let new = Diagnosis::new(Reason::NewGeneration).fact("generation", self.seen.object.generation.to_string());
            self.conditions.set(kind, Truth::Unknown, new.reason.as_str(), &new.hint());
        }
    }

    /// The MX records, and when they are looked at next.
    fn records(&mut self, found: Option<(&Look, &Records)>) {
        let seen = self.seen;
        let Some(expected) = &seen.spec.expected_mx else {
            self.conditions.drop(c::MX_RECORDS_VALID);
            (self.status.mx, self.status.next_check_time) = (Vec::new(), None);
            return;
        };
        let Some((look, records)) = found else {
            if !seen.is_looked_at() {
                self.pending |= unacceptable(seen).is_none();
                self.unknown(c::MX_RECORDS_VALID);
            }
            return;
        };
        self.status.mx = records.iter().map(|found| found.status(expected)).collect();
        let fault = worst(records, expected);
        match &fault {
            None => self.conditions.holds(c::MX_RECORDS_VALID, &format!("Mail for every domain comes to {expected}.")),
            Some(fault) => {
                let truth = if fault.class == Class::Transient { Truth::Unknown } else { Truth::False };
                self.conditions.tell(c::MX_RECORDS_VALID, truth, fault);
                self.class.get_or_insert(fault.class);
            }
        }
        let slot = due_after(look.started, seen.object.uid, INTERVAL);
        let next = match fault {
            Some(fault) if fault.class == Class::Transient => {
                later(seen.object.now, back_off(seen.failures.max(1), seen.object.uid, INTERVAL)).min(slot)
            }
            _ => slot,
        };
        self.status.next_check_time = Some(Time(whole_seconds(next)));
    }

    /// The summary, and kstatus's two conditions.
    fn ready(&mut self, halted: Option<&Halt>) {
        if let Some(halt) = halted {
            self.conditions.tell(c::SUSPENDED, Truth::True, &halt.diagnosis);
            for kind in [c::READY, c::RECONCILING, c::STALLED] {
                self.conditions.drop(kind);
            }
            return;
        }
        self.conditions.drop(c::SUSPENDED);
        let before = self.conditions.get(c::READY).map(|ready| (ready.status.clone(), ready.reason.clone()));
        let stands = [c::ACCEPTED, c::LISTENING, c::MX_RECORDS_VALID]
            .into_iter()
            .find(|kind| self.conditions.get(kind).is_some_and(|condition| condition.status != Truth::True.as_str()));
        if let Some((domain, other)) = self.seen.rivals.first() {
            let conflict = Diagnosis::new(Reason::Conflict).fact("other", format!("MailReceiver {other}")).fact("value", domain);
            self.conditions.tell(c::READY, Truth::False, &conflict);
            self.class = Some(conflict.class);
            self.pending = false;
        } else if let Some(kind) = stands {
            self.conditions.mirror(c::READY, kind);
            if kind == c::ACCEPTED {
                (self.class, self.pending) = (Some(Class::User), false);
            }
        } else {
            self.conditions.holds(c::READY, &format!("Mail for {} can come in.", self.seen.spec.domains.join(", ")));
        }
        self.conditions.kstatus(before, self.class, self.pending);
    }
}
