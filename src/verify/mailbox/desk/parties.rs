//! Those who wait at a desk, and what each has been told.

use std::{collections::HashSet, hash::BuildHasher};

use jiff::Timestamp;
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use super::{
    Awaited, Desk, Heard, News, Noted, Tell, Wish,
    judge::{Read, judge},
};
use crate::{
    mail::{
        Diagnosis,
        mailbox::{Cleanup, Mark, Place},
    },
    runtime::lock,
};

/// The newest mails that were there before and are looked at where nothing was noted: what comes may have been faster than we.
const BEFORE: u32 = 50;
/// The most mails from anybody that one of those who wait is told of.
const STRANGE: usize = 100;

/// One of those who wait.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) number: u64,
    awaited: Vec<Awaited>,
    cleanup: Cleanup,
    since: Option<Mark>,
    pub(super) begun: Instant,
    pub(super) until: Option<Instant>,
    tell: Tell,
    /// The mails that are done with.
    done: HashSet<u64>,
    strange: usize,
    pub(super) seen_in_junk: bool,
    pub(super) is_over: bool,
}

impl Party {
    pub(super) fn new(number: u64, wish: Wish, tell: Tell) -> Self {
        let Wish { awaited, cleanup, since, begun, until } = wish;
        Self {
            number,
            awaited,
            cleanup,
            since,
            begun,
            until,
            tell,
            done: HashSet::new(),
            strange: 0,
            seen_in_junk: false,
            is_over: false,
        }
    }
}

/// What a look is for.
pub(super) struct Purpose {
    /// Those who wait.
    pub(super) parties: HashSet<u64>,
    /// The probes of which answers are waited for.
    pub(super) probes: HashSet<Uuid>,
    /// From where the first of them has to be served.
    pub(super) since: Mark,
    /// Whether junk is looked at, too.
    pub(super) junk: bool,
    /// Those whose time is over.
    pub(super) over: Vec<u64>,
}

/// A mail that some were told of.
pub(super) struct Told {
    pub(super) key: u64,
    /// What becomes of it once all have noted it.
    pub(super) then: Cleanup,
    pub(super) acks: Vec<(u64, oneshot::Receiver<()>)>,
}

impl Desk {
    /// What a look now is for.
    pub(super) fn purpose(&self, cursor: &Mark, now: Instant) -> Purpose {
        let mut parties = lock(&self.parties);
        let mut since = cursor.clone();
        for party in parties.iter_mut() {
            let from = party.since.get_or_insert_with(|| a_few_before(cursor));
            since = earlier(&since, from, cursor);
        }
        let over: Vec<_> =
            parties.iter().filter(|party| !party.is_over && party.until.is_some_and(|until| until <= now)).collect();
        let third = |party: &Party| !party.seen_in_junk && party.third().is_some_and(|third| third <= now);
        Purpose {
            parties: parties.iter().map(|party| party.number).collect(),
            probes: parties.iter().flat_map(|party| &party.awaited).filter_map(probe).collect(),
            since,
            junk: !over.is_empty() || parties.iter().any(third),
            over: over.iter().map(|party| party.number).collect(),
        }
    }

    /// Tells all whom a mail is about; none where it is about nothing that is waited for.
    pub(super) fn tell(&self, mail: &[u8], place: &Place, received: Timestamp) -> Option<Told> {
        let read = Read::new(mail);
        // Over POP3 a number is worth nothing in the next session.
        let key = if place.folder.is_empty() { self.keys.hash_one(mail) } else { self.keys.hash_one(place) };
        let junk = place.junk.then_some(place.folder.as_str());
        let (mut then, mut acks, mut heard) = (None, Vec::new(), false);
        for party in lock(&self.parties).iter_mut() {
            let Party { awaited, cleanup, tell, done, strange, .. } = party;
            for verdict in awaited.iter().filter_map(|awaited| judge(awaited, &read, junk)) {
                heard = true;
                if verdict.is_ours {
                    then = Some(then.map_or(*cleanup, |then| milder(then, *cleanup)));
                }
                let Some(tells) = verdict.tells.filter(|_| !done.contains(&key)) else { continue };
                *strange += usize::from(verdict.is_strange);
                if verdict.is_strange && *strange > STRANGE {
                    continue;
                }
                let (noted, ack) = oneshot::channel();
                let news = Heard { tells, received, arrived: read.arrived(), junk: junk.map(str::to_owned), noted: Noted(noted) };
                // Whoever has gone meanwhile has noted nothing.
                tell.send(News::Mail(Box::new(news))).ok();
                acks.push((party.number, ack));
            }
        }
        heard.then(|| Told { key, then: then.unwrap_or(Cleanup::Keep), acks })
    }

