//! Which actors there are, and which of them show signs of life. Judged by when *we* saw an agent's Lease change, never by the
//! times in it: clocks differ. The requests are in [`crate::controllers::actors`].

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{Name, lock};
use crate::{
    api::{
        Reason,
        v1alpha1::{Actor, ActorMode},
    },
    mail::Diagnosis,
    verify::task::Presence,
};

/// How long an actor without a sign of life counts as online, if its spec does not say.
const HEARTBEAT: Duration = Duration::from_secs(90);
/// How long a Lease that we see for the first time may be that of an agent at work: an agent renews it every 10 s, and a request
/// may take 5.
const DOUBT: Duration = Duration::from_secs(15);

/// The most addresses of an actor that are remembered: as many as its status tells.
const ADDRESSES: usize = 16;

/// The actors of this installation, and the tasks that it has given out.
#[derive(Debug)]
pub struct Roster {
    state: Mutex<State>,
    known: watch::Sender<bool>,
    /// Changes whenever an actor comes, goes, or changes its standing.
    turn: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    actors: BTreeMap<String, Actor>,
    beats: BTreeMap<String, Beat>,
    addresses: BTreeMap<String, Addresses>,
    tasks: HashSet<Name>,
}

/// The addresses that an actor connects from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Those of its own sockets, as its tasks told them.
    pub sources: BTreeSet<String>,
    /// Those that servers named.
    pub observed: BTreeSet<String>,
}

/// The last sign of life of an agent.
#[derive(Clone, Debug)]
struct Beat {
    /// What the Lease said.
    said: String,
    /// When we saw it for the first time.
    first: Instant,
    /// When we saw it change.
    seen: Option<Instant>,
    /// What the agent says of itself.
    about: Presence,
}

impl State {
    fn doubts(&self, actor: &Actor, name: &str, now: Instant) -> bool {
        let first = self.beats.get(name).filter(|beat| beat.seen.is_none()).map(|beat| beat.first);
        first.is_some_and(|first| now.saturating_duration_since(first) < DOUBT.min(patience(actor)))
    }
}

impl Default for Roster {
    fn default() -> Self {
        Self { state: Mutex::default(), known: watch::channel(false).0, turn: watch::channel(0).0 }
    }
}

impl Roster {
    /// All actors, in the order of their names.
    #[must_use]
    pub fn actors(&self) -> Vec<Actor> {
        lock(&self.state).actors.values().cloned().collect()
    }

    /// An actor by its name.
    #[must_use]
    pub fn actor(&self, name: &str) -> Option<Actor> {
        lock(&self.state).actors.get(name).cloned()
    }

    /// What an agent says of itself.
    #[must_use]
    pub fn about(&self, name: &str) -> Option<Presence> {
        lock(&self.state).beats.get(name).map(|beat| beat.about.clone())
    }

    /// Why an actor can be given no work at `now`, if it cannot.
    #[must_use]
    pub fn away(&self, name: &str, now: Instant) -> Option<Diagnosis> {
        let state = lock(&self.state);
        let actor = state.actors.get(name)?;
        if actor.spec.suspend == Some(true) {
            return Some(Diagnosis::new(Reason::ActorSuspended).fact("name", name).detail(format!("Actor {name} is suspended")));
        }
        if actor.spec.mode == ActorMode::InOperator {
            return None;
        }
        let heard = state.beats.get(name).and_then(|beat| beat.seen);
        let alive = heard.is_some_and(|heard| now.saturating_duration_since(heard) < patience(actor));
        if alive || state.doubts(actor, name, now) {
            return None;
        }
        let namespace = actor.spec.task_namespace.as_deref().unwrap_or_default();
        let offline = Diagnosis::new(Reason::ActorOffline).fact("name", name).fact("namespace", namespace);
        Some(offline.detail(format!("the agent of Actor {name} shows no sign of life")))
    }

