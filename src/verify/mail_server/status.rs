//! The status that follows from what was seen, decided and found. Pure; whether it is written is [`differs`]' to say,
//! and which Events go with it [`transitions`]'.

use jiff::Timestamp;

use super::{Check, Plan, Seen};
use crate::{api::v1alpha1::MailServerStatus, verify::Report};

/// An Event that a transition is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Warning or Normal.
    pub warning: bool,
    /// The reason, from the table.
    pub reason: String,
    /// What happened, at most 1024 characters.
    pub note: String,
}

/// The status to be told.
///
/// At the end of a check `seen` is observed anew, `plan.what` is the `Check` that began it, and `report` what it found.
#[must_use]
pub fn status(seen: &Seen<'_>, plan: &Plan, report: Option<&Report>) -> MailServerStatus {
    let _ = (plan, report);
    seen.status.cloned().unwrap_or_default()
}

/// The status that takes the claim to send the mail of `check` (promise 1): to be applied with the resourceVersion of
/// `seen`, and the mail may be sent only if that was accepted.
#[must_use]
pub fn claim(seen: &Seen<'_>, check: &Check, now: Timestamp) -> MailServerStatus {
    let _ = (check, now);
    seen.status.cloned().unwrap_or_default()
}

/// Whether a status is worth writing: it differs in more than times.
#[must_use]
pub fn differs(old: Option<&MailServerStatus>, new: &MailServerStatus) -> bool {
    old != Some(new)
}

/// The Events that go with the change from one status to the next.
#[must_use]
pub fn transitions(old: Option<&MailServerStatus>, new: &MailServerStatus) -> Vec<Event> {
    let _ = (old, new);
    Vec::new()
}