    /// A mail is noted by one of them.
    pub(super) fn noted(&self, number: u64, key: u64) {
        for party in lock(&self.parties).iter_mut().filter(|party| party.number == number) {
            party.done.insert(key);
        }
    }

    /// All of these have been served up to here, but for those who have not noted something.
    pub(super) fn served(&self, purpose: &Purpose, unnoted: &HashSet<u64>, mark: &Mark) {
        for party in lock(&self.parties).iter_mut() {
            // Over POP3 the count may fall again.
            let served = purpose.parties.contains(&party.number) && !unnoted.contains(&party.number);
            if served && !matches!(mark, Mark::Pop3 { .. }) {
                party.since = Some(mark.clone());
            }
            party.seen_in_junk |= purpose.junk && party.third().is_some_and(|third| third <= Instant::now());
            if purpose.over.contains(&party.number) {
                (party.is_over, party.seen_in_junk) = (true, true);
                party.tell.send(News::Over).ok();
            }
        }
    }

    /// Tells all why the mailbox cannot be read.
    pub(super) fn tell_failure(&self, failure: &Diagnosis, over: bool) {
        for party in lock(&self.parties).iter() {
            party.tell.send(News::Failed { failure: failure.clone(), over }).ok();
        }
    }

    /// Whether anything may be changed in the mailbox.
    pub(super) fn changes(&self) -> bool {
        lock(&self.parties).iter().any(|party| party.cleanup != Cleanup::Keep)
    }

    /// When something is due beside what comes by itself.
    pub(super) fn next_due(&self) -> Option<Instant> {
        lock(&self.parties).iter().filter_map(Party::next_due).min()
    }

    /// When the next session is wanted, where each look takes one.
    pub(super) fn next_session(&self, last: Option<Instant>) -> Option<Instant> {
        lock(&self.parties).iter().filter_map(|party| party.next_session(last)).min()
    }
}

fn probe(awaited: &Awaited) -> Option<Uuid> {
    match awaited {
        Awaited::Answer(expectation) => Some(expectation.id),
        Awaited::Reports(_) => None,
    }
}

fn milder(one: Cleanup, other: Cleanup) -> Cleanup {
    match (one, other) {
        (Cleanup::Keep, _) | (_, Cleanup::Keep) => Cleanup::Keep,
        (Cleanup::MarkSeen, _) | (_, Cleanup::MarkSeen) => Cleanup::MarkSeen,
        (Cleanup::Delete, Cleanup::Delete) => Cleanup::Delete,
    }
}

fn a_few_before(mark: &Mark) -> Mark {
    match mark {
        Mark::Imap { validity, next } => Mark::Imap { validity: *validity, next: next.saturating_sub(BEFORE).max(1) },
        Mark::Pop3 { messages } => Mark::Pop3 { messages: messages.saturating_sub(BEFORE) },
        // Each look begins some minutes before.
        Mark::Time { at } => Mark::Time { at: *at },
    }
}

/// The earlier of two, in a mailbox that stands at `now`: a mark that does not hold there is before everything.
fn earlier(one: &Mark, other: &Mark, now: &Mark) -> Mark {
    match (one, other, now) {
        (
            Mark::Imap { validity: of_one, next: one },
            Mark::Imap { validity: of_other, next: other },
            Mark::Imap { validity, .. },
        ) => {
            let from = |of: &u32, next: &u32| if of == validity { *next } else { 1 };
            Mark::Imap { validity: *validity, next: from(of_one, one).min(from(of_other, other)) }
        }
        (Mark::Pop3 { messages: one }, Mark::Pop3 { messages: other }, _) => Mark::Pop3 { messages: *one.min(other) },
        (Mark::Time { at: one }, Mark::Time { at: other }, _) => Mark::Time { at: *one.min(other) },
        (_, _, Mark::Imap { validity, .. }) => Mark::Imap { validity: *validity, next: 1 },
        (_, _, Mark::Pop3 { .. }) => Mark::Pop3 { messages: 0 },
        (_, _, Mark::Time { .. }) => Mark::Time { at: 0 },
    }
}
