//! Promises 12, 13 and 15: how we speak first (we do not), as whom, what of a server's words is believed and shown, and
//! which address of ours is told.

use base64::{Engine, engine::general_purpose::STANDARD};
use mailverity::{api::Reason, api::v1alpha1::Mechanism, mail::diagnosis::WORDS};

use crate::world::{PASSWORD, USER, World, login, plain, starttls};

// Promise 12

#[tokio::test]
async fn ehlo_is_said_by_helo_name_or_the_senders_domain_or_an_address_literal() {
    let greeted_as = |name: &str| format!("S: 220 mx.test ESMTP\nC: EHLO {name}\nS: 250 mx.test");
    let named = |name: &str| plain().edit(|spec| spec.helo_name = Some(name.to_owned()));
    let from = |address: &str| plain().edit(|spec| spec.sender.as_mut().unwrap().address = address.to_owned());
    for (world, name) in [
        (named("mail.example.com"), "mail.example.com"),
        (plain(), "sender.test"),
        (plain().edit(|spec| spec.sender = None), "[127.0.0.1]"),
        (from("checks@localhost"), "[127.0.0.1]"),
        (from("checks@prüfung.test"), "[127.0.0.1]"),
        (named("localhost"), "[127.0.0.1]"),
    ] {
        let played = world.plays(&greeted_as(name)).await;
        assert_eq!(played.verified().report.helo.as_deref(), Some(name));
    }
    let over_ipv6 = plain().edit(|spec| spec.sender = None);
    over_ipv6.plays(&format!("DNS: AAAA ::1\n{}", greeted_as("[IPv6:::1]"))).await.verified();
}

#[tokio::test]
async fn a_greeting_delay_is_no_failure_and_sees_no_early_byte() {
    for delay in ["300ms", "10s"] {
        let talk = format!("TIME: 60s\n-- waits {delay}\n-- greets, offering nothing");
        let played = plain().plays(&talk).await;
        assert_eq!(played.verified().heard[0].connections, 1, "{delay}");
    }
}

#[tokio::test]
async fn a_greeting_of_many_lines_is_waited_for_to_its_end() {
    let talk = "
        S: 220-mx.test ESMTP
        -- waits 300ms
        S: 220-no spam please
        -- waits 300ms
        S: 220 ready
        C: EHLO *
        S: 250 mx.test
    ";
    let report = plain().plays(talk).await;
    let banner = report.verified().report.capabilities.as_ref().unwrap().banner.clone();
    assert_eq!(banner.as_deref(), Some("mx.test ESMTP no spam please ready"));
}

#[tokio::test]
async fn a_port_that_does_not_greet_is_asked_for_tls_once_and_on_a_connection_of_its_own() {
    let talk = "TIME: 1s\n-- hangs";
    let played = starttls().plays(talk).await;
    assert_eq!((played.failure().reason, played.heard[0].connections), (Reason::ResponseTimedOut, 2));
    assert!(played.report.tls_hello, "it is told, so that it is not done again in this generation");
    let played = World { may_greet_with_tls: false, ..starttls() }.plays(talk).await;
    assert_eq!((played.failure().reason, played.heard[0].connections), (Reason::ResponseTimedOut, 1));
}

#[tokio::test]
async fn a_port_that_has_begun_to_greet_is_not_asked_for_tls() {
    for begun in ["220 mx.te", "220-mx.test\\r\\n"] {
        let played = starttls().plays(&format!("TIME: 1s\n-- says {begun}\n-- hangs")).await;
        assert_eq!((played.failure().reason, played.heard[0].connections), (Reason::ResponseTimedOut, 1), "{begun}");
    }
}

#[tokio::test]
async fn a_late_greeting_counts_although_a_tls_hello_was_tried() {
    let talk = "
        TIME: 4s
        -- waits 2500ms
        -- greets, offering nothing
    ";
    let played = plain().plays(talk).await;
    assert!(played.report.failure.is_none(), "{}", played.report.message());
}

#[tokio::test]
async fn where_ehlo_is_refused_helo_is_said_and_nothing_is_offered() {
    let talk = "
        S: 220 mx.test
        C: EHLO sender.test
        S: 500 5.5.1 Command unrecognized
        C: HELO sender.test
        S: 250 mx.test Hello [192.0.2.7]
    ";
    let played = plain().plays(talk).await;
    assert_eq!(played.verified().report.observed_ip.as_deref(), Some("192.0.2.7"));
    assert!(played.report.capabilities.as_ref().unwrap().extensions.is_empty());
}

#[tokio::test]
async fn a_server_that_hangs_up_after_a_refused_ehlo_is_told_by_its_words() {
    let talk = "S: 220 mx.test\nC: EHLO *\nS: 554 5.7.1 Go away\n-- closes";
    let played = plain().plays(talk).await;
    assert_eq!(played.failure().message(), "EHLO: 554 5.7.1 Go away");
}

