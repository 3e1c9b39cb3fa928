//! `MailServer`: an outbound server, the account on it, the sender, and how far it is checked.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ActorStatus, AllowedNamespaces, Auth, Capabilities, Claim, EndpointStatus, LastCheck, Level, MaintenanceWindow, OAuth2Status,
    Sender, Span, State, Tls, TlsStatus, Verification,
};

/// An outbound mail server, the account on it and the sender that uses it; checked stage by stage, on a schedule and
/// after each change.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mailverity.dev",
    version = "v1alpha1",
    kind = "MailServer",
    namespaced,
    status = "MailServerStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "ms",
    category = "mail",
    doc = "An outbound mail server, the account on it and the sender that uses it; checked stage by stage, on a schedule and after each change.",
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.endpoint.address",
        description = "host:port that is checked"
    ),
    printcolumn(
        name = "Security",
        type_ = "string",
        json_path = ".status.endpoint.security",
        description = "None, StartTLS or TLS, as it takes effect"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Active, Suspended or Paused"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "whether the server works as the spec asks"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "why"
    ),
    printcolumn(
        name = "Cert-Expires",
        type_ = "string",
        json_path = ".status.tls.notAfter",
        description = "the end of the server's certificate"
    ),
    printcolumn(
        name = "Last-Check",
        type_ = "string",
        json_path = ".status.lastCheck.startedAt",
        description = "when the last check began"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Verified",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Verified')].status",
        priority = 1,
        description = "the result of the last conclusive checks"
    ),
    printcolumn(
        name = "Active",
        type_ = "string",
        json_path = ".status.endpoint.active",
        priority = 1,
        description = "the endpoint in use: the primary or an alternate"
    ),
    printcolumn(
        name = "Actors",
        type_ = "string",
        json_path = ".status.actors[*].name",
        priority = 1,
        description = "the vantage points that check"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.host) != has(self.url)").message("set exactly one of host or url"),
    validation = Rule::new("!has(self.url) || self.url.matches('^smtps?://(\\\\[[0-9A-Fa-f:.]+\\\\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?$')").message("url must look like smtp://host:port or smtps://host:port, with no user, path or query").field_path(".url"),
    validation = Rule::new("!(has(self.url) && has(self.port))").message("write the port inside url, or use host and port instead of url").field_path(".port"),
    validation = Rule::new("!has(self.url) || !self.url.startsWith('smtps://') || !has(self.security) || self.security == 'TLS'").message("smtps:// means security: TLS; leave security out or set it to TLS").field_path(".security"),
    validation = Rule::new("!has(self.host) || !self.host.contains('://')").message("host is a bare name or IP; for smtp://name:port use url").field_path(".host"),
    validation = Rule::new("!has(self.host) || !self.host.matches('^[^:]+:[0-9]+$')").message("put the port in port, not in host").field_path(".host"),
    validation = Rule::new("!has(self.host) || self.host.contains('://') || !self.host.matches('[\\\\s/@\\\\x00-\\\\x1f\\\\x7f]')").message("host is one name or IP address, without spaces, / or @").field_path(".host"),
    validation = Rule::new("!(has(self.security) && self.security == 'None' && has(self.auth) && self.auth.type == 'Password' && !(has(self.auth.allowPlaintext) && self.auth.allowPlaintext) && !(has(self.auth.mechanisms) && self.auth.mechanisms.all(m, m in ['CRAM-MD5','NTLM'])))").message("a password would cross the network unencrypted: choose security StartTLS or TLS, limit auth.mechanisms to CRAM-MD5 and NTLM, or set auth.allowPlaintext: true").field_path(".auth"),
    validation = Rule::new("!(has(self.verification) && has(self.verification.level) && self.verification.level == 'Deliver') || has(self.test)").message("verification.level Deliver needs test.to, the address the test mail goes to").field_path(".test"),
    validation = Rule::new("!(has(self.verification) && has(self.verification.level) && self.verification.level == 'Deliver') || has(self.sender)").message("verification.level Deliver needs sender.address, the address the test mail comes from").field_path(".sender")
)]
pub struct MailServerSpec {
    /// A name for people; any text of one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub display_name: Option<String>,
    /// The server's name or IP address; exclusive with url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// The same as one string: smtp://host:port, or smtps://host:port for TLS from the first byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300))]
    pub url: Option<String>,
    /// The port; if absent 25 with security None, 587 with StartTLS, 465 with TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// None: plain text. StartTLS (the default): TLS after STARTTLS, and failure without it. TLS: from the first byte
    /// (the default for smtps://).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// How the server's certificate is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The account; no login if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Whom mail comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// The name in EHLO; if absent the sender's domain, else the address literal of the socket (RFC 5321 section 4.1.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 3, max = 253),
        regex(
            pattern = r"^(\[[0-9A-Za-z:.]+\]|[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?([.][A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)+)$"
        )
    )]
    pub helo_name: Option<String>,
    /// Servers that take over, in order, while the primary cannot be reached or used. Never tried after a refused login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3))]
    pub alternates: Option<Vec<Alternate>>,
    /// The test mail of verification.level Deliver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
    /// What is checked, how far and how often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// What mailverity itself may do on this host and account, over all objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What objects of other namespaces may send through this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The namespaces whose objects may refer to this server; its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Times in which nothing is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub maintenance: Option<Vec<MaintenanceWindow>>,
    /// Stop: nothing goes out until it is false again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// How the connection is protected. Never opportunistic: what is asked for is had, or the check fails.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Security {
    None,
    #[default]
    StartTLS,
    TLS,
}

