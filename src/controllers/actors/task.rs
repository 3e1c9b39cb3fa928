//! How an agent is given work: a task in its namespace, with its Secret. The operator makes both, the agent claims the task and
//! tells how far it is, and both are taken away at the end. What is left behind is swept away by [`super::follow`].

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::DeserializeGuard,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::time::Instant;

use super::PROBE;
use crate::{
    api::{
        Reason,
        v1alpha1::{
            Actor, ActorTask, ActorTaskSpec, TASK_PROTOCOL, TaskDispatched, TaskEndpoint, TaskMailbox, TaskPhase, TaskResult,
            TaskSearch, TaskServer,
        },
    },
    mail::{Diagnosis, Stage, diagnosis::printable},
    runtime::{
        ApiError, FIELD_MANAGER, Name, bounded,
        roster::{Enlisted, Roster},
    },
    verify::{Gate, Login, fingerprint::Key, gate::Account, report::LoginOutcome, task::Contents, tokens::Access},
};

/// How long an agent that shows signs of life may take to take a task, and beyond what it was granted to come to an end.
pub(super) const SLACK: Duration = Duration::from_secs(30);
/// How long an agent may take to remove a mail and to leave.
const CLEANUP: Duration = Duration::from_secs(5);
/// How long a new process may stand for an actor before a task of the one before it is given up.
const GRACE: Duration = Duration::from_secs(3);
/// The most characters of what the reader of a task's status says.
const WORDS: usize = 200;

/// An actor's agent, and whom it works for.
pub struct TaskAgent {
    /// The API server.
    client: Client,
    /// Who shows signs of life.
    pub(super) roster: Arc<Roster>,
    /// The actor.
    pub(super) actor: Actor,
    work: Work,
    seed: String,
    given: AtomicU32,
    /// What the API server said where it lets nobody give it work with our rights.
    denied: OnceLock<String>,
}

/// What an agent is given work for.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// The object: `EmailProfile namespace/name`.
    pub object: String,
    /// The object's UID.
    pub uid: String,
    /// The run.
    pub run: String,
    /// The part of the run.
    pub part: String,
    /// The domain of a profile's address.
    pub domain: String,
    /// Whether a person asks, and no object: the operator leaves such a task alone.
    pub probe: bool,
}

/// What is asked of an agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub endpoint: TaskEndpoint,
    pub mailbox: Option<TaskMailbox>,
    pub server: Option<TaskServer>,
    pub search: Option<TaskSearch>,
    pub dispatched: Option<TaskDispatched>,
    pub contents: Contents,
}

impl TaskAgent {
    /// The agent of `actor`. By the installation's key tasks have names that nobody else can tell beforehand.
    #[must_use]
    pub fn new(client: Client, roster: Arc<Roster>, key: &Key, actor: Actor, work: Work) -> Self {
        let name = actor.name_any();
        let seed = key.hash(&[b"task", work.uid.as_bytes(), work.part.as_bytes(), name.as_bytes()]);
        Self { client, roster, actor, work, seed, given: AtomicU32::new(0), denied: OnceLock::new() }
    }

    /// Whom it works for.
    pub(super) fn work(&self) -> &Work {
        &self.work
    }

    /// Which right is missing to give it work, in the API server's words; none as far as is known.
    pub fn denied(&self) -> Option<&str> {
        self.denied.get().map(String::as_str)
    }

    /// Why it can be given no work now, if it cannot.
    pub(super) fn away(&self) -> Option<Diagnosis> {
        self.roster.away(&self.actor.name_any(), std::time::Instant::now())
    }

    /// Takes note of what a task found about the actor itself.
    pub(super) fn note(&self, result: &TaskResult) {
        let address = |told: &Option<String>| told.as_ref()?.parse::<IpAddr>().ok().map(|address| address.to_string());
        self.roster.connected_from(&self.actor.name_any(), address(&result.source_ip), address(&result.observed_ip));
    }

