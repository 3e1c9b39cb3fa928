//! Assertions: JSON Web Tokens (RFC 7519) that a key signs in place of a secret that is sent (RFC 7523).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::{digest, rand::SystemRandom, signature};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use secrecy::SecretString;
use uuid::Uuid;

use crate::mail::tls::certificates;

/// How long an assertion is good for. Servers take some minutes, Google at most an hour.
const LIFETIME: i64 = 300;

/// What clocks may differ by.
const SKEW: i64 = 30;

/// How it is signed (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, which every provider takes.
    RS256,
    /// RSASSA-PSS with SHA-256, which Microsoft documents.
    PS256,
}

/// A key that signs assertions. It prints as nothing.
pub struct SigningKey {
    pair: signature::RsaKeyPair,
    algorithm: Algorithm,
    /// The header's member that names the key, and its value.
    name: Option<(&'static str, String)>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// What an assertion says.
pub(super) struct Claims<'a> {
    pub issuer: &'a str,
    pub subject: Option<&'a str>,
    pub audience: String,
    pub scope: Option<&'a str>,
}

impl Claims<'_> {
    /// What the assertion says at this time (RFC 7519 section 4.1).
    pub fn at(&self, now: Timestamp) -> serde_json::Value {
        let now = now.as_second();
        let mut body = serde_json::json!({
            "iss": self.issuer, "aud": self.audience, "jti": Uuid::new_v4().to_string(),
            "iat": now - SKEW, "nbf": now - SKEW, "exp": now + LIFETIME,
        });
        for (member, value) in [("sub", self.subject), ("scope", self.scope)] {
            if let Some(value) = value {
                body[member] = value.into();
            }
        }
        body
    }
}

impl SigningKey {
    /// A key in PEM (PKCS #8 or PKCS #1), and the certificate by whose SHA-256 thumbprint the provider knows it.
    /// Source: <https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials>
    ///
    /// # Errors
    /// What is wrong with them, in words that hold nothing of the key.
    pub fn with_certificate(chain: &[u8], key: &[u8], algorithm: Algorithm) -> Result<Self, String> {
        let chain = certificates(chain)?;
        let leaf = chain.first().ok_or("it holds no PEM certificate")?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, leaf));
        Ok(Self { pair: pair(key)?, algorithm, name: Some(("x5t#S256", thumbprint)) })
    }

    /// A key in PEM alone, by the id that the provider gave it.
    ///
    /// # Errors
    /// What is wrong with it, in words that hold nothing of the key.
    pub fn with_id(key: &[u8], id: Option<String>) -> Result<Self, String> {
        Ok(Self { pair: pair(key)?, algorithm: Algorithm::RS256, name: id.map(|id| ("kid", id)) })
    }

    /// A signed assertion that says this, at this time.
    pub(super) fn assertion(&self, claims: &Claims<'_>, now: Timestamp) -> Result<SecretString, String> {
        let (algorithm, padding): (_, &'static dyn signature::RsaEncoding) = match self.algorithm {
            Algorithm::RS256 => ("RS256", &signature::RSA_PKCS1_SHA256),
            Algorithm::PS256 => ("PS256", &signature::RSA_PSS_SHA256),
        };
        let mut header = serde_json::json!({ "alg": algorithm, "typ": "JWT" });
        if let Some((member, value)) = &self.name {
            header[*member] = value.as_str().into();
        }
        let body = claims.at(now);
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&body));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| "the key could not sign".to_owned())?;
        Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

fn pair(pem: &[u8]) -> Result<signature::RsaKeyPair, String> {
    let unfit = || "its key is no RSA key of 2048 to 4096 bits".to_owned();
    match PrivateKeyDer::from_pem_slice(pem).map_err(|_| "it holds no PEM private key")? {
        PrivateKeyDer::Pkcs8(der) => signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| unfit()),
        PrivateKeyDer::Pkcs1(der) => signature::RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(|_| unfit()),
        _ => Err(unfit()),
    }
}
