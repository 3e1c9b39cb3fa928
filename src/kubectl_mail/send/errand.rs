//! The `MailServer` that sends one mail: a copy of another, which it goes with, at level Deliver, so seldom that it sends once, and closed
//! by a maintenance window once nobody waits for it.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use kube::{ResourceExt, api::DynamicObject};
use mailverity::api::v1alpha1::SUSPEND_UNTIL;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Error, Kind, object::Object};

/// What it is known by, where it was left behind.
pub const LABEL: &str = "mailverity.dev/errand=send";
/// The longest that one waits for a mail, which is what a budget that is used up may take, and more.
pub const MOST: Duration = Duration::from_hours(12);
/// One that is older was left behind: nobody waits for it.
pub const LEFT_BEHIND: Duration = Duration::from_hours(24);
/// A year, so that its interval brings no second mail.
const INTERVAL: &str = "8760h";
const YEAR: Duration = Duration::from_hours(8760);
/// How far this machine's clock may be from the operator's.
const SKEW: Duration = Duration::from_mins(10);
/// As many windows as a MailServer may have.
const WINDOWS: usize = 8;
/// What is kept of the original's name, so that its own is not too long.
const KEPT: usize = 200;

/// What is to be sent.
pub struct Wanted<'a> {
    pub to: &'a str,
    pub subject: Option<&'a str>,
    pub actor: Option<&'a str>,
    /// How long one waits for it.
    pub patience: Duration,
}

/// The object, as it is to be created at `now`.
pub fn manifest(original: &Object, wanted: &Wanted<'_>, now: Timestamp) -> Result<DynamicObject, Error> {
    let mut spec = original.at("/spec").cloned().unwrap_or_default();
    if spec.pointer("/sender/address").is_none() {
        return Err(
            format!("{} has no sender: set spec.sender.address, the address that its mails come from", original.name()).into()
        );
    }
    // Those of a selector stand in the status.
    let own = spec.pointer("/verification/actors/0/name").or_else(|| original.at("/status/actors/0/name"));
    let own = own.and_then(Value::as_str).map(str::to_owned);
    let timeout = spec.pointer("/verification/timeout").cloned();
    if let Some(spec) = spec.as_object_mut() {
        // It is for one mail, and for nobody else to use.
        for field in ["displayName", "usage", "allowedNamespaces"] {
            spec.remove(field);
        }
    }
    let mut windows = spec.get("maintenance").and_then(Value::as_array).cloned().unwrap_or_default();
    if windows.len() < WINDOWS {
        windows.push(closed_after(now, wanted.patience + SKEW));
    }
    spec["maintenance"] = windows.into();
    spec["verification"] = json!({"level": "Deliver", "interval": INTERVAL});
    if let Some(timeout) = timeout {
        spec["verification"]["timeout"] = timeout;
    }
    if let Some(actor) = wanted.actor.map(str::to_owned).or(own) {
        spec["verification"]["actors"] = json!([{"name": actor}]);
    }
    spec["test"] = json!({"to": wanted.to});
    if let Some(subject) = wanted.subject {
        spec["test"]["subject"] = subject.into();
    }
    let resource = Kind::MailServer.resource();
    let (label, value) = LABEL.split_once('=').unwrap_or_default();
    let name: String = original.name().chars().take(KEPT).collect();
    let owner = json!({
        "apiVersion": resource.api_version, "kind": resource.kind, "name": original.name(), "uid": original.raw.metadata.uid,
    });
    // What is paused stays so.
    let suspended = original.raw.annotations().get(SUSPEND_UNTIL);
    let manifest = json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {
            "name": format!("{}-send-{}", name.trim_end_matches(['.', '-']), &Uuid::new_v4().simple().to_string()[..8]),
            "labels": {label: value},
            "annotations": suspended.map(|until| json!({SUSPEND_UNTIL: until})),
            "ownerReferences": [owner],
        },
        "spec": spec,
    });
    Ok(serde_json::from_value(manifest)?)
}

/// A window that opens once `patience` is over and lasts until nearly the same time of the next year: nobody may be left to delete the
/// object, and a change of its Secret must not bring a second mail.
fn closed_after(now: Timestamp, patience: Duration) -> Value {
    const MINUTE: Duration = Duration::from_mins(1);
    let patience = patience + MINUTE;
    let start = now.saturating_add(patience).unwrap_or(now).to_zoned(TimeZone::UTC);
    let hours = YEAR.saturating_sub(2 * (patience + MINUTE)).as_secs() / 3600;
    json!({"start": start.strftime("%-M %-H %-d %-m *").to_string(), "duration": format!("{hours}h"), "timeZone": "UTC"})
}

#[cfg(test)]
mod tests {
    use mailverity::{api::v1alpha1::MaintenanceWindow, verify::maintenance::Windows};

