//! Watching a mailbox for all who wait at its desk: one session, which goes from hand to hand.

use std::{sync::atomic::Ordering, time::Duration};

use futures::future::FutureExt;
use tokio::{
    sync::MutexGuard,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Counted, Desk, Standing,
    look::{Done, Looked, Looker},
};
use crate::{
    api::Class,
    mail::{
        Diagnosis, Vantage,
        mailbox::{Mailbox, Mark},
        protocol::Protocol,
    },
    runtime::lock,
    verify::{
        Gate,
        mailbox::{Inputs, Visit, attend::times::BackOff},
        report::LoginOutcome,
    },
};

/// How long nothing may come before it is looked at anew all the same.
const AGAIN: Duration = Duration::from_hours(1);
/// How long what was not noted stays untold.
const UNNOTED: Duration = Duration::from_secs(20);
/// The time for a goodbye.
const GOODBYE: Duration = Duration::from_secs(10);

/// Watches the mailbox for all who wait at the desk, once nobody else does, until the gate ends it; the session goes to the next
/// then. `inputs.timeout` bounds connecting and opening, and each answer. What time may cure is tried again with back-off.
///
/// # Errors
/// What ends it for all who wait or take part at that time: a refused login, a mailbox that may not be opened. It is told to each
/// who waits, and tried by nobody else of them.
pub async fn watch(inputs: &Inputs, vantage: &Vantage, gate: &dyn Gate, desk: &Desk) -> Result<(), Diagnosis> {
    let before = lock(&desk.failed).0;
    let Some(slot) = desk.turn(gate).await else { return Ok(()) };
    let failed = lock(&desk.failed).clone();
    if let (true, Some(failure)) = (failed.0 > before, failed.1) {
        return Err(failure);
    }
    // Large, and rarely many at a time on one stack.
    Box::pin(Watch { inputs, vantage, gate, desk }.run(slot)).await
}

impl Desk {
    /// Waits until nobody else watches; none where the gate ended that.
    async fn turn<'d>(&'d self, gate: &dyn Gate) -> Option<MutexGuard<'d, Option<Box<dyn Mailbox>>>> {
        let queued = Counted::new(&self.queue);
        let turn = tokio::select! {
            biased;
            () = gate.ends() => None,
            turn = self.turn.lock() => Some(turn),
        };
        drop(queued);
        if turn.is_none()
            && self.queue.load(Ordering::SeqCst) == 0
            && let Ok(mut slot) = self.turn.try_lock()
            && let Some(mailbox) = slot.take()
        {
            // It was left for us.
            self.standing.send_replace(Standing::Closed);
            goodbye(mailbox).await;
        }
        turn
    }
}

async fn goodbye(mut mailbox: Box<dyn Mailbox>) {
    mailbox.set_deadline(Instant::now() + GOODBYE);
    mailbox.close().await;
}

/// Where nobody watches, nobody knows how the mailbox stands. Why it could not be opened is still to be heard.
struct Leaves<'a>(&'a Desk);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        if self.0.queue.load(Ordering::SeqCst) == 0 {
            self.0.standing.send_if_modified(|standing| {
                let is_open = matches!(standing, Standing::Open(_));
                if is_open {
                    *standing = Standing::Closed;
                }
                is_open
            });
        }
    }
}

#[derive(Clone, Copy)]
struct Watch<'a> {
    inputs: &'a Inputs,
    vantage: &'a Vantage,
    gate: &'a dyn Gate,
    desk: &'a Desk,
}

/// How watching in one session ended.
enum Ended {
    /// Whoever watches is to leave.
    Leave,
    /// Another session shows what comes next.
    ComeBack,
}

