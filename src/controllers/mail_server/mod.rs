//! `MailServer`: the streams that bring an object to [`reconcile`], and the term as leader in which they run.
//!
//! An object is reconciled when its spec or annotations change, a Secret or `ConfigMap` that it names changes, its check
//! ends, a place is free, a pause begins or ends, or its time has come. Its own status brings it here no more.

pub mod checks;
pub mod context;
mod gate;
mod glance;
mod known;
mod malformed;
pub mod reconcile;

use std::{collections::HashSet, future::ready, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, future::join_all, stream};
use kube::{
    Api, Client,
    core::DeserializeGuard,
    runtime::{
        Controller, Predicate, WatchStreamExt, controller, predicates,
        reflector::{self, ObjectRef, store::Writer},
        watcher,
    },
};
use tokio::sync::{mpsc, watch};

use crate::{
    api::v1alpha1::MailServer,
    metrics::Objects,
    runtime::{
        Name,
        limits::Limits,
        secrets::{self, Access},
        stop::Stop,
    },
    server::Health,
};
use context::{Context, Ground};
use glance::Glance;
use known::Known;

/// The kind, in metrics.
const KIND: &str = "MailServer";
/// The controller, in metrics.
const CONTROLLER: &str = "mailserver";
/// What readiness waits for at the beginning of a term.
pub const FIRST_LIST: &str = "first list";
/// What readiness waits for where the kinds are not installed.
pub const CRDS: &str = "CRDs";
/// Reconciliations at once. They are short, as checks run beside them: this many requests to the API server at once.
const CONCURRENCY: u16 = 16;
/// How long checks and their reports may take to come to an end when a term does.
const DRAIN: Duration = Duration::from_secs(6);

/// An object, or why it cannot be read.
pub type Guarded = DeserializeGuard<MailServer>;

/// Leads until `stop`: looks after all objects. What then is under way is brought to an end.
pub async fn lead(ground: Ground, stop: Stop) {
    ground.health.pending(FIRST_LIST, "MailServers are being listed");
    let settings = Arc::clone(&ground.settings);
    let scopes: Vec<Option<String>> =
        if settings.namespaces.is_empty() { vec![None] } else { settings.namespaces.iter().cloned().map(Some).collect() };
    let (stores, writers): (Vec<_>, Vec<_>) = scopes.iter().map(|_| reflector::store::<Glance>()).unzip();
    let (wakes, woken): (Vec<_>, Vec<_>) = scopes.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let (limits, places) = Limits::new(settings.max_checks, settings.max_checks_per_host);
    // What still runs when this function ends is told to end by this being dropped.
    let (_ender, ends) = Stop::new();
    let (client, known) = (ground.client.clone(), Known::new(stores.clone()));
    let wakes = scopes.iter().cloned().zip(wakes).collect();
    let ctx = Arc::new(Context::new(ground, known, limits, wakes, ends));
    let objects: Arc<dyn Objects> = Arc::<Context>::clone(&ctx);
    ctx.ground.metrics.observe(Arc::downgrade(&objects));

    let (all, again) = watch::channel(());
    let parts = scopes.into_iter().zip(stores).zip(writers).zip(woken);
    let controllers = parts.map(|(((scope, store), writer), woken)| {
        let wakes = names(woken).map(|name| ObjectRef::new(&name.name).within(&name.namespace));
        Controller::for_stream(watch_objects(&ctx, &client, scope.as_deref(), writer), store)
            .with_config(controller::Config::default().concurrency(CONCURRENCY))
            .reconcile_on(wakes)
            .reconcile_all_on(ticks(again.clone()))
            .run(reconcile::reconcile, |object, error, ctx| reconcile::error_policy(&object, error, &ctx), Arc::clone(&ctx))
            .for_each(async |result| log(&result))
    });
    let controllers = join_all(controllers);
    let feeds = async {
        let pauses = ctx.pause.follow(client.clone(), &settings.namespace);
        let changes = match settings.access {
            Access::Watch => secrets::watched(&client, &settings.namespaces, &ctx.uses).boxed(),
            Access::Get => secrets::looked_at(&client, &ctx.uses).boxed(),
        };
        tokio::join!(
            // Asked for here as well, as a cluster without objects has nobody else to ask.
            ctx.ready(),
            pauses.for_each(async |()| all.send_replace(())),
            wake_each(names(places), &ctx),
            wake_each(changes, &ctx),
        );
    };
    let end = async {
        stop.stopped().await;
        drain(&ctx).await;
    };
    // Reconciliations that are cut off here have no report to tell: a write of theirs arrived whole, or not at all.
    tokio::select! {
        _ = controllers => {}
        () = feeds => {}
        () = end => {}
    }
    ctx.ground.health.done(FIRST_LIST);
}

