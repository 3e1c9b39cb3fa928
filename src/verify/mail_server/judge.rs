//! What the conditions of a `MailServer` say. What a check did not reach keeps its value as long as what is checked is
//! the same; what it could not conclude is never True.

use jiff::Timestamp;

use super::{
    Because, Check, Mode, Plan, Seen, Trigger, What,
    decide::{refusal, trigger, unacceptable},
    inputs,
    status::{News, expiry_warning, with_facts},
};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{Level, MailServerStatus, Security, condition as c},
    },
    mail::{Diagnosis, Stage, protocol::Protocol},
    verify::{
        Report,
        conditions::{Conditions, Truth, sentence, sentence_of, unresolves},
        halt::{Halt, told_time, whole_seconds},
        report::{self, LoginOutcome},
    },
};

/// The conditions that a check proves, in the order in which it comes to them.
const PROVED: [&str; 4] = [c::REACHABLE, c::TLS_VALID, c::AUTHENTICATED, c::DELIVERY_TESTED];

/// What the conditions came to, as far as the schedule has to know.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// A new generation is not judged yet.
    pub pending: bool,
    /// The check was cut off by us: it has answered nothing.
    pub cancelled: bool,
    /// Failed checks in a row.
    pub failures: u32,
    /// A retry before the next due time may help.
    pub retry: bool,
    /// When our own budget has room again.
    pub room: Option<Timestamp>,
}

/// Whether a failure leaves open how things are: our own limits stopped the check, not the server.
pub(super) fn is_open(failure: &Diagnosis) -> bool {
    is_cut(failure) || matches!(failure.reason, Reason::RateBudgetExceeded | Reason::CredentialHeld)
}

/// Whether a failure says that the check was cut off: paused, suspended, no longer the leader.
fn is_cut(failure: &Diagnosis) -> bool {
    failure.class == Class::Information || matches!(failure.reason, Reason::Paused | Reason::Suspended | Reason::Maintenance)
}

/// Makes the conditions, and counts failures.
pub(super) fn conditions(
    status: &mut MailServerStatus,
    seen: &Seen<'_>,
    plan: &Plan,
    news: &News<'_>,
    halted: Option<&Halt>,
) -> Verdict {
    let conditions = Conditions::new(&status.conditions, seen.object.generation, whole_seconds(seen.object.now));
    let mut judge =
        Judge { conditions, seen, status, refused: refusal(seen), same: is_same(seen, news), owed: false, class: None };
    judge.spec();
    let mut verdict =
        Verdict { failures: u32::try_from(judge.status.consecutive_failures.unwrap_or(0)).unwrap_or(0), ..Verdict::default() };
    // What was found of inputs that have changed since says nothing of those that are there now.
    let stale = |check: &Check| seen.observed.as_ref().is_ok_and(|observed| observed.inputs != check.inputs);
    match news {
        News::Found(check, ..) if stale(check) => {}
        News::Found(check, told, views) => judge.found(check, told, views.differ().as_ref(), &mut verdict),
        News::Lost(_, lost) => {
            judge.conditions.tell(c::DELIVERY_TESTED, Truth::False, lost);
            judge.failed(lost, &sentence(lost), &mut verdict);
        }
        News::None | News::Begun(_) => judge.rest(&plan.what),
    }
    judge.status.consecutive_failures = i32::try_from(verdict.failures).ok().filter(|failures| *failures > 0);
    if judge.same && !matches!(plan.what, What::Refuse(_)) {
        judge.conditions.still_hold();
    }
    let judged_now = matches!(news, News::Found(check, ..) if !stale(check));
    verdict.pending = halted.is_none() && judge.is_pending(&plan.what, judged_now);
    judge.verified(&plan.what, halted.is_some());
    judge.held();
    judge.certificate();
    judge.credential();
    judge.ready(halted, verdict.pending);
    status.conditions = judge.conditions.finish();
    verdict
}

/// Whether what was known still speaks of what is checked now.
fn is_same(seen: &Seen<'_>, news: &News<'_>) -> bool {
    let check = match news {
        News::Begun(check) | News::Found(check, ..) => Some(*check),
        News::None | News::Lost(..) => seen.running.as_ref(),
    };
    seen.is_unchanged() && !check.is_some_and(|check| matches!(check.trigger, Trigger::First | Trigger::Changed))
}

