//! What each actor has to do in a run that is not done.

use jiff::Timestamp;

use super::{Begin, Errand, Seen, Trigger, claim_of, slot_ahead};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{EmailProfileStatus, ProfileActorState as Stand, ProfileActorStatus, VerificationStatus},
    },
    verify::{
        Chosen,
        halt::Mode,
        schedule::{later, tries_until},
    },
};

/// Until when an actor's mail is looked for, if it is.
pub(super) fn awaited_until(seen: &Seen<'_>, status: &EmailProfileStatus, actor: &str) -> Option<Timestamp> {
    let told = status.actors.iter().find(|told| told.name == actor)?;
    let verification = status.verification.as_ref().filter(|_| told.state == Stand::AwaitingMessage)?;
    if seen.is_manual() {
        return verification.deadline.as_ref().map(|deadline| deadline.0);
    }
    let claim = claim_of(status, actor)?;
    // Counted from the moment that the server took the mail, where that was told.
    let from = told.sent_time.as_ref().map_or(claim.started_at.0, |sent| sent.0.max(claim.started_at.0));
    Some(later(from, seen.spec.timeout().get()))
}

/// What each actor has to do that is not done.
pub(super) fn errands(seen: &Seen<'_>, trigger: Trigger, goes_on: Option<&VerificationStatus>) -> Vec<Errand> {
    let mut errands: Vec<Errand> = seen.actors().iter().filter_map(|actor| errand(seen, actor, trigger, goes_on)).collect();
    // Whoever needs the user is not tried along with those that time may cure.
    let needs_user = |errand: &Errand| {
        let reason =
            seen.actor(&errand.actor).filter(|told| told.state == Stand::Unverified).and_then(|told| told.reason.as_ref());
        !matches!(errand.begin, Begin::Look { .. }) && reason.is_some_and(|reason| class_of(reason) == Class::User)
    };
    if trigger == Trigger::GoesOn && !errands.iter().all(needs_user) {
        errands.retain(|errand| !needs_user(errand));
    }
    errands
}

/// Who can help with a reason that a status tells.
pub(in crate::verify::email_profile) fn class_of(reason: &str) -> Class {
    Reason::ALL.iter().find(|known| known.as_str() == reason).map_or(Class::Transient, |known| known.class())
}

/// What an actor has to do; nothing where it is done.
fn errand(seen: &Seen<'_>, chosen: &Chosen, trigger: Trigger, goes_on: Option<&VerificationStatus>) -> Option<Errand> {
    let actor = chosen.name.as_str();
    let told = seen.actor(actor).filter(|_| goes_on.is_some());
    // It is tried again when it is back: until then nothing is new.
    if chosen.away.as_ref().is_some_and(|away| told.is_some_and(|told| told.reason.as_deref() == Some(away.reason.as_str()))) {
        return None;
    }
    let tried = told.and_then(|told| told.attempt).unwrap_or(0);
    let next = if trigger == Trigger::GoesOn { tried.saturating_add(1) } else { 1 };
    let status = seen.status.filter(|_| goes_on.is_some());
    let (begin, attempt) = match status.and_then(|status| awaited_until(seen, status, actor)) {
        // A mail that is there is looked for in mode Observe too: that sends nothing.
        Some(until) if trigger == Trigger::GoesOn => (taken_up(seen, until), tried),
        _ if seen.is_manual() => (by_hand(seen, told, trigger, goes_on)?, next),
        // A mail that left is not sent again in its run (promise 3), whatever became of it.
        _ if status.is_some_and(|status| claim_of(status, actor).is_some()) => return None,
        _ if seen.object.mode == Mode::Observe => (Begin::Visit, next),
        _ => (Begin::Send, next),
    };
    Some(Errand { actor: actor.to_owned(), begin, attempt: attempt.clamp(1, 1000) })
}

/// A search that another process began, or that was interrupted.
fn taken_up(seen: &Seen<'_>, until: Timestamp) -> Begin {
    let run = seen.status.and_then(|status| Some((status, status.verification.as_ref()?)));
    let begun = |run: &VerificationStatus| run.started_at.as_ref().map_or(seen.object.now, |begun| begun.0);
    let slot = run.map_or(Timestamp::MAX, |(status, run)| slot_ahead(seen, status, &run.run_id, begun(run)));
    Begin::Look { until, tries_until: Some(tries_until(seen.object.now, seen.spec.timeout().get(), slot)) }
}

/// What an actor has to do where a person sends the mail. Nobody is asked for one each day: what a person proved once is kept
/// up by the login alone.
fn by_hand(
    seen: &Seen<'_>,
    told: Option<&ProfileActorStatus>,
    trigger: Trigger,
    goes_on: Option<&VerificationStatus>,
) -> Option<Begin> {
    let found = told.is_some_and(|told| told.received_time.is_some());
    let deadline = goes_on.and_then(|last| last.deadline.as_ref()).map(|deadline| deadline.0);
    match trigger {
        Trigger::First | Trigger::Changed => Some(Begin::look(later(seen.object.now, seen.spec.timeout().get()))),
        Trigger::Requested if !found => Some(Begin::look(later(seen.object.now, seen.spec.timeout().get()))),
        Trigger::Requested => None,
        Trigger::GoesOn if told.is_some_and(|told| told.state == Stand::Verified) => None,
        // The mailbox failed before the time was over: the mail may be on its way.
        Trigger::Due | Trigger::GoesOn => match deadline.filter(|deadline| !found && *deadline > seen.object.now) {
            Some(until) => Some(Begin::look(until)),
            None => Some(Begin::Visit),
        },
    }
}
