//! How a receiver shows that it is alive, and how that is judged: by when *we* saw its Lease change, never by the times in it,
//! as clocks differ. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The label of a receiver's Lease.
pub const LABEL: &str = "app.kubernetes.io/component";
/// That label's value.
pub const RECEIVER: &str = "receiver";
/// How often a Lease is renewed.
pub const RENEW: Duration = Duration::from_secs(10);
/// A receiver whose Lease did not change for this long is gone.
pub const SILENCE: Duration = Duration::from_secs(40);

/// The name of a receiver's Lease: that of its pod, as far as names of objects go.
#[must_use]
pub fn lease_name(pod: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = pod.chars().map(plain).take(253).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { RECEIVER.to_owned() } else { name.to_owned() }
}

/// The receivers that show signs of life, by the names of their Leases.
#[derive(Debug, Default)]
pub struct Pulses(BTreeMap<String, (String, Instant)>);

impl Pulses {
    /// Takes note of a Lease, as it `said` at `now` (none: it was given back, or is gone). Says whether somebody came or went.
    pub fn beat(&mut self, lease: &str, said: Option<String>, now: Instant) -> bool {
        let Some(said) = said else { return self.0.remove(lease).is_some() };
        match self.0.get_mut(lease) {
            Some((known, _)) if *known == said => false,
            Some(known) => {
                let was_gone = !is_alive(known.1, now);
                *known = (said, now);
                was_gone
            }
            None => {
                self.0.insert(lease.to_owned(), (said, now));
                true
            }
        }
    }

    /// These are all Leases that there are. Says whether somebody went.
    pub fn keep(&mut self, listed: impl Fn(&str) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|lease, _| listed(lease));
        before != self.0.len()
    }

    /// Whether this pod's receiver is at work. One whose Lease we see for the first time is, as far as anybody can tell.
    #[must_use]
    pub fn is_alive(&self, pod: &str, now: Instant) -> bool {
        self.0.get(&lease_name(pod)).is_some_and(|(_, seen)| is_alive(*seen, now))
    }

    /// Whether any receiver is at work.
    #[must_use]
    pub fn is_any(&self, now: Instant) -> bool {
        self.0.values().any(|(_, seen)| is_alive(*seen, now))
    }

    /// When the next falls silent, unless it is heard before.
    #[must_use]
    pub fn next_silence(&self, now: Instant) -> Option<Instant> {
        self.0.values().map(|(_, seen)| *seen + SILENCE).filter(|end| *end > now).min()
    }
}

fn is_alive(seen: Instant, now: Instant) -> bool {
    now.saturating_duration_since(seen) < SILENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_judged_by_when_its_lease_was_seen_to_change() {
        let (mut pulses, start) = (Pulses::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let said = |what: &str| Some(what.to_owned());
        assert!(pulses.beat("pod", said("1"), start), "one came");
        assert!(!pulses.beat("pod", said("2"), after(30)));
        assert!(!pulses.beat("pod", said("2"), after(60)), "the same again is no sign of life");
        assert!(pulses.is_alive("Pod", after(69)) && pulses.is_any(after(69)));
        assert_eq!(pulses.next_silence(after(60)), Some(after(70)));
        assert!(!pulses.is_alive("pod", after(70)) && !pulses.is_any(after(70)));
        assert!(pulses.beat("pod", said("3"), after(80)), "it is back");
        assert!(pulses.beat("pod", None, after(81)) && !pulses.is_alive("pod", after(81)));
        assert!(!pulses.beat("pod", None, after(82)));
    }

    #[test]
    fn any_host_has_a_name_for_its_lease() {
        for (pod, name) in [
            ("mailverity-receiver-5f-x2", "mailverity-receiver-5f-x2"),
            ("My_Laptop.local", "my-laptop.local"),
            ("__", "receiver"),
        ] {
            assert_eq!(lease_name(pod), name);
        }
    }
}
