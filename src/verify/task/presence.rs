//! What an agent tells of itself, beside its sign of life.

use serde::{Deserialize, Serialize};

use crate::mail::diagnosis::printable;

/// An agent's version and place, as the annotation [`super::PRESENCE`] holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Presence {
    /// Its version.
    pub version: String,
    /// Its pod, or its host's name.
    pub pod: String,
    /// The node that the pod runs on, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its network interfaces, such as `eth0 10.0.0.7/24`; loopback is left out.
    pub interfaces: Vec<String>,
}

impl Presence {
    /// As an annotation holds it.
    #[must_use]
    pub fn written(&self) -> String {
        // Texts and lists of texts: JSON holds them all.
        serde_json::to_string(&self.bounded()).unwrap_or_default()
    }

    /// Reads an annotation; none where it is no such thing. Cut to the bounds of an Actor's status.
    #[must_use]
    pub fn read(written: &str) -> Option<Self> {
        // A status holds a third of that.
        if written.len() > 64 * 1024 {
            return None;
        }
        serde_json::from_str::<Self>(written).ok().map(|presence| presence.bounded())
    }

    fn bounded(&self) -> Self {
        Self {
            version: printable(&self.version, 64),
            pod: printable(&self.pod, 253),
            node: self.node.as_deref().map(|node| printable(node, 253)).filter(|node| !node.is_empty()),
            interfaces: self.interfaces.iter().take(32).map(|interface| printable(interface, 128)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_tells_of_itself_is_read_and_bounded() {
        let here = Presence {
            version: "0.1.0".to_owned(),
            pod: "agent-1".to_owned(),
            node: None,
            interfaces: vec!["eth0 10.0.0.7/24".to_owned()],
        };
        assert_eq!(Presence::read(&here.written()), Some(here));
        let long = format!(r#"{{"version": "{}", "interfaces": ["a\u0000b"], "moons": 2}}"#, "9".repeat(99));
        let read = Presence::read(&long).unwrap();
        assert_eq!((read.version.len(), read.pod.as_str(), read.interfaces[0].as_str()), (64, "", "a b"));
        assert_eq!(Presence::read("no JSON"), None);
    }
}
