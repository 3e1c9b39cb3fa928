//! How many checks run at once: in all, to one host, and with one account. Who finds no place waits in a queue that
//! costs no worker, and is woken when a place is free.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use tokio::sync::mpsc;

use super::{Name, lock};

/// Where a check goes: what its place is counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host as written in the spec, lower case.
    pub host: String,
    /// The user name, where there is a login.
    pub user: Option<String>,
    /// How many connections the object grants to its account; the lowest over all objects with that account counts.
    pub connections: usize,
}

/// The bounds on checks in flight. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits {
    state: Arc<Mutex<State>>,
    most: usize,
    most_per_host: usize,
    wake: mpsc::UnboundedSender<Name>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    hosts: HashMap<String, usize>,
    accounts: HashMap<(String, String), usize>,
    grants: HashMap<(String, String), HashMap<Name, usize>>,
    declared: HashMap<Name, (String, String)>,
    waiting: VecDeque<(Name, Target)>,
    kept: HashMap<Name, Target>,
}

/// A place among the checks in flight; dropping it frees it.
#[derive(Debug)]
pub struct Place {
    target: Target,
    limits: Limits,
}

impl Limits {
    /// Bounds of `most` checks in all and `most_per_host` to one host (at least 1 each), and the names that are woken: they
    /// found no place before, one is kept for them now, and [`Limits::enter`] hands it out.
    #[must_use]
    pub fn new(most: usize, most_per_host: usize) -> (Self, mpsc::UnboundedReceiver<Name>) {
        let (wake, woken) = mpsc::unbounded_channel();
        (Self { state: Arc::default(), most: most.max(1), most_per_host: most_per_host.max(1), wake }, woken)
    }

    /// A place for a check of `name`, if there is one now; else it is put at the end of the queue.
    #[must_use]
    pub fn enter(&self, name: &Name, target: &Target) -> Option<Place> {
        let mut state = lock(&self.state);
        state.declare(name, target);
        let kept = state.kept.remove(name);
        if kept.as_ref() == Some(target) {
            return Some(Place { target: target.clone(), limits: self.clone() });
        }
        let place = if state.admits(target, self.most, self.most_per_host) {
            state.waiting.retain(|(waiting, _)| waiting != name);
            state.count(target);
            Some(Place { target: target.clone(), limits: self.clone() })
        } else {
            match state.waiting.iter_mut().find(|(waiting, _)| waiting == name) {
                Some((_, wanted)) => *wanted = target.clone(),
                None => state.waiting.push_back((name.clone(), target.clone())),
            }
            None
        };
        drop(state);
        if let Some(other) = kept {
            self.leave(&other);
        }
        place
    }

    /// `name` wants no place now: it leaves the queue, and a place that was kept for it goes to the next.
    pub fn pass(&self, name: &Name) {
        let mut state = lock(&self.state);
        state.waiting.retain(|(waiting, _)| waiting != name);
        let kept = state.kept.remove(name);
        drop(state);
        if let Some(target) = kept {
            self.leave(&target);
        }
    }

    /// `name` is gone: it passes, and what it granted to its account no longer counts.
    pub fn forget(&self, name: &Name) {
        lock(&self.state).withdraw(name);
        self.pass(name);
    }

    /// How many checks are in flight, or have a place kept for them.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        lock(&self.state).in_flight
    }

    /// How many wait for a place.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    fn leave(&self, target: &Target) {
        let mut state = lock(&self.state);
        state.uncount(target);
        let mut at = 0;
        while at < state.waiting.len() && state.in_flight < self.most {
            if !state.admits(&state.waiting[at].1, self.most, self.most_per_host) {
                at += 1;
                continue;
            }
            let Some((name, target)) = state.waiting.remove(at) else { break };
            state.count(&target);
            // Where nobody listens any more the term is over, and so is this queue.
            let _ = self.wake.send(name.clone());
            state.kept.insert(name, target);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limits.leave(&self.target);
    }
}

impl State {
    fn admits(&self, target: &Target, most: usize, most_per_host: usize) -> bool {
        let of = |count: Option<&usize>| count.copied().unwrap_or_default();
        self.in_flight < most
            && of(self.hosts.get(&target.host)) < most_per_host
            && account(target).is_none_or(|account| {
                let granted = self.grants.get(&account).and_then(|grants| grants.values().min()).copied();
                of(self.accounts.get(&account)) < granted.unwrap_or(target.connections).max(1)
            })
    }

    fn count(&mut self, target: &Target) {
        self.in_flight += 1;
        *self.hosts.entry(target.host.clone()).or_default() += 1;
        if let Some(account) = account(target) {
            *self.accounts.entry(account).or_default() += 1;
        }
    }

    fn uncount(&mut self, target: &Target) {
        self.in_flight = self.in_flight.saturating_sub(1);
        less(&mut self.hosts, &target.host);
        if let Some(account) = account(target) {
            less(&mut self.accounts, &account);
        }
    }

