//! What well-known servers say in words, where code and enhanced code leave it open: Postfix, Exim, qmail, `OpenSMTPD`,
//! Exchange, Sendmail and Dovecot, and wordings that many share. One row a wording, each with its source.
//!
//! The first row that fits counts, so the closer wording stands first: "Client host rejected: Greylisted" is greylisting.

use super::classify::Said;
use crate::{
    api::Reason,
    mail::{
        Stage,
        Stage::{Auth, Data, Mail, Rcpt},
    },
};

/// A client or an account does too much, or logs in too often.
pub(in crate::mail) const TOO_MANY: &[&str] = &[
    "too many",
    "too much mail",
    "too frequent",
    "rate limit",
    "ratelimit",
    "rate exceeded",
    "throttl",
    "connection limit",
    "concurrent connections",
    "concurrent server connections",
    "limit exceeded",
    "slow down",
];

/// A mailbox's own password is not taken, where two-step verification is on.
pub(in crate::mail) const APP_PASSWORD: &[&str] =
    &["application-specific password", "application specific password", "app password", "app-specific password"];

/// User or password is wrong, whatever the code says: some gateways answer with a 4xx, and count all the same.
pub(in crate::mail) const PASSWORD_WRONG: &[&str] = &[
    "incorrect authentication data",
    "credentials invalid",
    "invalid credentials",
    "bad credentials",
    "credentials were incorrect",
    "incorrect username",
    "invalid username",
    "incorrect password",
    "invalid password",
    "wrong password",
    "bad password",
    "login incorrect",
];

/// The password was looked at, although the code is one of those for mechanisms and commands; beside [`PASSWORD_WRONG`].
pub(in crate::mail) const PASSWORD_JUDGED: &[&str] = &[
    "authentication failed",
    "authentication failure",
    "authentication unsuccessful",
    "username and password",
    "bad auth attempts",
    "application-specific password",
    "application specific password",
    "app password",
    "app-specific password",
    "web browser",
    "login failed",
    "account is disabled",
    "account is locked",
];

/// The server could not ask whoever knows the passwords, but may say 535 (Postfix, `smtpd_sasl_glue.c`).
pub(super) const NO_AUTH_SERVER: &[&str] = &["connection lost to authentication server", "temporary authentication failure"];

/// One wording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Whose it is, for people.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people"))]
    server: &'static str,
    /// The stages where it means this; empty for all.
    at: &'static [Stage],
    /// What must stand in it, in lower case: one of these.
    words: &'static [&'static str],
    /// What it means.
    pub(super) reason: Reason,
    /// Where it can be read.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people, and by a test that none is missing"))]
    source: &'static str,
}

/// The first row that fits.
pub(super) fn find(said: &Said<'_>) -> Option<&'static Row> {
    ROWS.iter().find(|row| (row.at.is_empty() || row.at.contains(&said.stage)) && said.says_any(row.words))
}

const fn row(
    server: &'static str,
    at: &'static [Stage],
    words: &'static [&'static str],
    reason: Reason,
    source: &'static str,
) -> Row {
    Row { server, at, words, reason, source }
}

const ALL: &[Stage] = &[];
const ENVELOPE: &[Stage] = &[Mail, Rcpt, Data];
const CLIENT: &[Stage] = &[Stage::Banner, Stage::Ehlo, Stage::StartTls, Stage::Ehlo2, Mail, Rcpt, Data];

const POSTFIX: &str = "https://www.postfix.org/postconf.5.html";
const POSTFIX_CODE: &str = "https://github.com/vdukhovni/postfix/blob/master/postfix/src/smtpd/smtpd_check.c";
const POSTFIX_SMTPD: &str = "https://github.com/vdukhovni/postfix/blob/master/postfix/src/smtpd/smtpd.c";
const POSTFIX_SASL: &str = "https://github.com/vdukhovni/postfix/blob/master/postfix/src/smtpd/smtpd_sasl_glue.c";
const POSTGREY: &str = "https://postgrey.schweikert.ch/";
const EXIM: &str = "https://github.com/Exim/exim/blob/master/src/src/configure.default";
const EXIM_ACL: &str = "https://github.com/Exim/exim/blob/master/src/src/acl.c";
const EXIM_SMTP: &str = "https://github.com/Exim/exim/blob/master/src/src/smtp_in.c";
const QMAIL: &str = "https://github.com/notqmail/notqmail/blob/master/qmail-smtpd.c";
const OPENSMTPD: &str = "https://github.com/OpenSMTPD/OpenSMTPD/blob/master/usr.sbin/smtpd/smtp_session.c";
const EXCHANGE: &str = "https://learn.microsoft.com/en-us/exchange/mail-flow/non-delivery-reports-and-bounce-messages/non-delivery-reports-and-bounce-messages";
const EXCHANGE_THROTTLING: &str = "https://learn.microsoft.com/en-us/exchange/mail-flow/message-rate-limits";
const SENDMAIL: &str = "https://www.sendmail.org/~ca/email/doc8.12/op.html";
const DOVECOT: &str = "https://doc.dovecot.org/2.3/configuration_manual/quota_plugin/";
const RFC4954: &str = "https://www.rfc-editor.org/rfc/rfc4954#section-6";
const RFC3207: &str = "https://www.rfc-editor.org/rfc/rfc3207#section-4";
const RFC6647: &str = "https://www.rfc-editor.org/rfc/rfc6647";
const RFC5782: &str = "https://www.rfc-editor.org/rfc/rfc5782";
const RFC7372: &str = "https://www.rfc-editor.org/rfc/rfc7372";
const RFC5321: &str = "https://www.rfc-editor.org/rfc/rfc5321#section-4.2.2";

