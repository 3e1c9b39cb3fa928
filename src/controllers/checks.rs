//! Checks under way and the reports that wait to be told. A check runs beside its object's reconciliations, so that a change
//! of mind (a pause, a new spec, a lost lease) reaches it at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;
use tracing::Instrument;

use super::{
    context::Context,
    kind::{Check, Kind},
    term::Looked,
};
use crate::{
    runtime::{
        Name, lock,
        stop::{Stop, Stopper},
    },
    telemetry::spans,
};

/// How long after its own deadline a check is given up. It keeps its deadline itself: this is for a fault of ours, which
/// must not hold a place for ever.
pub const OVERDUE: Duration = Duration::from_secs(15);

/// The checks of all objects of a kind: at most one each.
#[derive(Debug)]
pub struct Checks<C, R> {
    slots: Mutex<HashMap<Name, Slot<C, R>>>,
    emptied: Notify,
}

#[derive(Debug)]
enum Slot<C, R> {
    Running { check: C, uid: String, stopper: Stopper },
    Ended(Arc<Ended<C, R>>),
}

/// A check that has come to its end.
#[derive(Debug)]
pub struct Ended<C, R> {
    /// As it was decided on.
    pub check: C,
    /// The uid of the object: another of its name may have taken its place.
    pub uid: String,
    /// What it found.
    pub report: R,
}

impl<C, R> Default for Checks<C, R> {
    fn default() -> Self {
        Self { slots: Mutex::default(), emptied: Notify::new() }
    }
}

impl<C: Check, R> Checks<C, R> {
    /// The check of `name` that runs.
    #[must_use]
    pub fn running(&self, name: &Name) -> Option<C> {
        match lock(&self.slots).get(name) {
            Some(Slot::Running { check, .. }) => Some(check.clone()),
            _ => None,
        }
    }

    /// The check of `name` that has ended and is not told yet.
    #[must_use]
    pub fn ended(&self, name: &Name) -> Option<Arc<Ended<C, R>>> {
        match lock(&self.slots).get(name) {
            Some(Slot::Ended(ended)) => Some(Arc::clone(ended)),
            _ => None,
        }
    }

    /// The report of `name` is told.
    pub fn told(&self, name: &Name) {
        let mut slots = lock(&self.slots);
        if matches!(slots.get(name), Some(Slot::Ended(_))) {
            slots.remove(name);
        }
        drop(slots);
        self.emptied.notify_waiters();
    }

    /// The check of `name` is to end: at once, or, where a mail may be on its way, as soon as that is settled.
    pub fn cancel(&self, name: &Name) {
        if let Some(Slot::Running { stopper, .. }) = lock(&self.slots).get(name) {
            stopper.stop();
        }
    }

    /// All checks are to end.
    pub fn cancel_all(&self) {
        for slot in lock(&self.slots).values() {
            if let Slot::Running { stopper, .. } = slot {
                stopper.stop();
            }
        }
    }

    /// `name` is gone: its check ends, and nobody wants its report.
    pub fn forget(&self, name: &Name) {
        // Dropping the stopper stops the check.
        lock(&self.slots).remove(name);
        self.emptied.notify_waiters();
    }

    /// Ends once no check runs and no report waits to be told.
    pub async fn empty(&self) {
        self.until(HashMap::is_empty).await;
    }

    /// Ends once no check runs.
    pub async fn quiet(&self) {
        self.until(|slots| !slots.values().any(|slot| matches!(slot, Slot::Running { .. }))).await;
    }

    async fn until(&self, holds: impl Fn(&HashMap<Name, Slot<C, R>>) -> bool) {
        loop {
            let emptied = self.emptied.notified();
            if holds(&lock(&self.slots)) {
                return;
            }
            emptied.await;
        }
    }

    fn begin(&self, name: &Name, uid: String, check: C) -> Stop {
        let (stopper, stop) = Stop::new();
        lock(&self.slots).insert(name.clone(), Slot::Running { check, uid, stopper });
        stop
    }

