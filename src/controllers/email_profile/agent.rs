//! An agent, as a run speaks to it: by a task in its namespace. The operator makes the task and its Secret, the agent opens the
//! mailbox and notes what it holds, the operator has the mail sent and says so, the agent looks. What is left behind is swept
//! away by [`crate::controllers::actors`].

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt,
    future::{BoxFuture, FutureExt},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::{
    api::{
        Reason,
        v1alpha1::{Actor, ActorTask, ActorTaskSpec, TASK_PROTOCOL, TaskDispatched, TaskMailbox, TaskPhase, TaskSearch},
    },
    controllers::term::Term,
    mail::{Diagnosis, Stage, mailbox::Mark},
    runtime::{ApiError, FIELD_MANAGER, Name, bounded, roster::Enlisted},
    verify::{
        Gate, Report,
        email_profile::{Agent, Outcome},
        gate::Account,
        mailbox::{
            Inputs,
            attend::{Begin, Dispatch, Dispatched, Search},
        },
        report::LoginOutcome,
        task,
    },
};

/// How long an agent that shows signs of life may take to take a task, and beyond what it was granted to come to an end.
const SLACK: Duration = Duration::from_secs(30);

/// How long a task that came to nothing is followed by no other.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a new process may stand for an actor before a task of the one before it is given up.
const GRACE: Duration = Duration::from_secs(3);

/// An actor's agent.
pub struct TaskAgent {
    /// What all kinds share.
    pub term: Arc<Term>,
    /// The actor.
    pub actor: Actor,
    /// The object: `EmailProfile namespace/name`.
    pub object: String,
    /// The object's UID.
    pub uid: String,
    /// The run.
    pub run: String,
    /// The part of the run.
    pub part: String,
    /// The domain of the profile's address.
    pub domain: String,
}

impl Agent for TaskAgent {
    fn attend<'a>(
        &'a self,
        inputs: &'a Inputs,
        gate: &'a dyn Gate,
        work: Option<(&'a Search<'a>, Begin<'a>)>,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            let mut outcome = Outcome { report: Report::new(inputs.level, inputs.endpoint.to_string()), found: None, mark: None };
            if let Err(failure) = self.go(inputs, gate, work, &mut outcome).await {
                outcome.report.failure = Some(failure);
            }
            outcome
        }
        .boxed()
    }
}

