//! The kinds of objects: how people name them, and where the API server has them.

use std::{fmt, str::FromStr};

use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject},
};
use mailverity::api::v1alpha1::{Actor, EmailProfile, MailReceiver, MailServer, RoundTripPolicy};

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    MailServer,
    EmailProfile,
    RoundTripPolicy,
    MailReceiver,
    Actor,
}

impl Kind {
    /// The kinds that are in namespaces. Actors belong to the cluster, and few may read them.
    pub const NAMESPACED: [Self; 4] = [Self::MailServer, Self::EmailProfile, Self::RoundTripPolicy, Self::MailReceiver];

    /// The name in commands, such as mailserver.
    pub fn singular(self) -> &'static str {
        match self {
            Self::MailServer => "mailserver",
            Self::EmailProfile => "emailprofile",
            Self::RoundTripPolicy => "roundtrippolicy",
            Self::MailReceiver => "mailreceiver",
            Self::Actor => "actor",
        }
    }

    /// What the API server has to be asked for.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::MailServer => ApiResource::erase::<MailServer>(&()),
            Self::EmailProfile => ApiResource::erase::<EmailProfile>(&()),
            Self::RoundTripPolicy => ApiResource::erase::<RoundTripPolicy>(&()),
            Self::MailReceiver => ApiResource::erase::<MailReceiver>(&()),
            Self::Actor => ApiResource::erase::<Actor>(&()),
        }
    }

    /// The objects of this kind in a namespace, or in all. As they are stored: what a newer operator writes is not lost.
    pub fn api(self, client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace.filter(|_| self != Self::Actor) {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource()),
            None => Api::all_with(client.clone(), &self.resource()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_lowercase().trim_end_matches(&format!(".{}", MailServer::group(&()))) {
            "mailserver" | "mailservers" | "ms" => Ok(Self::MailServer),
            "emailprofile" | "emailprofiles" | "emp" => Ok(Self::EmailProfile),
            "roundtrippolicy" | "roundtrippolicies" | "rtp" => Ok(Self::RoundTripPolicy),
            "mailreceiver" | "mailreceivers" | "mr" => Ok(Self::MailReceiver),
            "actor" | "actors" => Ok(Self::Actor),
            other => Err(format!(
                "{other} is no kind of ours: mailserver (ms), emailprofile (emp), roundtrippolicy (rtp), mailreceiver (mr) or actor"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_as_kubectl_names_it() {
        for kind in [Kind::NAMESPACED.as_slice(), &[Kind::Actor]].concat() {
            let resource = kind.resource();
            let (plural, group) = (&resource.plural, &resource.group);
            for name in [kind.singular(), plural, &format!("{plural}.{group}"), &resource.kind] {
                assert_eq!(name.parse(), Ok(kind), "{name}");
            }
        }
        for (short, kind) in
            [("ms", Kind::MailServer), ("emp", Kind::EmailProfile), ("RTP", Kind::RoundTripPolicy), ("mr", Kind::MailReceiver)]
        {
            assert_eq!(short.parse(), Ok(kind), "{short}");
        }
        assert!("service".parse::<Kind>().is_err());
    }
}
