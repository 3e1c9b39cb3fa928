//! The check of a mailbox, from the name to the mailbox: each row a fault, over IMAP and POP3.

use mailverity::{
    api::{
        Reason::{
            AppPasswordRequired, AuthMechanismNotOffered, AuthNotOffered, AuthenticationFailed, AuthenticationUnavailable,
            BasicAuthDisabled, CertificateExpired, ConnectionClosed, ConnectionRefused, DNSNoAddress, HostnameMismatch,
            MailboxAccessDenied, MailboxBusy, MailboxNotFound, ProtocolError, RateLimited, ResponseTimedOut, StartTLSInjection,
            StartTLSNotOffered, StartTLSRefused, WrongProtocol, WrongTLSMode,
        },
        v1alpha1::Mechanism,
    },
    mail::{
        Stage::{Auth, Capability, Dns, Greeting, ImplicitTls, List, Select, StartTls, Stls, Tcp, Tls},
        protocol::Protocol,
    },
    verify::report::LoginOutcome,
};

use crate::{
    rows::{Row, play, row},
    world::{PASSWORD, World, implicit, plain, starttls},
};

fn over(protocol: Protocol, world: World) -> World {
    World { mailbox: Some(protocol), ..world }
}

fn imap() -> World {
    over(Protocol::Imap, plain())
}

fn imap_starttls() -> World {
    over(Protocol::Imap, starttls())
}

fn imaps() -> World {
    over(Protocol::Imap, implicit())
}

fn imap_login() -> World {
    over(Protocol::Imap, plain().logging_in().auth(|auth| auth.allow_plaintext = Some(true)))
}

fn imap_secret_login() -> World {
    over(Protocol::Imap, plain().logging_in())
}

fn pop3() -> World {
    over(Protocol::Pop3, plain())
}

fn pop3_starttls() -> World {
    over(Protocol::Pop3, starttls())
}

fn pop3_login() -> World {
    over(Protocol::Pop3, plain().logging_in().auth(|auth| auth.allow_plaintext = Some(true)))
}

