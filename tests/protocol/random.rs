//! Whatever bytes a server says, and wherever: the check ends in time, and what it tells is fit to be seen.

use std::{sync::LazyLock, time::Duration};

use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::{
    rows::complaints,
    world::{PASSWORD, World, deliver, implicit, login, starttls},
};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// The time of a check that may have to wait for more: each case costs as much at most.
const TIME: Duration = Duration::from_millis(250);

/// Bytes that look like replies more often than noise does.
fn replies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..40),
        3 => "[2-5][0-9]{2}[ -][ -~]{0,30}\r\n".prop_map(String::into_bytes),
        2 => "[2-5][0-9]{2}[ -][0-9]\\.[0-9]\\.[0-9]{1,3} \\PC{0,30}\r\n".prop_map(String::into_bytes),
        1 => Just(format!("334 {PASSWORD}\r\n").into_bytes()),
        1 => Just(b"250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"\xe2\x80\xae\x1b[2J\x00".to_vec()),
    ];
    proptest::collection::vec(piece, 1..12)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("a server that says nothing is no news", |bytes| !bytes.is_empty())
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Plays bytes at some place in a conversation, and judges what is told of them.
fn judge(world: World, before: &str, bytes: &[u8], after: &str) -> Result<(), TestCaseError> {
    let talk = format!("TIME: {}ms\n{before}\n-- says {}\n{after}", TIME.as_millis(), escaped(bytes));
    let has_password = world.spec.auth.is_some();
    let played = RUNTIME.block_on(world.plays(&talk));
    // Far more than the deadline, for machines that are busy with something else.
    prop_assert!(played.took < Duration::from_secs(5), "took {:?}", played.took);
    let json = serde_json::to_string(&played.report).unwrap();
    prop_assert!(!has_password || !json.contains(PASSWORD), "{json}");
    for failure in played.report.failure.iter().chain(&played.report.primary_failure) {
        let wrong = complaints(failure);
        prop_assert!(wrong.is_empty(), "{wrong:?}: {failure}");
    }
    let told = played.report.stages.iter().filter_map(|stage| stage.detail.as_ref());
    for detail in told {
        prop_assert!(!detail.chars().any(char::is_control), "{detail:?}");
    }
    Ok(())
}

/// A place in a conversation: what the user wrote, and what was said before.
fn place() -> impl Strategy<Value = (fn() -> World, &'static str)> {
    const IN_TLS: &str = "-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN LOGIN CRAM-MD5 NTLM";
    prop_oneof![
        Just((starttls as fn() -> World, "")),
        Just((starttls as fn() -> World, "S: 220 mx.test\nC: EHLO *")),
        Just((starttls as fn() -> World, "-- greets, offering STARTTLS\nC: STARTTLS")),
        Just((starttls as fn() -> World, "-- greets, offering STARTTLS\nC: STARTTLS\nS: 220 go\n-- sees a TLS hello")),
        Just((implicit as fn() -> World, "-- sees a TLS hello")),
        Just((implicit as fn() -> World, "-- TLS good")),
        Just((login as fn() -> World, IN_TLS)),
        Just((login as fn() -> World, "-- greets, offering STARTTLS\n-- protects, offering AUTH LOGIN\nC: AUTH LOGIN")),
        Just((login as fn() -> World, "-- greets, offering STARTTLS\n-- protects, offering AUTH NTLM\nC: AUTH NTLM")),
        Just((login as fn() -> World, "-- greets, offering STARTTLS\n-- protects, offering AUTH CRAM-MD5\nC: AUTH CRAM-MD5")),
        Just((deliver as fn() -> World, "-- greets, offering SIZE, DSN\nC: MAIL FROM:*")),
        Just((deliver as fn() -> World, "-- greets, offering nothing\n-- takes sender and recipient\nC: DATA")),
        Just((
            deliver as fn() -> World,
            "-- greets, offering nothing\n-- takes sender and recipient\n-- takes the mail, up to the dot"
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_server_says_the_check_ends_in_time_and_tells_what_is_fit_to_be_seen(
        (world, before) in place(),
        bytes in replies(),
        closes in any::<bool>(),
    ) {
        judge(world(), before, &bytes, if closes { "-- closes" } else { "" })?;
    }
}
