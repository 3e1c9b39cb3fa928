//! What is to be done with an `EmailProfile` now, and when to look again. Pure: the clock, the cluster and the network are
//! all in [`Seen`]. What each actor has to do is in `errands`. Next: `status`.

mod errands;

use jiff::Timestamp;

use super::Seen;
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{ActorClaim, EmailProfileStatus, ProfileActorState as Stand, State, VerificationStatus},
    },
    mail::Diagnosis,
    verify::{
        Chosen,
        agenda::Agenda,
        breaker::Hold,
        halt::Mode,
        schedule::{back_off, begun, due_after, later},
    },
};
pub(super) use errands::class_of;
use errands::{awaited_until, errands};

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

/// What is to be done now. A run that is under way goes on only under `Rest(Because::Running)`; under anything else it is to
/// be cancelled, and what follows takes up what it has begun.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Nothing can be sent or looked at: the spec or its references do not allow it.
    Refuse(Diagnosis),
    /// Nothing is to be done.
    Rest(Because),
    /// A run begins, or goes on.
    Run(Run),
}

/// Why nothing is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// No run is due.
    NotDue,
    /// A run is under way.
    Running,
    /// Suspended, paused or in maintenance: nothing goes out. The diagnosis says which.
    Halted(Diagnosis),
    /// The credentials were refused and are not tried now (promise 8).
    Held(Hold),
    /// A `MailServer` that it names does not work: one alert for one cause.
    Waits(Diagnosis),
    /// The object is being deleted.
    Deleted,
}

/// A run, or what is left of it: who has to find a mail, and who is sent one.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id, from which the codes are made, and which logs, status.verification, claims and the mails' header carry.
    pub id: String,
    /// The id of this part of it: what is left of a run is another part.
    pub part: String,
    /// When it began, perhaps in another process.
    pub begun: Timestamp,
    /// When this part of it was decided on.
    pub started: Timestamp,
    /// Why it runs.
    pub trigger: Trigger,
    /// What each actor that is not done has to do.
    pub errands: Vec<Errand>,
    /// Whether the login to the outgoing server is to be proved.
    pub outgoing: bool,
    /// Mode Manual alone: the subject of the mail that a person is asked for.
    pub subject: Option<String>,
    /// What the mailbox held before the run's first mail, where that is known.
    pub mark: Option<String>,
    /// The generation that it judges.
    pub generation: i64,
    /// [`super::Observed::inputs`] that it judges.
    pub inputs: String,
    /// [`super::Observed::credentials`] that it uses.
    pub credentials: Option<String>,
    /// The value of the verify request that it answers.
    pub request: Option<String>,
}

/// What one actor has to do in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// The actor's name.
    pub actor: String,
    /// How it begins.
    pub begin: Begin,
    /// 1, and one more for each try of this actor in this run before it.
    pub attempt: i32,
}

/// How an actor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Its mail is sent once it has opened the mailbox.
    Send,
    /// Its mail was sent, or is sent by a person: it is looked for until then.
    Look {
        /// When its time is over.
        until: Timestamp,
        /// Where it is taken up from another process, or behind a halt: until when looks that fail are tried again, as long as none
        /// was of use. A mail that nobody could look for is not missing.
        tries_until: Option<Timestamp>,
    },
    /// No mail is due: the mailbox is opened and left.
    Visit,
}

impl Begin {
    /// A search that nobody began before: it looks until its time is over.
    #[must_use]
    pub fn look(until: Timestamp) -> Self {
        Self::Look { until, tries_until: None }
    }
}

/// Why a run runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// There was none before.
    First,
    /// The spec, a Secret, a CA bundle or the sender changed.
    Changed,
    /// The annotation `mailverity.dev/verify-requested-at` has a new value.
    Requested,
    /// The schedule.
    Due,
    /// What is left of a run: mails that are looked for, or a try that failed before its mail was sent.
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
    let brakes = seen.object.brakes();
    if let Some(halt) = brakes.halt() {
        return Plan { what: What::Rest(Because::Halted(halt.diagnosis)), next: halt.until, state: halt.state };
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
    let next = [next, brakes.window_start(), super::status::expiry_warning(seen)].into_iter().flatten().min();
    Plan { what, next, state: State::Active }
}

