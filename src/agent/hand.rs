//! An agent's hand on one task: claims it, reads its Secret, writes how far it is. An API server that is away is waited for.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    FIELD_MANAGER, Settings,
    board::is_open,
    orders::{Orders, Over},
};
use crate::{
    api::{
        Reason,
        v1alpha1::{ActorTask, ActorTaskStatus, TaskPhase},
    },
    mail::Diagnosis,
    runtime::{ApiError, bounded},
};

/// The first wait before a request is tried again, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// The Secret is made right after the task.
const SECRET_COMES: Duration = Duration::from_secs(10);

/// Why a status was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// The task is over.
    Over(Over),
    /// The API server does not take it, now or later.
    Refused,
}

/// A hand on one task.
pub struct Hand {
    tasks: Api<ActorTask>,
    secrets: Api<Secret>,
    settings: Arc<Settings>,
    /// What is wanted of the task.
    pub orders: Orders,
}

impl Hand {
    /// A hand on a task of this agent's namespace.
    pub fn new(client: &Client, settings: &Arc<Settings>, orders: Orders) -> Self {
        let tasks = Api::namespaced(client.clone(), &settings.namespace);
        let secrets = Api::namespaced(client.clone(), &settings.namespace);
        Self { tasks, secrets, settings: Arc::clone(settings), orders }
    }

    /// Claims the version of the task that was seen; of two agents one gets it. None where it is not ours to do.
    pub async fn claim(&self, mut task: ActorTask) -> Option<ActorTask> {
        let mut wait = WAITS.0;
        loop {
            if !is_open(&task, &self.settings.actor) || self.orders.over().is_some() {
                return None;
            }
            let seen = json!({"uid": task.uid(), "resourceVersion": task.resource_version()});
            match self.patch(&task, seen, &self.status(TaskPhase::Claimed)).await {
                Ok(task) => return Some(task),
                Err(error) if error.is_gone() => return None,
                // It changed, another was faster, or our own write arrived and its answer did not.
                Err(error) if error.is_conflict() => {}
                Err(error) => tracing::warn!(%error, ?wait, "could not be claimed"),
            }
            match bounded(self.tasks.get(&task.name_any())).await {
                Ok(now) if now.uid() != task.uid() => return None,
                Ok(now) if now.status.as_ref().is_some_and(|status| status.claimed_by == self.settings.identity) => {
                    return Some(now);
                }
                Ok(now) => task = now,
                Err(error) if error.is_gone() => return None,
                Err(_) => {}
            }
            self.pause(&mut wait).await.ok()?;
        }
    }

    /// The task's Secret.
    ///
    /// # Errors
    /// `SecretNotFound` where it does not come, `RefUnreadable`.
    pub async fn secret(&self, task: &ActorTask) -> Result<Secret, Diagnosis> {
        let (name, until) = (task.name_any(), Instant::now() + SECRET_COMES);
        let place = format!("{}/{name}", self.settings.namespace);
        loop {
            let failure = match bounded(self.secrets.get_opt(&name)).await {
                // One that belongs to nobody, or to an earlier task, may hold a password for another host.
                Ok(Some(secret)) if secret.owner_references().iter().any(|owner| Some(&owner.uid) == task.uid().as_ref()) => {
                    return Ok(secret);
                }
                Ok(_) => {
                    let said = format!("there is no Secret {place} that belongs to the task");
                    Diagnosis::new(Reason::SecretNotFound).fact("keys", "password and code").detail(said)
                }
                Err(error) => Diagnosis::new(Reason::RefUnreadable)
                    .fact("kind", "Secret")
                    .fact("name", place.as_str())
                    .fact("fault", error.to_string())
                    .detail(format!("Secret {place} could not be read: {error}")),
            };
            if Instant::now() >= until {
                return Err(failure);
            }
            tokio::select! {
                () = sleep(Duration::from_millis(250)) => {}
                _ = self.orders.ended() => return Err(failure),
            }
        }
    }

    /// A status of ours in this phase.
    pub fn status(&self, phase: TaskPhase) -> ActorTaskStatus {
        ActorTaskStatus { phase, claimed_by: self.settings.identity.clone(), mark: None, result: None }
    }

    /// Writes how far the task is, however long that takes.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn tell(&self, task: &ActorTask, status: &ActorTaskStatus) -> Result<(), Unwritten> {
        let mut wait = WAITS.0;
        loop {
            match self.patch(task, json!({"uid": task.uid()}), status).await {
                Ok(_) => return Ok(()),
                // Another UID: the task was deleted, and made anew.
                Err(error) if error.is_gone() || error.is_conflict() => return Err(Unwritten::Over(Over::Gone)),
                Err(error) if matches!(error.code(), Some(400 | 413 | 422)) => {
                    tracing::error!(%error, "the API server does not take what was found");
                    return Err(Unwritten::Refused);
                }
                Err(error) => tracing::warn!(%error, ?wait, phase = ?status.phase, "could not be written"),
            }
            self.pause(&mut wait).await.map_err(Unwritten::Over)?;
        }
    }

    async fn patch(&self, task: &ActorTask, metadata: Value, status: &ActorTaskStatus) -> Result<ActorTask, ApiError> {
        let body = json!({"metadata": metadata, "status": status});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        bounded(self.tasks.patch_status(&task.name_any(), &params, &Patch::Merge(&body))).await
    }

    /// Waits, and longer the next time; why not, where the task is over.
    async fn pause(&self, wait: &mut Duration) -> Result<(), Over> {
        let (now, next) = (*wait, (*wait * 2).min(WAITS.1));
        *wait = next;
        tokio::select! {
            () = sleep(now) => Ok(()),
            over = self.orders.ended() => Err(over),
        }
    }
}