#[tokio::test]
async fn a_message_is_the_same_from_check_to_check() {
    let talk = |time: &str, end: &str| format!("TIME: {time}\n{end}");
    for end in [
        "-- hangs",
        "-- says 220 mx.te\n-- hangs",
        "TCP: silence",
        "DNS: silence",
        "-- greets, offering STARTTLS\nC: STARTTLS\nS: 220 go\n-- hangs",
    ] {
        let mut told = Vec::new();
        for time in ["700ms", "1300ms"] {
            let played = starttls().plays(&talk(time, end)).await;
            let failure = played.failure();
            // Ports differ from player to player.
            let port = failure.get("port").unwrap().to_owned();
            told.push(failure.message().replace(&port, "port"));
        }
        assert_eq!(told[0], told[1], "{end}");
    }
}

#[tokio::test]
async fn a_command_waits_for_the_reply_to_the_one_before() {
    let talk = "
        S: 220 mx.test
        C: EHLO *
        -- waits 300ms
        S: 250-mx.test
        -- waits 300ms
        S: 250 SIZE
        C: QUIT
        S: 221 Bye
    ";
    plain().plays(talk).await.verified();
}

// Promise 15

#[tokio::test]
async fn our_address_is_our_sockets_and_another_only_where_the_server_said_so() {
    for (reply, observed) in [
        ("250 mx.test", None),
        ("250 mx.test Hello checks.sender.test", None),
        ("250 mx.test Hello checks.sender.test [203.0.113.9], pleased to meet you", Some("203.0.113.9")),
        ("250 mx.test Hello [IPv6:2001:db8::9]", Some("2001:db8::9")),
    ] {
        let played = plain().plays(&format!("S: 220 mx.test ESMTP\nC: EHLO *\nS: {reply}")).await;
        let report = &played.verified().report;
        assert_eq!((report.source_ip.as_deref(), report.observed_ip.as_deref()), (Some("127.0.0.1"), observed), "{reply}");
    }
}

// Promise 13

#[tokio::test]
async fn what_is_offered_before_tls_does_not_count_after_it() {
    let talk = "
        -- greets, offering STARTTLS, AUTH PLAIN LOGIN, SIZE 100, X-INJECTED
        -- protects, offering AUTH CRAM-MD5
    ";
    let played = login().mechanisms(&[Mechanism::Plain]).plays(talk).await;
    let capabilities = played.report.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.auth_mechanisms, ["CRAM-MD5"]);
    assert_eq!(capabilities.extensions, ["AUTH CRAM-MD5"]);
    assert_eq!(capabilities.max_size, None);
    assert_eq!(played.as_written().failure().reason, Reason::AuthMechanismNotOffered);
}

#[tokio::test]
async fn a_login_offered_only_before_tls_is_not_used() {
    let played = login().plays("-- greets, offering STARTTLS, AUTH PLAIN\n-- protects, offering SIZE").await;
    assert_eq!(played.as_written().failure().reason, Reason::AuthNotOffered);
}

#[tokio::test]
async fn plain_text_behind_the_reply_to_starttls_is_never_answered() {
    let talk = "
        -- greets, offering STARTTLS
        C: STARTTLS
        S: 220 2.0.0 Ready to start TLS
        S: 250-mx.test
        S: 250 AUTH PLAIN
        -- sees a TLS hello
    ";
    let played = login().plays(talk).await;
    assert_eq!(played.failure().reason, Reason::StartTLSInjection);
    assert_eq!(played.said().last(), Some(&"STARTTLS"), "nothing was said after it");
}

#[tokio::test]
async fn a_server_that_echoes_the_password_is_scrubbed() {
    let echoes = [
        PASSWORD.to_owned(),
        PASSWORD.to_uppercase(),
        STANDARD.encode(PASSWORD),
        STANDARD.encode(format!("\0{USER}\0{PASSWORD}")),
        STANDARD.encode(format!("\0{USER}\0{PASSWORD}")).trim_end_matches('=').to_owned(),
        STANDARD.encode(format!("x{PASSWORD}")),
        STANDARD.encode(format!("xy{PASSWORD}")),
    ];
    for echo in &echoes {
        for code in ["535 5.7.8", "250", "999", "334"] {
            let talk = format!(
                "-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN\nC: AUTH PLAIN *\nS: {code} what is {echo} to me?"
            );
            let played = login().plays(&talk).await;
            shows_no_secret(&format!("{:?}", played.report), echo);
            shows_no_secret(&serde_json::to_string(&played.report).unwrap(), echo);
            if let Some(failure) = &played.report.failure {
                shows_no_secret(&format!("{failure} {}", failure.hint()), echo);
            }
        }
    }
}

