//! Greetings, TLS and logins: each refusal with its reason, and whether a password was judged.

use mailverity::{
    api::{
        Reason::{self, *},
        v1alpha1::Mechanism,
    },
    mail::{
        Stage,
        sasl::{Attempt, Kind},
    },
};

use super::Played;
use crate::{
    rows::complaints,
    world::{PASSWORD, USER},
};

#[tokio::test]
async fn what_is_said_before_the_login_ends_in_its_reason_and_stage() {
    let greeting = "S: * OK ready\n C: a1 CAPABILITY\n";
    for (reason, stage, words, talk) in [
        (ConnectionClosed, Stage::Greeting, "BYE Autologout", "S: * BYE Autologout; idle for too long"),
        (ClientHostRejected, Stage::Greeting, "blocked", "S: * BYE Your address is blocked"),
        (RateLimited, Stage::Greeting, "Too many", "S: * BYE [ALERT] Too many connections from your host"),
        (ServerBusy, Stage::Greeting, "shutting down", "S: * BYE [UNAVAILABLE] shutting down"),
        (WrongProtocol, Stage::Greeting, "SMTP", "S: 220 mx.test ESMTP"),
        (WrongProtocol, Stage::Greeting, "POP3", "S: +OK POP3 ready"),
        (ProtocolError, Stage::Greeting, "hello there", "S: hello there"),
        (ProtocolError, Stage::Greeting, "greets first", "S: * 3 EXISTS"),
        (ProtocolError, Stage::Capability, "BAD what", &format!("{greeting} S: a1 BAD what")),
        (ProtocolError, Stage::Capability, "tells capabilities", &format!("{greeting} S: a1 OK done")),
        (ConnectionClosed, Stage::Capability, "BYE going", &format!("{greeting} S: * BYE going\n -- closes")),
        (AuthNotOffered, Stage::Auth, "no AUTH", "S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready"),
    ] {
        let failure = Played::start(talk).await.with(|played| played.security = mailverity::api::v1alpha1::Security::None);
        let failure = failure.logs_in().await.err().unwrap();
        assert_eq!((failure.reason, failure.stage), (reason, Some(stage)), "{talk}: {failure}");
        assert!(failure.message().contains(words), "{failure}");
        let wrong = complaints(&failure);
        assert!(wrong.iter().all(|one| one.contains("hint")), "{wrong:?}");
    }
}

#[tokio::test]
async fn nothing_that_is_said_before_tls_counts_after_it() {
    // promise 13
    let upgrade = "S: * OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=XOAUTH2] ready\n C: a1 STARTTLS\n";
    for (reason, stage, words, talk) in [
        (StartTLSInjection, Stage::Greeting, "PREAUTH", "S: * PREAUTH you need no STARTTLS"),
        (StartTLSInjection, Stage::Tls, "injected", &format!("{upgrade} S: a1 OK go\n S: * OK injected")),
        (StartTLSRefused, Stage::StartTls, "NO not now", &format!("{upgrade} S: a1 NO not now")),
        (StartTLSRefused, Stage::StartTls, "BAD", &format!("{upgrade} S: a1 BAD what")),
        (RateLimited, Stage::StartTls, "LIMIT", &format!("{upgrade} S: a1 NO [LIMIT] later")),
        (ProtocolError, Stage::StartTls, "tag", &format!("{upgrade} S: a2 OK go")),
    ] {
        let failure = Played::start(talk).await.logs_in().await.err().unwrap();
        assert_eq!((failure.reason, failure.stage), (reason, Some(stage)), "{talk}: {failure}");
        assert!(failure.message().contains(words), "{failure}");
    }
    let none = Played::start("S: * OK [CAPABILITY IMAP4rev1] no STARTTLS here").await.logs_in().await.err().unwrap();
    assert_eq!((none.reason, none.stage), (StartTLSNotOffered, Some(Stage::StartTls)));
    assert!(none.hint().contains("port 143") && none.hint().contains("port 993"), "{}", none.hint());

    let talk = format!(
        "{upgrade} S: a1 OK go
        -- TLS good
        C: a2 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: a2 OK done
        C: a3 AUTHENTICATE PLAIN
        S: +
        C: *
        S: a3 OK in"
    );
    let played = Played::start(&talk).await;
    played.session().await.unwrap();
    played.ends_as_written().await;
}

