//! Everything that a decision about a `MailServer` rests on, gathered before it: the object, what its references came
//! to, the breaker's hold, pauses and the time. It must not fetch anything itself; next: `decide`.

use super::{Check, Inputs};
use crate::{
    api::Reason,
    api::v1alpha1::{AuthType, CheckPhase, Claim, LastCheck, Level, MailServerSpec, MailServerStatus},
    mail::Diagnosis,
    verify::{Chosen, breaker::Hold, gate::Account, object::Object, warnings::Ends},
};

/// A `MailServer` and what surrounds it, at one moment.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// What all kinds have in common.
    pub object: Object<'a>,
    /// metadata.namespace.
    pub namespace: &'a str,
    /// metadata.name.
    pub name: &'a str,
    /// metadata.resourceVersion, which a claim carries (promise 1).
    pub resource_version: &'a str,
    /// Another, older `MailServer` of the namespace that is annotated as its default, where this one is too.
    pub other_default: Option<&'a str>,
    /// The spec.
    pub spec: &'a MailServerSpec,
    /// The status as it is stored.
    pub status: Option<&'a MailServerStatus>,
    /// What its references came to.
    pub observed: Result<Observed, Diagnosis>,
    /// The breaker's longest hold on any of its accounts. To be asked again at the end of a check: that check may have
    /// opened it.
    pub held: Option<Hold>,
    /// The number of objects that name it.
    pub used_by: i32,
    /// The check of this object that is running now, as [`super::decide()`] gave it.
    pub running: Option<Check>,
}

/// What the references of a spec came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// A keyed hash of all that is checked: those parts of the spec, credentials, CA bundle, client certificate.
    pub inputs: String,
    /// The accounts that may be logged in to, the primary's first; none where no login is set.
    pub accounts: Vec<Account>,
    /// The Secret of the credentials, as namespace/name.
    pub secret: Option<String>,
    /// When that Secret was last changed, RFC 3339.
    pub secret_changed: Option<String>,
    /// When what the application proves itself by ends, where that is known.
    pub credential_ends: Option<Ends>,
    /// Who checks.
    pub actors: Vec<Chosen>,
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
        let login = inputs.login.as_ref();
        Self {
            inputs: inputs.fingerprint.clone(),
            accounts: inputs.accounts(),
            secret: login.map(|login| login.secret.clone()),
            secret_changed: login.and_then(|login| login.changed.clone()),
            credential_ends: login.and_then(|login| login.ends().cloned()),
            actors: inputs.actors.clone(),
        }
    }
}

impl Seen<'_> {
    /// Whether the level asks for a login and one is set.
    #[must_use]
    pub fn logs_in(&self) -> bool {
        self.spec.level() >= Level::Authenticate && self.has_auth()
    }

    /// Whether the account logs in by access tokens.
    #[must_use]
    pub fn logs_in_by_token(&self) -> bool {
        self.spec.auth.as_ref().is_some_and(|auth| auth.r#type == AuthType::OAuth2)
    }

    /// Whether a login is set, used or not.
    #[must_use]
    pub fn has_auth(&self) -> bool {
        self.spec.auth.as_ref().is_some_and(|auth| auth.r#type != AuthType::None)
    }

    /// The hold that stands in the way of a login now.
    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        self.held.as_ref().filter(|hold| hold.until > self.object.now && self.logs_in())
    }

    /// Whether what is checked is what the last check judged.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let judged = self.status.and_then(|status| status.inputs_observed.as_deref());
        self.observed.as_ref().is_ok_and(|observed| judged == Some(observed.inputs.as_str()))
    }

    /// A claim in the status whose check neither runs nor has a result: its mail may have gone (promise 2).
    #[must_use]
    pub fn unsettled(&self) -> Option<&Claim> {
        let status = self.status?;
        let claim = status.claim.as_ref()?;
        let runs = self.running.as_ref().is_some_and(|check| check.id == claim.id);
        (!runs && !is_settled(claim, status.last_check.as_ref())).then_some(claim)
    }

    /// Whether an actor that could not be asked can be asked now.
    #[must_use]
    pub fn is_anybody_back(&self) -> bool {
        let told = self.status.map(|status| status.actors.as_slice()).unwrap_or_default();
        let is_back = |chosen: &Chosen| {
            let told = told.iter().find(|told| told.name == chosen.name).and_then(|told| told.reason.as_deref());
            let was_away = [Reason::ActorOffline, Reason::ActorSuspended].iter().any(|away| told == Some(away.as_str()));
            was_away && chosen.away.is_none()
        };
        self.observed.as_ref().is_ok_and(|observed| observed.actors.iter().any(is_back))
    }
}

/// Whether the check that took a claim has ended with a result, or a later one has.
fn is_settled(claim: &Claim, last: Option<&LastCheck>) -> bool {
    last.is_some_and(|last| {
        // Times are whole seconds, and who takes a claim puts its own check in `last`: another one with its time came later.
        let later = last.started_at.as_ref().is_some_and(|started| started.0 >= claim.started_at.0);
        last.phase == CheckPhase::Finished && (last.id == claim.id || later)
    })
}
