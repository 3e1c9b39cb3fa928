//! A CA and a certificate for this machine, made anew at each start, so that TLS in the sandbox is judged like any other.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::Error;

/// What the certificate is good for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// How long; longer than anyone's expiry warning.
const DAYS: i64 = 365;

/// What the server shows, and what clients need in order to believe it.
pub(super) struct Identity {
    /// The CA, in PEM.
    pub ca: String,
    /// Shows a leaf of it for [`NAMES`]; TLS 1.2 and 1.3.
    pub config: Arc<ServerConfig>,
}

/// Makes a CA and a leaf.
///
/// # Errors
/// [`Error::Certificate`] and [`Error::Tls`], neither of which is to be expected.
pub(super) fn make() -> Result<Identity, Error> {
    let mut params = dated(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "mailverity sandbox CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let ca = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);

    let mut params = dated(NAMES.map(str::to_owned).to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "mailverity sandbox");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &issuer)?;

    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok(Identity { ca: ca.pem(), config: Arc::new(config) })
}

fn dated(names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let day = |days: i64| {
        let date = today.saturating_add(days.days());
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let mut params = CertificateParams::new(names)?;
    // From yesterday on: clients' clocks differ.
    (params.not_before, params.not_after) = (day(-1), day(DAYS));
    Ok(params)
}
