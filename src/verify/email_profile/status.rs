//! The status that follows from what was seen, decided and found. Pure; whether it is written is for [`differs`] to say. What
//! the conditions say is in `judge`, what was found in `facts`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Because, Begin, Plan, Run, RunReport, Seen, Trigger, What,
    decide::slot_ahead,
    facts,
    judge::{self, Verdict},
};
use crate::{
    api::v1alpha1::{ActorClaim, EmailProfileStatus, VerificationStatus},
    mail::Diagnosis,
    verify::{
        conditions::{cut, unresolves},
        events::{self, Event},
        halt::{told_time, whole_seconds},
        report::LoginOutcome,
        schedule::{back_off, later},
    },
};

/// What the claims of a run are for.
const PURPOSE: &str = "Verification";

/// What is known now that was not known when the last status was written.
pub(super) enum News<'a> {
    /// Nothing.
    None,
    /// A run begins or goes on.
    Begun(&'a Run),
    /// A run has ended, or a part of it.
    Found(&'a Run, &'a RunReport),
}

/// The status to be told.
///
/// At the end of a run `seen` is observed anew, `plan.what` is the `Run` that began it, and `report` what it found.
#[must_use]
pub fn status(seen: &Seen<'_>, plan: &Plan, report: Option<&RunReport>) -> EmailProfileStatus {
    let mut status = seen.status.cloned().unwrap_or_default();
    let report = report.map(|report| completed(seen, report));
    let news = match (&plan.what, &report) {
        (What::Rest(Because::Deleted), _) => return status,
        (What::Run(run), Some(report)) => News::Found(run, report),
        (What::Run(run), None) => News::Begun(run),
        _ => News::None,
    };
    let halted = seen.object.brakes().halt();
    status.state = Some(halted.as_ref().map(|halt| halt.state).unwrap_or_default());
    remember_hold(&mut status, seen, &news);
    match &news {
        News::Found(run, report) => {
            begin(&mut status, seen, run);
            facts::found(&mut status, seen, run, report);
        }
        News::Begun(run) if run.errands.iter().any(|errand| matches!(errand.begin, Begin::Look { .. })) => {
            begin(&mut status, seen, run);
        }
        News::None | News::Begun(_) => {}
    }
    facts::roll_call(&mut status, seen);
    let verdict = judge::conditions(&mut status, seen, plan, &news, halted.as_ref());
    plan_next(&mut status, seen, plan, &news, &verdict);
    status.observed_generation = Some(seen.object.generation);
    status
}

/// The status that takes the claim to send `actor` its mail (promise 1): to be applied with the resourceVersion of `seen`, and
/// the mail may be sent only if that was accepted.
///
/// What the run judges and answers is noted with it: a process that dies before it can tell the result leaves behind that the
/// mail may have gone, and nothing that would send another (promise 2).
#[must_use]
pub fn claim(seen: &Seen<'_>, run: &Run, actor: &str, mark: &str, now: Timestamp) -> EmailProfileStatus {
    let mut status = seen.status.cloned().unwrap_or_default();
    begin(&mut status, seen, run);
    let attempt = run.errands.iter().find(|errand| errand.actor == actor).map_or(1, |errand| errand.attempt);
    let now = whole_seconds(now);
    status.claims.retain(|claim| claim.actor != actor);
    status.claims.push(claim_for(run, actor, attempt, now));
    if let Some(verification) = &mut status.verification {
        let deadline = later(now, seen.spec.timeout().get());
        verification.deadline = verification.deadline.take().filter(|old| old.0 > deadline).or(Some(Time(deadline)));
        // The first mark of a run holds for all its mails.
        verification.mailbox_mark.get_or_insert_with(|| cut(mark, 64).to_owned());
    }
    facts::awaits(&mut status, actor, attempt);
    judges(&mut status, run);
    status
}

pub(super) fn claim_for(run: &Run, actor: &str, attempt: i32, now: Timestamp) -> ActorClaim {
    let attempt = attempt.clamp(1, 1000);
    ActorClaim { id: run.id.clone(), actor: actor.to_owned(), purpose: PURPOSE.to_owned(), attempt, started_at: Time(now) }
}

