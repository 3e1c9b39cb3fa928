//! What RFC 5321 and its extensions say, as they print it.

use mailverity::receiver::{Outcome, Role, Rules, Verdict};

use super::{HONEST, receiver, rules, site};

/// Up to EHLO's reply.
const EHLO: &str = "
    S: 220 *
    C: EHLO client.test
    S: 250-*
    S: 250-*
    S: 250-*
    S: 250-*
    S: 250-*
    S: 250-*
    S: 250 CHUNKING
";

#[tokio::test]
async fn a_mail_comes_in_and_is_known_by_its_parts() {
    let world = receiver(|_| ()).await;
    world.plays(HONEST).await;
    let mails = world.mails();
    let mail = &mails[0];
    assert_eq!(mail.envelope.from.as_ref().unwrap().to_string(), "ops@client.test");
    assert_eq!(mail.envelope.to[0].address.to_string(), "notify@example.org");
    assert_eq!(mail.envelope.to[0].role, Role::Notify { tag: None });
    assert_eq!((mail.peer.helo.as_str(), mail.peer.address.ip().to_string().as_str()), ("client.test", "127.0.0.1"));
    assert_eq!((mail.letter.header.subject.as_deref(), mail.letter.text.as_str(), mail.size), (Some("honest"), "body\r\n", 25));
    assert_eq!(world.counters.get(Outcome::Taken), 1);
}

#[tokio::test]
async fn conversations_go_as_the_rfc_says() {
    let rows = [
        // Everything out of order.
        "S: 220 *
         C: MAIL FROM:<a@b.test>
         S: 503 5.5.1 *
         C: RCPT TO:<notify@example.org>
         S: 503 5.5.1 *
         C: DATA
         S: 503 5.5.1 *
         C: BDAT 3
         C> abc
         S: 503 5.5.1 *
         C: HELO client.test
         S: 250 mx.example.org
         C: RCPT TO:<notify@example.org>
         S: 503 5.5.1 *
         C: MAIL FROM:<a@b.test>
         S: 250 2.1.0 *
         C: MAIL FROM:<a@b.test>
         S: 503 5.5.1 *
         C: DATA
         S: 554 5.5.1 *
         C: RSET
         S: 250 2.0.0 *
         C: DATA
         S: 503 5.5.1 *
         C: STARTTLS
         S: 502 5.5.1 *
         C: AUTH PLAIN AGEAYg==
         S: 500 5.5.2 *
         C: QUIT
         S: 221 *
         -- closed",
        // What needs no mail.
        "S: 220 *
         C: NOOP
         S: 250 2.0.0 *
         C: VRFY notify
         S: 252 *
         C: EXPN staff
         S: 502 5.5.1 *
         C: HELP
         S: 214 *
         C: FOO
         S: 500 5.5.2 *
         C: VRFY
         S: 501 5.5.4 *
         C: EHLO
         S: 501 5.5.4 *",
        // EHLO again forgets the mail (section 4.1.4).
        "S: 220 *
         C: HELO a.test
         S: 250 *
         C: MAIL FROM:<>
         S: 250 *
         C: HELO a.test
         S: 250 *
         C: RCPT TO:<notify@example.org>
         S: 503 *",
        // Never a relay.
        "S: 220 *
         C: HELO a.test
         S: 250 *
         C: MAIL FROM:<notify@example.org>
         S: 250 *
         C: RCPT TO:<victim@elsewhere.test>
         S: 550 5.7.1 *
         C: RCPT TO:<@example.org:victim@elsewhere.test>
         S: 550 5.7.1 *
         C: RCPT TO:<victim%elsewhere.test@example.org>
         S: 550 5.1.1 *
         C: RCPT TO:<\"victim@elsewhere.test\"@example.org>
         S: 550 5.1.1 *
         C: RCPT TO:<nobody@example.org>
         S: 550 5.1.1 *
         C: RCPT TO:<notify@[127.0.0.1]>
         S: 550 5.7.1 *
         C: DATA
         S: 554 5.5.1 *",
    ];
    let world = receiver(|_| ()).await;
    for row in rows {
        world.plays(row).await;
    }
    assert!(world.mails().is_empty());
    assert_eq!(world.counters.get(Outcome::RelayDenied), 3);
    assert_eq!(world.counters.get(Outcome::UnknownRecipient), 3);
}

#[tokio::test]
async fn a_whole_mail_may_come_in_one_packet_and_is_answered_in_order() {
    let world = receiver(|_| ()).await;
    world
        .plays(&format!(
            "{EHLO}
            C: MAIL FROM:<> SIZE=20 BODY=8BITMIME
            C: RCPT TO:<nobody@example.org>
            C: RCPT TO:<postmaster@example.org>
            C: RCPT TO:<Notify+42@EXAMPLE.ORG>
            C: BDAT 12
            C> Subject: x\\r\\n
            C: BDAT 10 LAST
            C> \\r\\nb\\xc3\\xa9\\r\\n.\\r\\n
            C: MAIL FROM:<büro@client.test> SMTPUTF8
            C: RCPT TO:<postmaster>
            C: DATA
            S: 250 2.1.0 Ok
            S: 550 5.1.1 *
            S: 250 2.1.5 Ok
            S: 250 2.1.5 Ok
            S: 250 2.0.0 12 octets received
            S: 250 2.0.0 Ok: *
            S: 250 2.1.0 Ok
            S: 250 2.1.5 Ok
            S: 354 *
            C: ..one dot
            C: .
            C: RSET
            C: QUIT
            S: 250 2.0.0 Ok: *
            S: 250 2.0.0 Ok
            S: 221 *
            -- closed"
        ))
        .await;
    let mails = world.mails();
    assert!(mails[0].envelope.from.is_none());
    assert_eq!(mails[0].envelope.to[1].role, Role::Notify { tag: Some("42".to_owned()) });
    // Under BDAT a dot on its line is a part of the mail.
    assert_eq!(mails[0].letter.text, "b\u{e9}\r\n.\r\n");
    assert_eq!(mails[1].envelope.to[0].address.to_string(), "postmaster@example.org");
    assert_eq!(mails[1].size, 10);
}

