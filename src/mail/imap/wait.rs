//! Waiting until something comes: short steps first, then IDLE (RFC 2177, RFC 9051 section 6.3.13), else longer steps.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{ImapMailbox, Status, classify, conversation::Turn, session::COURTESY};
use crate::mail::{Diagnosis, Stage, wire::broke};

/// The first step is not shorter, whatever the round trip.
const LEAST: Duration = Duration::from_millis(5);
/// Steps longer than this are left to IDLE: Dovecot holds its notices back for 500 ms.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest step.
const MOST: Duration = Duration::from_secs(20);
/// Routers and servers forget connections that are silent; the shortest that are known do so after five minutes.
const RENEWED: Duration = Duration::from_mins(4);

impl ImapMailbox {
    /// Waits until a message comes, or until then; whether one came. A second of the wire's time is left for what follows.
    ///
    /// # Errors
    /// What a refusal means, and whatever ends the conversation.
    pub async fn wait(&mut self, until: Instant) -> Result<bool, Diagnosis> {
        self.back().await?;
        if self.step.is_zero() {
            self.step = LEAST.max(self.session.round_trip * 2);
        }
        let before = self.session.selected.arrived();
        let deadline = self.session.wire.deadline();
        let until = until.min(deadline.checked_sub(COURTESY).unwrap_or(deadline));
        while Instant::now() < until {
            if self.step > PATIENCE && self.idles {
                self.idle(until.min(Instant::now() + RENEWED)).await.map_err(|diagnosis| diagnosis.at(Stage::Fetch))?;
            } else {
                sleep_until(until.min(Instant::now() + self.step)).await;
                self.step = MOST.min(self.step * 2);
                self.session.accepted(Stage::Fetch, "NOOP").await?;
            }
            if self.session.selected.arrived() > before {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn idle(&mut self, end: Instant) -> Result<(), Diagnosis> {
        let before = self.session.selected.arrived();
        let tag = self.session.begin("IDLE").await?;
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
                Turn::Asked(_) => idling = true,
                Turn::Data(_) => {}
                Turn::Done(said) if said.status == Status::Bye => {
                    return Err(classify(Stage::Fetch, &said, &self.session.about));
                }
                // Offered and refused, or ended by the server: steps do as well.
                Turn::Done(_) => {
                    self.idles = false;
                    return Ok(());
                }
            }
            if idling && self.session.selected.arrived() > before {
                break;
            }
        }
        self.session.wire.write(b"DONE\r\n").await?;
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
