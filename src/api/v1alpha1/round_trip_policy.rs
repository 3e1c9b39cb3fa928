//! `RoundTripPolicy`: a mail that is sent on a schedule, and the answer to it that must come back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MaintenanceWindow, ObjectRef, Span, State};

/// A mail that is sent on a schedule, the answer to it that must come back, and how long that takes.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mailverity.dev",
    version = "v1alpha1",
    kind = "RoundTripPolicy",
    plural = "roundtrippolicies",
    namespaced,
    status = "RoundTripPolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "rtp",
    category = "mail",
    doc = "A mail that is sent on a schedule, the answer to it that must come back, and how long that takes.",
    printcolumn(name = "To", type_ = "string", json_path = ".spec.to", description = "the address that has to answer"),
    printcolumn(
        name = "Target",
        type_ = "string",
        json_path = ".spec.targetRef.name",
        description = "the object that it watches over"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Active, Suspended or Paused"),
    printcolumn(
        name = "Last-RTT",
        type_ = "string",
        json_path = ".status.lastRoundTrip.duration",
        description = "how long the last answer took"
    ),
    printcolumn(
        name = "Last-Success",
        type_ = "string",
        json_path = ".status.lastSuccessTime",
        description = "when a right answer last came in time"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "whether answers come as the spec asks"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "why"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Last-Result",
        type_ = "string",
        json_path = ".status.lastRoundTrip.result",
        priority = 1,
        description = "what became of the last probe"
    ),
    printcolumn(
        name = "Next-Probe",
        type_ = "string",
        json_path = ".status.nextProbeTime",
        priority = 1,
        description = "when the next mail is sent"
    ),
    printcolumn(
        name = "Answers-To",
        type_ = "string",
        json_path = ".status.returnAddress",
        priority = 1,
        description = "the address that answers must come to"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.to.matches('^[^@\\\\s]+@[^@\\\\s]+$') && size(self.to) <= 254").message("to must be one e-mail address").field_path(".to"),
    validation = Rule::new("!has(self.from) || (self.from.matches('^[^@\\\\s]+@[^@\\\\s]+$') && size(self.from) <= 254)").message("from must be one e-mail address").field_path(".from"),
    validation = Rule::new("!has(self.envelopeFrom) || (self.envelopeFrom.matches('^[^@\\\\s]+@[^@\\\\s]+$') && size(self.envelopeFrom) <= 254)").message("envelopeFrom must be one e-mail address").field_path(".envelopeFrom"),
    validation = Rule::new("!has(self.interval) || duration(self.interval) >= duration('1m')").message("interval must be at least 1m").field_path(".interval"),
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) >= duration('1s')").message("timeout must be at least 1s").field_path(".timeout"),
    validation = Rule::new("!has(self.timeout) || duration(self.timeout).getSeconds() * 10 <= duration(has(self.interval) ? self.interval : '15m').getSeconds() * 9").message("timeout must not be over 90% of interval, or probes would overlap").field_path(".timeout"),
    validation = Rule::new("!has(self.slowAfter) || (duration(self.slowAfter) >= duration('1s') && duration(self.slowAfter) < duration(has(self.timeout) ? self.timeout : '10m'))").message("slowAfter must be at least 1s, and less than timeout").field_path(".slowAfter"),
    validation = Rule::new("!has(self.from) || self.from.lowerAscii() != self.to.lowerAscii()").message("to and from must differ, or the probe would answer itself").field_path(".from"),
    validation = Rule::new("!has(self.envelopeFrom) || self.envelopeFrom.lowerAscii() != self.to.lowerAscii()").message("to and envelopeFrom must differ, or the probe would answer itself").field_path(".envelopeFrom")
)]
pub struct RoundTripPolicySpec {
    /// A name for people; any text of one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub display_name: Option<String>,
    /// The MailServer that sends; if absent the one that is annotated as the default of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_ref: Option<ObjectRef>,
    /// The address that has to answer.
    #[schemars(length(min = 3, max = 320))]
    pub to: String,
    /// The address in the header From (masquerade); the server's sender if absent. The envelope is not touched by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 320))]
    pub from: Option<String>,
    /// The address that answers and bounces go to: MAIL FROM and Reply-To. If absent notify+ID at the receiver's first domain, or
    /// the profile's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 320))]
    pub envelope_from: Option<String>,
    /// The mail.
    pub message: ProbeMessage,
    /// What is to come back, which sets what match asks for. Reply: an answer from that address with subject and body in it.
    /// Redirect: our own mail, handed on. OutOfOffice: an answer with the subject in it.
    #[serde(default)]
    pub expect: Expect,
    /// What an answer must be like, where that is not what expect says.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<ReplyMatch>,
    /// The time between two probes; 15m if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// How long an answer may take from the moment that the server took the mail; 10m if absent, and never more than 90% of
    /// interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// An answer that takes longer is right and slow: the policy is Degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_after: Option<Span>,
    /// Where answers come to.
    pub receive: Receive,
    /// The object of this namespace that the policy watches over: Events are told of it as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
    /// What is proved: the only value is EmailRoundTrip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_type: Option<ValidationType>,
    /// The number of failed probes in a row after which RoundTripHealthy becomes False; 2 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub failure_threshold: Option<i32>,
    /// The number of probes that status.history tells of; 10 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub history_limit: Option<i32>,
    /// Times in which nothing is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub maintenance: Option<Vec<MaintenanceWindow>>,
    /// Stop: nothing goes out until it is false again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// The mail that is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.body.trim().size() > 0").message("message.body must not be empty: the reply has to contain it").field_path(".body"))]
pub struct ProbeMessage {
    /// What its subject begins with; the probe's id in parentheses follows. If absent: mailverity round trip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub subject: Option<String>,
    /// Its text: short, and easy to recognise.
    #[schemars(length(max = 4096))]
    pub body: String,
}

/// What is to come back.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Expect {
    #[default]
    Reply,
    Redirect,
    OutOfOffice,
}

