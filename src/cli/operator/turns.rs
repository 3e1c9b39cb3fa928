//! The turns of a replica: it waits for its kinds and its key, takes part in the election, and leads whenever it is its turn.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use kube::Client;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    controllers::{self, Entry, Ground, Memory, Settings, definition, lead},
    metrics::Metrics,
    runtime::{
        election::{Election, Role},
        key,
        stop::Stop,
    },
    server::Health,
    verify::{fingerprint::Key, tokens::Tokens},
};

/// How long the end of the process waits for refresh tokens that are on their way. It has 10 s in all.
const KEEPING: Duration = Duration::from_secs(3);

/// Takes part in the election, and leads whenever it is our turn, until `stop`.
pub(super) async fn lead_in_turn(
    client: Client,
    settings: Arc<Settings>,
    metrics: Metrics,
    health: Health,
    memory: Memory,
    stop: Stop,
) {
    let kinds = controllers::kinds();
    let installed = kinds.iter().map(|kind| {
        let (what, client, namespace) = (definition(kind.kind), client.clone(), settings.namespaces.first().cloned());
        health.pending(what.clone(), "the API server was not asked yet");
        until(&health, what, move || kind.installed(client.clone(), namespace.clone()))
    });
    let mut installed: FuturesUnordered<_> = installed.collect();
    let begun = async {
        // One kind is enough to begin. The others are looked after as soon as they are installed.
        installed.next().await;
        until(&health, "key", || key::of_installation(client.clone(), &settings.namespace)).await
    };
    let key: Key = tokio::select! {
        key = begun => key,
        () = stop.stopped() => return,
    };
    let me = format!("{}_{}", settings.identity, Uuid::new_v4());
    let (election, fence, roles) = Election::new(client.clone(), &settings.namespace, &settings.installation, me, settings.pace);
    let (election_stopper, election_stop) = Stop::new();
    let election = tokio::spawn(election.run(election_stop));
    let tokens = Arc::new(Tokens::new(settings.https.clone()));
    let ground = Ground { settings, client, fence, key, metrics, health: health.clone(), memory, tokens };
    let others = async {
        while installed.next().await.is_some() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = take_turns(&kinds, &ground, roles, &stop) => {}
        () = others => {}
    }
    // A refresh token that is on its way is kept before another may ask for the next.
    let _ = tokio::time::timeout(KEEPING, ground.tokens.close()).await;
    election_stopper.stop();
    // It gives the Lease back, so that another need not wait for its end.
    let _ = tokio::time::timeout(Duration::from_secs(2), election).await;
}

/// Leads whenever it is our turn, until `stop`.
async fn take_turns(kinds: &[Entry], ground: &Ground, mut roles: watch::Receiver<Role>, stop: &Stop) {
    loop {
        let role = roles.borrow_and_update().clone();
        show(&role, ground);
        if role == Role::Leader {
            let (term_stopper, term_stop) = Stop::new();
            let over = async {
                tokio::select! {
                    () = stop.stopped() => {}
                    // What is still under way may take a while to end; that it does not lead is true at once.
                    lost = roles.wait_for(|role| *role != Role::Leader) => if let Ok(lost) = lost {
                        show(&lost, ground);
                    },
                }
                term_stopper.stop();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = lead(kinds, ground.clone(), term_stop) => {}
                () = over => {}
            }
            if !stop.is_stopped() {
                tracing::warn!("the lease is lost; goes on as a follower");
                continue;
            }
        }
        tokio::select! {
            () = stop.stopped() => break,
            changed = roles.changed() => if changed.is_err() { break },
        }
    }
}

/// Tells who leads, in metrics and readiness.
fn show(role: &Role, ground: &Ground) {
    ground.metrics.leads(*role == Role::Leader);
    if *role == Role::Unknown {
        ground.health.pending("lease", "who leads is not known yet");
    } else {
        ground.health.done("lease");
    }
    ground.health.role(match role {
        Role::Unknown => "not known yet".to_owned(),
        Role::Follower { leader } if leader.is_empty() => "follower".to_owned(),
        Role::Follower { leader } => format!("follower of {leader}"),
        Role::Leader => "leader".to_owned(),
    });
}

/// Asks until it is answered, with back-off; readiness says what is waited for and why.
async fn until<T, E, F>(health: &Health, what: impl Into<String>, mut ask: impl FnMut() -> F) -> T
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let (what, mut wait) = (what.into(), Duration::from_millis(500));
    loop {
        match ask().await {
            Ok(answer) => {
                health.done(&what);
                return answer;
            }
            Err(error) => {
                tracing::warn!(%error, ?wait, "waits for {what}");
                health.pending(what.clone(), error.to_string());
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(10));
    }
}
