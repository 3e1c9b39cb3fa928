//! One look for all who wait: each mail that may be about one of theirs is read once, told, and put away once it is noted.

use std::{collections::HashSet, time::Duration};

use futures::future::FutureExt;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{
    Desk,
    judge::concerns,
    parties::{Purpose, Told},
};
use crate::{
    mail::{
        Diagnosis,
        mailbox::{Cleanup, Mailbox, Mark, Place},
    },
    verify::Gate,
};

/// The time to note a mail. What takes longer is told again.
const NOTED: Duration = Duration::from_secs(10);
/// Junk is not looked at more often, however many want it.
const JUNK: Duration = Duration::from_secs(5);

/// What is kept from look to look.
pub(super) struct Looker<'a> {
    pub(super) desk: &'a Desk,
    pub(super) gate: &'a dyn Gate,
    /// The time for one answer of the server.
    pub(super) patience: Duration,
    /// Nothing below this was left unseen.
    pub(super) cursor: Mark,
    /// When junk was looked at.
    pub(super) junk: Option<Instant>,
}

/// How a look ended.
pub(super) enum Looked {
    /// Nothing is left.
    All,
    /// What came while another folder was open gives no notice: it is to be looked at once more.
    LookAgain,
    /// Something was not noted, and is told again later.
    Unnoted,
    /// Whoever watches is to leave.
    Ended,
}

impl Looker<'_> {
    /// Where a look is broken off, nothing is lost: it is told again by the next.
    pub(super) async fn look(&mut self, mailbox: &mut dyn Mailbox) -> Result<Looked, Diagnosis> {
        let now = Instant::now();
        let purpose = self.desk.purpose(&self.cursor, now);
        let is_of_interest = |header: &[u8]| concerns(header, &purpose.probes);
        mailbox.set_deadline(now + self.patience);
        let arrivals = mailbox.arrivals(&purpose.since, &is_of_interest).await?;
        let mut told = Vec::new();
        let mut ended = self.read(mailbox, arrivals.places, &mut told).await?;
        let junk = purpose.junk && !mailbox.shown().junk.is_empty() && self.junk.is_none_or(|at| at.elapsed() >= JUNK);
        if junk && !ended {
            mailbox.set_deadline(Instant::now() + self.patience);
            let places = mailbox.arrivals_in_junk(&is_of_interest).await?;
            ended = self.read(mailbox, places, &mut told).await?;
            self.junk = Some(Instant::now());
        }
        let (unnoted, cleared) = self.put_away(mailbox, told).await;
        if ended {
            return Ok(Looked::Ended);
        }
        self.serve(&purpose, &unnoted, arrivals.mark, mailbox.shown().messages);
        Ok(match (junk || cleared, unnoted.is_empty()) {
            (true, _) => Looked::LookAgain,
            (false, true) => Looked::All,
            (false, false) => Looked::Unnoted,
        })
    }

    fn serve(&mut self, purpose: &Purpose, unnoted: &HashSet<u64>, reached: Mark, messages: u32) {
        self.cursor = match (&self.cursor, reached) {
            (Mark::Imap { validity, next }, Mark::Imap { validity: same, next: reached }) if *validity == same => {
                Mark::Imap { validity: same, next: reached.max(*next) }
            }
            (_, reached @ (Mark::Imap { .. } | Mark::Time { .. })) => reached,
            (_, Mark::Pop3 { .. }) => Mark::Pop3 { messages },
        };
        self.desk.served(purpose, unnoted, &self.cursor);
    }

    /// Reads these and tells what they are; whether that is not wanted any more.
    async fn read(
        &self,
        mailbox: &mut dyn Mailbox,
        places: Vec<Place>,
        told: &mut Vec<(Place, Told)>,
    ) -> Result<bool, Diagnosis> {
        for place in places {
            if self.gate.ends().now_or_never().is_some() {
                return Ok(true);
            }
            mailbox.set_deadline(Instant::now() + self.patience);
            let Some(mail) = mailbox.read(&place).await? else { continue };
            told.extend(self.desk.tell(&mail, &place, Timestamp::now()).map(|mail| (place, mail)));
        }
        Ok(false)
    }

    /// Waits until what was told is noted, and puts it away; who has not noted something, and whether anything was put away.
    async fn put_away(&self, mailbox: &mut dyn Mailbox, told: Vec<(Place, Told)>) -> (HashSet<u64>, bool) {
        let until = Instant::now() + NOTED;
        let (mut unnoted, mut cleared) = (HashSet::new(), false);
        for (place, Told { key, then, acks }) in told {
            let (mut may_go, is_new) = (true, !acks.is_empty());
            for (party, ack) in acks {
                if matches!(timeout_at(until, ack).await, Ok(Ok(()))) {
                    self.desk.noted(party, key);
                } else {
                    unnoted.insert(party);
                    may_go = false;
                }
            }
            if may_go && then != Cleanup::Keep {
                mailbox.set_deadline(Instant::now() + self.patience);
                // What broke the conversation is told by what is said next.
                mailbox.clear(&place, then).await.ok();
                cleared |= is_new;
            }
        }
        (unnoted, cleared)
    }
}
