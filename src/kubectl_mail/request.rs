//! A request for a verification: the annotation that asks for it, and whether it was answered.

use jiff::Timestamp;
use kube::ResourceExt;
use mailverity::api::v1alpha1::VERIFY_REQUESTED_AT;

use super::object::Object;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    value: String,
    /// What others wrote in its place since: one annotation holds one request.
    later: Vec<String>,
    /// What was answered before ours: a GitOps tool that puts it back asks for nothing.
    before: Option<String>,
}

impl Request {
    /// One of now, with sub-seconds, so that two in one second are two.
    pub fn now() -> Self {
        Self { value: format!("{:.6}", Timestamp::now()), later: Vec::new(), before: None }
    }

    /// What it writes into the annotation.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it was answered, as an object is that was read after it was written; `answered` is what its status answers. A request that
    /// took its place speaks for it: what began for that one began later. No clock is asked, as two machines may have two.
    pub fn is_answered(&mut self, object: &Object, answered: Option<&str>) -> bool {
        self.is_answered_by(object.raw.annotations().get(VERIFY_REQUESTED_AT).map(String::as_str), answered)
    }

    /// The same, of the annotation as it was `written`.
    pub fn is_answered_by(&mut self, written: Option<&str>, answered: Option<&str>) -> bool {
        if written == Some(self.value.as_str()) {
            self.before = answered.map(str::to_owned);
        } else if let Some(written) = written.filter(|written| self.before.as_deref() != Some(*written)) {
            self.later.push(written.to_owned());
            self.later.dedup();
        }
        answered.is_some_and(|answered| self.value == answered || self.later.iter().any(|later| later == answered))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Kind, object::tests::object};

    #[test]
    fn a_request_that_another_took_the_place_of_is_answered_with_that() {
        let mut ours = Request::now();
        let asked = ours.value.clone();
        assert!(!ours.is_answered_by(Some(&asked), None));
        // What was answered before, by a machine whose clock is ahead, is no answer.
        assert!(!ours.is_answered_by(Some(&asked), Some("2026-11-22T11:30:00Z")));
        assert!(ours.clone().is_answered_by(Some(&asked), Some(&asked)));
        assert!(!ours.is_answered_by(Some("2026-11-22T11:30:00Z"), Some("2026-11-22T11:30:00Z")), "it was put back");
        // Another machine's clock is behind, and a third asks before the second's answer is seen.
        assert!(!ours.is_answered_by(Some("2026-11-22T10:59:00Z"), Some("2026-11-22T11:30:00Z")));
        assert!(ours.is_answered_by(Some("now!"), Some("2026-11-22T10:59:00Z")));
        assert!(ours.is_answered_by(None, Some("now!")));
        assert!(!ours.is_answered_by(None, None));
    }

    #[test]
    fn what_took_its_place_is_read_from_the_annotation() {
        let mut ours = Request::now();
        let mut relay = object(Kind::MailServer, "relay", &json!({}), &json!({}));
        for (written, answer, answered) in [(ours.value().to_owned(), "earlier", false), ("later".to_owned(), "later", true)] {
            relay.raw.annotations_mut().insert(VERIFY_REQUESTED_AT.to_owned(), written);
            assert_eq!(ours.is_answered(&relay, Some(answer)), answered);
        }
    }
}
