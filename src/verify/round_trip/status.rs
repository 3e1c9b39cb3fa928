//! The status that follows from what was seen, decided and found. Pure; whether it is written is for [`differs`] to say. What
//! the conditions say is in `judge`, how a probe ends in `settle`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

use super::{
    Because, Plan, Probe, ProbeReport, Seen, What,
    decide::slot_after,
    judge::{self, Finding},
    settle::{Outcome, duration, note, took},
};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{InFlight, RoundTrip, RoundTripPolicyStatus},
    },
    mail::Diagnosis,
    verify::{
        conditions::{cut, unresolves},
        events::{self, Event},
        halt::{told_time, whole_seconds},
        report::LoginOutcome,
        schedule::{back_off, later, next_slot},
    },
};

/// The most bytes of a row's message.
const ROW: usize = 256;

/// The status to be told.
///
/// At the end of a probe's part `seen` is observed anew, `plan.what` is the `Probe` that began it, and `report` what it found.
#[must_use]
pub fn status(seen: &Seen<'_>, plan: &Plan, report: Option<&ProbeReport>) -> RoundTripPolicyStatus {
    let mut status = seen.status.cloned().unwrap_or_default();
    if plan.what == What::Rest(Because::Deleted) {
        return status;
    }
    let halted = seen.object.brakes().halt();
    status.state = Some(halted.as_ref().map(|halt| halt.state).unwrap_or_default());
    if let Ok(observed) = &seen.observed {
        status.return_address = Some(observed.address.clone());
    }
    let in_time = late(&mut status, seen);
    remember_hold(&mut status, seen, report);
    let finding = match (&plan.what, report) {
        (What::Settle(outcome), _) => settle(&mut status, seen, outcome),
        (What::Note(note), _) => {
            if let Some(probe) = &mut status.in_flight {
                probe.noted = Some(note.clone());
            }
            Finding::None
        }
        (What::Probe(probe), Some(report)) => found(&mut status, seen, probe, report),
        _ => in_time.map_or(Finding::None, Finding::Settled),
    };
    let open = judge::conditions(&mut status, seen, plan, &finding, halted.as_ref());
    plan_next(&mut status, seen, plan, &finding, open);
    status.observed_generation = Some(seen.object.generation);
    status
}

/// The status that takes the claim to send a probe (promise 1): to be applied with the resourceVersion of `seen`, and the mail may
/// be sent only if that was accepted.
///
/// What the probe judges and answers is noted with it: a process that dies before it can tell the result leaves behind that the
/// mail may have gone, and nothing that would send another (promise 2).
#[must_use]
pub fn claim(seen: &Seen<'_>, probe: &Probe, id: &str, mark: Option<&str>, now: Timestamp) -> RoundTripPolicyStatus {
    let mut status = seen.status.cloned().unwrap_or_default();
    let deadline = later(now, seen.spec.timeout().get());
    status.in_flight = Some(InFlight {
        id: id.to_owned(),
        attempt: probe.attempt.clamp(1, 1000),
        claimed_at: MicroTime(now),
        sent_at: None,
        deadline: MicroTime(deadline),
        from: seen.observed.as_ref().map(|observed| observed.from.clone()).unwrap_or_default(),
        mailbox_mark: mark.map(|mark| cut(mark, 64).to_owned()),
        retry_at: None,
        noted: None,
    });
    judges(&mut status, probe);
    let slot = slot_after(seen, probe.started, deadline);
    let planned = status.next_probe_time.take().map(|planned| planned.0).filter(|_| probe.attempt > 1);
    status.next_probe_time = Some(Time(whole_seconds(planned.map_or(slot, |planned| planned.max(slot)))));
    status
}

/// Notes what a probe judges, uses and answers.
fn judges(status: &mut RoundTripPolicyStatus, probe: &Probe) {
    status.inputs_observed = Some(probe.inputs.clone());
    // Where refusals are remembered, those speak of what is noted.
    if status.credential_held_until.is_none() {
        status.credentials_observed.clone_from(&probe.credentials);
    }
    status.last_handled_verify_request = probe.request.clone().or(status.last_handled_verify_request.take());
}

