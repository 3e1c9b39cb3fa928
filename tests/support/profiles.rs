//! `EmailProfile`s of a test's own namespace: applied, looked at, waited for.

use std::time::{Duration, Instant};

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use mailverity::api::v1alpha1::{EmailProfile, EmailProfileStatus, ProfileActorState, ProfileActorStatus};
use serde_json::{Value, json};

use super::{cluster::Cluster, stack::Stack};

const PATIENCE: Duration = Duration::from_secs(90);

impl Cluster {
    pub fn profiles(&self) -> Api<EmailProfile> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// An `EmailProfile`.
    pub async fn profile(&self, name: &str, spec: Value) {
        self.apply(
            json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "EmailProfile", "metadata": {"name": name}, "spec": spec}),
        )
        .await;
    }

    /// Merges into a profile.
    pub async fn patch_profile(&self, name: &str, patch: Value) {
        self.profiles().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Asks for a run.
    pub async fn ask_profile(&self, name: &str, value: &str) {
        self.patch_profile(name, json!({"metadata": {"annotations": {"mailverity.dev/verify-requested-at": value}}})).await;
    }

    pub async fn profile_status(&self, name: &str) -> EmailProfileStatus {
        self.profiles().get(name).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until a profile's status is as `ready` says; fails with the last one.
    pub async fn profile_when(&self, name: &str, what: &str, ready: impl Fn(&EmailProfileStatus) -> bool) -> EmailProfileStatus {
        self.profile_within(PATIENCE, name, what, ready).await
    }

    /// The same with more patience, or less.
    pub async fn profile_within(
        &self,
        patience: Duration,
        name: &str,
        what: &str,
        ready: impl Fn(&EmailProfileStatus) -> bool,
    ) -> EmailProfileStatus {
        let end = Instant::now() + patience;
        loop {
            let status = self.profile_status(name).await;
            if ready(&status) {
                return status;
            }
            assert!(Instant::now() < end, "{name}: not {what}: {}", serde_json::to_string_pretty(&status).unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the sessions that found something are over: the verdict is told before the mail is removed.
    pub async fn profile_left(&self, name: &str) -> EmailProfileStatus {
        self.profile_when(name, "left", |status| {
            let found = |actor: &&ProfileActorStatus| actor.state == ProfileActorState::Verified;
            status.actors.iter().filter(found).all(|actor| actor.checks.iter().any(|stage| stage.name == "QUIT"))
        })
        .await
    }

    /// Waits until no mail with this in its text is left, anywhere in a mailbox.
    pub async fn removed(&self, stack: &Stack, user: &str, part: &str) {
        let left = async || {
            let left = stack.everywhere(user, part);
            if left.is_empty() { None } else { Some(left) }
        };
        let end = Instant::now() + PATIENCE;
        while let Some(left) = left().await {
            assert!(Instant::now() < end, "{user}: {} mails of ours are left: {left:#?}", left.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a condition of a profile has this status and reason.
    pub async fn profile_condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> EmailProfileStatus {
        let what = format!("{kind}={status} {reason}");
        self.profile_when(name, &what, |seen| says(seen, kind, status, reason)).await
    }
}

/// Whether each actor has found the mail of the run that the status tells of. `Verified` and the summary alone do not say so:
/// they stand from the run before until there is news.
pub fn found_by_all(status: &EmailProfileStatus) -> bool {
    let run = status.verification.as_ref().map(|run| run.run_id.as_str());
    let found = |actor: &ProfileActorStatus| {
        let sent = status.claims.iter().any(|claim| claim.actor == actor.name && Some(claim.id.as_str()) == run);
        sent && actor.state == ProfileActorState::Verified
    };
    !status.actors.is_empty() && status.actors.iter().all(found)
}

/// Whether a condition has this status and reason.
pub fn says(status: &EmailProfileStatus, kind: &str, value: &str, reason: &str) -> bool {
    status.conditions.iter().any(|c| c.type_ == kind && c.status == value && c.reason == reason)
}
