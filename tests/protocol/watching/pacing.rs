//! How often one looks, and what that costs the server (promises 9 and 10).

use mailverity::{
    api::Reason,
    mail::{
        Stage,
        mailbox::{Cleanup, Mark},
    },
    verify::mailbox::attend::Patience,
};
use tokio::time::Instant;

use super::{Scene, failed, foreign, of_run, ours, seconds};
use crate::world::CODE;

fn rounded(times: &[f64]) -> Vec<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of a test")]
    times.iter().map(|at| at.round() as i64).collect()
}

/// Commands, without what ends IDLE.
fn commands(scene: &Scene<'_>) -> Vec<String> {
    let state = scene.office.state();
    state.said.iter().map(|(_, line)| line.clone()).filter(|line| line != "DONE").collect()
}

#[tokio::test(start_paused = true)]
async fn five_minutes_in_a_quiet_mailbox_cost_at_most_25_commands() {
    let mut scene = Scene::imap().await;
    let finding = scene.plays().await;
    assert_eq!(failed(&finding).unwrap().0, Reason::MessageNotReceived);
    let commands = commands(&scene);
    assert!(commands.len() <= 25, "{}: {commands:#?}", commands.len());
}

#[tokio::test(start_paused = true)]
async fn five_minutes_in_which_a_mail_comes_each_second_cost_at_most_60_commands() {
    let mut scene = Scene::imap().await;
    for second in 1..300 {
        scene = scene.comes(seconds(second), "INBOX", foreign());
    }
    let finding = scene.plays().await;
    assert_eq!(failed(&finding).unwrap().0, Reason::MessageNotReceived);
    let commands = commands(&scene);
    assert!(commands.len() <= 60, "{}: {commands:#?}", commands.len());
}

#[tokio::test(start_paused = true)]
async fn the_first_notice_is_looked_at_at_once_and_later_ones_every_20_seconds() {
    let mut scene = Scene::imap().await.comes(seconds(50), "INBOX", ours());
    for second in 30..50 {
        scene = scene.comes(seconds(second), "INBOX", foreign());
    }
    let finding = scene.plays().await;
    assert!(finding.found.is_some());
    assert_eq!(rounded(&scene.office.said("UID FETCH")), [30, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_idle_is_asked_in_steps_of_20_seconds_at_most() {
    let mut scene = Scene::imap().await.comes(seconds(100), "INBOX", ours());
    scene.office.state().capabilities = "IMAP4rev1 UIDPLUS";
    let begun = Instant::now();
    let finding = scene.plays().await;
    assert!(finding.found.is_some());
    assert!(begun.elapsed() < seconds(121), "{:?}", begun.elapsed());
    assert!(scene.office.said("NOOP").len() < 25);
}

#[tokio::test(start_paused = true)]
async fn over_pop3_eight_logins_are_spread_over_the_time() {
    // promise 9
    let mut scene = Scene::pop3().await.with(|scene| scene.search.timeout = seconds(900));
    let finding = scene.plays().await;
    assert_eq!(failed(&finding), Some((Reason::MessageNotReceived, Some(Stage::Top))));
    assert_eq!(rounded(&scene.office.said("AUTH")), [0, 2, 10, 30, 60, 340, 620, 900]);
    assert_eq!((finding.sessions, scene.office.said("QUIT").len()), (8, 8), "each session is left, so that the lock is");
    assert_eq!(scene.sent, [(Mark::Pop3 { messages: 5 }, "QUIT".to_owned())], "who delivers needs the lock");
}

#[tokio::test(start_paused = true)]
async fn over_pop3_a_mail_is_found_and_removed_in_one_session() {
    let mut scene =
        Scene::pop3().await.comes(seconds(5), "INBOX", ours()).comes(seconds(5), "INBOX", of_run("there/uid/1", CODE));
    let earlier = |id: &str| if id == "6" { vec![CODE] } else { Vec::new() };
    scene.search.earlier = Some(&earlier);
    scene.office.put("INBOX", &of_run("here/uid/6", CODE));
    let finding = scene.plays().await;
    assert_eq!(failed(&finding), None, "{:?}", finding.report.failure);
    assert_eq!((finding.sessions, finding.removed, finding.swept, finding.found.unwrap().copies), (3, 1, 1, 1));
    assert_eq!(rounded(&scene.office.said("AUTH")), [0, 2, 10]);
    assert_eq!(scene.office.left("INBOX").len(), 6, "five of before and the foreign one");
}

#[tokio::test(start_paused = true)]
async fn a_maildrop_that_is_held_by_another_is_looked_into_at_the_next_time() {
    let mut scene = Scene::pop3().await.comes(seconds(1), "INBOX", ours());
    let busy =
        |line: &str, number| (line.starts_with("AUTH") && (2..4).contains(&number)).then_some("-ERR [IN-USE] held by another");
    scene.office.state().trouble = Box::new(busy);
    let finding = scene.plays().await;
    assert!(finding.found.is_some(), "{:?}", finding.report.failure);
    assert_eq!(rounded(&scene.office.said("AUTH")), [0, 2, 10, 30]);

    let mut scene = Scene::pop3().await;
    let busy = |line: &str, number| (line.starts_with("AUTH") && number > 1).then_some("-ERR [IN-USE] held");
    scene.office.state().trouble = Box::new(busy);
    let finding = scene.plays().await;
    assert_eq!(failed(&finding).unwrap().0, Reason::MailboxBusy, "nothing was seen to the end");
    assert_eq!(finding.sessions, 8);
}

#[tokio::test(start_paused = true)]
async fn for_a_person_one_comes_back_each_minute_and_holds_no_connection() {
    // promise 10
    let mut scene = Scene::imap().await.comes(seconds(130), "INBOX", format!("Subject: Fwd: ({CODE})\r\n\r\n"));
    scene.search.patience = Patience::Return { every: seconds(60) };
    (scene.search.run, scene.search.cleanup) = (None, Cleanup::Keep);
    let finding = scene.resumes(None, super::MINUTES).await;
    assert!(finding.found.is_some());
    assert_eq!(rounded(&scene.office.said("EXAMINE \"INBOX\"")), [0, 60, 120, 120, 180], "junk at a third");
    assert_eq!((finding.sessions, scene.office.said("LOGOUT").len(), scene.office.said("IDLE").len()), (4, 4, 0));
}
