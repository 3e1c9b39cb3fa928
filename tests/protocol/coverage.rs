//! Proof that no reason is left out: each is in a table of conversations, or in the list of those that no check can have.

use std::collections::BTreeSet;

use mailverity::api::Reason;

use crate::{logging_in, mailboxes, protecting, proxy, reaching, references, rows::reasons, sending};

/// What other rooms than the check say: the API server, the status of an object, the controller's schedule, and what holds.
const NOT_OF_A_CHECK: [Reason; 65] = [
    Reason::Succeeded,
    Reason::TestMessageAccepted,
    Reason::NewGeneration,
    Reason::NeverVerified,
    Reason::VerificationRunning,
    Reason::CertificateExpiring,
    Reason::CredentialExpiring,
    Reason::BasicAuthRetiring,
    Reason::UsingAlternate,
    Reason::Suspended,
    Reason::Maintenance,
    Reason::RefNotPermitted,
    Reason::RefUnreadable,
    Reason::Conflict,
    Reason::ScheduleInvalid,
    // Of a mail that is watched for: `watching` makes them happen.
    Reason::MessageNotReceived,
    Reason::MessageInJunk,
    Reason::MessageBounced,
    Reason::MessageDelayed,
    // Of an EmailProfile and what it names: tests/cluster/profiles and the tests of its status.
    Reason::CodeReceived,
    Reason::AllActorsVerified,
    Reason::SomeActorsUnverified,
    Reason::ActorNotPermitted,
    Reason::ActorOffline,
    Reason::ActorSuspended,
    Reason::AgentIncompatible,
    Reason::TaskTimedOut,
    Reason::MultiHomedSameSubnet,
    Reason::AwaitingManualMessage,
    Reason::SharedMailbox,
    Reason::SlowMail,
    Reason::SenderNotAligned,
    Reason::MailServerNotFound,
    Reason::UsageNotPermitted,
    Reason::AccountMismatch,
    Reason::DependencyNotReady,
    // Of round trips: tests/cluster/policies, tests/protocol/watching/answering, and the tests of a policy's status.
    Reason::NoDefaultServer,
    Reason::ReceiverNotFound,
    Reason::ProfileNotFound,
    Reason::RefNotFound,
    Reason::SelfAddressed,
    Reason::DomainNotAuthorized,
    Reason::AwaitingReply,
    Reason::ReplyTimeout,
    Reason::ReplyLate,
    Reason::ReplyFromMismatch,
    Reason::ReplySubjectMissing,
    Reason::ReplyBodyMissing,
    Reason::MailboxUnseen,
    Reason::SlowReply,
    Reason::FromRewritten,
    Reason::ProbeLost,
    // Of access tokens: tests/protocol/tokens, tests/mail/tokens and the tables of mail/oauth2.
    Reason::TokenAcquired,
    Reason::ClientSecretExpired,
    Reason::RefreshTokenExpired,
    Reason::ConsentRequired,
    // Of people who sign in: tests/cluster/device.
    Reason::DeviceCodePending,
    Reason::DeviceCodeExpired,
    Reason::DeviceCodeBlocked,
    // Of a MailReceiver: tests/cluster/receivers.
    Reason::NoListener,
    Reason::PortUnavailable,
    Reason::CertificateInvalid,
    Reason::CertificateKeyMismatch,
    Reason::MXRecordMissing,
    Reason::MXPointsElsewhere,
];

#[test]
fn every_reason_that_a_check_can_have_is_made_to_happen_by_a_conversation() {
    let tables =
        [references::ROWS, reaching::ROWS, proxy::ROWS, protecting::ROWS, logging_in::ROWS, sending::ROWS, mailboxes::ROWS];
    let happened: BTreeSet<Reason> = tables.into_iter().flat_map(reasons).collect();
    let expected: BTreeSet<Reason> = Reason::ALL.iter().copied().filter(|reason| !NOT_OF_A_CHECK.contains(reason)).collect();
    let missing: Vec<_> = expected.difference(&happened).collect();
    let surplus: Vec<_> = happened.difference(&expected).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:?}; not expected: {surplus:?}");
}
