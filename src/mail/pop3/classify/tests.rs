use super::*;
use crate::mail::pop3::Answer;

fn reply(line: &str) -> Reply {
    match Answer::parse(line) {
        Ok(Answer::Reply(reply)) => reply,
        _ => panic!("{line:?} is no reply"),
    }
}

fn about(provider: Option<Provider>) -> About<'static> {
    About { host: "pop.example", port: 995, user: "relay", provider }
}

#[test]
fn each_refusal_has_its_reason() {
    use Provider::{Google, Microsoft365, Yahoo, Zoho};
    use Stage::{Auth, Cleanup, Greeting, List, Stls, Top};
    let rows: &[(Stage, &str, Option<Provider>, Reason)] = &[
        // Providers' own.
        (
            Auth,
            "-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833",
            Some(Google),
            Reason::AppPasswordRequired,
        ),
        (Auth, "-ERR [AUTH] Username and password not accepted.", Some(Google), Reason::AuthenticationFailed),
        (
            Auth,
            "-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754",
            Some(Google),
            Reason::AuthenticationFailed,
        ),
        (
            Auth,
            "-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access.",
            Some(Google),
            Reason::MailboxAccessDenied,
        ),
        (Auth, "-ERR Logon failure: unknown user name or bad password.", Some(Microsoft365), Reason::AuthenticationFailed),
        (Auth, "-ERR Logon failure: basic authentication is disabled.", Some(Microsoft365), Reason::BasicAuthDisabled),
        (Auth, "-ERR [Error=\"BasicAuthBlocked\"]", Some(Microsoft365), Reason::BasicAuthDisabled),
        (Auth, "-ERR Connection is closed. 14", Some(Microsoft365), Reason::ServerBusy),
        (Auth, "-ERR [AUTH] (#AUTH005) Too many bad auth attempts.", Some(Yahoo), Reason::AppPasswordRequired),
        (
            Auth,
            "-ERR [AUTH] You are yet to enable POP for your account. Please contact your administrator.",
            Some(Zoho),
            Reason::MailboxAccessDenied,
        ),
        (Auth, "-ERR POP3 not activated for this account", None, Reason::MailboxAccessDenied),
        // A provider's row is not asked for another's server.
        (Auth, "-ERR [AUTH] web login required", Some(Zoho), Reason::AuthenticationFailed),
        // Codes.
        (Auth, "-ERR [AUTH] Authentication failed.", None, Reason::AuthenticationFailed),
        (Auth, "-ERR [AUTH] Too many failed logins", None, Reason::RateLimited),
        (Auth, "-ERR [IN-USE] Mailbox is locked by another session", None, Reason::MailboxBusy),
        (Auth, "-ERR [LOGIN-DELAY] wait 5 minutes", None, Reason::RateLimited),
        (Auth, "-ERR [SYS/TEMP] Temporary authentication failure.", None, Reason::AuthenticationUnavailable),
        (Auth, "-ERR [SYS/PERM] maildrop is corrupt", None, Reason::MailboxAccessDenied),
        (Auth, "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", None, Reason::TLSRequired),
        // Words.
        (Auth, "-ERR", None, Reason::AuthenticationFailed),
        (Auth, "-ERR Authentication failed, try again later", None, Reason::AuthenticationFailed),
        (Auth, "-ERR maildrop already locked", None, Reason::MailboxBusy),
        (Auth, "-ERR login limit exceeded", None, Reason::RateLimited),
        (Auth, "-ERR Unknown command.", None, Reason::AuthMechanismNotOffered),
        (Auth, "-ERR account is locked", None, Reason::AuthenticationFailed),
        // Stages.
        (Greeting, "-ERR", None, Reason::ServerBusy),
        (Greeting, "-ERR too many connections from your IP", None, Reason::RateLimited),
        (Greeting, "-ERR access denied", None, Reason::ClientHostRejected),
        (Greeting, "-ERR [SYS/TEMP] down", None, Reason::ServerBusy),
        (Greeting, "-ERR [SYS/PERM] your IP is blocked", None, Reason::ClientHostRejected),
        (Stls, "-ERR TLS not available", None, Reason::StartTLSRefused),
        (Stls, "-ERR [SYS/TEMP] no entropy", None, Reason::StartTLSRefused),
        (Stls, "-ERR too many connections", None, Reason::RateLimited),
        (List, "-ERR [SYS/TEMP] Internal error occurred", None, Reason::ServerBusy),
        (List, "-ERR no mailbox here", None, Reason::MailboxNotFound),
        (List, "-ERR [IN-USE] busy", None, Reason::MailboxBusy),
        (List, "-ERR", None, Reason::MailboxAccessDenied),
        (Top, "-ERR Unknown command", None, Reason::ProtocolError),
        (Cleanup, "-ERR read-only", None, Reason::MailboxAccessDenied),
        (List, "+OK two", None, Reason::ProtocolError),
    ];
    for (stage, line, provider, reason) in rows {
        let diagnosis = classify(*stage, &reply(line), &about(*provider));
        assert_eq!((diagnosis.reason, diagnosis.stage), (*reason, Some(*stage)), "{line}");
        assert!(line.starts_with(diagnosis.words.as_deref().unwrap()), "{diagnosis:?}");
        assert!(!diagnosis.hint().contains(['{', '}']), "{}", diagnosis.hint());
    }
}

#[test]
fn time_helps_where_the_code_says_so() {
    let class = |stage, line| classify(stage, &reply(line), &about(None)).class;
    assert_eq!(class(Stage::Stls, "-ERR [SYS/TEMP] no entropy"), Class::Transient);
    assert_eq!(class(Stage::Stls, "-ERR no"), Class::User);
    assert_eq!(class(Stage::Auth, "-ERR [IN-USE] locked"), Class::Transient);
    assert_eq!(class(Stage::Auth, "-ERR [AUTH] no"), Class::User);
}

#[test]
fn a_hint_says_what_to_enable_and_where() {
    let denied = classify(Stage::Auth, &reply("-ERR [SYS/PERM] not enabled for POP"), &about(Some(Provider::Google)));
    assert!(denied.hint().contains("enable POP3 for the account at Google"), "{}", denied.hint());
    let app = classify(Stage::Auth, &reply("-ERR [AUTH] Application-specific password required"), &about(Some(Provider::Google)));
    assert_eq!(app.get("provider"), Some("https://myaccount.google.com/apppasswords"));
}
