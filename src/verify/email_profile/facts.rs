//! What a run found, as the status keeps it: actors, outgoing server, certificate. Everything that a server said is cut to the
//! bounds of the schema here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{ActorReport, Begin, Run, RunReport, Seen, Trigger, judge::is_open, status::claim_for};
use crate::{
    api::{
        Reason,
        v1alpha1::{
            ActorClaim, AuthenticationResults, EmailProfileStatus, OutgoingStatus, ProfileActorState as Stand,
            ProfileActorStatus, VerificationMode,
        },
    },
    mail::Diagnosis,
    verify::{
        Report,
        conditions::{MESSAGE, cut},
        halt::whole_seconds,
        report::{human, oauth2_status, stage_status, text, tls_status},
    },
};

/// So many actors tell all that is known of them.
const FEW: usize = 8;

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

/// Takes up a new run: where what it rests on has changed, nothing that was found before speaks of it.
pub(super) fn begin(status: &mut EmailProfileStatus, run: &Run) {
    let anew = matches!(run.trigger, Trigger::First | Trigger::Changed);
    for actor in &mut status.actors {
        actor.attempt = None;
        if anew {
            let (name, zone) = (actor.name.clone(), actor.zone.take());
            *actor = ProfileActorStatus { name, zone, ..ProfileActorStatus::default() };
        }
    }
    status.outgoing = status.outgoing.take().filter(|_| !anew).map(|told| OutgoingStatus { state: Stand::Pending, ..told });
}

/// Takes up what a run found.
pub(super) fn found(status: &mut EmailProfileStatus, seen: &Seen<'_>, run: &Run, report: &RunReport) {
    for actor in &report.actors {
        found_by(status, seen, run, actor);
    }
    if let Some(tls) = report.actors.iter().find_map(|actor| actor.report.tls.as_ref()) {
        status.tls = Some(tls_status(tls));
    }
    for actor in &report.actors {
        status.oauth2 = oauth2_status(&actor.report, status.oauth2.take());
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

fn found_by(status: &mut EmailProfileStatus, seen: &Seen<'_>, run: &Run, actor: &ActorReport) {
    let begin = run.errands.iter().find(|errand| errand.actor == actor.name).map(|errand| errand.begin);
    settle_claim(status, run, begin, actor);
    let claimed = status.claims.iter().any(|claim| claim.actor == actor.name && claim.id == run.id);
    let looked_for = claimed || matches!(begin, Some(Begin::Look { .. }));
    if let (Some(mark), Some(verification)) = (&actor.mark, &mut status.verification) {
        verification.mailbox_mark.get_or_insert_with(|| cut(mark, 64).to_owned());
    }
    let told = entry(status, &actor.name);
    told.source_ip = text(actor.report.source_ip.as_deref(), 64).or(told.source_ip.take());
    told.checks = actor.report.stages.iter().take(16).map(stage_status).collect();
    if let Some(mail) = &actor.mail {
        told.sent_time = Some(Time(whole_seconds(mail.sent)));
    }
    if actor.awaits {
        // What was stopped before its mail left was no try.
        let (state, tries) =
            if looked_for { (Stand::AwaitingMessage, actor.attempt) } else { (Stand::Pending, actor.attempt - 1) };
        told.attempt = Some(tries).filter(|tries| *tries > 0).map(|tries| tries.min(1000));
        if looked_for || told.state == Stand::AwaitingMessage {
            told.state = state;
        }
        return;
    }
    told.attempt = Some(actor.attempt.clamp(1, 1000));
    match (&actor.found, actor.failure()) {
        (Some(found), _) => {
            told.state = Stand::Verified;
            told.received_time = Some(Time(whole_seconds(found.received)));
            told.duration = found.took.map(|took| cut(&human(took), 16).to_owned());
            told.authentication_results = Some(found.results.clone()).filter(|r| *r != AuthenticationResults::default());
            let after = told.duration.as_deref().map(|took| format!(" {took} after it was sent")).unwrap_or_default();
            received(told, format!("The code was found{after}."));
        }
        (None, Some(failure)) => {
            told.state = match is_open(failure) {
                // Our own limits ended the search: it goes on, and ends with a verdict on the mail.
                true if looked_for => Stand::AwaitingMessage,
                true => Stand::Pending,
                false => Stand::Unverified,
            };
            fails(told, failure);
        }
        (None, None) => visited(told, seen, actor),
    }
}

/// Frees the right to send where the mail never left its final dot; that of an earlier process stays, and so does that of a mail
/// that left, although the status that was read may be older than its claim.
fn settle_claim(status: &mut EmailProfileStatus, run: &Run, begin: Option<Begin>, actor: &ActorReport) {
    let own = |claim: &ActorClaim| claim.actor == actor.name && claim.id == run.id;
    match actor.mail.as_ref().filter(|mail| mail.dot_sent) {
        Some(mail) if !status.claims.iter().any(own) => {
            status.claims.retain(|claim| claim.actor != actor.name);
            status.claims.push(claim_for(run, &actor.name, actor.attempt, whole_seconds(mail.sent)));
        }
        // A claim that this run did not take may be another process's, and its mail on the way.
        None if begin == Some(Begin::Send) && actor.claimed => status.claims.retain(|claim| !own(claim)),
        Some(_) | None => {}
    }
}

/// Takes up a visit that went well. It shows no mail: what was proved before holds again, and nothing else does.
fn visited(told: &mut ProfileActorStatus, seen: &Seen<'_>, actor: &ActorReport) {
    if seen.is_manual() && told.received_time.is_some() {
        told.state = Stand::Verified;
        received(told, "The code was found before, and the mailbox still opens.".to_owned());
    } else if seen.is_manual() {
        let known = ["MessageNotReceived", "MessageInJunk", "MessageBounced"];
        told.state = Stand::Unverified;
        if told.reason.as_deref().is_none_or(|reason| !known.contains(&reason)) {
            let mailbox = seen.spec.mailbox.as_ref().and_then(|mailbox| mailbox.name.as_deref()).unwrap_or("INBOX");
            let missed = Diagnosis::new(Reason::MessageNotReceived)
                .fact("mailbox", mailbox)
                .fact("timeout", format!("{}s", seen.spec.timeout().get().as_secs()));
            fails(told, &missed);
        }
    } else if told.state != Stand::Verified {
        told.state = Stand::Pending;
        told.reason = None;
        told.message = text(Some(&actor.report.message()), MESSAGE);
        told.hint = None;
    }
}

fn received(told: &mut ProfileActorStatus, message: String) {
    told.reason = Some(Reason::CodeReceived.as_str().to_owned());
    told.message = Some(message);
    told.hint = None;
}

fn fails(told: &mut ProfileActorStatus, failure: &Diagnosis) {
    told.reason = Some(failure.reason.as_str().to_owned());
    told.message = text(Some(&failure.message()), MESSAGE);
    told.hint = text(Some(&failure.hint()), MESSAGE);
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
    shorten(&mut status.actors);
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

/// A status has to fit into one object, with what the API server keeps of it besides: many actors tell less each.
fn shorten(actors: &mut [ProfileActorStatus]) {
    if actors.len() <= FEW {
        return;
    }
    for actor in actors {
        for told in [&mut actor.message, &mut actor.hint] {
            *told = text(told.as_deref(), MESSAGE / 2);
        }
        for check in &mut actor.checks {
            check.detail = None;
        }
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
        Some(failure) if is_open(failure) => Stand::Pending,
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
