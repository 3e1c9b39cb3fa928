//! A mailbox, attended to by an agent: the operator makes the task, the agent opens the mailbox and notes what it holds, the
//! operator has the mail sent and says so, the agent looks.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use kube::ResourceExt;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::task::{Asked, Granted, SLACK, TaskAgent, is_noted};
use crate::{
    api::{
        Reason,
        v1alpha1::{TaskDispatched, TaskEndpoint, TaskMailbox, TaskSearch},
    },
    mail::{Diagnosis, mailbox::Mark},
    verify::{
        Gate, Login, Report,
        email_profile::{Agent, Noted, Outcome},
        mailbox::{
            Inputs,
            attend::{Begin, Dispatch, Dispatched, Search},
        },
        report::LoginOutcome,
        task::{self, Contents},
    },
};

/// How long a task that came to nothing is followed by no other.
const PAUSE: Duration = Duration::from_secs(2);

impl Agent for TaskAgent {
    fn attend<'a>(
        &'a self,
        inputs: &'a Inputs,
        gate: &'a dyn Gate,
        work: Option<(&'a Search<'a>, Begin<'a>, &'a dyn Noted)>,
    ) -> BoxFuture<'a, Outcome> {
        async move {
            let mut outcome = Outcome { report: Report::new(inputs.level, inputs.endpoint.to_string()), found: None, mark: None };
            if let Err(failure) = Box::pin(self.go(inputs, gate, work, &mut outcome)).await {
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
        work: Option<(&Search<'_>, Begin<'_>, &dyn Noted)>,
        outcome: &mut Outcome,
    ) -> Result<(), Diagnosis> {
        let (work, noted) = match work {
            Some((search, begin, noted)) => (Some((search, begin)), Some(noted)),
            None => (None, None),
        };
        let mut order = Order::new(work, &self.work().domain);
        loop {
            let Err(failure) = Box::pin(self.round(inputs, gate, &mut order, noted, outcome)).await else { return Ok(()) };
            // Where the mail is out, another process of the actor, or the same one again, may still find it.
            let ours = [Reason::TaskTimedOut, Reason::ActorOffline, Reason::ActorSuspended].contains(&failure.reason);
            let Some(end) = order.until.filter(|end| ours && *end > Instant::now()) else { return Err(failure) };
            let back = async {
                tokio::time::sleep(PAUSE).await;
                self.roster.back(&self.actor.name_any()).await;
            };
            if timeout_at(end, back).await.is_err() {
                return Err(failure);
            }
        }
    }

    /// Gives out one task, and waits for what comes of it.
    async fn round(
        &self,
        inputs: &Inputs,
        gate: &dyn Gate,
        order: &mut Order<'_>,
        noted: Option<&dyn Noted>,
        outcome: &mut Outcome,
    ) -> Result<(), Diagnosis> {
        if let Some(away) = self.away() {
            return Err(away);
        }
        let mut login = Granted::ask(gate, inputs.login(), &inputs.endpoint.host).await?;
        outcome.report.token = login.token();
        let mut task = self.give(order.asked(inputs, login.handed())?).await?;
        let mut heard = task.hears(self, order.until.unwrap_or_else(|| Instant::now() + inputs.timeout + SLACK) + SLACK).await?;
        let mut sent_here = false;
        if is_noted(&heard)
            && let Some(mailer) = order.dispatch.take()
        {
            login.tell(LoginOutcome::Accepted);
            let mark = heard.status.and_then(|status| status.mark).unwrap_or_default();
            outcome.mark = Some(mark.clone());
            let mark: Mark = mark.parse().map_err(|()| self.late("it noted nothing that can be read"))?;
            let sent = mailer.dispatch(&mark).await?;
            let end = order.was_sent(sent, &mark);
            sent_here = true;
            task.say(self, &order.dispatched.clone().unwrap_or_default()).await?;
            heard = task.hears(self, end + SLACK).await?;
        }
        let result = heard.status.and_then(|status| status.result).ok_or_else(|| self.late("it gave the task back"))?;
        self.note(&result);
        let mut told = task::told(&result, inputs);
        told.report.token = login.token();
        login.tell(told.report.login.unwrap_or(LoginOutcome::Undecided));
        let took = told.took.filter(|_| sent_here);
        if let Some(noted) = noted.filter(|_| told.found)
            && noted.found(told.report.clone(), took, told.results.clone()).await
        {
            task.noted(self).await;
        }
        outcome.found = told.found.then_some((took, told.results));
        outcome.report = told.report;
        outcome.report.failure = outcome.report.failure.take().map(|failure| self.explain(failure));
        Ok(())
    }
}

/// What is asked of an agent, beside the mailbox.
struct Order<'a> {
    search: Option<TaskSearch>,
    code: Option<Uuid>,
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
        (order.code, order.timeout) = (Some(search.code), search.timeout);
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

    /// What a task asks now.
    fn asked(&self, inputs: &Inputs, login: Option<&Login>) -> Result<Asked, Diagnosis> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        Ok(Asked {
            endpoint: TaskEndpoint::of(&inputs.endpoint, &inputs.tls, login, inputs.timeout)?,
            mailbox: Some(TaskMailbox::of(inputs)?),
            search: self.search.clone().map(|search| match left {
                Some(left) => search.resumed(left),
                None => search,
            }),
            dispatched: self.dispatched.clone(),
            contents: Contents::of(&inputs.tls, login, self.code),
            ..Asked::default()
        })
    }
}
