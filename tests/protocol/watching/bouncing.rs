//! Bounces are read while the mail is looked for (promise 6).

use mailverity::{
    api::Reason,
    mail::{Stage, bounce::Action, mailbox::Cleanup},
};
use tokio::time::Instant;

use super::{Scene, failed, ours, seconds};
use crate::world::CODE;

pub fn bounce(envelope: &str, message: &str, action: &str) -> String {
    [
        "Subject: Undelivered Mail Returned to Sender",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"",
        "",
        "--b",
        "Content-Type: message/delivery-status",
        "",
        "Reporting-MTA: dns; relay.example",
        &format!("Original-Envelope-Id: {envelope}"),
        "",
        "Final-Recipient: rfc822; box@example.net",
        &format!("Action: {action}"),
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.example.net",
        &format!("Diagnostic-Code: smtp; 550 5.1.1 no such user for ({CODE})"),
        "",
        "--b",
        "Content-Type: text/rfc822-headers",
        "",
        &format!("Message-ID: {message}"),
        "",
        "--b--",
        "",
    ]
    .join("\r\n")
}

#[tokio::test(start_paused = true)]
async fn a_bounce_ends_the_search_in_the_words_of_who_refused_and_is_removed() {
    for (mut scene, stage, found) in [(Scene::imap().await, Stage::Fetch, 5), (Scene::pop3().await, Stage::Top, 10)] {
        for (envelope, message) in [("env-7", "<other@x>"), ("other", "<sent@sender.test>")] {
            scene = scene.comes(seconds(5), "INBOX", bounce(envelope, message, "failed"));
            let begun = Instant::now();
            let finding = scene.plays().await;
            assert_eq!(failed(&finding), Some((Reason::MessageBounced, Some(stage))));
            assert_eq!(begun.elapsed().as_secs(), found);
            let failure = finding.report.failure.unwrap();
            assert_eq!(failure.words.as_deref(), Some("550 5.1.1 no such user for ([redacted])"));
            let hint = "The mail to box@example.net came back from mx.example.net with 5.1.1: 550 5.1.1 no such user";
            assert!(failure.hint().starts_with(hint), "{}", failure.hint());
            assert_eq!(scene.office.left("INBOX").len(), 5, "a bounce that names our mail is ours");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bounce_of_another_mail_is_read_and_left_alone() {
    for mut scene in [Scene::imap().await, Scene::pop3().await] {
        scene = scene.comes(seconds(1), "INBOX", bounce("env-8", "<theirs@x>", "failed")).comes(seconds(30), "INBOX", ours());
        let finding = scene.plays().await;
        assert!(finding.found.is_some(), "{:?}", finding.report.failure);
        assert_eq!(scene.office.left("INBOX").len(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_delete_leaves_the_bounce() {
    let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", bounce("env-7", "<x@x>", "failed"));
    scene.search.cleanup = Cleanup::MarkSeen;
    assert_eq!(failed(&scene.plays().await).unwrap().0, Reason::MessageBounced);
    assert_eq!(scene.office.left("INBOX").len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_kept_and_the_search_goes_on() {
    let mut scene = Scene::imap().await.comes(seconds(5), "INBOX", bounce("env-7", "<x@x>", "delayed"));
    let finding = scene.plays().await;
    assert_eq!(failed(&finding).unwrap().0, Reason::MessageNotReceived);
    let delayed = finding.delayed.unwrap();
    assert_eq!((delayed.action, delayed.diagnosis().reason), (Action::Delayed, Reason::MessageDelayed));
    assert!(
        delayed.diagnosis().hint().starts_with("The mail is held up before mx.example.net"),
        "{}",
        delayed.diagnosis().hint()
    );
    assert_eq!(scene.office.left("INBOX").len(), 5);
}

#[tokio::test(start_paused = true)]
async fn of_all_other_mail_no_more_than_headers_is_read() {
    let mut scene = Scene::imap().await;
    for second in 1..30 {
        scene = scene.comes(seconds(second), "INBOX", super::foreign());
    }
    scene.plays().await;
    let bodies = scene.office.state().said.iter().filter(|(_, line)| line.contains("BODY.PEEK[]")).count();
    assert_eq!(bodies, 0);
}
