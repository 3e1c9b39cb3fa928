//! What is known of a mailbox: who found their codes, the run under way and its claims.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OAuth2Status, StageStatus, State, TlsStatus};

/// What is known of the mailbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmailProfileStatus {
    /// The generation that this status speaks of; -1 until the operator has looked at the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,
    /// Ready is the summary; Verified tells whether every actor found its code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 24))]
    pub conditions: Vec<Condition>,
    /// Active, Suspended or Paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// How many of the actors are verified, such as 2/3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub summary: Option<String>,
    /// When every actor was last found verified in one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_time: Option<Time>,
    /// What each vantage point found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 32))]
    pub actors: Vec<ProfileActorStatus>,
    /// The TLS that the mailbox's server spoke and the certificate that it showed, also where it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStatus>,
    /// What the outgoing server said to the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<OutgoingStatus>,
    /// The last run, or the one under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationStatus>,
    /// The rights to send that were taken in this run: one for each mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["actor".into()]))]
    #[schemars(length(max = 32))]
    pub claims: Vec<ActorClaim>,
    /// The token in use, and a login that waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2Status>,
    /// A keyed hash of host, user name and secret: those that are held, else those that the last run used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub credentials_observed: Option<String>,
    /// A keyed hash of everything that a run rests on: spec, credentials, CA bundle, sender. Another one begins a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub inputs_observed: Option<String>,
    /// A keyed hash of what the conditions speak of: that of the last run which came to a conclusion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub inputs_judged: Option<String>,
    /// No login with these credentials before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_held_until: Option<Time>,
    /// The number of refused logins in a row with these credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub credential_refusals: Option<i32>,
    /// The number of failed tries in a row: a run that failed before its mails were sent is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub consecutive_failures: Option<i32>,
    /// The last value of the annotation mailverity.dev/verify-requested-at that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_verify_request: Option<String>,
    /// When it is looked at next: the next run, or the next try of one that failed before its mails were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_time: Option<Time>,
}

/// What one vantage point found in the mailbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileActorStatus {
    /// The Actor's name; default is the operator.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub zone: Option<String>,
    /// Pending, AwaitingMessage, Verified or Unverified.
    #[serde(default)]
    pub state: ProfileActorState,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// What happened, with the server's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub hint: Option<String>,
    /// The number of tries in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub attempt: Option<i32>,
    /// When the server accepted the mail to this actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_time: Option<Time>,
    /// When the actor found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_time: Option<Time>,
    /// The time between the two, such as 1.2s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub duration: Option<String>,
    /// What the mailbox's own server wrote of SPF, DKIM and DMARC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_results: Option<AuthenticationResults>,
    /// The address of our own socket.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "sourceIP")]
    #[schemars(length(max = 64))]
    pub source_ip: Option<String>,
    /// The stages of the last session at the mailbox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub checks: Vec<StageStatus>,
}

/// Where an actor stands in a run.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProfileActorState {
    #[default]
    Pending,
    AwaitingMessage,
    Verified,
    Unverified,
}

/// What a receiving server wrote of the sender (RFC 8601): pass, fail, none ...
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationResults {
    /// Whether the sending host may send for the envelope's domain (RFC 7208).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub spf: Option<String>,
    /// Whether a signature of the mail holds (RFC 6376).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub dkim: Option<String>,
    /// Whether one of both speaks for the domain in From (RFC 7489).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub dmarc: Option<String>,
}

/// What the outgoing server said to the login.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutgoingStatus {
    /// host:port.
    #[schemars(length(max = 300))]
    pub address: String,
    /// Pending, Verified or Unverified.
    #[serde(default)]
    pub state: ProfileActorState,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// What happened, with the server's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub hint: Option<String>,
}

/// A run: the mails that belong together, and until when they are looked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationStatus {
    /// The run's id, which the mails' header X-Mailverity-Run carries; never a code.
    #[serde(rename = "runID")]
    #[schemars(length(max = 64))]
    pub run_id: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Until when the mails are looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// The address that the mails go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub to: Option<String>,
    /// Mode Manual alone: the subject of the mail that a person sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub subject: Option<String>,
    /// What the mailbox held before the mails were sent: only what came since is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub mailbox_mark: Option<String>,
}

/// The right to send one actor's mail, taken before it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorClaim {
    /// The run that it belongs to; never the code in the mail.
    #[schemars(length(max = 64))]
    pub id: String,
    /// The actor whose mail it is.
    #[schemars(length(max = 253))]
    pub actor: String,
    /// What the mail is for: Verification.
    #[schemars(length(max = 32))]
    pub purpose: String,
    /// 1 for the first; a higher one only where an earlier attempt ended before its final dot.
    #[schemars(range(min = 1, max = 1000))]
    pub attempt: i32,
    /// When it was taken.
    pub started_at: Time,
}
