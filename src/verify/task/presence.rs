//! What an agent tells of itself, beside its sign of life.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::mail::diagnosis::printable;

/// An agent's version and place, as the annotation [`super::PRESENCE`] holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Presence {
    /// Its version.
    pub version: String,
    /// The highest number of the protocol that it understands; the first one where it tells none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<i32>,
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

    /// Two interfaces of one subnet, where there are such: `eth0 10.0.0.7/24 and eth1 10.0.0.8/24`. Answers may then leave by
    /// another one than requests came in by.
    #[must_use]
    pub fn in_one_subnet(&self) -> Option<String> {
        let all: Vec<(&str, &str, (u128, u8))> = self
            .interfaces
            .iter()
            .filter_map(|line| {
                let (name, place) = line.split_once(' ')?;
                Some((line.as_str(), name, subnet(place)?))
            })
            .collect();
        all.iter().enumerate().find_map(|(index, (line, name, subnet))| {
            let shares = |(_, other, its): &&(&str, &str, (u128, u8))| other != name && its == subnet;
            all.get(index + 1..)?.iter().find(shares).map(|(other, ..)| format!("{line} and {other}"))
        })
    }

    fn bounded(&self) -> Self {
        Self {
            version: printable(&self.version, 64),
            protocol: self.protocol,
            pod: printable(&self.pod, 253),
            node: self.node.as_deref().map(|node| printable(node, 253)).filter(|node| !node.is_empty()),
            interfaces: self.interfaces.iter().take(32).map(|interface| printable(interface, 128)).collect(),
        }
    }
}

/// The subnet of an address that is written with its length; none for link-local ones, which every interface has, and for
/// single addresses.
fn subnet(written: &str) -> Option<(u128, u8)> {
    let (address, length) = written.split_once('/')?;
    let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?);
    let (bits, width) = match address {
        IpAddr::V4(v4) if !v4.is_link_local() => (u128::from(v4.to_bits()) | (0xffff << 32), length.checked_add(96)?),
        IpAddr::V6(v6) if !v6.is_unicast_link_local() => (v6.to_bits(), length),
        _ => return None,
    };
    (width < 128).then(|| (if width == 0 { 0 } else { bits >> (128 - width) }, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_interfaces_of_one_subnet_are_named() {
        let shared = |interfaces: &[&str]| {
            let interfaces = interfaces.iter().map(|&line| line.to_owned()).collect();
            Presence { interfaces, ..Presence::default() }.in_one_subnet()
        };
        assert_eq!(
            shared(&["eth0 10.0.0.7/24", "eth1 192.0.2.9/24", "eth2 10.0.0.8/24"]).as_deref(),
            Some("eth0 10.0.0.7/24 and eth2 10.0.0.8/24")
        );
        assert!(shared(&["a 2001:db8::1/64", "b 2001:db8::2/64"]).is_some());
        for apart in [
            &["eth0 10.0.0.7/24", "eth0 10.0.0.8/24"][..],
            &["eth0 10.0.0.7/24", "eth1 10.0.1.7/24"],
            &["eth0 10.0.0.7/24", "eth1 10.0.0.8/16"],
            &["a fe80::1/64", "b fe80::2/64"],
            &["a 10.0.0.1/32", "b 10.0.0.1/32"],
            &["a", "b x/y", "c 10.0.0.1/200"],
        ] {
            assert_eq!(shared(apart), None, "{apart:?}");
        }
    }

    #[test]
    fn what_an_agent_tells_of_itself_is_read_and_bounded() {
        let here = Presence {
            version: "0.1.0".to_owned(),
            protocol: Some(1),
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
