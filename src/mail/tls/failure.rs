//! From a broken handshake to a diagnosis.

use std::{io, net::SocketAddr};

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, ProtocolVersion};

use super::{TlsPolicy, certificate::Fault};
use crate::{
    api::Reason,
    mail::{
        Diagnosis, Stage,
        diagnosis::{WORDS, printable},
        protocol::{self, Found, Protocol},
        wire::injected,
    },
};

/// A handshake that failed.
#[derive(Debug)]
pub struct Failure {
    how: How,
    opening: Vec<u8>,
    fault: Option<Fault>,
    asked: bool,
    weak: Option<String>,
}

#[derive(Debug)]
enum How {
    /// The host is no name that a certificate can carry.
    Name(String),
    /// Nothing more came in time.
    Silent,
    /// The connection or the protocol broke.
    Broken(io::Error),
}

impl Failure {
    pub(super) fn name(name: &str) -> Self {
        Self { how: How::Name(name.to_owned()), opening: Vec::new(), fault: None, asked: false, weak: None }
    }

    pub(super) fn silent() -> Self {
        Self { how: How::Silent, opening: Vec::new(), fault: None, asked: false, weak: None }
    }

    pub(super) fn broken(error: io::Error, opening: &[u8]) -> Self {
        Self { how: How::Broken(error), opening: opening.to_vec(), fault: None, asked: false, weak: None }
    }

    pub(super) fn with(self, fault: Option<Fault>, asked: bool, weak: Option<String>) -> Self {
        Self { fault, asked, weak, ..self }
    }

    /// What the server answered in, TLS or another protocol, whatever came of it.
    #[must_use]
    pub fn spoke(&self, wanted: Protocol) -> Option<Found> {
        protocol::of_bytes(&self.opening, wanted)
    }

    /// Reads the failure: what the certificate lacks, else what the server said, else how the connection broke.
    #[must_use]
    pub fn diagnose(self, stage: Stage, policy: &TlsPolicy, host: &str, peer: SocketAddr, wanted: Protocol) -> Diagnosis {
        if let Some(fault) = self.fault {
            return fault.fact("host", host);
        }
        let error = match self.how {
            How::Name(name) => {
                let fault = format!("{name:?} is no name that a certificate can carry; set tls.serverName");
                return failed(fault);
            }
            How::Silent => {
                return Diagnosis::new(Reason::ResponseTimedOut)
                    .fact("address", peer.to_string())
                    .detail(format!("{peer} did not finish the TLS handshake until the check's time was over"));
            }
            How::Broken(error) => error,
        };
        if let Some(plain) = plain_text(&self.opening) {
            if stage == Stage::Tls {
                return injected(&plain);
            }
            return match protocol::of_line(&plain, wanted) {
                Some(name) => Found::Other(name).diagnose(peer, wanted),
                None => Diagnosis::new(Reason::WrongTLSMode)
                    .fact("found", "plain text")
                    .fact("mode", "StartTLS or None")
                    .detail(format!("{peer} answered the TLS hello in plain text"))
                    // Behind its name a greeting tells the time: a message must not change from check to check.
                    .words(plain.split(' ').take(3).collect::<Vec<_>>().join(" ")),
            };
        }
        let Some(tls) = inner(&error) else {
            return match error.kind() {
                io::ErrorKind::ConnectionReset => Diagnosis::new(Reason::ConnectionReset)
                    .fact("address", peer.to_string())
                    .detail("the connection was reset in the TLS handshake"),
                _ => Diagnosis::new(Reason::ConnectionClosed)
                    .fact("often", "that often means a port that speaks no TLS, or a load balancer without a server behind it")
                    .detail(format!("{peer} closed the connection in the TLS handshake")),
            };
        };
        match tls {
            Error::AlertReceived(alert) => {
                let missed = self.asked && policy.client.is_none();
                let subject = policy.client.as_ref().map(|client| client.subject.as_str()).unwrap_or_default();
                alert_diagnosis(*alert, missed).fact("minVersion", policy.min_version.as_str()).fact("subject", subject)
            }
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => too_old(policy, &self.opening),
            // In the handshake of TLS the server signs with the key of its certificate.
            Error::InvalidCertificate(CertificateError::BadSignature | CertificateError::BadEncoding) => failed(
                self.weak.unwrap_or_else(|| "the server does not hold the key of its certificate (bad signature)".to_owned()),
            ),
            Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge) => {
                failed("the server's certificates are larger than 64 KiB in all".to_owned())
            }
            other => failed(other.to_string()),
        }
    }
}

