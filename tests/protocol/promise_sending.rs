//! Promises 1, 2, 5 and 6: nothing is sent without the gate's word, nothing twice, the mail has the promised shape, and
//! NOTIFY=NEVER where DSN is offered, as no mailbox is read.

use std::sync::{Mutex, atomic::AtomicI64};

use mailverity::{api::Reason, mail::Diagnosis};

use crate::world::{CODE, World, deliver, login};

const TAKEN: &str = "
    -- greets, offering SIZE 100000, DSN, 8BITMIME
    C: MAIL FROM:<checks@sender.test> SIZE=* RET=HDRS ENVID=01234567-89ab-8def-8123-456789abcdef
    S: 250 2.1.0 Ok
    C: RCPT TO:<probe@rcpt.test> NOTIFY=NEVER
    S: 250 2.1.5 Ok
    -- takes the mail, up to the dot
    S: 250 2.0.0 Ok: queued as 4XyZ
    C: QUIT
    S: 221 2.0.0 Bye
";

#[tokio::test]
async fn a_test_mail_has_the_promised_shape() {
    let world = World { contact: Some("mail team, +49 30 1234"), ..deliver() };
    let played = world
        .edit(|spec| {
            let sender = spec.sender.as_mut().unwrap();
            sender.display_name = Some("Mail Checks".to_owned());
            sender.reply_to = Some("team@sender.test".to_owned());
        })
        .plays(TAKEN)
        .await;
    played.verified();
    let mail = &played.heard[0].mails[0];
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    let unfolded = head.replace("\r\n ", " ");
    for line in [
        format!("Message-ID: <{CODE}@sender.test>"),
        format!("Subject: mailverity check ({CODE})"),
        "Date: Wed, 04 Mar 2026 05:06:07 +0000".to_owned(),
        "From: \"Mail Checks\" <checks@sender.test>".to_owned(),
        "To: probe@rcpt.test".to_owned(),
        "Reply-To: team@sender.test".to_owned(),
        "Auto-Submitted: auto-generated".to_owned(),
        "X-Auto-Response-Suppress: All".to_owned(),
        "X-Mailverity-Run: tests/6f0d5d1e-0000-4000-8000-00000000000a/run-1".to_owned(),
    ] {
        assert_eq!(unfolded.lines().filter(|header| *header == line).count(), 1, "{line}\n{head}");
    }
    assert!(unfolded.contains("Content-Type: text/plain"), "{head}");
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines.len(), 2, "{body}");
    assert!(lines[0].contains("MailServer mail/relay") && lines[1].contains("mail team, +49 30 1234"), "{body}");
    let size: usize = played.said().iter().find_map(|line| line.split_once("SIZE=")?.1.split(' ').next()?.parse().ok()).unwrap();
    assert_eq!(size, mail.len());
    let delivery = played.report.delivery.as_ref().unwrap();
    assert_eq!(delivery.accepted.as_deref(), Some("250 2.0.0 Ok: queued as 4XyZ"));
    assert_eq!(delivery.message_id, format!("<{CODE}@sender.test>"));
}

#[tokio::test]
async fn a_subject_of_the_users_own_is_followed_by_the_code() {
    let world = deliver().edit(|spec| spec.test.as_mut().unwrap().subject = Some("Relay test".to_owned()));
    let played = world.plays(TAKEN).await;
    assert!(played.verified().heard[0].mails[0].contains(&format!("Subject: Relay test ({CODE})\r\n")));
}

// Promise 6: no mailbox is read, so no bounce is asked for.

#[tokio::test]
async fn extensions_are_used_only_where_they_are_offered() {
    let talk = "
        -- greets, offering PIPELINING
        C: MAIL FROM:<checks@sender.test>
        S: 250 2.1.0 Ok
        C: RCPT TO:<probe@rcpt.test>
        S: 250 2.1.5 Ok
        -- takes the mail, up to the dot
        S: 250 2.0.0 Ok
    ";
    deliver().plays(talk).await.verified();
}

#[tokio::test]
async fn a_claim_is_taken_before_mail_is_said_and_the_right_is_asked_for_again_before_the_dot() {
    let played = deliver().plays(TAKEN).await;
    let order: Vec<&str> = played.verified().log.iter().map(|line| line.split(['<', ':']).next().unwrap_or(line)).collect();
    let order = order.join(" | ");
    assert_eq!(order, "C | gate | C | C | gate | C | gate | gate | C | C | C", "{:#?}", played.log);
    assert_eq!(played.log[1], "gate: may we send to probe@rcpt.test?");
    assert_eq!(played.log[7], "gate: still?");
    assert_eq!(played.log[9], "C: .");
}