/// Takes the probe in flight to the history.
fn settle(status: &mut RoundTripPolicyStatus, seen: &Seen<'_>, outcome: &Outcome) -> Finding {
    let Some(probe) = status.in_flight.take() else { return Finding::None };
    let sent = probe.sent_at.as_ref().map_or(probe.claimed_at.0, |sent| sent.0);
    let took = outcome.received.map(|received| duration(took(&probe, received)));
    row(status, seen, &probe.id, sent, took, outcome)
}

/// A row of the history, and what it says of the round trip.
fn row(
    status: &mut RoundTripPolicyStatus,
    seen: &Seen<'_>,
    id: &str,
    sent: Timestamp,
    took: Option<String>,
    outcome: &Outcome,
) -> Finding {
    let row = RoundTrip {
        id: id.to_owned(),
        sent_at: Time(whole_seconds(sent)),
        received_at: outcome.received.map(|received| Time(whole_seconds(received))),
        duration: took,
        result: outcome.reason.as_str().to_owned(),
        message: (outcome.reason != Reason::Succeeded).then(|| shortened(&outcome.told)),
    };
    status.history.insert(0, row.clone());
    status.history.truncate(seen.spec.history_limit());
    status.last_round_trip = Some(row);
    if outcome.reason == Reason::Succeeded {
        status.last_success_time = outcome.received.map(|received| Time(whole_seconds(received)));
    }
    Finding::Settled(outcome.clone())
}

/// A message of a row: whole sentences, as far as they go in.
fn shortened(told: &str) -> String {
    let short = cut(told, ROW);
    let end = if short.len() < told.len() { short.rfind(". ").map_or(short.len(), |at| at + 1) } else { short.len() };
    short[..end].to_owned()
}

/// What became of a probe's mail.
fn found(status: &mut RoundTripPolicyStatus, seen: &Seen<'_>, probe: &Probe, report: &ProbeReport) -> Finding {
    if status.history.iter().any(|row| row.id == report.id) {
        // Told already: the API server took it, and we did not hear of that.
        return Finding::None;
    }
    let timeout = seen.spec.timeout().get();
    let failure = report.report.failure.clone();
    let claimed = status.in_flight.as_mut().filter(|known| known.id == report.id);
    if report.looked {
        return match (failure, claimed) {
            (Some(failure), Some(_)) if !is_open(&failure) => settle(status, seen, &Outcome::failed(seen, failure, None)),
            (Some(failure), Some(known)) if known.deadline.0 <= seen.object.now => {
                settle(status, seen, &Outcome::unjudged(seen, failure))
            }
            (None, Some(known)) => {
                let outcome = Outcome::timed_out(seen, known);
                settle(status, seen, &outcome)
            }
            _ => Finding::None,
        };
    }
    let dot_sent = report.report.delivery.as_ref().is_some_and(|delivery| delivery.dot_sent);
    match (claimed, report.sent, failure) {
        (Some(known), Some(sent), _) => {
            known.sent_at = Some(MicroTime(sent));
            known.deadline = MicroTime(later(sent, timeout));
            Finding::Sent
        }
        (Some(known), None, failure) if dot_sent => {
            let uncertain = failure.unwrap_or_else(|| Diagnosis::new(Reason::DeliveryUncertain));
            known.noted = Some(note(seen, uncertain));
            Finding::Sent
        }
        (_, _, None) => Finding::None,
        (claimed, _, Some(failure)) if is_open(&failure) => {
            if let Some(known) = claimed {
                known.retry_at = Some(Time(whole_seconds(room(&failure).unwrap_or(seen.object.now))));
            }
            judged(status, probe, &failure);
            Finding::Open(failure)
        }
        (claimed, _, Some(failure)) => {
            let until = probe.until.unwrap_or_else(|| later(probe.started, timeout));
            let tries = u32::try_from(probe.attempt).unwrap_or(1);
            let retry = later(seen.object.now, back_off(tries, seen.object.uid, seen.spec.interval().get()));
            let known = claimed.map(|known| known.clone());
            judges(status, probe);
            if failure.class != Class::Transient || retry >= until {
                let outcome = Outcome::failed(seen, failure, None);
                let begun = known.as_ref().map_or(probe.started, |known| known.claimed_at.0);
                status.in_flight = None;
                return row(status, seen, &report.id, begun, None, &outcome);
            }
            let from = seen.observed.as_ref().map(|observed| observed.from.clone()).unwrap_or_default();
            status.in_flight = Some(InFlight {
                id: report.id.clone(),
                attempt: probe.attempt.clamp(1, 1000),
                claimed_at: known.as_ref().map_or(MicroTime(probe.started), |known| known.claimed_at.clone()),
                sent_at: None,
                deadline: MicroTime(until),
                from,
                mailbox_mark: known.and_then(|known| known.mailbox_mark),
                retry_at: Some(Time(whole_seconds(retry))),
                noted: Some(note(seen, failure.clone())),
            });
            Finding::Trouble(failure)
        }
    }
}

