//! The work on one task: from the claim to the result.

use std::time::{Duration, Instant as Clock};

use futures::future::{BoxFuture, FutureExt};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};
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
        v1alpha1::{ActorTask, ActorTaskStatus, TaskFailure, TaskPhase, TaskResult, TaskSearch},
    },
    mail::{Diagnosis, Stage, mailbox::Mark},
    verify::{
        mailbox::{
            self, Inputs,
            attend::{Begin, Dispatch, Dispatched, attend},
        },
        task::{self, CODE, PASSWORD},
    },
};

/// How long the operator may take to send the mail: turns and budgets may keep it.
const SENDING: Duration = Duration::from_mins(15);

/// Does one task, if it is ours to do.
pub async fn work(hand: Hand, settings: &Settings, task: ActorTask) {
    let Some(task) = hand.claim(task).await else { return };
    tracing::info!(object = task.spec.object, run = task.spec.run, "claimed");
    let (result, mark) = match Box::pin(go(&hand, settings, &task)).await {
        Ok(done) => done,
        Err(failure) => {
            (TaskResult { failure: Some(TaskFailure::of(&failure.at(Stage::Secrets))), ..TaskResult::default() }, None)
        }
    };
    let over = hand.orders.over();
    let status = match over {
        Some(Over::Gone | Over::Stopped) => {
            tracing::info!(?over, "left");
            return;
        }
        // That the mailbox was left is told, and nothing more.
        Some(Over::Cancelled) => hand.status(TaskPhase::Done),
        None => ActorTaskStatus { result: Some(result), mark, ..hand.status(TaskPhase::Done) },
    };
    let found = status.result.as_ref();
    let (reason, found) =
        (found.and_then(|result| Some(result.failure.as_ref()?.reason.clone())), found.is_some_and(|r| r.found));
    match hand.tell(&task, &status, true).await {
        Ok(()) => tracing::info!(reason, found, ?over, "done"),
        Err(why) => tracing::info!(reason, found, ?why, "done, and not told"),
    }
}

/// Opens the mailbox, and looks for the mail where one is looked for; what was found, and what the mailbox held before.
async fn go(hand: &Hand, settings: &Settings, task: &ActorTask) -> Result<(TaskResult, Option<String>), Diagnosis> {
    let begun = Clock::now();
    let secret = hand.secret(task).await?;
    let needs = (!task.spec.mailbox.user.is_empty(), task.spec.search.is_some());
    let (password, code) = contents(secret, needs)?;
    let place = format!("{}/{}", settings.namespace, task.name_any());
    let inputs = task::inputs(&task.spec.mailbox, password, place, begun.elapsed())?;
    let Some((search, code)) = task.spec.search.as_ref().zip(code) else {
        let report = mailbox::check(&inputs, &settings.vantage, &hand.orders, None).await;
        return Ok((TaskResult::of_report(&report), None));
    };
    Ok(look_for(hand, settings, task, (search, code), &inputs).await)
}

async fn look_for(
    hand: &Hand,
    settings: &Settings,
    task: &ActorTask,
    (wanted, code): (&TaskSearch, Uuid),
    inputs: &Inputs,
) -> (TaskResult, Option<String>) {
    let search = wanted.search(code);
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
    let domain = wanted.domain.as_deref().unwrap_or(&inputs.endpoint.host);
    (TaskResult::of_finding(&finding, domain, &inputs.endpoint.host), finding.mark.as_ref().map(ToString::to_string))
}

/// The password and the code, where they are needed.
fn contents(mut secret: Secret, (needs_password, needs_code): (bool, bool)) -> Result<(SecretString, Option<Uuid>), Diagnosis> {
    let mut take = |key: &str| {
        let value = secret.data.as_mut().and_then(|data| data.remove(key));
        let missing = || {
            let said = format!("the task's Secret has no key {key}");
            Diagnosis::new(Reason::SecretKeyMissing).fact("missing", key).detail(said)
        };
        // The text in the error would be the secret.
        let unfit = |_| {
            let said = format!("key {key} of the task's Secret is no UTF-8 text");
            Diagnosis::new(Reason::SecretInvalid).fact("key", key).fact("fault", "is no UTF-8 text").detail(said)
        };
        String::from_utf8(value.ok_or_else(missing)?.0).map(SecretString::from).map_err(unfit)
    };
    let password = if needs_password { take(PASSWORD)? } else { SecretString::from(String::new()) };
    if !needs_code {
        return Ok((password, None));
    }
    let code = Uuid::try_parse(take(CODE)?.expose_secret().trim()).map_err(|_| {
        let said = format!("key {CODE} of the task's Secret is no UUID");
        Diagnosis::new(Reason::SecretInvalid).fact("key", CODE).fact("fault", "is no UUID").detail(said)
    })?;
    Ok((password, Some(code)))
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
            match self.hand.tell(self.task, &noted, false).await {
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
