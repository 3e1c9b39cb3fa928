//! The streams that bring the objects of one kind to [`super::reconcile`].
//!
//! An object is reconciled when its spec or annotations change, a Secret or `ConfigMap` that it refers to changes, an object
//! that it names changes, its check ends, a place is free, a pause begins or ends, or its time has come. Its own status
//! brings it here no more.

use std::{collections::HashSet, future::ready, sync::Arc};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, join_all},
    stream,
};
use kube::{
    Api, Client,
    runtime::{
        Controller, Predicate, WatchStreamExt, controller, predicates,
        reflector::{self, ObjectRef, store::Writer},
        watcher,
    },
};
use tokio::sync::{mpsc, watch};

use super::{
    context::Context,
    glance::Glance,
    kind::Kind,
    known::Known,
    lead::{Started, definition, first_list, not_installed},
    reconcile::{Error, error_policy, reconcile},
    term::{Looked, Term},
};
use crate::runtime::{
    Name,
    secrets::{self, Access},
};

/// Reconciliations at once. They are short, as checks run beside them: this many requests to the API server at once.
const CONCURRENCY: u16 = 16;

/// A kind in a term that begins, and the work of looking after it, which does nothing before it is awaited.
pub(super) fn start<K: Kind>(term: &Arc<Term>) -> Started {
    let scopes = term.settings().scopes();
    let (stores, writers): (Vec<_>, Vec<_>) = scopes.iter().map(|_| reflector::store::<Glance<K::Object>>()).unzip();
    let (wakes, woken): (Vec<_>, Vec<_>) = scopes.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let wakes = scopes.iter().cloned().zip(wakes).collect();
    let ctx = Arc::new(Context::<K>::new(Arc::clone(term), Known::new(stores.clone()), wakes));
    term.ground.health.pending(first_list(K::KIND), format!("{}s are being listed", K::KIND));

    let parts = scopes.into_iter().zip(stores).zip(writers).zip(woken);
    let controllers = parts.map(|(((scope, store), writer), woken)| {
        let wakes = received(woken).map(|name: Name| ObjectRef::new(&name.name).within(&name.namespace));
        Controller::for_stream(objects(&ctx, scope, writer), store)
            .with_config(controller::Config::default().concurrency(CONCURRENCY))
            .reconcile_on(wakes)
            .reconcile_all_on(ticks(term.all.subscribe()))
            .run(reconcile, |object, error, ctx| error_policy(&object, error, &ctx), Arc::clone(&ctx))
            .for_each(async |result| log(&result))
            .boxed()
    });
    let work = look_after(Arc::clone(&ctx), controllers.collect()).boxed();
    (ctx, work)
}

async fn look_after<K: Kind>(ctx: Arc<Context<K>>, controllers: Vec<BoxFuture<'static, ()>>) {
    let (settings, client) = (Arc::clone(&ctx.term.ground.settings), &ctx.term.ground.client);
    let changes = match settings.access {
        Access::Watch => secrets::watched(client, &settings.namespaces, &ctx.uses).boxed(),
        Access::Get => secrets::looked_at(client, &ctx.uses).boxed(),
    };
    let feeds = async {
        // Asked for here as well, as a kind without objects has nobody else to ask.
        tokio::join!(ctx.ready(), each(changes, |name| ctx.wake(&name)), K::beside(&ctx));
    };
    tokio::select! {
        _ = join_all(controllers) => {}
        () = feeds => {}
    }
}

/// The objects of a scope whose spec or annotations changed. The store is filled on the way, and whatever depends on
/// objects that come and go is told.
fn objects<K: Kind>(
    ctx: &Arc<Context<K>>,
    scope: Option<String>,
    writer: Writer<Glance<K::Object>>,
) -> impl Stream<Item = Result<Glance<K::Object>, watcher::Error>> + Send + 'static + use<K> {
    let client: Client = ctx.term.ground.client.clone();
    let api: Api<Glance<K::Object>> = match &scope {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let (ctx, mut listed) = (Arc::clone(ctx), HashSet::new());
    // Pages are small, or a list of thousands would be in memory as JSON and as objects at once.
    watcher(api, watcher::Config::default().page_size(50))
        .default_backoff()
        .reflect(writer)
        .inspect(move |event| match event {
            Ok(event) => {
                if matches!(event, watcher::Event::InitDone) {
                    ctx.term.ground.health.done(&definition(K::KIND));
                }
                ctx.note(event, &mut listed, scope.as_deref());
            }
            Err(error) => watch_failed(error, &ctx),
        })
        .applied_objects()
        // Statuses change without either: our own writes bring nobody back here.
        .predicate_filter(predicates::generation.combine(predicates::annotations), kube::runtime::PredicateConfig::default())
        // An error would hold up every other trigger of the controller as well.
        .filter_map(|result| ready(result.ok().map(Ok)))
}

fn watch_failed<K: Kind>(error: &watcher::Error, ctx: &Context<K>) {
    let missing = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    };
    if missing {
        ctx.term.ground.health.pending(definition(K::KIND), not_installed::<K>());
        ctx.missing.send_replace(true);
    }
    tracing::warn!(%error, "{}s cannot be watched for the moment", K::KIND);
}

/// What a channel brings, as a stream.
pub(super) fn received<T: Send + 'static>(receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

/// Calls `then` with each item that the stream brings.
pub(super) async fn each<T>(items: impl Stream<Item = T>, mut then: impl FnMut(T)) {
    let mut items = std::pin::pin!(items);
    while let Some(item) = items.next().await {
        then(item);
    }
}

/// One item each time that a value was sent anew.
fn ticks(receiver: watch::Receiver<()>) -> impl Stream<Item = ()> + Send + 'static {
    stream::unfold(receiver, async |mut receiver| {
        receiver.changed().await.ok()?;
        Some(((), receiver))
    })
}

/// What the controller says beyond what [`error_policy`] has said already.
fn log<T>(result: &Result<T, controller::Error<Error, watcher::Error>>) {
    match result {
        // One that is not found was deleted between the wish to look at it and the look.
        Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(%error, "the controller"),
    }
}
