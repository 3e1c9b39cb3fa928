//! The account whose access tokens are asked of a provider: what `auth.oauth2` names, read and judged.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    About, REFRESH_TOKEN,
    account::{pinned, value},
    consent::by_login,
    federated, invalid, kept, key_missing, secret,
};
use crate::{
    api::{
        Reason,
        v1alpha1::{Auth, Grant, Mechanism, OAuth2, OAuth2Provider, SecretKeyRef, Security},
    },
    mail::{
        Diagnosis,
        https::Url,
        oauth2::{self, Algorithm, Proof, Request, SigningKey, presets},
        tls,
    },
    verify::{
        Credential, Endpoint, Login, References, Stored,
        tokens::{Seed, Source, keep::APPLICATION},
        warnings::Ends,
    },
};

/// The key of a client secret, where `secretRef.key` names none.
const CLIENT_SECRET: &str = "clientSecret";
/// The key of a service account's JSON key, likewise.
const SERVICE_ACCOUNT: &str = "key.json";

/// A Secret that was read, and what of it counts.
pub(super) struct Read {
    pub place: String,
    pub stored: Stored,
    hashed: Vec<Vec<u8>>,
}

/// The account behind `auth`, whose tokens may go to `endpoints`.
pub(super) async fn account(
    auth: &Auth,
    about: &About<'_>,
    references: &dyn References,
    endpoints: &[Endpoint],
    skip_verify: bool,
) -> Result<Login, Diagnosis> {
    let oauth2 = auth.oauth2.as_ref().ok_or_else(|| invalid("auth.type OAuth2 needs auth.oauth2"))?;
    let tokens = references.tokens().ok_or_else(|| unavailable("no access tokens are fetched here"))?;
    let (endpoint, scopes) = preset(oauth2, about.kind)?;
    let mut read = Vec::new();
    let user = user(auth, oauth2, about, references).await?;
    let (mut proof, service_account) = proof(oauth2, about, references, &mut read).await?;
    let vouched = federated::identity(oauth2, &endpoint, about, references)?;
    let grant = match (oauth2.grant, service_account) {
        (Grant::ServiceAccountJWT, Some((key, issuer))) => {
            oauth2::Grant::ServiceAccount { key, issuer, subject: oauth2.subject.clone() }
        }
        (Grant::ServiceAccountJWT, None) if vouched.is_some() => federated::google(oauth2, vouched.as_ref())?,
        (Grant::ServiceAccountJWT, None) => return Err(invalid("grant ServiceAccountJWT needs client.serviceAccountKeyRef")),
        (Grant::RefreshToken, _) => oauth2::Grant::RefreshToken(refresh_token(oauth2, about, references, &mut read).await?),
        // What it is worth is known where it is kept.
        (Grant::DeviceCode, _) => oauth2::Grant::Device,
        (Grant::ClientCredentials, _) => oauth2::Grant::ClientCredentials,
    };
    if let Some(vouched) = vouched.as_ref().filter(|_| oauth2.grant != Grant::ServiceAccountJWT) {
        proof = Proof::Vouched(Arc::clone(&vouched.identity));
    }
    let device = device_endpoint(oauth2)?;
    // What is shown at the provider, and what is had for it, go where the Secrets' owner lets them go.
    let mut places = endpoints.to_vec();
    for url in [Some(&endpoint), device.as_ref()].into_iter().flatten() {
        places.push(Endpoint { host: url.host.clone(), port: url.port, security: Security::TLS });
    }
    for Read { place, stored, .. } in &read {
        pinned(place, stored, about.require_allowed_hosts, &places, skip_verify)?;
    }
    if vouched.is_some() && about.require_allowed_hosts {
        return Err(invalid("client.workloadIdentity names no Secret that says where it may go, as this installation demands"));
    }
    let client_id = oauth2.client_id.clone().unwrap_or_default();
    if client_id.is_empty() && oauth2.grant != Grant::ServiceAccountJWT {
        return Err(invalid("this grant needs oauth2.clientID"));
    }
    // That its end was written down makes it no other credential.
    let noted = OAuth2 { client_secret_expires: None, ..oauth2.clone() };
    let written = serde_json::json!({ "oauth2": noted, "url": endpoint.to_string(), "scopes": scopes }).to_string();
    let mut parts: Vec<&[u8]> = vec![b"token", written.as_bytes()];
    parts.extend(read.iter().flat_map(|read| read.hashed.iter().map(Vec::as_slice)));
    let request = Request { endpoint, client_id, proof, grant, scopes };
    let safe = kept::safe(oauth2, &request, device, about, references).await?;
    if let Some((safe, stored)) =
        safe.as_ref().filter(|safe| safe.login.is_some()).and_then(|safe| Some((safe, safe.stored.as_ref()?)))
    {
        // What a person's sign-in gave is in no Secret but the operator's.
        pinned(&safe.place.to_string(), stored, about.require_allowed_hosts, &places, skip_verify)?;
    }
    let consent = safe.as_ref().filter(|safe| safe.login.is_some()).map(|safe| safe.consent.clone()).unwrap_or_default();
    parts.push(consent.as_bytes());
    // Each namespace has an account of its own behind the same words.
    parts.extend(vouched.as_ref().map(|vouched| vouched.subject.as_bytes()));
    let key = about.key.hash(&parts);
    let fingerprint = about.key.hash(&[b"oauth2", user.as_bytes(), key.as_bytes()]);
    drop(parts);
    let seed = read.last().filter(|_| oauth2.grant == Grant::RefreshToken);
    let seed = seed.map(|seed| Seed { secret: seed.place.clone(), login: by_login(oauth2, about) });
    let first = read.into_iter().next();
    let source = Source::new(tokens, request, key).ending(ends(oauth2, first.as_ref())).seeded_by(seed);
    let source = match safe {
        Some(safe) => source.kept_in(safe),
        None => source,
    };
    Ok(Login {
        credential: Credential::OAuth2 { user, source: Arc::new(source) },
        mechanisms: auth.mechanisms.clone().unwrap_or_else(|| vec![Mechanism::Auto]),
        allow_plaintext: auth.allow_plaintext.unwrap_or(false),
        secret: first.as_ref().map(|read| read.place.clone()).unwrap_or_default(),
        changed: first.and_then(|read| read.stored.changed),
        fingerprint,
    })
}

