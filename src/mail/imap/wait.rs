//! Waiting until something comes: short steps first, then IDLE (RFC 2177, RFC 9051 section 6.3.13), else longer steps.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, pending};
use tokio::time::{Instant, sleep_until};

use super::{ImapMailbox, Status, classify, conversation::Turn, mailbox::Idling, session::COURTESY};
use crate::mail::{Diagnosis, Stage, wire::broke};

/// The first step is not shorter, whatever the round trip.
const LEAST: Duration = Duration::from_millis(5);
/// Steps longer than this are left to IDLE: Dovecot holds its notices back for 500 ms.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest step.
const MOST: Duration = Duration::from_secs(20);
/// The first IDLE is short: what comes while a server sets up its watch may go unnoticed until it is told to look again, which
/// a new IDLE does (Dovecot, once in a hundred under load).
const FIRST: Duration = Duration::from_secs(30);
/// Routers and servers forget connections that are silent; the shortest that are known do so after five minutes.
const RENEWED: Duration = Duration::from_mins(4);

/// One IDLE.
struct Idle {
    /// How many messages had come: another one is a notice.
    before: u32,
    /// A notice does not end it before.
    calm: Instant,
    end: Instant,
    /// The time for an answer.
    answer: Duration,
}

impl ImapMailbox {
    /// Waits until a message comes, or until then; whether one came. The first that comes ends the wait at once, later ones
    /// not before 20 s have gone since (promise 10). What lies between `until` and the wire's deadline is the time for an
    /// answer, and a second at least is left for what follows.
    ///
    /// # Errors
    /// What a refusal means, and whatever ends the conversation.
    pub async fn wait(&mut self, until: Instant) -> Result<bool, Diagnosis> {
        self.wait_or(until, pending().boxed()).await
    }

    /// The same, which ends when it is woken, too.
    pub(super) async fn wait_or(&mut self, until: Instant, mut woken: BoxFuture<'_, ()>) -> Result<bool, Diagnosis> {
        let deadline = self.session.wire.deadline();
        let until = until.min(deadline.checked_sub(COURTESY).unwrap_or(deadline));
        let waited = self.wait_within(until, deadline.saturating_duration_since(until), &mut woken).await;
        self.session.wire.set_deadline(deadline);
        waited
    }

    /// A short first step again, and no calm before the first notice. Steps at most so often as notices: many may be waiting.
    pub(super) fn expect_something(&mut self) {
        self.noticed = None;
        if self.hurried.is_none_or(|at| at.elapsed() >= MOST) {
            (self.step, self.hurried) = (Duration::ZERO, Some(Instant::now()));
        }
    }

    async fn wait_within(&mut self, until: Instant, answer: Duration, woken: &mut BoxFuture<'_, ()>) -> Result<bool, Diagnosis> {
        self.session.wire.set_deadline(Instant::now() + answer);
        self.back().await?;
        if self.step.is_zero() {
            self.step = LEAST.max(self.session.round_trip * 2);
        }
        let before = self.session.selected.known();
        while Instant::now() < until {
            let now = Instant::now();
            let calm = self.noticed.map_or(now, |noticed| noticed + MOST);
            let came = self.session.selected.arrived() > before;
            if came && now >= calm {
                (self.noticed, self.session.selected.told) = (Some(now), true);
                return Ok(true);
            }
            if self.step > PATIENCE && self.idle != Idling::Never {
                let most = if std::mem::replace(&mut self.has_idled, true) { RENEWED } else { FIRST };
                let idle = Idle { before, calm, end: until.min(now + most), answer };
                if self.idle(idle, woken).await.map_err(|diagnosis| diagnosis.at(Stage::Fetch))? {
                    break;
                }
            } else {
                let next = if came { calm } else { now + self.step };
                tokio::select! {
                    biased;
                    () = &mut *woken => break,
                    () = sleep_until(until.min(next)) => {}
                }
                self.step = MOST.min(self.step * 2);
                self.session.wire.set_deadline(Instant::now() + answer);
                self.session.accepted(Stage::Fetch, "NOOP").await?;
            }
        }
        Ok(self.session.selected.arrived() > before)
    }

    /// Whether it was woken.
    async fn idle(
        &mut self,
        Idle { before, calm, mut end, answer }: Idle,
        woken: &mut BoxFuture<'_, ()>,
    ) -> Result<bool, Diagnosis> {
        self.session.wire.set_deadline(Instant::now() + answer);
        tracing::trace!(client = "IDLE", "command");
        let tag = self.session.begin("IDLE").await?;
        self.idle = Idling::Now;
        let (mut idling, mut was_woken) = (false, false);
        loop {
            let turn = if idling {
                tokio::select! {
                    biased;
                    () = &mut *woken => {
                        was_woken = true;
                        break;
                    }
                    turn = self.session.turn(&tag) => turn?,
                    () = sleep_until(end) => break,
                }
            } else {
                self.session.turn(&tag).await?
            };
            match turn {
                Turn::Asked(_) => {
                    idling = true;
                    self.session.wire.set_deadline(end + answer);
                }
                Turn::Data(_) => {}
                Turn::Done(said) if said.status == Status::Bye => {
                    return Err(classify(Stage::Fetch, &said, &self.session.about));
                }
                // Offered and refused, or ended by the server: steps do as well.
                Turn::Done(_) => {
                    self.idle = Idling::Never;
                    return Ok(false);
                }
            }
            if idling && self.session.selected.arrived() > before {
                end = end.min(calm);
                if Instant::now() >= end {
                    break;
                }
            }
        }
        self.session.wire.set_deadline(Instant::now() + answer);
        self.session.wire.write(b"DONE\r\n").await?;
        self.idle = Idling::Offered;
        loop {
            match self.session.turn(&tag).await? {
                Turn::Done(said) if said.status == Status::Ok => return Ok(was_woken),
                Turn::Done(said) => return Err(classify(Stage::Fetch, &said, &self.session.about)),
                Turn::Asked(_) => return Err(broke("the order of commands and answers (it asked for more)".to_owned())),
                Turn::Data(_) => {}
            }
        }
    }
}
