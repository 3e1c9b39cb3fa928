//! How many checks run at once: in all, to one host, and with one account. Who finds no place waits in a queue that costs no
//! worker, and is woken when a place is free.
//!
//! A check that holds a place may need a second one for a while: a mailbox is proved by a mail, and that goes through a
//! server. Second places do not count in all, and mailboxes are counted apart from servers that take mail; or checks that
//! each hold one place and wait for another would wait for each other for ever.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use tokio::sync::{mpsc, oneshot};

use super::{Who, lock};

/// What a host is asked for. Each is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// To take mail. Who holds a place here asks for no other.
    Sending,
    /// To show a mailbox. Who holds a place here may ask for one of [`Service::Sending`].
    Mailbox,
}

/// Where a check goes: what its place is counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What the host is asked for.
    pub service: Service,
    /// The host as written in the spec, lower case.
    pub host: String,
    /// The user name, where there is a login.
    pub user: Option<String>,
    /// How many connections the object grants to its account; the lowest over all objects with that account counts.
    pub connections: usize,
}

/// A host, in one of its services.
type Host = (Service, String);
/// An account on such a host.
type Account = (Service, String, String);

/// The bounds on checks in flight. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits {
    state: Arc<Mutex<State>>,
    most: usize,
    most_per_host: usize,
    wake: mpsc::UnboundedSender<Who>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    hosts: HashMap<Host, usize>,
    accounts: HashMap<Account, usize>,
    /// How many connections objects grant to their accounts, the lowest of an account first. None is the least, and grants nothing.
    grants: BTreeSet<(Account, usize, Option<Who>)>,
    granted: HashMap<Who, (Account, usize)>,
    waiting: VecDeque<Waiting>,
    kept: HashMap<Who, Target>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiting {
    target: Target,
    wish: Wish,
}

/// What is waited for.
#[derive(Debug)]
enum Wish {
    /// A check wants to begin: it is woken, and the place kept for it.
    Begin(Who),
    /// A check under way wants a second place, and is handed it.
    Second { ticket: u64, hand: oneshot::Sender<Place> },
}

/// A place among the checks in flight; dropping it frees it.
#[derive(Debug)]
pub struct Place {
    target: Target,
    counts: Counts,
    limits: Limits,
}

/// Where a place is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// In all, at the host and at the account.
    First,
    /// At the host and at the account.
    Second,
    /// At the account alone: a session that is held, and asks for nothing.
    Session,
}

impl Limits {
    /// Bounds of `most` checks in all and `most_per_host` to one host (at least 1 each), and those who are woken: they found
    /// no place before, one is kept for them now, and [`Limits::enter`] hands it out.
    #[must_use]
    pub fn new(most: usize, most_per_host: usize) -> (Self, mpsc::UnboundedReceiver<Who>) {
        let (wake, woken) = mpsc::unbounded_channel();
        (Self { state: Arc::default(), most: most.max(1), most_per_host: most_per_host.max(1), wake }, woken)
    }

    /// A place for a check of `who`, if there is one now; else it is put at the end of the queue.
    #[must_use]
    pub fn enter(&self, who: &Who, target: &Target) -> Option<Place> {
        let mut state = lock(&self.state);
        state.declare(who, target);
        let kept = state.kept.remove(who);
        if kept.as_ref() == Some(target) {
            return Some(self.taken(target, Counts::First));
        }
        let place = if self.has_room(&state, target, false) {
            state.waiting.retain(|waiting| !waiting.is_of(who));
            state.count(target, Counts::First);
            Some(self.taken(target, Counts::First))
        } else {
            match state.waiting.iter_mut().find(|waiting| waiting.is_of(who)) {
                Some(waiting) => waiting.target = target.clone(),
                None => state.waiting.push_back(Waiting { target: target.clone(), wish: Wish::Begin(who.clone()) }),
            }
            None
        };
        drop(state);
        if let Some(other) = kept {
            self.leave(&other, Counts::First);
        }
        place
    }

    /// A second place for a check that holds one already, as soon as there is one: bounded by host and by account, and not in
    /// all. `target` is to be of [`Service::Sending`], the place that is held of another service. Who stops waiting leaves
    /// the queue.
    pub async fn place(&self, target: &Target) -> Place {
        let mut ticket = {
            let mut state = lock(&self.state);
            if self.has_room(&state, target, true) {
                state.count(target, Counts::Second);
                return self.taken(target, Counts::Second);
            }
            state.tickets += 1;
            let (ticket, (hand, handed)) = (state.tickets, oneshot::channel());
            state.waiting.push_back(Waiting { target: target.clone(), wish: Wish::Second { ticket, hand } });
            Ticket { limits: self.clone(), number: ticket, handed }
        };
        match (&mut ticket.handed).await {
            Ok(place) => place,
            // Nobody but the ticket itself takes its wish out of the queue without handing a place over.
            Err(_) => std::future::pending().await,
        }
    }

    /// `who` wants no place now: it leaves the queue, and a place that was kept for it goes to the next. The second places of
    /// its check are not touched.
    pub fn pass(&self, who: &Who) {
        let mut state = lock(&self.state);
        state.waiting.retain(|waiting| !waiting.is_of(who));
        let kept = state.kept.remove(who);
        drop(state);
        if let Some(target) = kept {
            self.leave(&target, Counts::First);
        }
    }

