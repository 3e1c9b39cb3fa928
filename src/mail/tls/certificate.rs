//! A server's certificate as people read it, and what is wrong with it, most telling first.

use std::{fmt::Write as _, iter::once, net::IpAddr, sync::OnceLock, time::Duration};

use jiff::Timestamp;
use regex::Regex;
use rustls::{
    CertificateError, Error,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    objects::{oid_registry, oid2sn},
    prelude::FromDer,
    public_key::PublicKey,
    time::ASN1Time,
    x509::X509Name,
};

use super::TlsPolicy;
use crate::{
    api::{Reason, v1alpha1::TlsStatus},
    mail::{Diagnosis, diagnosis::printable},
};

/// The most names of a certificate that are kept.
const NAMES: usize = 16;

/// What is wrong with a certificate: a diagnosis but for its stage.
pub(super) type Fault = Diagnosis;

/// What verification found.
pub(super) struct Judged {
    /// The chain, now.
    pub(super) trusted: Result<(), Error>,
    /// The chain, at a time at which the leaf is valid.
    pub(super) ever: Result<(), Error>,
    /// The name.
    pub(super) named: bool,
}

/// Describes a certificate, good or bad; what cannot be read is left out.
pub(super) fn describe(der: &CertificateDer<'_>) -> TlsStatus {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let sha256 = digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let mut status = TlsStatus { sha256: Some(sha256), ..TlsStatus::default() };
    if let Some(cert) = parse(der) {
        status.subject = Some(named(cert.subject())).filter(|subject| !subject.is_empty());
        status.issuer = Some(named(cert.issuer())).filter(|issuer| !issuer.is_empty());
        status.dns_names = names(&cert);
        status.not_before = Some(time(cert.validity().not_before));
        status.not_after = Some(time(cert.validity().not_after));
    }
    status
}

/// Whether `now` is inside a certificate's validity.
pub(super) fn in_time(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let fault = |error| Err(Error::InvalidCertificate(error));
    let Some(cert) = parse(der) else { return fault(CertificateError::BadEncoding) };
    match at(now) {
        now if now > seconds(cert.validity().not_after) => fault(CertificateError::Expired),
        now if now < seconds(cert.validity().not_before) => fault(CertificateError::NotValidYet),
        _ => Ok(()),
    }
}

