//! When there is reason to look (promises 9 and 10): pure, but for the clock that is handed in.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::parties::Party;
use crate::verify::mailbox::attend::{Patience, times::next_look};

/// The time over which logins are counted where each look takes one.
const WINDOW: Duration = Duration::from_mins(10);
/// The waits between as many logins as a window may have: the first soon behind each other, as most answers come at once.
const GAPS: [u64; 8] = [0, 2, 8, 20, 30, 180, 180, 180];

/// The logins of late, where each look takes one: they are few (promise 9).
#[derive(Debug, Default)]
pub(super) struct Logins(VecDeque<Instant>);

impl Logins {
    pub(super) fn made(&mut self, now: Instant) {
        self.0.push_back(now);
    }

    /// When the next may be made.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        self.0.retain(|at| *at + WINDOW > now);
        let Some((first, last)) = self.0.front().zip(self.0.back()) else { return now };
        GAPS.get(self.0.len()).map_or(*first + WINDOW, |gap| *last + Duration::from_secs(*gap))
    }

    pub(super) fn last(&self) -> Option<Instant> {
        self.0.back().copied()
    }
}

impl Party {
    /// When junk is looked at for the first time.
    pub(super) fn third(&self) -> Option<Instant> {
        self.until.map(|until| self.begun + until.saturating_duration_since(self.begun) / 3)
    }

    /// When something is due beside what comes by itself: a look at junk, and the end.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let third = self.third().filter(|_| !self.seen_in_junk);
        let until = self.until.filter(|_| !self.is_over);
        third.into_iter().chain(until).min()
    }

    /// When it wants a session, where each look takes one.
    pub(super) fn next_session(&self, last: Option<Instant>) -> Option<Instant> {
        let until = self.until.filter(|_| !self.is_over)?;
        let looked = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(self.begun));
        Some(self.begun + next_look(looked, until.saturating_duration_since(self.begun), Patience::Stay, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_logins_are_made_in_ten_minutes_whoever_wants_them() {
        // promise 9
        let begun = Instant::now();
        let (mut logins, mut now, mut at) = (Logins::default(), begun, Vec::new());
        while now < begun + Duration::from_mins(20) {
            at.push((now - begun).as_secs());
            logins.made(now);
            now = logins.next(now).max(now);
        }
        assert_eq!(at[..8], [0, 2, 10, 30, 60, 240, 420, 600]);
        for from in 0..1200 {
            assert!(at.iter().filter(|at| (from..from + 600).contains(*at)).count() <= 8, "{from}: {at:?}");
        }
    }
}
