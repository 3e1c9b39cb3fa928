//! A mail that came in, read once for all consumers. Everything in it is bounded, and none of it is to be trusted but the
//! envelope's recipients and the peer.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::{address::Address, site::Recipient};
use crate::mail::letter::Letter;

/// A mail that came in.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Its id in the reply to the client and in the log.
    pub id: String,
    /// When its last octet came.
    pub received: Timestamp,
    /// MAIL and RCPT.
    pub envelope: Envelope,
    /// Who brought it.
    pub peer: Peer,
    /// Its octets, as they came, without stuffed dots.
    pub size: u64,
    /// It was longer than what is kept: what is told of it is told of its begin.
    pub is_cut: bool,
    /// What it says.
    pub letter: Letter,
}

/// What MAIL and RCPT said.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The sender; none for the null sender, from whom bounces come.
    pub from: Option<Address>,
    /// The recipients, all of them ours.
    pub to: Vec<Recipient>,
}

/// Who brought a mail.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client; behind a load balancer the one that it names.
    pub address: SocketAddr,
    /// What it calls itself.
    pub helo: String,
    /// The version of TLS and its cipher, if it came by TLS.
    pub tls: Option<(&'static str, String)>,
}

impl Inbound {
    /// Reads what was kept of a mail.
    pub(super) fn read(id: String, envelope: Envelope, peer: Peer, kept: &[u8], size: u64) -> Self {
        Self {
            id,
            received: Timestamp::now(),
            envelope,
            peer,
            size,
            is_cut: size > kept.len() as u64,
            letter: Letter::read(kept),
        }
    }
}
