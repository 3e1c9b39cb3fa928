//! Looks after the tasks of the namespace: watches them, and begins those that are open.

use std::{collections::HashSet, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    core::DeserializeGuard,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tracing::Instrument;

use super::{FAREWELL, Settings, board::Board, hand::Hand, orders::Orders, work::work};
use crate::{
    api::v1alpha1::{ActorTask, TASK_PROTOCOL},
    mail::diagnosis::printable,
    runtime::stop::Stop,
    telemetry::spans,
};

/// Does tasks while `active`, until `stop`; then those under way are left in order.
pub async fn look_after(client: &Client, settings: &Arc<Settings>, mut active: watch::Receiver<bool>, stop: Stop) {
    let tasks: Api<DeserializeGuard<ActorTask>> = Api::namespaced(client.clone(), &settings.namespace);
    let mut events = watcher(tasks, watcher::Config::default()).default_backoff().boxed();
    let (mut board, mut running, mut failing) = (Board::default(), JoinSet::new(), 0_u32);
    let mut strange = HashSet::new();
    loop {
        tokio::select! {
            () = stop.stopped() => break,
            event = events.next() => match event {
                Some(Ok(event)) => {
                    failing = 0;
                    board.hear(read(event, &mut strange));
                }
                Some(Err(error)) => {
                    complain(&error, failing);
                    failing += 1;
                }
                None => break,
            },
            Some(ended) = running.join_next(), if !running.is_empty() => ended_with(&mut board, ended),
            changed = active.changed() => if changed.is_err() { break },
        }
        if *active.borrow() && !stop.is_stopped() {
            for (task, seen) in board.begin(&settings.actor) {
                let hand = Hand::new(client, settings, Orders::new(seen, stop.clone()));
                let span = tracing::info_span!("task", task = task.name_any());
                let traced = spans::task(&task.name_any(), &task.spec.object, &task.spec.run);
                let (uid, settings) = (task.uid().unwrap_or_default(), Arc::clone(settings));
                let job = async move {
                    Box::pin(work(hand, &settings, task)).await;
                    uid
                };
                running.spawn(job.instrument(span).instrument(traced));
            }
        }
    }
    let farewell = async { while running.join_next().await.is_some() {} };
    if timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!("some mailboxes could not be left in order in time");
    }
}

/// A task that cannot be read, or is of a protocol that this version does not know, is told of once, and left alone: the operator
/// tells why.
fn read(event: Event<DeserializeGuard<ActorTask>>, strange: &mut HashSet<String>) -> Event<(String, Option<ActorTask>)> {
    let mut one = |guard: DeserializeGuard<ActorTask>| {
        let (name, uid) = (guard.name_any(), guard.uid().unwrap_or_default());
        let (task, why) = match guard.0 {
            Ok(task) if task.spec.protocol > TASK_PROTOCOL => (Some(task), "it is of a newer protocol".to_owned()),
            Ok(task) => return (name, Some(task)),
            Err(invalid) => (None, printable(&invalid.error, 200)),
        };
        if strange.insert(uid) {
            tracing::warn!(task = name, why, "a task of another version is left alone; is this agent older than its operator?");
        }
        (name, task)
    };
    match event {
        // Those of a list are told of once more: what is gone is not remembered.
        Event::Init => {
            strange.clear();
            Event::Init
        }
        Event::InitDone => Event::InitDone,
        Event::InitApply(guard) => Event::InitApply(one(guard)),
        Event::Apply(guard) => Event::Apply(one(guard)),
        Event::Delete(guard) => {
            strange.remove(&guard.uid().unwrap_or_default());
            Event::Delete((guard.name_any(), None))
        }
    }
}

fn ended_with(board: &mut Board, ended: Result<String, tokio::task::JoinError>) {
    match ended {
        Ok(uid) => board.ended(&uid),
        // Its place is lost until its task is deleted, as who it was is not known.
        Err(error) => tracing::error!(%error, "the work on a task broke off"),
    }
}

/// An API server that is away is told once, and then now and again.
fn complain(error: &watcher::Error, failing: u32) {
    if failing.is_multiple_of(10) {
        // Its words may hold the body of an answer.
        let kind = match error {
            watcher::Error::InitialListFailed(_) => "they cannot be listed",
            watcher::Error::WatchStartFailed(_) | watcher::Error::WatchFailed(_) => "they cannot be watched",
            watcher::Error::WatchError(_) => "the API server ended the watch",
            watcher::Error::NoResourceVersion => "their list has no version",
        };
        tracing::warn!("tasks: {kind}; tries again");
    }
}
