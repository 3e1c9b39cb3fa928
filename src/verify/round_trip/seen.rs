//! Everything that a decision about a `RoundTripPolicy` rests on, gathered before it. It must not fetch anything itself; next:
//! `decide`.

use jiff::Timestamp;

use super::{Inputs, Probe, matching::Answer};
use crate::{
    api::v1alpha1::{InFlight, RoundTripPolicySpec, RoundTripPolicyStatus, condition::SUSPENDED},
    mail::{Diagnosis, diagnosis::printable},
    verify::{
        breaker::Hold,
        gate::Account,
        halt::{Brakes, Mode, Pause},
    },
};

/// The most characters of a verify request that are echoed, and so that count (status.lastHandledVerifyRequest).
const REQUEST: usize = 256;

/// A `RoundTripPolicy` and what surrounds it, at one moment.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// metadata.uid: what the phase of the schedule and the jitter of back-off are made from.
    pub uid: &'a str,
    /// metadata.generation.
    pub generation: i64,
    /// metadata.creationTimestamp.
    pub created: Option<Timestamp>,
    /// Whether metadata.deletionTimestamp is set.
    pub deleted: bool,
    /// The annotation `mailverity.dev/verify-requested-at`.
    pub verify_requested_at: Option<&'a str>,
    /// The annotation `mailverity.dev/suspend-until`, as it is written.
    pub suspend_until: Option<&'a str>,
    /// The spec.
    pub spec: &'a RoundTripPolicySpec,
    /// The status as it is stored.
    pub status: Option<&'a RoundTripPolicyStatus>,
    /// What its references came to.
    pub observed: Result<Observed, Diagnosis>,
    /// The breaker's hold on the account of the server that sends.
    pub held: Option<Hold>,
    /// A pause of everything or of its namespace.
    pub pause: Option<Pause>,
    /// Whether the installation sends.
    pub mode: Mode,
    /// Whether more than `--max-new-at-once` objects are fresh at the same time: a restored or rebuilt cluster.
    pub crowded: bool,
    /// The probe of this object that this process sends, or watches for the answer to, now.
    pub running: Option<Probe>,
    /// What came that is about probes of this object, and is not settled by a status yet.
    pub came: Vec<Came>,
    /// When this process began to lead.
    pub since: Timestamp,
    /// Now.
    pub now: Timestamp,
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
    /// What may stop it.
    #[must_use]
    pub fn brakes(&self) -> Brakes<'_> {
        Brakes {
            suspend: self.spec.suspend == Some(true),
            suspend_until: self.suspend_until,
            pause: self.pause.as_ref(),
            maintenance: self.spec.maintenance.as_deref().unwrap_or_default(),
            now: self.now,
        }
    }

    /// The hold that stands in the way of a login now.
    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        self.held.as_ref().filter(|hold| hold.until > self.now)
    }

    /// The verify request that no probe has answered yet, as the status would echo it.
    #[must_use]
    pub fn request(&self) -> Option<String> {
        let asked = self.verify_requested_at.map(|asked| printable(asked, REQUEST)).filter(|asked| !asked.is_empty())?;
        let answered = self.status.and_then(|status| status.last_handled_verify_request.as_deref());
        (answered != Some(asked.as_str())).then_some(asked)
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

    /// Whether it was suspended, paused or in maintenance when the status was written.
    #[must_use]
    pub fn was_halted(&self) -> bool {
        self.status.is_some_and(|status| status.conditions.iter().any(|c| c.type_ == SUSPENDED && c.status == "True"))
    }

    /// Whether no operator has ever looked at the object: no status, or the schema's default of -1.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.status.and_then(|status| status.observed_generation).is_none_or(|generation| generation == -1)
    }
}