/// A time in the middle of a certificate's validity.
pub(super) fn middle_of(der: &CertificateDer<'_>) -> Option<UnixTime> {
    let cert = parse(der)?;
    let (begin, end) = (seconds(cert.validity().not_before), seconds(cert.validity().not_after));
    let middle = begin + (end - begin) / 2;
    u64::try_from(middle).ok().map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

/// Everything that is wrong, told by the first of: untrusted, out of time, wrong name.
pub(super) fn fault(
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    policy: &TlsPolicy,
    name: &ServerName<'_>,
    now: UnixTime,
    judged: &Judged,
) -> Fault {
    let Some(cert) = parse(leaf) else {
        return Diagnosis::new(Reason::TLSHandshakeFailed).fact("fault", "the server's certificate cannot be read");
    };
    let chain: Vec<X509Certificate<'_>> = rest.iter().filter_map(parse).collect();
    let mut faults: Vec<(Reason, String)> = Vec::new();
    if let Err(error) = judged.ever.as_ref().or_else(only_out_of_time) {
        faults.push(untrusted(&cert, &chain, policy, error));
    }
    let stale = once(&cert).chain(&chain).find(|cert| is_stale(cert, at(now)));
    if judged.trusted.is_err() {
        faults.extend(stale.map(|cert| out_of_time(cert, at(now))));
        if faults.is_empty() {
            faults.push((Reason::CertificateExpired, "a certificate in the server's chain, or its root, has ended".to_owned()));
        }
    }
    let names = names(&cert);
    let host = name.to_str();
    if !judged.named {
        let text = if names.is_empty() {
            format!(
                "the certificate has no subjectAltName (its subject {} does not count), and must be for {host}",
                named(cert.subject())
            )
        } else {
            format!("the certificate is for {}, not {host}", names.join(", "))
        };
        faults.push((Reason::HostnameMismatch, text));
    }
    let text = faults.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; ");
    let reason = faults.first().map_or(Reason::TLSHandshakeFailed, |(reason, _)| *reason);
    let weak = matches!(&judged.ever, Err(error) if is_weak(error));
    // An intermediate that ended is the server's fault too, though its own certificate is good.
    let meant = stale.filter(|_| matches!(reason, Reason::CertificateExpired | Reason::CertificateNotYetValid)).unwrap_or(&cert);
    Diagnosis::new(reason)
        .fact("fault", text.clone())
        .detail(text)
        .fact("subject", named(meant.subject()))
        .fact("issuer", if weak { String::new() } else { named(climb(&cert, &chain).issuer()) })
        .fact("cure", if weak { "Have the certificate issued anew, signed with SHA-256 or better" } else { "" })
        .fact("notBefore", time(meant.validity().not_before))
        .fact("notAfter", time(meant.validity().not_after))
        .fact("names", names.join(", "))
        .fact("missing", if names.is_empty() { format!("{host} as subjectAltName") } else { String::new() })
        .fact("host", host.into_owned())
}

/// A certificate that webpki does not even read: still described, and judged by what can be read of it.
pub(super) fn unreadable(
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    policy: &TlsPolicy,
    name: &ServerName<'_>,
    now: UnixTime,
    error: &Error,
) -> Fault {
    let ever = Err(error.clone());
    fault(leaf, rest, policy, name, now, &Judged { trusted: Err(error.clone()), ever, named: true })
}

/// A chain that is only out of time is trusted otherwise: which certificate ended is told on its own.
fn only_out_of_time(error: &Error) -> Result<&(), &Error> {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match error {
        Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) => Ok(&()),
        other => Err(other),
    }
}

fn untrusted(cert: &X509Certificate<'_>, chain: &[X509Certificate<'_>], policy: &TlsPolicy, error: &Error) -> (Reason, String) {
    let issuer = named(cert.issuer());
    let Error::InvalidCertificate(error) = error else {
        return (Reason::TLSHandshakeFailed, error.to_string());
    };
    match error {
        CertificateError::UnknownIssuer | CertificateError::Other(_) if cert.issuer() == cert.subject() => {
            (Reason::CertificateUntrusted, format!("the certificate of {issuer} is self-signed and not trusted"))
        }
        CertificateError::UnknownIssuer => {
            let top = climb(cert, chain);
            let issuer = named(top.issuer());
            if top.issuer() != top.subject() && intermediate(top, policy) {
                return (
                    Reason::CertificateChainIncomplete,
                    format!("the server sends {} of its chain, and not the certificate of {issuer}", count(chain.len() + 1)),
                );
            }
            (Reason::CertificateUntrusted, format!("issuer {issuer} is not trusted"))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            (Reason::TLSHandshakeFailed, "the certificate is not for servers (extended key usage)".to_owned())
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            let how = once(cert).chain(chain).map(signed_with).collect::<Vec<_>>().join(", ");
            (Reason::CertificateUntrusted, format!("the certificate is signed in a way that is not trusted any more ({how})"))
        }
        other => (Reason::CertificateUntrusted, format!("the certificate cannot be trusted: {other}")),
    }
}

fn is_weak(error: &Error) -> bool {
    use CertificateError::{UnsupportedSignatureAlgorithmContext, UnsupportedSignatureAlgorithmForPublicKeyContext};
    matches!(
        error,
        Error::InvalidCertificate(
            UnsupportedSignatureAlgorithmContext { .. } | UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        )
    )
}

/// The name of a signature's algorithm, or its number where that is not known.
fn signed_with(cert: &X509Certificate<'_>) -> String {
    let id = &cert.signature_algorithm.algorithm;
    oid2sn(id, oid_registry()).map_or_else(|_| id.to_id_string(), str::to_owned)
}

