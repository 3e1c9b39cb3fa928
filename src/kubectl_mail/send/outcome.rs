//! What the object of a `send` tells: whether its end is known, and whether the mail went.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use mailverity::{
    api::v1alpha1::{CheckPhase, MailServerStatus, condition},
    mail::diagnosis::printable,
};

use crate::{Exit, describe, object::Object};

/// Whether it was tried to send it, or cannot be tried.
pub fn is_over(object: &Object) -> bool {
    let MailServerStatus { last_check, claim, conditions, .. } = object.status();
    let refused = |kind: &str| conditions.iter().any(|found| found.type_ == kind && found.status == "False");
    let stopped = object.text("/status/state") == "Suspended" || object.text("/status/state") == "Paused";
    // What stops an object is told at once, also while a check of it has the right to send: its end says whether the mail went.
    let is_open = claim.is_some() && last_check.is_some_and(|check| check.phase == CheckPhase::Running);
    is_tried(object) || (!is_open && (refused(condition::ACCEPTED) || refused(condition::RESOLVED_REFS) || stopped))
}

/// Whether it was tried to send it.
pub fn is_tried(object: &Object) -> bool {
    let MailServerStatus { last_check, conditions, .. } = object.status();
    // A budget that is used up is waited for, for as long as there is time.
    let waits = conditions.iter().any(|found| found.reason == "RateBudgetExceeded");
    !waits && last_check.is_some_and(|check| check.phase == CheckPhase::Finished)
}

/// What an object comes to as it was when it went; or why that is not known.
pub fn told(last: Result<&Object, &str>, through: &str, to: &str) -> (Vec<String>, Exit) {
    let object = match last {
        Ok(object) => object,
        Err(why) => return (vec![format!("Perhaps sent  {through} to {to}  {why}")], Exit::Unverified),
    };
    let mut lines = describe::sessions(object);
    let conditions = object.conditions();
    let tested = conditions.iter().find(|found| found.type_ == condition::DELIVERY_TESTED);
    let taken = tested.is_some_and(|tested| tested.status == "True");
    // Where it did not come as far as the mail, the summary says why.
    let why = tested.cloned().filter(|_| taken).or_else(|| object.summary());
    let why = why.map(|why| format!("{}: {}", why.reason, printable(&why.message, 1200)));
    let why = why.unwrap_or_else(|| "no operator has looked at it".to_owned());
    let late = if is_over(object) { "" } else { "not in time; " };
    let word = match (taken, may_be_sent(object, tested)) {
        (true, _) => "Sent",
        (false, true) => "Perhaps sent",
        (false, false) => "Not sent",
    };
    lines.push(format!("{word}  {through} to {to}  {late}{why}"));
    (lines, if taken { Exit::Good } else { Exit::Unverified })
}

