//! Words.
use super::classify::Said;
use crate::api::Reason;
pub(super) const TOO_MANY: &[&str] = &["too many"];
pub(super) const PASSWORD_JUDGED: &[&str] = &["authentication failed"];
pub(super) struct Row {
    pub(super) reason: Reason,
}
pub(super) fn find(_said: &Said<'_>) -> Option<&'static Row> {
    None
}
