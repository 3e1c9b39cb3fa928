//! Where a refresh token is kept that a provider gave in place of another: what is kept, and who keeps it. Next: `renew`.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::SecretString;

use super::device::DeviceLogin;
use crate::{
    api::{Class, Reason},
    mail::Diagnosis,
    verify::Stored,
};

/// The annotation with [`Kept::application`], by which a Secret of the operator's own is told from a user's.
pub const APPLICATION: &str = "mailverity.dev/application";

/// Where something is kept, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The namespace of the Secret.
    pub namespace: String,
    /// The name of the Secret.
    pub name: String,
    /// Whom it is kept for: it goes when all of them are gone.
    pub owner: Owner,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An object of ours for which a Secret is kept, in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// What is kept of one credential.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// A keyed hash of the provider and the application: a token for one is shown to no other.
    pub application: String,
    /// Names the user's consent that all of it rests on, and stays through all refresh tokens that come of it: a keyed hash of the
    /// first, where a user has given it to us, or an id of its own.
    pub consent: String,
    /// The newest refresh token.
    pub refresh: Option<SecretString>,
    /// The device code that waits for a person.
    pub device: Option<Pending>,
    /// How the last login by device code ended, where it gave nothing, or what it gave is no good any more.
    pub ended: Option<Ended>,
    /// The version that was read: a write over another one is refused. None where there is nothing yet.
    pub version: Option<String>,
    /// The annotation that says where the Secret may go, as it was read; a write leaves it as it is.
    pub allowed_hosts: Option<String>,
}

/// A device code that waits for a person.
#[derive(Clone, Debug)]
pub struct Pending {
    /// What the provider knows us by.
    pub device_code: SecretString,
    /// What the person enters.
    pub user_code: String,
    /// The page on which it is entered.
    pub uri: String,
    /// When it ends.
    pub expires: Timestamp,
    /// How long to wait between two questions.
    pub interval: Duration,
}

/// The end of a login by device code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How many codes have ended, so that another end is told from this one.
    pub count: u32,
    /// Why.
    pub reason: Reason,
    /// What was said, scrubbed.
    pub said: String,
}

impl Ended {
    /// One more end.
    #[must_use]
    pub fn after(base: &Kept, reason: Reason, said: &str) -> Self {
        let count = base.ended.as_ref().map_or(0, |ended| ended.count).saturating_add(1);
        Self { count, reason, said: said.to_owned() }
    }
}

/// Why something was not written.
#[derive(Clone, Debug)]
pub enum Unwritten {
    /// It is not what was read any more.
    Changed,
    /// It could not be.
    Failed(Diagnosis),
}

impl Unwritten {
    /// The same, to be told.
    #[must_use]
    pub fn diagnosis(self) -> Diagnosis {
        let changed = || {
            let fault = "what is kept has changed in between";
            Diagnosis::new(Reason::OAuthTokenFailed).class(Class::Transient).detail(fault).fact("fault", fault)
        };
        match self {
            Self::Failed(diagnosis) => diagnosis,
            Self::Changed => changed(),
        }
    }
}

/// Who keeps refresh tokens.
pub trait Keeper: Send + Sync {
    /// What is kept there; none where nothing is. The place's owner is one of its owners from now on.
    ///
    /// # Errors
    /// `Conflict` where somebody else has made it, `RefUnreadable`.
    fn read<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Option<Kept>, Diagnosis>>;

    /// Keeps this there, over the version that it names.
    ///
    /// # Errors
    /// [`Unwritten`].
    fn write<'a>(&'a self, place: &'a Place, kept: &'a Kept) -> BoxFuture<'a, Result<(), Unwritten>>;

    /// Whether this process is the one that may use what is kept.
    fn leads(&self) -> bool {
        true
    }

    /// Whether the object that this is kept for is to be left alone: it is paused, suspended or gone.
    fn rests(&self, place: &Place) -> bool {
        let _ = place;
        false
    }
}

/// The place of one credential, and what must be true of what is found there.
#[derive(Clone)]
pub struct Safe {
    /// Who keeps it.
    pub keeper: Arc<dyn Keeper>,
    /// Where.
    pub place: Place,
    /// [`Kept::application`].
    pub application: String,
    /// [`Kept::consent`].
    pub consent: String,
    /// How a person logs in, where refresh tokens come of that.
    pub login: Option<DeviceLogin>,
    /// The device code that waited when it was looked at.
    pub pending: Option<Pending>,
    /// The annotations of the Secret that say where it may go, where it is there already.
    pub stored: Option<Stored>,
}

impl Safe {
    /// Whether a person's sign-in may be asked about from here, now.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.keeper.leads() && !self.keeper.rests(&self.place)
    }

    /// Whether this is of the credential. Whoever logs in by device code gives the consent here.
    #[must_use]
    pub fn fits(&self, kept: &Kept) -> bool {
        kept.application == self.application && (self.login.is_some() || kept.consent == self.consent)
    }
}
