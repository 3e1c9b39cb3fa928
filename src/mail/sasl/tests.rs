use proptest::prelude::*;

use super::*;

fn login<'a>(user: &'a str, secret: &'a SecretString) -> Login<'a> {
    Login { user, secret, host: "server.example.com", port: 587 }
}

fn exchange(mechanism: Mechanism, user: &str, secret: &str) -> Result<Exchange, SaslError> {
    Exchange::new(mechanism, &login(user, &SecretString::from(secret)))
}

fn bytes(response: &Response) -> &[u8] {
    response.expose_secret()
}

#[test]
fn plain_is_as_in_rfc_4616() {
    let mut plain = exchange(Mechanism::Plain, "tim", "tanstaaftanstaaf").unwrap();
    assert_eq!(bytes(&plain.initial().unwrap()), b"\0tim\0tanstaaftanstaaf");
    assert_eq!(encode(&plain.initial().unwrap()).expose_secret(), "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
    // A server without initial responses asks once, and not twice.
    assert_eq!(bytes(&plain.answer("").unwrap()), b"\0tim\0tanstaaftanstaaf");
    assert!(plain.answer("").is_err());
}

#[test]
fn login_answers_by_step_whatever_the_prompts_say() {
    for prompts in [["VXNlcm5hbWU6", "UGFzc3dvcmQ6"], ["VXNlciBOYW1lAA==", "UGFzc3dvcmQA"], ["Username:", "Password:"], ["", ""]]
    {
        let mut login = exchange(Mechanism::Login, "CORP\\ann", "pa\0ss wörd").unwrap();
        assert!(login.initial().is_none());
        assert_eq!(bytes(&login.answer(prompts[0]).unwrap()), b"CORP\\ann");
        assert_eq!(bytes(&login.answer(prompts[1]).unwrap()), "pa\0ss wörd".as_bytes());
        assert!(login.answer("").is_err(), "a third prompt");
    }
}

#[test]
fn cram_md5_is_as_in_rfc_2195() {
    let mut cram = exchange(Mechanism::CramMd5, "tim", "tanstaaftanstaaf").unwrap();
    assert!(cram.initial().is_none());
    let answer = cram.answer("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+").unwrap();
    assert_eq!(encode(&answer).expose_secret(), "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
    assert!(cram.answer("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+").is_err(), "asked again");
    assert!(exchange(Mechanism::CramMd5, "tim", "x").unwrap().answer("").is_err(), "an empty challenge");
    assert!(exchange(Mechanism::CramMd5, "tim", "x").unwrap().answer("not base64!").is_err());
}

#[test]
fn ntlm_forgives_a_first_challenge_in_plain_words() {
    let mut ntlm = exchange(Mechanism::Ntlm, "CORP\\ann", "x").unwrap();
    assert!(ntlm.initial().is_none());
    assert!(bytes(&ntlm.answer("NTLM supported").unwrap()).starts_with(b"NTLMSSP\0\x01"));
    assert!(ntlm.answer("NTLM supported").is_err());
}

#[test]
fn xoauth2_is_as_google_writes_it_and_tells_a_refusal() {
    let mut oauth =
        exchange(Mechanism::XOAuth2, "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg").unwrap();
    assert_eq!(
        encode(&oauth.initial().unwrap()).expose_secret(),
        "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
    );
    assert_eq!(oauth.error_detail(), None);
    let refusal = oauth
        .answer("eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIG1hYyIsInNjb3BlIjoiaHR0cHM6Ly9tYWlsLmdvb2dsZS5jb20vIn0K")
        .unwrap();
    assert_eq!(bytes(&refusal), b"");
    assert_eq!(oauth.error_detail(), Some("status 401, schemes bearer mac, scope https://mail.google.com/"));
}

#[test]
fn oauthbearer_is_as_in_rfc_7628_and_answers_a_refusal_with_a_control_a() {
    let mut oauth = exchange(Mechanism::OAuthBearer, "us=er,@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==").unwrap();
    assert_eq!(
        bytes(&oauth.initial().unwrap()),
        b"n,a=us=3Der=2C@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    );
    assert_eq!(bytes(&oauth.respond(br#"{"status":"invalid_token","scope":"example_scope"}"#).unwrap()), b"\x01");
    assert_eq!(oauth.error_detail(), Some("status invalid_token, scope example_scope"));
    let mut oauth = exchange(Mechanism::OAuthBearer, "u", "t").unwrap();
    oauth.respond(b"\x1b[31mno json\0").unwrap();
    assert_eq!(oauth.error_detail(), Some("[31mno json"));
}

#[test]
fn what_a_mechanism_cannot_carry_is_said_before_anything_is_sent() {
    for (mechanism, user, secret) in [
        (Mechanism::Plain, "a\0b", "x"),
        (Mechanism::Plain, "a", "x\0y"),
        (Mechanism::XOAuth2, "a\x01auth=x", "x"),
        (Mechanism::XOAuth2, "a", "x\x01y"),
        (Mechanism::OAuthBearer, "a", "x\x01y"),
    ] {
        let found = exchange(mechanism, user, secret).unwrap_err().diagnosis();
        assert_eq!(found.reason, Reason::SecretInvalid);
        let hint = found.fact("key", "password").fact("secret", "mail/relay").hint();
        assert!(hint.starts_with("Key password of Secret mail/relay holds a"), "{hint}");
    }
    assert!(exchange(Mechanism::Ntlm, "a", &"x".repeat(5000)).is_err());
    assert!(matches!(exchange(Mechanism::Auto, "a", "x"), Err(SaslError::NoMechanism("Auto"))));
    assert!(matches!(exchange(Mechanism::Apop, "a", "x"), Err(SaslError::NoMechanism("APOP"))));
}

#[test]
fn a_server_that_asks_without_end_or_too_long_is_cut_off() {
    let mut oauth = exchange(Mechanism::XOAuth2, "u", "t").unwrap();
    assert!((0..10).any(|_| oauth.answer("e30=").is_err()));
    let mut cram = exchange(Mechanism::CramMd5, "u", "t").unwrap();
    assert!(cram.respond(&vec![b'x'; CHALLENGE + 1]).is_err());
    assert_eq!(decode(&"A".repeat(CHALLENGE * 2)), None);
}

#[test]
fn debug_output_shows_no_secret() {
    let secret = SecretString::from("hunter2-hunter2");
    let plain = Exchange::new(Mechanism::Plain, &login("ann", &secret)).unwrap();
    let shown = format!("{plain:?} {:?} {:?} {:?}", plain.initial(), login("ann", &secret), Redaction::of("ann", &secret));
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    #[test]
    fn no_challenge_panics(texts in proptest::collection::vec("\\PC{0,60}", 1..6), mechanism in 0usize..6) {
        let all = [
            Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::Ntlm, Mechanism::XOAuth2, Mechanism::OAuthBearer,
        ];
        let mut exchange = exchange(all[mechanism], "user", "secret").unwrap();
        for text in texts {
            let _ = exchange.answer(&text);
        }
    }
}
