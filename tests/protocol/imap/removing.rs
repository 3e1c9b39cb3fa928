//! What is removed, and what never is (promise 11).

use mailverity::mail::{
    Stage,
    imap::{ImapMailbox, Wanted},
    mailbox::{Cleanup, Mailbox, Place, Sighting},
};

use super::{OPENED, Played, mailbox};
use crate::world::CODE;

fn sighting(folder: &str, validity: u32, number: u32) -> Sighting {
    let place = Place { folder: folder.to_owned(), validity, number, id: String::new(), junk: false };
    Sighting { code: CODE, run: None, authentication_results: Vec::new(), place }
}

#[tokio::test]
async fn exactly_ours_are_expunged_by_their_uids() {
    let (played, mut mailbox) = mailbox(
        "
        C: a4 UID STORE 21,23 +FLAGS.SILENT (\\\\Deleted)
        S: a4 OK done
        C: a5 UID EXPUNGE 21,23
        S: a5 OK done
    "
        .replace("\\\\", "\\")
        .as_str(),
    )
    .await;
    let ours = [sighting("INBOX", 9, 23), sighting("INBOX", 9, 21), sighting("INBOX", 9, 21), sighting("INBOX", 9, 0)];
    assert_eq!(mailbox.clean_up(&ours, Cleanup::Delete).await.unwrap(), 2);
    assert_eq!(mailbox.clean_up(&ours, Cleanup::Keep).await.unwrap(), 0);
    drop(mailbox);
    played.ends_as_written().await;
}

#[tokio::test]
async fn without_uidplus_ours_are_marked_and_no_more() {
    let talk = format!(
        "
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
        C: a1 AUTHENTICATE PLAIN *
        S: a1 OK [CAPABILITY IMAP4rev1] in
        {OPENED}
        C: a4 UID STORE 21 +FLAGS.SILENT (\\Deleted)
        S: a4 OK done
        C: a5 LOGOUT
        S: * BYE
        S: a5 OK done"
    );
    let played = Played::start(&talk).await;
    let mut mailbox = played.opens().await.unwrap();
    assert_eq!(mailbox.clean_up(&[sighting("INBOX", 9, 21)], Cleanup::Delete).await.unwrap(), 1);
    Box::new(mailbox).close().await;
    played.ends_as_written().await;
}

#[tokio::test]
async fn at_google_ours_are_moved_to_the_bin() {
    let talk = r#"
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] Gimap ready
        C: a1 AUTHENTICATE PLAIN *
        S: a1 OK [CAPABILITY IMAP4rev1 UIDPLUS MOVE X-GM-EXT-1 SPECIAL-USE LIST-EXTENDED] in
        C: a2 LIST "" "*" RETURN (SPECIAL-USE)
        S: * LIST (\\HasNoChildren) "/" "INBOX"
        S: * LIST (\\HasNoChildren \\Junk) "/" "[Gmail]/Spam"
        S: * LIST (\\HasNoChildren \\Trash) "/" "[Gmail]/Bin"
        S: a2 OK done
        C: a3 SELECT "INBOX"
        S: * OK [UIDVALIDITY 9]
        S: * 0 EXISTS
        S: a3 OK [READ-WRITE] done
        C: a4 UID MOVE 21 "[Gmail]/Bin"
        S: a4 OK done
    "#;
    let played = Played::start(talk).await;
    let mut mailbox = played.opens().await.unwrap();
    assert_eq!(mailbox.clean_up(&[sighting("INBOX", 9, 21)], Cleanup::Delete).await.unwrap(), 1);
    drop(mailbox);
    played.ends_as_written().await;
}

#[tokio::test]
async fn where_uids_have_begun_anew_nothing_is_touched() {
    let (played, mut mailbox) = mailbox("").await;
    assert_eq!(mailbox.clean_up(&[sighting("INBOX", 8, 21)], Cleanup::Delete).await.unwrap(), 0);
    drop(mailbox);
    played.ends_as_written().await;
}

#[tokio::test]
async fn a_mailbox_that_was_opened_to_be_read_is_opened_anew_to_be_cleaned_and_a_refusal_is_one_of_cleaning() {
    let opened = OPENED.replace("SELECT", "EXAMINE").replace("READ-WRITE", "READ-ONLY");
    let talk = format!(
        "{}{opened}
        C: a4 SELECT \"INBOX\"
        S: * OK [UIDVALIDITY 9]
        S: * 5 EXISTS
        S: * OK [UIDNEXT 21]
        S: a4 OK [READ-ONLY] opened
        C: a5 UID STORE 20 +FLAGS.SILENT (\\Seen)
        S: a5 NO [NOPERM] read-only",
        super::LOGGED_IN
    );
    let played = Played::start(&talk).await;
    let wanted = Wanted { mailbox: "INBOX".to_owned(), junk: Vec::new(), read_only: true };
    let mut mailbox = ImapMailbox::open(played.session().await.unwrap(), &wanted).await.unwrap();
    let failure = mailbox.clean_up(&[sighting("INBOX", 9, 20)], Cleanup::MarkSeen).await.unwrap_err();
    assert_eq!((failure.reason, failure.stage), (mailverity::api::Reason::MailboxAccessDenied, Some(Stage::Cleanup)));
    drop(mailbox);
    played.ends_as_written().await;
}
