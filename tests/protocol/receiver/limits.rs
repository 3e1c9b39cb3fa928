//! What one client may take, and who may come in at all.

use std::time::Duration;

use mailverity::receiver::{Limits, Outcome, Site};
use tokio::net::TcpSocket;

use super::{Client, HONEST, receiver, rules, site};

const BEGUN: &str = "S: 220 *\nC: HELO a.test\nC: MAIL FROM:<>\nS: 250 *\nS: 250 *";

#[tokio::test]
async fn more_recipients_have_to_wait_and_the_mail_goes_to_the_others() {
    let world = receiver(|options| options.limits.recipients = 2).await;
    world
        .plays(&format!(
            "{BEGUN}
            C: RCPT TO:<notify+1@example.org>
            C: RCPT TO:<notify+2@example.org>
            C: RCPT TO:<notify+3@example.org>
            C: DATA
            S: 250 *
            S: 250 *
            S: 452 4.5.3 *
            S: 354 *
            C: .
            S: 250 *"
        ))
        .await;
    assert_eq!(world.mails()[0].envelope.to.len(), 2);
}

#[tokio::test]
async fn too_many_errors_or_commands_end_the_conversation() {
    let world = receiver(|options| options.limits = Limits { refusals: 3, commands: 10, ..Limits::default() }).await;
    let errors = "C: FOO\nS: 500 *\n".repeat(3);
    world.plays(&format!("S: 220 *\n{errors}C: FOO\nS: 421 4.7.0 *\n-- closed")).await;
    let commands = "C: NOOP\nS: 250 *\n".repeat(10);
    world.plays(&format!("S: 220 *\n{commands}C: NOOP\nS: 421 4.7.0 *\n-- closed")).await;
    assert_eq!(world.counters.get(Outcome::Abuse), 2);
}

#[tokio::test]
async fn a_line_has_a_bound() {
    let world = receiver(|options| options.limits = Limits { text_line: 100, ..Limits::default() }).await;
    let long = "x".repeat(3000);
    world.plays(&format!("S: 220 *\nC: NOOP {long}\nS: 500 5.5.2 *\n-- closed")).await;
    world.plays(&format!("S: 220 *\nC> NOOP {long}\nS: 500 5.5.2 *\n-- closed")).await;
    world
        .plays(&format!("{BEGUN}\nC: RCPT TO:<notify@example.org>\nC: DATA\nS: 250 *\nS: 354 *\nC: {long}\nC: .\nS: 550 5.6.0 *\nC: NOOP\nS: 250 *"))
        .await;
}

#[tokio::test]
async fn who_is_too_slow_is_sent_away() {
    let slow =
        Limits { command_timeout: Duration::from_millis(50), data_timeout: Duration::from_millis(50), ..Limits::default() };
    let world = receiver(|options| options.limits = slow).await;
    world.plays("S: 220 *\nS: 421 4.4.2 *\n-- closed").await;
    world.plays("S: 220 *\nC> EHL\nS: 421 4.4.2 *\n-- closed").await;
    let mut client = Client::connect(world.running.address).await;
    client
        .plays(&format!(
            "{BEGUN}\nC: RCPT TO:<notify@example.org>\nC: DATA\nS: 250 *\nS: 354 *\nC> Subject\nS: 421 4.4.2 *\n-- closed"
        ))
        .await;
    assert_eq!(world.counters.get(Outcome::Cut), 1);
    // An octet now and then is no progress.
    let mut client = Client::connect(world.running.address).await;
    client.plays("S: 220 *").await;
    let drip = async {
        loop {
            client.sends(b"N").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            if let Ok(line) = tokio::time::timeout(Duration::from_millis(1), client.line()).await {
                return line;
            }
        }
    };
    let reply = tokio::time::timeout(super::PATIENCE, drip).await.unwrap();
    assert!(reply.starts_with("421 4.4.2") || reply == "(reset)", "{reply}");
}

#[tokio::test]
async fn mails_that_find_no_memory_come_again_later() {
    let world = receiver(|options| options.limits = Limits { kept_in_all: 0, ..Limits::default() }).await;
    for (octets, reply) in [(16_000, "250 2.0.0 *"), (17_000, "452 4.3.1 *"), (1000, "250 2.0.0 *")] {
        let text = "C: 0123456789abcdef0123456789abcdef0123456789abcdef\n".repeat(octets / 50);
        let talk = format!("{BEGUN}\nC: RCPT TO:<notify@example.org>\nC: DATA\nS: 250 *\nS: 354 *\n{text}C: .\nS: {reply}");
        world.plays(&talk).await;
    }
    assert_eq!((world.counters.get(Outcome::NoRoom), world.mails().len()), (1, 2));
}

#[tokio::test]
async fn a_source_has_so_many_connections() {
    let world = receiver(|options| options.limits.connections_per_source = 2).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(world.running.address).await;
        client.plays("S: 220 *").await;
        clients.push(client);
    }
    world.plays("S: 421 4.7.0 *\n-- closed").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    Client::on(socket.connect(world.running.address).await.unwrap()).plays(HONEST).await;
    assert_eq!(world.counters.get(Outcome::Busy), 1);
}

#[tokio::test]
async fn the_most_silent_makes_room() {
    let world = receiver(|options| options.limits.connections = 2).await;
    let mut first = Client::connect(world.running.address).await;
    first.plays("S: 220 *").await;
    let mut second = Client::connect(world.running.address).await;
    second.plays(&format!("{BEGUN}\nC: RCPT TO:<notify@example.org>\nC: DATA\nS: 250 *\nS: 354 *")).await;
    world.plays(HONEST).await;
    first.plays("S: 421 4.3.2 *\n-- closed").await;
    second.plays("C: .\nS: 250 *").await;
}

#[tokio::test]
async fn only_allowed_sources_come_in() {
    let only = |net: &str| Site { allowed_sources: vec![net.parse().unwrap()], ..site("example.org") };
    let world = receiver(|options| options.rules = rules(only("192.0.2.0/24"))).await;
    world.plays("S: 554 5.7.1 *\n-- closed").await;
    assert_eq!(world.counters.get(Outcome::SourceDenied), 1);
    world.running.apply(rules(only("127.0.0.0/8")));
    world.plays(HONEST).await;
}

#[tokio::test]
async fn a_load_balancer_names_the_client_and_nobody_else_may() {
    let header = "C: PROXY TCP4 192.0.2.7 127.0.0.1 40000 25";
    let trusted = receiver(|options| options.proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    trusted.plays(&format!("{header}\n{HONEST}")).await;
    assert_eq!(trusted.mails()[0].peer.address.to_string(), "192.0.2.7:40000");
    let v2 = r"C> \r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x08\x7f\x00\x00\x01\x9c\x40\x00\x19";
    trusted.plays(&format!("{v2}\n{HONEST}")).await;
    assert_eq!(trusted.mails()[1].peer.address.to_string(), "192.0.2.8:40000");
    // Without its header nothing is said, not even a greeting.
    trusted.plays("C: EHLO a.test\n-- closed").await;
    let other = receiver(|_| ()).await;
    other.plays(&format!("S: 220 *\n{header}\nS: 500 5.5.2 *")).await;
}
