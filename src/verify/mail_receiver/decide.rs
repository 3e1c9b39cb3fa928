//! What is to be done with a `MailReceiver` now, and when to look again. Pure. Next: `status`.

use std::time::Duration;

use jiff::Timestamp;

use super::{Certificate, Look, Seen, inputs};
use crate::{
    mail::Diagnosis,
    verify::{agenda::Agenda, schedule::begun},
};

/// The time between two looks at the MX records.
pub const INTERVAL: Duration = Duration::from_hours(1);
/// How long before its end a certificate is warned of.
pub const EXPIRY_WARNING: Duration = Duration::from_hours(336);

/// What is to be done, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is to be done now.
    pub what: What,
    /// When to decide again, if nothing happens before.
    pub next: Option<Timestamp>,
}

/// What is to be done now. A look that runs goes on only under `Running`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing.
    Rest,
    /// A look is under way.
    Running,
    /// The MX records are to be looked at.
    Look(Look),
}

/// What in the spec or the annotations makes no sense.
#[must_use]
pub fn unacceptable(seen: &Seen<'_>) -> Option<Diagnosis> {
    seen.object.brakes().unacceptable().or_else(|| inputs::allowed_sources(seen.spec).err())
}

/// What is to be done now.
#[must_use]
pub fn decide(seen: &Seen<'_>) -> Plan {
    let mut next = Vec::new();
    let what = what(seen, &mut next);
    if seen.listeners.is_empty() {
        next.push(seen.noticed_by);
    }
    if let Certificate::Good(pair) = &seen.certificate
        && let Some(end) = pair.status.not_after.as_deref().and_then(|end| end.parse::<Timestamp>().ok())
    {
        next.push(end);
        next.extend(end.checked_sub(EXPIRY_WARNING));
    }
    Plan { what, next: next.into_iter().filter(|time| *time > seen.object.now).min() }
}

fn what(seen: &Seen<'_>, next: &mut Vec<Timestamp>) -> What {
    if seen.object.deleted {
        return What::Rest;
    }
    if let Some(halt) = seen.object.brakes().halt() {
        next.extend(halt.until);
        return What::Rest;
    }
    if seen.spec.expected_mx.is_none() || unacceptable(seen).is_some() {
        return What::Rest;
    }
    let look = || Look {
        id: begun(seen.object.uid, seen.object.generation, seen.object.now),
        started: seen.object.now,
        generation: seen.object.generation,
        request: seen.object.request(),
    };
    if let Some(running) = &seen.running {
        let same = running.generation == seen.object.generation && running.request == seen.object.request();
        return if same { What::Running } else { What::Look(look()) };
    }
    if seen.object.request().is_some() || !seen.is_looked_at() {
        return What::Look(look());
    }
    let due = due(seen);
    if due <= seen.object.now {
        return What::Look(look());
    }
    next.push(due);
    What::Rest
}

fn due(seen: &Seen<'_>) -> Timestamp {
    Agenda {
        uid: seen.object.uid,
        interval: INTERVAL,
        fresh: seen.object.is_fresh(),
        spread: false,
        checked: true,
        planned: seen.status.and_then(|status| status.next_check_time.as_ref()).map(|planned| planned.0),
        current: true,
        was_held: false,
        was_halted: seen.object.was_halted(),
        failed: seen.failures > 0,
        created: seen.object.created,
        since: seen.object.since,
        now: seen.object.now,
    }
    .due()
}
