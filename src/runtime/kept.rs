//! Refresh tokens in Secrets that the operator has made, and in no others: by a label and by owners that are ours. RBAC cannot
//! tell them from other Secrets, so that this is the one place that writes any outside the namespaces of the operator's own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Api, Client, ResourceExt, api::PostParams};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{ApiError, FIELD_MANAGER, bounded, lease::Fence};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{ALLOWED_HOSTS, API_VERSION},
    },
    mail::Diagnosis,
    verify::tokens::keep::{APPLICATION, Ended, Keeper, Kept, Owner, Pending, Place, Unwritten},
};

/// The label of the Secrets that are made here.
pub const LABEL: &str = "mailverity.dev/keeps";
/// Its value.
const REFRESH_TOKEN: &str = "refresh-token";
/// The key of the refresh token.
const KEY: &str = "refresh_token";
/// The key of a device code that waits, with what belongs to it.
const DEVICE: &str = "device_code";
/// The key of how the last login by device code ended.
const ENDED: &str = "ended";
/// The annotation with [`Kept::consent`].
const CONSENT: &str = "mailverity.dev/consent";

/// Says of the object that something is kept for whether it is to be left alone.
pub type Rests = Arc<dyn Fn(&Place) -> bool + Send + Sync>;

/// The Secrets that keep refresh tokens.
#[derive(Clone)]
pub struct TokenSecrets {
    client: Client,
    fence: Fence,
    rests: Rests,
}

impl TokenSecrets {
    /// Those that `client` may write, for as long as we lead.
    #[must_use]
    pub fn new(client: Client, fence: Fence, rests: Rests) -> Self {
        Self { client, fence, rests }
    }

    fn api(&self, place: &Place) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &place.namespace)
    }

    async fn find(&self, place: &Place) -> Result<Option<Secret>, Diagnosis> {
        let found = bounded(self.api(place).get_opt(&place.name)).await.map_err(|error| unreadable(place, &error))?;
        match found {
            Some(secret) if !is_ours(&secret) => Err(conflict(place)),
            found => Ok(found),
        }
    }

    /// Adds an owner, so that the Secret stays for as long as one of them is there.
    async fn join(&self, place: &Place, mut secret: Secret) -> Secret {
        let owner = owner(&place.owner);
        if place.owner.uid.is_empty() || secret.owner_references().iter().any(|known| known.uid == owner.uid) {
            return secret;
        }
        secret.owner_references_mut().push(owner);
        match bounded(self.api(place).replace(&place.name, &params(), &secret)).await {
            Ok(joined) => joined,
            Err(error) => {
                // The next read tries again. Until then it goes with the owners that it has.
                tracing::debug!(secret = %format!("{}/{}", place.namespace, place.name), %error, "has no further owner yet");
                secret.owner_references_mut().pop();
                secret
            }
        }
    }
}

impl Keeper for TokenSecrets {
    fn read<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Option<Kept>, Diagnosis>> {
        async move {
            let Some(secret) = self.find(place).await? else { return Ok(None) };
            Ok(Some(kept(&self.join(place, secret).await)))
        }
        .boxed()
    }

