//! Access tokens from an OAuth 2.0 token endpoint (RFC 6749): by client credentials, a refresh token, a device code,
//! or a Google service account.
//!
//! `request` is what is asked, `assertion` how a key stands in for a secret (RFC 7523), `answer` reads what comes back and
//! `refusal` what a provider's errors mean. Nothing is kept here, and nothing tried again: whoever asks sees to that.

mod answer;
mod assertion;
pub mod device;
mod federation;
mod identity;
pub mod presets;
mod refusal;
mod request;

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::Instant;

use super::{
    Diagnosis,
    https::{Answer, Https},
};
use crate::api::Reason;
use request::Form;

pub use assertion::{Algorithm, SigningKey};
pub use federation::Federation;
pub use identity::Identity;
pub(in crate::mail) use request::encoded;
pub use request::{Grant, Proof, Request};

/// An access token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token itself.
    pub secret: SecretString,
    /// How long it is taken.
    pub lifetime: Duration,
    /// The refresh token that takes the place of the one that was shown, where the provider gave another.
    pub refresh: Option<SecretString>,
}

/// Why there is no token.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What to tell.
    pub diagnosis: Diagnosis,
    /// Whether the provider judged the secret, certificate or refresh token that it was shown, and refused it: to be shown again
    /// only where it has changed (promise 8).
    pub judged: bool,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Asks for a token, once.
///
/// # Errors
/// [`Refusal`]: `OAuthTokenFailed`, `ClientSecretExpired`, `RefreshTokenExpired`, `ConsentRequired` or one of the device codes', with the provider's own
/// words; where it could not be asked, or answered nonsense, transient.
pub async fn fetch(https: &Https, request: &Request, now: Timestamp, deadline: Instant) -> Result<Token, Refusal> {
    ask(https, request, now, deadline, |answer, form| answer::read(answer, request, form)).await
}

/// What is no judgement of a provider.
fn not_judged(diagnosis: Diagnosis) -> Refusal {
    Refusal { diagnosis, judged: false, retry_after: None }
}

/// Sends a request, and has its answer read. What is told of a failure knows whose request it was.
async fn ask<T>(
    https: &Https,
    request: &Request,
    now: Timestamp,
    deadline: Instant,
    read: impl FnOnce(&Answer, &Form) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let result = send(https, request, now, deadline, read).await;
    result.map_err(|refusal| Refusal { diagnosis: request.facts(refusal.diagnosis), ..refusal })
}

async fn send<T>(
    https: &Https,
    request: &Request,
    now: Timestamp,
    deadline: Instant,
    read: impl FnOnce(&Answer, &Form) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let vouched = match (&request.proof, &request.grant) {
        (Proof::Vouched(identity), _) => Some(identity.token().await.map_err(not_judged)?),
        (_, Grant::Federated(federation)) => Some(federation.assertion(https, request, now, deadline).await?),
        _ => None,
    };
    let form = request
        .form(vouched, now)
        .map_err(|fault| not_judged(Diagnosis::new(Reason::OAuthTokenFailed).detail(fault.clone()).fact("fault", fault)))?;
    let place = super::authority(&request.endpoint.host, request.endpoint.port);
    let asked = https.post(&request.endpoint, form.authorization.as_ref(), &form.body, deadline).await;
    match asked {
        Ok(answer) => read(&answer, &form),
        Err(inner) => {
            let fault = format!("no token could be had from {place}: {}", inner.said());
            let diagnosis =
                Diagnosis::new(Reason::OAuthTokenFailed).class(inner.class).detail(fault.clone()).fact("fault", fault);
            Err(Refusal { diagnosis, judged: false, retry_after: None })
        }
    }
}
