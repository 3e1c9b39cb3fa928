//! `Actor`: who they are, whether their agents show signs of life, and that no task is left behind. Unlike the other kinds
//! nothing is checked here: one loop looks at all of them, and whoever names an actor is woken when it changes.

mod listed;
mod mailbox;
mod server;
mod standing;
mod standpoint;
mod task;

pub use standpoint::Standpoint;
pub use task::{TaskAgent, Work};

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::api::{
    coordination::v1::{Lease, LeaseSpec},
    core::v1::Namespace,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
    core::{ApiResource, DynamicObject, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher},
};

use super::{malformed, term::Term};
use crate::{
    api::v1alpha1::{Actor, ActorMode, ActorRef, ActorTask},
    runtime::{ApiError, Name, Who, bounded},
    verify::task::{LEASE, PRESENCE, Presence},
};
use listed::{Listed, Unread};
use standing::{Found, status};

/// The kind, as dependents name it.
pub const KIND: &str = "Actor";
/// The label of a task namespace: the actor that it belongs to.
pub const LABEL: &str = "mailverity.dev/actor";
/// The label of a task that a person at a shell has made.
pub const PROBE: &str = "mailverity.dev/probe";
/// How long such a task is left alone: longer than a probe can take.
const PROBED: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);
/// How often agents are looked after, where there are any.
const EVERY: Duration = Duration::from_secs(5);
/// How often tasks that nobody waits for are swept away.
const SWEEP: Duration = Duration::from_secs(20);

/// Looks after the actors for as long as the term lasts.
pub async fn follow(term: &Arc<Term>) {
    // As they are: one that cannot be read is told so by what it holds.
    let api: Api<DynamicObject> = Api::all_with(term.ground.client.clone(), &ApiResource::erase::<Actor>(&()));
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default().page_size(50)).default_backoff());
    let mut round = Round {
        term: Arc::clone(term),
        listed: Listed::default(),
        looked: false,
        standing: HashMap::new(),
        own: HashSet::new(),
        swept: None,
    };
    let mut again = tokio::time::interval(EVERY);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => round.take(event),
                Some(Err(error)) => round.unlisted(&error),
                None => return,
            },
            _ = again.tick() => true,
        };
        // Statuses that this very loop writes come back as events, and are no news.
        if round.listed.is_complete && (changed || !round.looked) {
            round.look().await;
        }
    }
}

struct Round {
    term: Arc<Term>,
    listed: Listed,
    /// Whether they were looked at at all.
    looked: bool,
    /// Whether each could be given work when it was last looked at.
    standing: HashMap<String, bool>,
    /// The task namespaces that carry their actor's label, when they were last looked at.
    own: HashSet<String>,
    swept: Option<Instant>,
}

impl Round {
    /// Takes note of an event. Returns whether an actor came, went or changed.
    fn take(&mut self, event: watcher::Event<DynamicObject>) -> bool {
        self.listed.hear(event);
        if !self.listed.is_complete {
            return false;
        }
        let ours = |actor: &&Actor| actor.spec.operator.as_deref().unwrap_or("mailverity") == self.term.settings().installation;
        let changed = self.term.roster.set(self.listed.all.values().filter(ours).cloned().collect());
        for name in &changed {
            self.term.changed(&who(name));
        }
        if !changed.is_empty() {
            // Whoever selects by labels may mean a new one.
            self.term.changed(&who(""));
        }
        !changed.is_empty()
    }