    /// Makes a task, then its Secret, which goes with it.
    pub(super) async fn give(&self, asked: Asked) -> Result<Given, Diagnosis> {
        let about = self.roster.about(&self.actor.name_any()).unwrap_or_default();
        if let Some(known) = about.protocol.filter(|known| *known < TASK_PROTOCOL) {
            return Err(self.incompatible(&format!("it understands protocol {known}, and the task is of {TASK_PROTOCOL}")));
        }
        let namespace = self.actor.spec.task_namespace.clone().unwrap_or_default();
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let name = Name::new(namespace, format!("t-{}-{number}", self.seed));
        let enlisted = self.roster.enlist(name.clone());
        let spec = ActorTaskSpec {
            protocol: TASK_PROTOCOL,
            actor: self.actor.name_any(),
            object: self.work.object.clone(),
            run: self.work.run.clone(),
            endpoint: asked.endpoint,
            mailbox: asked.mailbox,
            server: asked.server,
            search: asked.search,
            dispatched: asked.dispatched,
            noted: None,
        };
        let tasks: Api<ActorTask> = Api::namespaced(self.client.clone(), &name.namespace);
        let mut task = ActorTask::new(&name.name, spec);
        task.labels_mut().insert("app.kubernetes.io/managed-by".to_owned(), "mailverity".to_owned());
        if self.work.probe {
            task.labels_mut().insert(PROBE.to_owned(), "true".to_owned());
        }
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let made = bounded(tasks.create(&params, &task)).await.map_err(|error| self.unmade(&error))?;
        let tasks = Api::namespaced(self.client.clone(), &name.namespace);
        let given = Given { tasks, enlisted: Some(enlisted), name: name.name.clone(), leaves: Duration::ZERO };
        let secret: Secret = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "mailverity.dev/task",
            "metadata": {
                "name": name.name, "namespace": name.namespace,
                "labels": {"app.kubernetes.io/managed-by": "mailverity"},
                "ownerReferences": [{
                    "apiVersion": "mailverity.dev/v1alpha1", "kind": "ActorTask", "name": name.name,
                    "uid": made.uid().unwrap_or_default(),
                }],
            },
            "stringData": asked.contents.exposed(),
        }))
        .map_err(|_| self.late("its Secret could not be written"))?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &name.namespace);
        bounded(secrets.create(&params, &secret)).await.map_err(|error| self.unmade(&error))?;
        Ok(given)
    }

    /// What a task failed with, and what of the actor itself may explain it.
    pub(super) fn explain(&self, failure: Diagnosis) -> Diagnosis {
        let timed_out =
            matches!(failure.reason, Reason::ConnectionTimedOut | Reason::ResponseTimedOut | Reason::TLSHandshakeFailed);
        let about = self.roster.about(&self.actor.name_any()).filter(|_| timed_out);
        let Some(interfaces) = about.and_then(|about| about.in_one_subnet()) else { return failure };
        let shared = Diagnosis::new(Reason::MultiHomedSameSubnet).fact("interfaces", interfaces);
        let said = failure.detail.as_deref().map(|said| format!("{said}; ")).unwrap_or_default();
        let told = format!("{said}{}: {}", shared.reason, shared.hint());
        failure.detail(told)
    }

    pub(super) fn late(&self, what: &str) -> Diagnosis {
        let (name, namespace) = (self.actor.name_any(), self.actor.spec.task_namespace.clone().unwrap_or_default());
        let told = format!("the agent of Actor {name}: {what}");
        Diagnosis::new(Reason::TaskTimedOut).fact("name", name).fact("namespace", namespace).detail(told)
    }

    /// That nobody took its task: most likely as it does not understand it, where it is not of our version.
    fn untaken(&self) -> Diagnosis {
        let version = self.roster.about(&self.actor.name_any()).unwrap_or_default().version;
        let differs = !version.is_empty() && version != env!("CARGO_PKG_VERSION");
        let told = "it did not take the task in time";
        if differs { self.incompatible(told) } else { self.late(told) }
    }

    /// That the agent and this operator do not understand each other.
    fn incompatible(&self, what: &str) -> Diagnosis {
        let name = self.actor.name_any();
        let version = self.roster.about(&name).unwrap_or_default().version;
        let version = if version.is_empty() { "unknown".to_owned() } else { version };
        let told = format!("the agent of Actor {name}: {what}");
        let diagnosis = Diagnosis::new(Reason::AgentIncompatible).fact("name", name).fact("agent", version);
        diagnosis.fact("operator", env!("CARGO_PKG_VERSION")).detail(told)
    }

    fn unmade(&self, error: &ApiError) -> Diagnosis {
        if error.is_forbidden() {
            self.denied.get_or_init(|| error.to_string());
        }
        self.late(&format!("its task could not be written: {error}"))
    }
}

/// A task that was given out: it is taken back when this is dropped.
pub(super) struct Given {
    tasks: Api<DeserializeGuard<ActorTask>>,
    /// Until it is taken back.
    enlisted: Option<Enlisted>,
    name: String,
    /// How long the agent is left to clean up.
    leaves: Duration,
}

