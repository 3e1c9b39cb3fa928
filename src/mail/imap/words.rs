//! What servers say in words, where no response code tells it: Dovecot, Cyrus, Courier, Exchange and others. The first row
//! that fits counts, so the closer wording stands first.

use crate::{
    api::Reason,
    mail::{
        Stage,
        Stage::{Auth, Cleanup, Fetch, Greeting, Search, Select},
        smtp::wordings::{APP_PASSWORD, PASSWORD_WRONG, TOO_MANY},
    },
};

const MAILBOX: &[Stage] = &[Select, Search, Fetch, Cleanup];

/// A login cannot be judged now, or a command not be done, for want of something.
pub(super) const UNAVAILABLE: &[&str] = &[
    "temporar",
    "try again later",
    "try again in",
    "unavailable",
    "internal error",
    "internal server error",
    "server error",
    "backend",
    "overload",
    "too busy",
    "server busy",
    "shutting down",
    "restarting",
    "out of memory",
    "timeout while waiting",
];

/// The mechanism or the command is not known: nothing was judged.
pub(super) const MECHANISM: &[&str] = &[
    "mechanism",
    "unsupported auth",
    "not supported",
    "not implemented",
    "unknown command",
    "unrecognized command",
    "unrecognised command",
    "invalid command",
    "command unknown",
    "disabled on non-secure",
    "plaintext authentication disallowed",
    "login is disabled",
    "login disabled",
];

/// The user and the password are right, and the mailbox stays shut.
pub(super) const SHUT: &[&str] = &[
    "authenticated but not connected",
    "not enabled for imap",
    "imap access is disabled",
    "imap is disabled",
    "imap access disabled",
    "imap disabled",
    "imap not enabled",
    "not imap enabled",
    "imap access denied",
    "imap service is not",
];

/// One wording.
struct Row {
    /// Where it counts; empty is anywhere.
    stages: &'static [Stage],
    /// One of these must stand in it, in lower case.
    words: &'static [&'static str],
    reason: Reason,
}

/// What these words, in lower case, mean at a stage.
pub(super) fn find(stage: Stage, words: &str) -> Option<Reason> {
    let fits =
        |row: &&Row| (row.stages.is_empty() || row.stages.contains(&stage)) && row.words.iter().any(|part| words.contains(part));
    ROWS.iter().find(fits).map(|row| row.reason)
}

const fn row(stages: &'static [Stage], words: &'static [&'static str], reason: Reason) -> Row {
    Row { stages, words, reason }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(&[Auth], APP_PASSWORD, Reason::AppPasswordRequired),
    row(&[Auth], &["basic authentication is disabled", "basicauthblocked", "basic auth is disabled"], Reason::BasicAuthDisabled),
    row(&[Auth, Select], SHUT, Reason::MailboxAccessDenied),
    row(&[], TOO_MANY, Reason::RateLimited),
    row(&[], &["maximum number of connections", "mail_max_userip_connections", "connections exceeded"], Reason::RateLimited),
    row(&[Auth], PASSWORD_WRONG, Reason::AuthenticationFailed),
    row(&[Auth], &["plaintext authentication disallowed", "disabled on non-secure", "starttls first", "encryption required",
        "requires tls", "tls required", "ssl required", "requires ssl"], Reason::TLSRequired),
    row(&[Greeting], &["blocked", "banned", "denied", "not allowed", "blacklist", "your ip", "refused"], Reason::ClientHostRejected),
    row(&[Auth], UNAVAILABLE, Reason::AuthenticationUnavailable),
    row(MAILBOX, &["in use by", "is in use", "is locked", "mailbox locked", "lock timeout", "another session"], Reason::MailboxBusy),
    row(MAILBOX, &["permission denied", "access denied", "not permitted", "no permission", "not allowed", "insufficient rights",
        "not authorized", "read-only"], Reason::MailboxAccessDenied),
    row(&[Select], &["doesn't exist", "does not exist", "not exist", "nonexistent", "non-existent", "no such", "unknown mailbox",
        "not found", "unknown folder"], Reason::MailboxNotFound),
    row(&[], UNAVAILABLE, Reason::ServerBusy),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wording_is_in_lower_case() {
        for row in ROWS {
            assert!(
                !row.words.is_empty() && row.words.iter().all(|words| *words == words.to_ascii_lowercase()),
                "{}",
                row.reason
            );
        }
    }
}
