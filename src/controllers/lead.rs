//! A term as leader: every kind is looked after at once, in one term with one set of bounds, until the term ends; then all of
//! them come to an end together.

use std::{sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt, join_all};
use kube::{Api, Client, api::ListParams, core::PartialObjectMeta};

use super::{
    actors,
    ground::Ground,
    kind::{Kind, crd},
    streams::{self, each, received},
    term::{Looked, Term},
};
use crate::{
    metrics::Objects,
    runtime::{ApiError, bounded, limits::Limits, stop::Stop},
};

/// How long checks and their reports may take to come to an end when a term does.
const DRAIN: Duration = Duration::from_secs(6);

/// A kind in the list of all.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The kind, such as `MailServer`.
    pub kind: &'static str,
    start: fn(&Arc<Term>) -> Started,
    installed: fn(Client, Option<String>) -> BoxFuture<'static, Result<(), String>>,
}

/// A kind that is looked after, and the work of doing so.
pub(super) type Started = (Arc<dyn Looked>, BoxFuture<'static, ()>);

impl Entry {
    /// The kind `K`.
    #[must_use]
    pub fn of<K: Kind>() -> Self {
        Self { kind: K::KIND, start: streams::start::<K>, installed: installed::<K> }
    }

    /// Asks whether the kind is installed, in `namespace` if there is no right to ask for all.
    ///
    /// # Errors
    /// Why not, or why it cannot be told, in one line.
    pub async fn installed(&self, client: Client, namespace: Option<String>) -> Result<(), String> {
        (self.installed)(client, namespace).await
    }
}

/// Leads until `stop`: looks after all objects of `kinds`. What then is under way is brought to an end.
pub async fn lead(kinds: &[Entry], ground: Ground, stop: Stop) {
    let (settings, client) = (Arc::clone(&ground.settings), ground.client.clone());
    let (limits, places) = Limits::new(settings.max_checks, settings.max_checks_per_host);
    // What still runs when this function ends is told to end by this being dropped.
    let (_ender, ends) = Stop::new();
    let term = Arc::new(Term::new(ground, limits, ends));
    let objects: Arc<dyn Objects> = Arc::<Term>::clone(&term);
    term.ground.metrics.observe(Arc::downgrade(&objects));
    let (looked, work): (Vec<_>, Vec<_>) = kinds.iter().map(|kind| (kind.start)(&term)).unzip();
    term.meet(&looked);

    let feeds = async {
        let pauses = term.pause.follow(client, &settings.namespace);
        tokio::join!(
            actors::follow(&term),
            each(pauses, |()| term.all.send_replace(())),
            each(received(places), |who| term.wake(&who)),
        );
    };
    let end = async {
        stop.stopped().await;
        drain(&term).await;
    };
    // Reconciliations that are cut off here have no report to tell: a write of theirs arrived whole, or not at all.
    tokio::select! {
        _ = join_all(work) => {}
        () = feeds => {}
        () = end => {}
    }
    for kind in kinds {
        for waited in [first_list(kind.kind), definition(kind.kind)] {
            term.ground.health.done(&waited);
        }
    }
}

/// Begins nothing more, tells checks to end, and waits for their reports to be told. Without the Lease none can be told:
/// then only a mail that is on its way is waited for.
async fn drain(term: &Term) {
    if tokio::time::timeout(DRAIN, term.drain()).await.is_err() {
        tracing::warn!("checks are cut short: a mail on its way will be told as DeliveryUncertain");
    }
}

/// What readiness waits for at the beginning of a term.
#[must_use]
pub fn first_list(kind: &str) -> String {
    format!("first list of {kind}s")
}

/// What readiness waits for where a kind is not installed.
#[must_use]
pub fn definition(kind: &str) -> String {
    format!("CRD of {kind}")
}

fn installed<K: Kind>(client: Client, namespace: Option<String>) -> BoxFuture<'static, Result<(), String>> {
    async move {
        let api: Api<PartialObjectMeta<K::Object>> = match namespace {
            Some(namespace) => Api::namespaced(client, &namespace),
            None => Api::all(client),
        };
        match bounded(api.list(&ListParams::default().limit(1))).await {
            Ok(_) => Ok(()),
            Err(error) if ApiError::is_gone(&error) => Err(not_installed::<K>()),
            Err(error) => Err(error.to_string()),
        }
    }
    .boxed()
}

/// What readiness says of a kind that the API server does not know.
pub(super) fn not_installed<K: Kind>() -> String {
    format!("{} is not installed", crd::<K>())
}
