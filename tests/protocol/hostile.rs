//! Servers that break every rule: each ends in a clear reason, at the deadline or before, and costs next to nothing.

use std::time::Duration;

use futures::future::join_all;
use mailverity::{
    api::Reason::{ConnectionClosed, ProtocolError, ResponseTimedOut, WrongProtocol},
    mail::Stage::{Auth, Banner, Ehlo},
};

use crate::{
    rows::{Row, complaints, play, row},
    script::Script,
    world::{login, plain},
};

macro_rules! ten {
    ($text:expr) => {
        concat!($text, $text, $text, $text, $text, $text, $text, $text, $text, $text)
    };
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // No replies
    row(ProtocolError, Banner, "999 mx.test", plain, "S: 999 mx.test"),
    row(ProtocolError, Banner, "between 200 and 599", plain, "S: 199 mx.test"),
    row(ProtocolError, Banner, "hello there", plain, "S: hello there"),
    row(ProtocolError, Banner, "a space or a hyphen", plain, "S: 220_mx.test"),
    row(ProtocolError, Banner, "three digits", plain, "S:"),
    row(ProtocolError, Banner, "three digits", plain, r"S: 2\x002\x000"),
    row(ProtocolError, Banner, "three digits", plain, r"S: \xff\xfe\x00\xc3\x28 \x1b[2J"),
    row(ProtocolError, Banner, "three digits", plain, "S: ٢٢٠ ready"),
    row(ProtocolError, Banner, "all lines of a reply have one code", plain, "
        S: 220-mx.test
        S: 250 mx.test
    "),
    row(ProtocolError, Banner, "three digits", plain, "
        S: 220-mx.test
        S:
        S: 220 mx.test
    "),
    // Replies that nobody asked for
    row(ProtocolError, Ehlo, "it answered before it was asked", plain, "
        S: 220 mx.test
        S: 250 mx.test
    "),
    row(ProtocolError, Auth, "it answered before it was asked", login, "
        -- greets, offering STARTTLS
        C: STARTTLS
        S: 220 go
        -- TLS good
        C: EHLO *
        S: 250-mx.test
        S: 250 AUTH PLAIN
        S: 235 2.7.0 you are in, you need say nothing
    "),
    row(ProtocolError, Ehlo, "354", plain, "
        S: 220 mx.test
        C: EHLO *
        S: 354 go on
    "),
    // Too much
    row(ProtocolError, Banner, "the length of a line (over 8192 bytes)", plain, "-- repeats 10000000 times: x"),
    row(ProtocolError, Banner, "reasonable number of lines", plain, r"-- says ever again: 220-more\r\n"),
    row(ProtocolError, Ehlo, "reasonable number of lines", plain, r"
        S: 220 mx.test
        C: EHLO *
        -- repeats 100000 times: 250-SIZE\r\n
    "),
    row(ProtocolError, Ehlo, "over 256 KiB in one check", plain, concat!(r"
        S: 220 mx.test
        C: EHLO *
        -- says ever again: ", ten!(ten!(ten!("250-"))), r"\r\n")),
    row(ProtocolError, Auth, "asks for more than user name and password", login, r"
        -- greets, offering STARTTLS
        -- protects, offering AUTH LOGIN
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: *
        S: 334 UGFzc3dvcmQ6
        C: *
        S: 334 bW9yZQ==
        C: *
    "),
    // Too slow: each byte is progress, and still the deadline holds
    row(ResponseTimedOut, Banner, "did not end its line", plain, "TIME: 1s\n-- drips every 100ms: 220 mx.test takes all the time in the world"),
    row(ResponseTimedOut, Banner, "127.0.0.1", plain, "TIME: 1s\n-- drips every 100ms: 220-a\\r\\n220-b\\r\\n220-c\\r\\n220-d\\r\\n220-e\\r\\n"),
    // Nothing at all
    row(ConnectionClosed, Banner, "closed the connection", plain, "-- closes"),
    row(WrongProtocol, Banner, "HTTP", plain, "S: <!DOCTYPE html>"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_breaks_the_rules_is_told_which() {
    play(ROWS).await;
}

#[tokio::test]
async fn a_flood_is_turned_away_early() {
    for flood in [
        "-- repeats 10000000 times: x",
        r"-- says ever again: 220-more\r\n",
        "S: 220 mx.test\nC: EHLO *\n-- says ever again: 250-KEYWORD\\r\\n",
    ] {
        let played = plain().plays(flood).await;
        // What we took, and what the kernel's buffers on both sides held when we hung up.
        let said = played.heard[0].said;
        assert!(said < 8 << 20, "{said} bytes went out of {flood}");
        assert_eq!(played.failure().reason, ProtocolError, "{flood}");
    }
}

#[tokio::test]
async fn no_server_holds_a_check_beyond_its_deadline() {
    let talks = [
        "-- hangs",
        "-- says 220 mx.te\n-- hangs",
        "-- drips every 50ms: 220-a\\r\\n220-a\\r\\n220-a\\r\\n220-a\\r\\n220-a\\r\\n220-a\\r\\n220-a\\r\\n",
        "TCP: silence",
        "DNS: silence",
        "S: 220 mx.test\nC: EHLO *\nS: 250 mx.test\nC: QUIT\n-- hangs",
    ];
    let talks = talks.map(|talk| format!("TIME: 1s\n{talk}"));
    for (played, talk) in join_all(talks.iter().map(|talk| plain().plays(talk))).await.iter().zip(&talks) {
        assert!(played.report.duration < Duration::from_secs(3), "{:?} for {talk}", played.report.duration);
        assert!(played.took < Duration::from_secs(4), "{:?} for {talk}", played.took);
    }
}

#[tokio::test]
async fn a_server_that_says_no_goodbye_is_verified_all_the_same() {
    for end in ["-- hangs", "-- closes", "-- resets", "S: 500 what?", "S: 999"] {
        let talk = format!("S: 220 mx.test\nC: EHLO *\nS: 250 mx.test\nC: QUIT\n{end}");
        plain().plays(&talk).await.verified();
    }
}

/// The peak of this process's memory, in KiB, since it was last reset.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs alone in a process of its own: see the test below.
#[tokio::test(flavor = "current_thread")]
#[ignore = "measured by a_flood_costs_less_than_a_mebibyte"]
async fn measured_floods() {
    let floods = [
        "-- repeats 10000000 times: x",
        r"-- says ever again: 220-more\r\n",
        "S: 220 mx.test\nC: EHLO *\n-- repeats 100000 times: 250-KEYWORD and much more of it\\r\\n",
    ];
    for flood in floods {
        // Once to warm up what is built once: buffers of the runtime, the roots, the parser's tables.
        plain().plays(flood).await;
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = peak();
        for _ in 0..3 {
            let played = plain().plays(flood).await;
            assert!(complaints(played.failure()).is_empty());
        }
        let grown = peak() - before;
        assert!(grown < 1024, "{grown} KiB for {flood}");
    }
}

#[test]
fn a_flood_costs_less_than_a_mebibyte() {
    let itself = std::env::current_exe().unwrap();
    let measured = ["--exact", "hostile::measured_floods", "--ignored", "--test-threads=1"];
    let output = std::process::Command::new(itself).args(measured).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_conversations_are_as_hostile_as_they_look() {
    let script = Script::read("-- repeats 10000000 times: x");
    assert_eq!(script.steps, [crate::script::Step::Repeat(b"x".to_vec(), 10_000_000)]);
}
