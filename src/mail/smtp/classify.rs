//! From what a server said to why: a reply at a stage becomes a [`Diagnosis`].
//!
//! Asked in this order: the provider's own rows ([`super::providers`]), the enhanced code, the words of well-known servers
//! ([`super::wordings`]), then the basic code and the stage. The order matters: 535 5.7.139 is also used for a wrong
//! password, and 5.7.1 for nearly everything.

use std::net::IpAddr;

use super::{
    Reply, ReplyClass,
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
/// A positive or intermediate reply is classified too, as a `ProtocolError`: the caller expected another.
#[must_use]
pub fn classify(stage: Stage, reply: &Reply, about: &About<'_>) -> Diagnosis {
    let text = reply.text();
    let words = text.to_ascii_lowercase();
    let said = Said { stage, reply, words: &words };
    let row = providers::find(&said, about.provider);
    let reason = unexpected(reply)
        .or(row.map(|row| row.reason))
        .or_else(|| by_command(&said))
        .or_else(|| by_enhanced(&said))
        .or_else(|| wordings::find(&said).map(|row| row.reason))
        .unwrap_or_else(|| by_code(&said));
    let reason = match reason {
        // Inside TLS it cannot be TLS that is missing: a mechanism wants more, or the server means another hop.
        Reason::TLSRequired if about.tls && stage == Stage::Auth => Reason::AuthMechanismNotOffered,
        Reason::TLSRequired if about.tls => by_code(&said),
        // Postfix's blanket `reject` names whatever it was judging; where a login is offered and none was made, that is
        // what is missing (main.cf of every submission service: permit_sasl_authenticated, reject).
        _ if about.user.is_none() && !about.offered.is_empty() && words.contains("rejected: access denied") => {
            Reason::AuthenticationRequired
        }
        reason => reason,
    };
    let provider = row.map(|row| row.provider).or(about.provider);
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
    /// Whether each of the words is there.
    pub(super) fn says_all(&self, all: &[&str]) -> bool {
        all.iter().all(|words| self.words.contains(words))
    }

    /// Whether one of the words is there.
    pub(super) fn says_any(&self, any: &[&str]) -> bool {
        any.iter().any(|words| self.words.contains(words))
    }

    fn is_transient(&self) -> bool {
        self.reply.class() == ReplyClass::Transient
    }
}

impl LoginJudgement {
    /// Reads a reply to AUTH, or to one of its answers. In doubt a 5xx is a refusal: an account that is locked costs more
    /// than a mechanism that is not tried.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        let words = reply.text().to_ascii_lowercase();
        let says = |any: &[&str]| any.iter().any(|part| words.contains(part));
        let subject = reply.enhanced.map(|code| (code.subject, code.detail));
        match reply.code {
            // 235 by RFC 4954 section 6; some old gateways say 250. Any other answer below 400 is none to a login.
            235 | 250 => return Self::Accepted,
            200..400 => return Self::Unavailable,
            _ => {}
        }
        // Yahoo says "too many" to the first wrong password.
        if says(&["#auth005"]) {
            return Self::Refused;
        }
        if says(wordings::TOO_MANY) || (reply.code, subject) == (432, Some((3, 2))) {
            return Self::TooMany;
        }
        if says(wordings::NO_AUTH_SERVER) {
            return Self::Unavailable;
        }
        let judged =
            matches!(subject, Some((7, 3 | 8 | 13 | 139))) || says(wordings::PASSWORD_JUDGED) || says(wordings::PASSWORD_WRONG);
        match reply.code {
            // RFC 4954 section 6: a password transition is needed, which PLAIN does.
            432 => Self::NotJudged,
            400..500 if says(wordings::PASSWORD_WRONG) => Self::Refused,
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

/// What the command alone decides. Whatever a server says to STARTTLS, it refused that (RFC 3207 section 4); only one that
/// ends the session, or counts, means more. And a login that was not judged, or once too often, is no wrong password.
fn by_command(said: &Said<'_>) -> Option<Reason> {
    match said.stage {
        Stage::StartTls if said.is_transient() && said.says_any(wordings::TOO_MANY) => Some(Reason::RateLimited),
        Stage::StartTls if said.reply.code != 421 => Some(Reason::StartTLSRefused),
        // Postfix says it with 504 5.5.4, which is "mechanism not known" elsewhere.
        Stage::Auth if said.says_any(&["encryption required"]) => Some(Reason::TLSRequired),
        Stage::Auth if said.says_any(wordings::NO_AUTH_SERVER) => Some(Reason::AuthenticationUnavailable),
        Stage::Auth => match LoginJudgement::of(said.reply) {
            LoginJudgement::TooMany => Some(Reason::RateLimited),
            LoginJudgement::Refused if said.is_transient() => Some(Reason::AuthenticationFailed),
            _ => None,
        },
        _ => None,
    }
}

/// Codes that mean one thing wherever they are said: RFC 3463, RFC 4954 section 6, RFC 5248, RFC 7372, RFC 7505, and
/// IANA's registry <https://www.iana.org/assignments/smtp-enhanced-status-codes>. 7.1 and 5.x are not among them.
fn by_enhanced(said: &Said<'_>) -> Option<Reason> {
    let code = said.reply.enhanced?;
    let envelope = matches!(said.stage, Stage::Mail | Stage::Rcpt | Stage::Data);
    let login = said.stage == Stage::Auth;
    let reason = match (code.subject, code.detail) {
        (1, 1..=3 | 6 | 10) | (2, 1) if envelope && !said.is_transient() => Reason::RecipientRejected,
        (1, 1..=3 | 6 | 10) if envelope => wordings::find(said).map_or(Reason::RecipientRejected, |row| row.reason),
        (1, 7 | 8) | (7, 27) if envelope => Reason::SenderRejected,
        (2, 1) | (5, 3) if envelope => Reason::RateLimited,
        (2, 2) if envelope => Reason::MailboxFull,
        (2, 3) | (3, 4) if envelope => Reason::MessageTooLarge,
        (3, 1) | (4, 5) if !login => Reason::ServerBusy,
        (3, 2) if said.reply.code == 432 || said.says_any(wordings::TOO_MANY) => Reason::RateLimited,
        (3, 2) if said.is_transient() && (!login || said.reply.code == 421) => Reason::ServerBusy,
        (7, 8 | 9) if login && said.says_any(wordings::APP_PASSWORD) => Reason::AppPasswordRequired,
        (5 | 7, 4) | (7, 9 | 12) if login => Reason::AuthMechanismNotOffered,
        (7, 8 | 13 | 14) if login => return (!said.is_transient()).then_some(Reason::AuthenticationFailed),
        (7, 10 | 11) => Reason::TLSRequired,
        (7, 20..=24 | 26 | 29) if envelope => Reason::SenderAuthenticationFailed,
        (7, 25) => Reason::ClientHostRejected,
        (7, 28) => Reason::RateLimited,
        _ => return None,
    };
    Some(reason)
}

/// What is left: the basic code where it was said (RFC 5321 section 4.2.2 and 4.3.2, RFC 4954 section 6).
fn by_code(said: &Said<'_>) -> Reason {
    let code = said.reply.code;
    // 421 ends the session, wherever it is said.
    if code == 421 {
        return Reason::ServerBusy;
    }
    match said.stage {
        Stage::StartTls => Reason::StartTLSRefused,
        Stage::Auth => auth(code),
        Stage::Mail | Stage::Rcpt | Stage::Data => envelope(said.stage, code),
        Stage::Quit => Reason::ProtocolError,
        // The command is not known, or comes at the wrong time: no judgement of who we are.
        Stage::Ehlo | Stage::Ehlo2 if matches!(code, 500 | 502 | 503) => Reason::ProtocolError,
        _ if said.is_transient() => Reason::ServerBusy,
        _ if code == 530 => Reason::AuthenticationRequired,
        _ => Reason::ClientHostRejected,
    }
}

fn auth(code: u16) -> Reason {
    match code {
        // 432 (RFC 4954 section 6): a password transition is needed, which another mechanism does.
        432 | 501 | 504 | 534 => Reason::AuthMechanismNotOffered,
        400..500 => Reason::AuthenticationUnavailable,
        500 | 502 | 503 => Reason::AuthNotOffered,
        523 | 538 => Reason::TLSRequired,
        530 => Reason::AuthenticationRequired,
        _ => Reason::AuthenticationFailed,
    }
}

fn envelope(stage: Stage, code: u16) -> Reason {
    match (stage, code) {
        (_, 530) => Reason::AuthenticationRequired,
        (_, 500 | 502 | 503 | 504 | 555) => Reason::ProtocolError,
        (Stage::Rcpt, 552) => Reason::MailboxFull,
        (_, 552) => Reason::MessageTooLarge,
        (Stage::Rcpt, 450) => Reason::RecipientRejected,
        (_, 400..500) => Reason::ServerBusy,
        (Stage::Mail, _) => Reason::SenderRejected,
        (Stage::Rcpt, _) => Reason::RecipientRejected,
        _ => Reason::MessageRejected,
    }
}

/// A 4xx says that time may help, except where nothing but a change of the spec can.
fn class(reason: Reason, reply: &Reply) -> Class {
    use Reason::{
        AppPasswordRequired, AuthMechanismNotOffered, AuthenticationFailed, AuthenticationRequired, BasicAuthDisabled,
        TLSRequired,
    };
    let stubborn = matches!(
        reason,
        AppPasswordRequired
            | AuthMechanismNotOffered
            | AuthenticationFailed
            | AuthenticationRequired
            | BasicAuthDisabled
            | TLSRequired
    );
    match reason.class() {
        Class::User if reply.class() == ReplyClass::Transient && !stubborn => Class::Transient,
        class => class,
    }
}

/// Everything that a hint may ask for.
fn facts(diagnosis: Diagnosis, said: &Said<'_>, about: &About<'_>, provider: Option<Provider>) -> Diagnosis {
    let reason = diagnosis.reason;
    // A server that refuses an address names it, and sees it from outside, where ours may be translated.
    let named = (reason == Reason::ClientHostRejected).then(|| named_ips(said.words).first().copied()).flatten();
    let egress = named.or(about.egress_ip).map(|ip| ip.to_string()).unwrap_or_default();
    let provider = match (reason, provider) {
        (Reason::AppPasswordRequired, Some(provider)) => provider.app_passwords().unwrap_or(provider.name()),
        (_, Some(provider)) => provider.name(),
        (_, None) => about.host,
    };
    let domain = about.from.and_then(|from| from.rsplit_once('@')).map(|(_, domain)| domain);
    let allowed: Vec<_> = about.allowed.iter().map(|mechanism| mechanism.as_str()).collect();
    let rule = match reason {
        Reason::ProtocolError => format!("RFC 5321 section 4.3.2 ({} is no answer there)", said.reply.code),
        _ => String::new(),
    };
    diagnosis
        .fact("host", about.host)
        .fact("port", if about.port == 0 { String::new() } else { about.port.to_string() })
        .fact("security", about.security.as_str())
        .fact("from", about.from.unwrap_or_default())
        .fact("to", about.to.unwrap_or_default())
        .fact("user", about.user.unwrap_or_default())
        .fact("helo", about.helo)
        .fact("egressIP", egress)
        .fact("domain", domain.unwrap_or_default())
        .fact("max", about.max_size.map(|size| size.to_string()).unwrap_or_default())
        .fact("offered", about.offered.join(", "))
        .fact("allowed", allowed.join(", "))
        .fact("provider", provider)
        .fact("rule", rule)
}

#[cfg(test)]
mod tests;