#[tokio::test]
async fn a_mail_is_answered_by_who_wants_it() {
    let rows = [
        (Verdict::NotMine, "notify@example.org", "250 2.0.0 Ok: *", Outcome::Unclaimed),
        (Verdict::NotMine, "postmaster@example.org", "550 5.1.1 *", Outcome::Unwanted),
        (Verdict::Taken, "postmaster@example.org", "250 2.0.0 Ok: *", Outcome::Taken),
        (Verdict::Later("the API is away".to_owned()), "notify@example.org", "451 4.3.0 *", Outcome::Later),
    ];
    let world = receiver(|_| ()).await;
    for (verdict, to, reply, outcome) in rows {
        *world.keeper.says.lock().unwrap() = verdict;
        let before = world.counters.get(outcome);
        world
            .plays(&format!(
                "S: 220 *
                 C: HELO a.test
                 C: MAIL FROM:<>
                 C: RCPT TO:<{to}>
                 C: DATA
                 S: 250 *
                 S: 250 *
                 S: 250 *
                 S: 354 *
                 C: .
                 S: {reply}"
            ))
            .await;
        assert_eq!(world.counters.get(outcome), before + 1, "{outcome:?}");
    }
}

#[tokio::test]
async fn sizes_are_judged_before_and_while_a_mail_comes() {
    let world =
        receiver(|options| options.rules = rules(mailverity::receiver::Site { max_message_bytes: 100, ..site("example.org") }))
            .await;
    let long = "x".repeat(90);
    world
        .plays(&format!(
            "S: 220 *
             C: EHLO a.test
             S: 250-*
             S: 250-*
             S: 250-SIZE 100
             S: 250-*
             S: 250-*
             S: 250-*
             S: 250 *
             C: MAIL FROM:<> SIZE=101
             S: 552 5.3.4 *
             C: MAIL FROM:<> SIZE=99999999999999999999
             S: 552 5.3.4 *
             C: MAIL FROM:<> SIZE=100
             C: RCPT TO:<notify@example.org>
             C: DATA
             S: 250 *
             S: 250 *
             S: 354 *
             C: {long}
             C: {long}
             C: .
             S: 552 5.3.4 *
             C: MAIL FROM:<>
             C: RCPT TO:<notify@example.org>
             C: BDAT 60
             C> {}
             C: BDAT 60 LAST
             C> {}
             S: 250 *
             S: 250 *
             S: 250 *
             S: 552 5.3.4 *
             C: NOOP
             S: 250 *",
            "y".repeat(60),
            "z".repeat(60),
        ))
        .await;
    assert!(world.mails().is_empty());
    assert_eq!(world.counters.get(Outcome::TooLarge), 2);
}

#[tokio::test]
async fn other_rules_count_from_the_next_mail_on() {
    let world = receiver(|_| ()).await;
    let mut client = super::Client::connect(world.running.address).await;
    client.plays("S: 220 *\nC: HELO a.test\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *").await;
    world.running.apply(rules(site("other.test")));
    client
        .plays(
            "C: RCPT TO:<notify@example.org>
             S: 250 *
             C: RSET
             S: 250 *
             C: MAIL FROM:<>
             S: 250 *
             C: RCPT TO:<notify@example.org>
             S: 550 5.7.1 *
             C: RCPT TO:<notify@other.test>
             S: 250 *",
        )
        .await;
}

#[tokio::test]
async fn before_any_domain_is_known_mail_has_to_wait_whatever_it_says_of_its_size() {
    // As it is for a moment after each start: what is refused for good then is a mail lost.
    let world = receiver(|options| options.rules = Rules::new("mx.example.org", Vec::new())).await;
    let talk = "C: MAIL FROM:<> SIZE=705
         C: RCPT TO:<notify@example.org>
         C: DATA
         S: 250 2.1.0 *
         S: 451 4.3.2 *
         S: 554 5.5.1 *";
    world.plays(&format!("{EHLO}{talk}")).await;
    assert!(world.mails().is_empty());
}

#[tokio::test]
async fn a_receiver_that_ends_lets_a_mail_come_in_and_sends_the_others_away() {
    let world = receiver(|_| ()).await;
    let address = world.running.address;
    let (mut waiting, mut sending) = (super::Client::connect(address).await, super::Client::connect(address).await);
    waiting.plays("S: 220 *\nC: HELO a.test\nS: 250 *").await;
    sending
        .plays("S: 220 *\nC: HELO a.test\nC: MAIL FROM:<>\nC: RCPT TO:<notify@example.org>\nC: DATA\nS: 250 *\nS: 250 *\nS: 250 *\nS: 354 *")
        .await;
    let ending = tokio::spawn(world.running.stop(super::PATIENCE));
    waiting.plays("S: 421 4.3.2 *\n-- closed").await;
    sending.plays("C: Subject: last\nC: .\nS: 250 2.0.0 *\nS: 421 4.3.2 *\n-- closed").await;
    ending.await.unwrap();
    assert_eq!(world.keeper.mails.lock().unwrap().len(), 1);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
