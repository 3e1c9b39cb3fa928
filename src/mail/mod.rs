//! Protocols: DNS, TLS, SMTP, IMAP, POP3, OAuth 2.0, Microsoft Graph, the Gmail API and what they stand on. Nothing here knows Kubernetes.
//!
//! Every failure leaves as a [`Diagnosis`] that keeps the server's own words. One type, [`wire::Wire`], stands between us
//! and every server; stages are run by one recorder, [`stage::Stages`].

pub mod authentication;
pub mod bounce;
pub mod diagnosis;
pub mod dns;
pub mod domain;
pub mod gmail;
pub mod graph;
pub mod guard;
pub mod https;
pub mod imap;
pub mod letter;
pub mod mailbox;
pub mod message;
pub mod mime;
pub mod oauth2;
pub mod pop3;
pub mod protocol;
pub mod proxy;
pub mod rest;
pub mod sasl;
pub mod smtp;
pub mod stage;
mod tcp;
pub mod tls;
pub mod vantage;
pub mod wire;

pub use diagnosis::Diagnosis;
pub use stage::{Stage, Stages};
pub use tcp::Tcp;
pub use vantage::Vantage;

/// `host:port`, with an IPv6 address in brackets.
#[must_use]
pub fn authority(host: &str, port: u16) -> String {
    let host = guard::bare(host);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
