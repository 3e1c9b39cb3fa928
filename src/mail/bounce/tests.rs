use super::*;

/// As Postfix writes it.
const POSTFIX: &str = "Return-Path: <>\r\n\
Date: Sun, 22 Nov 2026 08:00:00 +0000 (UTC)\r\n\
From: MAILER-DAEMON@relay.example (Mail Delivery System)\r\n\
Subject: Undelivered Mail Returned to Sender\r\n\
To: probe@example.org\r\n\
Auto-Submitted: auto-replied\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"ABC.1/relay.example\"\r\n\
\r\n\
This is a MIME-encapsulated message.\r\n\
\r\n\
--ABC.1/relay.example\r\n\
Content-Description: Notification\r\n\
Content-Type: text/plain; charset=us-ascii\r\n\
\r\n\
This is the mail system at host relay.example.\r\n\
\r\n\
--ABC.1/relay.example\r\n\
Content-Description: Delivery report\r\n\
Content-Type: message/delivery-status\r\n\
\r\n\
Reporting-MTA: dns; relay.example\r\n\
Original-Envelope-Id: run-17-3\r\n\
X-Postfix-Queue-ID: ABC\r\n\
Arrival-Date: Sun, 22 Nov 2026 08:00:00 +0000 (UTC)\r\n\
\r\n\
Final-Recipient: rfc822; box@example.net\r\n\
Original-Recipient: rfc822;box@example.net\r\n\
Action: failed\r\n\
Status: 5.1.1\r\n\
Remote-MTA: dns; mx.example.net\r\n\
Diagnostic-Code: smtp; 550 5.1.1 <box@example.net>: Recipient address rejected:\r\n    User unknown in virtual mailbox table\r\n\
\r\n\
--ABC.1/relay.example\r\n\
Content-Description: Undelivered Message Headers\r\n\
Content-Type: text/rfc822-headers\r\n\
\r\n\
Return-Path: <probe@example.org>\r\n\
Message-ID: <0190d3a0-1111-8222-8333-444455556666@example.org>\r\n\
Subject: mailverity check (0190d3a0-1111-8222-8333-444455556666)\r\n\
\r\n\
--ABC.1/relay.example--\r\n";

fn read(mail: &str) -> Bounce {
    Bounce::read(mail.as_bytes()).unwrap_or_else(|| panic!("{mail}"))
}

#[test]
fn a_bounce_tells_who_said_what_about_which_mail() {
    let bounce = read(POSTFIX);
    assert_eq!(bounce.envelope_id.as_deref(), Some("run-17-3"));
    assert_eq!(bounce.message_id.as_deref(), Some("<0190d3a0-1111-8222-8333-444455556666@example.org>"));
    assert_eq!((bounce.action, bounce.status.as_deref()), (Action::Failed, Some("5.1.1")));
    assert_eq!((bounce.remote.as_deref(), bounce.recipient.as_deref()), (Some("mx.example.net"), Some("box@example.net")));
    let words = "550 5.1.1 <box@example.net>: Recipient address rejected: User unknown in virtual mailbox table";
    assert_eq!(bounce.words.as_deref(), Some(words));
}

#[test]
fn a_mail_that_came_back_whole_is_known_by_its_id() {
    let whole = POSTFIX.replace("text/rfc822-headers", "message/rfc822").replace("Original-Envelope-Id: run-17-3\r\n", "");
    let bounce = read(&whole);
    assert_eq!(bounce.envelope_id, None);
    assert_eq!(bounce.message_id.as_deref(), Some("<0190d3a0-1111-8222-8333-444455556666@example.org>"));
    assert!(bounce.is_about(Some("run-17-3"), Some("<0190D3A0-1111-8222-8333-444455556666@example.org>")));
}

#[test]
fn a_bounce_is_about_the_mail_whose_id_it_has_and_about_no_other() {
    let bounce = read(POSTFIX);
    assert!(bounce.is_about(Some("run-17-3"), None));
    assert!(bounce.is_about(Some("another"), bounce.message_id.as_deref()));
    for (envelope, message) in [(None, None), (Some("run-17"), Some("<a@b>")), (Some(""), Some("<>"))] {
        assert!(!bounce.is_about(envelope, message), "{envelope:?} {message:?}");
    }
    let nameless = Bounce { envelope_id: None, message_id: None, ..bounce };
    assert!(!nameless.is_about(Some("run-17-3"), Some("<a@b>")));
}