impl Watch<'_> {
    async fn run(self, mut slot: MutexGuard<'_, Option<Box<dyn Mailbox>>>) -> Result<(), Diagnosis> {
        // Dropped before the slot: whoever is next says how it stands then.
        let _leaves = Leaves(self.desk);
        let mut back_off = BackOff::default();
        loop {
            let begun = Instant::now();
            // One that somebody left was of use.
            let mut has_looked = slot.is_some();
            let mut mailbox = match slot.take() {
                Some(mailbox) => mailbox,
                None if self.is_scarce() && self.waits_for_a_session().await => return Ok(()),
                None => match self.open().await? {
                    Some(mailbox) => mailbox,
                    None if self.pauses(back_off.after(begun.elapsed())).await => return Ok(()),
                    None => continue,
                },
            };
            match self.follow(mailbox.as_mut(), &mut has_looked).await {
                Ok(Ended::Leave) if mailbox.stays() && self.desk.queue.load(Ordering::SeqCst) > 0 => {
                    *slot = Some(mailbox);
                    return Ok(());
                }
                Ok(Ended::Leave) => {
                    goodbye(mailbox).await;
                    return Ok(());
                }
                Ok(Ended::ComeBack) => goodbye(mailbox).await,
                Err(failure) => {
                    drop(mailbox);
                    self.desk.standing.send_replace(Standing::Closed);
                    let asked_for = failure.after.unwrap_or_default();
                    // A session that was of use and is lost is opened again, and nobody needs to know.
                    if !has_looked || failure.class != Class::Transient {
                        let visit = Visit::new(self.inputs, self.vantage, self.gate, None);
                        self.tell(visit.finish(Err(failure)).failure, false)?;
                    }
                    if self.pauses(back_off.after(begun.elapsed()).max(asked_for)).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether each look takes a session.
    fn is_scarce(self) -> bool {
        self.inputs.protocol == Protocol::Pop3
    }

    /// Waits before it is tried again; whether it is to leave.
    async fn pauses(self, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.gate.ends() => true,
            () = sleep(wait) => false,
        }
    }

    /// Waits until somebody wants a session and one may be made; whether it is to leave.
    async fn waits_for_a_session(self) -> bool {
        let desk = self.desk;
        loop {
            let now = Instant::now();
            let (allowed, last) = {
                let mut logins = lock(&desk.logins);
                (logins.next(now), logins.last())
            };
            let is_open = matches!(&*desk.standing.borrow(), Standing::Open(_));
            let asked = (!is_open && desk.asking.load(Ordering::SeqCst) > 0).then_some(now);
            let wanted = desk.next_session(last).into_iter().chain(asked).min();
            let at = wanted.map_or(now + AGAIN, |wanted| wanted.max(allowed));
            tokio::select! {
                biased;
                () = self.gate.ends() => return true,
                () = sleep_until(at) => if wanted.is_some() { return false },
                () = desk.bell.notified() => {}
            }
        }
    }

    /// Opens a session; none where time may cure what failed.
    async fn open(self) -> Result<Option<Box<dyn Mailbox>>, Diagnosis> {
        let Self { inputs, vantage, gate, desk, .. } = self;
        lock(&desk.logins).made(Instant::now());
        let mut visit = Visit::new(inputs, vantage, gate, None);
        match Box::pin(visit.open(Instant::now() + inputs.timeout, desk.changes())).await {
            Ok(Some(mailbox)) => Ok(Some(mailbox)),
            Ok(None) => {
                let fault = "a mailbox is opened with an account, and none is set";
                self.tell(Some(Diagnosis::new(crate::api::Reason::SpecInvalid).fact("fault", fault)), false).map(|()| None)
            }
            Err(failure) => {
                let report = visit.finish(Err(failure));
                // What judges a login ends it (promises 7 and 8).
                let judged = matches!(report.login, Some(LoginOutcome::Refused | LoginOutcome::TooMany));
                self.tell(report.failure, judged).map(|()| None)
            }
        }
    }

    /// Tells all of a failure.
    ///
    /// # Errors
    /// The failure, where it ends the watch.
    fn tell(self, failure: Option<Diagnosis>, judged: bool) -> Result<(), Diagnosis> {
        let Some(failure) = failure else { return Ok(()) };
        let over = judged || failure.class != Class::Transient;
        if over {
            let mut failed = lock(&self.desk.failed);
            *failed = (failed.0 + 1, Some(failure.clone()));
        }
        self.desk.standing.send_replace(Standing::Failed(failure.clone()));
        self.desk.tell_failure(&failure, over);
        if over { Err(failure) } else { Ok(()) }
    }

    /// Looks whenever something came or is due, until the gate ends it.
    async fn follow(self, mailbox: &mut dyn Mailbox, has_looked: &mut bool) -> Result<Ended, Diagnosis> {
        let Self { inputs, gate, desk, .. } = self;
        mailbox.set_deadline(Instant::now() + inputs.timeout);
        let known = match &*desk.standing.borrow() {
            Standing::Open(mark @ (Mark::Imap { .. } | Mark::Time { .. })) => Some(mark.clone()),
            _ => None,
        };
        let cursor = match known {
            // A session that somebody left: where it stands is known.
            Some(mark) => mark,
            None => mailbox.note().await?,
        };
        desk.standing.send_replace(Standing::Open(cursor.clone()));
        let mut looker = Looker { desk, gate, patience: inputs.timeout, cursor, junk: None, done: Done::default() };
        loop {
            if gate.ends().now_or_never().is_some() {
                return Ok(Ended::Leave);
            }
            let result = looker.look(mailbox).await?;
            *has_looked = true;
            desk.standing.send_replace(Standing::Open(looker.cursor.clone()));
            let wait = match result {
                Looked::Ended => return Ok(Ended::Leave),
                _ if !mailbox.stays() => return Ok(Ended::ComeBack),
                Looked::LookAgain => continue,
                Looked::All => AGAIN,
                Looked::Unnoted => UNNOTED,
            };
            if desk.news.swap(false, Ordering::Relaxed) {
                mailbox.hurry();
            }
            let next = Instant::now() + wait;
            let next = desk.next_due().map_or(next, |due| due.min(next));
            mailbox.set_deadline(next + inputs.timeout);
            let woken = async {
                tokio::select! {
                    () = gate.ends() => {}
                    () = desk.bell.notified() => {}
                }
            };
            mailbox.wait(next, woken.boxed()).await?;
        }
    }
}
