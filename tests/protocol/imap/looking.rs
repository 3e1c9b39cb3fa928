//! Looking, noting and waiting, line by line (promise 10).

use std::time::Duration;

use mailverity::{
    api::Reason,
    mail::{
        Stage,
        mailbox::{Mailbox, Mark},
    },
};
use tokio::time::Instant;

use super::{LOGGED_IN, Played, mailbox};
use crate::world::CODE;

const MARK: Mark = Mark::Imap { validity: 9, next: 21 };

/// A FETCH response; `UID` and what the subject holds.
fn mail(number: u32, uid: u32, subject: &str) -> String {
    let header = format!("Subject: {subject}\\r\\nX-Mailverity-Run: here/uid/1\\r\\n\\r\\n");
    let length = header.replace("\\r\\n", "..").len();
    format!("-- says * {number} FETCH (UID {uid} BODY[HEADER.FIELDS (SUBJECT)]<0> {{{length}}}\\r\\n{header})\\r\\n\n")
}

#[tokio::test]
async fn a_look_fetches_the_start_of_what_is_new_and_knows_ours_by_its_code() {
    let ours = mail(7, 22, &format!("[EXTERNAL] mailverity check ({CODE})"));
    let (played, mut mailbox) = mailbox(&format!(
        "
        C: a4 NOOP
        S: * 7 EXISTS
        S: a4 OK done
        C: a5 UID FETCH 21:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT X-MAILVERITY-RUN AUTHENTICATION-RESULTS CONTENT-TYPE)]<0.8192>)
        {}{ours}S: a5 OK done
        C: a6 NOOP
        S: a6 OK done
        C: a7 UID FETCH 21:* *
        S: a7 OK done",
        mail(6, 21, "hello")
    ))
    .await;
    assert_eq!(mailbox.note().await.unwrap(), MARK);
    let found = mailbox.look(&MARK, &[CODE]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].run.as_deref()), (CODE, Some("here/uid/1")));
    assert_eq!((found[0].place.folder.as_str(), found[0].place.validity, found[0].place.number), ("INBOX", 9, 22));
    assert!(mailbox.look(&MARK, &[CODE]).await.unwrap().is_empty());
    drop(mailbox);
    played.ends_as_written().await;
}

#[tokio::test]
async fn where_nothing_came_nothing_is_fetched_and_the_last_old_message_is_not_new() {
    let (played, mut mailbox) = mailbox(&format!(
        "
        C: a4 NOOP
        S: a4 OK done
        C: a5 NOOP
        S: * 5 EXPUNGE
        S: * 5 EXISTS
        S: a5 OK done
        C: a6 UID FETCH 21:* *
        {}S: a6 OK done",
        mail(5, 20, &format!("({CODE})"))
    ))
    .await;
    assert!(mailbox.look(&MARK, &[CODE]).await.unwrap().is_empty());
    assert!(mailbox.look(&MARK, &[CODE]).await.unwrap().is_empty(), "its UID is lower than the mark's");
    drop(mailbox);
    played.ends_as_written().await;
}

#[tokio::test]
async fn what_was_looked_at_is_not_fetched_again_but_from_an_earlier_mark_or_for_another_code_it_is() {
    let fetch = |tag: u32, from: u32, mail: &str| {
        format!("C: a{tag} NOOP\n S: a{tag} OK done\n C: a{} UID FETCH {from}:* *\n {mail} S: a{} OK done\n", tag + 1, tag + 1)
    };
    let (came, old) = (mail(6, 21, "hello"), mail(5, 20, "hello"));
    let talk = [
        // It comes while others are read, and is not among them.
        "C: a4 NOOP\n S: * 6 EXISTS\n S: a4 OK done\n C: a5 UID FETCH 21:* *\n".to_owned(),
        format!("{came} S: * 7 EXISTS\n S: a5 OK done\n"),
        fetch(6, 22, &mail(7, 22, "hello")),
        "C: a8 NOOP\n S: a8 OK done\n".to_owned(),
        fetch(9, 20, &[old.clone(), came.clone()].concat()),
        fetch(11, 21, &came),
    ]
    .concat();
    let (played, mut mailbox) = mailbox(&talk).await;
    for _ in 0..3 {
        assert!(mailbox.look(&MARK, &[CODE]).await.unwrap().is_empty());
    }
    assert!(mailbox.look(&Mark::Imap { validity: 9, next: 20 }, &[CODE]).await.unwrap().is_empty());
    assert!(mailbox.look(&MARK, &[uuid::Uuid::nil()]).await.unwrap().is_empty());
    drop(mailbox);
    played.ends_as_written().await;
}

