//! Watching a mailbox for what comes back (promise 6): reports on mails that were sent to somebody else, in the mailbox that they
//! were sent from. One session, however many runs wait for it; nothing but reports on their mails is removed.

use std::{sync::Mutex, time::Duration};

use futures::future::{FutureExt, pending};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::times::BackOff;
use crate::{
    api::Class,
    mail::{
        Diagnosis, Vantage,
        bounce::Bounce,
        mailbox::{Cleanup, Mailbox, Mark},
    },
    runtime::lock,
    verify::{
        Gate,
        mailbox::{Inputs, Visit},
        report::LoginOutcome,
    },
};

/// The newest mails that were there before and are looked at: the report may have been faster than we.
const BEFORE: u32 = 50;
/// How long nothing may come before it is looked at anew all the same.
const AGAIN: Duration = Duration::from_hours(1);
/// The most reports that are read: most are on other people's mails.
const REPORTS: usize = 100;

/// A mail that was sent, by what a report on it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Whose it is.
    pub actor: String,
    /// Its code, which a report may quote and nobody may see.
    pub code: Uuid,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Its ENVID (RFC 3461 section 4.4).
    pub envelope_id: Option<String>,
}

/// Where the runs that wait for what comes back to one mailbox say so: one of them watches it for all.
#[derive(Debug, Default)]
pub struct Desk {
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    sent: Sent,
    told: UnboundedSender<(Sent, Bounce)>,
}

impl Desk {
    /// A run waits for reports on these mails; until what comes back is dropped.
    #[must_use]
    pub fn wait_for(&self, mails: Vec<Sent>) -> (UnboundedReceiver<(Sent, Bounce)>, Waits<'_>) {
        let (told, hears) = unbounded_channel();
        let waits = Waits { desk: self, told: told.clone() };
        lock(&self.waiting).extend(mails.into_iter().map(|sent| Waiting { sent, told: told.clone() }));
        (hears, waits)
    }

    /// Whose mail a report is on.
    fn addressee(&self, bounce: &Bounce) -> Option<(Sent, UnboundedSender<(Sent, Bounce)>)> {
        let waiting = lock(&self.waiting);
        let about = |waiting: &&Waiting| bounce.is_about(waiting.sent.envelope_id.as_deref(), waiting.sent.message_id.as_deref());
        waiting.iter().find(about).map(|waiting| (waiting.sent.clone(), waiting.told.clone()))
    }
}

/// A run that waits.
#[derive(Debug)]
pub struct Waits<'a> {
    desk: &'a Desk,
    told: UnboundedSender<(Sent, Bounce)>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        lock(&self.desk.waiting).retain(|waiting| !waiting.told.same_channel(&self.told));
    }
}

/// Watches the mailbox over IMAP for all who wait at the desk, once nobody else does, until the gate ends it. A mailbox that
/// cannot be opened tells nothing: it has a profile of its own, which says why.
pub async fn returns(inputs: &Inputs, vantage: &Vantage, gate: &dyn Gate, cleanup: Cleanup, desk: &Desk) {
    let _turn = tokio::select! {
        turn = desk.turn.lock() => turn,
        () = gate.ends() => return,
    };
    let mut watch = Watch { cleanup, desk, reports: 0, since: None };
    let mut back_off = BackOff::default();
    loop {
        let (begun, mut visit) = (Instant::now(), Visit::new(inputs, vantage, gate, None));
        let failure = match Box::pin(visit.open(begun + inputs.timeout, cleanup == Cleanup::Delete)).await {
            Ok(Some(mut mailbox)) => {
                let ended = watch.follow(mailbox.as_mut(), inputs, gate).await;
                if ended.is_ok() {
                    mailbox.set_deadline(Instant::now() + inputs.timeout);
                    visit.leave(mailbox).await.ok();
                    return;
                }
                ended.err()
            }
            Ok(None) => return,
            Err(failure) => Some(failure),
        };
        // What judges a login ends it (promises 7 and 8).
        let judged = matches!(visit.finish(Ok(())).login, Some(LoginOutcome::Refused | LoginOutcome::TooMany));
        if judged || failure.is_some_and(|failure| failure.class != Class::Transient) || watch.reports == REPORTS {
            return;
        }
        tokio::select! {
            () = sleep(back_off.after(begun.elapsed())) => {}
            () = gate.ends() => return,
        }
    }
}

struct Watch<'a> {
    cleanup: Cleanup,
    desk: &'a Desk,
    reports: usize,
    since: Option<Mark>,
}

impl Watch<'_> {
    /// Looks whenever something came, until the gate ends it. A look is not broken off: a report on another run's mail is removed
    /// and told, or neither.
    async fn follow(&mut self, mailbox: &mut dyn Mailbox, inputs: &Inputs, gate: &dyn Gate) -> Result<(), Diagnosis> {
        loop {
            mailbox.set_deadline(Instant::now() + inputs.timeout);
            self.look(mailbox).await?;
            if !mailbox.stays() || self.reports == REPORTS {
                gate.ends().await;
                return Ok(());
            }
            let next = Instant::now() + AGAIN;
            mailbox.set_deadline(next + inputs.timeout);
            tokio::select! {
                came = mailbox.wait(next, pending().boxed()) => drop(came?),
                () = gate.ends() => return Ok(()),
            }
        }
    }

    async fn look(&mut self, mailbox: &mut dyn Mailbox) -> Result<(), Diagnosis> {
        let since = match &self.since {
            Some(since) => since.clone(),
            None => match mailbox.note().await? {
                Mark::Imap { validity, next } => Mark::Imap { validity, next: next.saturating_sub(BEFORE).max(1) },
                mark @ Mark::Pop3 { .. } => mark,
            },
        };
        self.since = Some(since.clone());
        // Nobody's code: what passes by is looked at for reports alone.
        mailbox.look(&since, &[Uuid::nil()]).await?;
        for place in mailbox.reports() {
            if self.reports == REPORTS {
                break;
            }
            self.reports += 1;
            let Some(bounce) = mailbox.read(&place).await?.and_then(|mail| Bounce::read(&mail)) else { continue };
            let Some((sent, told)) = self.desk.addressee(&bounce) else { continue };
            if self.cleanup == Cleanup::Delete {
                // What broke the conversation is told by what is said next. Whoever hears of the report may end this.
                mailbox.clear(&place, Cleanup::Delete).await.ok();
            }
            let bounce = bounce.without(&sent.code.to_string());
            // Whoever has gone meanwhile needs it no more.
            told.send((sent, bounce)).ok();
        }
        Ok(())
    }
}
