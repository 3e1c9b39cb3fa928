//! What is checked, how far and how often.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// How a server is verified.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.timeout) || (duration(self.timeout) >= duration('1s') && duration(self.timeout) <= duration('5m'))").message("timeout must be between 1s and 5m").field_path(".timeout"),
    validation = Rule::new("!(has(self.level) && self.level == 'Deliver' && has(self.interval)) || duration(self.interval) >= duration('15m')").message("level Deliver sends a mail each time: interval must be at least 15m").field_path(".interval"),
    validation = Rule::new("!has(self.interval) || duration(self.interval) >= duration('1m')").message("interval must be at least 1m").field_path(".interval"),
    validation = Rule::new("!(has(self.actors) && has(self.actorSelector))").message("set actors or actorSelector, not both; with neither, the actor named default is used").field_path(".actorSelector")
)]
pub struct Verification {
    /// How far a check goes. Connect: up to the greeting, with TLS. Authenticate (the default): the login too; no mail
    /// is sent. Deliver: a test mail to test.to as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The time between two checks; 1h if absent, 24h at level Deliver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// The time that one check may take, over all stages and alternates; 30s if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The vantage points that check; the operator itself (default) if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(min = 1, max = 32))]
    pub actors: Option<Vec<ActorRef>>,
    /// Checks from every Actor whose labels match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_selector: Option<LabelSelector>,
    /// The number of failed checks in a row after which Verified becomes False; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub failure_threshold: Option<i32>,
}

/// How far a check goes; each level includes those before it.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Level {
    Connect,
    #[default]
    Authenticate,
    Deliver,
}

/// An Actor by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorRef {
    /// The Actor's name; `default` is the operator itself.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A time in which nothing is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// When windows begin: a cron line of five fields, such as `0 22 * * SAT`.
    #[schemars(length(min = 9, max = 128))]
    pub start: String,
    /// How long a window lasts.
    pub duration: Span,
    /// The IANA time zone that start is meant in; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}
