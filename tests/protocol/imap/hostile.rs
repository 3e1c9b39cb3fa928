//! Servers that break every rule: each ends in a clear reason, at the deadline or before.

use std::time::Instant;

use mailverity::{
    api::Reason::{ConnectionClosed, ProtocolError, ResponseTimedOut, ServerBusy},
    mail::{
        Stage,
        mailbox::{Mailbox, Mark},
    },
};

use super::{Played, mailbox};
use crate::world::CODE;

#[tokio::test]
async fn a_hostile_server_ends_in_a_clear_reason() {
    for (reason, stage, words, talk) in [
        (ResponseTimedOut, Stage::Greeting, "said nothing", "TIME: 300ms\n -- hangs"),
        (
            ResponseTimedOut,
            Stage::Greeting,
            "did not end its line",
            "TIME: 300ms\n -- drips every 20ms: * OK ready for a very long time",
        ),
        (ConnectionClosed, Stage::Greeting, "closed", "-- closes"),
        (ProtocolError, Stage::Greeting, "length of a line", "-- repeats 10000000 times: x"),
        (ProtocolError, Stage::Greeting, "4294967296", "S: * LIST {4294967296}"),
        (ProtocolError, Stage::Greeting, "a literal", "S: * LIST {99999999999999999999999999}"),
    ] {
        let failure = Played::start(talk).await.logs_in().await.err().unwrap();
        assert_eq!((failure.reason, failure.stage), (reason, Some(stage)), "{talk}: {failure}");
        assert!(failure.message().contains(words), "{failure}");
    }
}

#[tokio::test]
async fn a_hostile_answer_to_a_look_ends_in_a_clear_reason() {
    let asked = "C: a4 NOOP\n S: * 6 EXISTS\n S: a4 OK done\n C: a5 UID FETCH 21:* *\n";
    for (reason, words, answer) in [
        (ProtocolError, "a literal of 4294967295 bytes", r"S: * 6 FETCH (UID 21 BODY[HEADER.FIELDS (SUBJECT)] {4294967295}"),
        (ProtocolError, "a literal of 65537 bytes", r"S: * 6 FETCH (UID 21 BODY[HEADER.FIELDS (SUBJECT)] {65537}"),
        (ProtocolError, "over 256 KiB", r"-- repeats 1000000 times: * 6 FETCH (UID 21 FLAGS ())\r\n"),
        (ProtocolError, "every measure: a literal", r"-- says ever again: * 6 FETCH (UID 21 X {2000}\r\n"),
        (ProtocolError, "tag", "S: a4 OK done"),
        (ProtocolError, "tag", "S: b5 OK done"),
        (ProtocolError, "asked for more", "S: + more?"),
        (ProtocolError, "syntax", r"S: \xff\xfe"),
        (ProtocolError, "BAD", "S: a5 BAD no"),
        (ServerBusy, "NO", "S: a5 NO cannot"),
        (ServerBusy, "BYE [UNAVAILABLE]", "S: * BYE [UNAVAILABLE] shutting down\n -- closes"),
        (ConnectionClosed, "BYE good night", "S: * BYE good night\n -- closes"),
        (ConnectionClosed, "closed", "-- closes"),
    ] {
        let begun = Instant::now();
        let (_played, mut mailbox) = mailbox(&format!("{asked} {answer}")).await;
        let failure = mailbox.look(&Mark::Imap { validity: 9, next: 21 }, &[CODE]).await.unwrap_err();
        assert_eq!((failure.reason, failure.stage), (reason, Some(Stage::Fetch)), "{answer}: {failure}");
        assert!(failure.message().contains(words), "{failure}");
        assert!(begun.elapsed().as_secs() < 12, "{answer}");
    }
}

#[tokio::test]
async fn silence_in_a_look_ends_at_the_deadline() {
    let (_played, mut mailbox) = mailbox("TIME: 800ms\n C: a4 NOOP\n -- hangs").await;
    let failure = mailbox.look(&Mark::Imap { validity: 9, next: 21 }, &[CODE]).await.unwrap_err();
    assert_eq!((failure.reason, failure.stage), (ResponseTimedOut, Some(Stage::Fetch)));
}