/// A request that a halt or a hold keeps from being tried stays open. One that mode Observe forbids, or for which our budget has
/// no room, is answered so: it would be tried, and the login made, again and again until there is room, which is when the next
/// probe is sent.
fn judged(status: &mut RoundTripPolicyStatus, probe: &Probe, failure: &Diagnosis) {
    if matches!(failure.reason, Reason::ObserveOnly | Reason::RateBudgetExceeded) {
        judges(status, probe);
    }
}

/// Whether a failure leaves open how things are: our own limits stopped us, not a server.
pub(super) fn is_open(failure: &Diagnosis) -> bool {
    failure.class == Class::Information
        || matches!(
            failure.reason,
            Reason::Paused | Reason::Suspended | Reason::Maintenance | Reason::RateBudgetExceeded | Reason::CredentialHeld
        )
}

/// When our own budget has room again.
fn room(failure: &Diagnosis) -> Option<Timestamp> {
    failure.get("next")?.parse().ok()
}

/// Answers to probes that are settled already are late: that is no success, and worth a word. But for one that a receiver took in
/// time and could not tell of in time: that is the last probe's success, if it is about the last.
fn late(status: &mut RoundTripPolicyStatus, seen: &Seen<'_>) -> Option<Outcome> {
    let (mut in_time, timeout) = (None, seen.spec.timeout().get());
    let last = status.last_round_trip.as_ref().map(|last| last.id.clone());
    for came in seen.came.iter().filter(|came| came.answer.failure.is_none()) {
        let Some(row) = status.history.iter_mut().find(|row| row.id == came.probe && row.received_at.is_none()) else { continue };
        row.received_at = Some(Time(whole_seconds(came.received)));
        let took = Duration::try_from(came.received.duration_since(row.sent_at.0)).unwrap_or_default();
        row.duration = Some(duration(took));
        let silent = [Reason::ReplyTimeout, Reason::ProbeLost, Reason::DeliveryUncertain, Reason::MessageDelayed];
        if silent.iter().any(|reason| reason.as_str() == row.result) {
            if took <= timeout {
                Reason::Succeeded.as_str().clone_into(&mut row.result);
                row.message = None;
                let is_last = last.as_deref() == Some(row.id.as_str());
                in_time = in_time.or_else(|| is_last.then(|| Outcome::in_time(came, took)));
            } else {
                Reason::ReplyLate.as_str().clone_into(&mut row.result);
                row.message = Some(format!("The answer came after {}, when its time was over.", duration(took)));
            }
        }
        if last.as_deref() == Some(row.id.as_str()) {
            status.last_round_trip = Some(row.clone());
        }
    }
    if let Some(Outcome { received: Some(received), .. }) = &in_time {
        status.last_success_time = Some(Time(whole_seconds(*received)));
    }
    in_time
}

/// A failure with what is known here and not where it was found.
pub(super) fn with_facts(seen: &Seen<'_>, failure: Diagnosis) -> Diagnosis {
    let observed = seen.observed.as_ref().ok();
    let fact = |value: Option<&String>| value.cloned().unwrap_or_default();
    failure
        .fact("until", seen.hold().map(|hold| told_time(hold.until)).unwrap_or_default())
        .fact("secret", fact(observed.and_then(|observed| observed.secret.as_ref())))
        .fact("changed", fact(observed.and_then(|observed| observed.secret_changed.as_ref())))
        .fact("from", fact(observed.map(|observed| &observed.from)))
        .fact("address", fact(observed.map(|observed| &observed.address)))
        .fact("to", seen.spec.to.as_str())
        // The time itself would move from probe to probe.
        .fact("next", "the time in status.nextProbeTime")
}

