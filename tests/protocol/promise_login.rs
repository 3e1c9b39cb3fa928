//! Promise 7: one refused login ends the check. And who is asked before a login, and told after it.

use mailverity::{
    api::v1alpha1::{Mechanism, Security},
    mail::Diagnosis,
    verify::{Credential, Endpoint, Login, fingerprint::Key, report::LoginOutcome},
};
use secrecy::SecretString;
use tokio::time::{Duration, timeout};

use crate::world::{PASSWORD, USER, login, plain, stored};

/// relay@mx.test and the password as PLAIN carries them (RFC 4616).
fn plain_response() -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(format!("\0{USER}\0{PASSWORD}"))
}

fn logins(said: &[&str]) -> usize {
    said.iter().filter(|line| line.starts_with("AUTH ")).count()
}

#[tokio::test]
async fn a_refused_login_ends_the_check_and_no_other_mechanism_is_tried() {
    for refusal in [
        "535 5.7.8 Error: authentication failed",
        "535 Incorrect authentication data",
        "535 5.7.3 Authentication unsuccessful",
        "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect",
        "534 5.7.9 Application-specific password required",
        "550 5.7.1 go away",
        "554 5.7.0 Too many login attempts",
        "454 4.7.0 Temporary authentication failure",
        "421 4.7.0 bye",
        "454 4.7.0 Invalid password",
        "354 what was the question?",
    ] {
        let talk = format!(
            "-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN LOGIN CRAM-MD5 NTLM\nC: AUTH PLAIN *\nS: {refusal}"
        );
        let played = login().plays(&talk).await;
        assert_eq!(logins(&played.as_written().said()), 1, "{refusal}");
        assert!(played.report.failure.is_some(), "{refusal}");
    }
}

#[tokio::test]
async fn a_refused_login_is_not_tried_at_an_alternate() {
    let talk = "-- greets, offering STARTTLS
        -- protects, offering AUTH PLAIN
        C: AUTH PLAIN *
        S: 535 5.7.8 Error: authentication failed";
    let played = login().alternate(talk).alternate(talk).plays(talk).await;
    let connections: Vec<usize> = played.as_written().heard.iter().map(|heard| heard.connections).collect();
    assert_eq!(connections, [1, 0, 0]);
    assert!(played.report.alternate_failures.is_empty());
}

#[test]
fn one_password_on_two_hosts_is_two_accounts_and_on_two_ports_one() {
    // promise 8: what is remembered of a refused login says nothing of another host
    let at = |host: &str, port| Endpoint { host: host.to_owned(), port, security: Security::TLS };
    let account = |key: &Key, endpoint: &Endpoint| {
        let password = SecretString::from(PASSWORD.to_owned());
        let credential = Credential::Password { user: USER.to_owned(), password };
        let fingerprint = key.hash(&[b"account", USER.as_bytes(), PASSWORD.as_bytes()]);
        Login { credential, mechanisms: vec![], allow_plaintext: false, secret: String::new(), changed: None, fingerprint }
            .account(&endpoint.host)
    };
    let key = Key::new(b"one");
    let one = account(&key, &at("mx.test", 465));
    assert_eq!(one, account(&key, &at("MX.test", 587)));
    assert_ne!(one.secret, account(&key, &at("alt.mx.test", 465)).secret);
    assert_ne!(one.secret, account(&Key::new(b"another installation's"), &at("mx.test", 465)).secret);
}

#[tokio::test]
async fn a_login_that_an_alternate_refuses_ends_the_check_there() {
    let refused = "-- greets, offering STARTTLS
        -- protects, offering AUTH PLAIN
        C: AUTH PLAIN *
        S: 535 5.7.8 Error: authentication failed";
    let played = login().alternate(refused).alternate(refused).plays("S: 421 4.3.2 shutting down").await;
    let connections: Vec<usize> = played.as_written().heard.iter().map(|heard| heard.connections).collect();
    assert_eq!(connections, [1, 1, 0]);
    assert_eq!(played.report.login, Some(LoginOutcome::Refused));
}

#[tokio::test]
async fn a_refused_login_is_not_tried_at_another_address() {
    let talk = "DNS: A 127.0.0.1, A 127.0.0.1
        -- greets, offering STARTTLS
        -- protects, offering AUTH PLAIN
        C: AUTH PLAIN *
        S: 535 5.7.8 Error: authentication failed";
    let played = login().plays(talk).await;
    assert_eq!(played.as_written().heard[0].connections, 1);
}

#[tokio::test]
async fn a_password_that_was_asked_for_and_then_refused_in_odd_ways_is_not_shown_again() {
    for refusal in ["501 5.5.4 no", "500 what?", "503 5.5.1 Bad sequence", "530 5.7.0 denied"] {
        let talk = format!(
            "-- greets, offering STARTTLS
            -- protects, offering AUTH LOGIN CRAM-MD5
            C: AUTH LOGIN
            S: 334 VXNlcm5hbWU6
            C: *
            S: 334 UGFzc3dvcmQ6
            C: *
            S: {refusal}
            C: QUIT"
        );
        let played = login().plays(&talk).await;
        assert_eq!(logins(&played.as_written().said()), 1, "{refusal}");
        assert_eq!(played.report.login, Some(LoginOutcome::Refused), "{refusal}");
    }
}

#[tokio::test]
async fn a_password_that_was_shown_and_not_answered_is_not_shown_to_an_alternate() {
    for end in ["-- closes", "-- resets", "-- hangs", "S: 999 what?"] {
        let talk = format!("TIME: 2s\n-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN\nC: AUTH PLAIN *\n{end}");
        let played = login().alternate("-- closes").plays(&talk).await;
        assert_eq!(played.as_written().heard[1].connections, 0, "{end}");
    }
}

