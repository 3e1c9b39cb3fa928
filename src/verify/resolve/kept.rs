//! Where the refresh token of an account is kept, where its provider gives another one in place of it.
//!
//! A user's own Secret is the seed: it is read and never written. What came after it is kept in a Secret of the operator's own,
//! beside it, and counts for as long as the seed is the same.

use secrecy::ExposeSecret;

use super::{About, invalid, oauth2::unavailable};
use crate::{
    api::v1alpha1::OAuth2,
    mail::{
        Diagnosis,
        oauth2::{Grant, Request},
    },
    verify::{
        References,
        tokens::keep::{Owner, Place, Safe},
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
    about: &About<'_>,
    references: &dyn References,
) -> Result<Option<Safe>, Diagnosis> {
    let (Grant::RefreshToken(seed), Some(secret)) = (&request.grant, &oauth2.token_secret_name) else { return Ok(None) };
    let name = format!("{secret}{ROTATED}");
    let Some(keeper) = references.keeper() else {
        // Whoever asks with the newest one and keeps nothing takes it from who does.
        let kept = name.len() <= NAME && references.secret(about.namespace, &name).await?.is_some();
        return if kept { Err(kept_elsewhere(about.namespace, &name)) } else { Ok(None) };
    };
    if name.len() > NAME {
        return Err(invalid("tokenSecretName leaves no room for the 8 characters of -rotated"));
    }
    let owner = Owner { kind: about.kind.to_owned(), name: about.name.to_owned(), uid: about.uid.to_owned() };
    let place = Place { namespace: about.namespace.to_owned(), name, owner };
    let (url, scopes) = (request.endpoint.to_string(), request.scopes.join(" "));
    let application = about.key.hash(&[b"application", url.as_bytes(), request.client_id.as_bytes(), scopes.as_bytes()]);
    let consent = about.key.hash(&[b"consent", seed.expose_secret().as_bytes()]);
    // Now, so that a Secret of somebody else's is told before anything is asked for.
    keeper.read(&place).await?;
    Ok(Some(Safe { keeper, place, application, consent }))
}

fn kept_elsewhere(namespace: &str, name: &str) -> Diagnosis {
    unavailable(&format!(
        "Secret {namespace}/{name} keeps the newest refresh token, and whoever uses that must keep the next one there, which is not \
         done from here: ask the operator (kubectl mail verify), started with --token-secrets"
    ))
}