/// Notes the breaker's hold, so that it survives this process (promise 8), and forgets it with its credentials.
fn remember_hold(status: &mut RoundTripPolicyStatus, seen: &Seen<'_>, report: Option<&ProbeReport>) {
    if let Some(hold) = seen.hold() {
        status.credential_held_until = Some(Time(whole_seconds(hold.until)));
        status.credential_refusals = i32::try_from(hold.refusals).ok().filter(|refusals| *refusals > 0);
        status.credentials_observed = Some(hold.credentials.clone());
        return;
    }
    let accepted = report.is_some_and(|report| report.report.login == Some(LoginOutcome::Accepted));
    let known = status.credentials_observed.as_deref();
    let others =
        seen.observed.as_ref().is_ok_and(|seen| !seen.accounts.iter().any(|account| Some(account.secret.as_str()) == known));
    if accepted || others {
        status.credential_held_until = None;
        status.credential_refusals = None;
    }
}

/// When the next probe is sent.
fn plan_next(status: &mut RoundTripPolicyStatus, seen: &Seen<'_>, plan: &Plan, finding: &Finding, open: Option<Timestamp>) {
    let interval = seen.spec.interval().get();
    let planned = status.next_probe_time.as_ref().map(|planned| planned.0).filter(|planned| *planned > seen.object.now);
    let next = match (finding, &plan.what) {
        (Finding::Settled(_), What::Probe(probe)) => slot_after(seen, probe.started, seen.object.now),
        // What was changed or asked for is proved at once; the next slot comes after that.
        (Finding::Settled(outcome), _) if outcome.reason == Reason::NewGeneration => seen.object.now,
        (Finding::Settled(_), _) => planned.unwrap_or_else(|| next_slot(seen.object.now, seen.object.uid, interval)),
        (Finding::Open(_), _) if status.in_flight.is_none() => {
            open.unwrap_or_else(|| next_slot(seen.object.now, seen.object.uid, interval))
        }
        (Finding::Trouble(_), What::Probe(probe)) => {
            let until = status.in_flight.as_ref().map_or(seen.object.now, |probe| probe.deadline.0);
            slot_after(seen, probe.started, until)
        }
        (_, What::Refuse(diagnosis)) if unresolves(diagnosis) => {
            // What comes back is looked at anew, even if it is what it was; one of a crowd keeps its place.
            status.inputs_judged = None;
            let was_tried = status.inputs_observed.take().is_some() || !status.history.is_empty() || status.in_flight.is_some();
            if was_tried {
                status.next_probe_time = None;
            }
            return;
        }
        (_, What::Rest(Because::NotDue)) if seen.object.is_fresh() => {
            status.last_handled_verify_request = seen.object.request().or(status.last_handled_verify_request.take());
            super::decide::trigger(seen).err().unwrap_or(seen.object.now)
        }
        (_, What::Rest(Because::NotDue))
            if seen.object.was_halted() || status.observed_generation != Some(seen.object.generation) =>
        {
            super::decide::trigger(seen).err().unwrap_or(seen.object.now)
        }
        _ => return,
    };
    status.next_probe_time = Some(Time(whole_seconds(next)));
}

/// Whether a status is worth writing: it differs in more than the times of its conditions.
#[must_use]
pub fn differs(old: Option<&RoundTripPolicyStatus>, new: &RoundTripPolicyStatus) -> bool {
    let timeless = |status: &RoundTripPolicyStatus| {
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
pub fn transitions(old: Option<&RoundTripPolicyStatus>, new: &RoundTripPolicyStatus) -> Vec<Event> {
    events::transitions(old.map(|old| old.conditions.as_slice()), &new.conditions)
}

#[cfg(test)]
mod tests;
