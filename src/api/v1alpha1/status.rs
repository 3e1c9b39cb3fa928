//! The parts of a status: what was found, where, when and by whom.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Level, Security};

/// Whether an object is at work.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum State {
    #[default]
    Active,
    Suspended,
    Paused,
}

/// Where a check goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// host:port of the primary.
    #[schemars(length(max = 300))]
    pub address: String,
    /// The port that takes effect.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The security that takes effect.
    pub security: Security,
    /// host:port that the last good check used: the primary or an alternate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub active: Option<String>,
    /// The IP addresses that the name resolved to, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)))]
    pub addresses: Vec<String>,
    /// The name given in EHLO: what a server's administrator has to let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub helo: Option<String>,
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Its greeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub banner: Option<String>,
    /// The keywords of its last reply to EHLO.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)))]
    pub extensions: Vec<String>,
    /// The mechanisms that it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 32)))]
    pub auth_mechanisms: Vec<String>,
    /// The largest mail that it takes, in bytes (RFC 1870), where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_size: Option<i64>,
}

/// TLS as it was spoken, and the certificate that was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsStatus {
    /// Such as TLSv1.3; absent where the handshake failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub version: Option<String>,
    /// Such as TLS13_AES_256_GCM_SHA384.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub cipher: Option<String>,
    /// Whom the certificate speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub subject: Option<String>,
    /// Who signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub issuer: Option<String>,
    /// The names and IP addresses that it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    pub dns_names: Vec<String>,
    /// Its first moment, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub not_before: Option<String>,
    /// Its last moment, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub not_after: Option<String>,
    /// SHA-256 of the certificate, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,
}

/// One check, stage by stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastCheck {
    /// An id that logs carry too.
    #[schemars(length(max = 64))]
    pub id: String,
    /// Running or Finished.
    pub phase: CheckPhase,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// How long it took, such as 12.3ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub duration: Option<String>,
    /// How far it was to go.
    pub level: Level,
    /// Verified, Unverified, or Unknown where it came to no conclusion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub result: Option<String>,
    /// Each stage, in the order in which it ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub stages: Vec<StageStatus>,
}

/// Whether a check is under way.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckPhase {
    Running,
    #[default]
    Finished,
}

/// One stage of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Such as DNS, TCP, EHLO, STARTTLS, AUTH.
    #[schemars(length(max = 16))]
    pub name: String,
    /// Passed, Failed or Skipped.
    pub result: StageResult,
    /// How long it took, such as 1.2ms.
    #[schemars(length(max = 16))]
    pub duration: String,
    /// What was found, or the server's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub detail: Option<String>,
}

/// How a stage ended.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StageResult {
    Passed,
    Failed,
    Skipped,
}

/// The right to send one mail, taken before it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The run that it belongs to; never the code in the mail.
    #[schemars(length(max = 64))]
    pub id: String,
    /// What the mail is for, such as Test.
    #[schemars(length(max = 32))]
    pub purpose: String,
    /// 1 for the first; a higher one only where an earlier attempt ended before its final dot.
    #[schemars(range(min = 1, max = 1000))]
    pub attempt: i32,
    /// When it was taken.
    pub started_at: Time,
}

/// What one vantage point found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorStatus {
    /// The Actor's name; default is the operator.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub zone: Option<String>,
    /// Verified, Unverified or Pending.
    #[schemars(length(max = 32))]
    pub state: String,
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
    /// The address of our own socket.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "sourceIP")]
    #[schemars(length(max = 64))]
    pub source_ip: Option<String>,
    /// Our address as the server saw it, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "observedIP")]
    #[schemars(length(max = 64))]
    pub observed_ip: Option<String>,
    /// When it looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
}

/// The token in use, and a login that waits for a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2Status {
    /// When the access token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Time>,
    /// When the client secret (clientSecretExpires) or certificate of the application ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_expires_at: Option<Time>,
    /// A device code that waits to be entered (RFC 8628).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<DeviceCode>,
}

/// What a person has to enter, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCode {
    /// The page to open.
    #[serde(rename = "verificationURI")]
    #[schemars(length(max = 512))]
    pub verification_uri: String,
    /// The code to enter there.
    #[schemars(length(max = 64))]
    pub user_code: String,
    /// When the code ends.
    pub expires_at: Time,
}
