//! What is to be done with a `RoundTripPolicy` now, and when to look again. Pure: the clock, the cluster and the network are all
//! in [`Seen`]. One probe is in flight at most: it is settled before the next is begun. Next: `status`.

use std::time::Duration;

use jiff::Timestamp;

use super::{Seen, settle::Outcome};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{InFlight, ProbeNote, State},
    },
    mail::Diagnosis,
    verify::{
        agenda::Agenda,
        breaker::Hold,
        halt::{Halt, Mode},
        schedule::{back_off, begun, later, next_slot, tries_until},
    },
};

/// How long after a probe's time is over what a receiver took in time may still be on its way to us.
const GRACE: Duration = Duration::from_secs(2);

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
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Nothing can be sent: the spec or its references do not allow it.
    Refuse(Diagnosis),
    /// Nothing is to be done.
    Rest(Because),
    /// A mail that came, or the time, settles the probe in flight.
    Settle(Outcome),
    /// Something came that does not settle the probe in flight, and is worth remembering.
    Note(ProbeNote),
    /// A probe is to be sent, or the answer to one looked for.
    Probe(Probe),
}

/// Why nothing is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// No probe is due.
    NotDue,
    /// A probe is being sent, or its answer is looked for.
    Running,
    /// What is under way is not what is asked for any more.
    Outdated,
    /// The answer to the probe in flight is waited for.
    AwaitsAnswer,
    /// Suspended, paused or in maintenance: nothing goes out. The diagnosis says which.
    Halted(Diagnosis),
    /// The credentials were refused and are not tried now (promise 8).
    Held(Hold),
    /// Something that the spec names does not work.
    Waits(Diagnosis),
    /// The object is being deleted.
    Deleted,
}

/// One probe, as this process takes it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Another each time that the probe is taken up.
    pub part: String,
    /// The probe's id; none for a new one, which gets its own.
    pub id: Option<String>,
    /// What is to be done.
    pub begin: Begin,
    /// When it was decided on.
    pub started: Timestamp,
    /// Why.
    pub trigger: Trigger,
    /// 1 for the first; one more for each attempt that ended before its final dot.
    pub attempt: i32,
    /// When it is given up if no server takes it; none for a first attempt, which has the whole timeout.
    pub until: Option<Timestamp>,
    /// The generation that it judges.
    pub generation: i64,
    /// [`super::Observed::inputs`] that it judges.
    pub inputs: String,
    /// [`super::Observed::credentials`] that it uses.
    pub credentials: Option<String>,
    /// The value of the verify request that it answers.
    pub request: Option<String>,
}

/// What is to be done with a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Its mail is to be sent.
    Send,
    /// Its mail was sent, or may have been: the mailbox is to be looked at for the answer.
    Look {
        /// How long a mailbox that nobody could look into is tried again behind the probe's time: an answer that nobody could look
        /// for is not missing.
        tries_until: Timestamp,
    },
}

/// Why a probe is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// None was ever sent.
    First,
    /// The spec, the server or a Secret changed.
    Changed,
    /// The annotation `mailverity.dev/verify-requested-at` has a new value.
    Requested,
    /// The schedule.
    Due,
    /// It is the same probe as before.
    GoesOn,
}

/// What is to be done now.
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
    let halt = seen.object.brakes().halt();
    if let Some(probe) = seen.in_flight().filter(|_| seen.running.is_none()) {
        // What was sent is settled, whatever else is so: nothing goes out for it.
        let changed = !seen.is_unchanged() && seen.observed.is_ok();
        let over = later(probe.deadline.0, GRACE) <= seen.object.now;
        let outcome = match &halt {
            // What came is judged by what was asked for then.
            _ if changed => Some(Outcome::superseded()),
            Some(halt) => Outcome::of_what_came(seen, probe).or_else(|| Some(Outcome::interrupted(&halt.diagnosis))),
            // What it names may be gone since: its time is over all the same.
            None if over && seen.observed.is_err() => {
                Outcome::of_what_came(seen, probe).or_else(|| Some(Outcome::timed_out(seen, probe)))
            }
            None => Outcome::of_what_came(seen, probe),
        };
        if let Some(outcome) = outcome {
            return Plan { what: What::Settle(outcome), next: Some(seen.object.now), state: State::Active };
        }
    }
    if let Some(Halt { diagnosis, until, state }) = halt {
        return Plan { what: What::Rest(Because::Halted(diagnosis)), next: until, state };
    }
    let (what, next) = match (seen.running.is_some(), refusal(seen), seen.in_flight()) {
        (_, Some(diagnosis), _) => {
            // What could not be read is read again, as nobody tells of a right that was granted, nor of objects of other kinds.
            let again = later(seen.object.now, back_off(1, seen.object.uid, seen.spec.interval().get()));
            let unread =
                diagnosis.class == Class::Transient || [Reason::RefUnreadable, Reason::RefNotFound].contains(&diagnosis.reason);
            (What::Refuse(diagnosis), unread.then_some(again))
        }
        // It is told to end, and then settled.
        (true, None, _) if is_outdated(seen) => (What::Rest(Because::Outdated), None),
        (true, None, _) => (What::Rest(Because::Running), None),
        (false, None, Some(probe)) => under_way(seen, probe),
        (false, None, None) => at_work(seen),
    };
    let next = [next, seen.object.brakes().window_start()].into_iter().flatten().min();
    Plan { what, next, state: State::Active }
}

/// Whether the probe under way rests on something else than is asked for now.
fn is_outdated(seen: &Seen<'_>) -> bool {
    let inputs = seen.observed.as_ref().ok().map(|observed| observed.inputs.as_str());
    seen.running.as_ref().is_some_and(|running| inputs.is_some_and(|inputs| inputs != running.inputs))
}

