//! What an operator makes of a request: a device code that a person is to enter, and a checked token in the end.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use mailverity::api::{
    Reason,
    v1alpha1::{DeviceCode, condition},
};
use tokio::time::Instant;

use super::object::{Object, Seen};
use crate::{Error, Exit, Patience, Request};

/// How long an operator may take to notice a request before what stands in its way is told.
const NOTICED: Duration = Duration::from_secs(10);

/// What is to be done after a look.
#[derive(Debug, PartialEq)]
enum Next<'a> {
    Wait,
    /// A person is to enter this.
    Show(&'a DeviceCode),
    /// It is over: how, and in which words.
    Over(Exit, String),
}

/// Asks for a check, and follows it to its end, or to the deadline.
pub async fn follow(object: &Object, client: &Client, namespace: &str, deadline: Instant) -> Result<Exit, Error> {
    let mut asked = Request::now();
    object.ask(client, namespace, asked.value()).await?;
    let noticed = Instant::now() + NOTICED;
    let mut shown = None;
    let once = async || {
        let seen = object.look(client, namespace).await?;
        let answered = asked.is_answered_by(seen.requested.as_deref(), seen.answered.as_deref());
        Ok((seen, answered))
    };
    let is_enough = |(seen, answered): &(Seen, bool)| match seen.next(*answered, Instant::now() >= noticed) {
        Next::Over(..) => true,
        Next::Show(code) if shown.as_ref() != Some(&code.user_code) => {
            println!("Open {}\nand enter {}\nbefore {}", code.verification_uri, code.user_code, code.expires_at.0);
            shown = Some(code.user_code.clone());
            false
        }
        Next::Show(_) | Next::Wait => false,
    };
    let (seen, answered) = Patience::until(deadline).look(once, is_enough).await?;
    if let Next::Over(exit, words) = seen.next(answered, Instant::now() >= noticed) {
        println!("{object}: {words}");
        return Ok(exit);
    }
    println!("{object}: {}", if shown.is_some() { "nobody has signed in yet" } else { "the check is not over yet" });
    Ok(Exit::Unverified)
}

impl Seen {
    /// What is to be done, where our request was `answered` or not, and the operator had its time to notice.
    fn next(&self, answered: bool, noticed: bool) -> Next<'_> {
        let find = |kind: &str| self.conditions.iter().find(|condition| condition.type_ == kind);
        let told = |condition: &Condition| format!("{}: {}", condition.reason, condition.message);
        if !answered {
            let blocks =
                [condition::SUSPENDED, condition::CREDENTIAL_HELD].into_iter().filter_map(find).find(|c| c.status == "True");
            let missing =
                [condition::ACCEPTED, condition::RESOLVED_REFS].into_iter().filter_map(find).find(|c| c.status == "False");
            // Where the operator has nowhere to keep what a person would bring, it asks nobody.
            let refused = find(condition::CREDENTIALS_READY).filter(|c| c.reason == Reason::OAuthTokenFailed.as_str());
            return match blocks.or(missing).or(refused) {
                Some(blocks) if noticed => Next::Over(Exit::Unverified, format!("not asked for yet; {}", told(blocks))),
                _ => Next::Wait,
            };
        }
        let Some(credentials) = find(condition::CREDENTIALS_READY) else { return Next::Wait };
        if credentials.reason == Reason::DeviceCodePending.as_str() {
            return self.code.as_ref().map_or(Next::Wait, Next::Show);
        }
        if credentials.status != "True" {
            return Next::Over(Exit::Unverified, told(credentials));
        }
        // The next check began with the token and has not come to its end.
        let stale = |ready: &Condition| ready.reason == Reason::DeviceCodePending.as_str();
        match find(condition::READY) {
            Some(ready) if ready.status == "True" && !self.is_running => Next::Over(Exit::Good, told(ready)),
            Some(ready) if ready.status == "False" && !self.is_running && !stale(ready) => {
                Next::Over(Exit::Unverified, format!("signed in; {}", told(ready)))
            }
            _ => Next::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ASKED: &str = "2026-11-22T11:00:00Z";

    fn seen(credentials: (&str, &str), ready: (&str, &str)) -> Seen {
        let condition = |kind: &str, (status, reason): (&str, &str)| {
            serde_json::from_value(json!({"type": kind, "status": status, "reason": reason, "message": "So.",
                "lastTransitionTime": ASKED}))
            .unwrap()
        };
        let conditions = vec![condition(condition::CREDENTIALS_READY, credentials), condition(condition::READY, ready)];
        let code = serde_json::from_value(json!({"verificationURI": "https://login.test", "userCode": "AB", "expiresAt": ASKED}));
        Seen { code: code.unwrap(), conditions, ..Seen::default() }
    }

    #[test]
    fn the_code_is_shown_until_somebody_has_signed_in_and_the_check_is_over() {
        let pending = ("False", "DeviceCodePending");
        let waits = seen(pending, pending);
        assert!(matches!(waits.next(true, true), Next::Show(code) if code.user_code == "AB"));
        let checks = seen(("True", "TokenAcquired"), pending);
        assert_eq!(checks.next(true, true), Next::Wait);
        let good = seen(("True", "TokenAcquired"), ("True", "Succeeded"));
        assert_eq!(good.next(true, true), Next::Over(Exit::Good, "Succeeded: So.".to_owned()));
        let bad = seen(("True", "TokenAcquired"), ("False", "AuthenticationFailed"));
        assert_eq!(bad.next(true, true), Next::Over(Exit::Unverified, "signed in; AuthenticationFailed: So.".to_owned()));
        let over = seen(("False", "DeviceCodeExpired"), ("False", "DeviceCodeExpired"));
        assert_eq!(over.next(true, true), Next::Over(Exit::Unverified, "DeviceCodeExpired: So.".to_owned()));
    }

    #[test]
    fn what_stands_in_its_way_is_told_once_the_operator_had_its_time() {
        let mut held = seen(("True", "TokenAcquired"), ("True", "Succeeded"));
        held.conditions[1].type_ = condition::SUSPENDED.to_owned();
        assert_eq!(held.next(false, false), Next::Wait);
        assert!(matches!(held.next(false, true), Next::Over(Exit::Unverified, words) if words.contains("Succeeded")));
    }
}
