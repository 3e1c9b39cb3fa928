//! Policies of a test, and what is told of them.

use std::time::{Duration, Instant};

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use mailverity::api::v1alpha1::{RoundTripPolicy, RoundTripPolicyStatus};
use serde_json::{Value, json};

use super::cluster::Cluster;

const PATIENCE: Duration = Duration::from_secs(90);

impl Cluster {
    pub fn policies(&self) -> Api<RoundTripPolicy> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A `RoundTripPolicy`.
    pub async fn policy(&self, name: &str, spec: Value) {
        let kind = "RoundTripPolicy";
        self.apply(json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}))
            .await;
    }

    /// Merges into a policy.
    pub async fn patch_policy(&self, name: &str, patch: Value) {
        self.policies().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn policy_status(&self, name: &str) -> RoundTripPolicyStatus {
        self.policies().get(name).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until a policy's status is as `ready` says; fails with the last one.
    pub async fn policy_when(
        &self,
        name: &str,
        what: &str,
        ready: impl Fn(&RoundTripPolicyStatus) -> bool,
    ) -> RoundTripPolicyStatus {
        self.policy_within(PATIENCE, name, what, ready).await
    }

    /// The same with more patience, or less.
    pub async fn policy_within(
        &self,
        patience: Duration,
        name: &str,
        what: &str,
        ready: impl Fn(&RoundTripPolicyStatus) -> bool,
    ) -> RoundTripPolicyStatus {
        let end = Instant::now() + patience;
        loop {
            let status = self.policy_status(name).await;
            if ready(&status) {
                return status;
            }
            assert!(Instant::now() < end, "{name}: not {what}: {}", serde_json::to_string_pretty(&status).unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Has a probe of a policy sent now; what is asked for already is answered once.
    pub async fn ask_policy(&self, name: &str, value: &str) {
        self.patch_policy(name, json!({"metadata": {"annotations": {"mailverity.dev/verify-requested-at": value}}})).await;
    }

    /// Waits until a condition of a policy has this status and reason.
    pub async fn policy_condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> RoundTripPolicyStatus {
        let what = format!("{kind}={status} {reason}");
        self.policy_when(name, &what, |seen| is_so(seen, kind, status, reason)).await
    }
}

/// Whether a condition has this status and reason.
pub fn is_so(status: &RoundTripPolicyStatus, kind: &str, value: &str, reason: &str) -> bool {
    status.conditions.iter().any(|c| c.type_ == kind && c.status == value && c.reason == reason)
}

/// What has become of each probe, the newest first.
pub fn results(status: &RoundTripPolicyStatus) -> Vec<&str> {
    status.history.iter().map(|row| row.result.as_str()).collect()
}
