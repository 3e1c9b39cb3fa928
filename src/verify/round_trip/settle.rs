//! How a probe ends: by what came, by the time, or because it is not wanted any more. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{Came, Seen, matching::same_address, status::with_facts};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{InFlight, ProbeNote, RoundTripPolicyStatus},
    },
    mail::Diagnosis,
    verify::{
        conditions::{cut, sentence},
        halt::told_time,
    },
};

/// The most bytes of a note.
const NOTE: usize = 512;

/// How a probe ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Succeeded, or why not.
    pub reason: Reason,
    /// Who can help.
    pub class: Class,
    /// What is told of it.
    pub told: String,
    /// When the answer came, if one did.
    pub received: Option<Timestamp>,
    /// How long it took.
    pub took: Option<Duration>,
    /// It is its time alone that ended it: nothing was heard.
    pub by_time: bool,
    /// The From that our own mail came back with, where that was not ours any more; some and empty where it was ours.
    pub rewritten_from: Option<String>,
}

impl Outcome {
    /// That it failed.
    #[must_use]
    pub fn failed(seen: &Seen<'_>, failure: Diagnosis, received: Option<Timestamp>) -> Self {
        let failure = with_facts(seen, failure);
        Self {
            reason: failure.reason,
            class: failure.class,
            told: sentence(&failure),
            received,
            took: None,
            by_time: false,
            rewritten_from: None,
        }
    }

    /// That what was asked of it is not asked any more: the spec has changed, or what it names.
    #[must_use]
    pub fn superseded() -> Self {
        let told = "The spec, or what it names, changed while the answer was waited for.".to_owned();
        Self {
            reason: Reason::NewGeneration,
            class: Class::Information,
            told,
            received: None,
            took: None,
            by_time: false,
            rewritten_from: None,
        }
    }

    /// That it was given up as nothing goes out or comes in any more.
    #[must_use]
    pub fn interrupted(halt: &Diagnosis) -> Self {
        Self {
            reason: halt.reason,
            class: Class::Information,
            told: sentence(halt),
            received: None,
            took: None,
            by_time: false,
            rewritten_from: None,
        }
    }

    /// What the mails that came make of the probe in flight, if that settles it: a right answer before all else.
    #[must_use]
    pub fn of_what_came(seen: &Seen<'_>, probe: &InFlight) -> Option<Self> {
        let about = || seen.came.iter().filter(|came| came.probe == probe.id);
        let right = about().filter(|came| came.answer.failure.is_none()).min_by_key(|came| came.received);
        if let Some(Came { received, answer, .. }) = right {
            let rewritten_from = answer.rewritten_from.clone();
            let span = took(probe, (*received).min(seen.object.now));
            let took = duration(span);
            // What is here before its time is over is in time, whatever the receiver's clock says.
            if *received > probe.deadline.0 && seen.object.now > probe.deadline.0 {
                let late = Diagnosis::new(Reason::ReplyLate)
                    .detail("the answer came after its time")
                    .fact("took", took)
                    .fact("timeout", seen.spec.timeout().to_string());
                return Some(Self { rewritten_from, took: Some(span), ..Self::failed(seen, late, Some(*received)) });
            }
            return Some(Self {
                reason: Reason::Succeeded,
                class: Class::Information,
                told: format!("The answer came after {took}."),
                received: Some(*received),
                took: Some(span),
                by_time: false,
                rewritten_from,
            });
        }
        let bounce = about().find(|came| is_final(came, &seen.spec.to))?;
        Some(Self::failed(seen, bounce.answer.failure.clone()?, None))
    }

    /// What a mail that came and settles nothing is worth remembering as: a wrong answer, or that the mail is held up.
    #[must_use]
    pub fn note_of_what_came(seen: &Seen<'_>, probe: &InFlight) -> Option<ProbeNote> {
        let known = probe.noted.as_ref().map(|note| note.reason.as_str());
        let wrong = |came: &&Came| failure(came).is_some_and(|reason| weight(reason.as_str()) > known.map_or(0, weight));
        let came = seen.came.iter().filter(|came| came.probe == probe.id).filter(wrong);
        let worst = came.max_by_key(|came| failure(came).map_or(0, |reason| weight(reason.as_str())))?;
        Some(note(seen, worst.answer.failure.clone()?))
    }

