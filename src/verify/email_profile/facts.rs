//! What a run found, as the status keeps it: actors, outgoing server, certificate. Everything that a server said is cut to the
//! bounds of the schema here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{ActorReport, Run, RunReport, Seen};
use crate::{
    api::v1alpha1::{
        AuthenticationResults, EmailProfileStatus, OutgoingStatus, ProfileActorState as Stand, ProfileActorStatus,
        VerificationMode,
    },
    mail::Diagnosis,
    verify::{
        Report,
        conditions::{MESSAGE, cut},
        halt::whole_seconds,
        report::{human, stage_status, text, tls_status},
    },
};

/// Notes that an actor's mail is looked for.
pub(super) fn awaits(status: &mut EmailProfileStatus, actor: &str, attempt: i32) {
    let entry = entry(status, actor);
    let zone = entry.zone.take();
    *entry = ProfileActorStatus {
        name: actor.to_owned(),
        zone,
        state: Stand::AwaitingMessage,
        attempt: Some(attempt.clamp(1, 1000)),
        ..ProfileActorStatus::default()
    };
}

/// Takes up what a run found.
pub(super) fn found(status: &mut EmailProfileStatus, run: &Run, report: &RunReport) {
    for actor in &report.actors {
        found_by(status, run, actor);
    }
    if let Some(tls) = report.actors.iter().find_map(|actor| actor.report.tls.as_ref()) {
        status.tls = Some(tls_status(tls));
    }
    if let Some(outgoing) = &report.outgoing {
        status.outgoing = Some(outgoing_status(outgoing));
    }
    let all = !status.actors.is_empty() && status.actors.iter().all(|actor| actor.state == Stand::Verified);
    let news = report.actors.iter().filter_map(|actor| actor.found.as_ref()).map(|found| found.received).max();
    if let (true, Some(received)) = (all, news) {
        status.last_verified_time = Some(Time(whole_seconds(received)));
    }
}

fn found_by(status: &mut EmailProfileStatus, run: &Run, actor: &ActorReport) {
    let left = actor.mail.as_ref().is_some_and(|mail| mail.dot_sent);
    // Its mail never left its final dot, so the right to send it is free again; one of an earlier process stays.
    let free = !left && run.errands.iter().any(|errand| errand.actor == actor.name && errand.begin == super::Begin::Send);
    status.claims.retain(|claim| !(free && claim.actor == actor.name && claim.id == run.id));
    if let (Some(mark), Some(verification)) = (&actor.mark, &mut status.verification) {
        verification.mailbox_mark.get_or_insert_with(|| cut(mark, 64).to_owned());
    }
    let told = entry(status, &actor.name);
    told.attempt = Some(actor.attempt.clamp(1, 1000));
    told.source_ip = text(actor.report.source_ip.as_deref(), 64).or(told.source_ip.take());
    told.checks = actor.report.stages.iter().take(16).map(stage_status).collect();
    if let Some(mail) = &actor.mail {
        told.sent_time = Some(Time(whole_seconds(mail.sent)));
    }
    if actor.awaits {
        if free && told.state == Stand::AwaitingMessage {
            told.state = Stand::Pending;
        }
        return;
    }
    match (&actor.found, actor.failure()) {
        (Some(found), _) => {
            told.state = Stand::Verified;
            told.received_time = Some(Time(whole_seconds(found.received)));
            told.duration = found.took.map(|took| cut(&human(took), 16).to_owned());
            told.authentication_results = Some(found.results.clone()).filter(|r| *r != AuthenticationResults::default());
            told.reason = Some("CodeReceived".to_owned());
            let after = told.duration.as_deref().map(|took| format!(" {took} after it was sent")).unwrap_or_default();
            told.message = Some(format!("The code was found{after}."));
            told.hint = None;
        }
        (None, Some(failure)) => {
            told.state = if super::judge::is_open(failure) { Stand::Pending } else { Stand::Unverified };
            told.reason = Some(failure.reason.as_str().to_owned());
            told.message = text(Some(&failure.message()), MESSAGE);
            told.hint = text(Some(&failure.hint()), MESSAGE);
        }
        // A visit that went well: what a person proved before holds again.
        (None, None) if told.received_time.is_some() => {
            told.state = Stand::Verified;
            told.reason = Some("CodeReceived".to_owned());
            told.message = Some("The code was found before, and the mailbox still opens.".to_owned());
            told.hint = None;
        }
        (None, None) => {
            let known = told.reason.as_deref() == Some("MessageNotReceived") || told.reason.as_deref() == Some("MessageInJunk");
            if !known {
                told.state = Stand::Pending;
                told.reason = None;
                told.message = text(Some(&actor.report.message()), MESSAGE);
                told.hint = None;
            }
        }
    }
}

/// Keeps the actors that the spec names, in its order, and counts those that are verified.
pub(super) fn roll_call(status: &mut EmailProfileStatus, seen: &Seen<'_>) {
    let names = seen.actors();
    if names.is_empty() {
        return;
    }
    for chosen in names {
        entry(status, &chosen.name).zone.clone_from(&chosen.zone);
    }
    let place = |actor: &ProfileActorStatus| names.iter().position(|chosen| chosen.name == actor.name);
    status.actors.retain(|actor| place(actor).is_some());
    status.actors.sort_by_key(place);
    status.claims.retain(|claim| names.iter().any(|chosen| chosen.name == claim.actor));
    let verified = status.actors.iter().filter(|actor| actor.state == Stand::Verified).count();
    status.summary = Some(format!("{verified}/{}", status.actors.len()));
    if seen.observed.as_ref().is_ok_and(|observed| observed.outgoing.is_none()) {
        status.outgoing = None;
    }
    if seen.spec.mode() == VerificationMode::Automatic
        && let Some(verification) = &mut status.verification
    {
        verification.subject = None;
    }
}

fn entry<'a>(status: &'a mut EmailProfileStatus, name: &str) -> &'a mut ProfileActorStatus {
    let at = status.actors.iter().position(|actor| actor.name == name).unwrap_or_else(|| {
        status.actors.push(ProfileActorStatus { name: name.to_owned(), ..ProfileActorStatus::default() });
        status.actors.len() - 1
    });
    &mut status.actors[at]
}

fn outgoing_status(report: &Report) -> OutgoingStatus {
    let failure = report.failure.as_ref();
    let state = match failure {
        None => Stand::Verified,
        Some(failure) if super::judge::is_open(failure) => Stand::Pending,
        Some(_) => Stand::Unverified,
    };
    OutgoingStatus {
        address: cut(&report.endpoint, 300).to_owned(),
        state,
        reason: Some(failure.map_or("Succeeded", |failure| failure.reason.as_str()).to_owned()),
        message: text(Some(&report.message()), MESSAGE),
        hint: text(failure.map(Diagnosis::hint).as_deref(), MESSAGE),
    }
}
