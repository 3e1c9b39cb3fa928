//! `kubectl mail describe`: everything that is known of an object, and what it rests on. Next: `view`, and a file a kind.

mod actor;
mod email_profile;
mod mail_receiver;
mod mail_server;
mod round_trip_policy;
mod view;

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use mailverity::mail::diagnosis::printable;

use self::view::{Moment, View};
use crate::{
    Connect, Error, Exit, Kind, Target,
    line::Line,
    links::{self, Link},
    object::Object,
    out, table,
    time::age,
};

/// What is printed of a text at most: a condition's message is shorter.
const LONGEST: usize = 1200;

/// Show all that is known of objects: conditions and what to do, what each actor found, stages with their times, what was and what is to
/// come, what they use and who uses them.
///
/// Exit codes: 0 shown; 2 no such object, or bad usage.
#[derive(Args, Debug)]
pub struct Describe {
    /// Objects: an EmailProfile's name, or KIND/NAME.
    #[arg(required = true, value_name = "[KIND/]NAME")]
    targets: Vec<Target>,
}

impl Describe {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        for (number, target) in self.targets.iter().enumerate() {
            let object = target.get(&client, &namespace).await?;
            let around = around(&client, &object).await;
            let between = Some(String::new()).filter(|_| number > 0);
            let page = page(&object, &around, Timestamp::now());
            out::lines(&between.into_iter().chain(page).collect::<Vec<_>>())?;
        }
        Ok(Exit::Good)
    }
}

/// The objects that an object may use or be used by: all of them, or those of its namespace where one may see no others.
pub async fn around(client: &Client, object: &Object) -> Vec<Object> {
    let namespace = object.namespace();
    let kinds = Kind::NAMESPACED.into_iter();
    let all = kinds.map(|kind| {
        let namespace = &namespace;
        async move {
            match Object::all(client, kind, None).await {
                Ok(all) => all,
                Err(_) => Object::all(client, kind, Some(namespace.as_str())).await.unwrap_or_default(),
            }
        }
    });
    futures::future::join_all(all).await.into_iter().flatten().collect()
}

/// The kind's own part; empty where the spec cannot be read.
fn view(object: &Object) -> View {
    let view = match object.kind {
        Kind::MailServer => object.spec().map(|spec| mail_server::view(&spec, object.status())),
        Kind::EmailProfile => object.spec().map(|spec| email_profile::view(&spec, object.status())),
        Kind::RoundTripPolicy => object.spec().map(|spec| round_trip_policy::view(&spec, object.status())),
        Kind::MailReceiver => object.spec().map(|spec| mail_receiver::view(&spec, object.status())),
        Kind::Actor => object.spec().map(|spec| actor::view(&spec, object.status())),
    };
    view.unwrap_or_default()
}

/// The stages of an object's last sessions, each under what it was.
pub fn sessions(object: &Object) -> Vec<String> {
    let sessions = view(object).sessions;
    sessions.iter().flat_map(|(title, stages)| std::iter::once(title.clone()).chain(stages.iter().map(view::stage))).collect()
}

/// All that is shown of an object, line by line.
fn page(object: &Object, around: &[Object], now: Timestamp) -> Vec<String> {
    let (mut view, namespace) = (view(object), object.namespace());
    let (head, title) = (Target { kind: object.kind, name: object.name() }.title(&namespace), object.text("/spec/displayName"));
    let head = if title.is_empty() { head } else { format!("{head}  {title:?}") };
    if let Some(edit) = object.edit() {
        let by = if edit.by.is_empty() { String::new() } else { format!(" by {}", edit.by) };
        view.fact("Edited", Some(format!("{} ago{by}", age(edit.at, now))));
    }
    let created = object.created().map(|at| Moment { at, what: "it was created".to_owned() });
    let mut lines = vec![head];
    lines.extend(view.facts.iter().map(|(name, value)| format!("  {name:<15} {}", printable(value, LONGEST))));
    section("Conditions", object.conditions().iter().flat_map(|one| condition(one, now)).collect(), &mut lines);
    for (title, found) in &view.found {
        section(title, found.iter().flat_map(Line::told).collect(), &mut lines);
    }
    for (title, stages) in &view.sessions {
        section(title, stages.iter().map(view::stage).collect(), &mut lines);
    }
    section("Timeline", timeline(created.into_iter().chain(view.moments).collect(), now), &mut lines);
    let named = |links: Vec<Link>| links.iter().map(|link| format!("  {}", printable(&link.told(&namespace), LONGEST))).collect();
    section("Uses", named(links::uses(object, around)), &mut lines);
    section("Used by", named(links::users(object, around)), &mut lines);
    lines
}

fn section(title: &str, lines: Vec<String>, page: &mut Vec<String>) {
    if !lines.is_empty() {
        page.extend([String::new(), title.to_owned()]);
        page.extend(lines);
    }
}

/// A condition, and below it what happened and what to do.
fn condition(condition: &Condition, now: Timestamp) -> Vec<String> {
    let Condition { type_, status, reason, message, last_transition_time, .. } = condition;
    let line = format!("  {type_:<19} {status:<7} {reason}  for {}", age(last_transition_time.0, now));
    let message =
        Some(message).filter(|message| !message.is_empty()).map(|message| format!("      {}", printable(message, LONGEST)));
    std::iter::once(line).chain(message).collect()
}