const ROWS: &[Row] = &[
    // Before "too many": a loop is no matter of rates.
    row("Sendmail", ENVELOPE, &["too many hops"], Reason::MessageRejected, SENDMAIL),
    row(
        "postgrey and others",
        CLIENT,
        &["greylist", "graylist", "grey-list", "gray-list", "grey listed", "gray listed"],
        Reason::Greylisted,
        POSTGREY,
    ),
    row("many", CLIENT, &["greylisting in action", "temporarily deferred due to unknown sender"], Reason::Greylisted, RFC6647),
    // TLS before login: servers name the one that is missing.
    row(
        "Postfix, OpenSMTPD, Google",
        ALL,
        &["issue a starttls", "issue starttls", "starttls first", "starttls is required"],
        Reason::TLSRequired,
        RFC3207,
    ),
    row(
        "Postfix",
        ALL,
        &["session encryption is required", "encryption needed", "encryption required", "requires encryption"],
        Reason::TLSRequired,
        POSTFIX,
    ),
    row(
        "many",
        ALL,
        &[
            "tls required",
            "tls is required",
            "requires tls",
            "must use tls",
            "secure connection is required",
            "on non-secure (ssl/tls)",
        ],
        Reason::TLSRequired,
        RFC3207,
    ),
    // Logging in.
    row("many", &[Auth], APP_PASSWORD, Reason::AppPasswordRequired, RFC4954),
    row("Exchange", &[Auth], &["unrecognized authentication type"], Reason::AuthMechanismNotOffered, EXCHANGE),
    row(
        "Postfix",
        &[Auth],
        &["invalid authentication mechanism", "unsupported authentication mechanism", "mechanism not supported"],
        Reason::AuthMechanismNotOffered,
        POSTFIX_SASL,
    ),
    row("Exim", &[Auth], &["unable to authenticate at present"], Reason::AuthenticationUnavailable, EXIM_SMTP),
    // Mechanisms and commands are refused with 500 to 504; that the password is wrong may be said with them too.
    row("Exim", &[Auth], &["incorrect authentication data"], Reason::AuthenticationFailed, EXIM_SMTP),
    row("Exim", &[Auth], &["auth command used when not advertised"], Reason::AuthNotOffered, EXIM_SMTP),
    row("Postfix", &[Auth], &["authentication not enabled"], Reason::AuthNotOffered, POSTFIX_SMTPD),
    // This account, and not that sender.
    row(
        "Postfix",
        ENVELOPE,
        &["not owned by user", "not owned by auth user", "not owned by authorized user"],
        Reason::SendAsDenied,
        POSTFIX_CODE,
    ),
    row("Postfix", ENVELOPE, &["sender address rejected: not logged in"], Reason::AuthenticationRequired, POSTFIX_CODE),
    row(
        "Exchange",
        ENVELOPE,
        &["permissions to send as this sender", "sendasdenied", "not allowed to send as"],
        Reason::SendAsDenied,
        EXCHANGE,
    ),
    row(
        "many",
        ENVELOPE,
        &[
            "must be same as authorization user",
            "must match the authenticated",
            "does not match authenticated",
            "does not belong to the authenticated",
        ],
        Reason::SendAsDenied,
        "https://github.com/nodeSolidServer/node-solid-server/issues/1281",
    ),
    row(
        "many",
        ENVELOPE,
        &[
            "not authorized to send from this",
            "not authorised to send from this",
            "is not allowed in header from",
            "not allowed to use this sender",
        ],
        Reason::SendAsDenied,
        "https://github.com/mbreit/dokku-monit/issues/11",
    ),
    // Before logins: these are said to clients that have logged in too.
    row("Postfix", ENVELOPE, &["relay access denied"], Reason::RelayDenied, POSTFIX_CODE),
    row("Exim", ENVELOPE, &["relay not permitted"], Reason::RelayDenied, EXIM),
    row(
        "Sendmail",
        ENVELOPE,
        &["relaying denied", "relaying not allowed", "relaying prohibited", "relaying is prohibited"],
        Reason::RelayDenied,
        SENDMAIL,
    ),
    row("Exchange", ENVELOPE, &["unable to relay"], Reason::RelayDenied, EXCHANGE),
    row("qmail", ENVELOPE, &["list of allowed rcpthosts"], Reason::RelayDenied, QMAIL),
    row(
        "many",
        ENVELOPE,
        &[
            "relay denied",
            "not permitted to relay",
            "does not relay",
            "relaying disallowed",
            "no relaying",
            "not a relay",
            "relaying mail to",
        ],
        Reason::RelayDenied,
        RFC5321,
    ),
    row("OpenSMTPD", CLIENT, &["issue an auth command"], Reason::AuthenticationRequired, OPENSMTPD),
    row(
        "Exchange",
        CLIENT,
        &["client was not authenticated", "client not authenticated"],
        Reason::AuthenticationRequired,
        EXCHANGE,
    ),
    row(
        "many",
        CLIENT,
        &[
            "authentication required",
            "authentication is required",
            "must authenticate",
            "need to authenticate",
            "authenticate first",
            "please authenticate",
            "auth first",
            "auth required",
            "log in first",
            "login required",
            "not authenticated",
        ],
        Reason::AuthenticationRequired,
        RFC4954,
    ),
    // SPF and its kin, before the addresses that they speak of.
    row(
        "many",
        ENVELOPE,
        &[
            "dmarc",
            "dkim",
            "spf fail",
            "spf check",
            "spf softfail",
            "spf record",
            "(spf)",
            "spf:",
            "spf policy",
            "sender policy framework",
            "unauthenticated email from",
            "fails to pass authentication checks",
            "sender is unauthenticated",
        ],
        Reason::SenderAuthenticationFailed,
        RFC7372,
    ),
    // Who does too much, before who is refused for what he is.
    row(
        "many",
        ENVELOPE,
        &[
            "daily user sending",
            "daily sending",
            "sending quota",
            "sending limit",
            "message quota exceeded",
            "daily quota",
            "daily limit",
            "hourly limit",
            "submission quota",
            "credits exceeded",
        ],
        Reason::QuotaExceeded,
        "https://support.google.com/a/answer/166852",
    ),
    row(
        "Postfix",
        CLIENT,
        &["message size exceeds", "message file too big", "message too large", "message too big"],
        Reason::MessageTooLarge,
        POSTFIX_SMTPD,
    ),
    row(
        "Exim",
        ENVELOPE,
        &[
            "message size exceeds maximum",
            "maximum message size",
            "maximum permitted",
            "exceeds size limit",
            "exceeds the maximum",
        ],
        Reason::MessageTooLarge,
        EXIM_SMTP,
    ),
    row("qmail", ENVELOPE, &["exceeds my databytes limit"], Reason::MessageTooLarge, QMAIL),
    row(
        "Exchange",
        ENVELOPE,
        &["message size exceeds fixed", "size limit exceeded", "exceeds fixed maximum"],
        Reason::MessageTooLarge,
        EXCHANGE,
    ),
    row(
        "Dovecot",
        &[Rcpt, Data],
        &[
            "mailbox full",
            "mailbox is full",
            "mailbox for user is full",
            "over quota",
            "overquota",
            "quota exceeded",
            "exceeded storage",
            "out of storage",
            "mailbox quota",
            "exceeded its quota",
            "exceeds allotted quota",
        ],
        Reason::MailboxFull,
        DOVECOT,
    ),
    row("many", CLIENT, TOO_MANY, Reason::RateLimited, EXCHANGE_THROTTLING),
    row(
        "many",
        CLIENT,
        &["try again later, closing connection", "sending rate", "unusual rate", "suspicious activity", "temporarily rate"],
        Reason::RateLimited,
        "https://support.google.com/a/answer/3726730",
    ),
    // The account is blocked.
    row(
        "many",
        ENVELOPE,
        &[
            "account has been suspended",
            "account is suspended",
            "account suspended",
            "account has been blocked",
            "account blocked",
            "sending suspended",
            "sending has been disabled",
            "outgoing mail has been suspended",
            "outgoing mail from",
            "has been blocked from sending",
        ],
        Reason::SendingBlocked,
        "https://docs.cpanel.net/whm/server-configuration/tweak-settings/",
    ),
    // The client is refused for what it is; Postfix says so at RCPT (smtpd_delay_reject).
    row(
        "Postfix",
        CLIENT,
        &["access denied for", "client host rejected", "helo command rejected", "client host [", "client host blocked"],
        Reason::ClientHostRejected,
        POSTFIX_CODE,
    ),
    row(
        "Exim",
        CLIENT,
        &[
            "syntactically invalid ehlo",
            "syntactically invalid helo",
            "invalid helo",
            "invalid ehlo",
            "helo rejected",
            "bad helo",
            "ehlo/helo",
            "helo name",
            "host name lookup",
        ],
        Reason::ClientHostRejected,
        EXIM_SMTP,
    ),
    row("Exim", CLIENT, &["synchronization error"], Reason::ProtocolError, EXIM_SMTP),
    row(
        "Sendmail",
        CLIENT,
        &[
            "fix reverse dns",
            "cannot find your hostname",
            "cannot resolve your",
            "no ptr",
            "reverse dns",
            "reverse hostname",
            "rdns",
            "ptr record",
            "access denied - invalid helo",
        ],
        Reason::ClientHostRejected,
        SENDMAIL,
    ),
    row(
        "many",
        CLIENT,
        &[
            "blocked using",
            "blocked by",
            "block list",
            "blocklist",
            "blacklist",
            "black list",
            "dnsbl",
            "dnsrbl",
            " rbl",
            "spamhaus",
            "listed at",
            "listed in",
            "listed by",
            "is listed",
            "spamcop",
            "barracuda",
        ],
        Reason::ClientHostRejected,
        RFC5782,
    ),
    row(
        "many",
        CLIENT,
        &[
            "your ip",
            "your host",
            "ip address is not",
            "banned",
            "sending ip",
            "ip reputation",
            "poor reputation",
            "bad reputation",
            "client address",
            "connection refused from",
            "not accepting mail from your",
            "messages from [",
        ],
        Reason::ClientHostRejected,
        "https://sendersupport.olc.protection.outlook.com/pm/troubleshooting.aspx",
    ),
    row(
        "Sendmail",
        &[Stage::Banner],
        &["no smtp service here", "not accepting messages", "access denied"],
        Reason::ClientHostRejected,
        SENDMAIL,
    ),
    // The sender, whoever uses it.
    row("Postfix", ENVELOPE, &["sender address rejected"], Reason::SenderRejected, POSTFIX_CODE),
    row(
        "Exim",
        ENVELOPE,
        &[
            "sender verify failed",
            "sender domain",
            "no valid sender",
            "invalid sender",
            "sender rejected",
            "sender denied",
            "sender refused",
            "sender not allowed",
        ],
        Reason::SenderRejected,
        EXIM_ACL,
    ),
    row("qmail", ENVELOPE, &["badmailfrom", "envelope sender is in my"], Reason::SenderRejected, QMAIL),
    row("Sendmail", ENVELOPE, &["domain of sender address"], Reason::SenderRejected, SENDMAIL),
    row(
        "many",
        &[Data],
        &["from header sender domain not verified", "from header", "header from"],
        Reason::SenderRejected,
        "https://support.smtp2go.com/hc/en-gb/articles/13990494697369-Common-Sending-Errors",
    ),
    // The recipient.
    row(
        "Postfix",
        &[Rcpt, Data],
        &["recipient address rejected", "user unknown", "undeliverable address", "unknown in"],
        Reason::RecipientRejected,
        POSTFIX_CODE,
    ),
    row(
        "Exim",
        &[Rcpt, Data],
        &["unrouteable address", "unknown user", "no such user", "unknown local part"],
        Reason::RecipientRejected,
        EXIM,
    ),
    row("qmail", &[Rcpt, Data], &["no mailbox here by that name", "badrcptto"], Reason::RecipientRejected, QMAIL),
    row("OpenSMTPD", &[Rcpt, Data], &["invalid recipient", "destination address status"], Reason::RecipientRejected, OPENSMTPD),
    row(
        "many",
        &[Rcpt, Data],
        &[
            "no such recipient",
            "recipient rejected",
            "recipient not found",
            "does not exist",
            "doesn't exist",
            "mailbox not found",
            "mailbox unavailable",
            "no such mailbox",
            "user not found",
            "not our customer",
            "recipient verify failed",
        ],
        Reason::RecipientRejected,
        RFC5321,
    ),
    // The server is short of something.
    row(
        "Postfix",
        CLIENT,
        &[
            "insufficient system",
            "temporary lookup failure",
            "server configuration",
            "queue file write error",
            "insufficient disk",
            "insufficient storage",
        ],
        Reason::ServerBusy,
        POSTFIX_SMTPD,
    ),
    row(
        "Exim",
        CLIENT,
        &["temporary local problem", "load average", "space shortage", "server busy", "too busy"],
        Reason::ServerBusy,
        EXIM_SMTP,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_server_a_source_and_words_in_lower_case() {
        for row in ROWS {
            assert!(row.source.starts_with("https://") && !row.server.is_empty(), "{row:?}");
            assert!(!row.words.is_empty(), "{row:?}");
            assert!(row.words.iter().all(|words| words.len() > 3 && *words == words.to_ascii_lowercase()), "{row:?}");
        }
    }
}