    /// Notes what an object grants to its account.
    fn declare(&mut self, name: &Name, target: &Target) {
        let account = account(target);
        if self.declared.get(name) != account.as_ref() {
            self.withdraw(name);
        }
        if let Some(account) = account {
            self.grants.entry(account.clone()).or_default().insert(name.clone(), target.connections);
            self.declared.insert(name.clone(), account);
        }
    }

    fn withdraw(&mut self, name: &Name) {
        let Some(account) = self.declared.remove(name) else { return };
        if let Some(grants) = self.grants.get_mut(&account) {
            grants.remove(name);
            if grants.is_empty() {
                self.grants.remove(&account);
            }
        }
    }
}

fn account(target: &Target) -> Option<(String, String)> {
    target.user.clone().map(|user| (target.host.clone(), user))
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::new("mail", name)
    }

    fn to(host: &str, user: Option<&str>, connections: usize) -> Target {
        Target { host: host.to_owned(), user: user.map(ToOwned::to_owned), connections }
    }

    #[test]
    fn no_more_checks_run_than_the_bounds_allow() {
        let (limits, _woken) = Limits::new(3, 2);
        let places: Vec<_> = ["a", "b"].iter().filter_map(|n| limits.enter(&name(n), &to("one", None, 9))).collect();
        assert_eq!(places.len(), 2);
        assert!(limits.enter(&name("c"), &to("one", None, 9)).is_none(), "two to one host");
        let third = limits.enter(&name("d"), &to("two", None, 9));
        assert!(third.is_some());
        assert!(limits.enter(&name("e"), &to("three", None, 9)).is_none(), "three in all");
        assert_eq!((limits.in_flight(), limits.waiting()), (3, 2));
    }

    #[test]
    fn a_freed_place_is_kept_for_the_first_who_waits_and_fits() {
        let (limits, mut woken) = Limits::new(2, 1);
        let one = limits.enter(&name("a"), &to("one", None, 1)).unwrap();
        let two = limits.enter(&name("b"), &to("two", None, 1)).unwrap();
        assert!(limits.enter(&name("c"), &to("one", None, 1)).is_none());
        assert!(limits.enter(&name("d"), &to("two", None, 1)).is_none());
        drop(two);
        assert_eq!(woken.try_recv().unwrap(), name("d"), "c waits for another host");
        assert!(limits.enter(&name("x"), &to("two", None, 1)).is_none(), "the place is d's");
        let _place = limits.enter(&name("d"), &to("two", None, 1)).unwrap();
        drop(one);
        assert_eq!(woken.try_recv().unwrap(), name("c"));
    }

    #[test]
    fn who_was_woken_and_passes_lets_the_next_one_in() {
        let (limits, mut woken) = Limits::new(1, 1);
        let first = limits.enter(&name("a"), &to("one", None, 1)).unwrap();
        assert!(limits.enter(&name("b"), &to("one", None, 1)).is_none());
        assert!(limits.enter(&name("c"), &to("one", None, 1)).is_none());
        drop(first);
        assert_eq!(woken.try_recv().unwrap(), name("b"));
        limits.pass(&name("b"));
        assert_eq!(woken.try_recv().unwrap(), name("c"));
        limits.forget(&name("c"));
        assert_eq!((limits.in_flight(), limits.waiting()), (0, 0));
    }

    #[test]
    fn the_lowest_grant_over_all_objects_with_an_account_counts() {
        let (limits, _woken) = Limits::new(9, 9);
        let one = limits.enter(&name("a"), &to("one", Some("u"), 3)).unwrap();
        assert!(limits.enter(&name("b"), &to("one", Some("u"), 1)).is_none(), "b grants one connection, and a has it");
        assert!(limits.enter(&name("c"), &to("one", Some("u"), 3)).is_none(), "b's word counts for c as well");
        limits.forget(&name("b"));
        assert!(limits.enter(&name("c"), &to("one", Some("u"), 3)).is_some(), "b is gone");
        assert!(limits.enter(&name("d"), &to("two", Some("u"), 1)).is_some(), "another host is another account");
        drop(one);
    }

    #[test]
    fn a_place_that_was_kept_for_another_host_is_given_back() {
        let (limits, mut woken) = Limits::new(1, 1);
        let first = limits.enter(&name("a"), &to("one", None, 1)).unwrap();
        assert!(limits.enter(&name("b"), &to("one", None, 1)).is_none());
        drop(first);
        assert_eq!(woken.try_recv().unwrap(), name("b"));
        // The spec names another host now. The kept place still counts while it is judged, so b queues and is woken again.
        assert!(limits.enter(&name("b"), &to("two", None, 1)).is_none());
        assert_eq!(woken.try_recv().unwrap(), name("b"));
        assert!(limits.enter(&name("b"), &to("two", None, 1)).is_some());
    }
}
