//! A server's endpoint, tried by an agent. It gets as far as MAIL, and sends once it has leave: the claim is the operator's.

use futures::future::{BoxFuture, FutureExt};
use tokio::time::Instant;

use super::task::{Asked, Granted, SLACK, TaskAgent, is_noted};
use crate::{
    api::{
        Reason,
        v1alpha1::{Level, TaskDispatched, TaskEndpoint, TaskServer},
    },
    mail::{Diagnosis, Stage},
    verify::{
        Gate, Report,
        mail_server::{Agent, Inputs, Run},
        report::{Delivery, LoginOutcome},
        task::{self, Contents},
    },
};

impl Agent for TaskAgent {
    fn attempt<'a>(&'a self, inputs: &'a Inputs, gate: &'a dyn Gate, run: &'a Run<'a>) -> BoxFuture<'a, Report> {
        async move {
            let endpoint = inputs.endpoints.first().map(ToString::to_string).unwrap_or_default();
            let mut report = Report::new(run.level, endpoint);
            if let Err(failure) = self.try_endpoint(inputs, gate, run, &mut report).await {
                report.failure = Some(failure);
            }
            report
        }
        .boxed()
    }
}

impl TaskAgent {
    async fn try_endpoint(&self, inputs: &Inputs, gate: &dyn Gate, run: &Run<'_>, report: &mut Report) -> Result<(), Diagnosis> {
        let Some(endpoint) = inputs.endpoints.first() else { return Ok(()) };
        if let Some(away) = self.away() {
            return Err(away);
        }
        let login = inputs.login.as_ref().filter(|_| run.level >= Level::Authenticate);
        let mut granted = Granted::ask(gate, login, &endpoint.host).await?;
        report.token = granted.token();
        let given = self
            .give(Asked {
                endpoint: TaskEndpoint::of(endpoint, &inputs.tls, granted.handed(), inputs.timeout)?,
                server: Some(TaskServer::of(inputs, run)),
                contents: Contents::of(&inputs.tls, granted.handed(), (run.level == Level::Deliver).then_some(run.code)),
                ..Asked::default()
            })
            .await?;
        let until = || Instant::now() + inputs.timeout + SLACK + SLACK;
        let mut heard = given.hears(self, until()).await?;
        if is_noted(&heard) {
            report.login = login.map(|_| LoginOutcome::Accepted);
            granted.tell(LoginOutcome::Accepted);
            let to = inputs.test.as_ref().map(|test| test.to.as_str()).unwrap_or_default();
            gate.send(to).await.map_err(|kept| kept.at(Stage::Mail))?;
            gate.still().map_err(|kept| kept.at(Stage::Mail))?;
            // From here on it may go, whether we hear of it or not.
            report.delivery = Some(Delivery { message_id: String::new(), dot_sent: true, accepted: None });
            given.say(self, &TaskDispatched::default()).await.map_err(|why| unheard(&why))?;
            heard = given.hears(self, until()).await.map_err(|why| unheard(&why))?;
        }
        let result = heard.status.and_then(|status| status.result).ok_or_else(|| {
            let back = self.late("it gave the task back");
            if report.delivery.is_some() { unheard(&back) } else { back }
        })?;
        *report = task::report(&result, run.level, endpoint, &inputs.tls, inputs.login.as_ref());
        report.token = granted.token();
        report.failure = report.failure.take().map(|failure| self.explain(failure));
        granted.tell(report.login.unwrap_or(LoginOutcome::Undecided));
        self.note(&result);
        Ok(())
    }
}

/// That nobody knows what became of a mail.
fn unheard(why: &Diagnosis) -> Diagnosis {
    Diagnosis::new(Reason::DeliveryUncertain).at(Stage::Data).detail(why.said())
}
