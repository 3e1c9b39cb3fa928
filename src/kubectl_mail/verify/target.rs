//! What can be verified: how it is asked for, and where its status is. Next: `seen`.

use std::{fmt, str::FromStr};

use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use mailverity::api::v1alpha1::{EmailProfile, MailReceiver, MailServer, RoundTripPolicy, VERIFY_REQUESTED_AT};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{super::Error, seen::Seen};

/// The kinds, as they are written.
const KINDS: &str = "emailprofile (emp), mailserver (ms), roundtrippolicy (rtp) or mailreceiver (mr)";

/// An object to be verified.
#[derive(Clone, Debug)]
pub struct Target {
    kind: Kind,
    /// Its name.
    pub name: String,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    EmailProfile,
    MailServer,
    RoundTripPolicy,
    MailReceiver,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("emailprofile", text));
        let kind = match kind.to_lowercase().trim_end_matches(".mailverity.dev") {
            "emailprofile" | "emailprofiles" | "emp" => Kind::EmailProfile,
            "mailserver" | "mailservers" | "ms" => Kind::MailServer,
            "roundtrippolicy" | "roundtrippolicies" | "rtp" => Kind::RoundTripPolicy,
            "mailreceiver" | "mailreceivers" | "mr" => Kind::MailReceiver,
            other => return Err(format!("{other} is no kind that can be verified: {KINDS}")),
        };
        if name.is_empty() {
            return Err("a name is missing".to_owned());
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.kind, f)
    }
}

impl Target {
    /// Writes the annotation by which the operator is asked.
    pub async fn ask(&self, client: &Client, namespace: &str, value: &str) -> Result<(), Error> {
        match self.kind {
            Kind::EmailProfile => self.annotate::<EmailProfile>(client, namespace, value).await,
            Kind::MailServer => self.annotate::<MailServer>(client, namespace, value).await,
            Kind::RoundTripPolicy => self.annotate::<RoundTripPolicy>(client, namespace, value).await,
            Kind::MailReceiver => self.annotate::<MailReceiver>(client, namespace, value).await,
        }
    }

    async fn annotate<K>(&self, client: &Client, namespace: &str, value: &str) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + fmt::Debug,
    {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {VERIFY_REQUESTED_AT: value}}}));
        let api = Api::<K>::namespaced(client.clone(), namespace);
        api.patch_metadata(&self.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// What its status tells now.
    pub async fn look(&self, client: &Client, namespace: &str) -> Result<Seen, Error> {
        let (client, name) = (client.clone(), &self.name);
        Ok(match self.kind {
            Kind::EmailProfile => {
                let status = Api::<EmailProfile>::namespaced(client, namespace).get(name).await?.status;
                status.unwrap_or_default().into()
            }
            Kind::MailServer => {
                let status = Api::<MailServer>::namespaced(client, namespace).get(name).await?.status;
                status.unwrap_or_default().into()
            }
            Kind::RoundTripPolicy => {
                let status = Api::<RoundTripPolicy>::namespaced(client, namespace).get(name).await?.status;
                status.unwrap_or_default().into()
            }
            Kind::MailReceiver => {
                let status = Api::<MailReceiver>::namespaced(client, namespace).get(name).await?.status;
                status.unwrap_or_default().into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_as_kubectl_names_it_and_a_name_alone_is_a_profile() {
        for (text, kind) in [
            ("a", "EmailProfile"),
            ("emp/a", "EmailProfile"),
            ("mailservers.mailverity.dev/a", "MailServer"),
            ("rtp/a", "RoundTripPolicy"),
            ("RoundTripPolicies/a", "RoundTripPolicy"),
            ("roundtrippolicy.mailverity.dev/a", "RoundTripPolicy"),
            ("mr/a", "MailReceiver"),
            ("mailreceiver/a", "MailReceiver"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.to_string().as_str(), target.name.as_str()), (kind, "a"), "{text}");
        }
        for text in ["actor/a", "rtp/", ""] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
