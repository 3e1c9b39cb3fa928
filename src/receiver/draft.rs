//! A mail on its way in: as much of it as is kept, within what all of them may keep.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    limits::Limits,
    unstuff::{Stray, Unstuffer},
};

const KIB: usize = 1024;
/// What each mail may keep whatever others do: few answers and bounces are longer, and nobody's hoard of memory keeps them out.
const OWN: usize = 16 * KIB;
const LEAST: usize = 4 * KIB;

/// The memory that all mails on their way in share beyond what each has of its own, in KiB.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub fn new(octets: usize) -> Self {
        Self(Arc::new(Semaphore::new((octets / KIB).min(Semaphore::MAX_PERMITS))))
    }
}

/// A mail on its way in.
#[derive(Debug)]
pub(super) struct Draft {
    kept: Vec<u8>,
    size: u64,
    unstuffer: Unstuffer,
    begun: Instant,
    most_kept: usize,
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    /// There was no memory left for it.
    starved: bool,
}

impl Draft {
    pub fn new(unstuffer: Unstuffer, limits: &Limits, budget: &Budget) -> Self {
        Self {
            kept: Vec::new(),
            size: 0,
            unstuffer,
            begun: Instant::now(),
            most_kept: limits.kept,
            budget: budget.clone(),
            held: None,
            starved: false,
        }
    }

    /// Takes the next piece; see [`Unstuffer::feed`].
    pub fn feed(&mut self, piece: &[u8]) -> Result<Option<usize>, Stray> {
        let mut unstuffer = self.unstuffer;
        let fed = unstuffer.feed(piece, |part| self.keep(part));
        self.unstuffer = unstuffer;
        fed
    }

    /// Its begin, as long as is kept.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Its octets so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When it began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    pub fn is_starved(&self) -> bool {
        self.starved
    }

    pub fn longest_line(&self) -> u64 {
        self.unstuffer.longest_line()
    }

    pub fn ends_badly(&self) -> bool {
        self.unstuffer.ends_badly()
    }

    /// Until when more of it has to come: whoever sends faster than the least rate has all the time that it takes.
    pub fn deadline(&self, limits: &Limits) -> Instant {
        let earned = std::time::Duration::from_secs(self.size / limits.least_rate.max(1));
        self.begun + limits.data_timeout + earned
    }

    /// Gives back its memory, as it is too large to be read.
    pub fn give_up(&mut self) {
        (self.kept, self.held, self.most_kept) = (Vec::new(), None, 0);
    }

    fn keep(&mut self, part: &[u8]) {
        self.size += part.len() as u64;
        let part = &part[..part.len().min(self.most_kept.saturating_sub(self.kept.len()))];
        if part.is_empty() || !self.has_room_for(part.len()) {
            return;
        }
        self.kept.extend_from_slice(part);
    }

    fn has_room_for(&mut self, octets: usize) -> bool {
        let needed = self.kept.len() + octets;
        if needed <= self.kept.capacity() {
            return true;
        }
        // At least twice as much each time; the last step is the bound itself.
        let capacity = needed.next_power_of_two().min(self.most_kept.next_multiple_of(KIB)).max(LEAST);
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(capacity.saturating_sub(OWN).div_ceil(KIB) - held);
        let Some(permit) = more.ok().and_then(|more| Arc::clone(&self.budget.0).try_acquire_many_owned(more).ok()) else {
            self.give_up();
            self.starved = true;
            return false;
        };
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        self.kept.reserve_exact(capacity - self.kept.len());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_kept_up_to_its_bound_and_counted_beyond() {
        let limits = Limits { kept: 10_000, ..Limits::default() };
        let mut draft = Draft::new(Unstuffer::new(), &limits, &Budget::new(1 << 20));
        for _ in 0..100 {
            assert_eq!(draft.feed(&[b'x'; 1000]), Ok(None));
        }
        assert_eq!((draft.size(), draft.kept().len()), (100_000, 10_000));
        assert!(draft.kept.capacity() <= 10 * KIB && !draft.is_starved());
    }

    #[test]
    fn all_mails_share_one_budget_and_give_it_back() {
        let (limits, budget) = (Limits { kept: 64 * KIB, ..Limits::default() }, Budget::new(80 * KIB));
        let draft = || {
            let mut draft = Draft::new(Unstuffer::new(), &limits, &budget);
            draft.feed(&vec![b'x'; 64 * KIB]).unwrap();
            draft
        };
        let (first, second) = (draft(), draft());
        let mut small = Draft::new(Unstuffer::new(), &limits, &budget);
        small.feed(&vec![b'x'; OWN]).unwrap();
        assert!(!small.is_starved() && small.kept().len() == OWN);
        assert!(!first.is_starved() && second.is_starved() && second.kept().is_empty());
        drop(first);
        let mut third = draft();
        assert!(!third.is_starved());
        third.give_up();
        assert!(!draft().is_starved());
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_fast_enough_has_time() {
        let limits = Limits::default();
        let mut draft = Draft::new(Unstuffer::new(), &limits, &Budget::new(1 << 20));
        let begun = Instant::now();
        assert_eq!(draft.deadline(&limits) - begun, limits.data_timeout);
        draft.feed(&[b'x'; 5000]).unwrap();
        assert_eq!((draft.deadline(&limits) - begun).as_secs(), limits.data_timeout.as_secs() + 10);
    }
}