/// Notes the run itself, where it is a new one: what an earlier one claimed is over.
fn begin(status: &mut EmailProfileStatus, seen: &Seen<'_>, run: &Run) {
    if status.verification.as_ref().is_none_or(|known| known.run_id != run.id) {
        status.claims.clear();
        let started_at = Some(Time(whole_seconds(run.begun)));
        let to = Some(seen.spec.address.clone());
        status.verification =
            Some(VerificationStatus { run_id: run.id.clone(), started_at, to, ..VerificationStatus::default() });
        facts::begin(status, run);
    }
    let until = run.errands.iter().filter_map(|errand| match errand.begin {
        Begin::Look { until, .. } => Some(until),
        _ => None,
    });
    if let (true, Some(until), Some(verification)) = (seen.is_manual(), until.max(), &mut status.verification) {
        verification.deadline = Some(Time(whole_seconds(until)));
        verification.subject.clone_from(&run.subject);
        for errand in run.errands.iter().filter(|errand| matches!(errand.begin, Begin::Look { .. })) {
            facts::awaits(status, &errand.actor, errand.attempt);
        }
        judges(status, run);
    }
}

/// Notes what a run judges, uses and answers.
fn judges(status: &mut EmailProfileStatus, run: &Run) {
    status.inputs_observed = Some(run.inputs.clone());
    // Where refusals are remembered, those speak of what is noted.
    if status.credential_held_until.is_none() {
        status.credentials_observed.clone_from(&run.credentials);
    }
    status.last_handled_verify_request = run.request.clone().or(status.last_handled_verify_request.take());
}

/// Whether a status is worth writing: it differs in more than the times of its conditions. The time of the next run is no such
/// time: where it moves, a run has ended, and one that is not written would be repeated at once.
#[must_use]
pub fn differs(old: Option<&EmailProfileStatus>, new: &EmailProfileStatus) -> bool {
    let timeless = |status: &EmailProfileStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
        status
    };
    old.map(timeless).as_ref() != Some(&timeless(new))
}

/// The Events that go with the change from one status to the next: one for each cause.
#[must_use]
pub fn transitions(old: Option<&EmailProfileStatus>, new: &EmailProfileStatus) -> Vec<Event> {
    events::transitions(old.map(|old| old.conditions.as_slice()), &new.conditions)
}

/// A report in which each failure knows what is known here and not where it was found.
fn completed(seen: &Seen<'_>, report: &RunReport) -> RunReport {
    let mut report = report.clone();
    for actor in &mut report.actors {
        actor.report.failure = actor.report.failure.take().map(|failure| with_facts(seen, failure));
    }
    if let Some(outgoing) = &mut report.outgoing {
        outgoing.failure = outgoing.failure.take().map(|failure| with_facts(seen, failure));
    }
    report
}

pub(super) fn with_facts(seen: &Seen<'_>, failure: Diagnosis) -> Diagnosis {
    let observed = seen.observed.as_ref().ok();
    let fact = |value: Option<&String>| value.cloned().unwrap_or_default();
    let hold = seen.hold().or(seen.outgoing_held.as_ref());
    failure
        .fact("until", hold.map(|hold| told_time(hold.until)).unwrap_or_default())
        .fact("secret", fact(observed.and_then(|observed| observed.secret.as_ref())))
        .fact("changed", fact(observed.and_then(|observed| observed.secret_changed.as_ref())))
        .fact("from", fact(observed.and_then(|observed| observed.from.as_ref())))
        .fact("to", seen.spec.address.as_str())
        // The time itself would move from run to run.
        .fact("next", "the time in status.nextRunTime")
}

/// When the certificate that was seen, or the credential, begins to be warned of, if that is still to come: no run is needed to tell it.
pub(super) fn expiry_warning(seen: &Seen<'_>) -> Option<Timestamp> {
    let warning = judge::warning(seen);
    let certificate = || {
        let not_after: Timestamp = seen.status?.tls.as_ref()?.not_after.as_deref()?.parse().ok()?;
        not_after.checked_sub(warning).ok()
    };
    let credential = seen.observed.as_ref().ok().and_then(|observed| observed.credential_ends.as_ref());
    let all = [certificate(), credential.map(|ends| ends.warned_from(warning))];
    all.into_iter().flatten().filter(|from| *from > seen.object.now).min()
}