/// When what the application proves itself by ends: as its certificate says, or as the spec says of a secret that does not.
fn ends(oauth2: &OAuth2, read: Option<&Read>) -> Option<Ends> {
    let by_certificate = oauth2.client.as_ref().is_some_and(|client| client.certificate_ref.is_some());
    if by_certificate {
        let at = tls::ends(read?.stored.data.get("tls.crt")?)?;
        return Some(Ends { what: "certificate", at });
    }
    // The day is good to its end, wherever the provider is.
    let at = format!("{}T23:59:59Z", oauth2.client_secret_expires.as_deref()?).parse().ok()?;
    Some(Ends { what: "client secret", at })
}

pub(super) fn unavailable(fault: &str) -> Diagnosis {
    Diagnosis::new(Reason::OAuthTokenFailed).detail(fault).fact("fault", fault)
}

/// Where device codes are given out, for grant `DeviceCode`.
fn device_endpoint(oauth2: &OAuth2) -> Result<Option<Url>, Diagnosis> {
    if oauth2.grant != Grant::DeviceCode {
        return Ok(None);
    }
    let url = match oauth2.provider {
        OAuth2Provider::Microsoft365 => {
            presets::microsoft_device_url(oauth2.cloud.unwrap_or_default(), oauth2.tenant_id.as_deref().unwrap_or_default())
        }
        OAuth2Provider::Google => return Err(invalid("Google's device codes are good for no mail; use RefreshToken")),
        OAuth2Provider::Custom => {
            oauth2.device_url.clone().ok_or_else(|| invalid("provider Custom with grant DeviceCode needs deviceURL"))?
        }
    };
    url.parse().map(Some).map_err(|fault| invalid(&format!("oauth2.deviceURL: {fault}")))
}

