//! Where a refresh token is kept that a provider gave in place of another: what is kept, and who keeps it. Next: `renew`.

use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::SecretString;

use crate::mail::Diagnosis;

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
    /// A keyed hash of the provider, the application and what it asks for: a token for one is shown to no other.
    pub application: String,
    /// A keyed hash of the refresh token with which it began. It stays through all that come after.
    pub consent: String,
    /// The newest refresh token.
    pub refresh: Option<SecretString>,
    /// The version that was read: a write over another one is refused. None where there is nothing yet.
    pub version: Option<String>,
}

/// Why something was not written.
#[derive(Clone, Debug)]
pub enum Unwritten {
    /// It is not what was read any more.
    Changed,
    /// It could not be.
    Failed(Diagnosis),
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
}

impl Safe {
    /// Whether this is of the credential.
    #[must_use]
    pub fn fits(&self, kept: &Kept) -> bool {
        kept.application == self.application && kept.consent == self.consent
    }
}
