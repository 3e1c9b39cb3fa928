//! What a server of ours shows: a chain and its key, judged before anyone sees them.

use std::{sync::Arc, time::SystemTime};

use jiff::Timestamp;
use rustls::{
    CertificateError, Error, InconsistentKeys, ServerConfig,
    pki_types::{PrivateKeyDer, UnixTime, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::{MinVersion, certificate, policy};
use crate::api::v1alpha1::TlsStatus;

/// Why a pair is not shown to anyone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// What is there cannot be read.
    #[error("{0}")]
    Invalid(String),
    /// The two do not belong together.
    #[error("the key in tls.key does not belong to the certificate in tls.crt")]
    KeyMismatch,
    /// It has ended, at this time.
    #[error("the certificate ended at {0}")]
    Expired(String),
    /// It begins later, at this time.
    #[error("the certificate is not valid before {0}")]
    NotYetValid(String),
}

/// A chain and its key, ready for clients.
#[derive(Clone, Debug)]
pub struct ServerIdentity {
    /// Shows the chain, to TLS 1.2 (RFC 5246, as RFC 8996 leaves it at the least) and 1.3.
    pub config: Arc<ServerConfig>,
    /// The certificate as people read it.
    pub status: TlsStatus,
}

impl ServerIdentity {
    /// Reads a chain and its key from PEM.
    ///
    /// # Errors
    /// [`Unfit`], in words that hold nothing of the key.
    pub fn from_pem(chain: &[u8], key: &[u8], least: MinVersion, now: SystemTime) -> Result<Self, Unfit> {
        let invalid = |words: &str| Unfit::Invalid(words.to_owned());
        let chain = policy::certificates(chain).map_err(Unfit::Invalid)?;
        let leaf = chain.first().ok_or_else(|| invalid("tls.crt holds no PEM certificate"))?.clone();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| invalid("tls.key holds no PEM private key"))?;
        let signer = policy::provider().key_provider.load_private_key(key);
        let signer = signer.map_err(|_| invalid("the key in tls.key is of a kind that is not supported"))?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(Unfit::KeyMismatch),
            Err(_) => return Err(invalid("the certificate in tls.crt cannot be read")),
        }
        let status = certificate::describe(&leaf);
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let known = |time: &Option<String>| time.clone().unwrap_or_default();
        match certificate::in_time(&leaf, UnixTime::since_unix_epoch(since)) {
            Ok(()) => {}
            Err(Error::InvalidCertificate(CertificateError::Expired)) => return Err(Unfit::Expired(known(&status.not_after))),
            Err(Error::InvalidCertificate(CertificateError::NotValidYet)) => {
                return Err(Unfit::NotYetValid(known(&status.not_before)));
            }
            Err(_) => return Err(invalid("the certificate in tls.crt cannot be read")),
        }
        let versions: &[_] = match least {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(policy::provider())).with_protocol_versions(versions);
        let builder = builder.map_err(|error| Unfit::Invalid(error.to_string()))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        // Servers that send often resume; a second ticket would only cost.
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), status })
    }

    /// Whether the certificate is for a name that a client asked for (RFC 6125 section 6.4.3).
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        self.status.dns_names.iter().any(|known| match known.strip_prefix("*.") {
            Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
            None => known.eq_ignore_ascii_case(name),
        })
    }

    /// When the certificate ends.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        self.status.not_after.as_deref().and_then(|time| time.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2999, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn at(year: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours((year - 1970) * 8766 + 24)
    }

    fn read(chain: &str, key: &str, year: u64) -> Result<ServerIdentity, Unfit> {
        ServerIdentity::from_pem(chain.as_bytes(), key.as_bytes(), MinVersion::default(), at(year))
    }

    #[test]
    fn a_good_pair_tells_whom_it_is_for() {
        let (chain, key) = pair(&["mx.example.org", "*.mail.example.org"]);
        let identity = read(&chain, &key, 2026).unwrap();
        assert!(identity.is_for("MX.example.org") && identity.is_for("a.mail.example.org"));
        assert!(!identity.is_for("mail.example.org") && !identity.is_for("a.b.mail.example.org") && !identity.is_for("org"));
        assert_eq!(identity.not_after().unwrap().to_string(), "2999-01-01T00:00:00Z");
    }

    #[test]
    fn a_bad_pair_is_told_by_what_is_wrong_with_it() {
        let (chain, key) = pair(&["mx.example.org"]);
        let (_, other) = pair(&["mx.example.org"]);
        assert_eq!(read(&chain, &other, 2026).unwrap_err(), Unfit::KeyMismatch);
        assert!(matches!(read(&chain, &key, 2019), Err(Unfit::NotYetValid(time)) if time.starts_with("2020-01-01")));
        assert!(matches!(read(&chain, &key, 3000), Err(Unfit::Expired(time)) if time.starts_with("2999-01-01")));
        for (chain, key, part) in
            [("", key.as_str(), "tls.crt"), (chain.as_str(), "", "tls.key"), (&key, &key, "tls.crt"), (&chain, &chain, "tls.key")]
        {
            let Err(Unfit::Invalid(words)) = read(chain, key, 2026) else { panic!("{part}") };
            assert!(words.contains(part), "{words}");
        }
    }
}
