//! When a check is due: a fixed phase for each object, the spread of what is overdue, and back-off. All of it follows
//! from the object's UID, so that a restart changes nothing and a fleet does not knock at once. No clock in here.

use std::time::Duration;

use jiff::Timestamp;

/// The first pause after a transient failure.
const FIRST_BACK_OFF: Duration = Duration::from_secs(30);

/// What is overdue when a process begins to lead is spread over no more than this.
const LONGEST_SPREAD: Duration = Duration::from_mins(10);

/// The least and the most time for which what failed is tried again where a mail's own time is over.
const ONCE_MORE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(15));

/// A number that is always the same for the same words, and evenly spread over all numbers.
fn stable(words: &[&str]) -> u64 {
    // SHA-256: the standard library's hash may change with the compiler, and every due time would with it.
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for word in words {
        context.update(word.as_bytes());
        context.update(&[0]);
    }
    context.finish().as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A whole number of seconds in `0..span`, always the same for the same words.
fn share(words: &[&str], span: Duration) -> Duration {
    Duration::from_secs(stable(words) % span.as_secs().max(1))
}

/// The first due time after a check: the first of `t0 + k * interval` (t0 from the UID) that is more than half an
/// interval later. Without that distance a new object would be checked twice within moments.
#[must_use]
pub fn due_after(checked: Timestamp, uid: &str, interval: Duration) -> Timestamp {
    let interval = interval.max(Duration::from_secs(1));
    let every = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
    let phase = i64::try_from(share(&[uid, "phase"], interval).as_secs()).unwrap_or(0);
    let past = checked.as_second().saturating_add(every / 2).saturating_sub(phase);
    let slot = past.div_euclid(every).saturating_add(1).saturating_mul(every).saturating_add(phase);
    Timestamp::from_second(slot).unwrap_or(Timestamp::MAX)
}

/// The first due time after this, however near it is.
#[must_use]
pub fn next_slot(after: Timestamp, uid: &str, interval: Duration) -> Timestamp {
    let half = Duration::from_secs(interval.as_secs() / 2);
    due_after(after.checked_sub(half).unwrap_or(Timestamp::MIN), uid, interval)
}

/// When a check that was overdue as a process began to lead runs: spread over min(interval, 10 minutes) after that.
#[must_use]
pub fn catch_up(since: Timestamp, uid: &str, interval: Duration) -> Timestamp {
    later(since, share(&[uid, "catch-up"], interval.min(LONGEST_SPREAD)))
}

/// When a new object among very many is checked first: spread over its interval.
#[must_use]
pub fn stagger(from: Timestamp, uid: &str, interval: Duration) -> Timestamp {
    later(from, share(&[uid, "stagger"], interval))
}

/// The pause after `failures` transient failures in a row: 30 s, 1 m, 2 m ... up to the interval, less up to a tenth of
/// itself, so that objects that failed together do not come back together.
#[must_use]
pub fn back_off(failures: u32, uid: &str, interval: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let whole = FIRST_BACK_OFF.saturating_mul(1 << doublings).min(interval);
    whole.saturating_sub(share(&[uid, "back-off", &failures.to_string()], whole / 10))
}

/// Until when the looks for a mail are tried again, where they fail, by whoever takes up now what another process began: its time
/// may be over, and nobody may have looked. As long as the mail was given, from a minute to a quarter of an hour, and no longer
/// than to the next slot.
#[must_use]
pub fn tries_until(now: Timestamp, timeout: Duration, slot: Timestamp) -> Timestamp {
    later(now, timeout.clamp(ONCE_MORE.0, ONCE_MORE.1)).min(slot)
}

/// The id of a check or run of an object that begins now: a UUID of version 8 (RFC 9562).
#[must_use]
pub fn begun(uid: &str, generation: i64, now: Timestamp) -> String {
    let words = format!("{uid}\0{generation}\0{}", now.as_nanosecond());
    let digest = ring::digest::digest(&ring::digest::SHA256, words.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// A time and a duration, and the end of time if that is too far.
#[must_use]
pub fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_taken_up_late_has_its_time_once_more_within_bounds() {
        let (now, far) = (at(1_700_000_000), at(1_800_000_000));
        let tries = |timeout, slot| tries_until(now, Duration::from_secs(timeout), slot).as_second() - now.as_second();
        assert_eq!([30, 60, 600, 900, 86_400].map(|timeout| tries(timeout, far)), [60, 60, 600, 900, 900]);
        assert_eq!(tries(600, at(1_700_000_020)), 20, "the next one is due");
    }

    #[test]
    fn a_due_time_never_moves_however_often_it_is_asked_for() {
        let due = due_after(at(1_700_000_000), "uid", Duration::from_hours(1));
        for delay in [0, 1, 60, 1799] {
            let next = due_after(later(due, Duration::from_secs(delay)), "uid", Duration::from_hours(1));
            assert_eq!(next.as_second() - due.as_second(), 3600);
        }
    }

    #[test]
    fn objects_of_one_interval_do_not_fall_due_together() {
        let mut minutes: Vec<i64> = (0..600)
            .map(|n| due_after(at(1_700_000_000), &format!("uid-{n}"), Duration::from_hours(1)).as_second() / 60)
            .collect();
        minutes.sort_unstable();
        let fullest = minutes.chunk_by(|a, b| a == b).map(<[i64]>::len).max().unwrap();
        assert!(fullest < 30, "{fullest} of 600 in one minute of 60");
    }

    #[test]
    fn the_phase_is_the_same_in_every_release() {
        // A changed hash would run every check of a fleet at another time after an upgrade.
        assert_eq!(stable(&["6f7d", "phase"]), 6_725_020_229_184_741_726);
    }

    #[test]
    fn back_off_doubles_from_half_a_minute_to_the_interval() {
        let hour = Duration::from_hours(1);
        for (failures, whole) in [(1, 30), (2, 60), (3, 120), (4, 240), (8, 3600), (4_000_000_000, 3600)] {
            let pause = back_off(failures, "uid", hour).as_secs();
            assert!(pause <= whole && pause * 10 >= whole * 9, "{failures}: {pause}");
        }
    }

    #[test]
    fn objects_that_failed_together_do_not_come_back_together() {
        let pauses: std::collections::BTreeSet<_> =
            (0..50).map(|n| back_off(5, &format!("uid-{n}"), Duration::from_hours(1))).collect();
        assert!(pauses.len() > 20);
    }

    proptest! {
        #[test]
        fn a_due_time_lies_between_half_and_one_and_a_half_intervals_ahead(
            second in -1_000_000_000_i64..10_000_000_000, uid in ".{0,40}", interval in 60_u64..1_000_000,
        ) {
            let gap = due_after(at(second), &uid, Duration::from_secs(interval)).as_second() - second;
            let interval = i64::try_from(interval).unwrap();
            prop_assert!(gap >= interval / 2 && gap <= interval / 2 + interval, "{gap} of {interval}");
        }

        #[test]
        fn the_next_slot_is_the_first_after_a_time(second in 0_i64..10_000_000_000, uid in ".{0,40}", interval in 60_u64..1_000_000) {
            let span = Duration::from_secs(interval);
            let slot = next_slot(at(second), &uid, span);
            let gap = slot.as_second() - second;
            prop_assert!(gap > 0 && gap <= i64::try_from(interval).unwrap(), "{gap} of {interval}");
            prop_assert_eq!(next_slot(slot, &uid, span).as_second() - slot.as_second(), i64::try_from(interval).unwrap());
        }

        #[test]
        fn due_times_are_an_interval_apart(second in 0_i64..10_000_000_000, uid in ".{0,40}", interval in 60_u64..1_000_000) {
            let interval = Duration::from_secs(interval);
            let first = due_after(at(second), &uid, interval);
            prop_assert_eq!(due_after(first, &uid, interval).as_second() - first.as_second(), i64::try_from(interval.as_secs()).unwrap());
        }

        #[test]
        fn what_is_overdue_runs_within_ten_minutes_and_within_its_interval(uid in ".{0,40}", interval in 60_u64..1_000_000) {
            let gap = catch_up(at(0), &uid, Duration::from_secs(interval)).as_second();
            prop_assert!(gap >= 0 && gap < 600.min(i64::try_from(interval).unwrap()));
        }

        #[test]
        fn a_staggered_first_check_runs_within_the_interval(uid in ".{0,40}", interval in 60_u64..1_000_000) {
            let gap = stagger(at(0), &uid, Duration::from_secs(interval)).as_second();
            prop_assert!(gap >= 0 && gap < i64::try_from(interval).unwrap());
        }

        #[test]
        fn back_off_stays_between_27_seconds_and_the_interval(failures in any::<u32>(), uid in ".{0,40}", interval in 60_u64..1_000_000) {
            let pause = back_off(failures, &uid, Duration::from_secs(interval)).as_secs();
            prop_assert!((27..=interval).contains(&pause), "{pause}");
        }
    }
}
