//! What the conditions of an `EmailProfile` say. While a run is under way all keep their value; what could not be concluded is
//! never True.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Because, Plan, Run, RunReport, Seen, Trigger, What,
    decide::{refusal, trigger},
    status::{News, with_facts},
};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{EmailProfileStatus, ProfileActorState as Stand, Span, condition as c},
    },
    mail::{
        Diagnosis,
        authentication::{Alignment, aligned, record},
    },
    verify::{
        conditions::{Conditions, Truth, sentence, sentence_of},
        halt::{Halt, Mode, told_time, whole_seconds},
    },
};

/// What the conditions came to, as far as the schedule has to know.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The run was cut off by us: what is open goes on.
    pub cut: bool,
    /// Failed tries in a row.
    pub failures: u32,
    /// A retry before the next due time may help.
    pub retry: bool,
    /// When our own budget has room again.
    pub room: Option<Timestamp>,
}

/// Whether a failure leaves open how things are: our own limits stopped us, not a server.
pub(super) fn is_open(failure: &Diagnosis) -> bool {
    failure.class == Class::Information
        || matches!(
            failure.reason,
            Reason::Paused | Reason::Suspended | Reason::Maintenance | Reason::RateBudgetExceeded | Reason::CredentialHeld
        )
}

/// Whether a refusal means that what is named could not be had: then nothing that was proved with it is known any more.
pub(super) fn unresolves(refusal: &Diagnosis) -> bool {
    refusal.class != Class::Transient && ![c::ACCEPTED, c::READY].contains(&refusal.condition())
}

/// How long before its end a certificate is warned of; two weeks if nothing is said.
pub(super) fn warning(seen: &Seen<'_>) -> Duration {
    let tls = seen.spec.server.as_ref().and_then(|server| server.tls.as_ref());
    tls.and_then(|tls| tls.expiry_warning.as_ref()).map_or(Duration::from_hours(336), Span::get)
}

/// Makes the conditions, and counts failures.
pub(super) fn conditions(
    status: &mut EmailProfileStatus,
    seen: &Seen<'_>,
    plan: &Plan,
    news: &News<'_>,
    halted: Option<&Halt>,
) -> Verdict {
    let conditions = Conditions::new(&status.conditions, seen.generation, whole_seconds(seen.now));
    let before = conditions.get(c::READY).map(|ready| (ready.status.clone(), ready.reason.clone()));
    let failures = u32::try_from(status.consecutive_failures.unwrap_or(0)).unwrap_or(0);
    let changed = matches!(&plan.what, What::Run(run) if matches!(run.trigger, Trigger::First | Trigger::Changed));
    let mut judge = Judge { conditions, seen, status, changed, class: None, verdict: Verdict { failures, ..Verdict::default() } };
    judge.spec();
    // What was found with inputs that have changed since says nothing of those that are there now.
    let stale = |run: &Run| seen.observed.as_ref().is_ok_and(|observed| observed.inputs != run.inputs);
    let judged_now = match news {
        News::Found(run, _) if stale(run) => false,
        News::Found(_, report) => {
            judge.found(report);
            !report.cut
        }
        News::None | News::Begun(_) => {
            judge.rest(&plan.what);
            false
        }
    };
    let failures = judge.verdict.failures;
    judge.status.consecutive_failures = i32::try_from(failures).ok().filter(|failures| *failures > 0);
    if seen.is_unchanged() && !changed && !matches!(plan.what, What::Refuse(_)) {
        judge.conditions.still_hold();
    }
    judge.never(&plan.what, halted.is_some());
    let pending = halted.is_none() && judge.is_pending(&plan.what, judged_now);
    judge.held();
    judge.certificate();
    judge.ready(plan, halted, pending, before);
    let Judge { conditions, verdict, .. } = judge;
    status.conditions = conditions.finish();
    verdict
}

struct Judge<'a> {
    conditions: Conditions,
    seen: &'a Seen<'a>,
    status: &'a mut EmailProfileStatus,
    /// Whether the run was begun because what it rests on has changed.
    changed: bool,
    /// The class of the failure that was told now, where one was.
    class: Option<Class>,
    verdict: Verdict,
}