#[tokio::test]
async fn a_new_uidvalidity_makes_all_that_is_there_new() {
    let (played, mut mailbox) = mailbox(&format!(
        "C: a4 NOOP\n S: a4 OK done\n C: a5 UID FETCH 1:* *\n {} S: a5 OK done",
        mail(1, 3, &format!("({CODE})"))
    ))
    .await;
    let found = mailbox.look(&Mark::Imap { validity: 8, next: 900 }, &[CODE]).await.unwrap();
    assert_eq!(found[0].place.number, 3);
    drop(mailbox);
    played.ends_as_written().await;
}

#[tokio::test]
async fn in_a_large_mailbox_one_goes_back_from_the_newest_in_small_batches_and_then_asks_the_server() {
    let mut talk = vec!["C: a4 NOOP\n S: * 200000 EXISTS\n S: a4 OK done\n".to_owned()];
    let (mut newest, mut tag) = (200_000, 5);
    while newest > 199_500 {
        let oldest = (if newest == 200_000 { newest - 4 } else { newest - 24 }).max(199_501);
        talk.push(format!("C: a{tag} FETCH {oldest}:{newest} (UID *\n S: * {oldest} FETCH (UID {oldest})\n S: a{tag} OK done\n"));
        (newest, tag) = (oldest - 1, tag + 1);
    }
    talk.push(format!("C: a{tag} UID SEARCH UID 21:* HEADER SUBJECT \"{CODE}\"\n S: * SEARCH 4 77\n S: a{tag} OK done\n"));
    tag += 1;
    talk.push(format!("C: a{tag} UID FETCH 77 (UID *\n {} S: a{tag} OK done\n", mail(60, 77, &format!("({CODE})"))));
    let (played, mut mailbox) = mailbox(&talk.concat()).await;
    let found = mailbox.look(&MARK, &[CODE]).await.unwrap();
    assert_eq!(found[0].place.number, 77);
    drop(mailbox);
    played.ends_as_written().await;
}

#[tokio::test]
async fn junk_is_looked_at_without_changing_it_and_the_mailbox_is_opened_again() {
    let (played, mut mailbox) = mailbox(&format!(
        "
        C: a4 EXAMINE \"Spam\"
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 4]
        S: * OK [UIDNEXT 8]
        S: a4 OK [READ-ONLY] opened
        C: a5 FETCH 1:1 *
        {}S: a5 OK done
        C: a6 SELECT \"INBOX\"
        S: * 5 EXISTS
        S: * OK [UIDVALIDITY 9]
        S: * OK [UIDNEXT 21]
        S: a6 OK [READ-WRITE] opened
        C: a7 LOGOUT
        S: * BYE
        S: a7 OK bye
    ",
        mail(1, 7, &format!("({CODE})"))
    ))
    .await;
    assert_eq!(mailbox.shown().junk, ["Spam"]);
    let found = mailbox.look_in_junk(&[CODE]).await.unwrap();
    assert_eq!((found[0].place.folder.as_str(), found[0].place.validity, found[0].place.junk), ("Spam", 4, true));
    Box::new(mailbox).close().await;
    played.ends_as_written().await;
}

/// What is answered to SELECT, and why that is.
pub const SHUT: [(&str, Reason); 8] = [
    ("NO [NONEXISTENT] Mailbox doesn't exist: INBOX", Reason::MailboxNotFound),
    ("NO Mailbox does not exist", Reason::MailboxNotFound),
    ("NO [NOPERM] Permission denied", Reason::MailboxAccessDenied),
    ("BAD User is authenticated but not connected.", Reason::MailboxAccessDenied),
    ("NO [INUSE] Mailbox is locked", Reason::MailboxBusy),
    ("NO [UNAVAILABLE] later", Reason::ServerBusy),
    ("NO no", Reason::MailboxNotFound),
    ("BAD what", Reason::ProtocolError),
];

#[tokio::test]
async fn a_mailbox_that_cannot_be_opened_says_why() {
    for (answer, reason) in SHUT {
        let talk = format!("{LOGGED_IN}\nC: a2 LIST \"\" \"*\"\nS: a2 OK none\nC: a3 SELECT \"INBOX\"\nS: a3 {answer}");
        let failure = Played::start(&talk).await.opens().await.err().unwrap();
        assert_eq!((failure.reason, failure.stage), (reason, Some(Stage::Select)), "{answer}");
        assert!(!failure.hint().contains('{') && !failure.hint().is_empty(), "{}", failure.hint());
    }
}

#[tokio::test]
async fn one_waits_in_short_steps_until_a_message_comes() {
    let (played, mut mailbox) = mailbox(
        "
        C: a4 NOOP
        S: a4 OK done
        C: a5 NOOP
        S: * 5 EXPUNGE
        S: a5 OK done
        C: a6 NOOP
        S: * 5 EXISTS
        S: a6 OK done",
    )
    .await;
    assert!(mailbox.wait(Instant::now() + Duration::from_secs(5)).await.unwrap());
    assert!(!mailbox.wait(Instant::now()).await.unwrap());
    drop(mailbox);
    played.ends_as_written().await;
}
