//! What failed in a run and may be tried again before the next one.

use jiff::Timestamp;

use super::is_open;
use crate::{
    api::{Class, Reason, v1alpha1::EmailProfileStatus},
    mail::Diagnosis,
    verify::email_profile::{RunReport, decide::claim_of, run::is_about_the_mail},
};

/// Something that failed and may be tried again before the next due time: nothing of its mail has left.
#[derive(Debug)]
pub struct Retry {
    /// How often it was tried.
    pub attempt: u32,
    /// When our own limits have room again, where those stopped it.
    pub room: Option<Timestamp>,
}

/// What failed and may be tried again before the next run: nothing of its mail has left.
pub fn retries(status: &EmailProfileStatus, report: &RunReport) -> Vec<Retry> {
    let cured = |failure: &Diagnosis| (failure.class != Class::User || is_open(failure)) && !is_about_the_mail(failure);
    let room = |failure: &Diagnosis| {
        let named = if failure.reason == Reason::CredentialHeld { "until" } else { "next" };
        failure.get(named).filter(|_| is_open(failure)).and_then(|time| time.parse().ok())
    };
    let again = |attempt, failure| Retry { attempt, room: room(failure) };
    let actors = report.actors.iter().filter(|actor| claim_of(status, &actor.name).is_none());
    let actors = actors.filter_map(|actor| {
        let failure = actor.failure().filter(|failure| cured(failure))?;
        Some(again(u32::try_from(actor.attempt).unwrap_or(1), failure))
    });
    let outgoing = report.outgoing.as_ref().and_then(|outgoing| outgoing.failure.as_ref());
    actors.chain(outgoing.filter(|failure| cured(failure)).map(|failure| again(1, failure))).collect()
}