impl TaskAgent {
    async fn go(
        &self,
        inputs: &Inputs,
        gate: &dyn Gate,
        work: Option<(&Search<'_>, Begin<'_>)>,
        outcome: &mut Outcome,
    ) -> Result<(), Diagnosis> {
        let mut order = Order::new(work, &self.domain);
        for round in 0_u32.. {
            let Err(failure) = self.round(inputs, gate, &mut order, round, outcome).await else { break };
            // Where the mail is out, another process of the actor, or the same one again, may still find it.
            let ours = [Reason::TaskTimedOut, Reason::ActorOffline, Reason::ActorSuspended].contains(&failure.reason);
            let Some(end) = order.until.filter(|end| ours && *end > Instant::now()) else { return Err(failure) };
            let back = async {
                tokio::time::sleep(PAUSE).await;
                self.term.roster.back(&self.actor.name_any()).await;
            };
            if timeout_at(end, back).await.is_err() {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Gives out one task, and waits for what comes of it.
    async fn round(
        &self,
        inputs: &Inputs,
        gate: &dyn Gate,
        order: &mut Order<'_>,
        round: u32,
        outcome: &mut Outcome,
    ) -> Result<(), Diagnosis> {
        if let Some(away) = self.term.roster.away(&self.actor.name_any(), std::time::Instant::now()) {
            return Err(away);
        }
        let mut login = Granted::ask(gate, inputs).await?;
        let mut task = self.give(inputs, order, round).await?;
        let mut heard = task.hears(self, order.until.unwrap_or_else(|| Instant::now() + inputs.timeout + SLACK) + SLACK).await?;
        let mut sent_here = false;
        if is_noted(&heard)
            && let Some(mailer) = order.dispatch.take()
        {
            login.tell(LoginOutcome::Accepted);
            let mark = heard.status.and_then(|status| status.mark).unwrap_or_default();
            outcome.mark = Some(mark.clone());
            let mark: Mark = mark.parse().map_err(|()| late(self, "it noted nothing that can be read"))?;
            let sent = mailer.dispatch(&mark).await?;
            let end = order.was_sent(sent, &mark);
            sent_here = true;
            task.say_sent(self, order.dispatched.as_ref()).await?;
            heard = task.hears(self, end + SLACK).await?;
        }
        let result = heard.status.and_then(|status| status.result);
        let told = task::told(&result.ok_or_else(|| late(self, "it gave the task back"))?, inputs);
        login.tell(told.report.login.unwrap_or(LoginOutcome::Undecided));
        if let Some(source) = &told.report.source_ip {
            self.term.roster.connected_from(&self.actor.name_any(), source);
        }
        outcome.found = told.found.then_some((told.took.filter(|_| sent_here), told.results));
        outcome.report = told.report;
        Ok(())
    }

    /// Makes the task, then its Secret, which goes with it.
    async fn give(&self, inputs: &Inputs, order: &mut Order<'_>, round: u32) -> Result<Given, Diagnosis> {
        let namespace = self.actor.spec.task_namespace.clone().unwrap_or_default();
        let actor = self.actor.name_any();
        let parts = [b"task", self.uid.as_bytes(), self.part.as_bytes(), actor.as_bytes(), &round.to_be_bytes()];
        // By the installation's key, so that nobody else can tell beforehand what a task will be called.
        let name = Name::new(namespace, format!("t-{}", self.term.ground.key.hash(&parts)));
        let enlisted = self.term.roster.enlist(name.clone());
        let left = order.until.map(|until| until.saturating_duration_since(Instant::now()));
        let spec = ActorTaskSpec {
            protocol: TASK_PROTOCOL,
            actor,
            object: self.object.clone(),
            run: self.run.clone(),
            mailbox: TaskMailbox::of(inputs)?,
            search: order.search.clone().map(|search| match left {
                Some(left) => search.resumed(left),
                None => search,
            }),
            dispatched: order.dispatched.clone(),
            cancelled: None,
        };
        let client = &self.term.ground.client;
        let tasks: Api<ActorTask> = Api::namespaced(client.clone(), &name.namespace);
        let mut task = ActorTask::new(&name.name, spec);
        task.labels_mut().insert("app.kubernetes.io/managed-by".to_owned(), "mailverity".to_owned());
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let failed = |error: ApiError| unmade(self, &error);
        let made = bounded(tasks.create(&params, &task)).await.map_err(failed)?;
        let given = Given { tasks, enlisted };
        let password = inputs.login.as_ref().map(|login| login.credential.secret().expose_secret().to_owned());
        let mut data = serde_json::Map::new();
        data.extend(password.map(|password| (task::PASSWORD.to_owned(), password.into())));
        data.extend(order.code.clone().map(|code| (task::CODE.to_owned(), code.into())));
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
            "stringData": data,
        }))
        .map_err(|_| late(self, "its Secret could not be written"))?;
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &name.namespace);
        bounded(secrets.create(&params, &secret)).await.map_err(failed)?;
        Ok(given)
    }
}

/// What is asked of an agent, beside the mailbox.
struct Order<'a> {
    search: Option<TaskSearch>,
    code: Option<String>,
    timeout: Duration,
    /// Sends the mail; none where it was sent, or none is.
    dispatch: Option<&'a mut dyn Dispatch>,
    /// What is known of the mail, once it was sent.
    dispatched: Option<TaskDispatched>,
    /// Until when it is looked for, once it was sent.
    until: Option<Instant>,
}

impl<'a> Order<'a> {
    fn new(work: Option<(&Search<'_>, Begin<'a>)>, domain: &str) -> Self {
        let mut order = Self { search: None, code: None, timeout: Duration::ZERO, dispatch: None, dispatched: None, until: None };
        let Some((search, begin)) = work else { return order };
        let mut wanted = TaskSearch::of(search, domain);
        (order.code, order.timeout) = (Some(search.code.to_string()), search.timeout);
        match begin {
            Begin::Send(dispatch) => order.dispatch = Some(dispatch),
            Begin::Resume { mark, until, message_id, envelope_id } => {
                wanted.mark = mark.map(|mark| mark.to_string());
                order.dispatched = Some(TaskDispatched { message_id, envelope_id });
                order.until = Some(until);
            }
        }
        order.search = Some(wanted);
        order
    }

    /// Notes that the mail was sent, and until when it is looked for.
    fn was_sent(&mut self, sent: Dispatched, mark: &Mark) -> Instant {
        let end = sent.at + self.timeout;
        self.until = Some(end);
        self.dispatched = Some(TaskDispatched { message_id: sent.message_id, envelope_id: sent.envelope_id });
        if let Some(search) = &mut self.search {
            search.mark = Some(mark.to_string());
        }
        end
    }
}

