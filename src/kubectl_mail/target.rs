//! An object as people name it: `KIND/NAME`.

use std::{fmt, str::FromStr};

use kube::{
    Client,
    api::{Patch, PatchParams},
};
use mailverity::runtime::{ApiError, bounded};
use serde_json::json;

use super::{Kind, object::Object};

/// An object by its kind and name, in the namespace that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub kind: Kind,
    pub name: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind.parse()?, name),
            None => (Kind::EmailProfile, text),
        };
        if name.is_empty() {
            return Err("a name is missing".to_owned());
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.singular(), self.name)
    }
}

impl Target {
    /// One of a kind that is looked after in a namespace; Actors are not.
    pub fn namespaced(text: &str) -> Result<Self, String> {
        let target: Self = text.parse()?;
        if target.kind == Kind::Actor {
            return Err(format!("{} takes no part in this: an Actor is looked with, not looked at", target.kind));
        }
        Ok(target)
    }

    /// Kind, namespace and name as sentences have them.
    pub fn title(&self, namespace: &str) -> String {
        match self.kind {
            Kind::Actor => format!("{} {}", self.kind, self.name),
            kind => format!("{kind} {namespace}/{}", self.name),
        }
    }

    /// The object as it is now.
    pub async fn get(&self, client: &Client, namespace: &str) -> Result<Object, ApiError> {
        let raw = bounded(self.kind.api(client, Some(namespace)).get(&self.name)).await?;
        Ok(Object::new(self.kind, raw))
    }

    /// Writes an annotation, or takes it away.
    pub async fn annotate(&self, client: &Client, namespace: &str, key: &str, value: Option<&str>) -> Result<(), ApiError> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        let api = self.kind.api(client, Some(namespace));
        bounded(api.patch_metadata(&self.name, &PatchParams::default(), &patch)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_a_profile() {
        for (text, named) in [
            ("a", "emailprofile/a"),
            ("emp/a", "emailprofile/a"),
            ("mailservers.mailverity.dev/a", "mailserver/a"),
            ("RoundTripPolicies/a", "roundtrippolicy/a"),
            ("mr/a", "mailreceiver/a"),
        ] {
            assert_eq!(Target::namespaced(text).unwrap().to_string(), named, "{text}");
        }
        assert_eq!("actor/a".parse::<Target>().unwrap().title("mail"), "Actor a");
        for text in ["actor/a", "service/a", "rtp/", ""] {
            assert!(Target::namespaced(text).is_err(), "{text}");
        }
    }
}