    fn write<'a>(&'a self, place: &'a Place, kept: &'a Kept) -> BoxFuture<'a, Result<(), Unwritten>> {
        async move {
            let api = self.api(place);
            let written = match &kept.version {
                None => bounded(api.create(&params(), &secret(place, kept, None))).await,
                Some(version) => {
                    let found = self.find(place).await.map_err(Unwritten::Failed)?.ok_or(Unwritten::Changed)?;
                    if found.resource_version().as_ref() != Some(version) {
                        return Err(Unwritten::Changed);
                    }
                    bounded(api.replace(&place.name, &params(), &secret(place, kept, Some(found.metadata)))).await
                }
            };
            match written {
                Ok(_) => Ok(()),
                Err(error) if error.is_conflict() || error.is_gone() => Err(Unwritten::Changed),
                Err(error) => Err(Unwritten::Failed(unwritable(place, &error))),
            }
        }
        .boxed()
    }

    fn leads(&self) -> bool {
        self.fence.held()
    }

    fn rests(&self, place: &Place) -> bool {
        (self.rests)(place)
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Whether we have made it.
fn is_ours(secret: &Secret) -> bool {
    secret.labels().get(LABEL).is_some_and(|value| value == REFRESH_TOKEN)
        && secret.owner_references().iter().any(|owner| owner.api_version == API_VERSION)
}

fn kept(secret: &Secret) -> Kept {
    let note = |name: &str| secret.annotations().get(name).cloned().unwrap_or_default();
    let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let refresh = value(KEY).and_then(|bytes| std::str::from_utf8(bytes).ok()).filter(|token| !token.is_empty());
    Kept {
        application: note(APPLICATION),
        consent: note(CONSENT),
        refresh: refresh.map(SecretString::from),
        device: value(DEVICE).and_then(|bytes| serde_json::from_slice::<Waiting>(bytes).ok()).map(Pending::from),
        ended: value(ENDED).and_then(|bytes| serde_json::from_slice::<End>(bytes).ok()).and_then(End::read),
        version: secret.resource_version(),
        allowed_hosts: secret.annotations().get(ALLOWED_HOSTS).cloned(),
    }
}

/// The Secret that holds this; what else the metadata of the one before says stays.
fn secret(place: &Place, kept: &Kept, before: Option<ObjectMeta>) -> Secret {
    let mut metadata = before.unwrap_or_else(|| ObjectMeta {
        name: Some(place.name.clone()),
        namespace: Some(place.namespace.clone()),
        owner_references: Some(vec![owner(&place.owner)]),
        ..ObjectMeta::default()
    });
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(LABEL.to_owned(), REFRESH_TOKEN.to_owned());
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "mailverity".to_owned());
    let notes = metadata.annotations.get_or_insert_default();
    notes.insert(APPLICATION.to_owned(), kept.application.clone());
    notes.insert(CONSENT.to_owned(), kept.consent.clone());
    let refresh = kept.refresh.as_ref().map(|refresh| (KEY, refresh.expose_secret().as_bytes().to_vec()));
    let device = kept.device.as_ref().map(|device| (DEVICE, Waiting::bytes(device)));
    let ended = kept.ended.as_ref().map(|ended| (ENDED, End::bytes(ended)));
    let data: BTreeMap<String, ByteString> =
        [refresh, device, ended].into_iter().flatten().map(|(key, bytes)| (key.to_owned(), ByteString(bytes))).collect();
    Secret { metadata, data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() }
}

/// A device code as the Secret holds it, in RFC 8628's own words where it has some.
#[derive(Deserialize)]
struct Waiting {
    #[serde(deserialize_with = "hidden")]
    device_code: SecretString,
    user_code: String,
    verification_uri: String,
    expires: Timestamp,
    interval: u64,
}

impl Waiting {
    fn bytes(device: &Pending) -> Vec<u8> {
        let written = serde_json::json!({
            "device_code": device.device_code.expose_secret(), "user_code": device.user_code, "verification_uri": device.uri,
            "expires": device.expires, "interval": device.interval.as_secs(),
        });
        written.to_string().into_bytes()
    }
}

impl From<Waiting> for Pending {
    fn from(device: Waiting) -> Self {
        let interval = Duration::from_secs(device.interval.max(1));
        let Waiting { device_code, user_code, verification_uri, expires, .. } = device;
        Self { device_code, user_code, uri: verification_uri, expires, interval }
    }
}

fn hidden<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

/// The end of a login by device code as the Secret holds it.
#[derive(Deserialize, Serialize)]
struct End {
    count: u32,
    reason: String,
    said: String,
}

impl End {
    fn bytes(ended: &Ended) -> Vec<u8> {
        let Ended { count, reason, said } = ended;
        serde_json::json!({ "count": count, "reason": reason.as_str(), "said": said }).to_string().into_bytes()
    }

    /// None where somebody has written a reason that there is not.
    fn read(self) -> Option<Ended> {
        let reason = Reason::ALL.iter().copied().find(|reason| reason.as_str() == self.reason)?;
        Some(Ended { count: self.count, reason, said: self.said })
    }
}

fn owner(owner: &Owner) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        ..OwnerReference::default()
    }
}