    fn unlisted(&mut self, error: &watcher::Error) -> bool {
        let missing =
            matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if [403, 404].contains(&status.code));
        if missing && !self.listed.is_complete {
            // Without the kind, or the right to it, there is the operator itself and nobody else.
            self.term.roster.set(Vec::new());
            self.term.roster.looked();
        }
        tracing::debug!(%error, "Actors cannot be watched for the moment");
        false
    }

    /// Looks after each agent, tells what changed, and sweeps.
    async fn look(&mut self) {
        let actors = self.term.roster.actors();
        for actor in &actors {
            if let Err(error) = self.look_at(actor, &actors).await {
                tracing::debug!(actor = actor.name_any(), %error, "could not be looked at");
            }
        }
        if self.term.ground.fence.held() {
            for unread in self.listed.untold() {
                let name = unread.actor.name_any();
                match self.tell_unread(&unread).await {
                    Ok(()) => self.listed.told(&name),
                    Err(error) => tracing::warn!(actor = name, %error, "could not be told that it cannot be read"),
                }
            }
        }
        self.looked = true;
        self.term.roster.looked();
        self.standing.retain(|name, _| actors.iter().any(|actor| actor.name_any() == *name));
        let due = self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP);
        if due && self.term.ground.fence.held() {
            self.swept = Some(Instant::now());
            // What is in a namespace that was given to nobody, or to another, is not ours to remove.
            let named = |namespace: &&str| self.own.contains(*namespace);
            for namespace in actors.iter().filter_map(|actor| actor.spec.task_namespace.as_deref()).filter(named) {
                if let Err(error) = self.sweep(namespace).await {
                    tracing::debug!(namespace, %error, "could not be swept");
                }
            }
        }
    }

    async fn look_at(&mut self, actor: &Actor, all: &[Actor]) -> Result<(), ApiError> {
        let (name, client) = (actor.name_any(), &self.term.ground.client);
        let mut found = Found::default();
        if let Some(namespace) = actor.spec.task_namespace.as_deref().filter(|_| actor.spec.mode == ActorMode::Agent) {
            let labels: Api<Namespace> = Api::all(client.clone());
            let metadata = bounded(labels.get_metadata_opt(namespace)).await?;
            found.label = metadata.map(|meta| meta.labels().get(LABEL).cloned().unwrap_or_default());
            found.rival = rival(actor, all);
            let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
            let lease = bounded(leases.get_opt(LEASE)).await?;
            let about = lease.as_ref().and_then(|lease| Presence::read(lease.annotations().get(PRESENCE)?));
            let spec = lease.and_then(|lease| lease.spec);
            // An agent that ends in order gives its Lease back.
            let holder = |spec: &LeaseSpec| spec.holder_identity.clone().filter(|holder| !holder.is_empty());
            let said = spec.and_then(|spec| Some(format!("{} {:?}", holder(&spec)?, spec.renew_time?)));
            let fits = found.fits(&name);
            if fits {
                self.own.insert(namespace.to_owned());
            } else {
                self.own.remove(namespace);
            }
            self.term.roster.beat(&name, said.filter(|_| fits), about.unwrap_or_default(), Instant::now());
        }
        found.away = self.term.roster.away(&name, Instant::now());
        found.about = self.term.roster.about(&name).unwrap_or_default();
        found.addresses = self.term.roster.addresses(&name);
        // A new leader keeps to what the one before it has told, until it knows better.
        let in_doubt = self.term.roster.is_in_doubt(&name, Instant::now());
        let online = found.away.is_none();
        if self.standing.insert(name.clone(), online) != Some(online) {
            self.term.changed(&who(&name));
        }
        if !self.term.ground.fence.held() {
            return Ok(());
        }
        let current = self.listed.all.get(&name).unwrap_or(actor);
        if in_doubt && standing::is_told(current) {
            return Ok(());
        }
        let new = status(current, &found, jiff::Timestamp::now());
        if current.status.as_ref().is_none_or(|old| standing::differs(old, &new)) {
            let written: Actor = self.term.teller.apply_at_large(current, &new).await?;
            self.listed.all.insert(name, written);
        }
        Ok(())
    }

    /// Tells an actor of this installation that it cannot be read.
    async fn tell_unread(&self, Unread { actor, error, .. }: &Unread) -> Result<(), ApiError> {
        let fault = malformed::fault(actor, error);
        if actor.data["spec"]["operator"].as_str().unwrap_or("mailverity") != self.term.settings().installation {
            return Ok(());
        }
        tracing::warn!(actor = actor.name_any(), fault, "cannot be read");
        let (old, generation) = (&actor.data["status"], actor.metadata.generation.unwrap_or_default());
        let new = malformed::status(old, generation, &fault, jiff::Timestamp::now());
        if *old != new {
            let _: PartialObjectMeta<Actor> = self.term.teller.apply_at_large(actor, &new).await?;
        }
        Ok(())
    }

    /// Removes tasks that nobody waits for: of a process that is gone, or made by somebody else. Their Secrets go with them.
    async fn sweep(&self, namespace: &str) -> Result<(), ApiError> {
        let tasks: Api<PartialObjectMeta<ActorTask>> = Api::namespaced(self.term.ground.client.clone(), namespace);
        let now = jiff::Timestamp::now();
        for task in bounded(tasks.list_metadata(&ListParams::default().limit(500))).await? {
            if !self.term.roster.has(&Name::new(namespace, task.name_any())) && !is_probed(&task, now) {
                tracing::info!(namespace, task = task.name_any(), "swept away");
                match bounded(tasks.delete(&task.name_any(), &DeleteParams::background())).await {
                    Err(error) if !error.is_gone() => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// The actors that an object rests on: those that it names, or, where it selects by labels, all, as any may come to match.
#[must_use]
pub fn named(by_name: Option<&[ActorRef]>, by_labels: bool, term: &Term) -> BTreeSet<Who> {
    let mut named: BTreeSet<Who> = by_name.into_iter().flatten().map(|actor| who(&actor.name)).collect();
    if by_labels {
        named.extend(term.roster.actors().iter().map(|actor| who(&actor.name_any())));
        named.insert(who(""));
    }
    named
}

/// Whether a task is one that a person at a shell may still wait for.
fn is_probed(task: &impl ResourceExt, now: jiff::Timestamp) -> bool {
    let age = task.creation_timestamp().map(|made| now.duration_since(made.0));
    task.labels().contains_key(PROBE) && age.is_some_and(|age| age < PROBED)
}

/// Another actor that claims the same task namespace, where it is the older one; of one age the first by name.
fn rival(actor: &Actor, all: &[Actor]) -> Option<String> {
    let age = |actor: &Actor| (actor.creation_timestamp(), actor.name_any());
    let mine = age(actor);
    let others = all.iter().filter(|other| other.name_any() != actor.name_any());
    let same = others.filter(|other| other.spec.task_namespace == actor.spec.task_namespace);
    same.map(age).filter(|other| *other < mine).min().map(|(_, name)| name)
}

/// An actor among those who are named.
#[must_use]
pub fn who(name: &str) -> Who {
    Who::new(KIND, Name::new("", name))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::v1alpha1::ActorTaskSpec;

    #[test]
    fn what_a_person_at_a_shell_waits_for_is_left_alone_for_a_while() {
        let now = jiff::Timestamp::now();
        let task = |probe: bool, minutes: i64| {
            let mut task = ActorTask::new("t", ActorTaskSpec::default());
            task.metadata.creation_timestamp = Some(Time(now - jiff::SignedDuration::from_mins(minutes)));
            if probe {
                task.labels_mut().insert(PROBE.to_owned(), "true".to_owned());
            }
            task
        };
        assert!(is_probed(&task(true, 14), now));
        assert!(!is_probed(&task(true, 15), now), "nobody waits any more");
        assert!(!is_probed(&task(false, 0), now), "it was made by somebody else");
    }
}