    /// That its time is over: by what was noted of it, if anything was.
    #[must_use]
    pub fn timed_out(seen: &Seen<'_>, probe: &InFlight) -> Self {
        if let Some(note) = &probe.noted {
            let known = Reason::ALL.iter().copied().find(|known| known.as_str() == note.reason);
            let reason = known.unwrap_or(Reason::ReplyTimeout);
            let class = if reason.class() == Class::Information { Class::Transient } else { reason.class() };
            return Self {
                reason,
                class,
                told: note.message.clone().unwrap_or_default(),
                received: None,
                took: None,
                by_time: true,
                rewritten_from: None,
            };
        }
        let Some(sent) = &probe.sent_at else {
            return Self { by_time: true, ..Self::failed(seen, Diagnosis::new(Reason::ProbeLost), None) };
        };
        let silent = Diagnosis::new(Reason::ReplyTimeout)
            .fact("timeout", seen.spec.timeout().to_string())
            .fact("sentAt", told_time(sent.0))
            .fact("messageID", probe.id.as_str());
        Self { by_time: true, ..Self::failed(seen, silent, None) }
    }

    /// That the right answer came in time, though we heard of it only later.
    #[must_use]
    pub fn in_time(came: &Came, took: Duration) -> Self {
        Self {
            reason: Reason::Succeeded,
            class: Class::Information,
            told: format!("The answer came after {}.", duration(took)),
            received: Some(came.received),
            took: Some(took),
            by_time: false,
            rewritten_from: came.answer.rewritten_from.clone(),
        }
    }

    /// That our own limits kept the answer from being looked for until its time was over: no verdict.
    #[must_use]
    pub fn unjudged(seen: &Seen<'_>, failure: Diagnosis) -> Self {
        Self { class: Class::Information, ..Self::failed(seen, failure, None) }
    }

    /// Whether it says that the round trip does not work: not where it was given up by us.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.class != Class::Information
    }
}

/// A failure, to be remembered with the probe in flight.
pub(super) fn note(seen: &Seen<'_>, failure: Diagnosis) -> ProbeNote {
    let failure = with_facts(seen, failure);
    ProbeNote { reason: failure.reason.as_str().to_owned(), message: Some(cut(&sentence(&failure), NOTE).to_owned()) }
}

/// Whether a status holds all that is to be said of what came: then it may be forgotten.
#[must_use]
pub fn is_told(came: &Came, status: &RoundTripPolicyStatus) -> bool {
    let Some(probe) = status.in_flight.as_ref().filter(|probe| probe.id == came.probe) else { return true };
    let noted = probe.noted.as_ref().map_or(0, |note| weight(&note.reason));
    failure(came).is_some_and(|reason| weight(reason.as_str()) <= noted)
}

/// Whether it is a report that the mail did not reach whom it went to. Behind an alias one recipient's mail may come back while
/// another answers.
fn is_final(came: &Came, to: &str) -> bool {
    let bounce = came.answer.failure.as_ref().filter(|failure| failure.reason == Reason::MessageBounced);
    bounce
        .is_some_and(|bounce| bounce.get("recipient").is_none_or(|recipient| recipient.is_empty() || same_address(recipient, to)))
}

fn failure(came: &Came) -> Option<Reason> {
    came.answer.failure.as_ref().map(|failure| failure.reason)
}

/// How much something says of what became of a probe: a wrong answer more than a delay, and a delay more than that nobody heard
/// whether the mail left.
#[must_use]
pub fn weight(reason: &str) -> u8 {
    let known = |reasons: &[Reason]| reasons.iter().any(|known| known.as_str() == reason);
    if known(&[Reason::MessageInJunk]) {
        6
    } else if known(&[Reason::ReplyBodyMissing]) {
        5
    } else if known(&[Reason::ReplySubjectMissing]) {
        4
    } else if known(&[Reason::ReplyFromMismatch]) {
        3
    } else if known(&[Reason::MessageDelayed, Reason::MessageBounced]) {
        2
    } else {
        1
    }
}

/// How long an answer took: from the moment that the server had taken the mail, where that is known.
pub(super) fn took(probe: &InFlight, received: Timestamp) -> Duration {
    let sent = probe.sent_at.as_ref().map_or(probe.claimed_at.0, |sent| sent.0);
    // The receiver's clock may be behind ours.
    Duration::try_from(received.duration_since(sent)).unwrap_or_default()
}

/// A duration as the status tells it: 12ms, 1.2s, 3m5s.
pub(super) fn duration(span: Duration) -> String {
    if span.as_secs() >= 60 {
        return format!("{}m{}s", span.as_secs() / 60, span.as_secs() % 60);
    }
    if span.as_secs() >= 1 { format!("{:.1}s", span.as_secs_f64()) } else { format!("{}ms", span.as_millis()) }
}
