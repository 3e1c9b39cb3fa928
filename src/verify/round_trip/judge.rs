//! What the conditions of a `RoundTripPolicy` say. While a probe is under way all keep their value; what could not be concluded is
//! never True.

use jiff::Timestamp;

use super::{
    Because, Plan, Seen, What,
    decide::trigger,
    settle::{Outcome, duration},
    status::with_facts,
};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{RoundTripPolicyStatus, condition as c},
    },
    mail::Diagnosis,
    verify::{
        conditions::{Conditions, Truth, unresolves},
        halt::{Halt, told_time, whole_seconds},
    },
};

/// What is known now that was not known when the last status was written.
#[derive(Debug)]
pub(super) enum Finding {
    /// Nothing that says how the round trip works.
    None,
    /// A server took a probe's mail, or may have.
    Sent,
    /// An attempt failed, and the probe is tried again.
    Trouble(Diagnosis),
    /// Our own limits kept a probe from being sent.
    Open(Diagnosis),
    /// A probe has ended.
    Settled(Outcome),
}

/// Makes the conditions, and counts failures. Comes back with the time at which our own budget has room again.
pub(super) fn conditions(
    status: &mut RoundTripPolicyStatus,
    seen: &Seen<'_>,
    plan: &Plan,
    finding: &Finding,
    halted: Option<&Halt>,
) -> Option<Timestamp> {
    let conditions = Conditions::new(&status.conditions, seen.object.generation, whole_seconds(seen.object.now));
    let before = conditions.get(c::READY).map(|ready| (ready.status.clone(), ready.reason.clone()));
    let judged = status.inputs_judged.as_deref();
    let same = seen.observed.as_ref().is_ok_and(|observed| judged == Some(observed.inputs.as_str()));
    let mut judge = Judge { conditions, seen, status, same, class: None };
    judge.conditions.references(seen.object.brakes().unacceptable().as_ref(), seen.observed.as_ref().err(), same);
    if seen.observed.as_ref().is_ok_and(|observed| observed.accounts.is_empty()) {
        judge.conditions.drop(c::CREDENTIALS_READY);
    }
    let mut open = None;
    // What was found with what has changed since says nothing of what is there now.
    let rested_on = judge.status.inputs_observed.as_deref();
    let stale = seen.observed.as_ref().is_ok_and(|observed| rested_on != Some(observed.inputs.as_str()));
    match finding {
        Finding::Settled(_) if stale => {}
        Finding::Settled(outcome) if outcome.reason == Reason::Succeeded => judge.passed(outcome),
        Finding::Settled(outcome) if outcome.is_failure() => judge.failed(outcome),
        Finding::Trouble(failure) => judge.trouble(failure),
        Finding::Open(failure) => open = judge.left_open(failure),
        Finding::None | Finding::Sent | Finding::Settled(_) => judge.rest(&plan.what),
    }
    let judged_now =
        !stale && matches!(finding, Finding::Settled(outcome) if outcome.reason == Reason::Succeeded || outcome.is_failure());
    if judge.same && !matches!(plan.what, What::Refuse(_)) {
        judge.conditions.still_hold();
    }
    judge.never(&plan.what, halted.is_some());
    let pending = halted.is_none() && judge.is_pending(&plan.what, judged_now);
    judge.held();
    judge.conditions.halted(halted);
    if halted.is_none() {
        judge.ready(plan, pending, before);
    }
    let conditions = judge.conditions.finish();
    status.conditions = conditions;
    open
}

struct Judge<'a> {
    conditions: Conditions,
    seen: &'a Seen<'a>,
    status: &'a mut RoundTripPolicyStatus,
    /// Whether what the conditions say was found with what a probe rests on now.
    same: bool,
    /// The class of the failure that was told now, where one was.
    class: Option<Class>,
}

