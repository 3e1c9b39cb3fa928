//! The status that follows from what was seen, decided and found. Pure; whether it is written is for [`differs`] to
//! say, and which Events go with it for [`transitions`]. What the conditions say is in `judge`, what was found in
//! `facts`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Because, Check, Plan, Seen, Views, What, facts, judge};
use crate::{
    api::v1alpha1::{CheckPhase, Claim, LastCheck, Level, MailServerSpec, MailServerStatus},
    mail::{Diagnosis, Stage},
    verify::{
        Report,
        conditions::unresolves,
        events::{self, Event},
        halt::{told_time, whole_seconds},
        schedule::{back_off, due_after, later},
    },
};

/// What is known now that was not known when the last status was written.
pub(super) enum News<'a> {
    /// Nothing.
    None,
    /// A check begins.
    Begun(&'a Check),
    /// A check has ended, and this speaks for all its actors.
    Found(&'a Check, &'a Report, &'a Views),
    /// A claim has no result and never will.
    Lost(&'a Claim, Diagnosis),
}

/// The Events that go with the change from one status to the next: one for each cause.
#[must_use]
pub fn transitions(old: Option<&MailServerStatus>, new: &MailServerStatus) -> Vec<Event> {
    events::transitions(old.map(|old| old.conditions.as_slice()), &new.conditions)
}

/// The status to be told.
///
/// At the end of a check `seen` is observed anew, `plan.what` is the `Check` that began it, and `found` what its actors found.
#[must_use]
pub fn status(seen: &Seen<'_>, plan: &Plan, found: Option<&Views>) -> MailServerStatus {
    let mut status = seen.status.cloned().unwrap_or_default();
    let found = found.map(|found| {
        let mut found = found.clone();
        for report in found.0.iter_mut().map(|view| &mut view.report) {
            report.failure = report.failure.take().map(|failure| with_facts(seen, failure));
        }
        found
    });
    let told = found.as_ref().and_then(|found| Some((found.told()?, found)));
    let news = match (&plan.what, &told) {
        (What::Rest(Because::Deleted), _) => return status,
        (What::Check(check), Some((told, found))) => News::Found(check, told, found),
        (What::Check(check), None) => News::Begun(check),
        (What::Settle(claim), _) => News::Lost(claim, lost()),
        _ => News::None,
    };
    let halted = seen.object.brakes().halt();
    facts::endpoint(&mut status, seen.spec);
    status.state = Some(halted.as_ref().map(|halt| halt.state).unwrap_or_default());
    status.used_by = Some(seen.used_by);
    remember_hold(&mut status, seen, &news);
    match &news {
        News::Found(check, told, found) => facts::found(&mut status, check, told, found, seen.logs_in_by_token()),
        News::Lost(claim, _) => {
            let started_at = Some(claim.started_at.clone());
            let (level, result) = (Level::Deliver, Some("Unknown".to_owned()));
            status.last_check = Some(LastCheck { id: claim.id.clone(), started_at, level, result, ..LastCheck::default() });
        }
        News::None | News::Begun(_) => {}
    }
    let verdict = judge::conditions(&mut status, seen, plan, &news, halted.as_ref());
    plan_next(&mut status, seen, plan, &news, &verdict);
    if let (News::Begun(check), true) = (&news, verdict.pending) {
        status.last_check = Some(running(check));
    }
    end_of_cancelled(&mut status, plan);
    status.observed_generation = Some(seen.object.generation);
    status
}

/// The status that takes the claim to send the mail of `check` (promise 1): to be applied with the resourceVersion of
/// `seen`, and the mail may be sent only if that was accepted.
///
/// What the check judges and answers is noted with it: a process that dies before it can tell the result leaves behind
/// that the mail may have gone, and nothing that would send another (promise 2).
#[must_use]
pub fn claim(seen: &Seen<'_>, check: &Check, now: Timestamp) -> MailServerStatus {
    let mut status = seen.status.cloned().unwrap_or_default();
    status.claim = Some(Claim { started_at: Time(whole_seconds(now)), ..claim_of(check) });
    status.last_check = Some(running(check));
    status.inputs_observed = Some(check.inputs.clone());
    note_credentials(&mut status, check);
    status.last_handled_verify_request = check.request.clone().or(status.last_handled_verify_request);
    status
}

/// Notes what a check uses. Where refusals are remembered, those speak of what is noted: perhaps of an alternate's account.
fn note_credentials(status: &mut MailServerStatus, check: &Check) {
    if status.credential_held_until.is_none() {
        status.credentials_observed.clone_from(&check.credentials);
    }
}

/// Whether a status is worth writing: it differs in more than times. What a check found always does, as each has an id.
#[must_use]
pub fn differs(old: Option<&MailServerStatus>, new: &MailServerStatus) -> bool {
    let timeless = |status: &MailServerStatus| {
        let mut status = status.clone();
        status.next_check_time = None;
        for condition in &mut status.conditions {
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
        status
    };
    old.map(timeless).as_ref() != Some(&timeless(new))
}

/// How long before its end a certificate is warned of; two weeks if nothing is said.
pub(super) fn expiry_warning(spec: &MailServerSpec) -> std::time::Duration {
    let written = spec.tls.as_ref().and_then(|tls| tls.expiry_warning.as_ref());
    written.map_or(std::time::Duration::from_hours(336), crate::api::v1alpha1::Span::get)
}

/// A failure with what is known here and not where it was found.
pub(super) fn with_facts(seen: &Seen<'_>, failure: Diagnosis) -> Diagnosis {
    let observed = seen.observed.as_ref().ok();
    let fact = |value: Option<&String>| value.cloned().unwrap_or_default();
    failure
        .fact("until", seen.hold().map(|hold| told_time(hold.until)).unwrap_or_default())
        .fact("secret", fact(observed.and_then(|observed| observed.secret.as_ref())))
        .fact("changed", fact(observed.and_then(|observed| observed.secret_changed.as_ref())))
        // The time itself would move from check to check.
        .fact("next", "the time in status.nextCheckTime")
}

/// The failure of a check that died with its process between claim and result.
fn lost() -> Diagnosis {
    let words = "the operator stopped after it had begun to send the test mail, and before it could tell the result";
    Diagnosis::new(crate::api::Reason::DeliveryUncertain).at(Stage::Data).detail(words)
}

fn running(check: &Check) -> LastCheck {
    let started_at = Some(Time(whole_seconds(check.started)));
    LastCheck { id: check.id.clone(), phase: CheckPhase::Running, started_at, level: check.level, ..LastCheck::default() }
}

pub(super) fn claim_of(check: &Check) -> Claim {
    let started_at = Time(whole_seconds(check.started));
    Claim { id: check.id.clone(), purpose: "Test".to_owned(), attempt: check.attempt, started_at }
}

/// A check that was cut off before it could send leaves no `Running` behind.
fn end_of_cancelled(status: &mut MailServerStatus, plan: &Plan) {
    let goes_on = matches!(plan.what, What::Check(_) | What::Rest(Because::Running));
    let Some(last) = status.last_check.as_mut().filter(|last| !goes_on && last.phase == CheckPhase::Running) else { return };
    // A check that had taken its claim stays open until `decide` settles it.
    if status.claim.as_ref().is_none_or(|claim| claim.id != last.id) {
        last.phase = CheckPhase::Finished;
        last.result = Some("Unknown".to_owned());
    }
}

/// Notes the breaker's hold, so that it survives this process (promise 8), and forgets it with its credentials.
fn remember_hold(status: &mut MailServerStatus, seen: &Seen<'_>, news: &News<'_>) {
    if let Some(hold) = seen.hold() {
        status.credential_held_until = Some(Time(whole_seconds(hold.until)));
        status.credential_refusals = i32::try_from(hold.refusals).ok().filter(|refusals| *refusals > 0);
        status.credentials_observed = Some(hold.credentials.clone());
        return;
    }
    let accepted =
        matches!(news, News::Found(_, report, _) if report.login == Some(crate::verify::report::LoginOutcome::Accepted));
    let known = status.credentials_observed.as_deref();
    let others =
        seen.observed.as_ref().is_ok_and(|seen| !seen.accounts.iter().any(|account| Some(account.secret.as_str()) == known));
    if accepted || others {
        if status.next_check_time == status.credential_held_until {
            status.next_check_time = None;
        }
        status.credential_held_until = None;
        status.credential_refusals = None;
    }
}

/// When the next check is due, and what the one that ended has answered.
fn plan_next(status: &mut MailServerStatus, seen: &Seen<'_>, plan: &Plan, news: &News<'_>, verdict: &judge::Verdict) {
    let interval = seen.spec.interval().get();
    let (started, check) = match news {
        News::Found(check, ..) => (check.started, Some(*check)),
        News::Lost(claim, _) => (claim.started_at.0, None),
        News::Begun(_) => return,
        News::None => {
            match &plan.what {
                What::Refuse(diagnosis) if unresolves(diagnosis) => {
                    // What comes back is looked at anew, even if it is what it was; one of a crowd keeps its place.
                    let was_tried = status.inputs_observed.take().is_some() || status.last_check.is_some();
                    if was_tried {
                        status.next_check_time = None;
                    }
                }
                What::Rest(Because::Held(hold)) => status.next_check_time = Some(Time(whole_seconds(hold.until))),
                What::Rest(Because::NotDue) if seen.object.is_fresh() => {
                    status.last_handled_verify_request = seen.object.request().or(status.last_handled_verify_request.take());
                    status.next_check_time = plan_due(seen);
                }
                What::Rest(Because::NotDue)
                    if seen.object.was_halted() || status.observed_generation != Some(seen.object.generation) =>
                {
                    status.next_check_time = plan_due(seen);
                }
                _ => {}
            }
            return;
        }
    };
    if let Some(check) = check.filter(|_| !verdict.cancelled) {
        status.inputs_observed = Some(check.inputs.clone());
        note_credentials(status, check);
        status.last_handled_verify_request = check.request.clone().or(status.last_handled_verify_request.take());
    }
    let slot = due_after(started, seen.object.uid, interval);
    let soon = later(seen.object.now, back_off(verdict.failures.max(1), seen.object.uid, interval));
    let next = match (seen.hold(), verdict.room, verdict.retry) {
        (Some(hold), ..) => hold.until,
        (None, Some(room), _) => room.max(soon.min(slot)),
        (None, None, true) => soon.min(slot),
        (None, None, false) => slot,
    };
    status.next_check_time = Some(Time(whole_seconds(next)));
}

/// The time that `decide` would wait for.
fn plan_due(seen: &Seen<'_>) -> Option<Time> {
    super::decide::trigger(seen).err().map(|due| Time(whole_seconds(due)))
}

#[cfg(test)]
mod tests;
