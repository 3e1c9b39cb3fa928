//! `Actor`: a vantage point, the operator itself or an agent elsewhere.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AllowedNamespaces, Span};

/// A vantage point from which mailboxes and servers are looked at: the operator itself, or an agent in another place.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mailverity.dev",
    version = "v1alpha1",
    kind = "Actor",
    status = "ActorObjectStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "actor",
    category = "mail",
    doc = "A vantage point from which mailboxes and servers are looked at: the operator itself, or an agent in another place.",
    printcolumn(name = "Zone", type_ = "string", json_path = ".spec.zone", description = "where it stands"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", description = "InOperator or Agent"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "whether it can be given work"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "why"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "the agent's version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Node",
        type_ = "string",
        json_path = ".status.nodeName",
        priority = 1,
        description = "where its pod runs"
    ),
    printcolumn(
        name = "Source-IPs",
        type_ = "string",
        json_path = ".status.sourceIPs",
        priority = 1,
        description = "the addresses of its sockets"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode != 'Agent' || has(self.taskNamespace)").message("mode Agent needs taskNamespace, where its tasks are put").field_path(".taskNamespace"),
    validation = Rule::new("self.mode == 'Agent' || !has(self.taskNamespace)").message("taskNamespace belongs to mode Agent").field_path(".taskNamespace"),
    validation = Rule::new("self.mode != 'Agent' || !has(self.egressProxy)").message("egressProxy is for mode InOperator; give the agent its own by --egress-proxy").field_path(".egressProxy"),
    validation = Rule::new("!has(self.heartbeatTimeout) || (duration(self.heartbeatTimeout) >= duration('10s') && duration(self.heartbeatTimeout) <= duration('1h'))").message("heartbeatTimeout must be between 10s and 1h").field_path(".heartbeatTimeout")
)]
pub struct ActorSpec {
    /// A name for people; any text of one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub display_name: Option<String>,
    /// The installation that gives it work; mailverity if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub operator: Option<String>,
    /// Where it stands, for people and for the label mailverity.dev/zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub zone: Option<String>,
    /// InOperator: the operator itself. Agent: a process elsewhere, `mailverity agent`.
    #[serde(default)]
    pub mode: ActorMode,
    /// The namespace of its tasks, which holds nothing else and carries the label mailverity.dev/actor with its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub task_namespace: Option<String>,
    /// How long after its last sign of life it counts as offline; 90s if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout: Option<Span>,
    /// The namespaces whose objects may select it; none but the operator's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Mode InOperator: a proxy for its connections, socks5://host:port or http://host:port. An agent has its own flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 300), regex(pattern = r"^(socks5|http)://[A-Za-z0-9.\[\]:_-]+$"))]
    pub egress_proxy: Option<String>,
    /// Stop: it is given no work until it is false again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// Where an actor runs.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ActorMode {
    #[default]
    InOperator,
    Agent,
}

/// What is known of an actor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorObjectStatus {
    /// The generation that this status speaks of; -1 until the operator has looked at the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,
    /// Ready tells whether it can be given work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 24))]
    pub conditions: Vec<Condition>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// The agent's pod, or its host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod_name: Option<String>,
    /// The node that the pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_name: Option<String>,
    /// The network interfaces that it sees, such as eth0 10.0.0.7/24.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 128)))]
    pub interfaces: Vec<String>,
    /// The addresses of its own sockets, as the last tasks saw them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "sourceIPs")]
    #[schemars(length(max = 16), inner(length(max = 64)))]
    pub source_ips: Vec<String>,
    /// Its addresses as servers named them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "observedIPs")]
    #[schemars(length(max = 16), inner(length(max = 64)))]
    pub observed_ips: Vec<String>,
    /// When it became online or offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_time: Option<Time>,
}