fn conflict(place: &Place) -> Diagnosis {
    let Place { namespace, name, .. } = place;
    Diagnosis::new(Reason::Conflict)
        .detail(format!("Secret {namespace}/{name} was not made by mailverity, and is left as it is: give tokenSecretName another name, or delete the Secret"))
        .fact("other", "Another program or person")
        .fact("value", format!("the Secret {namespace}/{name}"))
}

fn unreadable(place: &Place, error: &ApiError) -> Diagnosis {
    let name = format!("{}/{}", place.namespace, place.name);
    Diagnosis::new(Reason::RefUnreadable)
        .fact("kind", "Secret")
        .fact("name", &name)
        .detail(format!("Secret {name}: {error}"))
        .fact("fault", error.to_string())
}

fn unwritable(place: &Place, error: &ApiError) -> Diagnosis {
    let what = format!("the new refresh token could not be kept in Secret {}/{}", place.namespace, place.name);
    let (class, fault) = if error.is_forbidden() {
        (Class::User, format!("{what}: RBAC does not let the operator write it (value tokenSecrets of the chart)"))
    } else {
        (Class::Transient, format!("{what}: {error}"))
    };
    Diagnosis::new(Reason::OAuthTokenFailed).class(class).detail(fault.clone()).fact("fault", fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let owner = Owner { kind: "MailServer".to_owned(), name: "relay".to_owned(), uid: "1".to_owned() };
        Place { namespace: "mail".to_owned(), name: "consent-rotated".to_owned(), owner }
    }

    fn sample() -> Kept {
        let (application, consent) = ("a".to_owned(), "c".to_owned());
        Kept { application, consent, refresh: Some("r".to_owned().into()), ..Kept::default() }
    }

    #[test]
    fn a_device_code_and_its_end_are_read_back() {
        let device = Pending {
            device_code: "d".to_owned().into(),
            user_code: "AB-CD".to_owned(),
            uri: "https://login.test/link".to_owned(),
            expires: Timestamp::from_second(1_800_000_000).unwrap(),
            interval: Duration::from_secs(7),
        };
        let ended = Ended { count: 2, reason: Reason::DeviceCodeExpired, said: "too late".to_owned() };
        let made = secret(&place(), &Kept { device: Some(device), ended: Some(ended.clone()), ..Kept::default() }, None);
        let read = kept(&made);
        let device = read.device.unwrap();
        assert_eq!((device.device_code.expose_secret(), device.user_code.as_str()), ("d", "AB-CD"));
        assert_eq!((device.expires.as_second(), device.interval.as_secs()), (1_800_000_000, 7));
        assert_eq!(read.ended, Some(ended));
        assert!(!format!("{device:?}").contains("\"d\""));
    }

    #[test]
    fn what_is_written_is_read_back_and_known_as_ours() {
        let made = secret(&place(), &sample(), None);
        let read = kept(&made);
        assert!(is_ours(&made));
        assert_eq!((read.application.as_str(), read.consent.as_str()), ("a", "c"));
        assert_eq!(read.refresh.unwrap().expose_secret(), "r");
    }

    #[test]
    fn a_secret_without_our_label_or_without_an_owner_of_ours_is_somebody_elses() {
        let mut unlabelled = secret(&place(), &sample(), None);
        unlabelled.metadata.labels = None;
        let mut unowned = secret(&place(), &sample(), None);
        unowned.metadata.owner_references = None;
        let mut foreign = secret(&place(), &sample(), None);
        foreign.owner_references_mut()[0].api_version = "v1".to_owned();
        for secret in [unlabelled, unowned, foreign, Secret::default()] {
            assert!(!is_ours(&secret));
        }
    }

    #[test]
    fn a_second_write_leaves_owners_and_labels_of_others_as_they_are() {
        let mut first = secret(&place(), &sample(), None);
        first.labels_mut().insert("team".to_owned(), "mail".to_owned());
        let other = Owner { kind: "EmailProfile".to_owned(), name: "box".to_owned(), uid: "2".to_owned() };
        first.owner_references_mut().push(super::owner(&other));
        let second = secret(&place(), &sample(), Some(first.metadata));
        assert_eq!(second.owner_references().len(), 2);
        assert_eq!(second.labels()["team"], "mail");
    }
}
