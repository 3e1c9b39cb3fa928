//! The test mail of level Deliver: sender, recipient, and what becomes of it at the final dot.

use mailverity::{
    api::{
        Class,
        Reason::{
            ClientHostRejected, ConnectionClosed, DeliveryUncertain, Greylisted, MailboxFull, MessageRejected, MessageTooLarge,
            ObserveOnly, Paused, ProtocolError, QuotaExceeded, RateBudgetExceeded, RateLimited, RecipientRejected, RelayDenied,
            ResponseTimedOut, SendAsDenied, SenderAuthenticationFailed, SenderRejected, SendingBlocked, ServerBusy, SpecInvalid,
        },
    },
    mail::{
        Diagnosis,
        Stage::{Data, Mail, Rcpt},
    },
};

use crate::{
    rows::{Row, play, row},
    world::{World, deliver},
};

fn refused_by_the_gate(reason: Diagnosis) -> World {
    let mut world = deliver();
    world.gate.send = Some(reason);
    world
}

fn observing() -> World {
    refused_by_the_gate(Diagnosis::new(ObserveOnly).detail("mode Observe"))
}

fn paused() -> World {
    refused_by_the_gate(Diagnosis::new(Paused).fact("configmap", "mailverity/mailverity-pause").detail("everything is paused"))
}

fn over_budget() -> World {
    let spent = Diagnosis::new(RateBudgetExceeded).fact("budget", "200 mails an hour").fact("scope", "the installation");
    refused_by_the_gate(spent.detail("200 mails an hour are used up"))
}

fn unaddressed() -> World {
    deliver().edit(|spec| spec.test = None)
}

fn with_a_sender_beyond_ascii() -> World {
    deliver().edit(|spec| spec.sender.as_mut().unwrap().address = "prüfung@sender.test".to_owned())
}

fn at_google() -> World {
    deliver().edit(|spec| spec.host = Some("smtp.gmail.com".to_owned()))
}

/// A conversation up to the commands of a mail.
macro_rules! sending {
    ($rest:literal) => {
        concat!("-- greets, offering SIZE 1000000, DSN\n", $rest)
    };
}

/// A conversation in which sender and recipient are taken.
macro_rules! addressed {
    ($rest:literal) => {
        concat!("-- greets, offering nothing\n-- takes sender and recipient\n", $rest)
    };
}

