//! What the operator wants of a task under way: that it goes on, what was sent, or that it ends.

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::watch;

use crate::{
    api::v1alpha1::{ActorTask, TaskDispatched},
    mail::Diagnosis,
    runtime::stop::Stop,
    verify::{Gate, Open, gate::Account, report::LoginOutcome},
};

/// A task as it was seen last.
#[derive(Debug)]
pub enum Seen {
    /// It is there.
    Task(Box<ActorTask>),
    /// It was deleted.
    Gone,
}

/// Why a task is not gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It was deleted: the operator does not want it any more.
    Gone,
    /// This process is to end.
    Stopped,
}

/// What the operator wants of one task. It is the gate of that task's work too: logins were granted when the task was made.
#[derive(Clone, Debug)]
pub struct Orders {
    seen: watch::Receiver<Seen>,
    stop: Stop,
}

impl Orders {
    /// What is wanted of a task, by what is seen of it and of this process.
    pub fn new(seen: watch::Receiver<Seen>, stop: Stop) -> Self {
        Self { seen, stop }
    }

    /// Why the task is not gone on with; none if it is.
    pub fn over(&self) -> Option<Over> {
        match &*self.seen.borrow() {
            Seen::Gone => Some(Over::Gone),
            Seen::Task(task) if task.metadata.deletion_timestamp.is_some() => Some(Over::Gone),
            Seen::Task(_) => self.stop.is_stopped().then_some(Over::Stopped),
        }
    }

    /// Ends when the task is not gone on with, and says why.
    pub async fn ended(&self) -> Over {
        self.wait(|| self.over()).await
    }

    /// Ends when the mail was sent, or the task is over.
    pub async fn dispatched(&self) -> Result<TaskDispatched, Over> {
        let told = || match &*self.seen.borrow() {
            Seen::Task(task) => task.spec.dispatched.clone(),
            Seen::Gone => None,
        };
        self.wait(|| self.over().map(Err).or_else(|| told().map(Ok))).await
    }

    /// Whether what was found is noted; not where the task is over before.
    pub async fn noted(&self) -> bool {
        let noted = || match &*self.seen.borrow() {
            Seen::Task(task) => task.spec.noted == Some(true),
            Seen::Gone => false,
        };
        self.wait(|| if noted() { Some(true) } else { self.over().map(|_| false) }).await
    }

    async fn wait<T>(&self, look: impl Fn() -> Option<T>) -> T {
        let mut seen = self.seen.clone();
        loop {
            seen.borrow_and_update();
            if let Some(found) = look() {
                return found;
            }
            tokio::select! {
                // Nobody watches any more: the process is about to end.
                changed = seen.changed() => if changed.is_err() { self.stop.stopped().await },
                () = self.stop.stopped() => {}
            }
        }
    }
}

impl Gate for Orders {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        Open.login(account)
    }

    fn logged_in(&self, _: &Account, _: LoginOutcome) {}

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        // Who opens a mailbox sends nothing.
        Open.send(recipient)
    }

    fn still(&self) -> Result<(), Diagnosis> {
        Ok(())
    }

    fn ends(&self) -> BoxFuture<'_, ()> {
        self.ended().map(drop).boxed()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::v1alpha1::ActorTaskSpec;

    fn task(change: impl FnOnce(&mut ActorTask)) -> Seen {
        let mut task = ActorTask::new("a", ActorTaskSpec::default());
        change(&mut task);
        Seen::Task(Box::new(task))
    }

    #[tokio::test]
    async fn a_wait_ends_with_what_is_told_first() {
        for (seen, expected) in [
            (task(|task| task.spec.dispatched = Some(TaskDispatched::default())), Ok(TaskDispatched::default())),
            (task(|task| task.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH))), Err(Over::Gone)),
            (Seen::Gone, Err(Over::Gone)),
        ] {
            let (tell, told) = watch::channel(task(|_| {}));
            let (_stopper, stop) = Stop::new();
            let orders = Orders::new(told, stop);
            assert_eq!(orders.over(), None);
            let (got, ()) = tokio::join!(orders.dispatched(), async { drop(tell.send_replace(seen)) });
            assert_eq!(got, expected);
        }
    }

    #[tokio::test]
    async fn a_process_that_is_to_end_waits_for_nothing() {
        let (_tell, told) = watch::channel(task(|_| {}));
        let (stopper, stop) = Stop::new();
        let orders = Orders::new(told, stop);
        let (got, ()) = tokio::join!(orders.dispatched(), async { stopper.stop() });
        assert_eq!(got, Err(Over::Stopped));
        orders.ends().await;
    }
}
