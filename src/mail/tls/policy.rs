//! What is trusted, and what is shown to servers that ask.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use secrecy::SecretString;

use super::roots::public_roots;

/// The lowest version of TLS that is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// RFC 5246; what RFC 8996 leaves at the least.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl MinVersion {
    /// As manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// A certificate of our own, and its key.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    pub(super) key: Arc<CertifiedKey>,
    written: Arc<SecretString>,
    /// Whom it speaks of.
    pub subject: String,
}

impl ClientIdentity {
    /// Reads a chain and its key from PEM.
    ///
    /// # Errors
    /// What is wrong with them, in words that hold nothing of the key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = certificates(chain)?;
        let leaf = chain.first().ok_or("tls.crt holds no PEM certificate")?;
        let subject = super::certificate::describe(leaf).subject.unwrap_or_default();
        let text = std::str::from_utf8(key).map_err(|_| "tls.key holds no PEM private key")?;
        let written = Arc::new(SecretString::from(text));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "tls.key holds no PEM private key")?;
        let signer = ring::sign::any_supported_type(&key).map_err(|_| "the key is of a kind that is not supported")?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err("the key does not belong to the certificate".to_owned()),
        }
        Ok(Self { key: Arc::new(certified), written, subject })
    }

    /// The chain, its leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// The key in PEM, as it was read.
    #[must_use]
    pub fn key(&self) -> &SecretString {
        &self.written
    }
}

/// Reads PEM certificates; other kinds of PEM block are passed over.
///
/// # Errors
/// Where a block is broken.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| format!("a PEM block is broken ({error})"))
}

/// How one server's TLS is judged.
#[derive(Clone, Debug)]
pub struct TlsPolicy {
    pub(super) base: Arc<ClientConfig>,
    own: Option<Arc<RootCertStore>>,
    pub(super) added: Arc<Vec<CertificateDer<'static>>>,
    /// The name that the certificate must carry, if not the host.
    pub server_name: Option<String>,
    /// The lowest version that is taken.
    pub min_version: MinVersion,
    /// Take any certificate.
    pub skip_verify: bool,
    /// Our own certificate, if a server asks.
    pub client: Option<ClientIdentity>,
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self::new(&[], MinVersion::default())
    }
}

impl TlsPolicy {
    /// The certificates that are trusted beside the public roots.
    #[must_use]
    pub fn added(&self) -> &[CertificateDer<'static>] {
        &self.added
    }

    /// What is trusted now: a policy may be older than the public roots.
    pub(super) fn stores(&self) -> Vec<Arc<RootCertStore>> {
        self.own.iter().cloned().chain([public_roots()]).collect()
    }

    /// Trusts the public roots and these certificates.
    #[must_use]
    pub fn new(added: &[CertificateDer<'static>], min_version: MinVersion) -> Self {
        let own = (!added.is_empty()).then(|| {
            let mut own = RootCertStore::empty();
            own.add_parsable_certificates(added.iter().cloned());
            Arc::new(own)
        });
        Self {
            base: base(min_version),
            own,
            added: Arc::new(added.to_vec()),
            server_name: None,
            min_version,
            skip_verify: false,
            client: None,
        }
    }
}

/// What a client goes by that only wants to know whom it speaks to: TLS 1.2 at least, and the public roots. To be asked for before each
/// handshake: other roots come with another configuration, which takes up no session of the one before.
#[must_use]
pub fn client_config() -> Arc<ClientConfig> {
    static LAST: Mutex<Option<(Arc<RootCertStore>, Arc<ClientConfig>)>> = Mutex::new(None);
    let roots = public_roots();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, config)) = &*last
        && Arc::ptr_eq(of, &roots)
    {
        return Arc::clone(config);
    }
    let config = of_version(MinVersion::Tls12).with_root_certificates(Arc::clone(&roots)).with_no_client_auth();
    Arc::clone(&last.insert((roots, Arc::new(config))).1)
}

fn of_version(least: MinVersion) -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let versions: &[&rustls::SupportedProtocolVersion] = match least {
        MinVersion::Tls12 => &[&TLS13, &TLS12],
        MinVersion::Tls13 => &[&TLS13],
    };
    match ClientConfig::builder_with_provider(Arc::clone(provider())).with_protocol_versions(versions) {
        Ok(builder) => builder,
        Err(error) => unreachable!("ring speaks TLS 1.2 and 1.3: {error}"),
    }
}

/// The provider of all cryptography in TLS.
pub(super) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(ring::default_provider()))
}

/// What all connections share; built once, as it is too dear for each check.
fn base(min_version: MinVersion) -> Arc<ClientConfig> {
    static BASES: [OnceLock<Arc<ClientConfig>>; 2] = [OnceLock::new(), OnceLock::new()];
    let build = || {
        let mut config = of_version(min_version).with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        // Each check must see the certificate; a resumed session shows none.
        config.resumption = Resumption::disabled();
        Arc::new(config)
    };
    Arc::clone(BASES[usize::from(min_version == MinVersion::Tls13)].get_or_init(build))
}
