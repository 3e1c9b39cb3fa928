//! Everything that a decision about an `EmailProfile` rests on, gathered before it. It must not fetch anything itself; next:
//! `decide`.

use super::{Inputs, Run};
use crate::{
    api::v1alpha1::{EmailProfileSpec, EmailProfileStatus, ProfileActorStatus, VerificationMode},
    mail::Diagnosis,
    verify::{Chosen, breaker::Hold, gate::Account, object::Object, warnings::Ends},
};

/// An `EmailProfile` and what surrounds it, at one moment.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// What all kinds have in common.
    pub object: Object<'a>,
    /// The spec.
    pub spec: &'a EmailProfileSpec,
    /// The status as it is stored.
    pub status: Option<&'a EmailProfileStatus>,
    /// What its references came to.
    pub observed: Result<Observed, Diagnosis>,
    /// The breaker's hold on the mailbox's account.
    pub held: Option<Hold>,
    /// The breaker's hold on the account at the outgoing server, where that is another.
    pub outgoing_held: Option<Hold>,
    /// The run of this object that is under way in this process, as [`super::decide()`] gave it.
    pub running: Option<Run>,
}

/// What the references of a spec came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// A keyed hash of all that a run rests on.
    pub inputs: String,
    /// The accounts that may be logged in to, the mailbox's first.
    pub accounts: Vec<Account>,
    /// The Secret of the credentials, as namespace/name.
    pub secret: Option<String>,
    /// When that Secret was last changed, RFC 3339.
    pub secret_changed: Option<String>,
    /// When what the application proves itself by ends, where that is known.
    pub credential_ends: Option<Ends>,
    /// The actors that must find their codes.
    pub actors: Vec<Chosen>,
    /// host:port of the outgoing server whose login is proved.
    pub outgoing: Option<String>,
    /// Whom the mails come from.
    pub from: Option<String>,
    /// Why it must wait: a `MailServer` that it names does not work.
    pub waits: Option<Diagnosis>,
}

impl Observed {
    /// What is known of the credentials on the mailbox's server, by [`Account::secret`].
    #[must_use]
    pub fn credentials(&self) -> Option<&str> {
        self.accounts.first().map(|account| account.secret.as_str())
    }
}

impl From<&Inputs> for Observed {
    fn from(inputs: &Inputs) -> Self {
        let login = inputs.mailbox.login.as_ref();
        let outgoing = inputs.outgoing.as_ref().and_then(|outgoing| outgoing.endpoints.first());
        let sender = inputs.sender.as_ref().and_then(|sender| sender.server.sender.as_ref());
        Self {
            inputs: inputs.fingerprint.clone(),
            accounts: inputs.accounts(),
            secret: login.map(|login| login.secret.clone()),
            secret_changed: login.and_then(|login| login.changed.clone()),
            credential_ends: login.and_then(|login| login.ends().cloned()),
            actors: inputs.actors.clone(),
            outgoing: outgoing.map(ToString::to_string),
            from: sender.map(|sender| sender.address.clone()),
            waits: inputs.waits.clone(),
        }
    }
}

impl Seen<'_> {
    /// The hold that stands in the way of a login now.
    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        self.held.as_ref().filter(|hold| hold.until > self.object.now)
    }

    /// Whether what a run rests on is what the last run judged.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let judged = self.status.and_then(|status| status.inputs_observed.as_deref());
        self.observed.as_ref().is_ok_and(|observed| judged == Some(observed.inputs.as_str()))
    }

    /// Whether what the conditions say was found with what a run would rest on now.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let judged = self.status.and_then(|status| status.inputs_judged.as_deref());
        self.observed.as_ref().is_ok_and(|observed| judged == Some(observed.inputs.as_str()))
    }

    /// Whether a person sends the mail.
    #[must_use]
    pub fn is_manual(&self) -> bool {
        self.spec.mode() == VerificationMode::Manual
    }

    /// The actors that must find their codes; none where that cannot be told.
    #[must_use]
    pub fn actors(&self) -> &[Chosen] {
        self.observed.as_ref().map(|observed| observed.actors.as_slice()).unwrap_or_default()
    }

    /// What the status tells of an actor.
    #[must_use]
    pub fn actor(&self, name: &str) -> Option<&ProfileActorStatus> {
        self.status?.actors.iter().find(|actor| actor.name == name)
    }
}
