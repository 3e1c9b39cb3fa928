//! From what a server refused to why: a `-ERR` at a stage becomes a [`Diagnosis`].
//!
//! Asked in this order: the providers' own rows, the codes of RFC 2449 and RFC 3206, the words of well-known servers, then
//! the stage. What a refusal says of the password is read from the reason: see [`super::Session::authenticate`].

pub(super) mod wordings;

use super::{Code, Reply};
use crate::{
    api::{Class, Reason},
    mail::{Diagnosis, Stage, smtp::providers::Provider},
};

/// What is known around a reply; facts for the hint are taken from it. Unknown is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// The server's name.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The account; empty where none is known.
    pub user: &'a str,
    /// Whose server it is.
    pub provider: Option<Provider>,
}

/// Why a server refused at a stage. The reply must be scrubbed of credentials already.
///
/// A `+OK` is classified too, as a `ProtocolError`: the caller expected something else behind it.
#[must_use]
pub fn classify(stage: Stage, reply: &Reply, about: &About<'_>) -> Diagnosis {
    let words = reply.words.to_ascii_lowercase();
    let row = wordings::of_provider(stage, &words, about.provider);
    let reason = reply
        .positive
        .then_some(Reason::ProtocolError)
        .or_else(|| by_command(stage, reply.code, &words))
        .or(row.map(|row| row.reason))
        .or_else(|| by_code(stage, reply.code?, &words))
        .or_else(|| wordings::find(stage, &words))
        .unwrap_or_else(|| by_stage(stage));
    let diagnosis = Diagnosis::new(reason).at(stage).words(reply.text());
    let transient = reply.code == Some(Code::SysTemp) && reason != Reason::BasicAuthDisabled;
    let diagnosis = if transient { diagnosis.class(Class::Transient) } else { diagnosis };
    facts(diagnosis, about, row.and_then(|row| row.provider).or(about.provider))
}

/// Whatever a server says to STLS, it refused that; only one that counts means more.
fn by_command(stage: Stage, code: Option<Code>, words: &str) -> Option<Reason> {
    let counts = code == Some(Code::LoginDelay) || wordings::says_too_many(words);
    (stage == Stage::Stls && !counts).then_some(Reason::StartTLSRefused)
}

/// Codes that mean one thing wherever they are said; only of what is wrong with an account words tell more.
fn by_code(stage: Stage, code: Code, words: &str) -> Option<Reason> {
    let at_login = stage == Stage::Auth;
    Some(match code {
        Code::InUse => Reason::MailboxBusy,
        Code::LoginDelay => Reason::RateLimited,
        Code::SysTemp if at_login => Reason::AuthenticationUnavailable,
        Code::SysTemp => Reason::ServerBusy,
        // Not user or password (RFC 3206 section 4): it is what lies behind them that cannot be opened.
        Code::SysPerm if matches!(stage, Stage::Greeting | Stage::Capa) => return None,
        Code::SysPerm => Reason::MailboxAccessDenied,
        Code::Auth => wordings::of_login(words).unwrap_or(Reason::AuthenticationFailed),
    })
}

/// What is left where neither code nor words tell.
fn by_stage(stage: Stage) -> Reason {
    match stage {
        Stage::Greeting => Reason::ServerBusy,
        Stage::Stls => Reason::StartTLSRefused,
        Stage::Auth => Reason::AuthenticationFailed,
        Stage::List | Stage::Cleanup => Reason::MailboxAccessDenied,
        _ => Reason::ProtocolError,
    }
}

/// Everything that a hint may ask for.
fn facts(diagnosis: Diagnosis, about: &About<'_>, provider: Option<Provider>) -> Diagnosis {
    let provider = match (diagnosis.reason, provider) {
        (Reason::AppPasswordRequired, Some(provider)) => provider.app_passwords().unwrap_or(provider.name()),
        (_, Some(provider)) => provider.name(),
        (_, None) => about.host,
    };
    let rule = match (diagnosis.reason, diagnosis.stage) {
        (Reason::ProtocolError, Some(Stage::Top)) => "RFC 1939 section 7 (it refuses TOP)".to_owned(),
        (Reason::ProtocolError, Some(stage)) => format!("RFC 1939 (that is no answer at stage {stage})"),
        _ => String::new(),
    };
    diagnosis
        .fact("host", about.host)
        .fact("port", if about.port == 0 { String::new() } else { about.port.to_string() })
        .fact("user", about.user)
        .fact("mailbox", super::mailbox::NAME)
        .fact("protocol", "POP3")
        .fact("provider", provider)
        .fact("rule", rule)
}

#[cfg(test)]
mod tests;
