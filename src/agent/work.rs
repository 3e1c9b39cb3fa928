//! The work on one task: from the claim to the result.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant as Clock},
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{
    Settings,
    hand::{Hand, Unwritten},
    orders::Over,
};
use crate::{
    api::{
        Reason,
        v1alpha1::{ActorTask, ActorTaskStatus, Failure, TaskPhase, TaskResult, TaskSearch, TaskServer},
    },
    mail::{Diagnosis, Stage, mailbox::Mark},
    verify::{
        Gate, Open, Report,
        gate::Account,
        mail_server::{self, Run},
        mailbox::{
            self, Inputs,
            attend::{Begin, Dispatch, Dispatched, Finding, Search, Witness, attend},
        },
        report::LoginOutcome,
        task::{Contents, Needs, Order},
    },
};

/// How long the operator may take to send the mail: turns and budgets may keep it.
const SENDING: Duration = Duration::from_mins(15);

/// How long the operator may take to note what was found.
const NOTING: Duration = Duration::from_mins(1);

/// Does one task, if it is ours to do.
pub async fn work(hand: Hand, settings: &Settings, task: ActorTask) {
    let Some(task) = hand.claim(task).await else { return };
    tracing::info!(object = task.spec.object, run = task.spec.run, "claimed");
    let (result, mark) = match Box::pin(go(&hand, settings, &task)).await {
        Ok(Some(done)) => done,
        // It was told when the mail was found.
        Ok(None) => return,
        Err(failure) => (TaskResult { failure: Some(Failure::of(&failure.at(Stage::Secrets))), ..TaskResult::default() }, None),
    };
    // What became of a mail is worth telling also by a process that is to end.
    if let Some(over) = hand.orders.over().filter(|over| *over == Over::Gone || result.delivery.is_none()) {
        tracing::info!(?over, "left");
        return;
    }
    let reason = result.failure.as_ref().map(|failure| failure.reason.clone());
    let status = ActorTaskStatus { result: Some(result), mark, ..hand.status(TaskPhase::Done) };
    match hand.tell(&task, &status).await {
        Ok(()) => tracing::info!(reason, "done"),
        Err(why) => tracing::info!(reason, ?why, "done, and not told"),
    }
}

/// What a task came to, and what the mailbox held before.
type Done = (TaskResult, Option<String>);

/// Opens the mailbox, and looks for the mail where one is looked for; or checks the server. What is to be told, if it is not told
/// already.
async fn go(hand: &Hand, settings: &Settings, task: &ActorTask) -> Result<Option<Done>, Diagnosis> {
    let begun = Clock::now();
    let mut secret = hand.secret(task).await?;
    let data = secret.data.take().unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    let contents = Contents::read(data, Needs::of(&task.spec))?;
    let way = task.spec.endpoint.way(&contents, format!("{}/{}", settings.namespace, task.name_any()))?;
    if let Some(server) = &task.spec.server {
        let order = server.order(way, &task.spec.object, begun.elapsed())?;
        let report = check_server(hand, settings, task, server, &order, contents.code.unwrap_or_default()).await?;
        return Ok(Some((TaskResult::of_report(&report), None)));
    }
    let inputs = task.spec.mailbox.clone().unwrap_or_default().inputs(way, begun.elapsed())?;
    let Some((search, code)) = task.spec.search.as_ref().zip(contents.code) else {
        let report = mailbox::check(&inputs, &settings.vantage, &hand.orders, None).await;
        return Ok(Some((TaskResult::of_report(&report), None)));
    };
    Ok(look_for(hand, settings, task, (search, code), &inputs).await)
}

/// Checks a server. A check that is not wanted any more ends at once, unless its mail may be on its way.
async fn check_server(
    hand: &Hand,
    settings: &Settings,
    task: &ActorTask,
    server: &TaskServer,
    order: &Order,
    code: Uuid,
) -> Result<Report, Diagnosis> {
    let run = Run {
        id: &task.spec.run,
        code,
        message: code,
        reads_bounces: false,
        probe: None,
        now: Timestamp::now(),
        installation: &order.installation,
        contact: order.contact.as_deref(),
        level: server.level,
        may_greet_with_tls: server.may_greet_with_tls.unwrap_or(false),
        watcher: None,
    };
    let leave = Leave { hand, task, had: AtomicBool::new(false) };
    let mut checked = pin!(mail_server::check(&order.inputs, &settings.vantage, &leave, &run));
    tokio::select! {
        report = &mut checked => return Ok(report),
        _ = hand.orders.ended() => {}
    }
    if leave.had.load(Ordering::SeqCst) { Ok(checked.await) } else { Err(unsent("the task is over")) }
}

