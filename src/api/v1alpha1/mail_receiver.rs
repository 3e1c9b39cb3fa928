//! `MailReceiver`: domains that mail is taken for, and the SMTP listener that takes it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AllowedNamespaces, ClientCertificateRef, State, TlsStatus};

/// Domains that mailverity takes mail for by its own SMTP listener: answers to probes, and bounces. Never a relay.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mailverity.dev",
    version = "v1alpha1",
    kind = "MailReceiver",
    namespaced,
    status = "MailReceiverStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "mr",
    category = "mail",
    doc = "Domains that mailverity takes mail for by its own SMTP listener: answers to probes, and bounces. Never a relay.",
    printcolumn(
        name = "Domains",
        type_ = "string",
        json_path = ".spec.domains",
        description = "the domains that mail is taken for"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Active, Suspended or Paused"),
    printcolumn(
        name = "Listening",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Listening')].status",
        description = "whether a receiver listens"
    ),
    printcolumn(
        name = "MX",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='MXRecordsValid')].status",
        description = "whether the domains' MX records point to it"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "whether mail can come in"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "why"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Cert-Expires",
        type_ = "string",
        json_path = ".status.tls.notAfter",
        priority = 1,
        description = "the end of the certificate in use"
    ),
    printcolumn(
        name = "Receivers",
        type_ = "string",
        json_path = ".status.listeners[*].pod",
        priority = 1,
        description = "the processes that listen"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.domains.all(d, size(d) <= 64)").message("a domain may be at most 64 characters").field_path(".domains"),
    validation = Rule::new("self.domains.all(d, d.matches('^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?[.])+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]$'))").message("every domain must be fully qualified, such as monitoring.corp.example, one per list entry").field_path(".domains")
)]
pub struct MailReceiverSpec {
    /// A name for people; any text of one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub display_name: Option<String>,
    /// The domains that mail is taken for, fully qualified, one each. The oldest MailReceiver of the cluster has a domain.
    #[schemars(length(min = 1, max = 64), inner(length(min = 3, max = 253)))]
    pub domains: Vec<String>,
    /// The local part that mail is taken for, with or without + and an id behind it; notify if absent. postmaster is taken as
    /// well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 31), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub notify_local_part: Option<String>,
    /// What the listener takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Listener>,
    /// Whether mail comes in by TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ReceiverTls>,
    /// The name that the domains' MX records must name; they are not looked at if absent.
    #[serde(default, rename = "expectedMX", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 253), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"))]
    pub expected_mx: Option<String>,
    /// The namespaces whose policies may have their answers sent here; its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Stop: mail has to wait at its senders until it is false again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// What the listener takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// The port: one that the receivers listen on (--listen); 2525 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The most bytes of a mail; 10485760 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_message_bytes: Option<i64>,
    /// Networks that may send, such as 192.0.2.0/24; everybody if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 2, max = 64), regex(pattern = r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$")))]
    pub allowed_sources: Option<Vec<String>>,
}

/// Whether mail comes in by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode == 'None' || has(self.certificateRef)").message("tls.mode other than None needs tls.certificateRef").field_path(".certificateRef"))]
pub struct ReceiverTls {
    /// None: STARTTLS is not offered. Opportunistic: it is offered. Required: no mail comes in without, which the world's servers
    /// do not do by themselves.
    #[serde(default)]
    pub mode: ReceiverTlsMode,
    /// A Secret of type kubernetes.io/tls in this namespace, as cert-manager makes them. A new one is used at once; while it is
    /// bad the old one stays in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ref: Option<ClientCertificateRef>,
    /// The lowest version that is spoken; 1.2 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^1\.[23]$"), length(max = 3))]
    pub min_version: Option<String>,
}

/// Whether mail comes in by TLS.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReceiverTlsMode {
    #[default]
    None,
    Opportunistic,
    Required,
}

/// What is known of the receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailReceiverStatus {
    /// The generation that this status speaks of; -1 until the operator has looked at the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,
    /// Ready is the summary; Listening tells whether a process listens, MXRecordsValid whether mail finds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 24))]
    pub conditions: Vec<Condition>,
    /// Active, Suspended or Paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The processes that listen. Written by them; the operator takes away those that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".into()]))]
    #[schemars(length(max = 16))]
    pub listeners: Vec<ListenerStatus>,
    /// The certificate that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStatus>,
    /// What the MX records of each domain are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["domain".into()]))]
    #[schemars(length(max = 64))]
    pub mx: Vec<MxStatus>,
    /// The number of objects that refer to this receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub used_by: Option<i32>,
    /// The last value of the annotation mailverity.dev/verify-requested-at that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_verify_request: Option<String>,
    /// When the MX records are looked at next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_time: Option<Time>,
}

/// A process that listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The pod, or the process's own name.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Where it listens, as address:port.
    #[schemars(length(max = 64))]
    pub address: String,
    /// The generation that it works by.
    #[schemars(range(min = 0))]
    pub generation: i64,
    /// SHA-256 of the certificate that it shows, in hexadecimal; absent where it shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub certificate: Option<String>,
    /// Why it takes no mail for this receiver, if it takes none: a reason from the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}

/// The MX records of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MxStatus {
    /// The domain.
    #[schemars(length(max = 64))]
    pub domain: String,
    /// What was found, such as `10 mx.example.org`, the most preferred first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 263)))]
    pub records: Vec<String>,
    /// Succeeded, or the reason why mail does not find the receiver.
    #[schemars(length(max = 64))]
    pub result: String,
}

impl MailReceiverSpec {
    /// The local part that mail is taken for; notify if none is written.
    #[must_use]
    pub fn notify_local_part(&self) -> &str {
        self.notify_local_part.as_deref().unwrap_or("notify")
    }

    /// The port that takes effect; 2525 if none is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listener.as_ref().and_then(|listener| listener.port).and_then(|port| u16::try_from(port).ok()).unwrap_or(2525)
    }

    /// The most bytes of a mail; 10 MiB if none is written.
    #[must_use]
    pub fn max_message_bytes(&self) -> u64 {
        let written = self.listener.as_ref().and_then(|listener| listener.max_message_bytes);
        written.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(10_485_760)
    }

    /// Whether mail comes in by TLS.
    #[must_use]
    pub fn tls_mode(&self) -> ReceiverTlsMode {
        self.tls.as_ref().map(|tls| tls.mode).unwrap_or_default()
    }
}
