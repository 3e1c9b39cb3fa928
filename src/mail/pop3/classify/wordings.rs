//! What providers and well-known servers say in words, where the code leaves it open or there is none.
//!
//! The first row that fits counts, so the closer wording stands first.

use crate::{
    api::Reason,
    mail::{
        Stage,
        smtp::providers::Provider::{self, Google, Microsoft365, Yahoo, Zoho},
    },
};

/// One refusal of one provider.
pub(super) struct Row {
    /// Whose it is; none for providers that are not recognised by their hosts.
    pub(super) provider: Option<Provider>,
    /// What must stand in it, in lower case.
    words: &'static str,
    /// What it means.
    pub(super) reason: Reason,
}

const fn row(provider: Option<Provider>, words: &'static str, reason: Reason) -> Row {
    Row { provider, words, reason }
}

/// <https://support.google.com/mail/answer/7104828>,
/// <https://learn.microsoft.com/en-us/exchange/clients-and-mobile-in-exchange-online/deprecation-of-basic-authentication-exchange-online>,
/// <https://www.zoho.com/mail/help/pop-access.html>, <https://help.yahoo.com/kb/SLN15241.html>,
/// <https://hilfe.gmx.net/pop-imap/einschalten.html>.
const PROVIDERS: &[Row] = &[
    row(Some(Google), "application-specific password", Reason::AppPasswordRequired),
    row(Some(Google), "not enabled for pop", Reason::MailboxAccessDenied),
    row(Some(Google), "enable pop", Reason::MailboxAccessDenied),
    row(Some(Google), "web login required", Reason::AuthenticationFailed),
    row(Some(Google), "username and password not accepted", Reason::AuthenticationFailed),
    row(Some(Microsoft365), "basic authentication is disabled", Reason::BasicAuthDisabled),
    row(Some(Microsoft365), "basicauthblocked", Reason::BasicAuthDisabled),
    row(Some(Microsoft365), "basic authentication is not supported", Reason::BasicAuthDisabled),
    // It hangs up on who comes too often, or while the mailbox moves; nothing was judged.
    row(Some(Microsoft365), "connection is closed. 14", Reason::ServerBusy),
    row(Some(Yahoo), "#auth005", Reason::AppPasswordRequired),
    row(Some(Yahoo), "app password", Reason::AppPasswordRequired),
    row(Some(Zoho), "yet to enable pop", Reason::MailboxAccessDenied),
    row(Some(Zoho), "application-specific password", Reason::AppPasswordRequired),
    row(None, "pop3 not activated", Reason::MailboxAccessDenied),
];

/// A provider's own refusal; the words are so much their own that a proxy's name before them does not matter.
pub(super) fn of_provider(stage: Stage, words: &str, provider: Option<Provider>) -> Option<&'static Row> {
    let known = |row: &&Row| provider.is_none() || row.provider.is_none() || row.provider == provider;
    let at = matches!(stage, Stage::Greeting | Stage::Auth | Stage::List);
    PROVIDERS.iter().filter(known).find(|row| at && words.contains(row.words))
}

/// A client or an account does too much, or logs in too often.
const TOO_MANY: &[&str] =
    &["too many", "login limit", "too frequent", "rate limit", "throttl", "connection limit", "limit exceeded", "slow down"];

/// The account is known, and POP3 is closed to it.
const POP_IS_OFF: &[&str] = &[
    "not enabled for pop",
    "enable pop",
    "pop is disabled",
    "pop3 is disabled",
    "pop access is disabled",
    "pop3 access is disabled",
    "pop access disabled",
    "pop3 access disabled",
    "pop3 not enabled",
    "pop3 is not enabled",
    "pop3 service is not",
    "not allowed to use pop",
    "pop3 not allowed",
    "pop3 access not allowed",
    "pop3 deaktiviert",
    "pop3 ist deaktiviert",
    "no permission to use pop",
];

/// Another session holds the maildrop (RFC 1939 section 4: `-ERR maildrop already locked`; qpopper, Dovecot, Courier).
const LOCKED: &[&str] = &[
    "maildrop already locked",
    "maildrop is already locked",
    "maildrop is locked",
    "maildrop lock",
    "maildrop busy",
    "unable to lock maildrop",
    "unable to lock mailbox",
    "can't lock",
    "mailbox is locked",
    "mailbox locked",
    "mailbox is in use",
    "mailbox in use",
    "mailbox is busy",
    "mailbox is already",
    "already have this mailbox",
    "another pop",
    "another session",
];

