//! `EmailProfile`: a mailbox, the account on it, the vantage points that must be able to read it, and how that is proved.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ActorRef, AllowedNamespaces, Auth, Cloud, EmailProfileStatus, MaintenanceWindow, Mechanism, OAuth2Client, ObjectRef,
    Security, Span, Tls,
};

/// A mailbox and the vantage points that must be able to read it; proved by a mail with a code to each, which each must find.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mailverity.dev",
    version = "v1alpha1",
    kind = "EmailProfile",
    namespaced,
    status = "EmailProfileStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "emp",
    category = "mail",
    doc = "A mailbox and the vantage points that must be able to read it; proved by a mail with a code to each, which each must find.",
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".spec.address",
        description = "the address that the mails go to"
    ),
    printcolumn(name = "Protocol", type_ = "string", json_path = ".spec.protocol", description = "how the mailbox is read"),
    printcolumn(
        name = "Verified",
        type_ = "string",
        json_path = ".status.summary",
        description = "how many of the actors found their code"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Active, Suspended or Paused"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "why it is, or is not, ready"
    ),
    printcolumn(
        name = "Last-Verified",
        type_ = "string",
        json_path = ".status.lastVerifiedTime",
        description = "when all actors last found their codes"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        priority = 1,
        description = "whether the mailbox works as the spec asks"
    ),
    printcolumn(
        name = "Next-Run",
        type_ = "string",
        json_path = ".status.nextRunTime",
        priority = 1,
        description = "when it is looked at next"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.address.matches('^[^@\\\\s]+@[^@\\\\s]+$') && size(self.address) <= 254").message("address must be one e-mail address").field_path(".address"),
    validation = Rule::new("self.protocol in ['IMAP','POP3'] ? has(self.server) || has(self.provider) : !has(self.server)").message("server is for protocol IMAP or POP3, and required with them unless provider names a preset").field_path(".server"),
    validation = Rule::new("!(self.protocol in ['IMAP','POP3']) || has(self.account)").message("protocol IMAP and POP3 need account").field_path(".account"),
    validation = Rule::new("!(self.protocol in ['IMAP','POP3']) || !has(self.account) || self.account.type != 'None'").message("no mailbox is read without a login: set account.type to Password or OAuth2").field_path(".account"),
    validation = Rule::new("self.protocol in ['IMAP','POP3'] || !(has(self.account) || has(self.outgoing) || has(self.provider))").message("account, outgoing and provider are for protocol IMAP or POP3: graph and gmail have what these APIs need").field_path(".protocol"),
    validation = Rule::new("(self.protocol == 'MicrosoftGraph') == has(self.graph)").message("graph belongs to protocol MicrosoftGraph, and is required with it").field_path(".graph"),
    validation = Rule::new("(self.protocol == 'GmailAPI') == has(self.gmail)").message("gmail belongs to protocol GmailAPI, and is required with it").field_path(".gmail"),
    validation = Rule::new("!(has(self.provider) && self.provider == 'iCloud' && self.protocol == 'POP3')").message("iCloud offers no POP3; use IMAP").field_path(".protocol"),
    validation = Rule::new("!(has(self.actors) && has(self.actorSelector))").message("set actors or actorSelector, not both; with neither, the actor named default is used").field_path(".actorSelector"),
    validation = Rule::new("!has(self.actors) || size(self.actors) > 0").message("name at least one actor").field_path(".actors"),
    validation = Rule::new("has(self.verification) && ((has(self.verification.mode) && self.verification.mode == 'Manual') || has(self.verification.senderRef))").message("Automatic verification needs verification.senderRef, the MailServer that sends the code; or choose mode: Manual").field_path(".verification"),
    validation = Rule::new("!(has(self.server) && has(self.server.security) && self.server.security == 'None' && has(self.account) && self.account.type == 'Password' && !(has(self.account.allowPlaintext) && self.account.allowPlaintext) && !(has(self.account.mechanisms) && self.account.mechanisms.all(m, m in ['CRAM-MD5','NTLM','APOP'])))").message("a password would cross the network unencrypted: choose server.security StartTLS or TLS, limit account.mechanisms to CRAM-MD5, NTLM and APOP, or set account.allowPlaintext: true").field_path(".account")
)]
pub struct EmailProfileSpec {
    /// A name for people; any text of one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub display_name: Option<String>,
    /// The address that the mails go to. It need not be the account's name; that it leads to this mailbox is what is proved.
    #[schemars(length(min = 3, max = 320))]
    pub address: String,
    /// How the mailbox is read: IMAP, POP3, MicrosoftGraph or GmailAPI.
    pub protocol: MailboxProtocol,
    /// A provider whose servers are filled in: Microsoft365, Google, iCloud, Yahoo, Fastmail or Zoho. What server and
    /// outgoing say goes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<MailProvider>,
    /// The server of protocol IMAP or POP3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<MailboxServer>,
    /// The account, on the incoming and on the outgoing server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Auth>,
    /// The server by which this mailbox sends, with the same account. Nothing is sent through it: its login is proved. For
    /// protocol IMAP and POP3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<Outgoing>,
    /// How Microsoft Graph is reached; goes with protocol MicrosoftGraph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<Graph>,
    /// How the Gmail API is reached; goes with protocol GmailAPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gmail: Option<Gmail>,
    /// Which folder is looked at, and what becomes of our mails in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<MailboxFolder>,
    /// The vantage points that must find their codes; the operator itself (default) if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 32))]
    pub actors: Option<Vec<ActorRef>>,
    /// Every Actor whose labels match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_selector: Option<LabelSelector>,
    /// The namespaces whose objects may refer to this profile; its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// How the mailbox is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<ProfileVerification>,
    /// Times in which nothing is sent or looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub maintenance: Option<Vec<MaintenanceWindow>>,
    /// Stop: nothing goes out until it is false again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// How a mailbox is read.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MailboxProtocol {
    #[default]
    IMAP,
    POP3,
    MicrosoftGraph,
    GmailAPI,
}

