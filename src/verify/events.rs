//! Which Events go with a change of conditions: one for each cause, on transitions only. The same for all kinds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::{Reason, v1alpha1::condition as c},
    verify::conditions::{MESSAGE, Truth, cut},
};

/// An Event that a transition is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Warning or Normal.
    pub warning: bool,
    /// The reason, from the table.
    pub reason: String,
    /// What happened, at most 1024 bytes.
    pub note: String,
}

/// The Events that go with the change from the conditions `old` (none: the first) to `new`: one for each cause.
#[must_use]
pub fn transitions(old: Option<&[Condition]>, new: &[Condition]) -> Vec<Event> {
    // The summary comes last: where it only repeats what stands before, it is silent.
    const TOLD: [&str; 14] = [
        c::ACCEPTED,
        c::SUSPENDED,
        c::DELIVERY_TESTED,
        c::VERIFIED,
        c::ROUND_TRIP_HEALTHY,
        c::LISTENING,
        c::MX_RECORDS_VALID,
        c::RESOLVED_REFS,
        c::SENDER_ALIGNED,
        c::CREDENTIAL_HELD,
        c::DEGRADED,
        c::CERTIFICATE_EXPIRING,
        c::FROM_REWRITTEN,
        c::READY,
    ];
    let find = |list: &[Condition], kind: &str| list.iter().find(|c| c.type_ == kind).cloned();
    // A refused login is told where it was refused, and not once more for the hold that it brings.
    let is_of_a_login = |reason: &str| {
        let known = Reason::ALL.iter().find(|known| known.as_str() == reason);
        known.is_some_and(|known| known.row().condition == Some(c::AUTHENTICATED))
    };
    let refused = find(new, c::AUTHENTICATED).is_some_and(|c| c.status == Truth::False.as_str())
        || find(new, c::VERIFIED).is_some_and(|c| c.status == Truth::False.as_str() && is_of_a_login(&c.reason));
    let mut events: Vec<Event> = Vec::new();
    for kind in TOLD.into_iter().filter(|kind| !(refused && *kind == c::CREDENTIAL_HELD)) {
        let event = event(kind, old.and_then(|old| find(old, kind)).as_ref(), find(new, kind));
        events.extend(event.filter(|event| events.iter().all(|told| told.reason != event.reason)));
    }
    events
}

/// What one condition's change is worth.
fn event(kind: &str, old: Option<&Condition>, new: Option<Condition>) -> Option<Event> {
    let was = |truth: Truth| old.is_some_and(|c| c.status == truth.as_str());
    // Those that stand there only while they are True.
    let passing = [c::SUSPENDED, c::CREDENTIAL_HELD, c::DEGRADED, c::CERTIFICATE_EXPIRING, c::FROM_REWRITTEN].contains(&kind);
    let tell = |warning: bool, c: Condition| Event { warning, reason: c.reason, note: cut(&c.message, MESSAGE).to_owned() };
    let other = |new: &Condition| old.is_none_or(|old| old.reason != new.reason);
    match (passing, new) {
        (true, Some(new)) if other(&new) => Some(tell(kind != c::SUSPENDED, new)),
        (true, None) if kind == c::SUSPENDED && old.is_some() => {
            Some(Event { warning: false, reason: "Resumed".to_owned(), note: "Checks go on.".to_owned() })
        }
        (true, _) | (false, None) => None,
        (false, Some(new)) => match new.status.as_str() {
            "False" if !was(Truth::False) || other(&new) => Some(tell(true, new)),
            "True" if !was(Truth::True) => match kind {
                c::ACCEPTED => Some(Event { reason: c::ACCEPTED.to_owned(), ..tell(false, new) }),
                c::VERIFIED | c::ROUND_TRIP_HEALTHY | c::LISTENING | c::MX_RECORDS_VALID => {
                    Some(Event { reason: kind.to_owned(), ..tell(false, new) })
                }
                c::DELIVERY_TESTED => Some(tell(false, new)),
                _ => None,
            },
            _ => None,
        },
    }
}