/// Where tokens are asked for, and what for. `kind`: whose account it is.
pub(super) fn preset(oauth2: &OAuth2, kind: &str) -> Result<(Url, Vec<String>), Diagnosis> {
    let cloud = oauth2.cloud.unwrap_or_default();
    let (url, usual) = match oauth2.provider {
        OAuth2Provider::Microsoft365 => {
            let tenant = oauth2.tenant_id.as_deref().ok_or_else(|| invalid("provider Microsoft365 needs tenantID"))?;
            if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)) {
                return Err(invalid("tenantID is a GUID or a domain of the directory"));
            }
            let scopes = match oauth2.grant {
                Grant::DeviceCode => presets::microsoft_user_scopes(cloud, kind == "EmailProfile"),
                _ => vec![presets::microsoft_scope(cloud).to_owned()],
            };
            (presets::microsoft_token_url(cloud, tenant), scopes)
        }
        OAuth2Provider::Google => (presets::GOOGLE_TOKEN_URL.to_owned(), vec![presets::GOOGLE_SCOPE.to_owned()]),
        OAuth2Provider::Custom => (String::new(), Vec::new()),
    };
    let url = oauth2.token_url.clone().unwrap_or(url).parse().map_err(|fault| invalid(&format!("oauth2.tokenURL: {fault}")))?;
    // Who refreshes gets what was consented to.
    let usual = if oauth2.grant == Grant::RefreshToken { Vec::new() } else { usual };
    let scopes = oauth2.scopes.clone().unwrap_or(usual);
    Ok((url, scopes))
}

/// Whose mailbox or account it is.
pub(super) async fn user(
    auth: &Auth,
    oauth2: &OAuth2,
    about: &About<'_>,
    references: &dyn References,
) -> Result<String, Diagnosis> {
    if let Some(user) = &auth.username {
        return Ok(user.clone());
    }
    if let Some(reference) = &auth.secret_ref {
        let place = format!("{}/{}", about.namespace, reference.name);
        let stored = secret(references, about.namespace, &reference.name, &reference.username_key).await?;
        if !stored.data.contains_key(&reference.username_key) {
            return Err(key_missing(&place, &[&reference.username_key], &stored));
        }
        return Ok(value(&place, &reference.username_key, &stored)?.expose_secret().to_owned());
    }
    oauth2.subject.clone().ok_or_else(|| invalid("auth.type OAuth2 needs auth.username: the mailbox that is logged in to"))
}

async fn one(
    reference: &SecretKeyRef,
    usual: &str,
    about: &About<'_>,
    references: &dyn References,
    read: &mut Vec<Read>,
) -> Result<SecretString, Diagnosis> {
    let (place, key) = (format!("{}/{}", about.namespace, reference.name), reference.key.as_deref().unwrap_or(usual));
    let stored = secret(references, about.namespace, &reference.name, key).await?;
    if !stored.data.contains_key(key) {
        return Err(key_missing(&place, &[key], &stored));
    }
    // A file with a key in it ends in a newline.
    let found = if usual == SERVICE_ACCOUNT { text(&place, key, &stored)? } else { value(&place, key, &stored)? };
    read.push(Read { place, stored, hashed: vec![found.expose_secret().as_bytes().to_vec()] });
    Ok(found)
}

fn text(place: &str, key: &str, stored: &Stored) -> Result<SecretString, Diagnosis> {
    let bytes = stored.data.get(key).map(Vec::as_slice).unwrap_or_default();
    std::str::from_utf8(bytes).map(SecretString::from).map_err(|_| unfit(place, key, "is no UTF-8 text"))
}

fn unfit(place: &str, key: &str, fault: &str) -> Diagnosis {
    Diagnosis::new(Reason::SecretInvalid)
        .fact("secret", place)
        .fact("key", key)
        .fact("fault", fault)
        .detail(format!("key {key} of Secret {place} {fault}"))
}

type ServiceAccount = (Arc<SigningKey>, String);

