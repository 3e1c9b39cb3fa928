//! Who leads, judged without I/O, and the fence that is asked before every mail write.
//!
//! Clocks of two machines differ, so another's Lease is judged by when *we* saw it change, never by the times in it.
//! The requests are in [`super::election`].

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};

use super::lock;

/// How long a Lease holds of which nothing else is known.
const USUAL: Duration = Duration::from_secs(10);

/// The times of an election, all of which follow from how long a Lease holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long it holds without being renewed; whole seconds, as it is written in seconds.
    pub duration: Duration,
}

impl Pace {
    /// How often a leader renews.
    #[must_use]
    pub fn renew(self) -> Duration {
        self.duration / 5
    }

    /// How often anyone tries again.
    #[must_use]
    pub fn retry(self) -> Duration {
        self.duration / 10
    }

    /// The most time for one request: several must fit into the time that a Lease holds.
    #[must_use]
    pub fn request(self) -> Duration {
        self.duration * 3 / 10
    }

    /// How long a leader trusts a renewal. Others may take over a little later: clocks run at slightly different rates.
    fn trusted(self) -> Duration {
        self.duration * 9 / 10
    }
}

/// A Lease as we saw it, and since when it has looked like that.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    holder: Option<String>,
    renewed: Option<MicroTime>,
    duration: Duration,
    since: Instant,
}

impl Sighting {
    /// What `lease` says at `now`; `before` is the last sighting of it.
    #[must_use]
    pub fn of(lease: &Lease, before: Option<&Self>, now: Instant) -> Self {
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|s| s.holder_identity.clone()).filter(|holder| !holder.is_empty());
        let renewed = spec.and_then(|s| s.renew_time.clone());
        let seconds = spec.and_then(|s| s.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
        let duration = seconds.map_or(USUAL, Duration::from_secs);
        let since = before.filter(|b| b.holder == holder && b.renewed == renewed).map_or(now, |b| b.since);
        Self { holder, renewed, duration, since }
    }
}

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// There is none: create it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// Nobody holds it any more: take it.
    Take,
    /// Another holds it, and did not renew it for less than its duration.
    Follow(String),
}

/// What `me` is to do at `now` about the Lease as it was seen.
#[must_use]
pub fn evaluate(lease: Option<&Sighting>, me: &str, now: Instant) -> Step {
    let Some(seen) = lease else { return Step::Create };
    match &seen.holder {
        None => Step::Take,
        Some(holder) if holder == me => Step::Renew,
        Some(_) if now.saturating_duration_since(seen.since) >= seen.duration => Step::Take,
        Some(holder) => Step::Follow(holder.clone()),
    }
}

/// Says whether this process may still write to a mail server. Cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<Option<Until>>>);

#[derive(Clone, Copy, Debug)]
struct Until {
    monotonic: Instant,
    wall: SystemTime,
}

impl Fence {
    /// A fence that is not held.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the Lease is ours beyond doubt: by our own clocks, whatever the API server says meanwhile.
    ///
    /// Both clocks must agree: the monotonic one stands still while a machine sleeps, the wall clock can be set.
    #[must_use]
    pub fn held(&self) -> bool {
        lock(&self.0).is_some_and(|until| Instant::now() < until.monotonic && SystemTime::now() < until.wall)
    }

    /// How long that will last if nothing is heard, by the monotonic clock; none where it is not held.
    pub(super) fn left(&self) -> Option<Duration> {
        if !self.held() {
            return None;
        }
        lock(&self.0).map(|until| until.monotonic.saturating_duration_since(Instant::now()))
    }

    /// Holds it for a Lease whose renewal was *sent* at `monotonic` and `wall`.
    pub(super) fn hold(&self, pace: Pace, monotonic: Instant, wall: SystemTime) {
        let span = pace.trusted();
        *lock(&self.0) = Some(Until { monotonic: monotonic + span, wall: wall + span });
    }

    /// Gives it up.
    pub(super) fn give_up(&self) {
        *lock(&self.0) = None;
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;

    use super::*;

    fn lease(holder: &str, renewed: i64) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                renew_time: Some(MicroTime(jiff::Timestamp::from_second(renewed).unwrap())),
                lease_duration_seconds: Some(10),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_missing_lease_is_created_and_a_released_one_is_taken() {
        let now = Instant::now();
        assert_eq!(evaluate(None, "me", now), Step::Create);
        assert_eq!(evaluate(Some(&Sighting::of(&lease("", 0), None, now)), "me", now), Step::Take);
        assert_eq!(evaluate(Some(&Sighting::of(&Lease::default(), None, now)), "me", now), Step::Take);
    }

    #[test]
    fn our_own_lease_is_renewed_however_old_it_is() {
        let start = Instant::now();
        let seen = Sighting::of(&lease("me", 0), None, start);
        assert_eq!(evaluate(Some(&seen), "me", after(start, 100)), Step::Renew);
    }

    #[test]
    fn another_holder_is_judged_by_observed_change_and_not_by_the_times_it_writes() {
        let start = Instant::now();
        // Its clock is a decade behind ours: the Lease looks long expired, and is not.
        let first = Sighting::of(&lease("other", 1_400_000_000), None, start);
        assert_eq!(evaluate(Some(&first), "me", after(start, 9)), Step::Follow("other".to_owned()));
        let renewed = Sighting::of(&lease("other", 1_400_000_009), Some(&first), after(start, 9));
        assert_eq!(evaluate(Some(&renewed), "me", after(start, 18)), Step::Follow("other".to_owned()));
        let same = Sighting::of(&lease("other", 1_400_000_009), Some(&renewed), after(start, 18));
        assert_eq!(evaluate(Some(&same), "me", after(start, 19)), Step::Take);
    }

    #[test]
    fn a_new_holder_gets_its_full_duration() {
        let start = Instant::now();
        let first = Sighting::of(&lease("other", 5), None, start);
        let third = Sighting::of(&lease("third", 5), Some(&first), after(start, 9));
        assert_eq!(evaluate(Some(&third), "me", after(start, 18)), Step::Follow("third".to_owned()));
    }

    #[test]
    fn the_fence_ends_before_others_may_take_the_lease() {
        let fence = Fence::new();
        assert!(!fence.held());
        let (pace, now) = (Pace { duration: Duration::from_secs(10) }, (Instant::now(), SystemTime::now()));
        fence.hold(pace, now.0, now.1);
        assert!(fence.held());
        let old = Duration::from_millis(9_001);
        fence.hold(pace, now.0.checked_sub(old).unwrap(), now.1);
        assert!(!fence.held(), "a renewal that was sent 9 s ago no longer counts");
        fence.hold(pace, now.0, now.1 - old);
        assert!(!fence.held(), "a machine that slept knows it by its wall clock");
        fence.hold(pace, now.0, now.1);
        fence.give_up();
        assert!(!fence.held());
    }
}