impl Given {
    /// Waits until the agent is so far that a mail may be sent, or is done.
    ///
    /// # Errors
    /// That it shows no sign of life, that another process stands for the actor, that it is late, or that what it says cannot be
    /// read.
    pub(super) async fn hears(&self, agent: &TaskAgent, until: Instant) -> Result<ActorTask, Diagnosis> {
        let actor = agent.actor.name_any();
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let mut events = std::pin::pin!(watcher(self.tasks.clone(), config).default_backoff().applied_objects());
        let claimed_by = Instant::now() + SLACK;
        let mut look = tokio::time::interval(Duration::from_secs(1));
        let (mut claimed, mut replaced) = (None::<String>, None);
        loop {
            tokio::select! {
                event = events.next() => {
                    let Some(Ok(DeserializeGuard(task))) = event else { continue };
                    let task = task.map_err(|invalid| {
                        agent.incompatible(&format!("what it told cannot be read: {}", printable(&invalid.error, WORDS)))
                    })?;
                    let Some(status) = &task.status else { continue };
                    claimed = Some(status.claimed_by.clone());
                    if status.phase == TaskPhase::Done || (is_noted(&task) && task.spec.dispatched.is_none()) {
                        return Ok(task);
                    }
                }
                _ = look.tick() => {
                    if let Some(away) = agent.away() {
                        return Err(away);
                    }
                    let holder = agent.roster.holder(&actor);
                    if claimed.as_ref().zip(holder.as_ref()).is_none_or(|(by, holder)| by == holder) {
                        replaced = None;
                    } else if replaced.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                        return Err(agent.late("another process stands for it, and the one that took the task is gone"));
                    }
                    if claimed.is_none() && claimed_by <= Instant::now() {
                        return Err(agent.untaken());
                    }
                    if until <= Instant::now() {
                        return Err(agent.late("it did not come to an end in time"));
                    }
                }
            }
        }
    }

    /// Tells the agent that the mail was sent, or may be sent now.
    ///
    /// # Errors
    /// That it may not have heard of it.
    pub(super) async fn say(&self, agent: &TaskAgent, dispatched: &TaskDispatched) -> Result<(), Diagnosis> {
        self.patch(agent, &json!({"spec": {"dispatched": dispatched}})).await
    }

    /// Tells the agent that what it found is noted: it removes the mail then.
    pub(super) async fn noted(&mut self, agent: &TaskAgent) {
        self.leaves = CLEANUP;
        // A mail that stays is removed by a later run.
        if let Err(error) = self.patch(agent, &json!({"spec": {"noted": true}})).await {
            tracing::info!(%error, "an agent could not be told that its finding is noted");
        }
    }

    async fn patch(&self, agent: &TaskAgent, patch: &serde_json::Value) -> Result<(), Diagnosis> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        // A claim is taken, or a mail is to be removed: that the agent hears of it is worth every attempt.
        for pause in [100, 500, 2000, 5000, 10_000] {
            match bounded(self.tasks.patch(&self.name, &params, &Patch::Merge(patch))).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_gone() => return Err(agent.unmade(&error)),
                Err(error) => tracing::warn!(%error, "an agent could not be told of its mail; tried again"),
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(agent.late("it could not be told of its mail"))
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let (tasks, name, enlisted) = (self.tasks.clone(), std::mem::take(&mut self.name), self.enlisted.take());
        let leaves = self.leaves;
        // Where this does not come through, the sweep does it.
        tokio::spawn(async move {
            let _enlisted = enlisted;
            tokio::time::sleep(leaves).await;
            bounded(tasks.delete(&name, &DeleteParams::background())).await.map(drop)
        });
    }
}

/// A login that the breaker has granted to an agent: its outcome is told once, whatever happens.
pub(super) struct Granted<'a> {
    gate: &'a dyn Gate,
    login: Option<&'a Login>,
    /// None where nobody logs in, or its outcome was told.
    account: Option<Account>,
    /// The login as the agent is told of it.
    handed: Option<Login>,
    /// The access token in it, where it is one.
    access: Option<Access>,
}

impl<'a> Granted<'a> {
    /// Has the access token, where the login needs one, and asks the breaker.
    pub(super) async fn ask(gate: &'a dyn Gate, login: Option<&'a Login>, host: &str) -> Result<Self, Diagnosis> {
        let Some(login) = login else { return Ok(Self { gate, login: None, account: None, handed: None, access: None }) };
        let (handed, access) = login.handed(gate, Instant::now() + SLACK).await?;
        let account = login.account(host);
        gate.login(&account).await.map_err(|held| held.at(Stage::Auth))?;
        Ok(Self { gate, login: Some(login), account: Some(account), handed: Some(handed), access })
    }

    /// The login as the agent is told of it.
    pub(super) fn handed(&self) -> Option<&Login> {
        self.handed.as_ref()
    }

    /// The provider of the access token, and when that ends.
    pub(super) fn token(&self) -> Option<(String, Timestamp)> {
        let provider = self.login?.at_provider()?.host;
        self.access.as_ref().map(|access| (provider, access.expires))
    }

    pub(super) fn tell(&mut self, outcome: LoginOutcome) {
        let Some(account) = self.account.take() else { return };
        let outcome = match (self.login, &self.access) {
            (Some(login), Some(access)) => login.judged(&access.secret, &account, outcome),
            _ => outcome,
        };
        self.gate.logged_in(&account, outcome);
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        self.tell(LoginOutcome::Undecided);
    }
}

/// Whether the agent waits for a mail to be sent, or for leave to send it.
pub(super) fn is_noted(task: &ActorTask) -> bool {
    task.status.as_ref().is_some_and(|status| status.phase == TaskPhase::Noted)
}
