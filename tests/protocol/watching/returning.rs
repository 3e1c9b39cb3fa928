//! What comes back to the sender's mailbox is watched there for all who wait (promise 6).

use futures::future::join3;
use futures::future::{BoxFuture, FutureExt};
use mailverity::{
    mail::{
        Diagnosis, Vantage,
        bounce::{Action, Bounce},
        dns::Resolver,
        guard::Guard,
        mailbox::Cleanup,
    },
    verify::{
        Gate, Open,
        gate::Account,
        mailbox::desk::{Awaited, Desk, Heard, News, Sent, Tells, Wish, watch as watches_at},
        report::LoginOutcome,
    },
};
use tokio::{
    sync::{mpsc::UnboundedReceiver, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{Scene, bouncing::bounce, later, seconds};

/// Open until somebody ends it.
pub struct Ends(pub watch::Receiver<bool>);

impl Gate for Ends {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        Open.login(account)
    }

    fn logged_in(&self, _: &Account, _: LoginOutcome) {}

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        Open.send(recipient)
    }

    fn still(&self) -> Result<(), Diagnosis> {
        Ok(())
    }

    fn ends(&self) -> BoxFuture<'_, ()> {
        let mut ends = self.0.clone();
        async move { drop(ends.wait_for(|ends| *ends).await) }.boxed()
    }
}

fn sent(envelope: &str) -> Awaited {
    Awaited::Reports(Sent {
        actor: envelope.to_owned(),
        code: Uuid::nil(),
        message_id: None,
        envelope_id: Some(envelope.to_owned()),
    })
}

fn reports_on(awaited: Vec<Awaited>, cleanup: Cleanup) -> Wish {
    Wish { awaited, cleanup, since: None, begun: Instant::now(), until: None }
}

/// The next report, which is noted.
async fn reported(hears: &mut UnboundedReceiver<News>) -> (Sent, Bounce) {
    let News::Mail(mail) = hears.recv().await.unwrap() else { panic!("no mail") };
    let Heard { tells: Tells::Report(sent, bounce), noted, .. } = *mail else { panic!("no report") };
    noted.tell();
    // It is removed behind that.
    tokio::time::sleep(seconds(1)).await;
    (sent, bounce)
}

pub fn vantage() -> Vantage {
    Vantage { actor: "default".to_owned(), resolver: Resolver::new(&[]), guard: Guard::open(), proxy: None }
}

#[tokio::test(start_paused = true)]
async fn one_session_tells_each_run_of_its_mails_and_removes_nothing_else() {
    let scene = Scene::imap().await;
    let before = scene.office.left("INBOX").len();
    // One was faster than we, one comes later, one is somebody else's.
    scene.office.put("INBOX", &bounce("env-a", "<x@x>", "failed"));
    later(&scene.office, seconds(60), "INBOX", bounce("env-b", "<x@x>", "delayed"));
    scene.office.put("INBOX", &bounce("env-c", "<x@x>", "failed"));
    let (desk, vantage, (end, ends)) = (Desk::default(), vantage(), watch::channel(false));
    let gate = Ends(ends);
    let (mut one, _first) = desk.wait_for(reports_on(vec![sent("env-z"), sent("env-a")], Cleanup::Delete));
    let (mut other, _second) = desk.wait_for(reports_on(vec![sent("env-b")], Cleanup::Delete));
    let watches = || watches_at(&scene.inputs, &vantage, &gate, &desk);
    let hears = async {
        let (sent, report) = reported(&mut one).await;
        assert_eq!((sent.actor.as_str(), report.action), ("env-a", Action::Failed));
        let (sent, report) = reported(&mut other).await;
        assert_eq!((sent.actor.as_str(), report.action), ("env-b", Action::Delayed));
        assert_eq!(scene.office.said("AUTHENTICATE").len() + scene.office.said("LOGIN").len(), 1, "one session for both");
        assert_eq!(scene.office.left("INBOX").len(), before + 1, "somebody else's stays");
        end.send_replace(true);
    };
    let (one, other, ()) = join3(watches(), watches(), hears).await;
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert_eq!(scene.office.said("LOGOUT").len(), 1, "left in order, and not opened again");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_any_more_is_told_nothing_and_the_next_one_goes_on_watching() {
    let scene = Scene::imap().await;
    let (desk, vantage) = (Desk::default(), vantage());
    let (first_end, first) = watch::channel(false);
    let (second_end, second) = watch::channel(false);
    let (first, second) = (Ends(first), Ends(second));
    let (mut gone, waits) = desk.wait_for(reports_on(vec![sent("env-a")], Cleanup::Keep));
    let (mut stays, _waits) = desk.wait_for(reports_on(vec![sent("env-b")], Cleanup::Keep));
    let hears = async {
        later(&scene.office, seconds(30), "INBOX", bounce("env-b", "<x@x>", "failed"));
        tokio::time::sleep(seconds(10)).await;
        drop(waits);
        first_end.send_replace(true);
        assert_eq!(reported(&mut stays).await.0.actor, "env-b");
        second_end.send_replace(true);
    };
    let watches = |gate| watches_at(&scene.inputs, &vantage, gate, &desk);
    let (one, other, ()) = join3(watches(&first), watches(&second), hears).await;
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert_eq!(scene.office.said("AUTHENTICATE").len(), 1, "the session goes from hand to hand");
    assert!(gone.recv().await.is_none(), "nobody is left to tell it anything");
    assert_eq!(scene.office.left("INBOX").len(), 6, "mode Observe removes nothing");
}
