//! `ActorTask`: what an agent is asked to do, and what it found. Internal: users get no right on it.
//!
//! The operator writes the spec, the agent the status. All times are durations, as their clocks differ. What is secret is in
//! the Secret of the same name, which goes with the task.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    AuthenticationResults, Capabilities, Level, MailboxCleanup, MailboxProtocol, Mechanism, Security, Sender, StageStatus, Test,
    TlsStatus,
};

/// The protocol between operator and agents that this version speaks. Agents one version behind work.
pub const TASK_PROTOCOL: i32 = 1;

/// What an agent is asked to do: to look for a mail in a mailbox or to open it, or to check a server. Internal.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mailverity.dev",
    version = "v1alpha1",
    kind = "ActorTask",
    namespaced,
    status = "ActorTaskStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "What an agent is asked to do: to look for a mail in a mailbox or to open it, or to check a server. Internal.",
    printcolumn(name = "Object", type_ = "string", json_path = ".spec.object", description = "whom it is for"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "how far it is"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.mailbox) != has(self.server)").message("a task is for a mailbox or for a server"))]
pub struct ActorTaskSpec {
    /// The number of the protocol; an agent leaves a task of a higher one than it knows.
    #[schemars(range(min = 1, max = 1000))]
    pub protocol: i32,
    /// The actor that is asked.
    #[schemars(length(max = 253))]
    pub actor: String,
    /// Whom it is for: EmailProfile or MailServer namespace/name.
    #[schemars(length(max = 600))]
    pub object: String,
    /// The run that it belongs to.
    #[schemars(length(max = 64))]
    pub run: String,
    /// Where it connects, and as whom.
    pub endpoint: TaskEndpoint,
    /// The mailbox that is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<TaskMailbox>,
    /// The server that is checked stage by stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<TaskServer>,
    /// What is looked for; the mailbox is only opened and left if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<TaskSearch>,
    /// For a mailbox: the mail was sent, and is looked for from now on. For a server: the mail may be sent. Written after the
    /// agent has told that it is as far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatched: Option<TaskDispatched>,
    /// What was found is noted: the mail may be removed. Written after the agent has told that it found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noted: Option<bool>,
}

/// Where an agent connects, and as whom: everything about it that is no secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskEndpoint {
    /// The server's name or address.
    #[schemars(length(max = 253))]
    pub host: String,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// How the connection is protected.
    pub security: Security,
    /// Certificates in PEM that are trusted beside the public roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub ca: Option<String>,
    /// The name that the certificate must have, if not the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub server_name: Option<String>,
    /// 1.2 or 1.3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub min_version: Option<String>,
    /// Whether the certificate is not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
    /// Whether the task's Secret holds a certificate to show to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<bool>,
    /// The user; empty where nobody logs in.
    #[schemars(length(max = 320))]
    pub user: String,
    /// Whether the task's Secret holds an access token (OAuth2) in place of the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<bool>,
    /// The mechanisms that may be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub mechanisms: Vec<Mechanism>,
    /// Whether the password may be shown without verified TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_plaintext: Option<bool>,
    /// The time for all but the looking, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub timeout_millis: i64,
}

/// A mailbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskMailbox {
    /// IMAP or POP3.
    pub protocol: MailboxProtocol,
    /// Connect or Authenticate; Authenticate if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The folder.
    #[schemars(length(max = 253))]
    pub folder: String,
    /// Folders for junk beside those that the server tells of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 253)))]
    pub junk: Vec<String>,
}

/// A server that is checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskServer {
    /// How far the check goes.
    pub level: Level,
    /// The name in EHLO; the socket's address if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub helo: Option<String>,
    /// Whether a port that does not greet may be sent a TLS hello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_greet_with_tls: Option<bool>,
    /// The mail that level Deliver sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<TaskMail>,
}

/// A mail that an agent may send, once it has been told so. The code in its subject is in the task's Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskMail {
    /// Whom it comes from.
    pub sender: Sender,
    /// Whom it goes to, and what its subject begins with.
    pub test: Test,
    /// The installation, for the header X-Mailverity-Run.
    #[schemars(length(max = 253))]
    pub installation: String,
    /// The object's UID, for the same.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Whom a reader of the mail may ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub contact: Option<String>,
}