impl Judge<'_> {
    /// What follows from the spec and its references alone.
    fn spec(&mut self) {
        match self.seen.brakes().unacceptable() {
            Some(diagnosis) => self.conditions.tell(c::ACCEPTED, Truth::False, &diagnosis),
            None => self.conditions.holds(c::ACCEPTED, "The spec makes sense as a whole."),
        }
        let refused = self.seen.observed.as_ref().err();
        for (kind, told) in [
            (c::RESOLVED_REFS, "Everything that the spec names was found."),
            (c::CREDENTIALS_READY, "The credentials were read."),
        ] {
            match refused {
                None => self.conditions.holds(kind, told),
                Some(refused) if refused.condition() == kind && refused.class != Class::Transient => {
                    self.conditions.tell(kind, Truth::False, refused);
                }
                Some(refused) if unresolves(refused) && kind == c::RESOLVED_REFS => self.conditions.holds(kind, told),
                Some(refused) if unresolves(refused) => {
                    let told = format!("Not reached; see {}.", refused.condition());
                    self.conditions.set(kind, Truth::Unknown, refused.reason.as_str(), &told);
                }
                Some(refused) if refused.condition() == c::ACCEPTED => {
                    self.conditions.tell(c::ACCEPTED, Truth::False, refused);
                }
                Some(unread) if self.conditions.get(kind).is_none() => self.conditions.tell(kind, Truth::Unknown, unread),
                Some(_) => {}
            }
        }
    }

    /// What a run, or a part of it, says.
    fn found(&mut self, report: &RunReport) {
        let outgoing = report.outgoing.as_ref().and_then(|outgoing| outgoing.failure.as_ref());
        let failures: Vec<&Diagnosis> = report.actors.iter().filter_map(super::ActorReport::failure).chain(outgoing).collect();
        self.verdict.cut = report.cut;
        self.verdict.room = failures.iter().filter_map(|failure| failure.get("next")?.parse().ok()).min();
        // What an actor may try again before the next run: nothing of its mail has left.
        let free = |name: &str| super::decide::claim_of(self.status, name).is_none();
        let again = report.actors.iter().any(|actor| {
            actor.failure().is_some_and(|failure| failure.class != Class::User || is_open(failure)) && free(&actor.name)
        });
        self.verdict.retry = again || outgoing.is_some_and(|failure| failure.class != Class::User || is_open(failure));
        let open = self.status.actors.iter().any(|actor| actor.state == Stand::AwaitingMessage);
        if report.cut || open {
            return;
        }
        self.conditions.drop(c::DEGRADED);
        let conclusive: Vec<&Diagnosis> = failures.iter().copied().filter(|failure| !is_open(failure)).collect();
        if let Some(failure) = self.summary(&conclusive, outgoing) {
            self.failed(&failure);
        } else if let Some(open) = failures.first() {
            self.left_open(open);
        } else if self.status.actors.iter().all(|actor| actor.state == Stand::Verified) {
            self.passed();
        } else if self.seen.mode == Mode::Observe {
            self.left_open(&Diagnosis::new(Reason::ObserveOnly));
        }
        self.aligned();
    }

    /// One failure that stands for all that failed.
    fn summary(&self, failures: &[&Diagnosis], outgoing: Option<&Diagnosis>) -> Option<(Class, Reason, String)> {
        let first = failures.first()?;
        let class = if failures.iter().any(|f| f.class == Class::User) { Class::User } else { Class::Transient };
        let actors = &self.status.actors;
        let failed: Vec<&str> = actors.iter().filter(|a| a.state != Stand::Verified).map(|a| a.name.as_str()).collect();
        if failed.is_empty() {
            let address = self.status.outgoing.as_ref().map(|outgoing| outgoing.address.as_str()).unwrap_or_default();
            let said = outgoing.unwrap_or(first);
            let told = sentence_of(&format!("Outgoing server {address}: {}", said.message()), &said.hint());
            return Some((said.class, said.reason, told));
        }
        if actors.len() == 1 {
            return Some((first.class, first.reason, sentence(first)));
        }
        let some = Diagnosis::new(Reason::SomeActorsUnverified)
            .fact("verified", (actors.len() - failed.len()).to_string())
            .fact("all", actors.len().to_string())
            .fact("names", failed.join(", "));
        let alike = failed.len() == actors.len() && failures.iter().all(|failure| failure.reason == first.reason);
        if alike { Some((class, first.reason, sentence(first))) } else { Some((class, some.reason, some.hint())) }
    }

    /// Whether what was known still speaks of what is proved now: a claim has noted the new inputs already.
    fn is_same(&self) -> bool {
        self.seen.is_unchanged() && !self.changed
    }

    /// The run failed. Below the threshold a profile that was verified stays so, degraded.
    fn failed(&mut self, (class, reason, told): &(Class, Reason, String)) {
        let same = self.is_same();
        self.verdict.failures = if same { self.verdict.failures.saturating_add(1) } else { 1 };
        let below = self.verdict.failures < self.seen.spec.failure_threshold();
        let stays = below && same && self.conditions.is(c::VERIFIED, Truth::True);
        let (kind, truth) = if stays { (c::DEGRADED, Truth::True) } else { (c::VERIFIED, Truth::False) };
        self.conditions.set(kind, truth, reason.as_str(), told);
        self.class = Some(*class);
    }

    /// The run came to no conclusion.
    fn left_open(&mut self, failure: &Diagnosis) {
        let known = self.conditions.get(c::VERIFIED).filter(|_| self.is_same());
        match known.map(|verified| verified.status.as_str()) {
            Some("True") if failure.reason != Reason::CredentialHeld => self.conditions.tell(c::DEGRADED, Truth::True, failure),
            Some("True" | "False") => {}
            _ => self.conditions.tell(c::VERIFIED, Truth::Unknown, failure),
        }
    }

    fn passed(&mut self) {
        self.verdict.failures = 0;
        let actors = &self.status.actors;
        let told = match actors.as_slice() {
            [only] => (Reason::CodeReceived, only.message.clone().unwrap_or_default()),
            all => (Reason::AllActorsVerified, format!("All {} actors found their codes.", all.len())),
        };
        self.conditions.set(c::VERIFIED, Truth::True, told.0.as_str(), &told.1);
        if let Some(degraded) = self.shortcoming() {
            self.conditions.tell(c::DEGRADED, Truth::True, &degraded);
        }
    }

    /// What works, and not as it should.
    fn shortcoming(&self) -> Option<Diagnosis> {
        let from = self.seen.observed.as_ref().ok().and_then(|observed| observed.from.as_deref()).unwrap_or_default();
        if from.eq_ignore_ascii_case(&self.seen.spec.address) {
            return Some(Diagnosis::new(Reason::SharedMailbox).fact("address", from));
        }
        let timeout = self.seen.spec.timeout().get();
        let slowest = self.status.actors.iter().filter_map(|actor| {
            let took = actor.received_time.as_ref()?.0.duration_since(actor.sent_time.as_ref()?.0);
            Duration::try_from(took).ok()
        });
        let slow = slowest.max().filter(|slowest| *slowest > timeout / 2)?;
        Some(
            Diagnosis::new(Reason::SlowMail)
                .fact("took", format!("{}s", slow.as_secs()))
                .fact("timeout", format!("{}s", timeout.as_secs())),
        )
    }

    /// What the receiving server wrote of the sender.
    fn aligned(&mut self) {
        let mut verified = self.status.actors.iter().filter(|actor| actor.state == Stand::Verified);
        let Some(results) = verified.find_map(|actor| actor.authentication_results.as_ref()) else {
            self.conditions.drop(c::SENDER_ALIGNED);
            return;
        };
        let from = self.seen.observed.as_ref().ok().and_then(|observed| observed.from.as_deref()).unwrap_or_default();
        let domain = from.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
        let said = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}={value}"));
        let told: Vec<String> = [said("spf", &results.spf), said("dkim", &results.dkim), said("dmarc", &results.dmarc)]
            .into_iter()
            .flatten()
            .collect();
        match aligned(results) {
            Alignment::Unknown => self.conditions.drop(c::SENDER_ALIGNED),
            Alignment::Aligned => {
                self.conditions
                    .holds(c::SENDER_ALIGNED, &format!("The receiving server wrote {} for {domain}.", told.join(", ")));
            }
            Alignment::NotAligned(lacks) => {
                let diagnosis = Diagnosis::new(Reason::SenderNotAligned)
                    .fact("results", told.join(", "))
                    .fact("domain", domain)
                    .fact("record", record(&lacks, domain));
                self.conditions.tell(c::SENDER_ALIGNED, Truth::False, &diagnosis);
            }
        }
    }

    /// Nothing was found: what is refused or held makes itself felt, everything else stands.
    fn rest(&mut self, what: &What) {
        let held = |judge: &Self| with_facts(judge.seen, judge.credential_held());
        match what {
            What::Refuse(refusal) if unresolves(refusal) => {
                self.conditions.drop(c::DEGRADED);
                self.conditions.tell(c::VERIFIED, Truth::False, refusal);
                self.class = Some(refusal.class);
            }
            What::Rest(Because::Held(_)) if !self.seen.is_unchanged() => {
                let held = held(self);
                self.conditions.tell(c::VERIFIED, Truth::Unknown, &held);
            }
            What::Rest(Because::Waits(waits)) if !self.seen.is_unchanged() => {
                self.conditions.tell(c::VERIFIED, Truth::Unknown, waits);
            }
            _ => {}
        }
    }

    /// Whether a generation waits to be judged.
    fn is_pending(&self, what: &What, judged_now: bool) -> bool {
        let waits = match what {
            What::Run(_) | What::Rest(Because::Running | Because::NotDue) => true,
            What::Refuse(refusal) => refusal.class == Class::Transient,
            What::Rest(_) => false,
        };
        let judged = self.conditions.get(c::VERIFIED).is_some_and(|verified| {
            let open = verified.status == "Unknown" && is_never(&verified.reason);
            verified.observed_generation == Some(self.seen.generation) && (!open || judged_now)
        });
        waits && !judged
    }

    /// `Verified` where nobody has judged yet, and what a person is asked for.
    fn never(&mut self, what: &What, halted: bool) {
        let known = self.conditions.get(c::VERIFIED).is_some_and(|v| v.status != "Unknown" || !is_never(&v.reason));
        if known {
            return;
        }
        let awaited = self.status.actors.iter().any(|actor| actor.state == Stand::AwaitingMessage);
        let verification = self.status.verification.as_ref();
        let diagnosis = match verification.and_then(|v| Some((v.to.clone()?, v.deadline.as_ref()?.0, v.subject.clone()))) {
            Some((to, deadline, subject)) if awaited && self.seen.is_manual() => Diagnosis::new(Reason::AwaitingManualMessage)
                .fact("to", to)
                .fact("subject", subject.unwrap_or_else(|| "that `kubectl mail code` prints".to_owned()))
                .fact("deadline", told_time(deadline)),
            _ if !halted && matches!(what, What::Run(_) | What::Rest(Because::Running)) => {
                Diagnosis::new(Reason::VerificationRunning)
            }
            _ => {
                let next = trigger(self.seen).err().filter(|_| matches!(what, What::Rest(Because::NotDue)));
                Diagnosis::new(Reason::NeverVerified).fact("next", next.map(told_time).unwrap_or_default())
            }
        };
        self.conditions.tell(c::VERIFIED, Truth::Unknown, &diagnosis);
    }

    fn held(&mut self) {
        let outgoing = self.seen.outgoing_held.as_ref().filter(|hold| hold.until > self.seen.now);
        if self.seen.hold().is_some() || outgoing.is_some() {
            let held = self.credential_held();
            self.conditions.tell(c::CREDENTIAL_HELD, Truth::True, &held);
        } else {
            self.conditions.drop(c::CREDENTIAL_HELD);
        }
    }

    /// Tells of a certificate that ends soon. It needs no run, and goes with the certificate.
    fn certificate(&mut self) {
        let tls = self.status.tls.as_ref();
        let end = tls.and_then(|tls| tls.not_after.as_deref());
        let warned = end
            .and_then(|end| end.parse::<Timestamp>().ok())
            .is_some_and(|end| end.checked_sub(warning(self.seen)).is_ok_and(|from| from <= self.seen.now));
        if warned {
            let subject = tls.and_then(|tls| tls.subject.clone()).unwrap_or_default();
            let diagnosis =
                Diagnosis::new(Reason::CertificateExpiring).fact("subject", subject).fact("notAfter", end.unwrap_or_default());
            self.conditions.tell(c::CERTIFICATE_EXPIRING, Truth::True, &diagnosis);
        } else {
            self.conditions.drop(c::CERTIFICATE_EXPIRING);
        }
    }

    /// The summary, and kstatus's two conditions.
    fn ready(&mut self, plan: &Plan, halted: Option<&Halt>, pending: bool, before: Option<(String, String)>) {
        if let Some(halt) = halted {
            self.conditions.tell(c::SUSPENDED, Truth::True, &halt.diagnosis);
            for kind in [c::READY, c::RECONCILING, c::STALLED] {
                self.conditions.drop(kind);
            }
            return;
        }
        self.conditions.drop(c::SUSPENDED);
        let refused = refusal(self.seen).filter(|refused| refused.class != Class::Transient);
        if let Some(diagnosis) = refused {
            self.conditions.tell(c::READY, Truth::False, &diagnosis);
            self.class = Some(diagnosis.class);
        } else if let What::Rest(Because::Waits(waits)) = &plan.what {
            self.conditions.tell(c::READY, Truth::Unknown, waits);
        } else if self.seen.hold().is_some() && !self.conditions.is(c::VERIFIED, Truth::False) {
            let held = self.credential_held();
            self.conditions.tell(c::READY, Truth::False, &held);
            self.class = Some(held.class);
        } else {
            self.conditions.mirror(c::READY, c::VERIFIED);
        }
        self.conditions.kstatus(before, self.class, pending);
    }

    /// Why the credentials are not tried. Its times stand in the status and do not move while the hold lasts.
    fn credential_held(&self) -> Diagnosis {
        let user = self.seen.observed.as_ref().ok().and_then(|observed| Some(observed.accounts.first()?.user.clone()));
        with_facts(self.seen, Diagnosis::new(Reason::CredentialHeld).fact("user", user.unwrap_or_default()))
    }
}

/// Whether a reason says that nobody has judged yet.
fn is_never(reason: &str) -> bool {
    [Reason::NeverVerified, Reason::VerificationRunning, Reason::AwaitingManualMessage]
        .iter()
        .any(|never| never.as_str() == reason)
}