/// Why nothing can be sent or looked at.
pub(super) fn refusal(seen: &Seen<'_>) -> Option<Diagnosis> {
    seen.object.brakes().unacceptable().or_else(|| seen.observed.as_ref().err().cloned())
}

/// What is to be done with an object that nothing halts and whose spec and references are fine.
fn at_work(seen: &Seen<'_>) -> (What, Option<Timestamp>) {
    if let Some(run) = &seen.running {
        let same = seen.observed.as_ref().is_ok_and(|observed| observed.inputs == run.inputs);
        let answers = seen.object.request().is_none_or(|request| run.request.as_ref() == Some(&request));
        if same && answers && run.generation == seen.object.generation {
            return (What::Rest(Because::Running), None);
        }
    }
    if let Some(waits) = seen.observed.as_ref().ok().and_then(|observed| observed.waits.clone()) {
        return (What::Rest(Because::Waits(waits)), None);
    }
    if let Some(hold) = seen.hold() {
        return (What::Rest(Because::Held(hold.clone())), Some(hold.until));
    }
    match trigger(seen) {
        Ok(trigger) => (What::Run(run(seen, trigger)), None),
        Err(due) => (What::Rest(Because::NotDue), Some(due)),
    }
}

/// What makes a run due now, or else when one will be.
pub(super) fn trigger(seen: &Seen<'_>) -> Result<Trigger, Timestamp> {
    let status = seen.status;
    let checked = status.is_some_and(|status| status.inputs_observed.is_some());
    if checked && !seen.is_unchanged() {
        return Ok(Trigger::Changed);
    }
    // A request that came with a restored object was answered in its former life.
    if seen.object.request().is_some() && !seen.object.is_fresh() {
        return Ok(Trigger::Requested);
    }
    // What a missing reference interrupted is run anew when it is back: nobody knows what else has changed.
    let awaited = |status| seen.actors().iter().any(|actor| awaited_until(seen, status, &actor.name).is_some());
    if checked && status.is_some_and(awaited) {
        return Ok(Trigger::GoesOn);
    }
    let due = agenda(seen, checked).due();
    if due > seen.object.now && !(checked && seen.actors().iter().any(|actor| is_back(seen, actor))) {
        return Err(due);
    }
    let Some(verification) = status.and_then(|status| status.verification.as_ref()).filter(|_| checked) else {
        return Ok(Trigger::First);
    };
    let begun = verification.started_at.as_ref().map(|begun| begun.0);
    let slot = begun.zip(status).map(|(begun, status)| slot_after(seen, status, &verification.run_id, begun));
    match slot.filter(|slot| *slot > seen.object.now) {
        None => Ok(Trigger::Due),
        Some(_) if is_unfinished(seen, verification) => Ok(Trigger::GoesOn),
        Some(slot) => Err(slot),
    }
}

/// When the schedule begins the run after one that began then. A mail that left late, as it had to be tried again, counts like
/// one that left at the beginning: the next one is half an interval away at least (promise 3).
pub(super) fn slot_after(seen: &Seen<'_>, status: &EmailProfileStatus, run: &str, begun: Timestamp) -> Timestamp {
    let claims = status.claims.iter().filter(|claim| claim.id == run).map(|claim| claim.started_at.0);
    due_after(claims.fold(begun, Timestamp::max), seen.object.uid, seen.spec.interval().get())
}

/// The same, or the one that is next where that has passed.
pub(super) fn slot_ahead(seen: &Seen<'_>, status: &EmailProfileStatus, run: &str, begun: Timestamp) -> Timestamp {
    let (slot, now) = (slot_after(seen, status, run, begun), seen.object.now);
    if slot > now { slot } else { due_after(now, seen.object.uid, seen.spec.interval().get()) }
}

/// Whether something of a run is left to be tried again.
pub(super) fn is_unfinished(seen: &Seen<'_>, run: &VerificationStatus) -> bool {
    !errands(seen, Trigger::GoesOn, Some(run)).is_empty() || is_outgoing_open(seen)
}

