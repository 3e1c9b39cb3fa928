//! What becomes of a mail that came in: if it is about a probe, a `ProbeReply` in the receivers' namespace. Mail is answered 250
//! only when that is there, under a name that the same finding always gets; a mail that comes again changes nothing.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Mutex,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
    core::DeserializeGuard,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    follow::Change,
    fresh::Fresh,
    probes::{Probe, Probes},
};
use crate::{
    api::{
        Reason,
        v1alpha1::{Failure, ProbeReply, ProbeReplySpec, RoundTripPolicy},
    },
    receiver::{Consumer, Inbound, Role, Verdict},
    runtime::{ApiError, Name, bounded, lock},
    verify::{
        mail_receiver::handing::{MANAGED_BY, RECEIVER_APP},
        round_trip::matching::{self, Answer},
    },
};

/// The most time that is spent on one mail; its client waits for ten minutes (RFC 5321 section 4.5.3.2.6).
const PATIENCE: Duration = Duration::from_secs(10);
/// The policies of one page of a list.
const PAGE: u32 = 50;

/// Whoever wants the answers to probes.
pub struct Answers {
    client: Client,
    /// Where replies are put.
    replies: Api<ProbeReply>,
    /// The namespaces of policies; all if empty.
    namespaces: Vec<String>,
    probes: Mutex<Probes>,
    fresh: Fresh,
}

impl Answers {
    /// Puts replies into `namespace`; `namespaces` are those of the policies, all if empty.
    #[must_use]
    pub fn new(client: Client, namespace: &str, namespaces: Vec<String>) -> Self {
        let replies = Api::namespaced(client.clone(), namespace);
        Self { client, replies, namespaces, probes: Mutex::default(), fresh: Fresh::default() }
    }

    /// Takes note of what the watch of policies brought.
    pub(super) fn hear(&self, change: Change<DeserializeGuard<RoundTripPolicy>>) {
        let mut probes = lock(&self.probes);
        match change {
            Change::Is(policy) => {
                if let Ok(policy) = &policy.0 {
                    probes.set(policy);
                }
            }
            Change::Gone(name) => probes.forget(&name),
            Change::Listed(scope, names) => probes.keep(scope.as_deref(), &names),
        }
    }

    async fn settle(&self, mail: &Inbound) -> Verdict {
        let ids = ids(mail);
        if ids.is_empty() {
            return Verdict::NotMine;
        }
        let receivers: BTreeSet<String> = mail.envelope.to.iter().map(|to| to.site.name.clone()).collect();
        let find = || lock(&self.probes).find(&ids, &receivers);
        let mut probe = find();
        if probe.is_none() {
            // A probe is claimed before it is sent: if it is one, the API server knows it. The watch may be behind.
            if !self.fresh.look(|| self.relearn()).await {
                return Verdict::Later("the API server could not be asked which probes there are".to_owned());
            }
            probe = find();
            self.fresh.came_to(probe.is_some());
        }
        let Some(probe) = probe else { return Verdict::NotMine };
        let Some(answer) = probe.expectation().judge(&mail.letter) else {
            tracing::debug!(id = mail.id, probe = %probe.id, "tells nothing of the probe that it is about");
            return Verdict::Taken;
        };
        self.put(&reply(mail, &probe, answer)).await
    }

    /// Reads all policies anew. Says whether that went well.
    async fn relearn(&self) -> bool {
        let scopes: Vec<Option<&str>> =
            if self.namespaces.is_empty() { vec![None] } else { self.namespaces.iter().map(|one| Some(one.as_str())).collect() };
        for scope in scopes {
            if let Err(error) = self.list(scope).await {
                tracing::warn!(%error, "RoundTripPolicies cannot be listed for the moment");
                return false;
            }
        }
        true
    }

