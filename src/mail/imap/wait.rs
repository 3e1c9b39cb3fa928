//! Waiting until something comes: short steps first, then IDLE (RFC 2177, RFC 9051 section 6.3.13), else longer steps.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

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
        let deadline = self.session.wire.deadline();
        let until = until.min(deadline.checked_sub(COURTESY).unwrap_or(deadline));
        let waited = self.wait_within(until, deadline.saturating_duration_since(until)).await;
        self.session.wire.set_deadline(deadline);
        waited
    }

    async fn wait_within(&mut self, until: Instant, answer: Duration) -> Result<bool, Diagnosis> {
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
                self.idle(idle).await.map_err(|diagnosis| diagnosis.at(Stage::Fetch))?;
            } else {
                let next = if came { calm } else { now + self.step };
                sleep_until(until.min(next)).await;
                self.step = MOST.min(self.step * 2);
                self.session.wire.set_deadline(Instant::now() + answer);
                self.session.accepted(Stage::Fetch, "NOOP").await?;
            }
        }
        Ok(self.session.selected.arrived() > before)
    }

    async fn idle(&mut self, Idle { before, calm, mut end, answer }: Idle) -> Result<(), Diagnosis> {
        self.session.wire.set_deadline(Instant::now() + answer);
        tracing::trace!(client = "IDLE", "command");
        let tag = self.session.begin("IDLE").await?;
        self.idle = Idling::Now;
        let mut idling = false;
        loop {
            let turn = if idling {
                match timeout_at(end, self.session.turn(&tag)).await {
                    Ok(turn) => turn?,
                    Err(_) => break,
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
                    return Ok(());
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
                Turn::Done(said) if said.status == Status::Ok => return Ok(()),
                Turn::Done(said) => return Err(classify(Stage::Fetch, &said, &self.session.about)),
                Turn::Asked(_) => return Err(broke("the order of commands and answers (it asked for more)".to_owned())),
                Turn::Data(_) => {}
            }
        }
    }
}