    /// `who` is gone: it passes, and what it granted to its account no longer counts.
    pub fn forget(&self, who: &Who) {
        lock(&self.state).withdraw(who);
        self.pass(who);
    }

    /// How many checks are in flight, or have a place kept for them.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        lock(&self.state).in_flight
    }

    /// How many checks wait for a place to begin.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.state).waiting.iter().filter(|waiting| matches!(waiting.wish, Wish::Begin(_))).count()
    }

    fn taken(&self, target: &Target, counts: Counts) -> Place {
        Place { target: target.clone(), counts, limits: self.clone() }
    }

    fn has_room(&self, state: &State, target: &Target, second: bool) -> bool {
        (second || state.in_flight < self.most) && state.admits(target, self.most_per_host)
    }

    fn leave(&self, target: &Target, counts: Counts) {
        let mut state = lock(&self.state);
        state.uncount(target, counts);
        let (mut at, mut unwanted) = (0, Vec::new());
        while let Some(Waiting { target, wish }) = state.waiting.get(at) {
            if !self.has_room(&state, target, matches!(wish, Wish::Second { .. })) {
                at += 1;
                continue;
            }
            let Some(Waiting { target, wish }) = state.waiting.remove(at) else { break };
            match wish {
                Wish::Begin(who) => {
                    state.count(&target, Counts::First);
                    // Where nobody listens any more the term is over, and so is this queue.
                    let _ = self.wake.send(who.clone());
                    state.kept.insert(who, target);
                }
                Wish::Second { hand, .. } => {
                    state.count(&target, Counts::Second);
                    unwanted.extend(hand.send(self.taken(&target, Counts::Second)).err());
                }
            }
        }
        // A place that nobody took is freed by being dropped, which asks for the lock.
        drop(state);
    }
}

impl Place {
    /// Frees all of it but the account's: what was begun only waits from here on, in a session that it holds. Servers grant
    /// few to an account, and take one too many for an attack.
    #[must_use]
    pub fn into_session(mut self) -> Self {
        if self.counts != Counts::Session {
            lock(&self.limits.state).count(&self.target, Counts::Session);
            let counts = std::mem::replace(&mut self.counts, Counts::Session);
            self.limits.leave(&self.target, counts);
        }
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limits.leave(&self.target, self.counts);
    }
}

/// A wish for a second place; dropping it takes the wish back.
struct Ticket {
    limits: Limits,
    number: u64,
    handed: oneshot::Receiver<Place>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mine = |waiting: &Waiting| matches!(waiting.wish, Wish::Second { ticket, .. } if ticket == self.number);
        lock(&self.limits.state).waiting.retain(|waiting| !mine(waiting));
        // A place that was handed over and not taken goes with the receiver.
    }
}

impl Waiting {
    fn is_of(&self, who: &Who) -> bool {
        matches!(&self.wish, Wish::Begin(waits) if waits == who)
    }
}

impl State {
    fn admits(&self, target: &Target, most_per_host: usize) -> bool {
        let of = |count: Option<&usize>| count.copied().unwrap_or_default();
        of(self.hosts.get(&host(target))) < most_per_host
            && account(target).is_none_or(|account| {
                let lowest = self.grants.range((account.clone(), 0, None)..).next().filter(|(of, ..)| *of == account);
                let granted = lowest.map_or(target.connections, |(_, granted, _)| target.connections.min(*granted));
                of(self.accounts.get(&account)) < granted.max(1)
            })
    }

    fn count(&mut self, target: &Target, counts: Counts) {
        self.in_flight += usize::from(counts == Counts::First);
        if counts != Counts::Session {
            *self.hosts.entry(host(target)).or_default() += 1;
        }
        if let Some(account) = account(target) {
            *self.accounts.entry(account).or_default() += 1;
        }
    }

    fn uncount(&mut self, target: &Target, counts: Counts) {
        self.in_flight = self.in_flight.saturating_sub(usize::from(counts == Counts::First));
        if counts != Counts::Session {
            less(&mut self.hosts, &host(target));
        }
        if let Some(account) = account(target) {
            less(&mut self.accounts, &account);
        }
    }

    /// Notes what an object grants to its account.
    fn declare(&mut self, who: &Who, target: &Target) {
        let grant = account(target).map(|account| (account, target.connections));
        if self.granted.get(who) == grant.as_ref() {
            return;
        }
        self.withdraw(who);
        if let Some((account, connections)) = grant {
            self.grants.insert((account.clone(), connections, Some(who.clone())));
            self.granted.insert(who.clone(), (account, connections));
        }
    }

    fn withdraw(&mut self, who: &Who) {
        if let Some((account, connections)) = self.granted.remove(who) {
            self.grants.remove(&(account, connections, Some(who.clone())));
        }
    }
}

fn host(target: &Target) -> Host {
    (target.service, target.host.clone())
}

fn account(target: &Target) -> Option<Account> {
    target.user.clone().map(|user| (target.service, target.host.clone(), user))
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
mod tests;