async fn look_for(
    hand: &Hand,
    settings: &Settings,
    task: &ActorTask,
    (wanted, code): (&TaskSearch, Uuid),
    inputs: &Inputs,
) -> Option<Done> {
    let domain = wanted.domain.as_deref().unwrap_or(&inputs.endpoint.host);
    let shows = Shows { hand, task, domain, host: &inputs.endpoint.host, told: AtomicBool::new(false) };
    let search = Search { witness: Some(&shows), ..wanted.search(code) };
    let mut hail = Hail { hand, task };
    let begin = match wanted.resume_millis {
        None => Begin::Send(&mut hail),
        Some(left) => {
            let sent = task.spec.dispatched.clone().unwrap_or_default();
            Begin::Resume {
                mark: wanted.mark.as_deref().and_then(|mark| mark.parse().ok()),
                until: Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or_default()),
                message_id: sent.message_id,
                envelope_id: sent.envelope_id,
            }
        }
    };
    let finding = attend(inputs, &settings.vantage, &hand.orders, &search, begin, None).await;
    if shows.told.load(Ordering::SeqCst) {
        return None;
    }
    Some((TaskResult::of_finding(&finding, domain, &inputs.endpoint.host), finding.mark.as_ref().map(ToString::to_string)))
}

/// The gate of a check: a mail is sent once the operator has given leave.
struct Leave<'a> {
    hand: &'a Hand,
    task: &'a ActorTask,
    /// Whether leave was had: from then on the mail may be on its way.
    had: AtomicBool,
}

impl Gate for Leave<'_> {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        Open.login(account)
    }

    fn logged_in(&self, _: &Account, _: LoginOutcome) {}

    fn send<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async {
            match self.hand.tell(self.task, &self.hand.status(TaskPhase::Noted)).await {
                Ok(()) => tracing::info!("waits for leave to send"),
                Err(Unwritten::Over(_)) => return Err(unsent("the task is over")),
                Err(Unwritten::Refused) => return Err(unsent("the API server did not take how far the task is")),
            }
            match timeout(SENDING, self.hand.orders.dispatched()).await {
                Ok(Ok(_)) => {
                    self.had.store(true, Ordering::SeqCst);
                    Ok(())
                }
                Ok(Err(_)) => Err(unsent("the task is over")),
                Err(_) => Err(unsent("the operator gave no leave to send within 15 minutes")),
            }
        }
        .boxed()
    }

    /// A pause, or another leader, takes the task away: then nothing more is written of the mail.
    fn still(&self) -> Result<(), Diagnosis> {
        match self.hand.orders.over() {
            Some(Over::Gone) => Err(unsent("the task is over")),
            Some(Over::Stopped) | None => Ok(()),
        }
    }
}

/// Tells the operator what was found, and has the mail removed once that is noted.
struct Shows<'a> {
    hand: &'a Hand,
    task: &'a ActorTask,
    domain: &'a str,
    host: &'a str,
    told: AtomicBool,
}

impl Witness for Shows<'_> {
    fn found<'a>(&'a self, finding: &'a Finding, so_far: Report) -> BoxFuture<'a, bool> {
        async move {
            let result = TaskResult::of_session(&so_far, finding, self.domain, self.host);
            let mark = finding.mark.as_ref().map(ToString::to_string);
            let done = ActorTaskStatus { result: Some(result), mark, ..self.hand.status(TaskPhase::Done) };
            if self.hand.tell(self.task, &done).await.is_err() {
                return false;
            }
            self.told.store(true, Ordering::SeqCst);
            tracing::info!("found, and told");
            timeout(NOTING, self.hand.orders.noted()).await == Ok(true)
        }
        .boxed()
    }
}

/// Tells the operator that the mailbox is open, and waits until it has sent the mail.
struct Hail<'a> {
    hand: &'a Hand,
    task: &'a ActorTask,
}

impl Dispatch for Hail<'_> {
    fn dispatch<'a>(&'a mut self, noted: &'a Mark) -> BoxFuture<'a, Result<Dispatched, Diagnosis>> {
        async move {
            let noted = ActorTaskStatus { mark: Some(noted.to_string()), ..self.hand.status(TaskPhase::Noted) };
            match self.hand.tell(self.task, &noted).await {
                Ok(()) => tracing::info!("noted what the mailbox holds"),
                Err(Unwritten::Over(_)) => return Err(unsent("the task is over")),
                Err(Unwritten::Refused) => return Err(unsent("the API server did not take the mailbox's mark")),
            }
            match timeout(SENDING, self.hand.orders.dispatched()).await {
                Ok(Ok(sent)) => {
                    tracing::info!("the mail was sent; looks for it");
                    Ok(Dispatched { at: Instant::now(), message_id: sent.message_id, envelope_id: sent.envelope_id })
                }
                Ok(Err(_)) => Err(unsent("the task is over")),
                Err(_) => Err(unsent("the operator did not say within 15 minutes that the mail was sent")),
            }
        }
        .boxed()
    }
}

fn unsent(why: &str) -> Diagnosis {
    Diagnosis::new(Reason::DependencyNotReady).detail(why)
}
