//! What is found, where, and what that means.

use mailverity::{
    api::Reason,
    mail::{
        Stage,
        mailbox::{Cleanup, Mark},
    },
};
use tokio::time::Instant;

use super::{Scene, failed, foreign, of_run, ours, seconds};
use crate::world::CODE;

const MARK: Mark = Mark::Imap { validity: 9, next: 21 };

#[tokio::test(start_paused = true)]
async fn a_mail_that_is_there_at_once_is_found_removed_and_left_behind_in_order() {
    let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", ours());
    let begun = Instant::now();
    let finding = scene.plays().await;
    assert_eq!(failed(&finding), None, "{:?}", finding.report.failure);
    let found = finding.found.unwrap();
    assert_eq!((found.sighting.code, found.sighting.run.as_deref(), found.copies), (CODE, Some("here/uid/7"), 1));
    assert_eq!((finding.mark, finding.sessions, finding.removed, finding.swept), (Some(MARK), 1, 1, 0));
    assert_eq!(scene.sent, [(MARK, "SELECT \"INBOX\"".to_owned())], "while the mailbox is open");
    assert!(begun.elapsed() < seconds(1));
    assert_eq!(scene.office.left("INBOX").len(), 5);
    let stages: Vec<_> = finding.report.stages.iter().map(|record| record.stage.as_str()).collect();
    assert_eq!(stages[stages.len() - 5..], ["AUTH", "Select", "Fetch", "Cleanup", "QUIT"]);
    let commands: Vec<_> = scene.office.state().said.iter().map(|(_, line)| line.clone()).collect();
    assert_eq!(commands[2], "SELECT \"INBOX\"", "to be changed");
    assert_eq!(commands.last().unwrap(), "LOGOUT");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_looked_at_without_the_right_to_change_it() {
    let mut scene = Scene::imap().await.with(|scene| scene.search.cleanup = Cleanup::Keep).comes(seconds(0), "INBOX", ours());
    let finding = scene.plays().await;
    assert!(finding.found.is_some());
    assert_eq!(scene.office.said("EXAMINE \"INBOX\"").len(), 1);
    assert_eq!((scene.office.said("SELECT").len(), scene.office.said("UID STORE").len()), (0, 0));
    assert!(!finding.report.stages.iter().any(|record| record.stage == Stage::Cleanup));
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_comes_late_is_found_by_a_notice() {
    let mut scene = Scene::imap().await.comes(seconds(100), "INBOX", ours());
    let begun = Instant::now();
    let finding = scene.plays().await;
    assert!(finding.found.is_some());
    assert_eq!(begun.elapsed().as_secs(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_does_not_come_is_told_with_where_and_how_long_it_was_looked_for() {
    let mut scene = Scene::imap().await.comes(seconds(7), "INBOX", foreign());
    let begun = Instant::now();
    let finding = scene.plays().await;
    assert_eq!(failed(&finding), Some((Reason::MessageNotReceived, Some(Stage::Fetch))));
    assert_eq!(begun.elapsed().as_secs(), 300);
    let failure = finding.report.failure.unwrap();
    assert!(failure.hint().starts_with("Not in INBOX after 300s. "), "{}", failure.hint());
    assert_eq!((finding.found, finding.in_junk, finding.sessions, finding.removed), (None, None, 1, 0));
    assert_eq!(scene.office.said("LOGOUT").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn junk_is_looked_at_at_a_third_of_the_time_and_at_its_end() {
    // promise 10
    let mut scene = Scene::imap().await;
    scene.plays().await;
    let times: Vec<_> = scene.office.said("EXAMINE \"Spam\"").iter().map(|at| at.round()).collect();
    assert_eq!(times, [100.0, 300.0]);

    for (comes, found) in [(20, 100), (150, 300)] {
        let mut scene = Scene::imap().await.comes(seconds(comes), "Spam", ours());
        let begun = Instant::now();
        let finding = scene.plays().await;
        assert_eq!(failed(&finding), Some((Reason::MessageInJunk, Some(Stage::Fetch))));
        assert_eq!((begun.elapsed().as_secs(), finding.removed), (found, 1));
        assert!(finding.report.failure.unwrap().hint().contains("was found in Spam"));
        assert!(finding.in_junk.unwrap().sighting.place.junk && finding.found.is_none());
        assert!(scene.office.left("Spam").is_empty(), "it is cleaned up, too");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_comes_while_junk_is_open_is_found_all_the_same() {
    let scene = Scene::imap().await;
    let office = scene.office.clone();
    let mut scene = scene.with(|scene| {
        scene.office.state().trouble = Box::new(move |line, _| {
            // Behind the lock that is held here.
            if line.starts_with("EXAMINE") {
                let office = office.clone();
                tokio::spawn(async move { office.put("INBOX", &ours()) });
            }
            None
        });
    });
    let begun = Instant::now();
    let finding = scene.plays().await;
    assert!(finding.found.is_some());
    assert!(begun.elapsed() <= seconds(121), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn all_copies_are_removed_those_in_junk_too_and_counted() {
    let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", ours()).comes(seconds(0), "INBOX", ours());
    let finding = scene.plays().await;
    assert_eq!((finding.found.unwrap().copies, finding.removed), (2, 2));
    assert_eq!(scene.office.left("INBOX").len(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_same_code_in_a_mail_of_somebody_else_is_not_ours() {
    // promise 11
    let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", of_run("there/uid/7", CODE));
    let finding = scene.plays().await;
    assert_eq!(failed(&finding).unwrap().0, Reason::MessageNotReceived);
    assert_eq!((finding.removed, scene.office.left("INBOX").len()), (0, 6));
}

#[tokio::test(start_paused = true)]
async fn a_mail_from_which_a_gateway_took_our_header_counts_and_stays() {
    // promise 11
    let stripped = format!("Subject: [EXTERNAL] mailverity check ({CODE})\r\n\r\n");
    for (run, removed) in [(Some(super::RUN), 0), (None, 1)] {
        let mut scene = Scene::imap().await.with(|scene| scene.search.run = run).comes(seconds(0), "INBOX", stripped.clone());
        let finding = scene.plays().await;
        assert_eq!(finding.found.unwrap().sighting.run, None);
        assert_eq!((finding.removed, scene.office.left("INBOX").len()), (removed, 6 - removed), "{run:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_goes_on_from_the_mark_of_another_process_and_without_one_looks_at_all() {
    let mut scene = Scene::imap().await;
    scene.office.put("INBOX", &ours());
    for mark in [Some(MARK), None] {
        let finding = scene.resumes(mark.clone(), seconds(60)).await;
        assert!(finding.found.is_some(), "{mark:?}");
        assert_eq!((finding.mark, finding.dispatched), (mark, None));
        scene.office.put("INBOX", &ours());
    }
    let finding = scene.resumes(Some(Mark::Imap { validity: 9, next: 99 }), seconds(30)).await;
    assert_eq!(failed(&finding).unwrap().0, Reason::MessageNotReceived, "it came before the mark");
    assert_eq!(scene.sent, []);
}
