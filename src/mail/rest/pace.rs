//! When a mailbox is looked at that tells nothing by itself (promise 10): pure.
//!
//! Most mails come within seconds. In a search of 15 minutes there are 75 looks at most, in one of a day 1,500: each is one
//! request where little else comes, and far below what the providers grant (Microsoft 10,000 in ten minutes for an application
//! and mailbox, <https://learn.microsoft.com/en-us/graph/throttling-limits>; Google 15,000 units a minute for a user, of which a
//! look takes 5 and each new mail 5, <https://developers.google.com/workspace/gmail/api/reference/quota>).

use std::time::Duration;

/// How long behind the beginning a step is how long.
const STEPS: [(Duration, Duration); 4] = [
    (Duration::from_secs(5), Duration::from_secs(1)),
    (Duration::from_secs(30), Duration::from_secs(2)),
    (Duration::from_mins(2), Duration::from_secs(5)),
    (Duration::from_mins(15), Duration::from_secs(20)),
];
/// The step behind them.
const LAST: Duration = Duration::from_mins(1);

/// The wait between two looks, so long behind the moment from which something was expected.
pub(super) fn step(waited: Duration) -> Duration {
    STEPS.iter().find(|(until, _)| waited < *until).map_or(LAST, |(_, step)| *step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(timeout: Duration) -> usize {
        let (mut now, mut looks) = (Duration::ZERO, 1);
        while now < timeout {
            now += step(now);
            looks += 1;
        }
        looks
    }

    #[test]
    fn a_search_looks_often_at_first_and_is_no_burden_in_the_end() {
        // promise 10
        for (seconds, most) in [(30, 20), (120, 40), (900, 78), (86_400, 1_510)] {
            let looks = looks(Duration::from_secs(seconds));
            assert!(looks <= most, "{seconds}: {looks}");
        }
        assert_eq!(step(Duration::ZERO), Duration::from_secs(1));
        assert_eq!(step(Duration::from_hours(3)), LAST);
    }
}