fn pop3_apop() -> World {
    over(Protocol::Pop3, plain().logging_in().mechanisms(&[Mechanism::Apop]))
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // The way there is the one that servers have.
    row(DNSNoAddress, Dns, "mx.test has no A and no AAAA record", imap, "DNS: nothing"),
    row(ConnectionRefused, Tcp, "connection refused", pop3, "TCP: refused"),
    // The greeting
    row(WrongProtocol, Greeting, "speaks SMTP", imap, "S: 220 mx.test ESMTP"),
    row(WrongProtocol, Greeting, "speaks POP3", imap, "S: +OK ready"),
    row(WrongProtocol, Greeting, "speaks IMAP", pop3, "S: * OK ready"),
    row(WrongProtocol, Greeting, "speaks HTTP", pop3, "S: HTTP/1.1 400 Bad Request"),
    row(WrongTLSMode, Greeting, "does not greet, and answers a TLS hello", imap, "
        TIME: 3s
        -- TLS good
    "),
    row(WrongTLSMode, Greeting, "TLS from the first byte", pop3, r"-- says \x15\x03\x01\x00\x02\x02\x28"),
    row(WrongTLSMode, ImplicitTls, "in plain text", imaps, "
        -- sees a TLS hello
        S: * OK ready
    "),
    row(ResponseTimedOut, Greeting, "did not end its line", pop3, "
        TIME: 1s
        -- says +OK rea
        -- hangs
    "),
    row(RateLimited, Greeting, "too many", imap, "S: * BYE too many connections from your address"),
    row(ConnectionClosed, Greeting, "closed the connection", pop3, "-- closes"),
    row(ProtocolError, Capability, "tag", imap, "
        S: * OK ready
        C: a1 CAPABILITY
        S: b7 OK done
    "),
    row(ProtocolError, Capability, "", imap, "
        S: * OK ready
        C: a1 CAPABILITY
        -- says * 1 FETCH (BODY[HEADER] {4294967295}\\r\\n
        -- hangs
    "),
    // TLS
    row(StartTLSNotOffered, StartTls, "CAPABILITY did not offer STARTTLS", imap_starttls, "
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: a1 LOGOUT
    "),
    row(StartTLSRefused, StartTls, "TLS not available", imap_starttls, "
        S: * OK ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 STARTTLS
        S: a1 OK done
        C: a2 STARTTLS
        S: a2 NO TLS not available
        C: a3 LOGOUT
    "),
    row(StartTLSInjection, Tls, "a3 OK injected", imap_starttls, "
        S: * OK ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 STARTTLS
        S: a1 OK done
        C: a2 STARTTLS
        -- says a2 OK begin\\r\\na3 OK injected\\r\\n
    "),
    row(StartTLSInjection, Greeting, "PREAUTH", imap_starttls, "S: * PREAUTH welcome"),
    row(StartTLSNotOffered, Stls, "CAPA did not offer STLS", pop3_starttls, "
        S: +OK ready
        C: CAPA
        S: +OK
        S: USER
        S: .
        C: QUIT
    "),
    row(CertificateExpired, ImplicitTls, "", imaps, "-- TLS ended in 2021"),
    row(HostnameMismatch, ImplicitTls, "", imaps, "-- TLS for other.test"),
    // The login
    row(AuthNotOffered, Auth, "", imap_login, "
        S: * OK ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 LOGINDISABLED
        S: a1 OK done
        C: a2 LOGOUT
    "),
    row(AuthMechanismNotOffered, Auth, "would show the secret without verified TLS", imap_secret_login, "
        S: * OK ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: a1 OK done
        C: a2 LOGOUT
    "),
    row(AuthMechanismNotOffered, Auth, "", pop3_apop, "
        S: +OK ready, without a timestamp
        C: CAPA
        S: +OK
        S: USER
        S: .
        C: QUIT
    "),
    row(AuthenticationFailed, Auth, "Authentication failed", imap_login, "
        S: * OK ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
        S: a1 OK done
        C: a2 AUTHENTICATE PLAIN *
        S: a2 NO [AUTHENTICATIONFAILED] Authentication failed.
        C: a3 LOGOUT
    "),
    row(AuthenticationUnavailable, Auth, "Temporary", imap_login, "
        S: * OK ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
        S: a1 OK done
        C: a2 AUTHENTICATE PLAIN *
        S: a2 NO [UNAVAILABLE] Temporary authentication failure.
        C: a3 LOGOUT
    "),
    row(AppPasswordRequired, Auth, "Application-specific password required", imap_login, "
        S: * OK Gimap ready for requests from 192.0.2.7
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
        S: a1 OK done
        C: a2 AUTHENTICATE PLAIN *
        S: a2 NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)
        C: a3 LOGOUT
    "),
    row(BasicAuthDisabled, Auth, "BasicAuthBlocked", pop3_login, "
        S: +OK The Microsoft Exchange POP3 service is ready.
        C: CAPA
        S: +OK
        S: SASL PLAIN
        S: .
        C: AUTH PLAIN*
        S: -ERR Authentication failure: BasicAuthBlocked, basic authentication is disabled
        C: QUIT
    "),
    row(RateLimited, Auth, "[LOGIN-DELAY]", pop3_login, "
        S: +OK ready
        C: CAPA
        S: -ERR unknown
        C: USER *
        S: +OK
        C: PASS *
        S: -ERR [LOGIN-DELAY] minimum time between mail checks violation
        C: QUIT
    "),
    row(MailboxBusy, Auth, "[IN-USE]", pop3_login, "
        S: +OK ready
        C: CAPA
        S: -ERR unknown
        C: USER *
        S: +OK
        C: PASS *
        S: -ERR [IN-USE] Do you have another POP session running?
        C: QUIT
    "),
    // The mailbox
    row(MailboxNotFound, Select, "Mailbox doesn't exist", imap_login, "
        S: * OK ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
        S: a1 OK done
        C: a2 AUTHENTICATE PLAIN *
        S: a2 OK [CAPABILITY IMAP4rev1] in
        C: a3 LIST *
        S: a3 OK done
        C: a4 EXAMINE *
        S: a4 NO [NONEXISTENT] Mailbox doesn't exist: INBOX
    "),
    row(MailboxAccessDenied, Select, "Permission denied", imap_login, "
        S: * OK ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
        S: a1 OK done
        C: a2 AUTHENTICATE PLAIN *
        S: a2 OK [CAPABILITY IMAP4rev1] in
        C: a3 LIST *
        S: a3 OK done
        C: a4 EXAMINE *
        S: a4 NO [NOPERM] Permission denied
    "),
    row(ConnectionClosed, List, "closed the connection", pop3_login, "
        S: +OK ready
        C: CAPA
        S: -ERR unknown
        C: USER *
        S: +OK
        C: PASS *
        S: +OK
        C: STAT
        -- closes
    "),
    row(ProtocolError, List, "", pop3_login, "
        S: +OK ready
        C: CAPA
        S: -ERR unknown
        C: USER *
        S: +OK
        C: PASS *
        S: +OK
        C: STAT
        S: +OK many
    "),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_cannot_be_opened_is_told_by_its_reason() {
    play(ROWS).await;
}

#[tokio::test]
async fn a_mailbox_is_opened_read_only_and_left_in_order() {
    let played = imap_login()
        .plays(
            "
            S: * OK mx.test ready
            C: a1 CAPABILITY
            S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
            S: a1 OK done
            C: a2 AUTHENTICATE PLAIN *
            S: a2 OK [CAPABILITY IMAP4rev1] in
            C: a3 LIST *
            S: * LIST (\\\\Junk) \"/\" Spam
            S: a3 OK done
            C: a4 EXAMINE *
            S: * 3 EXISTS
            S: * OK [UIDVALIDITY 7] ok
            S: * OK [UIDNEXT 12] ok
            S: a4 OK [READ-ONLY] done
            C: a5 LOGOUT
            S: * BYE
            S: a5 OK done
            ",
        )
        .await;
    played.verified();
    let shown = played.report.mailbox.as_ref().unwrap();
    assert_eq!((shown.messages, shown.junk.as_slice()), (3, &["Spam".to_owned()][..]));
    assert_eq!(played.report.login, Some(LoginOutcome::Accepted));
    assert_eq!(played.report.message(), format!("{} took the login; INBOX holds 3 messages", played.report.endpoint));
}

#[tokio::test]
async fn a_refused_password_ends_the_check_and_is_seen_nowhere() {
    // promises 7 and 14
    for (world, talk) in [
        (
            imap_login as fn() -> World,
            format!(
                "
                S: * OK ready
                C: a1 CAPABILITY
                S: * CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5 SASL-IR
                S: a1 OK done
                C: a2 AUTHENTICATE PLAIN *
                S: a2 NO no {PASSWORD}
                C: a3 LOGOUT
                "
            ),
        ),
        (
            pop3_login,
            format!(
                "
                S: +OK ready
                C: CAPA
                S: +OK
                S: SASL PLAIN LOGIN CRAM-MD5
                S: USER
                S: .
                C: AUTH PLAIN*
                S: -ERR [AUTH] no {PASSWORD}
                C: QUIT
                "
            ),
        ),
    ] {
        let played = world().plays(&talk).await;
        played.as_written();
        assert_eq!(played.report.login, Some(LoginOutcome::Refused));
        let shown = format!("{:?} {}", played.report, serde_json::to_string(&played.report).unwrap());
        assert!(!shown.contains(PASSWORD), "{shown}");
        let asked = played.log.iter().filter(|line| line.starts_with("gate: may")).count();
        let told = played.log.iter().filter(|line| *line == "gate: Refused").count();
        assert_eq!((asked, told), (1, 1), "{:?}", played.log);
    }
}
