//! Sessions that cannot be had, or do not last.

use mailverity::{
    api::Reason,
    mail::{Diagnosis, Stage},
};
use tokio::time::Instant;

use super::{Scene, failed, foreign, ours, seconds};

/// Ends all connections after so long.
fn cuts(scene: &Scene<'_>, after: u64, goodbye: &'static str) {
    let office = scene.office.clone();
    tokio::spawn(async move {
        tokio::time::sleep(seconds(after)).await;
        office.cut(goodbye);
    });
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_while_one_idles_is_made_again_and_the_mail_is_found() {
    for goodbye in ["", "* BYE Autologout\r\n"] {
        let mut scene = Scene::imap().await.comes(seconds(20), "INBOX", ours());
        cuts(&scene, 10, goodbye);
        cuts(&scene, 15, goodbye);
        let begun = Instant::now();
        let finding = scene.plays().await;
        assert_eq!(failed(&finding), None);
        assert_eq!((finding.sessions, finding.removed, begun.elapsed().as_secs()), (3, 1, 20), "{goodbye:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_came_between_two_sessions_is_found_from_the_same_mark() {
    let mut scene = Scene::imap().await.comes(seconds(10), "INBOX", ours());
    cuts(&scene, 9, "* BYE\r\n");
    let finding = scene.plays().await;
    assert!(finding.found.is_some());
    assert_eq!(finding.sessions, 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_no_more_is_left_and_met_again() {
    // Thirty seconds are the time for an answer, and one goes by before the server is met again.
    // The first DONE ends the first IDLE, after half a minute.
    for (silent, found) in [("NOOP", 60), ("IDLE", 60), ("DONE", 61)] {
        let mut scene = Scene::imap().await.comes(seconds(60), "INBOX", ours());
        scene.office.state().trouble = Box::new(move |line, number| (number == 1 && line == silent).then_some("* OK wait"));
        let begun = Instant::now();
        let finding = scene.plays().await;
        assert!(finding.found.is_some(), "{silent}: {:?}", finding.report.failure);
        assert_eq!((finding.sessions, begun.elapsed().as_secs()), (2, found), "{silent}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_uids_begin_anew_during_a_run_the_mail_is_found_among_all_that_is_there() {
    let mut scene = Scene::imap().await.comes(seconds(12), "INBOX", foreign()).comes(seconds(12), "INBOX", ours());
    let office = scene.office.clone();
    tokio::spawn(async move {
        tokio::time::sleep(seconds(10)).await;
        let renumber = |state: &mut super::office::State| {
            state.folders[0].validity = 10;
            for (at, mail) in state.folders[0].mails.iter_mut().enumerate() {
                mail.uid = u32::try_from(at).unwrap() + 1;
            }
            state.folders[0].next = 6;
        };
        office.clone().with(renumber).cut("* BYE\r\n");
    });
    let finding = scene.plays().await;
    assert_eq!(finding.found.unwrap().sighting.place.validity, 10);
    assert_eq!((finding.removed, scene.office.left("INBOX").len()), (1, 6));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_is_the_reason_only_at_the_end_and_is_not_stormed() {
    let mut scene = Scene::imap().await;
    scene.office.state().trouble =
        Box::new(|line, number| (number > 1 && line.starts_with("AUTH")).then_some("* BYE shutting down"));
    cuts(&scene, 10, "* BYE shutting down\r\n");
    let begun = Instant::now();
    let finding = scene.plays().await;
    let (reason, stage) = failed(&finding).unwrap();
    assert_eq!((reason, stage), (Reason::AuthenticationUnavailable, Some(Stage::Auth)), "{:?}", finding.report.failure);
    assert_eq!(begun.elapsed().as_secs(), 300);
    let times: Vec<_> = scene.office.said("AUTHENTICATE").iter().map(|at| at.round()).collect();
    assert_eq!(times, [0.0, 11.0, 13.0, 17.0, 25.0, 41.0, 73.0, 133.0, 193.0, 253.0, 300.0]);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_on_coming_back_ends_the_search() {
    // promise 7
    let mut scene = Scene::imap().await;
    scene.office.state().trouble =
        Box::new(|line, number| (number > 1 && line.starts_with("AUTH")).then_some("TAG NO [AUTHENTICATIONFAILED] no"));
    cuts(&scene, 10, "");
    let begun = Instant::now();
    let finding = scene.plays().await;
    assert_eq!(failed(&finding), Some((Reason::AuthenticationFailed, Some(Stage::Auth))));
    assert_eq!((finding.sessions, begun.elapsed().as_secs()), (2, 11));
    assert_eq!(scene.office.said("AUTHENTICATE").len(), 2, "no other mechanism");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_where_the_mailbox_cannot_be_opened() {
    for trouble in ["TAG NO [UNAVAILABLE] later", "TAG NO [AUTHENTICATIONFAILED] no"] {
        let mut scene = Scene::imap().await;
        scene.office.state().trouble = Box::new(|line, _| line.starts_with("AUTH").then_some(trouble));
        let begun = Instant::now();
        let finding = scene.plays().await;
        assert_eq!(failed(&finding).unwrap().1, Some(Stage::Auth), "{trouble}");
        assert_eq!((finding.sessions, finding.mark, finding.dispatched), (1, None, None));
        assert!(scene.sent.is_empty() && begun.elapsed() < seconds(1));
    }
    let mut scene = Scene::pop3().await;
    scene.office.state().trouble = Box::new(|line, _| (line == "STAT").then_some("-ERR [SYS/TEMP] no"));
    assert_eq!(failed(&scene.plays().await).unwrap().1, Some(Stage::List));
    assert!(scene.sent.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_cannot_be_sent_is_the_result_and_the_session_is_left_in_order() {
    for mut scene in [Scene::imap().await, Scene::pop3().await] {
        let refused = Diagnosis::new(Reason::RecipientRejected).at(Stage::Rcpt).words("550 no").fact("host", "smtp.test");
        scene.refused = Some(refused.clone());
        let finding = scene.plays().await;
        assert_eq!(finding.report.failure, Some(refused), "as it was told, with no facts of the mailbox");
        assert_eq!(scene.office.said("LOGOUT").len() + scene.office.said("QUIT").len(), 1);
        assert_eq!((finding.sessions, finding.dispatched), (1, None));
    }
}