    async fn list(&self, scope: Option<&str>) -> Result<(), ApiError> {
        let api: Api<DeserializeGuard<RoundTripPolicy>> = match scope {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let (mut names, mut params) = (BTreeSet::new(), ListParams::default().limit(PAGE));
        loop {
            let page = bounded(api.list(&params)).await?;
            let mut probes = lock(&self.probes);
            for policy in &page.items {
                names.insert(Name::of(policy));
                if let Ok(policy) = &policy.0 {
                    probes.set(policy);
                }
            }
            let Some(more) = page.metadata.continue_.filter(|more| !more.is_empty()) else {
                probes.keep(scope, &names);
                return Ok(());
            };
            params = params.continue_token(&more);
        }
    }

    async fn put(&self, reply: &ProbeReply) -> Verdict {
        let (name, spec) = (reply.name_any(), &reply.spec);
        match bounded(self.replies.create(&PostParams::default(), reply)).await {
            Ok(_) => {
                let failure = spec.failure.as_ref().map(|failure| failure.reason.as_str());
                tracing::info!(reply = name, policy = %Name::new(&spec.policy.namespace, &spec.policy.name), failure, "a probe's mail came");
                Verdict::Taken
            }
            // The same was found before: by another receiver, or in a mail whose client did not hear the answer.
            Err(error) if error.is_conflict() => Verdict::Taken,
            Err(error) => Verdict::Later(format!("ProbeReply {name} could not be made: {error}")),
        }
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}

impl Consumer for Answers {
    fn take<'a>(&'a self, mail: &'a Inbound) -> BoxFuture<'a, Verdict> {
        let late = || Verdict::Later(format!("the API server did not answer in {} s", PATIENCE.as_secs()));
        async move { timeout(PATIENCE, self.settle(mail)).await.unwrap_or_else(|_| late()) }.boxed()
    }
}

/// The ids of probes that a mail may be about, the strongest hint first: those that its addresses name before all others. Only
/// UUIDs of version 8 are ever ours (RFC 9562).
fn ids(mail: &Inbound) -> Vec<Uuid> {
    let tags = mail.envelope.to.iter().filter_map(|to| match &to.role {
        Role::Notify { tag } => tag.as_deref(),
        Role::Postmaster => None,
    });
    let tagged = tags.filter_map(|tag| Uuid::try_parse(tag).ok());
    let (mut known, ours) = (HashSet::new(), |id: &Uuid| id.get_version_num() == 8);
    tagged.chain(matching::ids(&mail.letter, None)).filter(ours).filter(|id| known.insert(*id)).collect()
}

fn reply(mail: &Inbound, probe: &Probe, answer: Answer) -> ProbeReply {
    let kind = kind(probe.is_late, answer.failure.as_ref().map(|failure| failure.reason));
    let mut reply = ProbeReply::new(
        &format!("{}-{kind}", probe.id),
        ProbeReplySpec {
            policy: probe.policy.reference.clone(),
            probe: probe.id.to_string(),
            received_at: mail.received.to_string(),
            failure: answer.failure.as_ref().map(Failure::of),
            rewritten_from: answer.rewritten_from,
        },
    );
    reply.labels_mut().insert(MANAGED_BY.to_owned(), RECEIVER_APP.to_owned());
    reply
}

/// The end of a reply's name: one for each thing that can be found of a probe, so that there are never more than a handful.
fn kind(is_late: bool, failure: Option<Reason>) -> &'static str {
    match failure {
        Some(Reason::MessageBounced) => "bounced",
        Some(Reason::MessageDelayed) => "delayed",
        None if is_late => "late",
        None => "reply",
        Some(_) if is_late => "late-wrong",
        Some(Reason::ReplyFromMismatch) => "from",
        Some(Reason::ReplySubjectMissing) => "subject",
        Some(Reason::ReplyBodyMissing) => "body",
        Some(_) => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_has_one_name_whenever_it_comes() {
        for (late, failure, name) in [
            (false, None, "reply"),
            (true, None, "late"),
            (true, Some(Reason::ReplyBodyMissing), "late-wrong"),
            (false, Some(Reason::ReplyFromMismatch), "from"),
            (false, Some(Reason::ReplySubjectMissing), "subject"),
            (false, Some(Reason::ReplyBodyMissing), "body"),
            (true, Some(Reason::MessageBounced), "bounced"),
            (false, Some(Reason::MessageDelayed), "delayed"),
        ] {
            assert_eq!(kind(late, failure), name);
        }
    }
}