/// What is unfit in the key of a leaf that the handshake's own signature failed with; none where it looks well.
pub(super) fn weak_key(der: &CertificateDer<'_>) -> Option<String> {
    let cert = parse(der)?;
    match cert.public_key().parsed().ok()? {
        PublicKey::RSA(key) if !(2048..=8192).contains(&key.key_size()) => {
            Some(format!("the certificate's RSA key has {} bits, and must have 2048 to 8192", key.key_size()))
        }
        _ => None,
    }
}

fn count(certificates: usize) -> String {
    if certificates == 1 { "one certificate".to_owned() } else { format!("{certificates} certificates") }
}

fn is_stale(cert: &X509Certificate<'_>, now: i64) -> bool {
    now > seconds(cert.validity().not_after) || now < seconds(cert.validity().not_before)
}

/// What is told of a certificate that is stale.
fn out_of_time(cert: &X509Certificate<'_>, now: i64) -> (Reason, String) {
    let (begin, end, subject) = (cert.validity().not_before, cert.validity().not_after, named(cert.subject()));
    if now > seconds(end) {
        return (Reason::CertificateExpired, format!("the certificate of {subject} ended at {}", time(end)));
    }
    (Reason::CertificateNotYetValid, format!("the certificate of {subject} is not valid before {}", time(begin)))
}

/// The last certificate that the server sent, going from the leaf to whoever signed it.
fn climb<'a, 'c>(leaf: &'a X509Certificate<'c>, chain: &'a [X509Certificate<'c>]) -> &'a X509Certificate<'c> {
    let mut top = leaf;
    for _ in 0..chain.len() {
        let above = chain.iter().find(|above| above.subject() == top.issuer() && above.subject() != top.subject());
        let Some(above) = above else { break };
        top = above;
    }
    top
}

/// Whether a certificate's issuer, which the server did not send and nobody trusts, is an intermediate rather than an
/// unknown root. Nothing proves it without the issuer itself; these are the signs that a person would go by.
fn intermediate(cert: &X509Certificate<'_>, policy: &TlsPolicy) -> bool {
    static NAME: OnceLock<Option<Regex>> = OnceLock::new();
    let called = NAME.get_or_init(|| Regex::new(r"(?i)\b(intermediate|inter|issuing|subordinate|sub[ -]?ca)\b").ok());
    let issuer = named(cert.issuer());
    let named_so = called.as_ref().is_some_and(|name| name.is_match(&issuer));
    let organisation = attribute(cert.issuer());
    let kin = organisation.is_some()
        && policy
            .added
            .iter()
            .filter_map(parse)
            .any(|root| attribute(root.subject()) == organisation && root.subject() != cert.issuer());
    named_so || kin || extensions_point_up(cert)
}

/// The signer's own issuer (RFC 5280 section 4.2.1.1) is another than the signer, or the signer can be fetched (4.2.2.1).
fn extensions_point_up(cert: &X509Certificate<'_>) -> bool {
    cert.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(key) => key.authority_cert_issuer.as_ref().is_some_and(|names| {
            names.iter().any(|name| matches!(name, GeneralName::DirectoryName(name) if name != cert.issuer()))
        }),
        ParsedExtension::AuthorityInfoAccess(access) => access.accessdescs.iter().any(|entry| {
            // caIssuers
            let uri = matches!(&entry.access_location, GeneralName::URI(uri) if uri.starts_with("http"));
            uri && entry.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2"
        }),
        _ => false,
    })
}

fn attribute(name: &X509Name<'_>) -> Option<String> {
    name.iter_organization().next().and_then(|o| o.as_str().ok()).map(str::to_owned)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, cert)| cert)
}

fn named(name: &X509Name<'_>) -> String {
    printable(&name.to_string(), 256)
}

fn names(cert: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = cert.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(printable(name, 253)),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(text).take(NAMES).collect()
}

fn seconds(time: ASN1Time) -> i64 {
    time.timestamp()
}

fn time(time: ASN1Time) -> String {
    // 9999-12-31 (RFC 5280 section 4.1.2.5: no end) is a day after the last that other programs can read.
    let second = seconds(time).clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(second).unwrap_or_default().to_string()
}

fn at(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
