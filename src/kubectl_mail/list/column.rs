//! The columns of a list: what each is called, and what stands in it. They can be filtered by and sorted by, shown or not.

use std::str::FromStr;

use jiff::Timestamp;
use serde_json::Value;

use crate::{Kind, object::Object, time::age};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Namespace,
    Kind,
    Name,
    Address,
    State,
    Ready,
    Reason,
    Age,
    Host,
    Target,
    Title,
    Editor,
    Edited,
    Id,
}

impl Column {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::Namespace,
        Self::Kind,
        Self::Name,
        Self::Address,
        Self::State,
        Self::Ready,
        Self::Reason,
        Self::Age,
        Self::Host,
        Self::Target,
        Self::Title,
        Self::Editor,
        Self::Edited,
        Self::Id,
    ];

    /// Those that are shown without `-o wide`.
    pub const NARROW: usize = 8;

    /// Its name on command lines; in capitals the head of a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Kind => "kind",
            Self::Name => "name",
            Self::Address => "address",
            Self::State => "state",
            Self::Ready => "ready",
            Self::Reason => "reason",
            Self::Age => "age",
            Self::Host => "host",
            Self::Target => "target",
            Self::Title => "title",
            Self::Editor => "editor",
            Self::Edited => "edited",
            Self::Id => "id",
        }
    }

    /// What it says of an object; empty where there is nothing to say.
    pub fn cell(self, object: &Object, now: Timestamp) -> String {
        match self {
            Self::Namespace => object.namespace(),
            Self::Kind => object.kind.to_string(),
            Self::Name => object.name(),
            Self::Address => address(object),
            Self::State => object.text("/status/state").to_owned(),
            Self::Ready => {
                object.summary().filter(|summary| summary.type_ == "Ready").map(|ready| ready.status).unwrap_or_default()
            }
            Self::Reason => object.summary().map(|summary| summary.reason).unwrap_or_default(),
            Self::Age => object.created().map(|created| age(created, now)).unwrap_or_default(),
            Self::Host => host(object),
            Self::Target => object.text("/spec/targetRef/name").to_owned(),
            Self::Title => object.text("/spec/displayName").to_owned(),
            Self::Editor => object.edit().map(|edit| edit.by).unwrap_or_default(),
            Self::Edited => object.edit().map(|edit| edit.at.to_string()).unwrap_or_default(),
            Self::Id => object.raw.metadata.uid.clone().unwrap_or_default(),
        }
    }
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|column| column.name().eq_ignore_ascii_case(text.trim()));
        known.ok_or_else(|| format!("{text} is no column: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What the object is about: where a server is, whose a mailbox is, whom a probe goes to, which domains mail is taken for.
fn address(object: &Object) -> String {
    match object.kind {
        Kind::MailServer => host(object),
        Kind::EmailProfile => object.text("/spec/address").to_owned(),
        Kind::RoundTripPolicy => object.text("/spec/to").to_owned(),
        Kind::MailReceiver => {
            let domains = object.at("/spec/domains").and_then(Value::as_array);
            domains.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        }
        Kind::Actor => object.text("/spec/zone").to_owned(),
    }
}

/// The server that it is reached by.
fn host(object: &Object) -> String {
    let paths: &[&str] = match object.kind {
        Kind::MailServer => &["/status/endpoint/address", "/spec/host", "/spec/url"],
        Kind::EmailProfile => &["/spec/server/host", "/spec/provider", "/spec/protocol"],
        Kind::RoundTripPolicy => &["/spec/serverRef/name"],
        Kind::MailReceiver => &["/spec/expectedMX"],
        Kind::Actor => &["/status/nodeName"],
    };
    paths.iter().map(|path| object.text(path)).find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::tests::object;

    #[test]
    fn each_kind_has_an_address_and_a_host() {
        for (kind, spec, status, address, host) in [
            (Kind::MailServer, json!({"host": "a"}), json!({"endpoint": {"address": "a:587"}}), "a:587", "a:587"),
            (Kind::MailServer, json!({"url": "smtp://a"}), json!({}), "smtp://a", "smtp://a"),
            (Kind::EmailProfile, json!({"address": "x@a", "server": {"host": "a"}}), json!({}), "x@a", "a"),
            (Kind::EmailProfile, json!({"address": "x@a", "provider": "Google"}), json!({}), "x@a", "Google"),
            (Kind::RoundTripPolicy, json!({"to": "y@b", "serverRef": {"name": "relay"}}), json!({}), "y@b", "relay"),
            (Kind::MailReceiver, json!({"domains": ["in.a", "in.b"], "expectedMX": "mx.a"}), json!({}), "in.a,in.b", "mx.a"),
            (Kind::Actor, json!({"zone": "dmz"}), json!({"nodeName": "n1"}), "dmz", "n1"),
        ] {
            let object = object(kind, "one", &spec, &status);
            let now = Timestamp::UNIX_EPOCH;
            assert_eq!((Column::Address.cell(&object, now), Column::Host.cell(&object, now)), (address.into(), host.into()));
        }
    }

    #[test]
    fn an_unknown_column_is_refused_with_those_that_there_are() {
        assert_eq!("Reason".parse(), Ok(Column::Reason));
        let words = "port".parse::<Column>().unwrap_err();
        assert!(words.starts_with("port is no column: namespace, kind, ") && words.ends_with(", id"), "{words}");
    }
}