    /// Takes over what the API server lists. Returns the names of actors that came, went or changed.
    pub fn set(&self, actors: Vec<Actor>) -> Vec<String> {
        let mut state = lock(&self.state);
        let new: BTreeMap<_, _> = actors.into_iter().filter_map(|actor| Some((actor.metadata.name.clone()?, actor))).collect();
        let differs = |name: &String| match (state.actors.get(name), new.get(name)) {
            (Some(old), Some(new)) => old.spec != new.spec || old.metadata.labels != new.metadata.labels,
            (None, None) => false,
            _ => true,
        };
        let names: BTreeSet<&String> = state.actors.keys().chain(new.keys()).collect();
        let changed: Vec<String> = names.into_iter().filter(|name| differs(name)).cloned().collect();
        state.actors = new;
        let State { actors, beats, addresses, .. } = &mut *state;
        beats.retain(|name, _| actors.contains_key(name));
        addresses.retain(|name, _| actors.contains_key(name));
        drop(state);
        if !changed.is_empty() {
            self.turn.send_modify(|turn| *turn += 1);
        }
        changed
    }

    /// Whether nobody knows yet if an actor shows signs of life, as we look at it since a moment ago. It may be given work, which
    /// it has to take before any mail is sent; nothing is said of it.
    #[must_use]
    pub fn is_in_doubt(&self, name: &str, now: Instant) -> bool {
        let state = lock(&self.state);
        state.actors.get(name).is_some_and(|actor| state.doubts(actor, name, now))
    }

    /// Takes note of an agent's Lease, as it `said` at `now`. The first sight of it after a start is no sign of life: it may be
    /// that of an agent long gone. Nor is it a sign of the contrary.
    pub fn beat(&self, name: &str, said: Option<String>, about: Presence, now: Instant) {
        let mut state = lock(&self.state);
        let Some(said) = said else {
            state.beats.remove(name);
            return;
        };
        match state.beats.get_mut(name) {
            Some(beat) if beat.said == said => {}
            Some(beat) => *beat = Beat { said, first: beat.first, seen: Some(now), about },
            None => {
                state.beats.insert(name.to_owned(), Beat { said, first: now, seen: None, about });
            }
        }
        drop(state);
        self.turn.send_modify(|turn| *turn += 1);
    }

    /// The process that last showed a sign of life for an actor.
    #[must_use]
    pub fn holder(&self, name: &str) -> Option<String> {
        let state = lock(&self.state);
        state.beats.get(name).and_then(|beat| beat.said.split(' ').next()).map(str::to_owned)
    }

    /// A task of an actor connected from this address of its own, and the server named that one.
    pub fn connected_from(&self, name: &str, source: Option<String>, observed: Option<String>) {
        let mut state = lock(&self.state);
        let addresses = state.addresses.entry(name.to_owned()).or_default();
        for (known, address) in [(&mut addresses.sources, source), (&mut addresses.observed, observed)] {
            if known.len() < ADDRESSES {
                known.extend(address);
            }
        }
    }

    /// The addresses that an actor has connected from since this process leads.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Addresses {
        lock(&self.state).addresses.get(name).cloned().unwrap_or_default()
    }

    /// All actors have been looked at.
    pub fn looked(&self) {
        self.known.send_replace(true);
    }

    /// Ends once the actors were listed and looked at a first time, or it is known that there is no such kind.
    pub async fn known(&self) {
        // It cannot fail: we hold the sender.
        let _ = self.known.subscribe().wait_for(|known| *known).await;
    }

    /// Ends once an actor can be given work.
    pub async fn back(&self, name: &str) {
        let mut turn = self.turn.subscribe();
        while self.away(name, Instant::now()).is_some() || self.actor(name).is_none() {
            if turn.changed().await.is_err() {
                return;
            }
        }
    }

    /// A task that is about to be given out: it is not swept away. Dropping what is returned gives it free.
    #[must_use]
    pub fn enlist(self: &std::sync::Arc<Self>, task: Name) -> Enlisted {
        lock(&self.state).tasks.insert(task.clone());
        Enlisted { roster: std::sync::Arc::clone(self), task }
    }

    /// Whether no task is given out.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        lock(&self.state).tasks.is_empty()
    }

    /// Whether a task is one that was given out and is waited for.
    #[must_use]
    pub fn has(&self, task: &Name) -> bool {
        lock(&self.state).tasks.contains(task)
    }
}