struct Judge<'a> {
    conditions: Conditions,
    seen: &'a Seen<'a>,
    status: &'a mut MailServerStatus,
    refused: Option<Diagnosis>,
    same: bool,
    /// A test mail was asked for and has not gone.
    owed: bool,
    /// The class of the failure that was told now, where one was.
    class: Option<Class>,
}

impl Judge<'_> {
    /// What follows from the spec and its references alone.
    fn spec(&mut self) {
        let unacceptable = unacceptable(self.seen);
        match &unacceptable {
            Some(diagnosis) => self.conditions.tell(c::ACCEPTED, Truth::False, diagnosis),
            None if self.is_own_finding(c::ACCEPTED) => {}
            None => self.conditions.holds(c::ACCEPTED, "The spec makes sense as a whole."),
        }
        let unresolved = self.refused.clone().filter(|_| unacceptable.is_none());
        let had = |kind| match &unresolved {
            None => self.seen.observed.is_ok(),
            // What is refused further on had its references.
            Some(refused) => unresolves(refused) && refused.condition() != c::RESOLVED_REFS && refused.condition() != kind,
        };
        for (kind, told) in [
            (c::RESOLVED_REFS, "Everything that the spec names was found."),
            (c::CREDENTIALS_READY, "The credentials were read."),
        ] {
            let token = kind == c::CREDENTIALS_READY && self.same && self.conditions.tells_of_a_token();
            if had(kind) && !self.is_own_finding(kind) && !token {
                self.conditions.holds(kind, told);
            }
        }
        match &unresolved {
            Some(refused) if refused.class != Class::Transient => {
                self.conditions.tell(refused.condition(), Truth::False, refused);
            }
            Some(unread) if self.conditions.get(c::RESOLVED_REFS).is_none() => {
                self.conditions.tell(c::RESOLVED_REFS, Truth::Unknown, unread);
            }
            Some(_) | None => {}
        }
        for kind in [c::CREDENTIALS_READY, c::TLS_VALID, c::AUTHENTICATED, c::DELIVERY_TESTED] {
            // What is False stands, also where it should not be needed: a server may demand a login that is not set.
            if !self.applies(kind) && !self.conditions.is(kind, Truth::False) {
                self.conditions.drop(kind);
            }
        }
    }

    /// Whether the last check made this condition False: what is read beside it does not make it True again.
    fn is_own_finding(&self, kind: &str) -> bool {
        let (own, verified) = (self.conditions.get(kind), self.conditions.get(c::VERIFIED));
        self.same
            && own.is_some_and(|own| {
                own.status == "False" && verified.is_some_and(|v| v.status == "False" && v.reason == own.reason)
            })
    }

    /// Whether a condition has something to say of this spec.
    fn applies(&self, kind: &str) -> bool {
        let security = self.status.endpoint.as_ref().map(|endpoint| endpoint.security);
        match kind {
            c::CREDENTIALS_READY => self.seen.has_auth(),
            c::TLS_VALID => security != Some(Security::None),
            c::AUTHENTICATED => self.seen.logs_in(),
            c::DELIVERY_TESTED => self.seen.spec.level() == Level::Deliver,
            _ => true,
        }
    }

    /// What a check that has ended says; `differ`: that its actors do not agree.
    fn found(&mut self, check: &Check, report: &Report, differ: Option<&Diagnosis>, verdict: &mut Verdict) {
        self.conditions.drop(c::DEGRADED);
        let failure = report.failure.as_ref();
        // What a request asked for is owed until a mail was tried, whatever an earlier one came to.
        self.owed = check.trigger == Trigger::Requested && check.level == Level::Deliver;
        let at = failure.map(stands_on);
        self.conditions.token(report.token.as_ref().map(|(provider, _)| provider.as_str()), failure);
        for kind in PROVED {
            match failure {
                Some(failure) if at == Some(kind) => {
                    let truth = if is_open(failure) { Truth::Unknown } else { Truth::False };
                    if !is_cut(failure) {
                        self.conditions.tell(kind, truth, failure);
                    }
                }
                _ if !self.applies(kind) => self.conditions.drop(kind),
                _ => self.proved(kind, report, failure),
            }
        }
        match failure {
            Some(failure) if is_open(failure) => {
                verdict.cancelled = is_cut(failure) && report.delivery.as_ref().is_none_or(|delivery| !delivery.dot_sent);
                self.left_open(failure, verdict);
            }
            Some(failure) => {
                if let Some(at) = at.filter(|at| !PROVED.contains(at) && *at != c::VERIFIED) {
                    self.conditions.tell(at, Truth::False, failure);
                }
                match differ {
                    Some(differ) => self.failed(differ, &differ.hint(), verdict),
                    None => self.failed(failure, &sentence_of(&report_message(report, failure), &failure.hint()), verdict),
                }
            }
            None => self.passed(report, verdict),
        }
    }

    /// One condition that the check did not fail on: proved, as it was, or not known.
    fn proved(&mut self, kind: &str, report: &Report, failure: Option<&Diagnosis>) {
        let accepted = report.delivery.as_ref().and_then(|delivery| delivery.accepted.as_deref());
        let in_tls = report.passed(Stage::ImplicitTls) || report.passed(Stage::Tls);
        let before_tls = failure.is_some_and(|failure| stands_on(failure) == c::TLS_VALID) && report.passed(Stage::Tcp);
        match kind {
            c::REACHABLE if report.passed(Stage::Banner) || before_tls => {
                self.conditions.holds(kind, &format!("{} answered.", report.endpoint));
            }
            c::TLS_VALID if in_tls => self.conditions.holds(kind, &about_tls(report)),
            c::AUTHENTICATED if report.login == Some(LoginOutcome::Accepted) => {
                self.conditions.holds(kind, "The login was taken.");
            }
            c::DELIVERY_TESTED if accepted.is_some() => {
                let reply = format!("The server took the test mail: {}", accepted.unwrap_or_default());
                self.conditions.set(kind, Truth::True, Reason::TestMessageAccepted.as_str(), &reply);
            }
            c::DELIVERY_TESTED if report.delivery.as_ref().is_some_and(|delivery| delivery.dot_sent) => {
                // Never Unknown behind the final dot: that would mean that a mail is owed (promise 2).
                let uncertain = Diagnosis::new(Reason::DeliveryUncertain).at(Stage::Data);
                self.conditions.tell(kind, Truth::False, failure.filter(|failure| !is_open(failure)).unwrap_or(&uncertain));
            }
            _ if self.same && self.conditions.get(kind).is_some() && !(self.owed && kind == c::DELIVERY_TESTED) => {}
            _ => match failure {
                Some(failure) => {
                    let told = format!("Not reached; see {}.", stands_on(failure));
                    self.conditions.set(kind, Truth::Unknown, failure.reason.as_str(), &told);
                }
                None if self.seen.object.mode == Mode::Observe => {
                    self.conditions.tell(kind, Truth::Unknown, &Diagnosis::new(Reason::ObserveOnly));
                }
                None => self.conditions.tell(kind, Truth::Unknown, &Diagnosis::new(Reason::NeverVerified)),
            },
        }
    }

    /// The check ended well. Where it was not to send a mail, the last mail's result goes on to count.
    fn passed(&mut self, report: &Report, verdict: &mut Verdict) {
        if let Some(primary) = &report.primary_failure {
            let host = self.status.endpoint.as_ref().map(|endpoint| endpoint.address.clone()).unwrap_or_default();
            let alternate = Diagnosis::new(Reason::UsingAlternate)
                .detail(primary.message())
                .fact("host", host)
                .fact("reason", primary.reason.as_str())
                .fact("alternate", &report.endpoint);
            self.conditions.tell(c::DEGRADED, Truth::True, &alternate);
        }
        let mail_is_open = self.applies(c::DELIVERY_TESTED) && !self.conditions.is(c::DELIVERY_TESTED, Truth::True);
        if !mail_is_open {
            verdict.failures = 0;
            self.conditions.holds(c::VERIFIED, &sentence_of(&report.message(), ""));
        } else if !(self.same && self.conditions.is(c::VERIFIED, Truth::True)) {
            self.conditions.mirror(c::VERIFIED, c::DELIVERY_TESTED);
        }
    }

    /// The check failed. Below the threshold a server that was verified stays so, degraded.
    fn failed(&mut self, failure: &Diagnosis, told: &str, verdict: &mut Verdict) {
        verdict.failures = if self.same { verdict.failures.saturating_add(1) } else { 1 };
        verdict.retry = failure.class == Class::Transient;
        let threshold = self.seen.spec.verification.as_ref().and_then(|verification| verification.failure_threshold);
        let below = verdict.failures < u32::try_from(threshold.unwrap_or(1)).unwrap_or(1);
        let kind = if below && self.same && self.conditions.is(c::VERIFIED, Truth::True) { c::DEGRADED } else { c::VERIFIED };
        let truth = if kind == c::DEGRADED { Truth::True } else { Truth::False };
        self.conditions.set(kind, truth, failure.reason.as_str(), told);
        self.class = Some(failure.class);
    }

    /// The check came to no conclusion.
    fn left_open(&mut self, failure: &Diagnosis, verdict: &mut Verdict) {
        verdict.retry = true;
        if is_cut(failure) {
            return;
        }
        verdict.room = failure.get("next").and_then(|next| next.parse().ok());
        match self.conditions.get(c::VERIFIED).filter(|_| self.same).map(|verified| verified.status.as_str()) {
            Some("True") if failure.reason != Reason::CredentialHeld => self.conditions.tell(c::DEGRADED, Truth::True, failure),
            Some("True" | "False") => {}
            _ => self.conditions.tell(c::VERIFIED, Truth::Unknown, failure),
        }
    }

    /// Nothing was found: what is refused or held makes itself felt, everything else stands.
    fn rest(&mut self, what: &What) {
        match what {
            What::Refuse(refusal) if unresolves(refusal) => {
                let at = refusal.condition();
                let credentials = [c::CREDENTIALS_READY].into_iter().filter(|_| at == c::RESOLVED_REFS);
                for kind in credentials.chain(PROVED) {
                    if kind != at && self.applies(kind) {
                        let told = format!("Not reached; see {at}.");
                        self.conditions.set(kind, Truth::Unknown, refusal.reason.as_str(), &told);
                    }
                }
                self.conditions.drop(c::DEGRADED);
                self.conditions.tell(c::VERIFIED, Truth::False, refusal);
                self.class = Some(refusal.class);
            }
            What::Rest(Because::Held(_)) if !self.same => {
                let held = self.credential_held();
                self.conditions.tell(c::AUTHENTICATED, Truth::Unknown, &held);
                self.conditions.tell(c::VERIFIED, Truth::Unknown, &held);
            }
            _ => {}
        }
    }

    /// Whether a generation waits to be judged.
    fn is_pending(&self, what: &What, judged_now: bool) -> bool {
        let waits = match what {
            What::Check(_) | What::Rest(Because::Running | Because::NotDue) => true,
            What::Refuse(refusal) => refusal.class == Class::Transient,
            What::Rest(_) | What::Settle(_) => false,
        };
        let never = [Reason::NeverVerified.as_str(), Reason::VerificationRunning.as_str()];
        let judged = self.conditions.get(c::VERIFIED).is_some_and(|verified| {
            let open = verified.status == "Unknown" && never.contains(&verified.reason.as_str());
            verified.observed_generation == Some(self.seen.object.generation) && (!open || judged_now)
        });
        waits && !judged
    }

    /// `Verified` where nobody has judged yet.
    fn verified(&mut self, what: &What, halted: bool) {
        let never = [Reason::NeverVerified.as_str(), Reason::VerificationRunning.as_str()];
        let known =
            self.conditions.get(c::VERIFIED).is_some_and(|v| v.status != "Unknown" || !never.contains(&v.reason.as_str()));
        if known {
            return;
        }
        let runs = !halted && matches!(what, What::Check(_) | What::Rest(Because::Running));
        let diagnosis = if runs {
            Diagnosis::new(Reason::VerificationRunning)
        } else {
            let next = trigger(self.seen).err().filter(|_| matches!(what, What::Rest(Because::NotDue)));
            Diagnosis::new(Reason::NeverVerified).fact("next", next.map(told_time).unwrap_or_default())
        };
        self.conditions.tell(c::VERIFIED, Truth::Unknown, &diagnosis);
    }

    fn held(&mut self) {
        if self.seen.hold().is_some() {
            let held = self.credential_held();
            self.conditions.tell(c::CREDENTIAL_HELD, Truth::True, &held);
        } else {
            self.conditions.drop(c::CREDENTIAL_HELD);
        }
    }

    /// Tells of a certificate that ends soon. It needs no check, and goes with the certificate.
    fn certificate(&mut self) {
        let tls = self.status.tls.as_ref().filter(|_| self.applies(c::TLS_VALID));
        let end = tls.and_then(|tls| tls.not_after.as_deref());
        let warned = end
            .and_then(|end| end.parse::<Timestamp>().ok())
            .is_some_and(|end| end.checked_sub(expiry_warning(self.seen.spec)).is_ok_and(|from| from <= self.seen.object.now));
        if warned {
            let subject = tls.and_then(|tls| tls.subject.clone()).unwrap_or_default();
            let diagnosis =
                Diagnosis::new(Reason::CertificateExpiring).fact("subject", subject).fact("notAfter", end.unwrap_or_default());
            self.conditions.tell(c::CERTIFICATE_EXPIRING, Truth::True, &diagnosis);
        } else {
            self.conditions.drop(c::CERTIFICATE_EXPIRING);
        }
    }

    /// Tells of a credential whose end is known. It needs no check either.
    fn credential(&mut self) {
        let (now, warning) = (self.seen.object.now, expiry_warning(self.seen.spec));
        // What could not be read now is as it was.
        if let Ok(observed) = &self.seen.observed {
            let secret = observed.secret.as_deref().unwrap_or_default();
            self.conditions.credential_ends(observed.credential_ends.as_ref(), secret, warning, now);
            report::credential_ends(&mut self.status.oauth2, observed.credential_ends.as_ref());
        }
        let endpoints = inputs::endpoints(self.seen.spec).unwrap_or_default();
        let places: Vec<_> = endpoints.iter().map(|endpoint| (endpoint.host.as_str(), Protocol::Smtp)).collect();
        self.conditions.password_retires(self.seen.spec.auth.as_ref(), &places);
    }

    /// The summary, and kstatus's two conditions.
    fn ready(&mut self, halted: Option<&Halt>, pending: bool) {
        self.conditions.halted(halted);
        if halted.is_some() {
            return;
        }
        let before = self.conditions.get(c::READY).map(|ready| (ready.status.clone(), ready.reason.clone()));
        let refused = self.refused.clone().filter(|refused| refused.class != Class::Transient);
        let conflict = self.seen.other_default.map(|other| {
            let value = "the annotation mailverity.dev/is-default-server";
            Diagnosis::new(Reason::Conflict).fact("other", format!("MailServer {other}")).fact("value", value)
        });
        if let Some(diagnosis) = refused.or(conflict) {
            self.conditions.tell(c::READY, Truth::False, &diagnosis);
            self.class = Some(diagnosis.class);
        } else if self.conditions.is(c::CREDENTIAL_HELD, Truth::True) && !self.conditions.is(c::VERIFIED, Truth::False) {
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
        let user =
            self.seen.observed.as_ref().ok().and_then(|observed| observed.accounts.first()).map(|account| account.user.clone());
        with_facts(self.seen, Diagnosis::new(Reason::CredentialHeld).fact("user", user.unwrap_or_default()))
    }
}

/// The condition that a failure makes False or Unknown.
fn stands_on(failure: &Diagnosis) -> &'static str {
    match failure.reason {
        Reason::CredentialHeld => c::AUTHENTICATED,
        Reason::RateBudgetExceeded => failure.stage.map_or(c::DELIVERY_TESTED, Stage::condition),
        _ => failure.condition(),
    }
}

/// What failed, and what the alternates said.
fn report_message(report: &Report, failure: &Diagnosis) -> String {
    let others = report.alternate_failures.iter().map(|(endpoint, other)| format!("; {endpoint}: {}", other.reason));
    std::iter::once(failure.message()).chain(others).collect()
}

fn about_tls(report: &Report) -> String {
    let tls = report.tls.as_ref();
    let version = tls.and_then(|tls| tls.version.as_deref()).unwrap_or("TLS");
    let end =
        tls.and_then(|tls| tls.not_after.as_deref()).map(|end| format!("; the certificate ends at {end}")).unwrap_or_default();
    let judged = if report.tls_verified { "" } else { "; the certificate was not verified (insecureSkipVerify)" };
    format!("{version}{end}{judged}.")
}