/// Whether the mail may have gone: cut off behind the final dot, or claimed without a refusal that settled the claim. Whoever sends again
/// may send it twice.
fn may_be_sent(object: &Object, tested: Option<&Condition>) -> bool {
    let MailServerStatus { last_check, claim, .. } = object.status();
    let is_running = last_check.is_some_and(|check| check.phase == CheckPhase::Running);
    let is_refused = tested.is_some_and(|tested| tested.status == "False");
    tested.is_some_and(|tested| tested.reason == "DeliveryUncertain") || (claim.is_some() && (is_running || !is_refused))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{Kind, object::tests::object};

    fn errand(conditions: &[(&str, &str, &str)], rest: Value) -> Object {
        let condition = |(kind, status, reason): &(&str, &str, &str)| json!({"type": kind, "status": status, "reason": reason, "message": "So.", "lastTransitionTime": "2026-11-22T10:00:00Z"});
        let mut status = rest;
        status["conditions"] = conditions.iter().map(condition).collect();
        object(Kind::MailServer, "relay-send-1", &json!({"host": "a"}), &status)
    }

    /// The same with a claim that is held.
    fn claimed(mut rest: Value) -> Value {
        rest["lastCheck"] = json!({"id": "c", "phase": "Running", "level": "Deliver"});
        rest["claim"] = json!({"id": "c", "purpose": "Test", "attempt": 1, "startedAt": "2026-11-22T10:00:00Z"});
        rest
    }

    fn finished() -> Value {
        json!({"lastCheck": {"id": "c", "phase": "Finished", "level": "Deliver"}})
    }

    #[test]
    fn it_is_over_once_it_was_tried_or_cannot_be() {
        assert!(!is_over(&errand(&[], json!({}))));
        assert!(!is_over(&errand(&[], json!({"lastCheck": {"id": "c", "phase": "Running", "level": "Deliver"}}))));
        assert!(is_over(&errand(&[("Ready", "True", "Succeeded")], finished())));
        assert!(!is_over(&errand(&[("DeliveryTested", "Unknown", "RateBudgetExceeded")], finished())), "there may be room soon");
        assert!(is_over(&errand(&[("ResolvedRefs", "False", "SecretNotFound")], json!({}))));
        assert!(is_over(&errand(&[("Suspended", "True", "Paused")], json!({"state": "Paused"}))));
        let stopped = json!({"state": "Paused"});
        for (conditions, rest) in
            [(&[("Suspended", "True", "Paused")], stopped), (&[("ResolvedRefs", "False", "SecretNotFound")], json!({}))]
        {
            assert!(!is_over(&errand(conditions, claimed(rest))), "{conditions:?}: its end will say whether the mail went");
        }
    }

    #[test]
    fn what_the_server_took_is_sent_and_all_else_is_not() {
        let words = |conditions: &[(&str, &str, &str)]| {
            let (lines, exit) = told(Ok(&errand(conditions, finished())), "MailServer mail/relay", "x@b.example");
            (lines.join("\n"), exit)
        };
        let sent = words(&[("Ready", "True", "Succeeded"), ("DeliveryTested", "True", "TestMessageAccepted")]);
        assert_eq!(sent, ("Sent  MailServer mail/relay to x@b.example  TestMessageAccepted: So.".to_owned(), Exit::Good));
        let refused = words(&[("Ready", "False", "RecipientRejected"), ("DeliveryTested", "False", "RecipientRejected")]);
        assert_eq!(refused.0, "Not sent  MailServer mail/relay to x@b.example  RecipientRejected: So.");
        assert_eq!(
            words(&[("Ready", "Unknown", "ObserveOnly"), ("DeliveryTested", "Unknown", "ObserveOnly")]).1,
            Exit::Unverified
        );
        let cut = words(&[("Ready", "False", "DeliveryUncertain"), ("DeliveryTested", "False", "DeliveryUncertain")]);
        assert_eq!(cut.0, "Perhaps sent  MailServer mail/relay to x@b.example  DeliveryUncertain: So.");
        for (conditions, rest) in [
            (&[][..], json!({})),
            (&[("Suspended", "True", "Suspended")], json!({"state": "Suspended"})),
            (&[("Suspended", "True", "Paused")], json!({"state": "Paused"})),
            (&[("ResolvedRefs", "False", "SecretNotFound")], json!({})),
            // Of an attempt before.
            (&[("DeliveryTested", "False", "RecipientRejected")], json!({})),
        ] {
            let (lines, exit) = told(Ok(&errand(conditions, claimed(rest))), "MailServer mail/relay", "x@b.example");
            assert!(lines[0].starts_with("Perhaps sent  ") && exit == Exit::Unverified, "{lines:?}");
        }
        let (lines, exit) = told(Err("nobody answers"), "MailServer mail/relay", "x@b.example");
        assert_eq!(lines, ["Perhaps sent  MailServer mail/relay to x@b.example  nobody answers"]);
        assert_eq!(exit, Exit::Unverified);
        let (lines, _) = told(Ok(&errand(&[], json!({}))), "MailServer mail/relay", "x@b.example");
        assert_eq!(lines, ["Not sent  MailServer mail/relay to x@b.example  not in time; no operator has looked at it"]);
    }
}