    use super::*;
    use crate::object::tests::object;

    const WANTED: Wanted<'static> = Wanted { to: "x@b.example", subject: None, actor: None, patience: Duration::from_mins(2) };

    fn now() -> Timestamp {
        "2026-11-22T23:10:30Z".parse().unwrap()
    }

    fn made(spec: &Value, actor: Option<&str>) -> Result<Value, Error> {
        let wanted = Wanted { subject: Some("Hello"), actor, ..WANTED };
        manifest(&object(Kind::MailServer, "relay", spec, &json!({})), &wanted, now())
            .map(|made| serde_json::to_value(made).unwrap())
    }

    #[test]
    fn it_has_the_settings_of_the_other_sends_once_and_goes_with_it() {
        let spec = json!({
            "host": "smtp.a.example", "displayName": "The office", "sender": {"address": "alerts@a.example"}, "suspend": false,
            "auth": {"type": "Password", "secretRef": {"name": "relay"}}, "limits": {"messagesPerMinute": 2}, "aFieldOfTomorrow": 1,
            "usage": {}, "allowedNamespaces": {"from": "All"}, "maintenance": [],
            "verification": {"level": "Connect", "interval": "1m", "timeout": "9s", "actors": [{"name": "dmz"}, {"name": "default"}]},
        });
        let made = made(&spec, None).unwrap();
        let expected = json!({
            "host": "smtp.a.example", "sender": {"address": "alerts@a.example"}, "suspend": false,
            "auth": {"type": "Password", "secretRef": {"name": "relay"}}, "limits": {"messagesPerMinute": 2}, "aFieldOfTomorrow": 1,
            "maintenance": [{"start": "23 23 22 11 *", "duration": "8759h", "timeZone": "UTC"}],
            "verification": {"level": "Deliver", "interval": "8760h", "timeout": "9s", "actors": [{"name": "dmz"}]},
            "test": {"to": "x@b.example", "subject": "Hello"},
        });
        assert_eq!(made["spec"], expected);
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "u-1");
        assert!(made["metadata"]["name"].as_str().unwrap().starts_with("relay-send-"));
        assert_eq!(made["metadata"]["labels"]["mailverity.dev/errand"], "send");
    }

    #[test]
    fn one_that_is_left_behind_sends_no_more_once_nobody_waits_for_it() {
        let spec = json!({"host": "a", "sender": {"address": "a@b"}, "maintenance": [{"start": "0 3 * * *", "duration": "1h"}]});
        for patience in [2, 60, 600].map(Duration::from_mins) {
            let wanted = Wanted { patience, ..WANTED };
            let made = manifest(&object(Kind::MailServer, "relay", &spec, &json!({})), &wanted, now()).unwrap();
            let windows: Vec<MaintenanceWindow> = serde_json::from_value(made.data["spec"]["maintenance"].clone()).unwrap();
            assert_eq!(windows.len(), 2, "those of the other hold as well");
            let ours = Windows::read(&windows[1..]).unwrap();
            assert_eq!(ours.open_until(now()), None);
            assert_eq!(ours.open_until(now() + patience), None);
            for hours in [12, 24, 24 * 30, 24 * 300] {
                assert!(ours.open_until(now() + Duration::from_hours(hours)).is_some(), "{patience:?}, {hours} hours later");
            }
        }
        let full = json!({"host": "a", "sender": {"address": "a@b"}, "maintenance": vec![json!({"start": "0 3 * * *", "duration": "1h"}); 8]});
        assert_eq!(made(&full, None).unwrap()["spec"]["maintenance"].as_array().unwrap().len(), 8, "no more are allowed");
    }

    #[test]
    fn the_actor_may_be_another_and_a_sender_must_be_there() {
        let spec = json!({"host": "a", "sender": {"address": "a@b"}});
        assert_eq!(made(&spec, Some("far")).unwrap()["spec"]["verification"]["actors"], json!([{"name": "far"}]));
        assert!(made(&spec, None).unwrap()["spec"]["verification"]["actors"].is_null());
        let selected = object(Kind::MailServer, "relay", &spec, &json!({"actors": [{"name": "dmz"}]}));
        let of_the_selector = manifest(&selected, &WANTED, now()).unwrap();
        assert_eq!(of_the_selector.data["spec"]["verification"]["actors"], json!([{"name": "dmz"}]));
        let mut paused = object(Kind::MailServer, "relay", &spec, &json!({}));
        paused.raw.annotations_mut().insert(SUSPEND_UNTIL.to_owned(), "2026-11-22T12:00:00Z".to_owned());
        assert_eq!(manifest(&paused, &WANTED, now()).unwrap().annotations()[SUSPEND_UNTIL], "2026-11-22T12:00:00Z");
        assert!(made(&json!({"host": "a"}), None).unwrap_err().to_string().starts_with("relay has no sender"));
    }
}
