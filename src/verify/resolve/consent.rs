//! What a person consents to in a browser, for an account whose grant is `RefreshToken`: what `auth.oauth2` says of it, read and judged.
//! The operator never asks for it: a person at a shell does.

use super::{
    About,
    account::pinned,
    federated, invalid,
    oauth2::{preset, proof, user},
};
use crate::{
    api::v1alpha1::{Auth, Grant, OAuth2, OAuth2Provider, Security},
    mail::{
        Diagnosis,
        https::Url,
        oauth2::{Proof, consent::Page, presets},
    },
    verify::{Endpoint, References},
};

/// Where browsers come back to (RFC 8252 section 7.3): a name could be another host's.
const LOOPBACK: &str = "http://127.0.0.1";

/// What is asked of a person, and where what comes of it belongs.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The page, and how its code is exchanged.
    pub page: Page,
    /// Where the browser is to come back to, unless somebody says otherwise: any port of it.
    pub redirect: &'static str,
    /// The name of the Secret in which the refresh token is expected, and the key in it.
    pub secret: (String, &'static str),
}

/// The consent that `auth` needs, whose scopes are what a person is to consent to.
///
/// # Errors
/// `SpecInvalid`, and those of what it names.
pub async fn consent(auth: &Auth, about: &About<'_>, references: &dyn References) -> Result<Consent, Diagnosis> {
    let oauth2 = auth.oauth2.as_ref().filter(|oauth2| oauth2.grant == Grant::RefreshToken);
    let oauth2 = oauth2.ok_or_else(|| invalid("a person consents to grant RefreshToken alone"))?;
    let name = oauth2.token_secret_name.clone().ok_or_else(|| invalid("grant RefreshToken needs tokenSecretName"))?;
    let client_id = oauth2.client_id.clone().ok_or_else(|| invalid("this grant needs oauth2.clientID"))?;
    let (endpoint, _) = preset(oauth2, about.kind)?;
    let (url, usual) = at(oauth2, about.kind)?;
    let mut read = Vec::new();
    let user = user(auth, oauth2, about, references).await?;
    let (mut proof, _) = proof(oauth2, about, references, &mut read).await?;
    if let Some(vouched) = federated::identity(oauth2, &endpoint, about, references)? {
        proof = Proof::Vouched(vouched.identity);
    }
    let place = [Endpoint { host: endpoint.host.clone(), port: endpoint.port, security: Security::TLS }];
    for secret in &read {
        pinned(&secret.place, &secret.stored, about.require_allowed_hosts, &place, false)?;
    }
    let mut scopes = oauth2.scopes.clone().unwrap_or(usual);
    if oauth2.provider == OAuth2Provider::Microsoft365 && !scopes.iter().any(|scope| scope == presets::OFFLINE) {
        scopes.insert(0, presets::OFFLINE.to_owned());
    }
    let (redirect, beside) = match oauth2.provider {
        // A prompt for consent would ask for an administrator where one has consented for all.
        OAuth2Provider::Microsoft365 => (presets::MICROSOFT_REDIRECT, Vec::new()),
        OAuth2Provider::Google => (LOOPBACK, presets::GOOGLE_PAGE_FIELDS.to_vec()),
        // OpenID Connect Core 1.0 section 11: without it the scope counts for nothing.
        OAuth2Provider::Custom if scopes.iter().any(|scope| scope == presets::OFFLINE) => (LOOPBACK, vec![("prompt", "consent")]),
        OAuth2Provider::Custom => (LOOPBACK, Vec::new()),
    };
    let page = Page { url, endpoint, client_id, proof, scopes, user, beside };
    Ok(Consent { page, redirect, secret: (name, super::REFRESH_TOKEN) })
}

/// The object as `kubectl mail login` takes it; empty where it could not have anybody consent.
pub(super) fn by_login(oauth2: &OAuth2, about: &About<'_>) -> String {
    let has_page = oauth2.provider != OAuth2Provider::Custom || oauth2.auth_url.is_some();
    if has_page { about.to_sign_in() } else { String::new() }
}

/// The page where people consent, and to what as a rule.
fn at(oauth2: &OAuth2, kind: &str) -> Result<(Url, Vec<String>), Diagnosis> {
    let cloud = oauth2.cloud.unwrap_or_default();
    let (usual, scopes) = match oauth2.provider {
        OAuth2Provider::Microsoft365 => {
            let tenant = oauth2.tenant_id.as_deref().unwrap_or_default();
            let scopes = presets::microsoft_user_scopes(cloud, kind == "EmailProfile");
            (Some(presets::microsoft_page_url(cloud, tenant)), scopes)
        }
        OAuth2Provider::Google => (Some(presets::GOOGLE_PAGE_URL.to_owned()), vec![presets::GOOGLE_SCOPE.to_owned()]),
        OAuth2Provider::Custom => (None, Vec::new()),
    };
    let url = oauth2.auth_url.clone().or(usual);
    let url = url.ok_or_else(|| invalid("to consent in a browser, provider Custom needs oauth2.authURL"))?;
    Ok((url.parse().map_err(|fault| invalid(&format!("oauth2.authURL: {fault}")))?, scopes))
}
