//! From what a server said to why: NO, BAD or BYE at a stage becomes a [`Diagnosis`].
//!
//! Asked in this order: the provider's own rows (`providers`), the response code (RFC 5530), words
//! (`words`), then the stage.

use super::{Said, Status, providers, words};
use crate::{
    api::{Class, Reason, v1alpha1::Mechanism},
    mail::{
        Diagnosis, Stage,
        protocol::Protocol,
        smtp::{
            providers::Provider,
            wordings::{PASSWORD_JUDGED, PASSWORD_WRONG, TOO_MANY},
        },
    },
};

/// What is known around a response; facts for the hint are taken from it. Unknown is the default.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The account; none where no login was asked for.
    pub user: Option<String>,
    /// The mailbox that is to be opened.
    pub mailbox: String,
    /// The mechanisms that may be used.
    pub allowed: Vec<Mechanism>,
    /// Whose server it is. The session finds it out by the greeting.
    pub provider: Option<Provider>,
    /// Whether TLS is up. The session keeps it.
    pub tls: bool,
    /// The mechanisms that the server offers. The session keeps them.
    pub offered: Vec<String>,
}

/// What a refused login says of the password (promise 7: only where it was not judged may another mechanism follow).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginJudgement {
    /// It was looked at and refused.
    Refused,
    /// There were too many logins.
    TooMany,
    /// The mechanism or the command was refused before any password was looked at.
    NotJudged,
    /// The server cannot judge now, or it took the password and shuts the mailbox.
    Unavailable,
}

/// Why a server refused, or broke off, at a stage. What it said must be scrubbed of credentials already.
#[must_use]
pub fn classify(stage: Stage, said: &Said, about: &About) -> Diagnosis {
    let lower = said.text.to_ascii_lowercase();
    let row = providers::find(&lower, about.provider);
    let reason = by_status(stage, said, &lower)
        .or(row.map(|row| row.reason))
        .or_else(|| by_code(stage, &said.code_name()))
        .or_else(|| words::find(stage, &lower))
        .unwrap_or_else(|| by_stage(stage, said.status));
    let reason = match reason {
        // Inside TLS it cannot be TLS that is missing.
        Reason::TLSRequired if about.tls && stage == Stage::Auth => Reason::AuthMechanismNotOffered,
        reason => reason,
    };
    let transient = matches!(said.code_name().as_str(), "UNAVAILABLE" | "SERVERBUG") && reason == Reason::StartTLSRefused;
    let class = if transient { Class::Transient } else { reason.class() };
    let provider = row.map(|row| row.provider).or(about.provider);
    facts(Diagnosis::new(reason).at(stage).words(said.words()).class(class), said, about, provider)
}

/// Reads the refusal of a login that was classified already; `shown` is whether anything was sent that could be judged. In
/// doubt it is refused: an account that is locked costs more than a mechanism that is not tried.
pub(super) fn of_login(said: &Said, diagnosis: &Diagnosis, shown: bool) -> LoginJudgement {
    let lower = said.text.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|part| lower.contains(part));
    match diagnosis.reason {
        Reason::RateLimited => return LoginJudgement::TooMany,
        Reason::AuthenticationUnavailable | Reason::MailboxAccessDenied | Reason::ConnectionClosed | Reason::ServerBusy => {
            return LoginJudgement::Unavailable;
        }
        Reason::TLSRequired | Reason::AuthMechanismNotOffered => return LoginJudgement::NotJudged,
        _ if !shown => return LoginJudgement::NotJudged,
        _ => {}
    }
    let judged = says(PASSWORD_JUDGED) || says(PASSWORD_WRONG) || !said.code_name().is_empty();
    if says(words::MECHANISM) && !judged { LoginJudgement::NotJudged } else { LoginJudgement::Refused }
}

/// What the status alone decides. Whatever is said to STARTTLS, it was refused; only one that ends the session, or counts,
/// means more.
fn by_status(stage: Stage, said: &Said, lower: &str) -> Option<Reason> {
    match said.status {
        Status::Ok | Status::PreAuth => Some(Reason::ProtocolError),
        Status::No | Status::Bad if stage == Stage::StartTls => {
            let counts = said.code_name() == "LIMIT" || TOO_MANY.iter().any(|part| lower.contains(part));
            Some(if counts { Reason::RateLimited } else { Reason::StartTLSRefused })
        }
        _ => None,
    }
}

/// RFC 5530 section 3, RFC 3501 section 7.1, RFC 9051 section 7.1.
fn by_code(stage: Stage, code: &str) -> Option<Reason> {
    let login = stage == Stage::Auth;
    let reason = match code {
        "UNAVAILABLE" | "SERVERBUG" if login => Reason::AuthenticationUnavailable,
        "UNAVAILABLE" | "SERVERBUG" | "CORRUPTION" => Reason::ServerBusy,
        "AUTHENTICATIONFAILED" | "EXPIRED" => Reason::AuthenticationFailed,
        "AUTHORIZATIONFAILED" | "CONTACTADMIN" if login => Reason::AuthenticationFailed,
        "AUTHORIZATIONFAILED" | "CONTACTADMIN" | "NOPERM" => Reason::MailboxAccessDenied,
        "PRIVACYREQUIRED" => Reason::TLSRequired,
        "INUSE" => Reason::MailboxBusy,
        "LIMIT" => Reason::RateLimited,
        "OVERQUOTA" => Reason::MailboxFull,
        "NONEXISTENT" | "TRYCREATE" => Reason::MailboxNotFound,
        "CLIENTBUG" | "PARSE" | "BADCHARSET" if !login => Reason::ProtocolError,
        _ => return None,
    };
    Some(reason)
}

fn by_stage(stage: Stage, status: Status) -> Reason {
    match (stage, status) {
        (_, Status::Bye) => Reason::ConnectionClosed,
        (Stage::Auth, _) => Reason::AuthenticationFailed,
        (Stage::Select, Status::No) => Reason::MailboxNotFound,
        (Stage::Cleanup, Status::No) => Reason::MailboxAccessDenied,
        (Stage::Search | Stage::Fetch, Status::No) => Reason::ServerBusy,
        _ => Reason::ProtocolError,
    }
}

/// Everything that a hint may ask for.
fn facts(diagnosis: Diagnosis, said: &Said, about: &About, provider: Option<Provider>) -> Diagnosis {
    let reason = diagnosis.reason;
    let named = match (reason, provider) {
        (Reason::AppPasswordRequired, Some(provider)) => provider.app_passwords().unwrap_or(provider.name()),
        (_, Some(provider)) => provider.name(),
        // "at mail.example.org" would send people to look for an account there.
        (Reason::MailboxAccessDenied, None) => "",
        (_, None) => &about.host,
    };
    let allowed: Vec<_> = about.allowed.iter().map(|mechanism| mechanism.as_str()).collect();
    let rule = match reason {
        Reason::ProtocolError => format!("RFC 9051 section 7.1 ({} is no answer there)", said.status.as_str()),
        _ => String::new(),
    };
    diagnosis
        .fact("host", about.host.as_str())
        .fact("port", if about.port == 0 { String::new() } else { about.port.to_string() })
        .fact("user", about.user.as_deref().unwrap_or_default())
        .fact("to", about.user.as_deref().unwrap_or_default())
        .fact("mailbox", about.mailbox.as_str())
        .fact("protocol", Protocol::Imap.as_str())
        .fact("offered", about.offered.join(", "))
        .fact("allowed", allowed.join(", "))
        .fact("provider", named)
        .fact("rule", rule)
}

#[cfg(test)]
mod tests;