/// A task that was given out: it is taken back when this is dropped.
struct Given {
    tasks: Api<ActorTask>,
    enlisted: Enlisted,
}

impl Given {
    /// Waits until the agent has noted what the mailbox holds, or is done.
    ///
    /// # Errors
    /// That it shows no sign of life, that another process stands for the actor, or that it is late.
    async fn hears(&mut self, agent: &TaskAgent, until: Instant) -> Result<ActorTask, Diagnosis> {
        let actor = agent.actor.name_any();
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.enlisted.task.name));
        let mut events = std::pin::pin!(watcher(self.tasks.clone(), config).default_backoff().applied_objects());
        let claimed_by = Instant::now() + SLACK;
        let mut look = tokio::time::interval(Duration::from_secs(1));
        let (mut claimed, mut replaced) = (None::<String>, None);
        loop {
            tokio::select! {
                event = events.next() => {
                    let Some(Ok(task)) = event else { continue };
                    let Some(status) = &task.status else { continue };
                    claimed = Some(status.claimed_by.clone());
                    if status.phase == TaskPhase::Done || (is_noted(&task) && task.spec.dispatched.is_none()) {
                        return Ok(task);
                    }
                }
                _ = look.tick() => {
                    if let Some(away) = agent.term.roster.away(&actor, std::time::Instant::now()) {
                        return Err(away);
                    }
                    let holder = agent.term.roster.holder(&actor);
                    if claimed.as_ref().zip(holder.as_ref()).is_none_or(|(by, holder)| by == holder) {
                        replaced = None;
                    } else if replaced.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                        return Err(late(agent, "another process stands for it, and the one that took the task is gone"));
                    }
                    if claimed.is_none() && claimed_by <= Instant::now() {
                        return Err(late(agent, "it did not take the task in time"));
                    }
                    if until <= Instant::now() {
                        return Err(late(agent, "it did not come to an end in time"));
                    }
                }
            }
        }
    }

    /// Tells the agent that the mail was sent.
    async fn say_sent(&self, agent: &TaskAgent, ids: Option<&TaskDispatched>) -> Result<(), Diagnosis> {
        let patch = json!({"spec": {"dispatched": ids}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        // The mail is out: that the agent hears of it is worth every attempt.
        for pause in [100, 500, 2000, 5000, 10_000] {
            match bounded(self.tasks.patch(&self.enlisted.task.name, &params, &Patch::Merge(&patch))).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_gone() => return Err(unmade(agent, &error)),
                Err(error) => tracing::warn!(%error, "an agent could not be told that its mail was sent; tried again"),
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(late(agent, "it could not be told that the mail was sent"))
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let (tasks, name) = (self.tasks.clone(), self.enlisted.task.name.clone());
        // Where this does not come through, the sweep does it.
        tokio::spawn(async move { bounded(tasks.delete(&name, &DeleteParams::background())).await.map(drop) });
    }
}

/// A login that the breaker has granted to an agent: its outcome is told once, whatever happens.
struct Granted<'a> {
    gate: &'a dyn Gate,
    account: Account,
    told: bool,
}

impl<'a> Granted<'a> {
    async fn ask(gate: &'a dyn Gate, inputs: &Inputs) -> Result<Self, Diagnosis> {
        let login = inputs.login.as_ref().ok_or_else(|| Diagnosis::new(Reason::AuthenticationRequired))?;
        let account = login.account(&inputs.endpoint.host);
        gate.login(&account).await.map_err(|held| held.at(Stage::Auth))?;
        Ok(Self { gate, account, told: false })
    }

    fn tell(&mut self, outcome: LoginOutcome) {
        if !std::mem::replace(&mut self.told, true) {
            self.gate.logged_in(&self.account, outcome);
        }
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        self.tell(LoginOutcome::Undecided);
    }
}

fn is_noted(task: &ActorTask) -> bool {
    task.status.as_ref().is_some_and(|status| status.phase == TaskPhase::Noted)
}

fn late(agent: &TaskAgent, what: &str) -> Diagnosis {
    let (name, namespace) = (agent.actor.name_any(), agent.actor.spec.task_namespace.clone().unwrap_or_default());
    let told = format!("the agent of Actor {name}: {what}");
    Diagnosis::new(Reason::TaskTimedOut).fact("name", name).fact("namespace", namespace).detail(told)
}

fn unmade(agent: &TaskAgent, error: &ApiError) -> Diagnosis {
    late(agent, &format!("its task could not be written: {error}"))
}
