//! The login: what is offered, what is refused, and what the provider means by it.

use mailverity::{
    api::{
        Reason::{
            AppPasswordRequired, AuthMechanismNotOffered, AuthNotOffered, AuthenticationFailed, AuthenticationRequired,
            AuthenticationUnavailable, BasicAuthDisabled, ConnectionClosed, CredentialHeld, ProtocolError, RateBudgetExceeded,
            RateLimited, ResponseTimedOut,
        },
        v1alpha1::Mechanism,
    },
    mail::{
        Diagnosis,
        Stage::{Auth, Mail},
    },
};

use crate::{
    rows::{Row, play, row},
    world::{World, deliver, login, plain},
};

fn by_cram_md5() -> World {
    login().mechanisms(&[Mechanism::CramMd5])
}

fn in_plain_text() -> World {
    plain().logging_in()
}

fn held() -> World {
    let mut world = login();
    let held = Diagnosis::new(CredentialHeld).fact("until", "2026-03-04T06:05:06Z").detail("refused an hour ago");
    world.gate.login = Some(held);
    world
}

fn limited() -> World {
    let mut world = login();
    let spent = Diagnosis::new(RateBudgetExceeded).fact("budget", "6 logins a minute").fact("scope", "account relay@mx.test");
    world.gate.login = Some(spent.detail("6 logins a minute are used up"));
    world
}

fn at_google() -> World {
    login().edit(|spec| {
        spec.host = Some("smtp.gmail.com".to_owned());
        spec.tls.as_mut().unwrap().server_name = Some("mx.test".to_owned());
    })
}

fn at_microsoft() -> World {
    login().edit(|spec| {
        spec.host = Some("smtp.office365.com".to_owned());
        spec.tls.as_mut().unwrap().server_name = Some("mx.test".to_owned());
    })
}

/// A conversation up to the login, PLAIN being offered.
macro_rules! inside {
    ($rest:literal) => {
        concat!("-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN LOGIN\n", $rest)
    };
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(AuthNotOffered, Auth, "no AUTH", login, "-- greets, offering STARTTLS, AUTH PLAIN\n-- protects, offering SIZE 1000"),
    row(AuthNotOffered, Auth, "502 5.5.1", login, inside!("
        C: AUTH PLAIN *
        S: 502 5.5.1 Error: command not implemented
        C: AUTH LOGIN
        S: 502 5.5.1 Error: command not implemented
    ")),
    row(AuthMechanismNotOffered, Auth, "no allowed mechanism is offered", by_cram_md5, inside!("")),
    row(AuthMechanismNotOffered, Auth, "would show the secret", in_plain_text, "-- greets, offering AUTH PLAIN LOGIN"),
    row(AuthMechanismNotOffered, Auth, "504 5.5.4", login, inside!("
        C: AUTH PLAIN *
        S: 504 5.5.4 Unrecognized authentication type
        C: AUTH LOGIN
        S: 504 5.5.4 Unrecognized authentication type
    ")),
    row(AuthenticationRequired, Mail, "530 5.7.0 Authentication required", deliver, "
        -- greets, offering AUTH PLAIN
        C: MAIL FROM:*
        S: 530 5.7.0 Authentication required
    "),
    row(AuthenticationFailed, Auth, "535 5.7.8 Error: authentication failed", login, inside!("
        C: AUTH PLAIN *
        S: 535 5.7.8 Error: authentication failed
    ")),
    row(AuthenticationFailed, Auth, "535 Incorrect authentication data", login, inside!("
        C: AUTH PLAIN *
        S: 535 Incorrect authentication data
    ")),
    row(AuthenticationFailed, Auth, "535 5.7.139", at_microsoft, inside!("
        C: AUTH PLAIN *
        S: 535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [AM0PR04CA0001]
    ")),
    row(AuthenticationUnavailable, Auth, "454 4.7.0 Temporary authentication failure", login, inside!("
        C: AUTH PLAIN *
        S: 454 4.7.0 Temporary authentication failure: Connection lost to authentication server
    ")),
    row(RateLimited, Auth, "454 4.7.0 Too many login attempts", login, inside!("
        C: AUTH PLAIN *
        S: 454 4.7.0 Too many login attempts, please try again later.
    ")),
    row(AppPasswordRequired, Auth, "534 5.7.9", at_google, inside!("
        C: AUTH PLAIN *
        S: 534-5.7.9 Application-specific password required. For more information, go to
        S: 534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor a1-20020 - gsmtp
    ")),
    row(BasicAuthDisabled, Auth, "basic authentication is disabled", at_microsoft, inside!("
        C: AUTH PLAIN *
        S: 535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [AM0PR04CA0001]
    ")),
    row(ProtocolError, Auth, "354 Go on", login, inside!("
        C: AUTH PLAIN *
        S: 354 Go on
    ")),
    row(ProtocolError, Auth, "a challenge of CRAM-MD5", by_cram_md5, "
        -- greets, offering STARTTLS
        -- protects, offering AUTH CRAM-MD5
        C: AUTH CRAM-MD5
        S: 334 this is no base64!
        C: *
        S: 501 5.7.0 Authentication cancelled
    "),
    row(ResponseTimedOut, Auth, "said nothing", login, concat!(
            "TIME: 2s\n",
            inside!(
                "
        C: AUTH PLAIN *
        -- hangs
    "
            )
        ),
    ),
    row(ConnectionClosed, Auth, "closed the connection", login, inside!("
        C: AUTH PLAIN *
        -- closes
    ")),
    row(CredentialHeld, Auth, "refused an hour ago", held, inside!("")),
    row(RateBudgetExceeded, Auth, "6 logins a minute", limited, inside!("")),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_not_taken_is_told_by_its_reason() {
    play(ROWS).await;
}