/// How the application proves itself, or the service account that it is.
pub(super) async fn proof(
    oauth2: &OAuth2,
    about: &About<'_>,
    references: &dyn References,
    read: &mut Vec<Read>,
) -> Result<(Proof, Option<ServiceAccount>), Diagnosis> {
    let Some(client) = &oauth2.client else { return Ok((Proof::None, None)) };
    if let Some(reference) = &client.secret_ref {
        let found = one(reference, CLIENT_SECRET, about, references, read).await?;
        // RFC 6749 section 2.3.1: every server takes Basic; the known providers document the form.
        let proof = if oauth2.provider == OAuth2Provider::Custom { Proof::Basic(found) } else { Proof::Post(found) };
        return Ok((proof, None));
    }
    if let Some(reference) = &client.certificate_ref {
        let place = format!("{}/{}", about.namespace, reference.name);
        let stored = secret(references, about.namespace, &reference.name, "tls.crt and tls.key").await?;
        let missing: Vec<&str> = ["tls.crt", "tls.key"].into_iter().filter(|key| !stored.data.contains_key(*key)).collect();
        let (Some(chain), Some(key)) = (stored.data.get("tls.crt"), stored.data.get("tls.key")) else {
            return Err(key_missing(&place, &missing, &stored));
        };
        let microsoft = oauth2.provider == OAuth2Provider::Microsoft365;
        let algorithm = if microsoft { Algorithm::PS256 } else { Algorithm::RS256 };
        let signer = SigningKey::with_certificate(chain, key, algorithm)
            .map_err(|fault| unfit(&place, "tls.key", &format!("cannot sign: {fault}")))?;
        let hashed = vec![chain.clone(), key.clone()];
        read.push(Read { place, stored, hashed });
        return Ok((Proof::Key(Arc::new(signer)), None));
    }
    let Some(reference) = &client.service_account_key_ref else { return Ok((Proof::None, None)) };
    let found = one(reference, SERVICE_ACCOUNT, about, references, read).await?;
    let (place, name) = (format!("{}/{}", about.namespace, reference.name), reference.key.as_deref().unwrap_or(SERVICE_ACCOUNT));
    let account: AccountKey = serde_json::from_str(found.expose_secret())
        .map_err(|_| unfit(&place, name, "is no JSON key of a Google service account"))?;
    let signer = SigningKey::with_id(account.private_key.expose_secret().as_bytes(), account.private_key_id)
        .map_err(|fault| unfit(&place, name, &format!("cannot sign: {fault}")))?;
    Ok((Proof::None, Some((Arc::new(signer), account.client_email))))
}

/// A service account's key, as Google hands it out.
/// Source: <https://developers.google.com/identity/protocols/oauth2/service-account#creatinganaccount>
#[derive(Deserialize)]
struct AccountKey {
    client_email: String,
    #[serde(deserialize_with = "hidden")]
    private_key: SecretString,
    private_key_id: Option<String>,
}

fn hidden<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

async fn refresh_token(
    oauth2: &OAuth2,
    about: &About<'_>,
    references: &dyn References,
    read: &mut Vec<Read>,
) -> Result<SecretString, Diagnosis> {
    let name = oauth2.token_secret_name.clone().ok_or_else(|| invalid("grant RefreshToken needs tokenSecretName"))?;
    let seed = one(&SecretKeyRef { name: name.clone(), key: None }, REFRESH_TOKEN, about, references, read).await;
    let seed = seed.map_err(|missing| missing.fact("by", by_login(oauth2, about)))?;
    if read.last().is_some_and(|read| read.stored.annotations.contains_key(APPLICATION)) {
        // What comes after it would be kept elsewhere, and the one who keeps it here would show it once more.
        return Err(Diagnosis::new(Reason::Conflict)
            .fact("other", "another grant")
            .fact("value", format!("Secret {}/{name}", about.namespace))
            .detail(format!(
                "Secret {}/{name} is the operator's own, kept for another grant: name one of yours in tokenSecretName",
                about.namespace
            )));
    }
    Ok(seed)
}
