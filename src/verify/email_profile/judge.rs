//! What the conditions of an `EmailProfile` say. While a run is under way all keep their value; what could not be concluded is
//! never True.

mod retry;
mod summary;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    Because, Plan, Run, RunReport, Seen, What,
    decide::{refusal, trigger},
    presets,
    status::{News, with_facts},
};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{EmailProfileSpec, EmailProfileStatus, MailboxProtocol, ProfileActorState as Stand, Span, condition as c},
    },
    mail::{
        Diagnosis,
        authentication::{Alignment, aligned, record},
        protocol::Protocol,
    },
    verify::{
        conditions::{Conditions, Truth, unresolves},
        halt::{Halt, Mode, told_time, whole_seconds},
        report,
    },
};
pub(super) use retry::Retry;
use retry::retries;
use summary::{Summary, shortcoming, summary};

/// What the conditions came to, as far as the schedule has to know.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The run was cut off by us: what is open goes on.
    pub cut: bool,
    /// Failed tries in a row.
    pub failures: u32,
    /// What may be tried again before the next due time.
    pub retries: Vec<Retry>,
}

/// Whether a failure leaves open how things are: our own limits stopped us, not a server.
pub(super) fn is_open(failure: &Diagnosis) -> bool {
    failure.class == Class::Information
        || matches!(
            failure.reason,
            Reason::Paused | Reason::Suspended | Reason::Maintenance | Reason::RateBudgetExceeded | Reason::CredentialHeld
        )
}

/// How long before its end a certificate is warned of; two weeks if nothing is said.
pub(super) fn warning(seen: &Seen<'_>) -> Duration {
    let tls = seen.spec.server.as_ref().and_then(|server| server.tls.as_ref());
    tls.and_then(|tls| tls.expiry_warning.as_ref()).map_or(Duration::from_hours(336), Span::get)
}

/// The hosts that a profile's own account logs in to: the mailbox's, and the one that it sends by.
fn hosts(spec: &EmailProfileSpec) -> (Option<&str>, Option<&str>) {
    let mailbox = spec.server.as_ref().map(|server| server.host.as_str());
    let mailbox =
        mailbox.or_else(|| spec.provider.and_then(|provider| presets::incoming(provider, spec.protocol)).map(|preset| preset.0));
    let sending = match &spec.outgoing {
        Some(outgoing) => outgoing.host.as_deref(),
        None => spec.provider.map(|provider| presets::outgoing(provider).0),
    };
    (mailbox, sending)
}

/// Makes the conditions, and counts failures.
pub(super) fn conditions(
    status: &mut EmailProfileStatus,
    seen: &Seen<'_>,
    plan: &Plan,
    news: &News<'_>,
    halted: Option<&Halt>,
) -> Verdict {
    let conditions = Conditions::new(&status.conditions, seen.object.generation, whole_seconds(seen.object.now));
    let before = conditions.get(c::READY).map(|ready| (ready.status.clone(), ready.reason.clone()));
    let failures = u32::try_from(status.consecutive_failures.unwrap_or(0)).unwrap_or(0);
    let verdict = Verdict { failures, ..Verdict::default() };
    let mut judge = Judge { conditions, seen, status, same: seen.is_judged(), class: None, verdict };
    judge.conditions.references(seen.object.brakes().unacceptable().as_ref(), seen.observed.as_ref().err(), judge.same);
    // What was found with inputs that have changed since says nothing of those that are there now.
    let stale = |run: &Run| seen.observed.as_ref().is_ok_and(|observed| observed.inputs != run.inputs);
    let judged_now = match news {
        News::Found(run, _) if stale(run) => false,
        News::Found(run, report) => {
            judge.found(run, report);
            !judge.verdict.cut
        }
        News::None | News::Begun(_) => {
            judge.rest(&plan.what);
            false
        }
    };
    let failures = judge.verdict.failures;
    judge.status.consecutive_failures = i32::try_from(failures).ok().filter(|failures| *failures > 0);
    if judge.same && !matches!(plan.what, What::Refuse(_)) {
        judge.conditions.still_hold();
    }
    judge.never(plan, news, halted.is_some());
    let pending = halted.is_none() && judge.is_pending(&plan.what, judged_now);
    judge.held();
    judge.certificate();
    judge.credential();
    judge.ready(plan, halted, pending, before);
    let Judge { conditions, verdict, .. } = judge;
    status.conditions = conditions.finish();
    verdict
}