/// What an answer must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyMatch {
    /// It must come from the address that the mail went to, or one of senders. With expect Redirect the sender is our own, and
    /// this is false if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_sender: Option<bool>,
    /// Further addresses that it may come from, or whole domains such as @partner.example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 2, max = 254), regex(pattern = r"^[^@\s]*@[^@\s]+$")))]
    pub senders: Option<Vec<String>>,
    /// Its subject must hold the id of the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains_subject: Option<bool>,
    /// Its text must hold message.body; white space and quoting count for nothing. With expect OutOfOffice false if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains_body: Option<bool>,
}

/// Where answers come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.receiverRef) != has(self.profileRef)").message("set exactly one of receive.receiverRef or receive.profileRef"))]
pub struct Receive {
    /// A MailReceiver: mailverity's own SMTP listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver_ref: Option<ObjectRef>,
    /// An EmailProfile: its mailbox is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_ref: Option<ObjectRef>,
}

/// An object of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// Its API version, such as apps/v1; by its kind if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 253))]
    pub api_version: Option<String>,
    /// Its kind, such as Service: one of those that the installation lists.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What is proved.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ValidationType {
    #[default]
    EmailRoundTrip,
}

/// What is known of the round trip.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoundTripPolicyStatus {
    /// The generation that this status speaks of; -1 until the operator has looked at the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,
    /// Ready is the summary; RoundTripHealthy tells whether right answers come in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 24))]
    pub conditions: Vec<Condition>,
    /// Active, Suspended or Paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The address that answers must come to, without the probe's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub return_address: Option<String>,
    /// When a right answer last came in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// The probe under way: written before its mail is sent, taken away when it is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<InFlight>,
    /// The last probe that was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_round_trip: Option<RoundTrip>,
    /// The last probes, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[schemars(length(max = 50))]
    pub history: Vec<RoundTrip>,
    /// A keyed hash of host, user name and secret: those that are held, else those that the last probe used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub credentials_observed: Option<String>,
    /// A keyed hash of everything that a probe rests on: spec, server, credentials. Another one makes a probe due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub inputs_observed: Option<String>,
    /// A keyed hash of what the conditions speak of: that of the last probe which came to a conclusion.
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
    /// The number of failed probes in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub consecutive_failures: Option<i32>,
    /// The last value of the annotation mailverity.dev/verify-requested-at that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_verify_request: Option<String>,
    /// When the next mail is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_probe_time: Option<Time>,
}

/// A probe under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// Its id: a UUID that stands in the mail's subject, its Message-ID and the address that answers go to.
    #[schemars(length(max = 64))]
    pub id: String,
    /// 1 for the first; a higher one only where an earlier attempt ended before its final dot.
    #[schemars(range(min = 1, max = 1000))]
    pub attempt: i32,
    /// When the right to send it was taken.
    pub claimed_at: MicroTime,
    /// When the server took it; absent while nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<MicroTime>,
    /// When its time is over.
    pub deadline: MicroTime,
    /// The address in its header From.
    #[schemars(length(max = 320))]
    pub from: String,
    /// What the mailbox held before, where answers come to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub mailbox_mark: Option<String>,
    /// An attempt ended before its final dot: when the next is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// What was found that is no right answer: told if nothing better comes in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noted: Option<ProbeNote>,
}

/// Something about a probe that does not settle it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeNote {
    /// The reason, from the table.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}

/// A probe that was settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoundTrip {
    /// Its id.
    #[schemars(length(max = 64))]
    pub id: String,
    /// When the server took it, or, where it took none, when it was tried.
    pub sent_at: Time,
    /// When the answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Time>,
    /// The time between the two, such as 1.2s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub duration: Option<String>,
    /// Succeeded, or the reason why not.
    #[schemars(length(max = 64))]
    pub result: String,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
}

/// The time between two probes where the spec names none.
const INTERVAL: u64 = 900;
/// The time for an answer where the spec names none.
const TIMEOUT: u64 = 600;

impl RoundTripPolicySpec {
    /// The interval that takes effect: as written, else 15m.
    #[must_use]
    pub fn interval(&self) -> Span {
        self.interval.clone().unwrap_or_else(|| Span::seconds(INTERVAL))
    }

    /// The timeout that takes effect: as written, else 10m, or 90% of a short interval.
    #[must_use]
    pub fn timeout(&self) -> Span {
        let most = self.interval().get().as_secs() * 9 / 10;
        self.timeout.clone().unwrap_or_else(|| Span::seconds(TIMEOUT.min(most)))
    }

    /// The number of rows in the history that takes effect; 10 if none is written.
    #[must_use]
    pub fn history_limit(&self) -> usize {
        self.history_limit.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(10).clamp(1, 50)
    }

    /// Failed probes in a row until the policy is unhealthy; 2 if none is written.
    #[must_use]
    pub fn failure_threshold(&self) -> u32 {
        self.failure_threshold.and_then(|n| u32::try_from(n).ok()).unwrap_or(2).max(1)
    }
}
