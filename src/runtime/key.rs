//! The installation's key for keyed hashes: one Secret, made once and shared by all replicas, so that a hash in a status
//! means the same to each of them. What is done with it is in [`crate::verify::fingerprint`].

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};
use ring::rand::{SecureRandom, SystemRandom};

use super::{ApiError, bounded};
use crate::verify::fingerprint::Key;

/// The Secret that holds the key, in the operator's namespace.
pub const SECRET: &str = "mailverity-key";
const FIELD: &str = "key";
const BYTES: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    /// The API server did not give or take it.
    #[error("Secret {SECRET}: {0}")]
    Api(#[from] ApiError),
    /// The Secret is there and holds no key.
    #[error("Secret {SECRET} holds no key of {BYTES} bytes under `{FIELD}`; delete it, and a new one is made")]
    Unusable,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
}

/// The key of the installation in `namespace`: read, or made where there is none yet.
///
/// # Errors
/// [`NoKey`].
pub async fn of_installation(client: Client, namespace: &str) -> Result<Key, NoKey> {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    if let Some(secret) = bounded(secrets.get_opt(SECRET)).await? {
        return from(&secret);
    }
    match bounded(secrets.create(&PostParams::default(), &fresh()?)).await {
        Ok(secret) => from(&secret),
        // Another replica was faster: its key is the installation's.
        Err(error) if error.is_conflict() => from(&bounded(secrets.get(SECRET)).await?),
        Err(error) => Err(error.into()),
    }
}

fn random_bytes() -> Result<[u8; BYTES], NoKey> {
    let mut bytes = [0_u8; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoKey::NoRandomness)?;
    Ok(bytes)
}

fn from(secret: &Secret) -> Result<Key, NoKey> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(FIELD)).filter(|bytes| bytes.0.len() == BYTES);
    bytes.map(|bytes| Key::new(&bytes.0)).ok_or(NoKey::Unusable)
}

fn fresh() -> Result<Secret, NoKey> {
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            labels: Some(BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "mailverity".to_owned())])),
            annotations: Some(BTreeMap::from([(
                "mailverity.dev/description".to_owned(),
                "Key of the hashes by which changed credentials are noticed. Deleting it makes every object checked anew."
                    .to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(FIELD.to_owned(), ByteString(random_bytes()?.to_vec()))])),
        immutable: Some(true),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_secret_is_read_back_and_an_empty_one_is_refused() {
        assert!(from(&fresh().unwrap()).is_ok());
        assert!(matches!(from(&Secret::default()), Err(NoKey::Unusable)));
    }
}