struct Judge<'a> {
    conditions: Conditions,
    seen: &'a Seen<'a>,
    status: &'a mut EmailProfileStatus,
    /// Whether what the conditions say was found with what a run rests on now. A claim has noted changed inputs long before
    /// anything is known of them, and another process may end the run.
    same: bool,
    /// The class of the failure that was told now, where one was.
    class: Option<Class>,
    verdict: Verdict,
}

impl Judge<'_> {
    /// What a run, or a part of it, says. What an earlier part found stands among the actors.
    fn found(&mut self, run: &Run, report: &RunReport) {
        let outgoing = report.outgoing.as_ref().and_then(|outgoing| outgoing.failure.as_ref());
        let failures: Vec<&Diagnosis> = report.actors.iter().filter_map(super::ActorReport::failure).chain(outgoing).collect();
        let provider = report.actors.iter().find_map(|actor| actor.report.token.as_ref()).map(|(provider, _)| provider.as_str());
        self.conditions.token(provider, failures.iter().copied().find(|failure| failure.condition() == c::CREDENTIALS_READY));
        let all = self.status.actors.iter().all(|actor| actor.state == Stand::Verified);
        // The run was told to end when its actors were done and its login was not.
        let unproved = run.outgoing && report.outgoing.is_none() && all;
        self.verdict.cut = report.cut || unproved;
        self.verdict.retries = retries(self.status, report);
        if self.verdict.cut || self.status.actors.iter().any(|actor| actor.state == Stand::AwaitingMessage) {
            return;
        }
        if let Some(summary) = summary(self.status, report) {
            self.failed(&summary, failures.iter().any(|failure| !is_open(failure)));
        } else if let Some(open) = failures.first() {
            self.conditions.drop(c::DEGRADED);
            self.left_open(open);
        } else if all {
            self.conditions.drop(c::DEGRADED);
            self.passed();
        } else if self.seen.object.mode == Mode::Observe {
            self.conditions.drop(c::DEGRADED);
            self.left_open(&Diagnosis::new(Reason::ObserveOnly));
        }
        self.aligned(report.actors.iter().any(|actor| actor.found.is_some()));
        if self.conditions.get(c::VERIFIED).is_some_and(|verified| verified.status != "Unknown") {
            self.status.inputs_judged = Some(run.inputs.clone());
            self.same = self.seen.observed.as_ref().is_ok_and(|observed| observed.inputs == run.inputs);
        }
    }

    /// The run failed. Below the threshold a profile that was verified stays so, degraded. What an earlier part of the run has
    /// told already is told again and not counted again.
    fn failed(&mut self, summary: &Summary, news: bool) {
        let told = self.same && (self.verdict.failures > 0 || self.conditions.is(c::VERIFIED, Truth::False));
        if news || !told {
            self.verdict.failures = if self.same { self.verdict.failures.saturating_add(1) } else { 1 };
            self.class = Some(summary.class);
        }
        let below = self.verdict.failures < self.seen.spec.failure_threshold();
        let stays = self.same && self.conditions.is(c::VERIFIED, Truth::True) && (below || !news);
        let (kind, truth) = if stays { (c::DEGRADED, Truth::True) } else { (c::VERIFIED, Truth::False) };
        if !stays {
            self.conditions.drop(c::DEGRADED);
        }
        self.conditions.set(kind, truth, summary.reason.as_str(), &summary.told);
    }

    /// The run came to no conclusion.
    fn left_open(&mut self, failure: &Diagnosis) {
        let known = self.conditions.get(c::VERIFIED).filter(|_| self.same);
        match known.map(|verified| verified.status.as_str()) {
            // The hold on its own mailbox is told by itself; one on the sender's account is told nowhere else.
            Some("True") if failure.reason != Reason::CredentialHeld || self.seen.hold().is_none() => {
                self.conditions.tell(c::DEGRADED, Truth::True, failure);
            }
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
        if let Some(degraded) = shortcoming(self.seen, self.status) {
            self.conditions.tell(c::DEGRADED, Truth::True, &degraded);
        }
    }

    /// What the receiving server wrote of the sender; `seen`: a mail was found now.
    fn aligned(&mut self, seen: bool) {
        let mut verified = self.status.actors.iter().filter(|actor| actor.state == Stand::Verified);
        let Some(results) = verified.find_map(|actor| actor.authentication_results.as_ref()) else {
            // No mail was seen: what the last one showed stands, if it was one of these settings.
            if seen || !self.same {
                self.conditions.drop(c::SENDER_ALIGNED);
            }
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
        match what {
            What::Refuse(refusal) if unresolves(refusal) => {
                self.conditions.drop(c::DEGRADED);
                self.conditions.drop(c::SENDER_ALIGNED);
                self.conditions.tell(c::VERIFIED, Truth::False, refusal);
                self.class = Some(refusal.class);
            }
            What::Rest(Because::Held(_)) if !self.same => {
                let held = self.credential_held();
                self.conditions.tell(c::VERIFIED, Truth::Unknown, &held);
            }
            What::Rest(Because::Waits(waits)) if !self.same => {
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
            verified.observed_generation == Some(self.seen.object.generation) && (!open || judged_now)
        });
        waits && !judged
    }

    /// `Verified` where nobody has judged yet, and what a person is asked for.
    fn never(&mut self, plan: &Plan, news: &News<'_>, halted: bool) {
        let what = &plan.what;
        let known = |verified: &Condition| match verified.status.as_str() {
            "Unknown" => !is_never(&verified.reason) && !is_over(&verified.reason, what, news),
            // A missing reference that is there again says nothing any more.
            "False" => halted || self.status.inputs_judged.is_some() || refusal(self.seen).is_some(),
            _ => true,
        };
        if self.conditions.get(c::VERIFIED).is_some_and(known) {
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
        let outgoing = self.seen.outgoing_held.as_ref().filter(|hold| hold.until > self.seen.object.now);
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
            .is_some_and(|end| end.checked_sub(warning(self.seen)).is_ok_and(|from| from <= self.seen.object.now));
        if warned {
            let subject = tls.and_then(|tls| tls.subject.clone()).unwrap_or_default();
            let diagnosis =
                Diagnosis::new(Reason::CertificateExpiring).fact("subject", subject).fact("notAfter", end.unwrap_or_default());
            self.conditions.tell(c::CERTIFICATE_EXPIRING, Truth::True, &diagnosis);
        } else {
            self.conditions.drop(c::CERTIFICATE_EXPIRING);
        }
    }

    /// Tells of a credential whose end is known. It needs no run either.
    fn credential(&mut self) {
        let (now, warning) = (self.seen.object.now, warning(self.seen));
        // What could not be read now is as it was.
        if let Ok(observed) = &self.seen.observed {
            let secret = observed.secret.as_deref().unwrap_or_default();
            self.conditions.credential_ends(observed.credential_ends.as_ref(), secret, warning, now);
            report::credential_ends(&mut self.status.oauth2, observed.credential_ends.as_ref());
        }
        let spec = self.seen.spec;
        let protocol = if spec.protocol == MailboxProtocol::POP3 { Protocol::Pop3 } else { Protocol::Imap };
        let (mailbox, sending) = hosts(spec);
        let places: Vec<_> =
            mailbox.map(|host| (host, protocol)).into_iter().chain(sending.map(|host| (host, Protocol::Smtp))).collect();
        self.conditions.password_retires(spec.account.as_ref(), &places);
    }

    /// The summary, and kstatus's two conditions.
    fn ready(&mut self, plan: &Plan, halted: Option<&Halt>, pending: bool, before: Option<(String, String)>) {
        self.conditions.halted(halted);
        if halted.is_some() {
            return;
        }
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

/// Whether what kept it from being judged is over.
fn is_over(reason: &str, what: &What, news: &News<'_>) -> bool {
    let begins = matches!(news, News::Begun(_));
    (reason == Reason::DependencyNotReady.as_str() && !matches!(what, What::Rest(Because::Waits(_))))
        || (reason == Reason::CredentialHeld.as_str() && begins)
}
