//! TLS as a check needs it: what is trusted, what was shown, and a diagnosis where the two differ.
//!
//! `policy` says what is trusted, `roots` which authorities the system has, `examine` judges the certificate during the handshake and
//! keeps it also where it is refused, `certificate` reads it for people, and `failure` turns a broken handshake into a diagnosis.

mod certificate;
mod examine;
mod failure;
mod policy;
mod roots;
mod server;

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub use failure::{Failure, alert, alert_diagnosis, gave_up};
pub use policy::{ClientIdentity, MinVersion, TlsPolicy, certificates, client_config};
pub use server::{ServerIdentity, Unfit};

use super::{guard::bare, tcp::Tcp};
use crate::api::v1alpha1::TlsStatus;

/// What a handshake showed.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The certificate, and the version and cipher where the handshake came that far.
    pub status: TlsStatus,
    /// The certificate was judged and found good; never so with `insecureSkipVerify`.
    pub verified: bool,
    /// The server asked for a client certificate.
    pub client_certificate_asked: bool,
    /// What is unfit in the key of the certificate, where something is.
    weak_key: Option<String>,
}

/// The last moment of the first certificate of a chain in PEM, if it can be read.
#[must_use]
pub fn ends(chain: &[u8]) -> Option<Timestamp> {
    let chain = certificates(chain).ok()?;
    certificate::describe(chain.first()?).not_after?.parse().ok()
}

/// Shakes hands. The examination is there as soon as the server showed a certificate, whatever came of it.
///
/// # Errors
/// A [`Failure`], which [`Failure::diagnose`] reads.
pub async fn handshake(
    stream: Tcp,
    policy: &TlsPolicy,
    host: &str,
    deadline: Instant,
) -> (Option<Examination>, Result<TlsStream<Tcp>, Failure>) {
    let name = policy.server_name.as_deref().unwrap_or(host);
    let Ok(name) = ServerName::try_from(bare(name).trim_end_matches('.').to_owned()) else {
        return (None, Err(Failure::name(name)));
    };
    let watch = examine::Watch::new(policy, name.clone());
    let connector = TlsConnector::from(Arc::new(watch.config(policy)));
    let result = match timeout_at(deadline, connector.connect(name, stream).into_fallible()).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err((error, stream))) => Err(Failure::broken(error, stream.opening())),
        Err(_) => Err(Failure::silent()),
    };
    let (examined, fault) = watch.found();
    match result {
        Ok(stream) => {
            let mut examined = examined.unwrap_or_else(|| Examination {
                status: TlsStatus::default(),
                verified: false,
                client_certificate_asked: false,
                weak_key: None,
            });
            let session = stream.get_ref().1;
            examined.status.version = session.protocol_version().map(failure::version_name);
            examined.status.cipher =
                session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).map(str::to_owned);
            (Some(examined), Ok(stream))
        }
        Err(failure) => {
            let asked = examined.as_ref().is_some_and(|examined| examined.client_certificate_asked);
            let weak = examined.as_ref().and_then(|examined| examined.weak_key.clone());
            (examined, Err(failure.with(fault, asked, weak)))
        }
    }
}