/// The password may not be shown without TLS.
const TLS_FIRST: &[&str] = &[
    "plaintext authentication disallowed",
    "cleartext authentication disallowed",
    "plaintext authentication not allowed",
    "only allowed over tls",
    "only over tls",
    "must use tls",
    "must use ssl",
    "stls first",
    "issue stls",
    "issue a stls",
    "encryption required",
    "requires tls",
    "requires ssl",
    "tls required",
    "ssl required",
    "use ssl",
    "secure connection",
    "ssl/tls",
];

/// The command or the mechanism is not known: no password was looked at. Exchange says "Command is not valid in this state".
const NOT_KNOWN: &[&str] = &[
    "unknown command",
    "unrecognized command",
    "unrecognised command",
    "invalid command",
    "command not recognized",
    "command not implemented",
    "command is not valid",
    "bad command",
    "not implemented",
    "unsupported authentication mechanism",
    "unsupported mechanism",
    "unknown authentication mechanism",
    "unrecognized authentication",
    "mechanism not supported",
    "mechanism not available",
    "not supported",
];

/// The server could not ask whoever knows the passwords.
const NO_AUTH_SERVER: &[&str] = &[
    "temporary authentication failure",
    "connection lost to authentication server",
    "temporarily unavailable",
    "internal error",
];

const APP_PASSWORD: &[&str] =
    &["application-specific password", "application specific password", "app password", "app-specific password"];

/// Refused for what the client is.
const CLIENT: &[&str] = &[
    "access denied",
    "blocked",
    "blacklist",
    "blocklist",
    "banned",
    "your ip",
    "not allowed from",
    "connection refused",
    "not permitted",
];

const NO_MAILBOX: &[&str] =
    &["no such mailbox", "no mailbox", "mailbox does not exist", "mailbox doesn't exist", "mailbox not found"];

/// The server is short of something.
const SHORT: &[&str] = &["too busy", "server busy", "try again later", "temporarily", "internal error", "shutting down"];

/// One message is not there any more, as another client removed it.
const GONE: &[&str] =
    &["no such message", "no message", "not such message", "message not found", "invalid message", "expunged", "deleted"];

/// Whether words tell of one message that is not there, rather than of a command that is refused.
pub(in crate::mail::pop3) fn says_gone(words: &str) -> bool {
    says(&words.to_ascii_lowercase(), GONE)
}

fn says(words: &str, any: &[&str]) -> bool {
    any.iter().any(|part| words.contains(part))
}

/// Whether a client or an account does too much.
pub(super) fn says_too_many(words: &str) -> bool {
    says(words, TOO_MANY)
}

/// What words tell of a refused login, where its code says that it is about user or password.
pub(super) fn of_login(words: &str) -> Option<Reason> {
    if says(words, TLS_FIRST) {
        return Some(Reason::TLSRequired);
    }
    if says_too_many(words) {
        return Some(Reason::RateLimited);
    }
    says(words, APP_PASSWORD).then_some(Reason::AppPasswordRequired)
}

/// What words alone tell at a stage.
pub(super) fn find(stage: Stage, words: &str) -> Option<Reason> {
    let rows: &[(&[&str], Reason)] = match stage {
        Stage::Auth => &[
            (LOCKED, Reason::MailboxBusy),
            (POP_IS_OFF, Reason::MailboxAccessDenied),
            (NOT_KNOWN, Reason::AuthMechanismNotOffered),
            (NO_AUTH_SERVER, Reason::AuthenticationUnavailable),
        ],
        Stage::Greeting => &[(SHORT, Reason::ServerBusy), (CLIENT, Reason::ClientHostRejected)],
        Stage::List | Stage::Top | Stage::Cleanup => {
            &[(LOCKED, Reason::MailboxBusy), (NO_MAILBOX, Reason::MailboxNotFound), (SHORT, Reason::ServerBusy)]
        }
        _ => &[],
    };
    let of_login = if stage == Stage::Auth { of_login(words) } else { says_too_many(words).then_some(Reason::RateLimited) };
    of_login.or_else(|| rows.iter().find(|(any, _)| says(words, any)).map(|(_, reason)| *reason))
}