#[tokio::test]
async fn a_password_that_looks_like_the_code_of_a_refusal_does_not_hide_it() {
    for password in ["535", "5.7.8", "535 5.7.8", "-"] {
        let world = login().secret("account", stored(&[("username", USER), ("password", password)]));
        let talk = "-- greets, offering STARTTLS
            -- protects, offering AUTH PLAIN
            C: AUTH PLAIN *
            S: 535-5.7.8 Error: authentication failed
            S: 535 5.7.8 Sorry
            C: QUIT";
        let played = world.plays(talk).await;
        assert_eq!(played.as_written().report.login, Some(LoginOutcome::Refused), "{password}");
    }
}

#[tokio::test]
async fn where_no_password_was_judged_the_next_mechanism_is_tried() {
    for refusal in ["504 5.5.4 Unrecognized authentication type", "534 5.7.9 Authentication mechanism is too weak"] {
        let talk = format!(
            "-- greets, offering STARTTLS
            -- protects, offering AUTH PLAIN LOGIN
            C: AUTH PLAIN {}
            S: {refusal}
            C: AUTH LOGIN
            S: 334 VXNlcm5hbWU6
            C: cmVsYXlAbXgudGVzdA==
            S: 334 UGFzc3dvcmQ6
            C: VHIwdWI0ZG9yJjMtemVicmE=
            S: 235 2.7.0 Authentication successful",
            plain_response()
        );
        let played = login().plays(&talk).await;
        assert_eq!(played.verified().report.login, Some(LoginOutcome::Accepted));
        assert_eq!(played.log.iter().filter(|line| line.starts_with("gate: may")).count(), 1, "one question for all mechanisms");
    }
}

#[tokio::test]
async fn the_gate_is_asked_before_the_login_and_told_after_it() {
    for (reply, outcome) in [
        ("235 2.7.0 Authentication successful", "Accepted"),
        ("535 5.7.8 Error: authentication failed", "Refused"),
        ("454 4.7.0 Too many login attempts, please try again later", "TooMany"),
        ("454 4.7.0 Temporary authentication failure", "Undecided"),
        ("504 5.5.4 Unrecognized authentication type", "Undecided"),
    ] {
        let talk = format!("-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN\nC: AUTH PLAIN *\nS: {reply}");
        let played = login().plays(&talk).await;
        let from = played.log.iter().position(|line| line.starts_with("gate: ")).unwrap();
        let told = format!("gate: {outcome}");
        let asked = format!("gate: may {USER} log in at mx.test?");
        assert_eq!(played.log[from..from + 3], [asked, format!("C: AUTH PLAIN {}", plain_response()), told], "{reply}");
        assert_eq!(played.log.iter().filter(|line| line.ends_with(outcome)).count(), 1, "{reply}");
    }
}

#[tokio::test]
async fn the_gate_is_told_also_where_the_server_goes_or_is_silent() {
    for end in ["-- closes", "-- resets", "-- hangs"] {
        let talk = format!("TIME: 2s\n-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN\nC: AUTH PLAIN *\n{end}");
        let played = login().plays(&talk).await;
        assert_eq!(played.log.last().map(String::as_str), Some("gate: Undecided"), "{end}");
    }
}

#[tokio::test]
async fn the_gate_is_told_also_where_the_check_is_cut_short() {
    let talk = "-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN\nC: AUTH PLAIN *\n-- hangs";
    let world = login();
    let log = world.gate.log.clone();
    let check = tokio::spawn(async move { world.plays(talk).await.took });
    timeout(Duration::from_secs(20), log.heard("C: AUTH PLAIN *")).await.unwrap();
    check.abort();
    timeout(Duration::from_secs(20), log.heard("gate: Undecided")).await.unwrap();
}

#[tokio::test]
async fn a_gate_that_says_no_lets_no_login_out() {
    let mut world = login();
    world.gate.login = Some(Diagnosis::new(mailverity::api::Reason::CredentialHeld).detail("held"));
    let played = world.plays("-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN\nC: QUIT\nS: 221 Bye").await;
    assert_eq!(logins(&played.as_written().said()), 0);
    assert!(!played.log.iter().any(|line| line == "gate: Undecided"), "nothing was granted, so nothing is told");
}

#[tokio::test]
async fn a_password_is_not_shown_without_verified_tls() {
    let offers = "AUTH PLAIN LOGIN CRAM-MD5";
    let talk = format!(
        "-- greets, offering {offers}
        C: AUTH CRAM-MD5
        S: 334 PDE4OTYuNjk3MTcwOTUyQG14LnRlc3Q+
        C: *
        S: 235 2.7.0 Ok"
    );
    let played = plain().logging_in().plays(&talk).await;
    played.verified();
    assert!(!played.said().join("\n").contains(&plain_response()));

    let unverified = login().tls(|tls| {
        tls.ca_ref = None;
        tls.insecure_skip_verify = Some(true);
    });
    let talk = format!("-- greets, offering STARTTLS\n-- protects, offering {offers}\nC: AUTH CRAM-MD5\nS: 504 5.5.4 no");
    assert_eq!(logins(&unverified.plays(&talk).await.as_written().said()), 1);

    let allowed = plain().logging_in().mechanisms(&[Mechanism::Plain]).auth(|auth| auth.allow_plaintext = Some(true));
    allowed.plays("-- greets, offering AUTH PLAIN\n-- takes the login").await.verified();
}
