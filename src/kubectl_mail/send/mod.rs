//! `kubectl mail send`: one mail through a `MailServer`, by the operator: a second `MailServer` of level Deliver, for as long as it
//! takes. So the mail is claimed, charged to each budget and held back by a pause as any other, and no password is read here. Next:
//! `errand`, that object.

mod errand;

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
};
use mailverity::{
    api::v1alpha1::{CheckPhase, MailServerStatus, condition},
    mail::diagnosis::printable,
    runtime::{ApiError, bounded},
};
use tokio::signal::unix::{SignalKind, signal};

use self::errand::{LABEL, LEFT_BEHIND, MOST};
use super::{Connect, Error, Exit, Kind, Patience, Target, describe, object::Object};

/// Send one mail through a MailServer, and tell what the server said.
///
/// The operator sends it: a second MailServer with the same settings is made, at level Deliver, and deleted again. The budgets, a
/// pause and mode Observe hold for it. Its text says what it is, which object it is of and whom to ask.
///
/// Exit codes: 0 the server took it; 1 it did not, or that is not known; 2 bad usage, no such MailServer, or no right.
#[derive(Args, Debug)]
pub struct Send {
    /// The MailServer, as NAME or ms/NAME.
    #[arg(value_name = "[ms/]NAME", value_parser = server)]
    server: Target,
    /// The address that it goes to.
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// What its subject begins with; a UUID in parentheses follows.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// The Actor that sends it; the first of the MailServer's own if absent, else the operator.
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Wait no longer; at most 12h.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = patience)]
    timeout: Duration,
}

fn server(text: &str) -> Result<Target, String> {
    if !text.contains('/') {
        return format!("ms/{text}").parse();
    }
    let target: Target = text.parse()?;
    if target.kind == Kind::MailServer {
        Ok(target)
    } else {
        Err("a mail is sent through a MailServer: NAME or ms/NAME".to_owned())
    }
}

fn patience(text: &str) -> Result<Duration, String> {
    let patience = crate::time::duration(text)?;
    if patience <= MOST { Ok(patience) } else { Err("a mail is waited for 12h at most".to_owned()) }
}

impl Send {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let original = self.server.get(&client, &namespace).await?;
        let api = Kind::MailServer.api(&client, Some(&namespace));
        sweep(&api).await?;
        let (subject, actor) = (self.subject.as_deref(), self.actor.as_deref());
        let wanted = errand::Wanted { to: &self.to, subject, actor, patience: self.timeout };
        let manifest = errand::manifest(&original, &wanted, Timestamp::now())?;
        let (mut interrupted, mut told_to_end) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hung_up = signal(SignalKind::hangup())?;
        let errand = Target { kind: Kind::MailServer, name: manifest.metadata.name.clone().unwrap_or_default() };
        let made = bounded(api.create(&PostParams::default(), &manifest)).await;
        if let Err(error) = made
            && error.code().is_some_and(|code| (400..500).contains(&code))
        {
            return Err(error.into());
        }
        // Where no answer came it may be there all the same: it is followed, and taken away.
        let once = async || errand.get(&client, &namespace).await;
        let ended = tokio::select! {
            ended = Patience::of(self.timeout).look(once, is_over) => Some(ended),
            _ = interrupted.recv() => None,
            _ = told_to_end.recv() => None,
            _ = hung_up.recv() => None,
        };
        // Whatever became of it: it must not send again.
        let gone = bounded(api.delete(&errand.name, &DeleteParams::default())).await;
        if let Err(error) = gone.map(|_| ()).or_else(|error| if error.is_gone() { Ok(()) } else { Err(error) }) {
            eprintln!("kubectl-mail: {} has to be deleted by hand: {error}", errand.title(&namespace));
        }
        let Some(ended) = ended else {
            println!("Cut short: whether the mail was sent is not known; it is not sent again.");
            return Ok(Exit::Unverified);
        };
        let (lines, exit) = told(&ended?, &self.server.title(&namespace), &self.to);
        println!("{}", lines.join("\n"));
        Ok(exit)
    }
}

