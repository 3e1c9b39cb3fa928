//! Waiting for answers and reports at the desk of a mailbox over an API, of which each look begins some minutes before.

use std::time::Duration;

use mailverity::{
    mail::mailbox::Cleanup,
    verify::{
        Open,
        gate::Until,
        mailbox::desk::{Awaited, Desk, News, Sent, Tells, Wish, watch},
    },
};
use tokio::{
    sync::watch as channel,
    time::{Instant, sleep, timeout},
};

use super::{Api, BOTH, Scene, here};
use crate::{watching::bouncing::bounce, world::CODE};

/// Waits for a report on the mail with this Message-ID.
fn wish(message_id: &str) -> Wish {
    let sent = Sent { actor: "default".to_owned(), code: CODE, message_id: Some(message_id.to_owned()), envelope_id: None };
    Wish { awaited: vec![Awaited::Reports(sent)], cleanup: Cleanup::Delete, since: None, begun: Instant::now(), until: None }
}

impl Scene {
    /// How many mails were read as a whole.
    fn read(&self) -> usize {
        self.cloud.asked(if self.api == Api::Graph { "/$value" } else { "format=raw" }).len()
    }

    async fn looks(&self, more: usize) {
        let before = self.cloud.asked(self.list()).len();
        while self.cloud.asked(self.list()).len() < before + more {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Watches at a desk while somebody waits there.
    async fn watched(&self, waits: impl AsyncFnOnce(&Desk)) {
        let (desk, (ends, over)) = (Desk::default(), channel::channel(false));
        let (inputs, vantage, gate) = (&self.inputs, here(), Until { gate: &Open, over });
        let waits = async {
            waits(&desk).await;
            ends.send_replace(true);
        };
        let (watched, ()) = tokio::join!(watch(inputs, &vantage, &gate, &desk), waits);
        assert_eq!(watched, Ok(()));
    }
}

#[tokio::test]
async fn a_report_that_is_about_nothing_that_is_waited_for_is_read_once_for_all_who_wait() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        scene.letters.put("INBOX", 60, &bounce("x", "<theirs@corp.test>", "failed"));
        scene.letters.put("INBOX", 60, &bounce("y", "<another@corp.test>", "failed"));
        let waits = async |desk: &Desk| {
            let (_hears, _waits) = desk.wait_for(wish("<mine@corp.test>"));
            scene.looks(4).await;
            assert_eq!(scene.read(), 2, "{api:?}");
            // Who comes later may wait for just that.
            let (mut hears, _waits) = desk.wait_for(wish("<theirs@corp.test>"));
            let Some(News::Mail(mail)) = timeout(scene.timeout, hears.recv()).await.unwrap() else { panic!("{api:?}") };
            assert!(matches!(mail.tells, Tells::Report(..)), "{mail:?}");
            mail.noted.tell();
            scene.looks(3).await;
            assert_eq!(scene.read(), 4, "{api:?}");
        };
        scene.watched(waits).await;
    }
}
