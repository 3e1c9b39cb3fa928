//! The `MailServer` that sends one mail: a copy of another, which it goes with, at level Deliver, and so seldom that it sends once.

use std::time::Duration;

use kube::{ResourceExt, api::DynamicObject};
use mailverity::api::v1alpha1::SUSPEND_UNTIL;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Error, Kind, object::Object};

/// What it is known by, where it was left behind.
pub const LABEL: &str = "mailverity.dev/errand=send";
/// One that is older was left behind: no mail takes so long.
pub const LEFT_BEHIND: Duration = Duration::from_hours(1);
/// A year: if nobody deletes it, it sends no more than that, and once for each change of its Secret or CA.
const INTERVAL: &str = "8760h";
/// What is kept of the original's name, so that its own is not too long.
const KEPT: usize = 200;

/// What is to be sent.
pub struct Wanted<'a> {
    pub to: &'a str,
    pub subject: Option<&'a str>,
    pub actor: Option<&'a str>,
}

/// The object, as it is to be created.
pub fn manifest(original: &Object, wanted: &Wanted<'_>) -> Result<DynamicObject, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tests::object;

    fn made(spec: &Value, actor: Option<&str>) -> Result<Value, Error> {
        let wanted = Wanted { to: "x@b.example", subject: Some("Hello"), actor };
        manifest(&object(Kind::MailServer, "relay", spec, &json!({})), &wanted).map(|made| serde_json::to_value(made).unwrap())
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
            "host": "smtp.a.example", "sender": {"address": "alerts@a.example"}, "suspend": false, "maintenance": [],
            "auth": {"type": "Password", "secretRef": {"name": "relay"}}, "limits": {"messagesPerMinute": 2}, "aFieldOfTomorrow": 1,
            "verification": {"level": "Deliver", "interval": "8760h", "timeout": "9s", "actors": [{"name": "dmz"}]},
            "test": {"to": "x@b.example", "subject": "Hello"},
        });
        assert_eq!(made["spec"], expected);
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "u-1");
        assert!(made["metadata"]["name"].as_str().unwrap().starts_with("relay-send-"));
        assert_eq!(made["metadata"]["labels"]["mailverity.dev/errand"], "send");
    }

    #[test]
    fn the_actor_may_be_another_and_a_sender_must_be_there() {
        let spec = json!({"host": "a", "sender": {"address": "a@b"}});
        assert_eq!(made(&spec, Some("far")).unwrap()["spec"]["verification"]["actors"], json!([{"name": "far"}]));
        assert!(made(&spec, None).unwrap()["spec"]["verification"]["actors"].is_null());
        let selected = object(Kind::MailServer, "relay", &spec, &json!({"actors": [{"name": "dmz"}]}));
        let of_the_selector = manifest(&selected, &Wanted { to: "x@b.example", subject: None, actor: None }).unwrap();
        assert_eq!(of_the_selector.data["spec"]["verification"]["actors"], json!([{"name": "dmz"}]));
        let mut paused = object(Kind::MailServer, "relay", &spec, &json!({}));
        paused.raw.annotations_mut().insert(SUSPEND_UNTIL.to_owned(), "2026-11-22T12:00:00Z".to_owned());
        let wanted = Wanted { to: "x@b.example", subject: None, actor: None };
        assert_eq!(manifest(&paused, &wanted).unwrap().annotations()[SUSPEND_UNTIL], "2026-11-22T12:00:00Z");
        assert!(made(&json!({"host": "a"}), None).unwrap_err().to_string().starts_with("relay has no sender"));
    }
}
