//! What is to be done with a `MailServer` now, and when to look again. Pure: the clock, the cluster and the network are
//! all in [`Seen`]. Next: `status`.

use jiff::Timestamp;

use super::{Mode, Seen};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{Claim, Level, State, condition::DELIVERY_TESTED},
    },
    mail::Diagnosis,
    verify::{
        agenda::Agenda,
        breaker::Hold,
        halt::Halt,
        schedule::{back_off, begun, due_after, later},
    },
};

/// What is to be done, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is to be done now.
    pub what: What,
    /// When to decide again, if nothing happens before; none: only a change brings something new.
    pub next: Option<Timestamp>,
    /// Whether the object is at work.
    pub state: State,
}

/// What is to be done now.
///
/// A check that is running goes on only under `Rest(Because::Running)`; under anything else it is to be cancelled.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Nothing can be checked: the spec or its references do not allow it.
    Refuse(Diagnosis),
    /// Nothing is to be done.
    Rest(Because),
    /// A claim was found that nobody settles: its mail may have gone, and is not sent again (promise 2).
    Settle(Claim),
    /// A check is to be run.
    Check(Check),
}

/// Why nothing is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// No check is due.
    NotDue,
    /// A check is running.
    Running,
    /// Suspended, paused or in maintenance: nothing goes out. The diagnosis says which.
    Halted(Diagnosis),
    /// The credentials were refused and are not tried now (promise 8).
    Held(Hold),
    /// The object is being deleted.
    Deleted,
}

/// One check: what it is for and how far it goes. It is kept while the check runs, and goes to `status` with the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its id, which logs, status.lastCheck and the claim carry.
    pub id: String,
    /// When it was decided on.
    pub started: Timestamp,
    /// Why it runs.
    pub trigger: Trigger,
    /// How far it goes: never further than the spec says, and without a mail where none is due (promise 3).
    pub level: Level,
    /// 1, and one more for each failed check in a row before it.
    pub attempt: i32,
    /// Whether a server that does not greet may be tried with a TLS hello (promise 12: once per generation).
    pub may_greet_with_tls: bool,
    /// The generation that it judges.
    pub generation: i64,
    /// [`super::Observed::inputs`] that it judges.
    pub inputs: String,
    /// [`super::Observed::credentials`] that it uses.
    pub credentials: Option<String>,
    /// The value of the verify request that it answers.
    pub request: Option<String>,
}

/// Why a check runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The object was never checked.
    First,
    /// The spec, a Secret or a CA bundle changed.
    Changed,
    /// The annotation `mailverity.dev/verify-requested-at` has a new value.
    Requested,
    /// The schedule, or the end of a back-off or a hold.
    Due,
}

/// What is to be done now.
///
/// A verify request is answered by a check only: while the object is halted, held or refused it stays open, and the
/// first check after that answers it.
#[must_use]
pub fn decide(seen: &Seen<'_>) -> Plan {
    if seen.object.deleted {
        return Plan { what: What::Rest(Because::Deleted), next: None, state: State::Active };
    }
    let plan = unless_new(seen);
    if seen.object.is_new_in_a_crowd() && plan.what != What::Rest(Because::NotDue) && trigger(seen).is_err() {
        return Plan { what: What::Rest(Because::NotDue), next: Some(seen.object.now), ..plan };
    }
    plan
}

/// What is to be done with an object that is there to stay.
fn unless_new(seen: &Seen<'_>) -> Plan {
    if let Some(Halt { diagnosis, until, state }) = seen.object.brakes().halt() {
        return Plan { what: What::Rest(Because::Halted(diagnosis)), next: until, state };
    }
    let (what, next) = match refusal(seen) {
        Some(diagnosis) => {
            // A reference that could not be read is read again, as nobody tells of a right that was granted; one that is
            // missing makes itself known when it comes.
            let again = later(seen.object.now, back_off(1, seen.object.uid, seen.spec.interval().get()));
            let unread = diagnosis.class == Class::Transient || diagnosis.reason == Reason::RefUnreadable;
            let next = unread.then_some(again);
            (What::Refuse(diagnosis), next)
        }
        None => at_work(seen),
    };
    let next = [next, seen.object.brakes().window_start(), expiry_warning(seen)].into_iter().flatten().min();
    Plan { what, next, state: State::Active }
}

/// Why nothing can be checked: the spec as a whole, or what it names.
pub(super) fn refusal(seen: &Seen<'_>) -> Option<Diagnosis> {
    unacceptable(seen).or_else(|| seen.observed.as_ref().err().cloned())
}

/// What makes no sense in the spec or its annotations, whatever the cluster holds.
pub(super) fn unacceptable(seen: &Seen<'_>) -> Option<Diagnosis> {
    seen.object.brakes().unacceptable()
}