#[test]
fn of_several_recipients_the_worst_off_is_told() {
    let second = "Final-Recipient: rfc822; other@example.net\r\nAction: delayed\r\nStatus: 4.4.1 (no answer)\r\n\r\n--ABC";
    let bounce = read(&POSTFIX.replacen(
        "\r\n--ABC.1/relay.example\r\nContent-Description: Und",
        &format!("\r\n{second}.1/relay.example\r\nContent-Description: Und"),
        1,
    ));
    assert_eq!((bounce.action, bounce.recipient.as_deref()), (Action::Failed, Some("box@example.net")));
    let delayed = read(
        &POSTFIX
            .replace("Action: failed", "Action: delayed (for now)")
            .replace("5.1.1\r\nRemote-MTA: dns; mx.example.net", "4.4.1"),
    );
    assert_eq!(
        (delayed.action, delayed.status.as_deref(), delayed.remote.as_deref()),
        (Action::Delayed, Some("4.4.1"), Some("relay.example"))
    );
}

#[test]
fn what_is_no_report_on_a_delivery_is_none() {
    for mail in [
        POSTFIX.replace("report-type=delivery-status", "report-type=disposition-notification"),
        POSTFIX.replace("multipart/report", "multipart/mixed"),
        POSTFIX.replace("message/delivery-status", "text/plain"),
        POSTFIX.replace("Action: failed\r\n", ""),
        String::new(),
    ] {
        assert_eq!(Bounce::read(mail.as_bytes()), None, "{mail}");
    }
}

#[test]
fn a_report_is_known_by_its_header_alone() {
    let header = &POSTFIX[..POSTFIX.find("\r\n\r\n").unwrap() + 4];
    assert!(announces_report(header.as_bytes()));
    assert!(announces_report(b"Content-Type: Multipart/Report; Report-Type=\"Delivery-Status\"; boundary=x\r\n\r\n"));
    assert!(!announces_report(b"Content-Type: multipart/report; boundary=x\r\n\r\n"));
    assert!(!announces_report(b"Subject: multipart/report; report-type=delivery-status\r\n\r\n"));
}

#[test]
fn a_report_that_is_cut_still_tells_what_stands_before_the_cut() {
    let cut = &POSTFIX[..POSTFIX.find("--ABC.1/relay.example\r\nContent-Description: Und").unwrap()];
    assert_eq!(read(cut).status.as_deref(), Some("5.1.1"));
    let long = POSTFIX.replace("Diagnostic-Code: smtp; ", &format!("Diagnostic-Code: smtp; {}", "x".repeat(MOST)));
    assert!(read(&long).words.is_none_or(|words| words.chars().count() <= WORDS));
}

proptest::proptest! {
    #[test]
    fn no_mail_is_too_broken_to_be_read(bytes: Vec<u8>, at in 0..POSTFIX.len(), gap in 0..400_usize) {
        let _ = Bounce::read(&bytes);
        let mut broken = POSTFIX.as_bytes().to_vec();
        broken.splice(at..(at + gap).min(POSTFIX.len()), bytes);
        if let Some(bounce) = Bounce::read(&broken) {
            let shown = [bounce.envelope_id, bounce.message_id, bounce.status, bounce.remote, bounce.words, bounce.recipient];
            for text in shown.into_iter().flatten() {
                proptest::prop_assert!(!text.chars().any(char::is_control) && text.chars().count() <= WORDS);
            }
        }
    }
}

#[test]
fn a_report_of_nested_mails_costs_no_more_stack_than_another() {
    // Mails that were bounced again and again, or a trap: what parses them must not keep a frame for each.
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(MOST / 32);
    let mail = format!("Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n{nested}");
    let read = move || Bounce::read(mail.as_bytes());
    // The threads of the runtime have ten times as much.
    let small = std::thread::Builder::new().stack_size(200 * 1024).spawn(read).unwrap();
    assert_eq!(small.join().unwrap(), None);
}
