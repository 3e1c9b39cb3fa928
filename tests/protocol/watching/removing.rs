//! What is removed beside the mail that was looked for, and what happens where that cannot be (promise 11).

use std::sync::Mutex;

use futures::future::{BoxFuture, FutureExt};
use mailverity::{
    mail::{
        Stage,
        mailbox::Cleanup,
        protocol::Protocol,
        stage::{Outcome, Record},
    },
    verify::{
        Report,
        mailbox::attend::{Finding, Witness},
    },
};
use uuid::Uuid;

use super::{Scene, failed, of_run, office::Office, ours, seconds};
use crate::world::CODE;

const OLD: Uuid = Uuid::from_u128(0x0123_4567_89ab_8def_8123_4567_89ab_0001);

fn cleanup(finding: &Finding) -> &Record {
    finding.report.stages.iter().find(|record| record.stage == Stage::Cleanup).expect("a cleanup")
}

/// Run 5 had the old code, and so has this one, of which other actors still look; no other run is over.
fn earlier(id: &str) -> Vec<Uuid> {
    if id == "5" || id == "7" { vec![OLD] } else { Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn what_earlier_runs_have_left_is_swept_20_at_a_time_and_nothing_else_is() {
    let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", ours());
    scene.search.earlier = Some(&earlier);
    let stays = [
        of_run("here/uid/7", OLD),
        of_run("here/uid/6", OLD),
        of_run("here/uid/5", Uuid::from_u128(1)),
        of_run("here/other/5", OLD),
        of_run("there/uid/5", OLD),
        of_run("here/uid/", OLD),
        format!("Subject: ({OLD})\r\n\r\n"),
    ];
    for mail in &stays {
        scene.office.put("INBOX", mail);
    }
    for _ in 0..23 {
        scene.office.put("INBOX", &of_run("here/uid/5", OLD));
    }
    let finding = scene.plays().await;
    assert_eq!((finding.removed, finding.swept), (1, 20), "{:?}", cleanup(&finding));
    let left = scene.office.left("INBOX");
    assert!(stays.iter().all(|mail| left.contains(mail)), "{left:#?}");
    assert_eq!(left.len(), 5 + stays.len() + 3);
    assert_eq!(cleanup(&finding).detail.as_deref(), Some("removed: 1, of earlier runs: 20"));
}

#[tokio::test(start_paused = true)]
async fn without_uidplus_what_was_marked_is_not_swept_again() {
    let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", ours());
    scene.search.earlier = Some(&earlier);
    scene.office.state().capabilities = "IMAP4rev1 IDLE";
    scene.office.put("INBOX", &of_run("here/uid/5", OLD));
    let finding = scene.plays().await;
    assert_eq!((finding.removed, finding.swept, scene.office.said("UID EXPUNGE").len()), (1, 1, 0));
    let mut again = Scene { office: scene.office.clone(), ..Scene::imap().await }.comes(seconds(0), "INBOX", ours());
    again.inputs.endpoint.port = scene.office.address.port();
    again.search.earlier = Some(&earlier);
    assert_eq!(again.plays().await.swept, 0);
}

#[tokio::test(start_paused = true)]
async fn only_who_deletes_sweeps_and_only_where_runs_are_known() {
    for (how, known) in [(Cleanup::MarkSeen, true), (Cleanup::Keep, true), (Cleanup::Delete, false)] {
        let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", ours());
        scene.search.cleanup = how;
        scene.search.earlier = if known { Some(&earlier) } else { None };
        scene.office.put("INBOX", &of_run("here/uid/5", OLD));
        assert_eq!(scene.plays().await.swept, 0, "{how:?}");
        assert_eq!(scene.office.said("UID SEARCH").len(), 0, "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_search_sweeps_nothing_and_that_is_no_failure() {
    let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", ours());
    scene.search.earlier = Some(&earlier);
    scene.office.state().trouble = Box::new(|line, _| line.starts_with("UID SEARCH").then_some("TAG NO cannot"));
    let finding = scene.plays().await;
    assert_eq!((finding.removed, finding.swept, cleanup(&finding).outcome), (1, 0, Outcome::Passed));
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_that_fails_is_told_and_the_mail_stays_found() {
    for (command, said, words) in [
        ("UID STORE", "TAG NO [NOPERM] read-only", "NO [NOPERM] read-only"),
        ("UID SEARCH", "* BYE going down", "BYE going down"),
    ] {
        let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", ours());
        scene.search.earlier = Some(&earlier);
        scene.office.state().trouble = Box::new(move |line, _| line.starts_with(command).then_some(said));
        let finding = scene.plays().await;
        assert_eq!(failed(&finding), None, "{command}");
        assert!(finding.found.is_some());
        let record = cleanup(&finding);
        assert_eq!(record.outcome, Outcome::Failed);
        assert!(record.detail.as_ref().unwrap().contains(words), "{record:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_while_it_is_cleaned_up_is_left_after_ten_seconds() {
    let mut scene = Scene::imap().await.comes(seconds(0), "INBOX", ours());
    scene.office.state().trouble = Box::new(|line, _| line.starts_with("UID STORE").then_some("* OK wait"));
    let begun = tokio::time::Instant::now();
    let finding = scene.plays().await;
    assert_eq!((failed(&finding), cleanup(&finding).outcome), (None, Outcome::Failed));
    assert!(begun.elapsed() < seconds(13), "{:?}", begun.elapsed());
    assert_eq!(finding.found.unwrap().sighting.code, CODE);
}

/// Takes note of what is found, or does not.
struct Notes {
    office: Office,
    takes: bool,
    /// Whether the mail was still there when it was told of.
    there: Mutex<Option<bool>>,
}

impl Witness for Notes {
    fn found<'a>(&'a self, finding: &'a Finding, so_far: Report) -> BoxFuture<'a, bool> {
        assert!(finding.found.is_some() && so_far.stages.iter().any(|record| record.stage == Stage::Auth));
        *self.there.lock().unwrap() = Some(is_there(&self.office));
        async { self.takes }.boxed()
    }
}

fn is_there(office: &Office) -> bool {
    office.left("INBOX").iter().any(|mail| mail.contains(&CODE.to_string()))
}

#[tokio::test(start_paused = true)]
async fn a_mail_is_removed_only_once_it_is_noted_that_it_was_found() {
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        for takes in [true, false] {
            let mut scene = Scene::new(protocol).await.comes(seconds(0), "INBOX", ours());
            let notes = Notes { office: scene.office.clone(), takes, there: Mutex::default() };
            scene.search.witness = Some(&notes);
            let finding = scene.plays().await;
            assert!(finding.found.is_some(), "{protocol:?}: {:?}", finding.report.failure);
            assert_eq!(*notes.there.lock().unwrap(), Some(true), "{protocol:?}: it is told first");
            assert_eq!((finding.removed, is_there(&notes.office)), (usize::from(takes), !takes), "{protocol:?}");
        }
    }
}