/// A task that is waited for.
#[derive(Debug)]
pub struct Enlisted {
    roster: std::sync::Arc<Roster>,
    task: Name,
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        lock(&self.roster.state).tasks.remove(&self.task);
    }
}

fn patience(actor: &Actor) -> Duration {
    actor.spec.heartbeat_timeout.as_ref().map_or(HEARTBEAT, crate::api::v1alpha1::Span::get)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn actor(name: &str, spec: &serde_json::Value) -> Actor {
        serde_json::from_value(json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "Actor", "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap()
    }

    fn agent() -> Actor {
        actor("dmz", &json!({"mode": "Agent", "taskNamespace": "mail-actor-dmz", "heartbeatTimeout": "30s"}))
    }

    fn why(roster: &Roster, now: Instant) -> Option<Reason> {
        roster.away("dmz", now).map(|diagnosis| diagnosis.reason)
    }

    #[test]
    fn an_agent_is_online_while_its_lease_is_seen_to_change() {
        let (roster, start) = (Roster::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        roster.set(vec![agent()]);
        let beat = |said: &str, seconds| roster.beat("dmz", Some(said.to_owned()), Presence::default(), at(seconds));
        assert_eq!(why(&roster, at(0)), Some(Reason::ActorOffline));
        beat("1", 1);
        assert!(roster.is_in_doubt("dmz", at(1)));
        beat("2", 11);
        assert!(!roster.is_in_doubt("dmz", at(11)));
        assert_eq!(why(&roster, at(12)), None);
        beat("2", 35);
        assert_eq!(why(&roster, at(40)), None);
        assert_eq!(why(&roster, at(41)), Some(Reason::ActorOffline), "30 s after the last change");
        beat("3", 50);
        assert_eq!(why(&roster, at(50)), None, "it comes back by itself");
    }

    #[test]
    fn a_lease_of_an_agent_long_gone_is_given_the_benefit_of_the_doubt_once() {
        let (roster, start) = (Roster::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        roster.set(vec![agent()]);
        for seconds in [1, 6, 11] {
            roster.beat("dmz", Some("1".to_owned()), Presence::default(), at(seconds));
            assert_eq!((why(&roster, at(seconds)), roster.is_in_doubt("dmz", at(seconds))), (None, true));
        }
        assert_eq!((why(&roster, at(16)), roster.is_in_doubt("dmz", at(16))), (Some(Reason::ActorOffline), false));
        roster.beat("dmz", None, Presence::default(), at(17));
        assert_eq!(why(&roster, at(17)), Some(Reason::ActorOffline), "a Lease that was given back is nobody's");
    }

    #[test]
    fn a_suspended_actor_is_given_no_work_and_the_operator_itself_is_never_offline() {
        let roster = Roster::default();
        roster.set(vec![actor("dmz", &json!({"suspend": true})), actor("lan", &json!({}))]);
        assert_eq!(why(&roster, Instant::now()), Some(Reason::ActorSuspended));
        assert!(roster.away("lan", Instant::now()).is_none());
    }

    #[test]
    fn who_came_went_or_changed_is_told() {
        let roster = Roster::default();
        assert_eq!(roster.set(vec![agent(), actor("lan", &json!({}))]), ["dmz", "lan"]);
        assert!(roster.set(vec![agent(), actor("lan", &json!({}))]).is_empty());
        assert_eq!(roster.set(vec![agent(), actor("lan", &json!({"zone": "lan"}))]), ["lan"]);
        assert_eq!(roster.set(vec![actor("lan", &json!({"zone": "lan"}))]), ["dmz"]);
    }

    #[test]
    fn a_task_is_waited_for_until_nobody_waits() {
        let roster = std::sync::Arc::new(Roster::default());
        let name = Name::new("mail-actor-dmz", "t-1");
        let enlisted = roster.enlist(name.clone());
        assert!(roster.has(&name));
        drop(enlisted);
        assert!(!roster.has(&name));
    }
}