/// Begins nothing more, tells checks to end, and waits for their reports to be told. Without the Lease none can be told:
/// then only a mail that is on its way is waited for.
async fn drain(ctx: &Context) {
    ctx.drain();
    ctx.checks.cancel_all();
    let quiet = async {
        if ctx.ground.fence.held() {
            ctx.checks.empty().await;
        } else {
            ctx.checks.quiet().await;
        }
    };
    if tokio::time::timeout(DRAIN, quiet).await.is_err() {
        tracing::warn!("checks are cut short: a mail on its way will be told as DeliveryUncertain");
    }
}

/// The objects of a scope whose spec or annotations changed. The store is filled on the way, and whatever depends on
/// objects that come and go is told.
fn watch_objects(
    ctx: &Arc<Context>,
    client: &Client,
    scope: Option<&str>,
    writer: Writer<Glance>,
) -> impl Stream<Item = Result<Glance, watcher::Error>> + Send + 'static + use<> {
    let api: Api<Glance> = match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let (ctx, scope, mut listed) = (Arc::clone(ctx), scope.map(ToOwned::to_owned), HashSet::new());
    // Pages are small, or a list of thousands would be in memory as JSON and as objects at once.
    watcher(api, watcher::Config::default().page_size(50))
        .default_backoff()
        .reflect(writer)
        .inspect(move |event| match event {
            Ok(event) => {
                if matches!(event, watcher::Event::InitDone) {
                    ctx.ground.health.done(CRDS);
                }
                let news = ctx.known.note(event, &mut listed, scope.as_deref());
                news.gone.iter().for_each(|name| ctx.forget(name));
                news.again.iter().for_each(|name| ctx.wake(name));
            }
            Err(error) => watch_failed(error, &ctx.ground.health),
        })
        .applied_objects()
        // Statuses change without either: our own writes bring nobody back here.
        .predicate_filter(predicates::generation.combine(predicates::annotations), kube::runtime::PredicateConfig::default())
        // An error would hold up every other trigger of the controller as well.
        .filter_map(|result| ready(result.ok().map(Ok)))
}

fn watch_failed(error: &watcher::Error, health: &Health) {
    let missing = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    };
    if missing {
        health.pending(CRDS, "mailservers.mailverity.dev is not installed");
    }
    tracing::warn!(%error, "MailServers cannot be watched for the moment");
}

/// Wakes those whom the stream names.
async fn wake_each(names: impl Stream<Item = Name>, ctx: &Context) {
    let mut names = std::pin::pin!(names);
    while let Some(name) = names.next().await {
        ctx.wake(&name);
    }
}

/// What a channel brings, as a stream.
fn names(receiver: mpsc::UnboundedReceiver<Name>) -> impl Stream<Item = Name> + Send + 'static {
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

/// One item each time that a value was sent anew.
fn ticks(receiver: watch::Receiver<()>) -> impl Stream<Item = ()> + Send + 'static {
    stream::unfold(receiver, async |mut receiver| {
        receiver.changed().await.ok()?;
        Some(((), receiver))
    })
}

/// What the controller says beyond what [`reconcile::error_policy`] has said already.
fn log<T>(result: &Result<T, controller::Error<reconcile::Error, watcher::Error>>) {
    match result {
        // One that is not found was deleted between the wish to look at it and the look.
        Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(%error, "the controller"),
    }
}
