//! Everything that a decision about a `RoundTripPolicy` rests on, gathered before it. It must not fetch anything itself; next:
//! `decide`.

use jiff::Timestamp;

use super::{Inputs, Probe, matching::Answer};
use crate::{
    api::v1alpha1::{InFlight, RoundTripPolicySpec, RoundTripPolicyStatus},
    mail::Diagnosis,
    verify::{breaker::Hold, gate::Account, object::Object},
};

/// A `RoundTripPolicy` and what surrounds it, at one moment.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// What all kinds have in common.
    pub object: Object<'a>,
    /// The spec.
    pub spec: &'a RoundTripPolicySpec,
    /// The status as it is stored.
    pub status: Option<&'a RoundTripPolicyStatus>,
    /// What its references came to.
    pub observed: Result<Observed, Diagnosis>,
    /// The breaker's hold on the account of the server that sends.
    pub held: Option<Hold>,
    /// The probe of this object that this process sends, or watches for the answer to, now.
    pub running: Option<Probe>,
    /// What came that is about probes of this object, and is not settled by a status yet.
    pub came: Vec<Came>,
}

/// A mail that came, and what it is to a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Came {
    /// The probe's id, as the status has it.
    pub probe: String,
    /// When it came.
    pub received: Timestamp,
    /// What it is.
    pub answer: Answer,
}

/// What the references of a spec came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// A keyed hash of all that a probe rests on.
    pub inputs: String,
    /// The accounts that may be logged in to, the primary's first; none where no login is set.
    pub accounts: Vec<Account>,
    /// The Secret of the credentials, as namespace/name.
    pub secret: Option<String>,
    /// When that Secret was last changed, RFC 3339.
    pub secret_changed: Option<String>,
    /// The address in From.
    pub from: String,
    /// The address that answers come to, without an id.
    pub address: String,
    /// Whether answers come to a mailbox, which has to be looked at.
    pub reads: bool,
    /// Why it must wait: something that it names does not work.
    pub waits: Option<Diagnosis>,
}

impl Observed {
    /// What is known of the credentials on the primary, by [`Account::secret`].
    #[must_use]
    pub fn credentials(&self) -> Option<&str> {
        self.accounts.first().map(|account| account.secret.as_str())
    }
}

impl From<&Inputs> for Observed {
    fn from(inputs: &Inputs) -> Self {
        let login = inputs.sender.server.login.as_ref();
        Self {
            inputs: inputs.fingerprint.clone(),
            accounts: inputs.accounts(),
            secret: login.map(|login| login.secret.clone()),
            secret_changed: login.and_then(|login| login.changed.clone()),
            from: inputs.from.clone(),
            address: inputs.address(),
            reads: inputs.reads(),
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

    /// The probe under way.
    #[must_use]
    pub fn in_flight(&self) -> Option<&InFlight> {
        self.status?.in_flight.as_ref()
    }

    /// Whether what a probe rests on is what the last probe rested on.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let judged = self.status.and_then(|status| status.inputs_observed.as_deref());
        self.observed.as_ref().is_ok_and(|observed| judged == Some(observed.inputs.as_str()))
    }
}
