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
    /// What was read and is done with.
    pub(super) done: Done,
}

/// Mails that were read and are done with, for those who waited then: over an API each look begins some minutes before, and
/// passes them again. No more than the last look has passed.
#[derive(Default)]
pub(super) struct Done {
    places: HashSet<Place>,
    parties: HashSet<u64>,
}

impl Done {
    /// For somebody who was not there a mail may be what is waited for.
    fn serves(&mut self, parties: &HashSet<u64>) {
        if !parties.is_subset(&self.parties) {
            self.places.clear();
        }
        self.parties.clone_from(parties);
    }

    /// What of this, in the folders for junk or in the mailbox, is still to be read.
    fn left_of(&mut self, passed: Vec<Place>, junk: bool) -> Vec<Place> {
        let (known, left): (Vec<_>, Vec<_>) = passed.into_iter().partition(|place| self.places.contains(place));
        let known: HashSet<_> = known.into_iter().collect();
        self.places.retain(|place| place.junk != junk || known.contains(place));
        left
    }
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
        self.done.serves(&purpose.parties);
        let is_of_interest = |header: &[u8]| concerns(header, &purpose.probes);
        mailbox.set_deadline(now + self.patience);
        let arrivals = mailbox.arrivals(&purpose.since, &is_of_interest).await?;
        let mut told = Vec::new();
        let left = self.done.left_of(arrivals.places, false);
        let mut ended = self.read(mailbox, left, &mut told).await?;
        let junk = purpose.junk && !mailbox.shown().junk.is_empty() && self.junk.is_none_or(|at| at.elapsed() >= JUNK);
        if junk && !ended {
            mailbox.set_deadline(Instant::now() + self.patience);
            let left = self.done.left_of(mailbox.arrivals_in_junk(&is_of_interest).await?, true);
            ended = self.read(mailbox, left, &mut told).await?;
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
        &mut self,
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
            match self.desk.tell(&mail, &place, Timestamp::now()) {
                Some(mail) => told.push((place, mail)),
                None => drop(self.done.places.insert(place)),
            }
        }
        Ok(false)
    }

    /// Waits until what was told is noted, and puts it away; who has not noted something, and whether anything was put away.
    async fn put_away(&mut self, mailbox: &mut dyn Mailbox, told: Vec<(Place, Told)>) -> (HashSet<u64>, bool) {
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
            if !may_go {
                continue;
            }
            if then != Cleanup::Keep {
                mailbox.set_deadline(Instant::now() + self.patience);
                cleared |= is_new;
                // What broke the conversation is told by what is said next.
                if mailbox.clear(&place, then).await.is_err() {
                    continue;
                }
            }
            self.done.places.insert(place);
        }
        (unnoted, cleared)
    }
}
