//! The account that a spec names: the Secret behind it, what it may be shown to, and by which mechanisms.

use secrecy::{ExposeSecret, SecretString};

use super::{About, invalid, key_missing, secret};
use crate::{
    api::{
        Reason,
        v1alpha1::{ALLOWED_HOSTS, Auth, AuthType, Mechanism, Security},
    },
    mail::{Diagnosis, guard::bare},
    verify::{Credential, Endpoint, Login, References, Stored},
};

/// The account behind `auth`, which may go to `endpoints`; none where no login is set.
pub(in crate::verify) async fn account(
    auth: &Auth,
    about: &About<'_>,
    references: &dyn References,
    endpoints: &[Endpoint],
    skip_verify: bool,
) -> Result<Option<Login>, Diagnosis> {
    match auth.r#type {
        AuthType::None => return Ok(None),
        AuthType::OAuth2 => {
            return Box::pin(super::oauth2::account(auth, about, references, endpoints, skip_verify)).await.map(Some);
        }
        AuthType::Password => {}
    }
    let reference = auth.secret_ref.as_ref().ok_or_else(|| invalid("auth.type Password needs auth.secretRef"))?;
    let place = format!("{}/{}", about.namespace, reference.name);
    let keys = match &auth.username {
        Some(_) => reference.password_key.clone(),
        None => format!("{} and {}", reference.username_key, reference.password_key),
    };
    let secret = secret(references, about.namespace, &reference.name, &keys).await?;
    let wanted: Vec<&str> = match &auth.username {
        Some(_) => vec![&reference.password_key],
        None => vec![&reference.username_key, &reference.password_key],
    };
    let missing: Vec<&str> = wanted.iter().copied().filter(|key| !secret.data.contains_key(*key)).collect();
    if !missing.is_empty() {
        return Err(key_missing(&place, &missing, &secret));
    }
    let user = match &auth.username {
        Some(user) => user.clone(),
        None => value(&place, &reference.username_key, &secret)?.expose_secret().to_owned(),
    };
    let password = value(&place, &reference.password_key, &secret)?;
    pinned(&place, &secret, about.require_allowed_hosts, endpoints, skip_verify)?;
    let fingerprint = about.key.hash(&[b"account", user.as_bytes(), password.expose_secret().as_bytes()]);
    Ok(Some(Login {
        credential: Credential::Password { user, password },
        mechanisms: auth.mechanisms.clone().unwrap_or_else(|| vec![Mechanism::Auto]),
        allow_plaintext: auth.allow_plaintext.unwrap_or(false),
        secret: place,
        changed: secret.changed.clone(),
        fingerprint,
    }))
}

pub(super) fn value(place: &str, key: &str, secret: &Stored) -> Result<SecretString, Diagnosis> {
    let unfit = |fault: &str| {
        Diagnosis::new(Reason::SecretInvalid)
            .fact("secret", place)
            .fact("key", key)
            .fact("fault", fault)
            .detail(format!("key {key} of Secret {place} {fault}"))
    };
    let bytes = secret.data.get(key).map(Vec::as_slice).unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|_| unfit("is no UTF-8 text"))?;
    if text.is_empty() {
        return Err(unfit("is empty"));
    }
    if text.ends_with(['\n', '\r']) {
        return Err(unfit("ends in a newline"));
    }
    if text.contains('\0') {
        return Err(unfit("holds a NUL, which no login can carry"));
    }
    Ok(SecretString::from(text))
}

/// The Secret's own word on where it may go, and the installation's rule that there must be one.
pub(super) fn pinned(
    place: &str,
    secret: &Stored,
    required: bool,
    endpoints: &[Endpoint],
    skip_verify: bool,
) -> Result<(), Diagnosis> {
    let denied = |host: &str, fault: &str| {
        Diagnosis::new(Reason::SecretHostNotAllowed)
            .fact("secret", place)
            .fact("host", host)
            .fact("fault", fault)
            .detail(format!("Secret {place} may not go to {host}: {fault}"))
    };
    let Some(allowed) = secret.annotations.get(ALLOWED_HOSTS) else {
        return match endpoints.first() {
            Some(endpoint) if required => {
                Err(denied(&endpoint.host, "this installation demands the annotation, and it is missing"))
            }
            _ => Ok(()),
        };
    };
    let same =
        |host: &str, known: &str| bare(known.trim()).trim_end_matches('.').eq_ignore_ascii_case(host.trim_end_matches('.'));
    for endpoint in endpoints {
        if !allowed.split(',').any(|known| same(&endpoint.host, known)) {
            return Err(denied(&endpoint.host, "the annotation does not name it"));
        }
        if endpoint.security == Security::None || skip_verify {
            return Err(denied(&endpoint.host, "a pinned Secret goes only through verified TLS"));
        }
    }
    Ok(())
}