/// Providers whose servers are known.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MailProvider {
    Microsoft365,
    Google,
    #[serde(rename = "iCloud")]
    ICloud,
    Yahoo,
    Fastmail,
    Zoho,
}

/// A server of protocol IMAP or POP3.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.host.contains('://')").message("server.host is a bare name or IP").field_path(".host"),
    validation = Rule::new("self.host.contains('://') || !self.host.matches('[\\\\s/@\\\\x00-\\\\x1f\\\\x7f]')").message("server.host is one name or IP address, without spaces, / or @").field_path(".host"),
    validation = Rule::new("!self.host.matches('^[^:]+:[0-9]+$')").message("put the port in server.port, not in server.host").field_path(".host")
)]
pub struct MailboxServer {
    /// Its name or IP address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Its port; if absent IMAP 993 with security TLS, else 143; POP3 995 with TLS, else 110.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// TLS (the default): from the first byte. StartTLS: after STARTTLS or STLS, and failure without it. None: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// How its certificate is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// The server by which a mailbox sends: written here, or a MailServer with the same account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.host) != has(self.serverRef)").message("set exactly one of outgoing.host or outgoing.serverRef").field_path(".host"),
    validation = Rule::new("!has(self.serverRef) || !(has(self.port) || has(self.security) || has(self.tls) || has(self.auth) || has(self.allowPlaintext))").message("outgoing.serverRef brings port, security, tls and auth with it; write them there").field_path(".serverRef"),
    validation = Rule::new("!has(self.host) || !self.host.contains('://')").message("outgoing.host is a bare name or IP").field_path(".host"),
    validation = Rule::new("!has(self.host) || self.host.contains('://') || !self.host.matches('[\\\\s/@\\\\x00-\\\\x1f\\\\x7f]')").message("outgoing.host is one name or IP address, without spaces, / or @").field_path(".host"),
    validation = Rule::new("!has(self.host) || !self.host.matches('^[^:]+:[0-9]+$')").message("put the port in outgoing.port, not in outgoing.host").field_path(".host"),
    validation = Rule::new("!has(self.auth) || !self.auth.required || has(self.auth.mechanisms)").message("choose auth.mechanisms (Auto, PLAIN, LOGIN, NTLM ...) when auth.required is true").field_path(".auth"),
    validation = Rule::new("!(has(self.security) && self.security == 'None' && has(self.auth) && self.auth.required && !(has(self.allowPlaintext) && self.allowPlaintext) && !(has(self.auth.mechanisms) && self.auth.mechanisms.all(m, m in ['CRAM-MD5','NTLM'])))").message("a password would cross the network unencrypted: choose outgoing.security StartTLS or TLS, limit auth.mechanisms to CRAM-MD5 and NTLM, or set outgoing.allowPlaintext: true").field_path(".auth")
)]
pub struct Outgoing {
    /// Its name or IP address; exclusive with serverRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// Its port; if absent 25 with security None, 587 with StartTLS, 465 with TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// StartTLS (the default), TLS or None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// How its certificate is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Let PLAIN and LOGIN show the password to whoever watches the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_plaintext: Option<bool>,
    /// Whether it wants a login; if absent it does, by any mechanism.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<OutgoingAuth>,
    /// A MailServer that has the same account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_ref: Option<ObjectRef>,
}

