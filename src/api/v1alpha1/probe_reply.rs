//! `ProbeReply`: what a receiver took that is about a probe. Internal: users get no right on it.
//!
//! A receiver creates it before it answers 250, under a name that the same finding always gets; the operator settles the probe
//! by it and deletes it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Failure;

/// What a receiver took that is about a probe of a RoundTripPolicy. Internal.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mailverity.dev",
    version = "v1alpha1",
    kind = "ProbeReply",
    plural = "probereplies",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "What a receiver took that is about a probe of a RoundTripPolicy. Internal.",
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policy.name", description = "whose probe it is about"),
    printcolumn(
        name = "Failure",
        type_ = "string",
        json_path = ".spec.failure.reason",
        description = "why it is no right answer"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ProbeReplySpec {
    /// Whose probe it is about.
    pub policy: PolicyRef,
    /// The probe's id.
    #[schemars(length(max = 64))]
    pub probe: String,
    /// When its last octet came, RFC 3339 with parts of a second, by the receiver's clock.
    #[schemars(length(max = 40))]
    pub received_at: String,
    /// Why it is no right answer; absent where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The From that it came with, where that should have been ours and was rewritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub rewritten_from: Option<String>,
}

/// A RoundTripPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    /// Its namespace.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its UID.
    #[schemars(length(max = 64))]
    pub uid: String,
}