/// Notes the breaker's hold, so that it survives this process (promise 8), and forgets it with its credentials.
fn remember_hold(status: &mut EmailProfileStatus, seen: &Seen<'_>, news: &News<'_>) {
    let other = || seen.outgoing_held.as_ref().filter(|hold| hold.until > seen.object.now);
    if let Some(hold) = seen.hold().or_else(other) {
        status.credential_held_until = Some(Time(whole_seconds(hold.until)));
        status.credential_refusals = i32::try_from(hold.refusals).ok().filter(|refusals| *refusals > 0);
        status.credentials_observed = Some(hold.credentials.clone());
        return;
    }
    let known = status.credentials_observed.as_deref();
    // What is remembered may be of the outgoing server, whose login is another.
    let of_mailbox = seen.observed.as_ref().is_ok_and(|observed| observed.credentials() == known);
    let taken = |login: Option<LoginOutcome>| login == Some(LoginOutcome::Accepted);
    let accepted = match news {
        News::Found(_, report) if of_mailbox => report.actors.iter().any(|actor| taken(actor.report.login)),
        News::Found(_, report) => report.outgoing.as_ref().is_some_and(|outgoing| taken(outgoing.login)),
        News::None | News::Begun(_) => false,
    };
    let others =
        seen.observed.as_ref().is_ok_and(|seen| !seen.accounts.iter().any(|account| Some(account.secret.as_str()) == known));
    if accepted || others {
        if status.next_run_time == status.credential_held_until {
            status.next_run_time = None;
        }
        status.credential_held_until = None;
        status.credential_refusals = None;
    }
}

/// When it is looked at next, and what the run that ended has answered.
fn plan_next(status: &mut EmailProfileStatus, seen: &Seen<'_>, plan: &Plan, news: &News<'_>, verdict: &Verdict) {
    let interval = seen.spec.interval().get();
    let run = match news {
        News::Found(run, _) => *run,
        News::Begun(_) => return,
        News::None => {
            match &plan.what {
                What::Refuse(diagnosis) if unresolves(diagnosis) => {
                    // What comes back is looked at anew, even if it is what it was; one of a crowd keeps its place.
                    status.inputs_judged = None;
                    let was_tried = status.inputs_observed.take().is_some() || status.verification.is_some();
                    if was_tried {
                        status.next_run_time = None;
                    }
                }
                What::Rest(Because::Held(hold)) => status.next_run_time = Some(Time(whole_seconds(hold.until))),
                // What a server that does not work kept from being tried is tried when it does.
                What::Rest(Because::Waits(_)) if is_unfinished(seen) => {
                    let now = Time(whole_seconds(seen.object.now));
                    status.next_run_time = status.next_run_time.take().filter(|planned| *planned < now).or(Some(now));
                }
                What::Rest(Because::NotDue) if seen.object.is_fresh() => {
                    status.last_handled_verify_request = seen.object.request().or(status.last_handled_verify_request.take());
                    status.next_run_time = plan_due(seen);
                }
                What::Rest(Because::NotDue)
                    if seen.object.was_halted() || status.observed_generation != Some(seen.object.generation) =>
                {
                    status.next_run_time = plan_due(seen);
                }
                _ => {}
            }
            return;
        }
    };
    // What was claimed is noted already, unless the status that was read is older.
    if !verdict.cut || status.claims.iter().any(|claim| claim.id == run.id) {
        judges(status, run);
    }
    if verdict.cut {
        // What is open is taken up again at once, or when the halt ends.
        status.next_run_time = Some(Time(whole_seconds(seen.object.now)));
        return;
    }
    let from = if run.trigger == Trigger::GoesOn { run.begun } else { run.started };
    let slot = slot_ahead(seen, status, &run.id, from);
    let retries = verdict.retries.iter().map(|retry| {
        let tries = verdict.failures.max(retry.attempt).max(1);
        let soon = later(seen.object.now, back_off(tries, seen.object.uid, interval)).min(slot);
        retry.room.map_or(soon, |room| room.max(soon))
    });
    let next = seen.hold().map(|hold| hold.until).or_else(|| retries.min()).unwrap_or(slot);
    status.next_run_time = Some(Time(whole_seconds(next)));
}

/// Whether something of the last run is left to be tried again.
fn is_unfinished(seen: &Seen<'_>) -> bool {
    let last = seen.status.and_then(|status| status.verification.as_ref());
    seen.is_unchanged() && last.is_some_and(|last| super::decide::is_unfinished(seen, last))
}

/// The time that `decide` would wait for.
fn plan_due(seen: &Seen<'_>) -> Option<Time> {
    super::decide::trigger(seen).err().map(|due| Time(whole_seconds(due)))
}

#[cfg(test)]
mod tests;