/// What is looked for. The code is in the task's Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskSearch {
    /// The value of the mail's header X-Mailverity-Run; absent where a person sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub header: Option<String>,
    /// The domain of the mailbox's address, by which the headers of its own server are known; the host alone if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub domain: Option<String>,
    /// What becomes of the mail.
    pub cleanup: MailboxCleanup,
    /// How long it is looked for, in milliseconds, from the moment that the agent hears of its being sent.
    #[schemars(range(min = 1, max = 90_000_000))]
    pub timeout_millis: i64,
    /// The time between two sessions in milliseconds; absent where one session stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 3_600_000))]
    pub every_millis: Option<i64>,
    /// Set where the mail was sent before the task was made: how long it is looked for from now, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 90_000_000))]
    pub resume_millis: Option<i64>,
    /// What the mailbox held before the mail was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub mark: Option<String>,
}

/// What is known of a mail that was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskDispatched {
    /// Its Message-ID.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "messageID")]
    #[schemars(length(max = 512))]
    pub message_id: Option<String>,
    /// Its ENVID.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "envelopeID")]
    #[schemars(length(max = 128))]
    pub envelope_id: Option<String>,
}

/// What an agent did and found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorTaskStatus {
    /// Claimed, Noted or Done.
    pub phase: TaskPhase,
    /// The agent's process: the one that claimed it.
    #[schemars(length(max = 253))]
    pub claimed_by: String,
    /// What the mailbox held before the mail was sent; with phase Noted, which of a server says that it would take the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub mark: Option<String>,
    /// What was found; with phase Done. The first one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<TaskResult>,
}

/// How far an agent is.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaskPhase {
    #[default]
    Claimed,
    Noted,
    Done,
}

/// What an agent found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// Why it failed; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The stages of the last session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 24))]
    pub stages: Vec<StageStatus>,
    /// What the login came to: Accepted, Refused, TooMany or Undecided; absent where none was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub login: Option<String>,
    /// TLS and the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStatus>,
    /// What the server says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// The folder that was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<TaskFolder>,
    /// The address of the agent's socket.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "sourceIP")]
    #[schemars(length(max = 64))]
    pub source_ip: Option<String>,
    /// Our address as the server named it.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "observedIP")]
    #[schemars(length(max = 64))]
    pub observed_ip: Option<String>,
    /// What the host resolved to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)))]
    pub addresses: Vec<String>,
    /// The name given in EHLO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub helo: Option<String>,
    /// Whether a port that did not greet was sent a TLS hello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_hello: Option<bool>,
    /// What became of the mail that it was to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<TaskDelivery>,
    /// Whether the mail was found in the mailbox.
    #[serde(default)]
    pub found: bool,
    /// How long after the agent heard of its being sent, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub took_millis: Option<i64>,
    /// What the mailbox's own server wrote of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_results: Option<AuthenticationResults>,
}

/// A folder that was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskFolder {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The messages in it.
    #[schemars(range(min = 0))]
    pub messages: i64,
    /// The folders for junk beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    pub junk: Vec<String>,
}

/// What became of a mail that an agent sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskDelivery {
    /// Its Message-ID.
    #[serde(rename = "messageID")]
    #[schemars(length(max = 512))]
    pub message_id: String,
    /// The final dot was written: nothing may be sent again.
    pub dot_sent: bool,
    /// The server's answer to it, where that was positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub accepted: Option<String>,
}

/// A failure as it is handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The reason.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// User, Transient or Information.
    #[schemars(length(max = 16))]
    pub class: String,
    /// The stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub stage: Option<String>,
    /// The server's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub words: Option<String>,
    /// Our words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub detail: Option<String>,
    /// What the hint is filled in with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "facts")]
    pub facts: BTreeMap<String, String>,
}

/// Bounds of a map, which the derive has no words for.
fn facts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 1024}})
}
