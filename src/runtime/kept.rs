//! Refresh tokens in Secrets that the operator has made, and in no others: by a label and by owners that are ours. RBAC cannot
//! tell them from other Secrets, so that this is the one place that writes any outside the namespaces of the operator's own.

use std::collections::BTreeMap;

use futures::future::{BoxFuture, FutureExt};
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Api, Client, ResourceExt, api::PostParams};
use secrecy::{ExposeSecret, SecretString};

use super::{ApiError, FIELD_MANAGER, bounded};
use crate::{
    api::{Class, Reason, v1alpha1::API_VERSION},
    mail::Diagnosis,
    verify::tokens::keep::{Keeper, Kept, Owner, Place, Unwritten},
};

/// The label of the Secrets that are made here.
pub const LABEL: &str = "mailverity.dev/keeps";
/// Its value.
const REFRESH_TOKEN: &str = "refresh-token";
/// The key of the refresh token.
const KEY: &str = "refresh_token";
/// The annotation with [`Kept::application`].
const APPLICATION: &str = "mailverity.dev/application";
/// The annotation with [`Kept::consent`].
const CONSENT: &str = "mailverity.dev/consent";

/// The Secrets that keep refresh tokens.
#[derive(Clone)]
pub struct TokenSecrets {
    client: Client,
}

impl TokenSecrets {
    /// Those that `client` may write.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
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
    let refresh = secret.data.as_ref().and_then(|data| data.get(KEY));
    let refresh = refresh.and_then(|bytes| std::str::from_utf8(&bytes.0).ok()).filter(|token| !token.is_empty());
    Kept {
        application: note(APPLICATION),
        consent: note(CONSENT),
        refresh: refresh.map(SecretString::from),
        version: secret.resource_version(),
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
    let refresh = kept.refresh.as_ref().map(|refresh| ByteString(refresh.expose_secret().as_bytes().to_vec()));
    let data: BTreeMap<String, ByteString> = refresh.map(|refresh| (KEY.to_owned(), refresh)).into_iter().collect();
    Secret { metadata, data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() }
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
        Kept { application, consent, refresh: Some("r".to_owned().into()), version: None }
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