/// What one answer to a login is taken for.
fn taken_for(attempt: &Attempt) -> (&'static str, Option<Reason>) {
    match attempt {
        Attempt::Accepted => ("accepted", None),
        Attempt::NotJudged(why) => ("not judged", Some(why.reason)),
        Attempt::Refused(why) => ("refused", Some(why.reason)),
        Attempt::TooMany(why) => ("too many", Some(why.reason)),
        Attempt::Failed(why) => ("failed", Some(why.reason)),
    }
}

#[tokio::test]
async fn an_answer_to_a_login_says_whether_the_password_was_judged() {
    // promise 7
    for (host, answer, taken, reason) in [
        ("", "NO [AUTHENTICATIONFAILED] Authentication failed.", "refused", AuthenticationFailed),
        ("", "NO [EXPIRED] password has ended", "refused", AuthenticationFailed),
        ("", "NO no", "refused", AuthenticationFailed),
        ("", "BAD no", "refused", AuthenticationFailed),
        ("", "NO LOGIN failed.", "refused", AuthenticationFailed),
        ("", "NO [UNAVAILABLE] Temporary authentication failure.", "failed", AuthenticationUnavailable),
        ("", "NO [SERVERBUG] Internal error occurred", "failed", AuthenticationUnavailable),
        ("", "NO Internal server error", "failed", AuthenticationUnavailable),
        ("", "NO [LIMIT] Login rate limit hit", "too many", RateLimited),
        ("", "NO Too many login attempts", "too many", RateLimited),
        ("", "NO [AUTHENTICATIONFAILED] too many bad passwords", "refused", AuthenticationFailed),
        ("", "NO Unsupported authentication mechanism", "not judged", AuthMechanismNotOffered),
        ("", "BAD Unknown command", "not judged", AuthMechanismNotOffered),
        ("", "NO [PRIVACYREQUIRED] Plaintext authentication disallowed", "not judged", TLSRequired),
        (
            "imap.gmail.com",
            "NO [ALERT] Application-specific password required: https://x (Failure)",
            "refused",
            AppPasswordRequired,
        ),
        ("imap.gmail.com", "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", "refused", AuthenticationFailed),
        ("imap.gmail.com", "NO [ALERT] Please log in via your web browser (Failure)", "refused", AppPasswordRequired),
        ("imap.gmail.com", "NO [ALERT] Your account is not enabled for IMAP use. (Failure)", "failed", MailboxAccessDenied),
        ("outlook.office365.com", "NO AUTHENTICATE failed. BasicAuthBlocked", "refused", BasicAuthDisabled),
        ("outlook.office365.com", "NO AUTHENTICATE failed.", "refused", AuthenticationFailed),
        ("outlook.office365.com", "BAD User is authenticated but not connected.", "failed", MailboxAccessDenied),
        ("imap.mail.yahoo.com", "NO [AUTHENTICATIONFAILED] use an app password", "refused", AppPasswordRequired),
        ("imap.mail.yahoo.com", "NO [LIMIT] AUTHENTICATE Rate limit hit.", "too many", RateLimited),
        ("imap.zoho.com", "NO [ALERT] Your account is not IMAP enabled", "failed", MailboxAccessDenied),
        ("imap.fastmail.com", "NO Sorry, you need an app password", "refused", AppPasswordRequired),
    ] {
        let talk = format!(
            "
            S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
            C: a1 AUTHENTICATE PLAIN *
            S: a1 {answer}"
        );
        let played = Played::start(&talk).await.with(|played| {
            played.mechanisms = vec![Mechanism::Plain];
            played.host = host;
        });
        let (_, attempt) = played.logs_in().await.unwrap();
        assert_eq!(taken_for(&attempt), (taken, Some(reason)), "{host} {answer}");
        if let Attempt::Refused(why) | Attempt::Failed(why) | Attempt::TooMany(why) | Attempt::NotJudged(why) = &attempt {
            assert_eq!((why.words.as_deref(), why.stage), (Some(answer), Some(Stage::Auth)));
            assert!(!why.hint().contains('{'), "{}", why.hint());
        }
    }
}