    /// The check `id` of `name` has come to its end; without a report nothing is told.
    fn end(&self, name: &Name, id: &str, report: Option<R>) {
        let mut slots = lock(&self.slots);
        // The object may be gone meanwhile, and another of its name be checked.
        if let Some(Slot::Running { check, uid, .. }) = slots.get(name).filter(|slot| slot.is_running(id)) {
            let (check, uid) = (check.clone(), uid.clone());
            match report {
                Some(report) => slots.insert(name.clone(), Slot::Ended(Arc::new(Ended { check, uid, report }))),
                None => slots.remove(name),
            };
        }
        drop(slots);
        self.emptied.notify_waiters();
    }
}

impl<C: Check, R> Slot<C, R> {
    fn is_running(&self, id: &str) -> bool {
        matches!(self, Self::Running { check, .. } if check.id() == id)
    }
}

/// Begins a check: `work`, which is told when to end. At its end the object is reconciled, and finds the report; without one
/// nothing is told.
pub fn start<K: Kind, W>(ctx: &Arc<Context<K>>, name: &Name, uid: String, check: K::Check, work: impl FnOnce(Stop) -> W)
where
    W: Future<Output = Option<K::Report>> + Send + 'static,
{
    let id = check.id().to_owned();
    let work = work(ctx.checks.begin(name, uid, check));
    let slot = Slotted { ctx: Arc::clone(ctx), name: name.clone(), id, report: None };
    let span = spans::check(K::KIND, name, &slot.id);
    let traced = span.clone();
    tokio::spawn(async move {
        let mut slot = slot;
        slot.report = work.instrument(span).await;
        if let Some(report) = &slot.report {
            spans::ended(&traced, K::failure(report));
        }
    });
}

/// A slot that is left however the check ends, also by a panic: the object would never be checked again otherwise.
struct Slotted<K: Kind> {
    ctx: Arc<Context<K>>,
    name: Name,
    id: String,
    report: Option<K::Report>,
}

impl<K: Kind> Drop for Slotted<K> {
    fn drop(&mut self) {
        self.ctx.checks.end(&self.name, &self.id, self.report.take());
        self.ctx.wake(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::v1alpha1::Level,
        verify::{
            Report,
            mail_server::{Check, Trigger},
        },
    };

    type Checks = super::Checks<Check, Report>;

    fn plan(id: &str) -> Check {
        Check {
            id: id.to_owned(),
            started: jiff::Timestamp::UNIX_EPOCH,
            trigger: Trigger::Due,
            level: Level::Connect,
            attempt: 1,
            may_greet_with_tls: false,
            generation: 1,
            inputs: String::new(),
            credentials: None,
            request: None,
        }
    }

    fn report() -> Report {
        Report::new(Level::Connect, "mail.example:25".to_owned())
    }

    #[tokio::test]
    async fn a_report_waits_until_it_is_told() {
        let (checks, name) = (Checks::default(), Name::new("mail", "relay"));
        let _stop = checks.begin(&name, String::new(), plan("1"));
        assert_eq!(checks.running(&name).unwrap().id, "1");
        checks.end(&name, "1", Some(report()));
        assert!(checks.running(&name).is_none());
        assert_eq!(checks.ended(&name).unwrap().check.id, "1");
        assert!(checks.ended(&name).is_some(), "a write that failed finds it again");
        checks.told(&name);
        checks.empty().await;
    }

    #[tokio::test]
    async fn a_cancelled_check_is_told_so_and_leaves_nothing() {
        let (checks, name) = (Checks::default(), Name::new("mail", "relay"));
        let stop = checks.begin(&name, String::new(), plan("1"));
        checks.cancel(&name);
        stop.stopped().await;
        checks.end(&name, "1", None);
        checks.empty().await;
    }

    #[tokio::test]
    async fn the_late_end_of_a_forgotten_check_does_not_touch_the_next_one() {
        let (checks, name) = (Checks::default(), Name::new("mail", "relay"));
        let first = checks.begin(&name, String::new(), plan("1"));
        checks.forget(&name);
        first.stopped().await;
        let _second = checks.begin(&name, String::new(), plan("2"));
        checks.end(&name, "1", Some(report()));
        assert_eq!(checks.running(&name).unwrap().id, "2");
    }
}
