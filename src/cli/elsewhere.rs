//! An actor's agent, as a person at a shell has it look: through a cluster, by a task in the Actor's namespace.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Error, live::INSTALLATION};
use crate::{
    api::v1alpha1::{Actor, ActorMode},
    controllers::actors::{TaskAgent, Work},
    runtime::{ApiError, bounded, roster::Roster},
    verify::{
        fingerprint::Key,
        task::{LEASE, Presence},
    },
};

/// How often the agent's sign of life is looked for; it gives one every 10 s.
const EVERY: Duration = Duration::from_secs(5);
/// How long a task may take to be taken back at the end.
const TAKEN_BACK: Duration = Duration::from_secs(5);

/// An agent elsewhere.
pub struct Elsewhere {
    /// The agent.
    pub agent: TaskAgent,
    roster: Arc<Roster>,
    beats: JoinHandle<()>,
}

impl Elsewhere {
    /// The agent of the Actor of this name in a cluster, or why there is no way to that.
    ///
    /// # Errors
    /// What is wrong with the Actor, or with the way to it, in words for the person who named it.
    pub async fn find(name: &str, cluster: Result<Client, String>) -> Result<Self, Error> {
        let unusable = |why: String| Error::Usage(format!("--actor {name}: {why}"));
        let refused = |error: ApiError| unusable(error.to_string());
        let client = cluster.map_err(|error| unusable(format!("there is no cluster to ask: {error}")))?;
        let actors: Api<Actor> = Api::all(client.clone());
        let actor = bounded(actors.get_opt(name)).await.map_err(refused)?;
        let actor = actor.ok_or_else(|| unusable("there is no such Actor in the cluster".to_owned()))?;
        let namespace = match (&actor.spec.mode, &actor.spec.task_namespace) {
            (ActorMode::Agent, Some(namespace)) => namespace.clone(),
            _ => return Err(unusable("it has no agent: the operator itself looks for it".to_owned())),
        };
        let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
        let lease = bounded(leases.get_opt(LEASE)).await.map_err(refused)?;
        if holder(lease.as_ref()).is_none() {
            let words = format!("its agent shows no sign of life (Lease {LEASE} of namespace {namespace} has no holder)");
            return Err(unusable(words));
        }
        let roster = Arc::new(Roster::default());
        roster.set(vec![actor.clone()]);
        beat(&roster, name, lease.as_ref());
        let work = Work {
            object: format!("probe by {INSTALLATION}"),
            uid: Uuid::new_v4().to_string(),
            run: Uuid::new_v4().to_string(),
            probe: true,
            ..Work::default()
        };
        let agent = TaskAgent::new(client, Arc::clone(&roster), &Key::random(), actor, work);
        let (known, name) = (Arc::clone(&roster), name.to_owned());
        let beats = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                if let Ok(lease) = bounded(leases.get_opt(LEASE)).await {
                    beat(&known, &name, lease.as_ref());
                }
            }
        });
        Ok(Self { agent, roster, beats })
    }

    /// Waits until nothing is left of what it was given.
    pub async fn leave(self) {
        self.beats.abort();
        let empty = async {
            while !self.roster.is_idle() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(TAKEN_BACK, empty).await.is_err() {
            eprintln!("the task could not be taken back; the operator removes it within 15 minutes");
        }
    }
}

fn holder(lease: Option<&Lease>) -> Option<&str> {
    lease?.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Takes note of the agent's Lease as it is now.
fn beat(roster: &Roster, name: &str, lease: Option<&Lease>) {
    let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.clone());
    let said = holder(lease).zip(renewed).map(|(holder, at)| format!("{holder} {at:?}"));
    let about = lease.and_then(|lease| Presence::read(lease.annotations().get(crate::verify::task::PRESENCE)?));
    roster.beat(name, said, about.unwrap_or_default(), std::time::Instant::now());
}