/// Why nothing can be sent: the spec as a whole, or what it names.
pub(super) fn refusal(seen: &Seen<'_>) -> Option<Diagnosis> {
    seen.object.brakes().unacceptable().or_else(|| seen.observed.as_ref().err().cloned())
}

/// What is to be done with the probe in flight, which nothing that came has settled.
fn under_way(seen: &Seen<'_>, probe: &InFlight) -> (What, Option<Timestamp>) {
    if let Some(note) = Outcome::note_of_what_came(seen, probe) {
        return (What::Note(note), Some(seen.object.now));
    }
    let (deadline, reads) = (probe.deadline.0, seen.observed.as_ref().is_ok_and(|observed| observed.reads));
    if let Some(retry) = &probe.retry_at {
        return match (deadline <= seen.object.now, blocked(seen)) {
            (true, _) => (What::Settle(Outcome::timed_out(seen, probe)), Some(seen.object.now)),
            (false, Some((because, _))) => (What::Rest(because), Some(deadline)),
            (false, None) if retry.0 <= seen.object.now => (What::Probe(again(seen, probe, Begin::Send)), None),
            (false, None) => (What::Rest(Because::AwaitsAnswer), Some(retry.0.min(deadline))),
        };
    }
    if reads {
        return (What::Probe(again(seen, probe, taken_up(seen))), None);
    }
    let over = later(deadline, GRACE);
    if over <= seen.object.now {
        return (What::Settle(Outcome::timed_out(seen, probe)), Some(seen.object.now));
    }
    (What::Rest(Because::AwaitsAnswer), Some(over))
}

/// What keeps a mail from being sent, and until when.
fn blocked(seen: &Seen<'_>) -> Option<(Because, Option<Timestamp>)> {
    let waits = seen.observed.as_ref().ok().and_then(|observed| observed.waits.clone());
    if let Some(waits) = waits {
        return Some((Because::Waits(waits), None));
    }
    seen.hold().map(|hold| (Because::Held(hold.clone()), Some(hold.until)))
}

/// What is to be done with an object that nothing halts, whose references are fine and which has no probe in flight.
fn at_work(seen: &Seen<'_>) -> (What, Option<Timestamp>) {
    if let Some((because, until)) = blocked(seen) {
        return (What::Rest(because), until);
    }
    match trigger(seen) {
        Ok(trigger) => (What::Probe(probe(seen, trigger)), None),
        Err(due) => (What::Rest(Because::NotDue), Some(due)),
    }
}

/// What makes a probe due now, or else when one will be.
pub(super) fn trigger(seen: &Seen<'_>) -> Result<Trigger, Timestamp> {
    let checked = seen.status.is_some_and(|status| status.inputs_observed.is_some());
    if checked && !seen.is_unchanged() {
        return Ok(Trigger::Changed);
    }
    // A request that came with a restored object was answered in its former life.
    if seen.object.request().is_some() && !seen.object.is_fresh() {
        return Ok(Trigger::Requested);
    }
    let due = agenda(seen, checked).due();
    if due > seen.object.now {
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
        spread: seen.object.crowded && seen.object.mode == Mode::Enforce,
        checked,
        planned: status.and_then(|status| status.next_probe_time.as_ref()).map(|planned| planned.0),
        current: status.and_then(|status| status.observed_generation) == Some(seen.object.generation),
        was_held: status.is_some_and(|status| status.credential_held_until.is_some()) && seen.hold().is_none(),
        was_halted: seen.object.was_halted(),
        failed: false,
        created: seen.object.created,
        since: seen.object.since,
        now: seen.object.now,
    }
}

fn probe(seen: &Seen<'_>, trigger: Trigger) -> Probe {
    let observed = seen.observed.as_ref().ok();
    Probe {
        part: begun(seen.object.uid, seen.object.generation, seen.object.now),
        id: None,
        begin: Begin::Send,
        started: seen.object.now,
        trigger,
        attempt: 1,
        until: None,
        generation: seen.object.generation,
        inputs: observed.map(|observed| observed.inputs.clone()).unwrap_or_default(),
        credentials: observed.and_then(|observed| observed.credentials().map(str::to_owned)),
        request: seen.object.request(),
    }
}

/// The probe in flight, taken up once more.
fn again(seen: &Seen<'_>, in_flight: &InFlight, begin: Begin) -> Probe {
    let attempt = if begin == Begin::Send { in_flight.attempt.saturating_add(1).min(1000) } else { in_flight.attempt };
    Probe {
        id: Some(in_flight.id.clone()),
        begin,
        attempt,
        until: Some(in_flight.deadline.0),
        request: None,
        ..probe(seen, Trigger::GoesOn)
    }
}

/// A look for the answer to what another process sent, or what was interrupted.
fn taken_up(seen: &Seen<'_>) -> Begin {
    let (now, interval) = (seen.object.now, seen.spec.interval().get());
    let due = agenda(seen, true).due();
    let slot = if due > now { due } else { next_slot(now, seen.object.uid, interval) };
    Begin::Look { tries_until: tries_until(now, seen.spec.timeout().get(), slot) }
}

/// When the next probe is sent behind one that began at `started` and whose time is over at `deadline`: the first slot of the
/// schedule at which none is in flight.
pub(super) fn slot_after(seen: &Seen<'_>, started: Timestamp, deadline: Timestamp) -> Timestamp {
    let interval = seen.spec.interval().get();
    let free = later(deadline, GRACE);
    let slot = crate::verify::schedule::due_after(started, seen.object.uid, interval);
    if slot > free { slot } else { next_slot(free, seen.object.uid, interval) }
}

#[cfg(test)]
mod tests;
