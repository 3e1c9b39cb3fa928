//! What comes back to the sender's own mailbox, where that is read: it settles a mail minutes before its time is over
//! (promise 6). Most mails are found in a moment, so that mailbox is opened only for one that is not.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::watch as channel,
    time::{Instant, sleep},
};

use super::{Permits, Setting, post};
use crate::{
    api::{Reason, v1alpha1::VerificationMode},
    mail::{
        Diagnosis,
        bounce::{Action, Bounce},
        mailbox::Cleanup,
    },
    verify::{
        Gate,
        email_profile::{Begin, Run},
        gate::Until,
        mailbox::desk::{Awaited, Heard, News, Sent, Tells, Wish, watch},
    },
};

/// How long a mail is looked for before what may have come back is.
const AFTER: Duration = Duration::from_secs(5);

/// The last report on each actor's mail.
pub(super) type Reports = BTreeMap<String, Bounce>;

/// Watches the sender's mailbox for the mails of a run, until all its actors are `done`.
pub(super) async fn watch_returns(
    setting: Setting<'_>,
    permits: &dyn Permits,
    run: &Run,
    reports: &channel::Sender<Reports>,
    done: channel::Receiver<bool>,
) {
    let inputs = setting.inputs;
    let Some(place) = inputs.returns.as_ref().filter(|_| inputs.mode == VerificationMode::Automatic) else { return };
    let gate = Until { gate: permits.logins(), over: done };
    let is_out = || {
        run.errands.iter().any(|errand| match errand.begin {
            Begin::Send => permits.has_claimed(&errand.actor),
            Begin::Look { .. } => true,
            Begin::Visit => false,
        })
    };
    let mails = run.errands.iter().filter(|errand| errand.begin != Begin::Visit).map(|errand| {
        let envelope = setting.codes.message(&run.id, &errand.actor).to_string();
        Awaited::Reports(Sent {
            actor: errand.actor.clone(),
            code: setting.codes.of(&run.id, &errand.actor),
            message_id: post::domain(inputs).map(|domain| format!("<{envelope}@{domain}>")),
            envelope_id: Some(envelope),
        })
    });
    let cleanup = if setting.observes { Cleanup::Keep } else { place.cleanup };
    let wish = Wish { awaited: mails.collect(), cleanup, since: None, begun: Instant::now(), until: None };
    // From the beginning: somebody else may watch already, and reads each report once.
    let (mut hears, _waits) = place.desk.wait_for(wish);
    let told = async {
        while let Some(news) = hears.recv().await {
            // A mailbox that cannot be opened has a profile of its own, which says why.
            let News::Mail(mail) = news else { continue };
            let Heard { tells: Tells::Report(sent, bounce), noted, .. } = *mail else { continue };
            reports.send_modify(|reports| {
                // That it came back is the last word.
                let last = reports.get(&sent.actor).is_some_and(|known| known.action == Action::Failed);
                if !last {
                    reports.insert(sent.actor, bounce);
                }
            });
            noted.tell();
        }
    };
    let watches = async {
        loop {
            tokio::select! {
                () = sleep(AFTER) => {}
                () = gate.ends() => return,
            }
            if is_out() {
                break;
            }
        }
        watch(&place.mailbox, setting.vantage, &gate, &place.desk).await.ok();
        // Somebody else may go on watching.
        gate.ends().await;
    };
    tokio::select! {
        () = told => {}
        () = watches => {}
    }
}

/// Ends once an actor's mail came back.
pub(super) async fn came_back(mut reports: channel::Receiver<Reports>, actor: &str) {
    let failed = |reports: &Reports| reports.get(actor).is_some_and(|bounce| bounce.action == Action::Failed);
    if reports.wait_for(failed).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What the reports on an actor's mail make of its not being found.
pub(super) fn judged(reports: &Reports, actor: &str, failure: Option<Diagnosis>) -> Option<Diagnosis> {
    match reports.get(actor) {
        Some(bounce) if bounce.action == Action::Failed => Some(bounce.diagnosis()),
        Some(bounce) if bounce.action == Action::Delayed => failure.map(|failure| match failure.reason {
            Reason::MessageNotReceived => {
                let told = format!("{}; {}", failure.said(), bounce.diagnosis().said());
                failure.detail(told)
            }
            _ => failure,
        }),
        _ => failure,
    }
}
