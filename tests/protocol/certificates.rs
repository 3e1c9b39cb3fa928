//! The certificates of the servers in the conversations, good and bad, made once per run.

use std::sync::{Arc, LazyLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;

type Ca = CertifiedIssuer<'static, KeyPair>;

/// The CA that tests trust by tls.caRef, the intermediates below it, and one that nobody trusts.
struct Authorities {
    root: Ca,
    intermediate: Ca,
    kin: Ca,
    ended: Ca,
    unknown: Ca,
}

static AUTHORITIES: LazyLock<Authorities> = LazyLock::new(|| {
    let root = root("Test Root", Some("Test Mail Ltd"));
    Authorities {
        intermediate: below(&root, "Test Intermediate CA", None, 2999),
        kin: below(&root, "R3", Some("Test Mail Ltd"), 2999),
        ended: below(&root, "Old CA", None, 2020),
        unknown: self::root("Nobody's Root", None),
        root,
    }
});

fn ca(name: &str, organisation: Option<&str>, until: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params
}

fn root(name: &str, organisation: Option<&str>) -> Ca {
    CertifiedIssuer::self_signed(ca(name, organisation, 2999), KeyPair::generate().unwrap()).unwrap()
}

fn below(root: &Ca, name: &str, organisation: Option<&str>, until: i32) -> Ca {
    CertifiedIssuer::signed_by(ca(name, organisation, until), KeyPair::generate().unwrap(), root).unwrap()
}

fn named(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

/// What a leaf says; valid from 2020 to 2099 for mx.test unless a test says otherwise.
fn leaf() -> CertificateParams {
    let names = vec!["mx.test".to_owned(), "*.mx.test".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = named("mx.test");
    params.not_before = date_time_ymd(2020, 1, 2);
    params.not_after = date_time_ymd(2099, 1, 2);
    params
}

/// A chain to be sent, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
}

impl Identity {
    fn signed(params: &CertificateParams, by: &Ca, with: &[&Ca]) -> Self {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, by).unwrap();
        let chain = std::iter::once(leaf.der().clone()).chain(with.iter().map(|ca| ca.der().clone())).collect();
        Self { chain, key }
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|der| pem("CERTIFICATE", der)).collect()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// The bundle for tls.caRef.
pub fn trusted_pem() -> String {
    AUTHORITIES.root.pem()
}

/// A client's certificate, of the CA that the servers here trust for clients, or of one that they do not.
pub fn client(known: bool) -> Identity {
    let mut params = leaf();
    params.distinguished_name = named("client.test");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let Authorities { root, unknown, .. } = &*AUTHORITIES;
    Identity::signed(&params, if known { root } else { unknown }, &[])
}

fn identity(server: &str) -> Identity {
    let Authorities { root, intermediate, kin, ended, unknown } = &*AUTHORITIES;
    let mut params = leaf();
    let mut by = root;
    if server.contains("ended in 2021") {
        params.not_after = date_time_ymd(2021, 1, 2);
    }
    if server.contains("begins in 2098") {
        params.not_before = date_time_ymd(2098, 1, 2);
    }
    if server.contains("for other.test") {
        params.subject_alt_names = CertificateParams::new(vec!["other.test".to_owned()]).unwrap().subject_alt_names;
        params.distinguished_name = named("other.test");
    }
    if server.contains("without names") {
        params.subject_alt_names.clear();
    }
    if server.contains("of an unknown CA") {
        by = unknown;
    }
    if server.contains("for clients only") {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    }
    if server.contains("self-signed") {
        let key = KeyPair::generate().unwrap();
        return Identity { chain: vec![params.self_signed(&key).unwrap().der().clone()], key };
    }
    match server {
        "with its intermediate" => Identity::signed(&params, intermediate, &[intermediate]),
        "without its intermediate" => Identity::signed(&params, intermediate, &[]),
        "without its CA of the root's organisation" => Identity::signed(&params, kin, &[]),
        "with an intermediate that ended" => Identity::signed(&params, ended, &[ended]),
        _ => Identity::signed(&params, by, &[]),
    }
}

/// The TLS of the server that a script names: what stands in the name is what the certificate is.
pub fn acceptor(server: &str) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = if server.contains("1.2") { &[&TLS12] } else { &[&TLS13, &TLS12] };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = if server.contains("wants a client certificate") {
        let mut roots = RootCertStore::empty();
        roots.add(AUTHORITIES.root.der().clone()).unwrap();
        builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let identity = identity(server);
    TlsAcceptor::from(Arc::new(builder.with_single_cert(identity.chain.clone(), identity.private()).unwrap()))
}