impl Security {
    /// The name in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::StartTLS => "StartTLS",
            Self::TLS => "TLS",
        }
    }

    /// The port that SMTP uses with it: 25, 587 (RFC 6409) or 465 (RFC 8314).
    #[must_use]
    pub fn smtp_port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::StartTLS => 587,
            Self::TLS => 465,
        }
    }
}

/// A server that takes over from the primary; the account, the sender and the TLS rules are the primary's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.host.contains('://')").message("host is a bare name or IP").field_path(".host"),
    validation = Rule::new("self.host.contains('://') || !self.host.matches('[\\\\s/@\\\\x00-\\\\x1f\\\\x7f]')").message("host is one name or IP address, without spaces, / or @").field_path(".host"),
    validation = Rule::new("!self.host.matches('^[^:]+:[0-9]+$')").message("put the port in port, not in host").field_path(".host")
)]
pub struct Alternate {
    /// Its name or IP address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Its port; by security if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Its security; the primary's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
}

/// The test mail of level Deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.to.matches('^[^@\\\\s]+@[^@\\\\s]+$') && size(self.to) <= 254").message("test.to must be one e-mail address").field_path(".to"))]
pub struct Test {
    /// The address that the test mail goes to.
    #[schemars(length(min = 3, max = 320))]
    pub to: String,
    /// What its subject begins with; a UUID in parentheses follows. `mailverity check` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub subject: Option<String>,
}

/// What mailverity itself may do on one host and account, held over all objects that name them; the lowest counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Mails in a minute; 6 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub messages_per_minute: Option<i32>,
    /// Connections at the same time; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub connections: Option<i32>,
}

/// What objects of other namespaces may send through a shared server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Domains that may be mailed; the sender's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub recipient_domains: Option<Vec<String>>,
    /// Addresses that may stand in From; the sender's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 254)))]
    pub senders: Option<Vec<String>>,
    /// Mails in an hour from one namespace; 12 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub messages_per_hour_per_namespace: Option<i32>,
}

/// What is known of a server, when it was learnt and what happens next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailServerStatus {
    /// The generation that the status speaks of; -1 until the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,
    /// Ready, Verified and the conditions that they rest on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 24))]
    pub conditions: Vec<Condition>,
    /// Active, Suspended or Paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Where the check went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointStatus>,
    /// What the server offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// The TLS that was spoken and the certificate that was shown, also where it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStatus>,
    /// The last check, stage by stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<LastCheck>,
    /// A mail that may have left: written before it is sent, settled by the check's result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// What each vantage point found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 32))]
    pub actors: Vec<ActorStatus>,
    /// The token in use, and a login that waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2Status>,
    /// The number of objects that refer to this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub used_by: Option<i32>,
    /// A keyed hash of host, user name and secret: those that are held, else those that the last check used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub credentials_observed: Option<String>,
    /// A keyed hash of everything that was checked: spec, credentials and CA bundle. Another one makes a check due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub inputs_observed: Option<String>,
    /// No login with these credentials before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_held_until: Option<Time>,
    /// The number of refused logins in a row with these credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub credential_refusals: Option<i32>,
    /// The generation for which a port that did not greet was sent a TLS hello; it is done once for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub tls_hello_generation: Option<i64>,
    /// The number of failed checks in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub consecutive_failures: Option<i32>,
    /// The last value of the annotation mailverity.dev/verify-requested-at that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_verify_request: Option<String>,
    /// When the next check is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_time: Option<Time>,
}

impl MailServerSpec {
    /// The interval that takes effect: as written, else 1h, at level Deliver 24h.
    #[must_use]
    pub fn interval(&self) -> Span {
        let fallback = if self.level() == Level::Deliver { 86_400 } else { 3600 };
        self.verification.as_ref().and_then(|v| v.interval.clone()).unwrap_or_else(|| Span::seconds(fallback))
    }

    /// The level that takes effect; Authenticate if none is written.
    #[must_use]
    pub fn level(&self) -> Level {
        self.verification.as_ref().and_then(|v| v.level).unwrap_or_default()
    }

    /// The time that one check may take; 30s if none is written.
    #[must_use]
    pub fn timeout(&self) -> Span {
        self.verification.as_ref().and_then(|v| v.timeout.clone()).unwrap_or_else(|| Span::seconds(30))
    }
}
