//! What a run comes to as a whole: one failure that stands for all that failed, or what works and not as it should.

use std::time::Duration;

use crate::{
    api::{
        Class, Reason,
        v1alpha1::{EmailProfileStatus, ProfileActorState as Stand, ProfileActorStatus},
    },
    mail::Diagnosis,
    verify::{
        conditions::{sentence, sentence_of},
        email_profile::{ActorReport, RunReport, Seen, decide::class_of},
    },
};

/// What stands for all that failed.
pub struct Summary {
    /// Who can mend it.
    pub class: Class,
    /// Its name.
    pub reason: String,
    /// In words.
    pub told: String,
}

/// One failure that stands for all that failed, in this part of the run or before it.
pub fn summary(status: &EmailProfileStatus, report: &RunReport) -> Option<Summary> {
    let actors = &status.actors;
    let failed: Vec<Summary> =
        actors.iter().filter(|actor| actor.state == Stand::Unverified).map(|actor| fault(actor, report)).collect();
    let class = if failed.iter().any(|fault| fault.class == Class::User) { Class::User } else { Class::Transient };
    let all_failed = failed.len() == actors.len();
    let mut failed = failed.into_iter();
    let Some(first) = failed.next() else { return outgoing(status, report) };
    if all_failed && failed.all(|fault| fault.reason == first.reason) {
        return Some(Summary { class, ..first });
    }
    let unverified: Vec<&str> =
        actors.iter().filter(|actor| actor.state != Stand::Verified).map(|actor| actor.name.as_str()).collect();
    let some = Diagnosis::new(Reason::SomeActorsUnverified)
        .fact("verified", (actors.len() - unverified.len()).to_string())
        .fact("all", actors.len().to_string())
        .fact("names", unverified.join(", "));
    Some(Summary { class, reason: some.reason.as_str().to_owned(), told: some.hint() })
}

/// What failed at the outgoing server.
fn outgoing(status: &EmailProfileStatus, report: &RunReport) -> Option<Summary> {
    let told = status.outgoing.as_ref().filter(|outgoing| outgoing.state == Stand::Unverified)?;
    let reason = told.reason.clone().unwrap_or_default();
    let failure = report.outgoing.as_ref().and_then(|outgoing| outgoing.failure.as_ref());
    let message = format!("Outgoing server {}: {}", told.address, told.message.as_deref().unwrap_or_default());
    Some(Summary {
        class: failure.map_or_else(|| class_of(&reason), |failure| failure.class),
        told: sentence_of(&message, told.hint.as_deref().unwrap_or_default()),
        reason,
    })
}

/// What one actor's failure comes to: as it was reported now, or else as it was told before.
fn fault(actor: &ProfileActorStatus, report: &RunReport) -> Summary {
    let reported = report.actors.iter().find(|reported| reported.name == actor.name).and_then(ActorReport::failure);
    if let Some(failure) = reported {
        return Summary { class: failure.class, reason: failure.reason.as_str().to_owned(), told: sentence(failure) };
    }
    let reason = actor.reason.clone().unwrap_or_default();
    let told = sentence_of(actor.message.as_deref().unwrap_or_default(), actor.hint.as_deref().unwrap_or_default());
    Summary { class: class_of(&reason), reason, told }
}

/// What works, and not as it should.
pub fn shortcoming(seen: &Seen<'_>, status: &EmailProfileStatus) -> Option<Diagnosis> {
    let from = seen.observed.as_ref().ok().and_then(|observed| observed.from.as_deref()).unwrap_or_default();
    if from.eq_ignore_ascii_case(&seen.spec.address) {
        return Some(Diagnosis::new(Reason::SharedMailbox).fact("address", from));
    }
    let timeout = seen.spec.timeout().get();
    let slowest = status.actors.iter().filter_map(|actor| {
        let took = actor.received_time.as_ref()?.0.duration_since(actor.sent_time.as_ref()?.0);
        Duration::try_from(took).ok()
    });
    let slow = slowest.max().filter(|slowest| *slowest > timeout / 2)?;
    Some(
        Diagnosis::new(Reason::SlowMail)
            .fact("took", format!("{}s", slow.as_secs()))
            .fact("timeout", format!("{}s", timeout.as_secs())),
    )
}
