//! From what a server said to why: a reply at a stage becomes a [`Diagnosis`].
//!
//! Asked in this order: the provider's own rows ([`super::providers`]), the enhanced code, the words of well-known servers
//! ([`super::wordings`]), then the basic code and the stage. The order matters: 535 5.7.139 is also used for a wrong
//! password, and 5.7.1 for nearly everything.

use std::net::IpAddr;

use super::{
    EnhancedCode, Reply, ReplyClass,
    extensions::named_ips,
    providers::{self, Provider},
    wordings,
};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{Mechanism, Security},
    },
    mail::{Diagnosis, Stage},
};

/// What is known around a reply; facts for the hint are taken from it. Unknown is the default.
#[derive(Clone, Debug, Default)]
pub struct About<'a> {
    /// The server's name.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// How the connection is to be protected.
    pub security: Security,
    /// Whether TLS is up.
    pub tls: bool,
    /// The sender's address.
    pub from: Option<&'a str>,
    /// The recipient's address.
    pub to: Option<&'a str>,
    /// The account; none where no login was asked for.
    pub user: Option<&'a str>,
    /// The name given in EHLO.
    pub helo: &'a str,
    /// Our address, as far as it is known: the server's word for it, else the socket's.
    pub egress_ip: Option<IpAddr>,
    /// Whose server it is.
    pub provider: Option<Provider>,
    /// The most bytes of a mail, by EHLO.
    pub max_size: Option<u64>,
    /// The mechanisms that the server offers.
    pub offered: &'a [String],
    /// The mechanisms that may be used.
    pub allowed: &'a [Mechanism],
}

/// What a reply to a login says of the password (promise 7: only where it was not judged may another mechanism follow).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginJudgement {
    /// 2xx: it is right.
    Accepted,
    /// It was looked at and refused: no other attempt, and the breaker has to know.
    Refused,
    /// There were too many logins: hold for an hour.
    TooMany,
    /// The mechanism or the command was refused before any password was looked at.
    NotJudged,
    /// The server cannot judge now.
    Unavailable,
}

/// Why a server refused, or broke off, at a stage. The reply's lines must be scrubbed of credentials already.
///
/// Positive and intermediate replies where none should be are a `ProtocolError`.
#[must_use]
pub fn classify(stage: Stage, reply: &Reply, about: &About<'_>) -> Diagnosis {
    let text = reply.text();
    let lower = text.to_ascii_lowercase();
    let said = Said { stage, reply, words: &lower };
    let found = providers::find(&said, about.provider);
    let reason = found
        .map(|row| row.reason)
        .or_else(|| unexpected(reply))
        .or_else(|| by_enhanced(&said))
        .or_else(|| wordings::find(&said).map(|row| row.reason))
        .unwrap_or_else(|| by_code(&said));
    let provider = found.map(|row| row.provider).or(about.provider);
    let diagnosis = Diagnosis::new(reason).at(stage).words(&text).class(class(reason, reply));
    facts(diagnosis, &said, about, provider)
}

/// A reply as the tables look at it.
pub(super) struct Said<'a> {
    /// Where it was said.
    pub(super) stage: Stage,
    /// The reply.
    pub(super) reply: &'a Reply,
    /// Its text in ASCII lower case.
    pub(super) words: &'a str,
}

impl Said<'_> {
    fn says(&self, any: &[&str]) -> bool {
        any.iter().any(|words| self.words.contains(words))
    }
}

impl LoginJudgement {
    /// Reads a reply to AUTH, or to one of its answers.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        let words = reply.text().to_ascii_lowercase();
        let says = |any: &[&str]| any.iter().any(|part| words.contains(part));
        let subject = reply.enhanced.map(|EnhancedCode { subject, detail, .. }| (subject, detail));
        if reply.is_positive() {
            return Self::Accepted;
        }
        if says(wordings::TOO_MANY) || (reply.code, subject) == (432, Some((3, 2))) {
            return Self::TooMany;
        }
        let judged = subject == Some((7, 8)) || says(wordings::PASSWORD_JUDGED);
        match reply.code {
            // RFC 4954 section 4.7.12: the password is fine, and PLAIN has to be used once.
            432 => Self::NotJudged,
            400..500 => Self::Unavailable,
            // 534 5.7.9 is "mechanism too weak" in RFC 4954, and "application-specific password required" at Google.
            500..505 | 530 | 534 | 538 if !judged => Self::NotJudged,
            _ => Self::Refused,
        }
    }
}

fn unexpected(reply: &Reply) -> Option<Reason> {
    matches!(reply.class(), ReplyClass::Positive | ReplyClass::Intermediate).then_some(Reason::ProtocolError)
}

fn by_enhanced(_said: &Said<'_>) -> Option<Reason> {
    None
}

fn by_code(said: &Said<'_>) -> Reason {
    let _ = said.says(&[]);
    Reason::ProtocolError
}

fn class(reason: Reason, _reply: &Reply) -> Class {
    reason.class()
}

fn facts(diagnosis: Diagnosis, said: &Said<'_>, _about: &About<'_>, _provider: Option<Provider>) -> Diagnosis {
    let _ = named_ips(said.words);
    diagnosis
}