#[tokio::test]
async fn what_is_refused_before_anything_was_shown_was_not_judged_and_the_next_mechanism_follows() {
    let played = Played::start(
        "
        S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5] ready
        C: a1 AUTHENTICATE PLAIN
        S: a1 NO no
        C: a2 AUTHENTICATE LOGIN
        S: a2 BAD no
        C: a3 AUTHENTICATE CRAM-MD5
        S: + PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
        C: *
        S: a3 NO no
    ",
    )
    .await;
    let (_, attempt) = played.logs_in().await.unwrap();
    assert_eq!(taken_for(&attempt), ("refused", Some(AuthenticationFailed)));
    played.ends_as_written().await;
}

#[tokio::test]
async fn the_login_command_stands_in_where_no_mechanism_is_offered() {
    for (password, continues, said) in
        [("secret word", "", r#"a1 LOGIN "relay@mx.test" "secret word""#), ("pä\"ss", "+", "a1 LOGIN \"relay@mx.test\" {6}")]
    {
        let literal = if continues.is_empty() { String::new() } else { format!("S: + go\nC: {password}\n") };
        let talk = format!("S: * OK [CAPABILITY IMAP4rev1] ready\nC: {said}\n{literal} S: a1 OK in");
        let played = Played::start(&talk).await.with(|played| played.password = password.to_owned().leak());
        played.session().await.unwrap();
        played.ends_as_written().await;
    }
    let talk = "S: * OK [CAPABILITY IMAP4rev1 LITERAL+] ready\nC: a1 LOGIN \"relay@mx.test\" {6+}\nC: pä\"ss\nS: a1 OK in";
    let played = Played::start(talk).await.with(|played| played.password = "pä\"ss");
    played.session().await.unwrap();
    played.ends_as_written().await;
}

#[tokio::test]
async fn a_refused_token_is_answered_with_an_empty_line_and_its_error_is_told() {
    let played = Played::start(
        "
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
        C: a1 AUTHENTICATE XOAUTH2 *
        S: + eyJzdGF0dXMiOiI0MDEiLCJzY29wZSI6Imh0dHBzOi8vbWFpbC5nb29nbGUuY29tLyJ9
        C: 
        S: a1 NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)
    ",
    )
    .await
    .with(|played| played.kind = Kind::Token);
    let (_, attempt) = played.logs_in().await.unwrap();
    let Attempt::Refused(why) = attempt else { panic!("{attempt:?}") };
    assert!(why.said().contains("status 401"), "{}", why.said());
    played.ends_as_written().await;
}

#[tokio::test]
async fn what_a_server_echoes_of_the_password_is_not_told() {
    for answer in [format!("NO bad LOGIN {USER} {PASSWORD}"), format!("* BYE {PASSWORD}"), format!("BAD {PASSWORD}")] {
        let talk = format!(
            "S: * OK [CAPABILITY IMAP4rev1] ready\nC: a1 LOGIN *\nS: {}{answer}\n-- closes",
            if answer.starts_with('*') { "" } else { "a1 " }
        );
        let (_, attempt) = Played::start(&talk).await.logs_in().await.unwrap();
        assert!(!format!("{attempt:?}").contains("Tr0ub"), "{attempt:?}");
        assert!(format!("{attempt:?}").contains("[redacted]"), "{attempt:?}");
    }
}
