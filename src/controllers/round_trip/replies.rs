//! What receivers took that is about our probes: watched in their namespace, told to the policy that it is for, and deleted once a
//! status holds what is to be said of it.

use std::{collections::HashMap, sync::Mutex};

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
    api::v1alpha1::ProbeReply,
    controllers::term::Looked,
    runtime::{ApiError, Name, bounded, lock},
    verify::round_trip::{Came, matching::Answer},
};

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
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(reply) | watcher::Event::InitApply(reply)) => came(reply, ctx).await,
            Ok(watcher::Event::Delete(reply)) => ctx.own.replies.forget(&reply.name_any()),
            Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
            Err(error) => {
                tracing::warn!(%error, namespace, "what receivers take cannot be watched for the moment");
            }
        }
    }
}

async fn came(reply: DeserializeGuard<ProbeReply>, ctx: &Context) {
    let name = reply.name_any();
    let noted = reply.0.ok().and_then(|reply| ctx.own.replies.note(&reply));
    let known = noted
        .filter(|(policy, uid)| ctx.known.get(policy).is_some_and(|policy| policy.metadata.uid.as_deref() == Some(uid.as_str())));
    if let Some((policy, _)) = known {
        ctx.wake(&policy);
    } else {
        tracing::debug!(reply = name, "is for nobody");
        delete(&name, ctx).await;
    }
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
