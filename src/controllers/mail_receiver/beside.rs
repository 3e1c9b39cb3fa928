//! The receivers' signs of life: their Leases, judged by when we see them change. Whoever comes or goes wakes all objects; and
//! certificates that nobody wants any more are swept away.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use super::{Context, handing};
use crate::{
    controllers::term::Looked,
    runtime::{Name, lock},
    verify::mail_receiver::presence::{LABEL, RECEIVER},
};

/// How soon a sweep that failed is tried again.
const AGAIN: Duration = Duration::from_secs(20);

/// Follows them for as long as the term lasts.
pub(super) async fn follow(ctx: Arc<Context>) {
    let namespace = ctx.settings().receiver_namespace.clone();
    if namespace.is_empty() {
        ctx.own.heard.send_replace(true);
        return;
    }
    tokio::join!(leases(&ctx, &namespace), sweeps(&ctx));
}

async fn leases(ctx: &Arc<Context>, namespace: &str) {
    let api: Api<Lease> = Api::namespaced(ctx.term.ground.client.clone(), namespace);
    let config = watcher::Config::default().labels(&format!("{LABEL}={RECEIVER}"));
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut listed = HashSet::new();
    loop {
        let silence = lock(&ctx.own.pulses).next_silence(Instant::now());
        let silence = silence.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        let changed = tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => take(ctx, event, &mut listed),
                Some(Err(error)) => {
                    let missing = matches!(&error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if [403, 404].contains(&status.code));
                    // Where nobody wants mail taken in there need not be any.
                    if !ctx.known.all().is_empty() {
                        tracing::warn!(%error, namespace, "the receivers' Leases cannot be watched for the moment");
                    }
                    // Without the right to see them there are none, as far as anybody can tell.
                    missing && !ctx.own.heard.send_replace(true)
                }
                None => return,
            },
            // Somebody has fallen silent.
            () = tokio::time::sleep(silence) => true,
        };
        if changed {
            for object in ctx.known.all() {
                ctx.wake(&Name::of(&*object));
            }
        }
    }
}

/// Takes note of an event. Says whether a receiver came or went.
fn take(ctx: &Context, event: watcher::Event<Lease>, listed: &mut HashSet<String>) -> bool {
    let (mut pulses, now) = (lock(&ctx.own.pulses), Instant::now());
    match event {
        watcher::Event::Init => {
            listed.clear();
            false
        }
        watcher::Event::InitApply(lease) => {
            listed.insert(lease.name_any());
            pulses.beat(&lease.name_any(), said(&lease), now)
        }
        watcher::Event::InitDone => {
            let went = pulses.keep(|lease| listed.contains(lease));
            let first = !ctx.own.heard.send_replace(true);
            went || first
        }
        watcher::Event::Apply(lease) => pulses.beat(&lease.name_any(), said(&lease), now),
        watcher::Event::Delete(lease) => pulses.beat(&lease.name_any(), None, now),
    }
}

/// What a Lease says; nothing where it was given back.
fn said(lease: &Lease) -> Option<String> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty())?;
    Some(format!("{holder} {:?}", spec.renew_time))
}

async fn sweeps(ctx: &Arc<Context>) {
    ctx.ready().await;
    loop {
        let swept = ctx.own.sweep.notified();
        let failed = match handing::sweep(ctx).await {
            Ok(()) => false,
            Err(error) => {
                tracing::debug!(%error, "certificates could not be swept");
                true
            }
        };
        tokio::select! {
            () = swept => {}
            () = tokio::time::sleep(if failed { AGAIN } else { Duration::MAX }) => {}
        }
    }
}
