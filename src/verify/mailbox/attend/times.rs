//! When a search looks: pure, in times since the mail was accepted.

use std::time::Duration;

use super::Patience;
use crate::mail::protocol::Protocol;

/// The first looks of who has few of them (promise 9).
const FIRST: [Duration; 4] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(30), Duration::from_mins(1)];
/// How many looks are spread behind them, the last at the end: with the session that notes what is there, 8 logins in all (promise 9).
const SPREAD: u32 = 3;
/// Looks that are spread are at least so far apart.
const APART: Duration = Duration::from_secs(30);
/// The first wait before a session is opened again.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest; a session that lasted so long was none that failed at once.
const LONGEST: Duration = Duration::from_mins(1);

/// When the next session looks, for who holds none: the first time behind `now`, and the end at last. Where sessions are
/// scarce, as each locks the maildrop, there are seven looks at most, those of a person's mail in the person's own steps.
pub(in crate::verify::mailbox) fn next_look(now: Duration, timeout: Duration, patience: Patience, scarce: bool) -> Duration {
    let next = match patience {
        Patience::Return { every } if !scarce => {
            let every = every.max(SHORTEST);
            let past = now.as_nanos() / every.as_nanos();
            every.saturating_mul(u32::try_from(past).unwrap_or(u32::MAX).saturating_add(1))
        }
        Patience::Return { every } => next_of_few(now, timeout, [1, 2, 3, 4].map(|times| every.max(SHORTEST) * times)),
        Patience::Stay => next_of_few(now, timeout, FIRST),
    };
    next.min(timeout)
}

fn next_of_few(now: Duration, timeout: Duration, first: [Duration; 4]) -> Duration {
    if let Some(next) = first.into_iter().find(|time| *time > now) {
        return next;
    }
    let from = first[3];
    let rest = timeout.saturating_sub(from);
    let step = (rest / SPREAD).max(APART);
    (1..SPREAD).map(|times| from + step * times).find(|time| *time > now).unwrap_or(timeout)
}

/// How long to wait before a session is opened again: 1 s, 2 s, 4 s and so on, a minute at most.
#[derive(Debug, Default)]
pub(in crate::verify::mailbox) struct BackOff(u32);

impl BackOff {
    /// The wait behind a session that lasted so long.
    pub(in crate::verify::mailbox) fn after(&mut self, session: Duration) -> Duration {
        if session >= LONGEST {
            self.0 = 0;
        }
        let wait = SHORTEST.saturating_mul(2_u32.saturating_pow(self.0)).min(LONGEST);
        self.0 = self.0.saturating_add(1);
        wait
    }
}

/// When a search that failed is begun again: in times since it was taken up, until its tries are over.
#[derive(Debug)]
pub struct Tries {
    until: Duration,
    /// Each look takes a login, of which there are few (promise 9).
    scarce: bool,
    back_off: BackOff,
}

impl Tries {
    /// The tries of a search in a mailbox that is read so.
    #[must_use]
    pub fn new(until: Duration, protocol: Protocol) -> Self {
        Self { until, scarce: protocol == Protocol::Pop3, back_off: BackOff::default() }
    }

    /// When it is begun again that was begun at `begun` and failed `now`, where the server asked for a wait of `after`; none where
    /// its tries are over. The last is at their end.
    pub fn next(&mut self, begun: Duration, now: Duration, after: Option<Duration>) -> Option<Duration> {
        if now >= self.until {
            return None;
        }
        let next = if self.scarce {
            next_look(now, self.until, Patience::Stay, true)
        } else {
            now + self.back_off.after(now.saturating_sub(begun))
        };
        Some(next.max(now + after.unwrap_or_default()).min(self.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When searches are begun that each fail at once.
    fn tries(until: u64, protocol: Protocol) -> Vec<u64> {
        let (mut tries, mut now, mut all) = (Tries::new(Duration::from_secs(until), protocol), Duration::ZERO, vec![0]);
        while let Some(next) = tries.next(now, now, None) {
            now = next;
            all.push(now.as_secs());
        }
        all
    }

    #[test]
    fn what_failed_is_tried_with_back_off_and_at_the_end_and_over_pop3_eight_times_at_most() {
        assert_eq!(tries(60, Protocol::Imap), [0, 1, 3, 7, 15, 31, 60]);
        assert_eq!(tries(300, Protocol::Graph), [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 300]);
        assert_eq!(tries(900, Protocol::Pop3), [0, 2, 10, 30, 60, 340, 620, 900]);
        assert_eq!(tries(0, Protocol::Imap), [0], "one whose time to be tried is over");
        let mut asked = Tries::new(Duration::from_mins(1), Protocol::Gmail);
        let at = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(asked.next(Duration::ZERO, Duration::from_secs(2), at(30)), at(32), "as the server asked");
        assert_eq!(asked.next(Duration::ZERO, Duration::from_secs(40), at(30)), at(60));
    }

    fn looks(timeout: u64, patience: Patience, scarce: bool) -> Vec<u64> {
        let (timeout, mut now, mut looks) = (Duration::from_secs(timeout), Duration::ZERO, Vec::new());
        while now < timeout {
            now = next_look(now, timeout, patience, scarce);
            looks.push(now.as_secs());
        }
        looks
    }

    #[test]
    fn who_has_eight_logins_looks_often_at_first_and_then_to_the_end() {
        // promise 9; the eighth notes what is there.
        assert_eq!(looks(900, Patience::Stay, true), [2, 10, 30, 60, 340, 620, 900]);
        assert_eq!(looks(30, Patience::Stay, true), [2, 10, 30]);
        assert_eq!(looks(45, Patience::Stay, true), [2, 10, 30, 45]);
        assert_eq!(looks(70, Patience::Stay, true), [2, 10, 30, 60, 70]);
        assert_eq!(looks(120, Patience::Stay, true), [2, 10, 30, 60, 90, 120]);
        for timeout in 30..4000 {
            assert!(looks(timeout, Patience::Stay, true).len() <= 7, "{timeout}");
        }
        assert_eq!(looks(86_400, Patience::Stay, true).len(), 7);
    }

    #[test]
    fn for_a_person_one_looks_each_minute() {
        let patience = Patience::Return { every: Duration::from_mins(1) };
        assert_eq!(looks(200, patience, false), [60, 120, 180, 200]);
        assert_eq!(looks(86_400, patience, false).len(), 1440);
        assert_eq!(looks(900, patience, true), [60, 120, 180, 240, 460, 680, 900]);
        let at_once = Patience::Return { every: Duration::ZERO };
        assert_eq!(looks(3, at_once, false), [1, 2, 3]);
    }

    #[test]
    fn who_is_late_looks_at_the_next_time_and_not_at_those_that_passed() {
        let at = |now| next_look(Duration::from_secs(now), Duration::from_mins(15), Patience::Stay, true).as_secs();
        assert_eq!((at(0), at(9), at(10), at(61), at(340), at(899), at(2000)), (2, 10, 30, 340, 620, 900, 900));
    }

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_begins_anew_behind_a_session_that_lasted() {
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..8).map(|_| back_off.after(Duration::ZERO).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off.after(Duration::from_mins(2)).as_secs(), 1);
        assert_eq!(back_off.after(Duration::from_secs(59)).as_secs(), 2);
    }
}