/// Whether an outgoing server wants a login. The account is the profile's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutgoingAuth {
    /// Whether the server wants a login; with false none is tried.
    pub required: bool,
    /// The mechanisms that may be used; Auto takes the first that is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub mechanisms: Option<Vec<Mechanism>>,
}

/// How Microsoft Graph is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Graph {
    /// The directory (tenant).
    #[serde(rename = "tenantID")]
    #[schemars(length(min = 1, max = 253))]
    pub tenant_id: String,
    /// The application's id.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 253))]
    pub client_id: String,
    /// How the application proves itself: by secretRef, certificateRef or workloadIdentity.
    pub client: OAuth2Client,
    /// Microsoft's cloud: Public (the default), China or USGov.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// The account whose mailbox is read, by its userPrincipalName or object id; the profile's address if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub user: Option<String>,
    /// Where Graph is, as `https://host` or `https://host:port`; that of the cloud if absent. For clouds without a name here, such as
    /// `https://dod-graph.microsoft.us`. Hosts that are not Microsoft's have to be named by --allowed-token-hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://[^/?#@\s]+$"))]
    pub endpoint: Option<String>,
    /// Where tokens are given out; that of the cloud if absent. The same rule for its host.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "tokenURL")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://"))]
    pub token_url: Option<String>,
}

/// How the Gmail API is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.client.secretRef) || has(self.tokenSecretName)").message("client.secretRef needs tokenSecretName, where the refresh token is kept").field_path(".tokenSecretName"))]
pub struct Gmail {
    /// The application's id; a service account's is the number by which domain-wide delegation names it.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 253))]
    pub client_id: String,
    /// How the application proves itself: by serviceAccountKeyRef or workloadIdentity, for whom domain-wide delegation is, or by
    /// secretRef beside the refresh token of a user who consented.
    pub client: OAuth2Client,
    /// The user whose mailbox a service account reads; the profile's address if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 320))]
    pub subject: Option<String>,
    /// The Secret with the refresh token of a user who consented, key refresh_token: yours, and `kubectl mail login` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub token_secret_name: Option<String>,
    /// Where the Gmail API is, as `https://host` or `https://host:port`; `https://gmail.googleapis.com` if absent. For an endpoint of
    /// Private Service Connect. Hosts that are not Google's have to be named by --allowed-token-hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://[^/?#@\s]+$"))]
    pub endpoint: Option<String>,
    /// Where tokens are given out; `https://oauth2.googleapis.com/token` if absent. The same rule for its host.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "tokenURL")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://"))]
    pub token_url: Option<String>,
}

