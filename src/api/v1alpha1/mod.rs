//! `mailverity.dev/v1alpha1`: one file per kind, and the types that kinds share.
//!
//! Only shapes and their bounds live here; what a value means is decided in [`crate::verify`].

#![allow(clippy::doc_markdown, reason = "`kubectl explain` prints the documentation of fields as it is written")]
#![allow(clippy::duplicated_attributes, reason = "each printer column has a type, a path and a description")]

mod access;
mod actor;
mod actor_task;
mod auth;
pub mod condition;
mod email_profile;
mod email_profile_status;
mod mail_receiver;
mod mail_server;
mod probe_reply;
mod reference;
mod round_trip_policy;
mod sender;
mod span;
mod status;
mod tls;
mod verification;

pub use access::{AllowedNamespaces, NamespacesFrom};
pub use actor::{Actor, ActorMode, ActorObjectStatus, ActorSpec};
pub use actor_task::{
    ActorTask, ActorTaskSpec, ActorTaskStatus, Failure, TASK_PROTOCOL, TaskDelivery, TaskDispatched, TaskEndpoint, TaskFolder,
    TaskMail, TaskMailbox, TaskPhase, TaskResult, TaskSearch, TaskServer,
};
pub use auth::{
    Auth, AuthType, Cloud, Grant, Mechanism, OAuth2, OAuth2Client, OAuth2Provider, SecretKeyRef, SecretRef, WorkloadIdentity,
};
pub use email_profile::{
    EmailProfile, EmailProfileSpec, Gmail, Graph, MailProvider, MailboxCleanup, MailboxFolder, MailboxProtocol, MailboxServer,
    Outgoing, OutgoingAuth, ProfileVerification, VerificationMode,
};
pub use email_profile_status::{
    ActorClaim, AuthenticationResults, EmailProfileStatus, OutgoingStatus, ProfileActorState, ProfileActorStatus,
    VerificationStatus,
};
pub use mail_receiver::{
    Listener, ListenerStatus, MailReceiver, MailReceiverSpec, MailReceiverStatus, MxStatus, ReceiverTls, ReceiverTlsMode,
};
pub use mail_server::{Alternate, Limits, MailServer, MailServerSpec, MailServerStatus, Security, Test, Usage};
pub use probe_reply::{PolicyRef, ProbeReply, ProbeReplySpec};
pub use reference::ObjectRef;
pub use round_trip_policy::{
    Expect, InFlight, ProbeMessage, ProbeNote, Receive, ReplyMatch, RoundTrip, RoundTripPolicy, RoundTripPolicySpec,
    RoundTripPolicyStatus, TargetRef, ValidationType,
};
pub use sender::Sender;
pub use span::{NotASpan, Span};
pub use status::{
    ActorStatus, Capabilities, CheckPhase, Claim, DeviceCode, EndpointStatus, LastCheck, OAuth2Status, StageResult, StageStatus,
    State, TlsStatus,
};
pub use tls::{CaKind, CaRef, ClientCertificateRef, Tls};
pub use verification::{ActorRef, Level, MaintenanceWindow, Verification};

/// The version of the API, as manifests write it.
pub const API_VERSION: &str = "mailverity.dev/v1alpha1";
/// Annotation that asks for a check now; any new value counts (RFC 3339 time by convention).
pub const VERIFY_REQUESTED_AT: &str = "mailverity.dev/verify-requested-at";
/// Annotation that suspends an object until an RFC 3339 time, without a change of spec.
pub const SUSPEND_UNTIL: &str = "mailverity.dev/suspend-until";
/// Annotation that makes a `MailServer` the default of its namespace when it is `"true"`.
pub const IS_DEFAULT_SERVER: &str = "mailverity.dev/is-default-server";
/// Annotation on a Secret: the hosts, separated by commas, that its content may be sent to.
pub const ALLOWED_HOSTS: &str = "mailverity.dev/allowed-hosts";
/// The vantage point that needs no object and no agent: the operator itself.
pub const DEFAULT_ACTOR: &str = "default";
