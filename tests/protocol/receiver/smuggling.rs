//! Mails within mails (CVE-2023-51764 and its kin): what another server may take for the end of a mail ends nothing here, and
//! whoever sends it is refused.

use std::time::Duration;

use mailverity::receiver::Outcome;

use super::{Client, HONEST, receiver};

const FALSE_ENDS: &[&str] = &[
    r"\n.\n",
    r"\n.\r\n",
    r"\r\n.\n",
    r"\r.\r",
    r"\r.\r\n",
    r"\r\n.\r",
    r"\n\n.\r\n",
    r"\r\n.\n\r\n",
    r"\r\n\x00.\r\n",
    r"\r\n.\x00\r\n",
    r"\r\n.\r\r\n",
    r"\r\r\n.\r\n",
];

#[tokio::test]
async fn a_mail_within_a_mail_is_refused_with_its_carrier() {
    let world = receiver(|_| ()).await;
    for (n, end) in FALSE_ENDS.iter().enumerate() {
        // In one packet and in single octets: what matters are the octets, not how they come.
        for pause in [false, true] {
            let mut client = Client::connect(world.running.address).await;
            client
                .plays("S: 220 *\nC: HELO a.test\nC: MAIL FROM:<a@b.test>\nC: RCPT TO:<notify@example.org>\nC: DATA\nS: 250 *\nS: 250 *\nS: 250 *\nS: 354 *")
                .await;
            let smuggled =
                r"MAIL FROM:<admin@example.org>\r\nRCPT TO:<notify@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n";
            let whole = crate::script::unescape(&format!(r"Subject: carrier\r\n\r\nx{end}{smuggled}"));
            if pause {
                for octet in &whole {
                    client.sends(&[*octet]).await;
                    tokio::task::yield_now().await;
                }
            } else {
                client.sends(&whole).await;
            }
            let reply = client.line().await;
            assert!(reply.starts_with("550 5.5.2 ") || reply == "(reset)" || reply.is_empty(), "{reply} to {end}");
            client.closed().await;
            // The client may be gone before it is counted.
            let wanted = u64::try_from(n * 2 + 1 + usize::from(pause)).unwrap();
            while world.counters.get(Outcome::Malformed) < wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    assert!(world.mails().is_empty(), "{:?}", world.mails());
    world.plays(HONEST).await;
}

#[tokio::test]
async fn commands_with_half_line_ends_are_refused_too() {
    let world = receiver(|_| ()).await;
    for command in [r"NOOP\nNOOP\r\n", r"NOOP\rNOOP\r\n", r"NOOP\x00\r\n", r"EHLO a\n", r"\n"] {
        world.plays(&format!("S: 220 *\nC> {command}\nS: 521 5.5.2 *\n-- closed")).await;
    }
}

#[tokio::test]
async fn chunks_hold_no_half_line_ends_either() {
    let world = receiver(|_| ()).await;
    for (size, text) in [(6, r"a\nb\r\n"), (6, r"a\rb\r\n"), (4, r"a\x00\r\n"), (2, r"a\r")] {
        world
            .plays(&format!(
                "S: 220 *\nC: HELO a.test\nC: MAIL FROM:<a@b.test>\nC: RCPT TO:<notify@example.org>\nC: BDAT {size} LAST\nC> {text}
                 S: 250 *\nS: 250 *\nS: 250 *\nS: 550 5.5.2 *\n-- closed"
            ))
            .await;
    }
    assert!(world.mails().is_empty());
}

#[tokio::test]
async fn other_protocols_are_sent_away_at_their_first_line() {
    let world = receiver(|_| ()).await;
    for line in ["GET / HTTP/1.1", "POST /x HTTP/1.1", "Host: example.org", r"\x16\x03\x01", "{"] {
        world.plays(&format!("S: 220 *\nC: {line}\nS: 521 5.5.1 *\n-- closed")).await;
    }
}