/// A conversation in which the answer to the final dot is this.
macro_rules! answered {
    ($rest:literal) => {
        concat!("-- greets, offering nothing\n-- takes sender and recipient\n-- takes the mail, up to the dot\n", $rest)
    };
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // Before anything is said
    row(SpecInvalid, Mail, "level Deliver needs test.to", unaddressed, sending!("")),
    row(ObserveOnly, Mail, "mode Observe", observing, sending!("")),
    row(Paused, Mail, "everything is paused", paused, sending!("")),
    row(RateBudgetExceeded, Mail, "200 mails an hour", over_budget, sending!("")),
    row(MessageTooLarge, Mail, "and the server takes 100", deliver, "-- greets, offering SIZE 100"),
    row(SenderRejected, Mail, "does not offer SMTPUTF8", with_a_sender_beyond_ascii, sending!("")),
    // MAIL FROM
    row(SenderRejected, Mail, "550 5.1.8", deliver, sending!("
        C: MAIL FROM:<checks@sender.test> SIZE=* RET=HDRS ENVID=01234567-89ab-8def-8123-456789abcdef
        S: 550 5.1.8 <checks@sender.test>: Sender address rejected: Domain not found
    ")),
    row(SendAsDenied, Mail, "553 5.7.1", deliver, sending!("
        C: MAIL FROM:*
        S: 553 5.7.1 <checks@sender.test>: Sender address rejected: not owned by user relay@mx.test
    ")),
    row(MessageTooLarge, Mail, "552 5.3.4", deliver, sending!("
        C: MAIL FROM:*
        S: 552 5.3.4 Message size exceeds fixed limit
    ")),
    row(ServerBusy, Mail, "452 4.3.1", deliver, sending!("
        C: MAIL FROM:*
        S: 452 4.3.1 Insufficient system storage
    ")),
    row(ResponseTimedOut, Mail, "said nothing", deliver, concat!("TIME: 2s\n", sending!("
        C: MAIL FROM:*
        -- hangs
    "))),
    // RCPT TO
    row(RecipientRejected, Rcpt, "550 5.1.1", deliver, sending!("
        C: MAIL FROM:*
        S: 250 2.1.0 Ok
        C: RCPT TO:<probe@rcpt.test> NOTIFY=NEVER
        S: 550 5.1.1 <probe@rcpt.test>: Recipient address rejected: User unknown
    ")),
    row(RelayDenied, Rcpt, "554 5.7.1", deliver, sending!("
        C: MAIL FROM:*
        S: 250 2.1.0 Ok
        C: RCPT TO:*
        S: 554 5.7.1 <probe@rcpt.test>: Relay access denied
    ")),
    row(ClientHostRejected, Rcpt, "554 5.7.1", deliver, sending!("
        C: MAIL FROM:*
        S: 250 2.1.0 Ok
        C: RCPT TO:*
        S: 554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.example
    ")),
    row(Greylisted, Rcpt, "450 4.2.0", deliver, sending!("
        C: MAIL FROM:*
        S: 250 2.1.0 Ok
        C: RCPT TO:*
        S: 450 4.2.0 <probe@rcpt.test>: Recipient address rejected: Greylisted, try again in 300 seconds
    ")),
    row(RateLimited, Rcpt, "450 4.2.1", deliver, sending!("
        C: MAIL FROM:*
        S: 250 2.1.0 Ok
        C: RCPT TO:*
        S: 450 4.2.1 The user you are trying to contact is receiving mail too quickly
    ")),
    row(MailboxFull, Rcpt, "552 5.2.2", deliver, sending!("
        C: MAIL FROM:*
        S: 250 2.1.0 Ok
        C: RCPT TO:*
        S: 552 5.2.2 Mailbox full
    ")),
    row(ResponseTimedOut, Rcpt, "said nothing", deliver, concat!("TIME: 2s\n", sending!("
        C: MAIL FROM:*
        S: 250 2.1.0 Ok
        C: RCPT TO:*
        -- hangs
    "))),
    // DATA
    row(QuotaExceeded, Data, "550 5.4.5", at_google, addressed!("
        C: DATA
        S: 550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to
    ")),
    row(SendingBlocked, Data, "550 5.7.705", deliver, addressed!("
        C: DATA
        S: 550 5.7.705 Access denied, tenant has exceeded threshold
    ")),
    row(ProtocolError, Data, "250 2.0.0 Ok", deliver, addressed!("
        C: DATA
        S: 250 2.0.0 Ok
    ")),
    row(ResponseTimedOut, Data, "said nothing", deliver, concat!("TIME: 2s\n", addressed!("
        C: DATA
        -- hangs
    "))),
    row(ConnectionClosed, Data, "closed the connection", deliver, addressed!("
        C: DATA
        -- closes
    ")),
    // The answer to the final dot
    row(MessageRejected, Data, "554 5.7.1", deliver, answered!("S: 554 5.7.1 Message content rejected: looks like spam")),
    row(SenderAuthenticationFailed, Data, "550 5.7.26", deliver, answered!("S: 550 5.7.26 This mail has been blocked because the sender is unauthenticated.")),
    row(MessageTooLarge, Data, "552 5.3.4", deliver, answered!("S: 552 5.3.4 Message too big for system")),
    // No answer: the mail may have gone
    row(DeliveryUncertain, Data, "no answer to the final dot", deliver, answered!("-- closes")),
    row(DeliveryUncertain, Data, "no answer to the final dot", deliver, answered!("-- resets")),
    row(DeliveryUncertain, Data, "no answer to the final dot", deliver, concat!("TIME: 2s\n", answered!("-- hangs"))),
    row(DeliveryUncertain, Data, "999 what?", deliver, answered!("S: 999 what?")),
    row(DeliveryUncertain, Data, "250-2.0.0 half", deliver, answered!("-- says 250-2.0.0 half\n-- closes")),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_not_taken_is_told_by_its_reason() {
    play(ROWS).await;
}

#[tokio::test]
async fn a_refusal_with_4xx_is_tried_again_and_one_with_5xx_needs_the_user() {
    for (reply, class) in [("452 4.2.2 Mailbox full", Class::Transient), ("552 5.2.2 Mailbox full", Class::User)] {
        let talk = format!("-- greets, offering nothing\nC: MAIL FROM:*\nS: 250 Ok\nC: RCPT TO:*\nS: {reply}");
        let played = deliver().plays(&talk).await;
        assert_eq!((played.failure().reason, played.failure().class), (MailboxFull, class));
    }
}