/// Neither the echo as a whole nor any half of it.
fn shows_no_secret(text: &str, echo: &str) {
    for part in [echo, &echo[..echo.len() / 2], &echo[echo.len() / 2..]] {
        assert!(!text.contains(part), "{part} of {echo} is in {text}");
    }
    assert!(!text.contains(PASSWORD) && !text.contains(&PASSWORD[..10]), "{text}");
}

#[tokio::test]
async fn the_password_is_scrubbed_from_what_is_said_long_after_the_login() {
    let talk = format!(
        "-- greets, offering STARTTLS
        -- protects, offering AUTH PLAIN
        -- takes the login
        C: MAIL FROM:*
        S: 550 5.1.8 I remember {PASSWORD} and {}",
        STANDARD.encode(PASSWORD)
    );
    let played = login().delivering().plays(&talk).await;
    let words = played.as_written().failure().words.clone().unwrap();
    assert!(words.starts_with("550 5.1.8 I remember [redacted] and [redacted]"), "{words}");
}

#[tokio::test]
async fn a_challenge_that_names_the_users_domain_is_answered_as_it_came() {
    use hmac::{Hmac, Mac};
    // In base64 its end reads as a part of the message of PLAIN does: words are scrubbed of that, challenges are not.
    let challenge = "<1896.697170952@mx.test>";
    let mut mac = Hmac::<md5::Md5>::new_from_slice(PASSWORD.as_bytes()).unwrap();
    mac.update(challenge.as_bytes());
    let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let talk = format!(
        "-- greets, offering STARTTLS
        -- protects, offering AUTH CRAM-MD5
        C: AUTH CRAM-MD5
        S: 334 {}
        C: {}
        S: 235 2.7.0 Ok",
        STANDARD.encode(challenge),
        STANDARD.encode(format!("{USER} {digest}"))
    );
    login().plays(&talk).await.verified();
}

#[tokio::test]
async fn a_proof_of_the_password_is_scrubbed_where_it_comes_back() {
    use hmac::{Hmac, Mac};
    let challenge = "<1896.697170952@mx.test>";
    let mut mac = Hmac::<md5::Md5>::new_from_slice(PASSWORD.as_bytes()).unwrap();
    mac.update(challenge.as_bytes());
    let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let sent = STANDARD.encode(format!("{USER} {digest}"));
    for echo in [&digest, &digest.to_uppercase(), &sent, &sent[..sent.len() - 9], &sent[36..]] {
        let talk = format!(
            "-- greets, offering STARTTLS
            -- protects, offering AUTH CRAM-MD5
            C: AUTH CRAM-MD5
            S: 334 {}
            C: *
            S: 535 5.7.8 {USER} said {echo}",
            STANDARD.encode(challenge)
        );
        let words = login().plays(&talk).await.failure().words.clone().unwrap();
        assert!(words.starts_with(&format!("535 5.7.8 {USER} said")), "{words}");
        assert!(words.trim_end_matches('=').ends_with("[redacted]") && !words.contains(&digest[..8]), "{words}");
    }
}

#[tokio::test]
async fn a_proof_of_ntlm_is_scrubbed_where_it_comes_back() {
    // The CHALLENGE message of [MS-NLMP] section 4.2.4.3, which the answer is made for; the server repeats the answer's end.
    let challenge = "TlRMTVNTUAACAAAADAAMADgAAAAzgoriASNFZ4mrze8AAAAAAAAAACQAJABEAAAABgBwFwAAAA9TAGUAcgB2AGUAcgACAAwARABvAG0AYQBpAG4AAQAMAFMAZQByAHYAZQByAAAAAAA=";
    let talk = format!(
        "-- greets, offering STARTTLS
        -- protects, offering AUTH NTLM
        C: AUTH NTLM
        S: 334 NTLM supported
        C: *
        S: 334 {challenge}
        -- throws back, behind 535 5.7.8 you said"
    );
    let played = login().mechanisms(&[Mechanism::Ntlm]).plays(&talk).await;
    let words = played.failure().words.clone().unwrap();
    assert_eq!(words, "535 5.7.8 you said T[redacted]=");
}

#[tokio::test]
async fn words_are_printable_and_cut() {
    let talk = format!(r"S: 554 5.7.1 \x1b[31mgo\x00 away\x07 \xe2\x80\xae{}", "x".repeat(2000));
    let played = plain().plays(&talk).await;
    let words = played.failure().words.clone().unwrap();
    assert!(words.starts_with("554 5.7.1 [31mgo away x"), "{words}");
    assert_eq!(words.chars().count(), WORDS);
    assert!(played.report.stages.iter().all(|stage| stage.detail.as_ref().is_none_or(|detail| detail.chars().count() <= 128)));
}
