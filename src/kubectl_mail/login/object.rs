//! Whose account a person signs in for: a MailServer or an EmailProfile, and what it tells of that.

use std::{borrow::Cow, fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, Resource,
    api::{ObjectMeta, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use mailverity::{
    api::v1alpha1::{Auth, DeviceCode, EmailProfile, MailServer, OAuth2Status, ProfileActorState, VERIFY_REQUESTED_AT},
    runtime::{ApiError, bounded},
    verify::email_profile::inputs::consented,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::Error;

/// Whose account it is.
#[derive(Clone, Debug)]
pub enum Object {
    EmailProfile(String),
    MailServer(String),
}

/// What an object tells of its account.
#[derive(Debug, Default)]
pub struct Seen {
    /// The account; none where there is none that can be read.
    pub auth: Option<Auth>,
    /// The request that was last written.
    pub requested: Option<String>,
    /// The request that was last answered.
    pub answered: Option<String>,
    pub is_running: bool,
    pub code: Option<DeviceCode>,
    pub conditions: Vec<Condition>,
}

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("emailprofile", text));
        if name.is_empty() {
            return Err("a name is missing".to_owned());
        }
        match kind.to_lowercase().trim_end_matches(".mailverity.dev") {
            "emailprofile" | "emailprofiles" | "emp" => Ok(Self::EmailProfile(name.to_owned())),
            "mailserver" | "mailservers" | "ms" => Ok(Self::MailServer(name.to_owned())),
            other => Err(format!("{other} is no kind that signs in: emailprofile (emp) or mailserver (ms)")),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmailProfile(name) => write!(f, "EmailProfile {name}"),
            Self::MailServer(name) => write!(f, "MailServer {name}"),
        }
    }
}

impl Object {
    /// Its kind, as manifests write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EmailProfile(_) => "EmailProfile",
            Self::MailServer(_) => "MailServer",
        }
    }

    pub fn name(&self) -> &str {
        let (Self::EmailProfile(name) | Self::MailServer(name)) = self;
        name
    }

    pub async fn look(&self, client: &Client, namespace: &str) -> Result<Seen, ApiError> {
        Ok(match self {
            Self::EmailProfile(name) => {
                let profile = bounded(Api::<EmailProfile>::namespaced(client.clone(), namespace).get(name)).await?;
                let (auth, status) = (consented(&profile.spec).ok().map(Cow::into_owned), profile.status.unwrap_or_default());
                Seen {
                    auth,
                    requested: requested(&profile.metadata),
                    answered: status.last_handled_verify_request,
                    is_running: status.actors.iter().any(|actor| actor.state == ProfileActorState::AwaitingMessage),
                    code: code(status.oauth2),
                    conditions: status.conditions,
                }
            }
            Self::MailServer(name) => {
                let server = bounded(Api::<MailServer>::namespaced(client.clone(), namespace).get(name)).await?;
                let status = server.status.unwrap_or_default();
                Seen {
                    auth: server.spec.auth,
                    requested: requested(&server.metadata),
                    answered: status.last_handled_verify_request,
                    is_running: false,
                    code: code(status.oauth2),
                    conditions: status.conditions,
                }
            }
        })
    }

    /// Asks for a check, by this value.
    pub async fn ask(&self, client: &Client, namespace: &str, value: &str) -> Result<(), Error> {
        match self {
            Self::EmailProfile(name) => annotate::<EmailProfile>(client, namespace, name, value).await,
            Self::MailServer(name) => annotate::<MailServer>(client, namespace, name, value).await,
        }
    }
}

fn requested(metadata: &ObjectMeta) -> Option<String> {
    metadata.annotations.as_ref()?.get(VERIFY_REQUESTED_AT).cloned()
}

fn code(status: Option<OAuth2Status>) -> Option<DeviceCode> {
    status.and_then(|status| status.device_code)
}

async fn annotate<K>(client: &Client, namespace: &str, name: &str, value: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + fmt::Debug,
{
    let patch = Patch::Merge(json!({"metadata": {"annotations": {VERIFY_REQUESTED_AT: value}}}));
    Api::<K>::namespaced(client.clone(), namespace).patch_metadata(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_an_account_signs_in() {
        for (text, shown) in
            [("box", "EmailProfile box"), ("emp/box", "EmailProfile box"), ("MailServers/relay", "MailServer relay")]
        {
            assert_eq!(text.parse::<Object>().unwrap().to_string(), shown);
        }
        for text in ["rtp/a", "ms/", ""] {
            assert!(text.parse::<Object>().is_err(), "{text}");
        }
    }
}