impl Judge<'_> {
    /// A right answer came in time.
    fn passed(&mut self, outcome: &Outcome) {
        self.status.consecutive_failures = None;
        self.concluded();
        self.conditions.holds(c::ROUND_TRIP_HEALTHY, &outcome.told);
        self.conditions.drop(c::DEGRADED);
        let slow = self.seen.spec.slow_after.as_ref().zip(outcome.took).filter(|(slow, took)| *took > slow.get());
        if let Some((slow, took)) = slow {
            let told = Diagnosis::new(Reason::SlowReply).fact("took", duration(took)).fact("slowAfter", slow.to_string());
            self.conditions.tell(c::DEGRADED, Truth::True, &told);
        }
        match &outcome.rewritten_from {
            Some(found) => {
                let from = self.seen.observed.as_ref().map(|observed| observed.from.clone()).unwrap_or_default();
                let told = Diagnosis::new(Reason::FromRewritten).fact("from", from).fact("found", found.as_str());
                self.conditions.tell(c::FROM_REWRITTEN, Truth::True, &told);
            }
            None => self.conditions.drop(c::FROM_REWRITTEN),
        }
    }

    /// A probe failed. Below the threshold a round trip that worked is still held to, degraded.
    fn failed(&mut self, outcome: &Outcome) {
        let before = u32::try_from(self.status.consecutive_failures.unwrap_or(0)).unwrap_or(0);
        let failures = if self.same { before.saturating_add(1) } else { 1 };
        self.status.consecutive_failures = i32::try_from(failures).ok();
        let below = failures < self.seen.spec.failure_threshold();
        let stays = self.same && below && self.conditions.is(c::ROUND_TRIP_HEALTHY, Truth::True);
        self.concluded();
        let (kind, truth) = if stays { (c::DEGRADED, Truth::True) } else { (c::ROUND_TRIP_HEALTHY, Truth::False) };
        if !stays {
            self.conditions.drop(c::DEGRADED);
        }
        self.conditions.set(kind, truth, outcome.reason.as_str(), &outcome.told);
        self.class = Some(outcome.class);
    }

    fn concluded(&mut self) {
        if let Ok(observed) = &self.seen.observed {
            self.status.inputs_judged = Some(observed.inputs.clone());
            self.same = true;
        }
    }

    /// An attempt failed, and the probe is tried again: no verdict yet, and worth a word now.
    fn trouble(&mut self, failure: &Diagnosis) {
        let failure = with_facts(self.seen, failure.clone());
        match self.conditions.get(c::ROUND_TRIP_HEALTHY).filter(|_| self.same).map(|known| known.status.as_str()) {
            Some("True") => self.conditions.tell(c::DEGRADED, Truth::True, &failure),
            Some("False") => {}
            _ => self.conditions.tell(c::ROUND_TRIP_HEALTHY, Truth::Unknown, &failure),
        }
    }

    /// Our own limits kept a probe from being sent.
    fn left_open(&mut self, failure: &Diagnosis) -> Option<Timestamp> {
        if matches!(failure.reason, Reason::Paused | Reason::Suspended | Reason::Maintenance) {
            return Some(self.seen.object.now);
        }
        self.trouble(failure);
        failure.get("next").and_then(|next| next.parse().ok())
    }

    /// Nothing was found: what is refused or held makes itself felt, everything else stands.
    fn rest(&mut self, what: &What) {
        match what {
            What::Refuse(refusal) if unresolves(refusal) => {
                self.conditions.drop(c::DEGRADED);
                self.conditions.tell(c::ROUND_TRIP_HEALTHY, Truth::False, refusal);
                self.class = Some(refusal.class);
            }
            What::Rest(Because::Held(_)) if !self.same => {
                let held = self.credential_held();
                self.conditions.tell(c::ROUND_TRIP_HEALTHY, Truth::Unknown, &held);
            }
            What::Rest(Because::Waits(waits)) if !self.same => {
                self.conditions.tell(c::ROUND_TRIP_HEALTHY, Truth::Unknown, waits);
            }
            _ => {}
        }
    }

    /// Whether a generation waits to be judged.
    fn is_pending(&self, what: &What, judged_now: bool) -> bool {
        let waits = match what {
            What::Probe(_) | What::Settle(_) | What::Note(_) => true,
            What::Rest(because) => {
                matches!(because, Because::Running | Because::Outdated | Because::NotDue | Because::AwaitsAnswer)
            }
            What::Refuse(refusal) => refusal.class == Class::Transient,
        };
        let judged = self.conditions.get(c::ROUND_TRIP_HEALTHY).is_some_and(|healthy| {
            let open = healthy.status == "Unknown";
            healthy.observed_generation == Some(self.seen.object.generation) && (!open || judged_now)
        });
        waits && !judged
    }

    /// `RoundTripHealthy` where nobody has judged yet.
    fn never(&mut self, what: &What, halted: bool) {
        let waits = [Reason::NeverVerified, Reason::AwaitingReply, Reason::DependencyNotReady, Reason::CredentialHeld];
        let known = self.conditions.get(c::ROUND_TRIP_HEALTHY).is_some_and(|healthy| match healthy.status.as_str() {
            "Unknown" => {
                let still = matches!(what, What::Rest(Because::Waits(_) | Because::Held(_)));
                still || !waits.iter().any(|reason| reason.as_str() == healthy.reason)
            }
            // A missing reference that is there again says nothing any more.
            "False" => halted || self.status.inputs_judged.is_some() || super::decide::refusal(self.seen).is_some(),
            _ => true,
        });
        if known {
            return;
        }
        let under_way = self.status.in_flight.is_some() || matches!(what, What::Probe(_) | What::Rest(Because::Running));
        let diagnosis = if under_way && !halted {
            Diagnosis::new(Reason::AwaitingReply)
        } else {
            let next = trigger(self.seen).err().filter(|_| matches!(what, What::Rest(Because::NotDue)));
            Diagnosis::new(Reason::NeverVerified).fact("next", next.map(told_time).unwrap_or_default())
        };
        self.conditions.tell(c::ROUND_TRIP_HEALTHY, Truth::Unknown, &diagnosis);
    }

    fn held(&mut self) {
        if self.seen.hold().is_some() {
            let held = self.credential_held();
            self.conditions.tell(c::CREDENTIAL_HELD, Truth::True, &held);
        } else {
            self.conditions.drop(c::CREDENTIAL_HELD);
        }
    }

    /// The summary, and kstatus's two conditions.
    fn ready(&mut self, plan: &Plan, pending: bool, before: Option<(String, String)>) {
        let refused = super::decide::refusal(self.seen).filter(|refused| refused.class != Class::Transient);
        if let Some(diagnosis) = refused {
            self.conditions.tell(c::READY, Truth::False, &diagnosis);
            self.class = Some(diagnosis.class);
        } else if let What::Rest(Because::Waits(waits)) = &plan.what {
            self.conditions.tell(c::READY, Truth::Unknown, waits);
        } else if self.seen.hold().is_some() && !self.conditions.is(c::ROUND_TRIP_HEALTHY, Truth::False) {
            let held = self.credential_held();
            self.conditions.tell(c::READY, Truth::False, &held);
            self.class = Some(held.class);
        } else {
            self.conditions.mirror(c::READY, c::ROUND_TRIP_HEALTHY);
        }
        self.conditions.kstatus(before, self.class, pending);
    }

    /// Why the credentials are not tried. Its times stand in the status and do not move while the hold lasts.
    fn credential_held(&self) -> Diagnosis {
        let user = self.seen.observed.as_ref().ok().and_then(|observed| Some(observed.accounts.first()?.user.clone()));
        with_facts(self.seen, Diagnosis::new(Reason::CredentialHeld).fact("user", user.unwrap_or_default()))
    }
}