/// Whether the login to the outgoing server is still to be proved in the run that is told of.
fn is_outgoing_open(seen: &Seen<'_>) -> bool {
    let asked = seen.observed.as_ref().is_ok_and(|observed| observed.outgoing.is_some());
    asked && seen.status.and_then(|s| s.outgoing.as_ref()).is_none_or(|outgoing| outgoing.state != Stand::Verified)
}

/// Whether an actor that has not been asked in this run, or could not be, can be asked now.
fn is_back(seen: &Seen<'_>, chosen: &Chosen) -> bool {
    let Some(told) = seen.actor(&chosen.name) else { return true };
    let was_away =
        [Reason::ActorOffline, Reason::ActorSuspended].iter().any(|away| told.reason.as_deref() == Some(away.as_str()));
    let asked = seen.status.is_some_and(|status| claim_of(status, &chosen.name).is_some());
    chosen.away.is_none() && was_away && !asked
}

fn agenda<'a>(seen: &Seen<'a>, checked: bool) -> Agenda<'a> {
    let status = seen.status;
    Agenda {
        uid: seen.object.uid,
        interval: seen.spec.interval().get(),
        fresh: seen.object.is_fresh(),
        spread: seen.object.crowded && !seen.is_manual() && seen.object.mode == Mode::Enforce,
        checked,
        planned: status.and_then(|status| status.next_run_time.as_ref()).map(|planned| planned.0),
        current: status.and_then(|status| status.observed_generation) == Some(seen.object.generation),
        was_held: status.is_some_and(|status| status.credential_held_until.is_some()) && seen.hold().is_none(),
        was_halted: seen.object.was_halted(),
        failed: status.and_then(|status| status.consecutive_failures).unwrap_or(0) > 0,
        created: seen.object.created,
        since: seen.object.since,
        now: seen.object.now,
    }
}

/// The claim that an actor's mail was sent under in this run.
pub(super) fn claim_of<'a>(status: &'a EmailProfileStatus, actor: &str) -> Option<&'a ActorClaim> {
    let run = &status.verification.as_ref()?.run_id;
    status.claims.iter().find(|claim| claim.actor == actor && claim.id == *run)
}

fn run(seen: &Seen<'_>, trigger: Trigger) -> Run {
    let status = seen.status;
    let last = status.and_then(|status| status.verification.as_ref());
    let goes_on = last.filter(|last| trigger == Trigger::GoesOn || keeps_code(seen, last, trigger));
    let (id, since) = match goes_on {
        Some(last) => (last.run_id.clone(), last.started_at.as_ref().map_or(seen.object.now, |time| time.0)),
        None => (begun(seen.object.uid, seen.object.generation, seen.object.now), seen.object.now),
    };
    let observed = seen.observed.as_ref().ok();
    Run {
        id,
        part: begun(seen.object.uid, seen.object.generation, seen.object.now),
        begun: since,
        started: seen.object.now,
        trigger,
        errands: errands(seen, trigger, goes_on),
        outgoing: if trigger == Trigger::GoesOn {
            is_outgoing_open(seen)
        } else {
            observed.is_some_and(|o| o.outgoing.is_some())
        },
        subject: None,
        mark: goes_on.and_then(|last| last.mailbox_mark.clone()),
        generation: seen.object.generation,
        inputs: observed.map(|observed| observed.inputs.clone()).unwrap_or_default(),
        credentials: observed.and_then(|observed| observed.credentials().map(str::to_owned)),
        request: seen.object.request(),
    }
}

/// Whether the code that a person was shown is still the one that counts: it stays good until it was found, or until what it
/// proves has changed.
fn keeps_code(seen: &Seen<'_>, last: &VerificationStatus, trigger: Trigger) -> bool {
    let all_found = || seen.actors().iter().all(|actor| seen.actor(&actor.name).is_some_and(|told| told.received_time.is_some()));
    let keeps = match trigger {
        Trigger::First | Trigger::Changed => false,
        Trigger::Requested => !all_found(),
        Trigger::Due | Trigger::GoesOn => true,
    };
    seen.is_manual() && last.subject.is_some() && keeps
}

#[cfg(test)]
mod tests;