fn failed(fault: String) -> Diagnosis {
    Diagnosis::new(Reason::TLSHandshakeFailed).detail(fault.clone()).fact("fault", fault)
}

fn too_old(policy: &TlsPolicy, opening: &[u8]) -> Diagnosis {
    let lowest = policy.min_version.as_str();
    let diagnosis = Diagnosis::new(Reason::TLSVersionUnsupported).fact("minVersion", lowest);
    // A ServerHello: record header of 5 bytes, handshake header of 4, then the version (RFC 5246 section 7.4.1.3).
    let spoken = match opening {
        [0x16, 3, _, _, _, 2, _, _, _, 3, minor, ..] => {
            ["SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2"].get(usize::from(*minor)).copied()
        }
        _ => None,
    };
    match spoken {
        Some(spoken) => diagnosis.fact("found", spoken).detail(format!("the server speaks {spoken}, not {lowest} or later")),
        None => diagnosis.detail(format!("the server refused version {lowest} or later")),
    }
}

/// The alert inside an error of an established connection.
#[must_use]
pub fn alert(error: &io::Error) -> Option<AlertDescription> {
    match inner(error)? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// What an alert says; `asked` where the server asked for a client certificate and got none.
#[must_use]
pub fn alert_diagnosis(alert: AlertDescription, asked: bool) -> Diagnosis {
    let name = alert.as_str().unwrap_or("unknown");
    match alert {
        AlertDescription::ProtocolVersion => {
            Diagnosis::new(Reason::TLSVersionUnsupported).detail("the server refused the version of TLS")
        }
        AlertDescription::CertificateRequired => {
            Diagnosis::new(Reason::ClientCertificateRequired).detail("the server demands a client certificate")
        }
        AlertDescription::HandshakeFailure if asked => gave_up(),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            let reason = if asked { Reason::ClientCertificateRequired } else { Reason::ClientCertificateRejected };
            Diagnosis::new(reason).detail(format!("the server answered with the alert {name}"))
        }
        AlertDescription::HandshakeFailure => failed(
            "the server found no cipher or key exchange in common (alert HandshakeFailure); it must offer ECDHE with AES-GCM \
                 or ChaCha20-Poly1305, on the curve X25519, P-256 or P-384"
                .to_owned(),
        ),
        AlertDescription::UnrecognisedName => failed(
            "the server has no certificate for this name (alert UnrecognisedName); ask for one, or set tls.serverName".to_owned(),
        ),
        AlertDescription::InternalError => failed(
            "the server's own TLS failed (alert InternalError): its certificate or key cannot be used, and its log says why"
                .to_owned(),
        ),
        _ => failed(format!("the server answered with the alert {name}")),
    }
}

/// The server asked for a client certificate, and ended the connection when it got none.
#[must_use]
pub fn gave_up() -> Diagnosis {
    Diagnosis::new(Reason::ClientCertificateRequired).detail("the server asked for a client certificate, got none and gave up")
}

/// The version's name as OpenSSL and browsers write it.
pub(super) fn version_name(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
        other => other.as_str().unwrap_or("unknown").to_owned(),
    }
}

fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

/// What a server said in plain text where TLS was due.
fn plain_text(opening: &[u8]) -> Option<String> {
    // Record types 20 to 23 (RFC 8446 section 5.1).
    if opening.is_empty() || matches!(opening[0], 0x14..=0x17) {
        return None;
    }
    // Its first line: how much of what follows is here already is a matter of chance.
    opening
        .split(|byte| *byte == b'\n')
        .map(|line| printable(&String::from_utf8_lossy(line), WORDS))
        .find(|line| !line.is_empty())
}
