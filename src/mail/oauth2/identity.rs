//! Somebody else who vouches for us: with a token of theirs no secret need exist at the provider (RFC 7521 section 6.2, RFC 8693).

use std::fmt;

use futures::future::BoxFuture;
use secrecy::SecretString;

use crate::mail::Diagnosis;

/// Gives out tokens that say who we are.
pub trait Identity: fmt::Debug + Send + Sync {
    /// A token that is good for some minutes.
    ///
    /// # Errors
    /// `OAuthTokenFailed`, where none can be had.
    fn token(&self) -> BoxFuture<'_, Result<SecretString, Diagnosis>>;
}
