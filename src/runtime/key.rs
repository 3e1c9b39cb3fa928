//! The keyed hash: tells whether a secret changed without telling anything about it. One key for an installation, made
//! once, shared by all replicas, so that a hash in a status means the same to each of them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};

use super::{ApiError, bounded};

/// The Secret that holds the key, in the operator's namespace.
pub const SECRET: &str = "mailverity-key";
const FIELD: &str = "key";
const BYTES: usize = 32;
/// 32 hexadecimal digits are 128 bits: no two secrets meet by chance, and status stays small.
const DIGITS: usize = 32;

/// The key of an installation.
#[derive(Clone)]
pub struct Key(Arc<hmac::Key>);

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

impl Key {
    /// A key from its bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// A key that nobody else has, for a process that leaves nothing behind.
    ///
    /// # Errors
    /// [`NoKey::NoRandomness`].
    pub fn random() -> Result<Self, NoKey> {
        Ok(Self::new(&random_bytes()?))
    }

    /// The key of the installation in `namespace`: read, or made where there is none yet.
    ///
    /// # Errors
    /// [`NoKey`].
    pub async fn of_installation(client: Client, namespace: &str) -> Result<Self, NoKey> {
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

    /// The keyed hash (HMAC-SHA256, the first 128 bits, hexadecimal) of parts. Where one part ends and the next begins
    /// counts: ("ab", "c") and ("a", "bc") differ.
    #[must_use]
    pub fn hash<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hex = String::with_capacity(DIGITS);
        for byte in &context.sign().as_ref()[..DIGITS / 2] {
            for nibble in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        hex
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
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
    fn the_hash_is_short_the_same_for_the_same_key_and_another_for_another_key() {
        let (one, other) = (Key::new(&[1; 32]), Key::new(&[2; 32]));
        let hash = one.hash([b"secret".as_slice()]);
        assert_eq!(hash.len(), 32);
        assert!(hash.chars().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(hash, Key::new(&[1; 32]).hash([b"secret".as_slice()]));
        assert_ne!(hash, other.hash([b"secret".as_slice()]));
    }

    #[test]
    fn where_a_part_ends_counts() {
        let key = Key::new(&[1; 32]);
        assert_ne!(key.hash([b"ab".as_slice(), b"c"]), key.hash([b"a".as_slice(), b"bc"]));
    }

    #[test]
    fn a_made_secret_is_read_back_and_an_empty_one_is_refused() {
        assert!(from(&fresh().unwrap()).is_ok());
        assert!(matches!(from(&Secret::default()), Err(NoKey::Unusable)));
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", Key::new(&[65; 32])), "Key([redacted])");
    }
}