/// Which folder is looked at, and what becomes of our mails in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailboxFolder {
    /// The folder that mail arrives in; INBOX if absent. POP3 has no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub name: Option<String>,
    /// Folders for junk beside those that the server tells of: what is found there is MessageInJunk, not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253), regex(pattern = r"^[^\x00-\x1f\x7f]+$")))]
    pub junk: Option<Vec<String>>,
    /// What becomes of our own mails once they are found: Delete (the default in mode Automatic), MarkSeen, or Keep (the
    /// default in mode Manual).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<MailboxCleanup>,
}

/// What becomes of our own mails once they are found.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MailboxCleanup {
    Delete,
    MarkSeen,
    #[default]
    Keep,
}

/// How a mailbox is verified.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.timeout) || (duration(self.timeout) >= duration('30s') && duration(self.timeout) <= duration('24h'))").message("timeout must be between 30s and 24h").field_path(".timeout"),
    validation = Rule::new("!has(self.interval) || duration(self.interval) >= duration('15m')").message("each run sends a mail to each actor: interval must be at least 15m").field_path(".interval"),
    validation = Rule::new("duration(has(self.timeout) ? self.timeout : '15m') <= duration(has(self.interval) ? self.interval : '24h')").message("timeout must not be longer than interval, or runs would overlap").field_path(".timeout")
)]
pub struct ProfileVerification {
    /// Automatic (the default): mailverity sends the mails through senderRef. Manual: a person sends one mail with the subject
    /// that status.verification shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<VerificationMode>,
    /// The MailServer that sends the mails; in another namespace only if its allowedNamespaces admits this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_ref: Option<ObjectRef>,
    /// How long a mail may take, counted from the server's acceptance; 15m if absent. Greylisting alone takes 5 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The time between two runs; 24h if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// The number of failed tries in a row after which Verified becomes False; 2 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub failure_threshold: Option<i32>,
    /// Whether the login to the outgoing server is proved too; true if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_outgoing: Option<bool>,
}

/// Who sends the mail with the code.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerificationMode {
    #[default]
    Automatic,
    Manual,
}

impl EmailProfileSpec {
    /// Who sends; mailverity if nothing is written.
    #[must_use]
    pub fn mode(&self) -> VerificationMode {
        self.verification.as_ref().and_then(|verification| verification.mode).unwrap_or_default()
    }

    /// The time between two runs; 24h if none is written.
    #[must_use]
    pub fn interval(&self) -> Span {
        self.verification.as_ref().and_then(|v| v.interval.clone()).unwrap_or_else(|| Span::seconds(86_400))
    }

    /// How long a mail may take; 15m if nothing is written.
    #[must_use]
    pub fn timeout(&self) -> Span {
        self.verification.as_ref().and_then(|v| v.timeout.clone()).unwrap_or_else(|| Span::seconds(900))
    }

    /// What becomes of our own mails; as written, else by the mode.
    #[must_use]
    pub fn cleanup(&self) -> MailboxCleanup {
        let fallback = match self.mode() {
            VerificationMode::Automatic => MailboxCleanup::Delete,
            VerificationMode::Manual => MailboxCleanup::Keep,
        };
        self.mailbox.as_ref().and_then(|mailbox| mailbox.cleanup).unwrap_or(fallback)
    }

    /// Whether the login to the outgoing server is proved; it is if nothing is written.
    #[must_use]
    pub fn checks_outgoing(&self) -> bool {
        self.verification.as_ref().and_then(|v| v.check_outgoing).unwrap_or(true)
    }

    /// The number of failed runs in a row that makes Verified False; 2 if none is written.
    #[must_use]
    pub fn failure_threshold(&self) -> u32 {
        let written = self.verification.as_ref().and_then(|v| v.failure_threshold);
        written.and_then(|n| u32::try_from(n).ok()).unwrap_or(2)
    }
}