#[tokio::test]
async fn who_may_not_send_says_neither_mail_nor_data() {
    let mut world = deliver();
    world.gate.send = Some(Diagnosis::new(Reason::RateBudgetExceeded).detail("used up"));
    let played = world.plays("-- greets, offering nothing\nC: QUIT\nS: 221 Bye").await;
    played.as_written();
    assert!(played.report.delivery.is_none());
}

#[tokio::test]
async fn who_has_lost_the_right_to_send_writes_no_final_dot() {
    let lost = |granted| {
        let mut world = deliver();
        world.gate.still = AtomicI64::new(granted);
        world.gate.why_not = Mutex::new(Some(Diagnosis::new(Reason::Paused).detail("the lease is lost")));
        world
    };
    // The last question but those that were granted is the one right before the dot.
    for granted in 0..3 {
        let talk = if granted == 0 {
            "-- greets, offering nothing\n-- takes sender and recipient\n-- sees the mail end without a dot"
        } else {
            "-- greets, offering nothing
            -- takes sender and recipient
            C: DATA
            S: 354 Go ahead
            -- sees the mail end without a dot"
        };
        let played = lost(granted).plays(talk).await;
        assert_eq!(played.as_written().failure().reason, Reason::Paused, "{granted}");
        assert!(played.report.delivery.as_ref().is_some_and(|delivery| !delivery.dot_sent), "{granted}");
        assert!(played.heard[0].mails.is_empty(), "{granted}");
    }
    lost(3).plays(TAKEN).await.verified();
}

#[tokio::test]
async fn a_mail_that_may_have_gone_is_not_sent_again_at_an_alternate() {
    for end in ["-- closes", "-- resets", "TIME: 2s\n-- hangs", "S: 451 4.3.0 try later"] {
        let (time, end) = end.split_once('\n').unwrap_or(("", end));
        let talk = format!(
            "{time}\n-- greets, offering nothing\n-- takes sender and recipient\n-- takes the mail, up to the dot\n{end}"
        );
        let played = deliver().alternate(TAKEN).plays(&talk).await;
        assert_eq!(played.as_written().heard[1].connections, 0, "{end}");
        let delivery = played.report.delivery.as_ref().unwrap();
        assert!(delivery.dot_sent && delivery.accepted.is_none(), "{end}");
    }
}

#[tokio::test]
async fn a_mail_is_sent_once_inside_the_login() {
    let talk = "
        -- greets, offering STARTTLS
        -- protects, offering AUTH PLAIN
        -- takes the login
        -- takes sender and recipient
        -- takes the mail, up to the dot
        S: 250 2.0.0 Ok: queued
    ";
    let played = login().delivering().plays(talk).await;
    assert_eq!(played.verified().heard[0].mails.len(), 1);
}

#[tokio::test]
async fn a_refused_mail_is_left_in_order_before_the_354_and_after_the_dot() {
    for refused in ["C: DATA\nS: 554 5.5.1 No", "-- takes the mail, up to the dot\nS: 554 5.7.1 No"] {
        let talk =
            format!("-- greets, offering nothing\n-- takes sender and recipient\n{refused}\nC: QUIT\nS: 221 Bye\n-- hangs");
        let played = deliver().plays(&talk).await;
        assert_eq!(played.as_written().said().last(), Some(&"QUIT"), "{refused}");
    }
}

#[tokio::test]
async fn an_answer_to_the_mail_that_comes_before_the_mail_is_none() {
    let talk = "-- greets, offering nothing
        -- takes sender and recipient
        C: DATA
        S: 354 go
        S: 250 2.0.0 Ok: queued";
    let played = deliver().plays(talk).await;
    assert_eq!(played.failure().reason, Reason::ProtocolError);
    assert!(played.report.delivery.as_ref().is_some_and(|delivery| !delivery.dot_sent));
}

#[tokio::test]
async fn levels_below_deliver_send_nothing() {
    let played = login().plays("-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN\n-- takes the login").await;
    played.verified();
    assert_eq!(played.said().last(), Some(&"QUIT"));
    assert!(played.report.delivery.is_none());
}