/// When the certificate that was seen, or the credential, begins to be warned of, if that is still to come: no check is needed to tell it.
fn expiry_warning(seen: &Seen<'_>) -> Option<Timestamp> {
    let warning = super::status::expiry_warning(seen.spec);
    let certificate = || {
        let not_after: Timestamp = seen.status?.tls.as_ref()?.not_after.as_deref()?.parse().ok()?;
        not_after.checked_sub(warning).ok()
    };
    let credential = seen.observed.as_ref().ok().and_then(|observed| observed.credential_ends.as_ref());
    let all = [certificate(), credential.map(|ends| ends.warned_from(warning))];
    all.into_iter().flatten().filter(|from| *from > seen.object.now).min()
}

/// What is to be done with an object that nothing halts and whose spec and references are fine.
fn at_work(seen: &Seen<'_>) -> (What, Option<Timestamp>) {
    if seen.running.is_some() {
        return (What::Rest(Because::Running), None);
    }
    let due = trigger(seen);
    if let Some(claim) = seen.unsettled().filter(|_| !matches!(due, Ok(trigger) if trigger != Trigger::Due)) {
        return (What::Settle(claim.clone()), Some(seen.object.now));
    }
    if let Some(hold) = seen.hold() {
        return (What::Rest(Because::Held(hold.clone())), Some(hold.until));
    }
    match due {
        Ok(trigger) => (What::Check(check(seen, trigger)), None),
        Err(due) => (What::Rest(Because::NotDue), Some(due)),
    }
}

/// What makes a check due now, or else when one will be.
pub(super) fn trigger(seen: &Seen<'_>) -> Result<Trigger, Timestamp> {
    let status = seen.status;
    let checked = status.is_some_and(|status| status.inputs_observed.is_some() || status.last_check.is_some());
    if checked && !seen.is_unchanged() {
        return Ok(Trigger::Changed);
    }
    // A request that came with a restored object was answered in its former life.
    if seen.object.request().is_some() && !seen.object.is_fresh() {
        return Ok(Trigger::Requested);
    }
    let due = agenda(seen, checked).due();
    if due > seen.object.now && !(checked && seen.is_anybody_back()) {
        return Err(due);
    }
    Ok(if checked { Trigger::Due } else { Trigger::First })
}

fn agenda<'a>(seen: &Seen<'a>, checked: bool) -> Agenda<'a> {
    let status = seen.status;
    Agenda {
        uid: seen.object.uid,
        interval: seen.spec.interval().get(),
        fresh: seen.object.is_fresh(),
        spread: seen.object.crowded && seen.spec.level() == Level::Deliver && seen.object.mode == Mode::Enforce,
        checked,
        planned: status.and_then(|status| status.next_check_time.as_ref()).map(|planned| planned.0),
        current: status.and_then(|status| status.observed_generation) == Some(seen.object.generation),
        was_held: status.is_some_and(|status| status.credential_held_until.is_some()) && seen.hold().is_none(),
        was_halted: seen.object.was_halted(),
        failed: status.and_then(|status| status.consecutive_failures).unwrap_or(0) > 0,
        created: seen.object.created,
        since: seen.object.since,
        now: seen.object.now,
    }
}

fn check(seen: &Seen<'_>, trigger: Trigger) -> Check {
    let sends = seen.object.mode == Mode::Enforce && (trigger != Trigger::Due || is_mail_due(seen));
    let level = if sends { seen.spec.level() } else { seen.spec.level().min(Level::Authenticate) };
    let failures = seen.status.and_then(|status| status.consecutive_failures).unwrap_or(0);
    Check {
        id: begun(seen.object.uid, seen.object.generation, seen.object.now),
        started: seen.object.now,
        trigger,
        level,
        attempt: if trigger == Trigger::Due { failures.saturating_add(1).clamp(1, 1000) } else { 1 },
        may_greet_with_tls: seen.status.and_then(|status| status.tls_hello_generation) != Some(seen.object.generation),
        generation: seen.object.generation,
        inputs: seen.observed.as_ref().map(|observed| observed.inputs.clone()).unwrap_or_default(),
        credentials: seen.observed.as_ref().ok().and_then(|observed| observed.credentials().map(str::to_owned)),
        request: seen.object.request(),
    }
}

/// Whether the schedule lets a mail go: none has left since the last due time (promise 3), or one is owed since a change
/// or a request that our own limits or a failure before it kept from being tested.
fn is_mail_due(seen: &Seen<'_>) -> bool {
    let Some(status) = seen.status else { return true };
    let Some(claim) = &status.claim else { return true };
    let owed = status.conditions.iter().any(|c| c.type_ == DELIVERY_TESTED && c.status == "Unknown");
    owed || due_after(claim.started_at.0, seen.object.uid, seen.spec.interval().get()) <= seen.object.now
}

#[cfg(test)]
mod tests;
