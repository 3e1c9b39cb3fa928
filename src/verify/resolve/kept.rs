//! Where the refresh token of an account is kept, where its provider gives another one in place of it.
//!
//! A user's own Secret is the seed: it is read and never written. What came after it is kept in a Secret of the operator's own,
//! beside it, and counts for as long as the seed is the same. Where a person signs in by device code there is no seed, and the
//! Secret that the spec names is the operator's.

use secrecy::ExposeSecret;

use super::{About, invalid, oauth2::unavailable};
use crate::{
    api::v1alpha1::{ALLOWED_HOSTS, OAuth2},
    mail::{
        Diagnosis,
        https::Url,
        oauth2::{Grant, Request},
    },
    verify::{
        References, Stored,
        tokens::{
            device::DeviceLogin,
            keep::{Owner, Place, Safe},
        },
    },
};

/// What is added to the name of the seed's Secret.
const ROTATED: &str = "-rotated";
/// The longest name of an object.
const NAME: usize = 253;

/// Where what comes after the refresh token in `request` is kept; none where that is not kept here.
pub(super) async fn safe(
    oauth2: &OAuth2,
    request: &Request,
    device: Option<Url>,
    about: &About<'_>,
    references: &dyn References,
) -> Result<Option<Safe>, Diagnosis> {
    let Some(secret) = &oauth2.token_secret_name else { return Ok(None) };
    let (name, seed) = match &request.grant {
        Grant::RefreshToken(seed) => (format!("{secret}{ROTATED}"), Some(seed)),
        Grant::Device => (secret.clone(), None),
        _ => return Ok(None),
    };
    let Some(keeper) = references.keeper() else {
        if seed.is_none() {
            return Err(unavailable(
                "grant DeviceCode needs somebody who keeps the refresh token: the operator, started with --token-secrets (value \
                 tokenSecrets of the chart); a shell keeps none",
            ));
        }
        // Whoever asks with the newest one and keeps nothing takes it from who does.
        let kept = name.len() <= NAME && references.secret(about.namespace, &name).await?.is_some();
        return if kept { Err(kept_elsewhere(about.namespace, &name)) } else { Ok(None) };
    };
    if name.len() > NAME {
        return Err(invalid("tokenSecretName leaves no room for the 8 characters of -rotated"));
    }
    let owner = Owner { kind: about.kind.to_owned(), name: about.name.to_owned(), uid: about.uid.to_owned() };
    let place = Place { namespace: about.namespace.to_owned(), name, owner };
    // Not what it asks for: a refresh token is good for all that was consented to (RFC 6749 section 6).
    let url = request.endpoint.to_string();
    let application = about.key.hash(&[b"application", url.as_bytes(), request.client_id.as_bytes()]);
    // Now, so that a Secret of somebody else's is told before anything is asked for.
    let kept = keeper.read(&place).await?.unwrap_or_default();
    let consent = match seed {
        Some(seed) => about.key.hash(&[b"consent", seed.expose_secret().as_bytes()]),
        None if kept.application == application => {
            let ended = kept.ended.as_ref().map_or(0, |ended| ended.count);
            format!("{} {ended}", kept.consent)
        }
        None => String::new(),
    };
    let login = device.map(|endpoint| DeviceLogin {
        authorize: Request { endpoint, grant: Grant::Device, ..request.clone() },
        name: about.to_sign_in(),
    });
    let pending = kept.device.filter(|_| login.is_some() && kept.application == application);
    let annotations = kept.allowed_hosts.into_iter().map(|hosts| (ALLOWED_HOSTS.to_owned(), hosts)).collect();
    let stored = kept.version.map(|_| Stored { annotations, ..Stored::default() });
    Ok(Some(Safe { keeper, place, application, consent, login, pending, stored }))
}

fn kept_elsewhere(namespace: &str, name: &str) -> Diagnosis {
    unavailable(&format!(
        "Secret {namespace}/{name} keeps the newest refresh token, and whoever uses that must keep the next one there, which is not \
         done from here: ask the operator (kubectl mail verify), started with --token-secrets"
    ))
}
