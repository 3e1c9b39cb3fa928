//! What receivers took that is about our probes: watched in their namespace, told to the policy that it is for, and deleted once a
//! status holds what is to be said of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::DeleteParams,
    core::DeserializeGuard,
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::Notify;

use super::Context;
use crate::{
    api::v1alpha1::{ProbeReply, RoundTripPolicy},
    controllers::{glance::Glance, term::Looked},
    runtime::{ApiError, Name, bounded, lock},
    verify::round_trip::{Came, matching::Answer},
};

/// How long one watch lasts, in seconds.
const WATCH: u32 = 60;
/// How often what came for policies that are gone is looked for.
const SWEEP: Duration = Duration::from_mins(10);

/// What is known of what receivers took.
#[derive(Debug, Default)]
pub struct Replies {
    /// By the name of the `ProbeReply`: whose it is, and what it says.
    all: Mutex<HashMap<String, Reply>>,
    awaited: Notify,
}

#[derive(Clone, Debug)]
struct Reply {
    policy: Name,
    uid: String,
    came: Came,
}

impl Replies {
    /// There is a policy whose answers come to a receiver.
    pub fn are_awaited(&self) {
        self.awaited.notify_one();
    }

    /// What came for a policy: with the name that each is forgotten by.
    #[must_use]
    pub fn of(&self, policy: &Name, uid: &str) -> Vec<(Option<String>, Came)> {
        let all = lock(&self.all);
        let mine = all.iter().filter(|(_, reply)| reply.policy == *policy && reply.uid == uid);
        let mut mine: Vec<_> = mine.map(|(name, reply)| (Some(name.clone()), reply.came.clone())).collect();
        mine.sort_by(|one, other| (one.1.received, &one.0).cmp(&(other.1.received, &other.0)));
        mine
    }

    /// Takes note of one. Returns whose it is; none where it cannot be read.
    fn note(&self, reply: &ProbeReply) -> Option<(Name, String)> {
        let (name, spec) = (reply.name_any(), &reply.spec);
        let received = spec.received_at.parse().ok()?;
        let failure = spec.failure.as_ref().map(|failure| failure.diagnosis(false));
        let answer = Answer { failure, rewritten_from: spec.rewritten_from.clone() };
        let policy = Name::new(&spec.policy.namespace, &spec.policy.name);
        let reply = Reply {
            policy: policy.clone(),
            uid: spec.policy.uid.clone(),
            came: Came { probe: spec.probe.clone(), received, answer },
        };
        lock(&self.all).insert(name, reply);
        Some((policy, spec.policy.uid.clone()))
    }

    /// What is for a policy that is not `known`: its name, whose it is and which.
    fn unknown(&self, known: impl Fn(&Name) -> bool) -> Vec<(String, Name, String)> {
        let all = lock(&self.all);
        let strange = all.iter().filter(|(_, reply)| !known(&reply.policy));
        strange.map(|(name, reply)| (name.clone(), reply.policy.clone(), reply.uid.clone())).collect()
    }

    fn forget(&self, name: &str) {
        lock(&self.all).remove(name);
    }
}

/// Watches what receivers take, as soon as a policy waits for it.
pub async fn follow(ctx: &Context) {
    let namespace = ctx.settings().receiver_namespace.clone();
    if namespace.is_empty() {
        return std::future::pending().await;
    }
    ctx.own.replies.awaited.notified().await;
    // Whose policy is not known yet would be taken for one of nobody.
    ctx.ready().await;
    let api: Api<DeserializeGuard<ProbeReply>> = Api::namespaced(ctx.term.ground.client.clone(), &namespace);
    // Often enough begun anew that one which has silently died is noticed in time.
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default().timeout(WATCH)).default_backoff());
    let mut sweeps = tokio::time::interval(SWEEP);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = sweeps.tick() => {
                sweep(ctx).await;
                continue;
            }
        };
        let Some(event) = event else { return };
        match event {
            Ok(watcher::Event::Apply(reply) | watcher::Event::InitApply(reply)) => came(reply, ctx).await,
            Ok(watcher::Event::Delete(reply)) => ctx.own.replies.forget(&reply.name_any()),
            Ok(watcher::Event::Init) => {}
            Ok(watcher::Event::InitDone) => sweep(ctx).await,
            Err(error) => {
                tracing::warn!(%error, namespace, "what receivers take cannot be watched for the moment");
            }
        }
    }
}

async fn came(reply: DeserializeGuard<ProbeReply>, ctx: &Context) {
    let name = reply.name_any();
    // One that cannot be read may be of a newer version: it is left to whoever can.
    let Some((policy, uid)) = reply.0.ok().and_then(|reply| ctx.own.replies.note(&reply)) else { return };
    let known = |known: Arc<Glance<RoundTripPolicy>>| known.metadata.uid.as_deref() == Some(uid.as_str());
    if ctx.known.get(&policy).is_some_and(known) {
        ctx.wake(&policy);
    } else if is_orphan(&policy, &uid, ctx).await {
        tracing::debug!(reply = name, "is for nobody");
        delete(&name, ctx).await;
    }
}

/// Whether a policy that we look after is gone, or another of its name has taken its place. What other installations look after is
/// none of ours.
async fn is_orphan(policy: &Name, uid: &str, ctx: &Context) -> bool {
    let namespaces = &ctx.settings().namespaces;
    if !namespaces.is_empty() && !namespaces.contains(&policy.namespace) {
        return false;
    }
    match ctx.read(policy).await {
        Ok(None) => true,
        Ok(Some(found)) => found.0.is_ok_and(|found| found.metadata.uid.as_deref() != Some(uid)),
        Err(_) => false,
    }
}

/// Deletes what came for policies that are gone since.
async fn sweep(ctx: &Context) {
    for (name, policy, uid) in ctx.own.replies.unknown(|policy| ctx.known.get(policy).is_some()) {
        if is_orphan(&policy, &uid, ctx).await {
            delete(&name, ctx).await;
        }
    }
}

/// Asks the API server itself what was taken that settles a probe: before it is settled because its time is over, as the watch may be
/// behind, or not there at all.
///
/// # Errors
/// That it could not be asked: nobody knows then that no answer came.
pub async fn ask(probe: &str, ctx: &Context) -> Result<(), ApiError> {
    let api: Api<DeserializeGuard<ProbeReply>> =
        Api::namespaced(ctx.term.ground.client.clone(), &ctx.settings().receiver_namespace);
    for settles in ["reply", "bounced"] {
        let Some(found) = bounded(api.get_opt(&format!("{probe}-{settles}"))).await? else { continue };
        if let Ok(reply) = found.0 {
            ctx.own.replies.note(&reply);
        }
    }
    Ok(())
}

/// Deletes what a status holds. What could not be deleted comes again, and is told already.
pub async fn delete(name: &str, ctx: &Context) {
    let namespace = &ctx.settings().receiver_namespace;
    let api: Api<ProbeReply> = Api::namespaced(ctx.term.ground.client.clone(), namespace);
    match bounded(api.delete(name, &DeleteParams::default())).await {
        Err(error) if !ApiError::is_gone(&error) => tracing::warn!(reply = name, %error, "could not be deleted"),
        _ => ctx.own.replies.forget(name),
    }
}
