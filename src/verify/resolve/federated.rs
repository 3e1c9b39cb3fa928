//! Workload identity: a `ServiceAccount` of the object's namespace vouches for it, and no secret is named.

use std::sync::Arc;

use super::{About, invalid, oauth2::unavailable};
use crate::{
    api::v1alpha1::{OAuth2, OAuth2Provider},
    mail::{
        Diagnosis,
        https::Url,
        oauth2::{self, Federation, Identity, presets},
    },
    verify::References,
};

/// Who vouches.
pub(super) struct Vouched {
    /// As providers are told of it: `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    pub identity: Arc<dyn Identity>,
}

/// Who vouches for the application, where the spec says so.
pub(super) fn identity(
    oauth2: &OAuth2,
    endpoint: &Url,
    about: &About<'_>,
    references: &dyn References,
) -> Result<Option<Vouched>, Diagnosis> {
    let Some(wanted) = oauth2.client.as_ref().and_then(|client| client.workload_identity.as_ref()) else { return Ok(None) };
    let audience = match (&wanted.audience, oauth2.provider) {
        (Some(written), OAuth2Provider::Google) => token_audience(pool(written)?),
        (Some(written), _) => written.clone(),
        (None, OAuth2Provider::Microsoft365) => presets::microsoft_audience(oauth2.cloud.unwrap_or_default()).to_owned(),
        (None, OAuth2Provider::Google) => {
            return Err(invalid("provider Google needs client.workloadIdentity.audience: the name of the pool's provider"));
        }
        // RFC 7523 section 3: the token endpoint may be the audience.
        (None, OAuth2Provider::Custom) => endpoint.to_string(),
    };
    let found = references.identity(about.namespace, &audience).ok_or_else(|| {
        unavailable(
            "nobody vouches by workloadIdentity here: start the operator with --federated-service-account (value workloadIdentity of \
             the chart); a shell has no ServiceAccount",
        )
    })?;
    Ok(Some(Vouched { subject: found.0, identity: found.1 }))
}

/// Google's way to a user's mailbox without a key: the pool's provider believes the account, and lets it have Google sign for the
/// service account that `clientID` names.
pub(super) fn google(oauth2: &OAuth2, vouched: Option<&Vouched>) -> Result<oauth2::Grant, Diagnosis> {
    let written = oauth2.client.as_ref().and_then(|client| client.workload_identity.as_ref()?.audience.as_deref());
    let account = oauth2.client_id.as_deref().filter(|account| is_account(account));
    let account = account.ok_or_else(|| invalid("workloadIdentity at Google needs clientID: the service account's address"))?;
    let identity = vouched.map(|vouched| Arc::clone(&vouched.identity)).ok_or_else(|| invalid("nobody vouches"))?;
    let url = |text: &str| text.parse::<Url>().map_err(invalid);
    Ok(oauth2::Grant::Federated(Arc::new(Federation {
        identity,
        pool: pool(written.unwrap_or_default())?.to_owned(),
        account: account.to_owned(),
        subject: oauth2.subject.clone(),
        exchange: url(presets::GOOGLE_EXCHANGE_URL)?,
        signing: url(&format!("{}{account}:signJwt", presets::GOOGLE_SIGNING_URL))?,
    })))
}

/// An address as service accounts have it, which can stand in a URL.
fn is_account(text: &str) -> bool {
    text.contains('@') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@.-_".contains(&byte))
}

/// The full name of a pool's provider, however it was copied.
fn pool(written: &str) -> Result<&str, Diagnosis> {
    let name = written.strip_prefix("https:").unwrap_or(written);
    if name.starts_with("//iam.googleapis.com/") {
        return Ok(name);
    }
    Err(invalid(
        "client.workloadIdentity.audience must be the full name of the pool's provider, \
         //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
    ))
}

/// The audience that a pool's provider expects in a token by default.
/// Source: <https://cloud.google.com/iam/docs/workload-identity-federation-with-kubernetes>
fn token_audience(pool: &str) -> String {
    format!("https:{pool}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_named_in_full_in_either_form() {
        let full = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k";
        assert_eq!(pool(full).unwrap(), full);
        assert_eq!(pool(&format!("https:{full}")).unwrap(), full);
        assert_eq!(token_audience(full), format!("https:{full}"));
        for bad in ["", "api://AzureADTokenExchange", "https://elsewhere.test/"] {
            assert!(pool(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_service_accounts_address_ends_no_url() {
        assert!(is_account("mail@project-1.iam.gserviceaccount.com"));
        for bad in ["mail", "a/b@c", "a@b?x", "a@b:signBlob", ""] {
            assert!(!is_account(bad), "{bad}");
        }
    }
}