/// What was and what is to come, the oldest first.
fn timeline(mut moments: Vec<Moment>, now: Timestamp) -> Vec<String> {
    moments.sort_by_key(|moment| moment.at);
    let row = |Moment { at, what }: Moment| {
        let distance = if at > now { format!("in {}", age(now, at)) } else { format!("{} ago", age(at, now)) };
        vec![format!("{at:.0}"), distance, what]
    };
    let rows: Vec<Vec<String>> = moments.into_iter().map(row).collect();
    table::lines(&rows).into_iter().map(|line| format!("  {line}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::tests::object;

    const NOW: &str = "2026-11-22T12:00:00Z";

    fn shown(object: &Object, around: &[Object]) -> String {
        page(object, around, NOW.parse().unwrap()).join("\n")
    }

    #[test]
    fn a_server_shows_its_conditions_stages_times_and_neighbours() {
        let spec = json!({"displayName": "The office", "host": "smtp.a.example", "sender": {"address": "alerts@a.example"},
            "auth": {"type": "Password", "secretRef": {"name": "account"}}});
        let stages = json!([
            {"name": "DNS", "result": "Passed", "duration": "1.2ms", "detail": "192.0.2.25"},
            {"name": "AUTH", "result": "Failed", "duration": "1.50s", "detail": "535 5.7.8 no"},
        ]);
        let condition = json!({"type": "Ready", "status": "False", "reason": "AuthenticationFailed", "message": "AUTH: 535 5.7.8 no. Check Secret account.",
            "lastTransitionTime": "2026-11-22T11:30:00Z"});
        let status = json!({
            "state": "Active", "conditions": [condition],
            "endpoint": {"address": "smtp.a.example:587", "port": 587, "security": "StartTLS", "addresses": ["192.0.2.25"]},
            "lastCheck": {"id": "c-1", "phase": "Finished", "level": "Authenticate", "result": "Unverified", "duration": "1.52s",
                "startedAt": "2026-11-22T11:30:00Z", "stages": stages},
            "actors": [{"name": "default", "state": "Unverified", "reason": "AuthenticationFailed", "message": "AUTH: 535", "hint": "Check it."}],
            "credentialHeldUntil": "2026-11-22T12:30:00Z", "credentialRefusals": 2, "nextCheckTime": "2026-11-22T13:10:00Z",
        });
        let server = object(Kind::MailServer, "relay", &spec, &status);
        let policy = json!({"to": "a@b", "message": {"body": "x"}, "serverRef": {"name": "relay"}, "receive": {"profileRef": {"name": "box"}}});
        let policy = object(Kind::RoundTripPolicy, "echo", &policy, &json!({}));
        let expected = r#"MailServer mail/relay  "The office"
  Endpoint        smtp.a.example:587, StartTLS
  Addresses       192.0.2.25
  Sender          alerts@a.example
  Checked         Authenticate, every 1h
  State           Active
  Edited          2d2h ago

Conditions
  Ready               False   AuthenticationFailed  for 30m
      AUTH: 535 5.7.8 no. Check Secret account.

Actors
  default    Unverified  AuthenticationFailed  AUTH: 535
             Check it.

Stages of check c-1
  ok   DNS           1.2ms  192.0.2.25
  FAIL AUTH          1.50s  535 5.7.8 no

Timeline
  2026-11-20T10:00:00Z   2d2h ago   it was created
  2026-11-22T11:30:00Z   30m ago    a check at level Authenticate: Unverified after 1.52s
  2026-11-22T12:30:00Z   in 30m     the first login again after 2 refused in a row
  2026-11-22T13:10:00Z   in 70m     the next check

Uses
  Secret account

Used by
  RoundTripPolicy echo"#;
        assert_eq!(shown(&server, &[server.clone(), policy]), expected);
    }

    #[test]
    fn what_others_wrote_steers_no_terminal() {
        let spec = json!({"displayName": "\u{1b}[2J", "address": "\u{1b}[31m@b", "protocol": "IMAP"});
        let shown = shown(&object(Kind::EmailProfile, "box", &spec, &json!({"summary": "1/2\u{202e}"})), &[]);
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
        assert!(shown.contains("  Address         [31m@b\n"), "{shown}");
    }

    #[test]
    fn the_probes_of_a_policy_are_told_one_by_one() {
        let row = |id: &str, at: &str, result: &str| json!({"id": id, "sentAt": at, "result": result});
        let mut answered = row("p-2", "2026-11-22T11:45:00Z", "Succeeded");
        answered["duration"] = "1.2s".into();
        let status = json!({
            "history": [answered, row("p-1", "2026-11-22T11:30:00Z", "ReplyTimeout")],
            "inFlight": {"id": "p-3", "attempt": 1, "claimedAt": "2026-11-22T11:59:58.000000Z", "sentAt": "2026-11-22T11:59:59.000000Z",
                "deadline": "2026-11-22T12:09:59.000000Z", "from": "a@b"},
        });
        let spec = json!({"to": "echo@b", "message": {"body": "x"}, "receive": {"receiverRef": {"name": "in"}}});
        let shown = shown(&object(Kind::RoundTripPolicy, "echo", &spec, &status), &[]);
        for words in [
            "  To              echo@b\n",
            "  2026-11-22T11:30:00Z   30m ago    probe p-1: ReplyTimeout\n",
            "  2026-11-22T11:45:00Z   15m ago    probe p-2: Succeeded, answered after 1.2s\n",
            "  2026-11-22T11:59:59Z   1s ago     it was accepted, and is waited for\n",
            "  2026-11-22T12:09:59Z   in 9m59s   its time is over\n",
            "Uses\n  MailReceiver in",
        ] {
            assert!(shown.contains(words), "{shown}");
        }
    }

    #[test]
    fn a_spec_that_cannot_be_read_leaves_what_all_kinds_have() {
        let shown = shown(&object(Kind::EmailProfile, "box", &json!({"protocol": "NNTP"}), &json!({})), &[]);
        assert!(shown.starts_with("EmailProfile mail/box\n  Edited"), "{shown}");
    }
}
