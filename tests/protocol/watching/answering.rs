//! Answers to probes are waited for at one desk, however many wait (promises 6, 7, 9, 10 and 11).

use std::time::Duration;

use futures::future::{join, join_all, join3};
use mailverity::{
    api::{Reason, v1alpha1::RoundTripPolicySpec},
    mail::mailbox::{Cleanup, Mark},
    verify::{
        mailbox::{
            Inputs,
            desk::{Awaited, Desk, Heard, News, Tells, Wish, watch as watches_at},
        },
        round_trip::matching::Expectation,
    },
};
use tokio::{
    sync::{mpsc::UnboundedReceiver, watch},
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{
    Scene, later,
    returning::{Ends, vantage},
    seconds,
};

const TEXT: &str = "do not remove this line";

fn id(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

fn probe(n: u8) -> Awaited {
    let mut spec = RoundTripPolicySpec { to: "echo@partner.test".to_owned(), ..RoundTripPolicySpec::default() };
    TEXT.clone_into(&mut spec.message.body);
    Awaited::Answer(Expectation::new(&spec, id(n), "probe@corp.test"))
}

fn wish(n: u8, since: Option<Mark>) -> Wish {
    let begun = Instant::now();
    Wish { awaited: vec![probe(n)], cleanup: Cleanup::Delete, since, begun, until: Some(begun + seconds(300)) }
}

fn answer(n: u8, from: &str) -> String {
    format!("From: {from}\r\nSubject: Re: round trip ({})\r\nIn-Reply-To: <{}@corp.test>\r\n\r\n> {TEXT}\r\n", id(n), id(n))
}

fn right(n: u8) -> String {
    answer(n, "echo@partner.test")
}

fn bounced(n: u8) -> String {
    super::bouncing::bounce(&id(n).to_string(), "<x@x>", "failed")
}

/// A desk, and somebody who takes part in its watch.
struct Place {
    desk: Desk,
    end: watch::Sender<bool>,
}

impl Place {
    fn new() -> Self {
        Self { desk: Desk::default(), end: watch::channel(false).0 }
    }

    async fn watches(&self, inputs: &Inputs) -> Result<(), mailverity::mail::Diagnosis> {
        watches_at(inputs, &vantage(), &Ends(self.end.subscribe()), &self.desk).await
    }

    fn ends(&self) {
        self.end.send_replace(true);
    }
}

async fn heard(hears: &mut UnboundedReceiver<News>) -> Heard {
    match timeout(seconds(3600), hears.recv()).await.expect("news in time") {
        Some(News::Mail(mail)) => *mail,
        other => panic!("{other:?}"),
    }
}

/// The reason that a mail was told with; none where it was right.
fn reason(heard: &Heard, n: u8) -> Option<Reason> {
    let Tells::Answer(of, answer) = &heard.tells else { panic!("{heard:?}") };
    assert_eq!(*of, id(n));
    answer.failure.as_ref().map(|failure| failure.reason)
}

#[tokio::test(start_paused = true)]
async fn a_right_answer_is_found_at_once_and_removed_only_once_it_is_noted() {
    // promises 10 and 11
    let scene = Scene::imap().await;
    let (place, before) = (Place::new(), scene.office.left("INBOX").len());
    let hears = async {
        let mark = place.desk.note().await.unwrap();
        assert_eq!(mark, Mark::Imap { validity: 9, next: 21 });
        // It comes between the note and the look.
        scene.office.put("INBOX", &right(1));
        let (mut hears, _waits) = place.desk.wait_for(wish(1, Some(mark)));
        let begun = Instant::now();
        let first = heard(&mut hears).await;
        assert!(begun.elapsed() < seconds(1), "{:?}", begun.elapsed());
        assert_eq!((reason(&first, 1), first.junk.clone()), (None, None));
        sleep(seconds(5)).await;
        assert_eq!(scene.office.left("INBOX").len(), before + 1, "nobody has noted it");
        // Who cannot note it is told again.
        drop(first);
        let again = heard(&mut hears).await;
        assert_eq!(reason(&again, 1), None);
        again.noted.tell();
        sleep(seconds(1)).await;
        assert_eq!(scene.office.left("INBOX").len(), before, "noted, and removed");
        assert!(scene.office.said("UID EXPUNGE 21").len() == 1 && scene.office.said("EXPUNGE").is_empty());
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_somebody_else_is_told_and_not_removed_and_a_report_is_told_as_what_it_is() {
    let scene = Scene::imap().await;
    let (place, before) = (Place::new(), scene.office.left("INBOX").len());
    let hears = async {
        let mark = place.desk.note().await.unwrap();
        let (mut hears, _waits) = place.desk.wait_for(wish(1, Some(mark)));
        later(&scene.office, seconds(10), "INBOX", answer(1, "stranger@else.test"));
        later(&scene.office, seconds(60), "INBOX", bounced(1));
        // Of somebody else's mail.
        later(&scene.office, seconds(60), "INBOX", bounced(9));
        for expected in [Reason::ReplyFromMismatch, Reason::MessageBounced] {
            let mail = heard(&mut hears).await;
            assert_eq!(reason(&mail, 1), Some(expected));
            mail.noted.tell();
        }
        sleep(seconds(30)).await;
        let left = scene.office.left("INBOX");
        assert_eq!(left.len(), before + 2, "{left:#?}");
        assert!(left.iter().any(|mail| mail.contains("stranger")) && left.iter().any(|mail| mail.contains(&id(9).to_string())));
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn of_other_mail_no_body_is_ever_fetched_and_nothing_is_marked_as_read() {
    let scene = Scene::imap().await;
    let place = Place::new();
    let hears = async {
        let mark = place.desk.note().await.unwrap();
        let (mut hears, _waits) = place.desk.wait_for(wish(1, Some(mark)));
        for _ in 0..60 {
            scene.office.put("INBOX", &answer(7, "echo@partner.test"));
        }
        scene.office.put("INBOX", &right(1));
        let mail = heard(&mut hears).await;
        mail.noted.tell();
        sleep(seconds(1)).await;
        let said = scene.office.state().said.clone();
        let bodies: Vec<_> = said.iter().filter(|(_, line)| line.contains("BODY") && !line.contains("HEADER.FIELDS")).collect();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        assert!(bodies[0].1.starts_with("UID FETCH 81 (UID BODY.PEEK[]<0."), "{bodies:?}");
        assert!(said.iter().all(|(_, line)| !line.contains("FETCH") || line.contains(".PEEK")));
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn two_hundred_wait_in_one_session_which_goes_from_hand_to_hand() {
    let scene = Scene::imap().await;
    let desk = Desk::default();
    let parties = (1..=200).map(|n| {
        let (desk, scene) = (&desk, &scene);
        async move {
            let (end, ends) = watch::channel(false);
            let hears = async {
                let mark = desk.note().await.unwrap();
                let (mut hears, _waits) = desk.wait_for(wish(n, Some(mark)));
                later(&scene.office, Duration::from_millis(u64::from(n) * 300), "INBOX", right(n));
                let mail = heard(&mut hears).await;
                assert_eq!(reason(&mail, n), None);
                mail.noted.tell();
                sleep(seconds(1)).await;
                end.send_replace(true);
            };
            let (vantage, gate) = (vantage(), Ends(ends));
            assert_eq!(join(watches_at(&scene.inputs, &vantage, &gate, desk), hears).await.0, Ok(()));
        }
    });
    join_all(parties).await;
    assert_eq!(scene.office.left("INBOX").len(), 5, "all were removed");
    assert_eq!(scene.office.said("AUTHENTICATE").len(), 1);
    assert_eq!(scene.office.said("LOGOUT").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_search_resumes_from_its_mark_and_where_uids_began_anew_all_may_be_it() {
    for (next, validity, is_told) in [(21, 9, true), (22, 9, false), (500, 3, true)] {
        let scene = Scene::imap().await;
        scene.office.put("INBOX", &right(1));
        for _ in 0..120 {
            scene.office.put("INBOX", "Subject: hello\r\n\r\nyou\r\n");
        }
        let place = Place::new();
        let (mut hears, _waits) = place.desk.wait_for(wish(1, Some(Mark::Imap { validity, next })));
        let hears = async {
            let told = timeout(seconds(60), hears.recv()).await.is_ok();
            assert_eq!(told, is_told, "from {next} of {validity}");
            place.ends();
        };
        assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_joins_late_with_an_old_mark_is_served_from_there_in_the_same_session() {
    let scene = Scene::imap().await;
    scene.office.put("INBOX", &right(2));
    let place = Place::new();
    let hears = async {
        let (_first, _waits) = place.desk.wait_for(wish(1, Some(place.desk.note().await.unwrap())));
        sleep(seconds(120)).await;
        let (mut hears, _waits) = place.desk.wait_for(wish(2, Some(Mark::Imap { validity: 9, next: 21 })));
        let begun = Instant::now();
        assert_eq!(reason(&heard(&mut hears).await, 2), None);
        assert!(begun.elapsed() < seconds(1));
        assert_eq!(scene.office.said("AUTHENTICATE").len(), 1);
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_junk_is_told_with_its_folder_at_a_third_of_the_time_and_the_end_is_told() {
    // promise 10
    let scene = Scene::imap().await;
    let place = Place::new();
    let hears = async {
        let mark = place.desk.note().await.unwrap();
        let (mut hears, _waits) = place.desk.wait_for(wish(1, Some(mark)));
        let begun = Instant::now();
        scene.office.put("Spam", &right(1));
        later(&scene.office, seconds(250), "Spam", answer(1, "stranger@else.test"));
        let mail = heard(&mut hears).await;
        assert_eq!((reason(&mail, 1), mail.junk.as_deref()), (None, Some("Spam")));
        assert!((99..103).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        mail.noted.tell();
        let mail = heard(&mut hears).await;
        assert_eq!(reason(&mail, 1), Some(Reason::ReplyFromMismatch));
        assert!((299..303).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        mail.noted.tell();
        assert!(matches!(hears.recv().await, Some(News::Over)));
        assert_eq!(scene.office.left("Spam").len(), 1, "the stranger's stays");
        // What is late is told all the same.
        later(&scene.office, seconds(60), "INBOX", right(1));
        assert_eq!(reason(&heard(&mut hears).await, 1), None);
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_told_to_all_and_tried_once() {
    // promises 7 and 8
    let scene = Scene::imap().await.with(|scene| {
        scene.office.state().trouble = Box::new(|line, _| {
            line.starts_with("AUTHENTICATE").then_some("TAG NO [AUTHENTICATIONFAILED] Authentication failed.")
        });
    });
    let place = Place::new();
    let (mut one, _first) = place.desk.wait_for(wish(1, None));
    let (mut other, _second) = place.desk.wait_for(wish(2, None));
    let asks = async { place.desk.note().await.unwrap_err() };
    let (first, second, noted) = join3(place.watches(&scene.inputs), place.watches(&scene.inputs), asks).await;
    for failure in [first.unwrap_err(), second.unwrap_err(), noted] {
        assert_eq!(failure.reason, Reason::AuthenticationFailed, "{failure}");
    }
    for hears in [&mut one, &mut other] {
        let Some(News::Failed { failure, over: true }) = hears.recv().await else { panic!("no failure") };
        assert_eq!(failure.reason, Reason::AuthenticationFailed);
    }
    assert_eq!(scene.office.said("AUTHENTICATE").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_time_may_cure_is_tried_again_and_told_meanwhile() {
    let scene = Scene::imap().await.with(|scene| {
        scene.office.state().trouble = Box::new(|line, number| {
            (number < 3 && line.starts_with("AUTHENTICATE")).then_some("TAG NO [UNAVAILABLE] Try later.")
        });
    });
    let place = Place::new();
    scene.office.put("INBOX", &right(1));
    let (mut hears, _waits) = place.desk.wait_for(wish(1, Some(Mark::Imap { validity: 9, next: 21 })));
    let hears = async {
        for _ in 0..2 {
            assert!(matches!(hears.recv().await, Some(News::Failed { over: false, .. })));
        }
        let mail = heard(&mut hears).await;
        mail.noted.tell();
        sleep(seconds(5)).await;
        // A session that is lost is opened again, and what came meanwhile is found.
        scene.office.cut("* BYE see you\r\n");
        sleep(Duration::from_millis(100)).await;
        scene.office.put("INBOX", &right(1));
        assert_eq!(reason(&heard(&mut hears).await, 1), None);
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
    assert_eq!(scene.office.state().connections, 4);
}

#[tokio::test(start_paused = true)]
async fn over_pop3_an_answer_is_found_in_the_next_session_and_removed_once_it_is_noted() {
    let scene = Scene::pop3().await;
    let place = Place::new();
    let hears = async {
        let mark = place.desk.note().await.unwrap();
        assert_eq!(mark, Mark::Pop3 { messages: 5 });
        let (mut hears, _waits) = place.desk.wait_for(wish(1, Some(mark)));
        later(&scene.office, seconds(1), "INBOX", right(1));
        scene.office.put("INBOX", &answer(1, "stranger@else.test"));
        let begun = Instant::now();
        for expected in [Some(Reason::ReplyFromMismatch), None] {
            let mail = heard(&mut hears).await;
            assert_eq!(reason(&mail, 1), expected);
            assert!((2..4).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
            mail.noted.tell();
        }
        sleep(seconds(2)).await;
        assert_eq!(scene.office.left("INBOX").len(), 6, "the stranger's stays");
        assert!(scene.office.said("TOP").len() > 5);
        // The stranger's is not told again, and the end is.
        assert!(matches!(hears.recv().await, Some(News::Over)));
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn over_pop3_many_share_eight_logins_in_ten_minutes() {
    // promise 9
    let scene = Scene::pop3().await;
    let place = Place::new();
    let waits = async {
        let mark = place.desk.note().await.unwrap();
        let mut waiting = Vec::new();
        for n in 1..=50 {
            waiting.push(place.desk.wait_for(wish(n, Some(mark.clone()))));
            sleep(seconds(30)).await;
        }
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), waits).await.0, Ok(()));
    let at = scene.office.said("AUTH");
    assert!(at.len() > 8, "{at:?}");
    for from in &at {
        assert!(at.iter().filter(|at| (*from..from + 599.0).contains(*at)).count() <= 8, "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_note_alone_hears_why_there_is_none() {
    let scene = Scene::imap().await.with(|scene| {
        scene.office.state().trouble =
            Box::new(|line, _| line.starts_with("SELECT").then_some("TAG NO [NOPERM] Permission denied"));
    });
    let place = Place::new();
    let (mut hears, _waits) = place.desk.wait_for(wish(1, None));
    let (watched, noted) = join(place.watches(&scene.inputs), timeout(seconds(60), place.desk.note())).await;
    assert_eq!(watched.unwrap_err().reason, Reason::MailboxAccessDenied);
    assert_eq!(noted.unwrap().unwrap_err().reason, Reason::MailboxAccessDenied);
    assert!(matches!(hears.recv().await, Some(News::Failed { over: true, .. })));
}

#[tokio::test(start_paused = true)]
async fn where_who_watches_is_cut_off_the_next_goes_on_and_what_was_not_noted_is_told_again() {
    let scene = Scene::imap().await;
    scene.office.put("INBOX", &right(1));
    let place = Place::new();
    let (mut hears, _waits) = place.desk.wait_for(wish(1, Some(Mark::Imap { validity: 9, next: 21 })));
    // It is told, and nobody is left to remove it.
    assert!(timeout(seconds(5), place.watches(&scene.inputs)).await.is_err());
    heard(&mut hears).await.noted.tell();
    assert_eq!(scene.office.left("INBOX").len(), 6);
    let hears = async {
        let mail = heard(&mut hears).await;
        assert_eq!(reason(&mail, 1), None);
        mail.noted.tell();
        sleep(seconds(1)).await;
        assert_eq!(scene.office.left("INBOX").len(), 5);
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
    assert_eq!(scene.office.said("AUTHENTICATE").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn however_much_comes_it_is_looked_at_every_20_seconds_and_so_much_at_a_time() {
    // promise 10
    let scene = Scene::imap().await;
    let place = Place::new();
    let hears = async {
        let mark = place.desk.note().await.unwrap();
        let (mut hears, _waits) = place.desk.wait_for(wish(1, Some(mark)));
        sleep(seconds(30)).await;
        let before = scene.office.said("").len();
        for n in 0..240 {
            later(&scene.office, seconds(n + 1), "INBOX", "Subject: hello\r\n\r\nyou\r\n".to_owned());
        }
        sleep(seconds(240)).await;
        let said = scene.office.said("").len() - before;
        assert!(said < 60, "{said} commands in 4 minutes");
        // Everybody writes about our probe.
        for _ in 0..3000 {
            scene.office.put("INBOX", &answer(1, "stranger@else.test"));
        }
        scene.office.put("INBOX", &right(1));
        let mut strange = 0;
        loop {
            let mail = heard(&mut hears).await;
            let is_right = reason(&mail, 1).is_none();
            mail.noted.tell();
            if is_right {
                break;
            }
            strange += 1;
        }
        assert_eq!(strange, 100);
        let bodies = scene.office.state().said.iter().filter(|(_, line)| line.contains("BODY.PEEK[]")).count();
        assert!(bodies <= 500, "{bodies}");
        place.ends();
    };
    assert_eq!(join(place.watches(&scene.inputs), hears).await.0, Ok(()));
}