/// Deletes what was left behind by one that was killed.
async fn sweep(api: &Api<DynamicObject>) -> Result<(), ApiError> {
    let old = |raw: &DynamicObject| {
        let created = raw.metadata.creation_timestamp.as_ref();
        created.is_some_and(|created| Timestamp::now().duration_since(created.0).unsigned_abs() > LEFT_BEHIND)
    };
    for left in bounded(api.list(&ListParams::default().labels(LABEL))).await?.items.iter().filter(|raw| old(raw)) {
        let name = left.metadata.name.clone().unwrap_or_default();
        match bounded(api.delete(&name, &DeleteParams::default())).await {
            Err(error) if !error.is_gone() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether it was tried to send it, or cannot be tried.
fn is_over(object: &Object) -> bool {
    let MailServerStatus { last_check, conditions, .. } = object.status();
    let tried = last_check.is_some_and(|check| check.phase == CheckPhase::Finished);
    let refused = |kind: &str| conditions.iter().any(|found| found.type_ == kind && found.status == "False");
    // A budget that is used up is waited for, for as long as there is time.
    let waits = conditions.iter().any(|found| found.reason == "RateBudgetExceeded");
    let stopped = object.text("/status/state") == "Suspended" || object.text("/status/state") == "Paused";
    (tried && !waits) || refused(condition::ACCEPTED) || refused(condition::RESOLVED_REFS) || stopped
}

fn told(object: &Object, through: &str, to: &str) -> (Vec<String>, Exit) {
    let mut lines = describe::sessions(object);
    let conditions = object.conditions();
    let tested = conditions.iter().find(|found| found.type_ == condition::DELIVERY_TESTED);
    let taken = tested.is_some_and(|tested| tested.status == "True");
    // Where it did not come as far as the mail, the summary says why.
    let why = tested.cloned().filter(|_| taken).or_else(|| object.summary());
    let why = why.map(|why| format!("{}: {}", why.reason, printable(&why.message, 1200)));
    let why = why.unwrap_or_else(|| "no operator has looked at it".to_owned());
    let late = if is_over(object) { "" } else { "not in time; " };
    // Claimed and not settled, or cut off behind the final dot: whoever sends again may send it twice.
    let may_be_sent = tested.is_some_and(|tested| tested.reason == "DeliveryUncertain")
        || (!is_over(object) && object.status::<MailServerStatus>().claim.is_some());
    let word = match (taken, may_be_sent) {
        (true, _) => "Sent",
        (false, true) => "Perhaps sent",
        (false, false) => "Not sent",
    };
    lines.push(format!("{word}  {through} to {to}  {late}{why}"));
    (lines, if taken { Exit::Good } else { Exit::Unverified })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::tests::object;

    fn errand(conditions: &[(&str, &str, &str)], rest: Value) -> Object {
        let condition = |(kind, status, reason): &(&str, &str, &str)| json!({"type": kind, "status": status, "reason": reason, "message": "So.", "lastTransitionTime": "2026-11-22T10:00:00Z"});
        let mut status = rest;
        status["conditions"] = conditions.iter().map(condition).collect();
        object(Kind::MailServer, "relay-send-1", &json!({"host": "a"}), &status)
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
    }

    #[test]
    fn what_the_server_took_is_sent_and_all_else_is_not() {
        let words = |conditions: &[(&str, &str, &str)]| {
            let (lines, exit) = told(&errand(conditions, finished()), "MailServer mail/relay", "x@b.example");
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
        let claimed = json!({"lastCheck": {"id": "c", "phase": "Running", "level": "Deliver"},
            "claim": {"id": "c", "purpose": "Test", "attempt": 1, "startedAt": "2026-11-22T10:00:00Z"}});
        let (lines, exit) = told(&errand(&[], claimed), "MailServer mail/relay", "x@b.example");
        assert!(lines[0].starts_with("Perhaps sent  ") && exit == Exit::Unverified, "{lines:?}");
        let (lines, _) = told(&errand(&[], json!({})), "MailServer mail/relay", "x@b.example");
        assert_eq!(lines, ["Not sent  MailServer mail/relay to x@b.example  not in time; no operator has looked at it"]);
    }

    #[test]
    fn a_mail_goes_through_a_mail_server() {
        assert_eq!(server("relay").unwrap().to_string(), "mailserver/relay");
        assert_eq!(server("ms/relay").unwrap().to_string(), "mailserver/relay");
        assert!(server("emp/box").is_err() && server("ms/").is_err());
        assert_eq!(patience("12h"), Ok(MOST));
        assert!(patience("13h").is_err(), "the next `send` would take it for one that was left behind");
    }
}
