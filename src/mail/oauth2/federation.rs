//! Google's workload identity federation: a token of somebody else's is exchanged for one of Google's (RFC 8693), and with that
//! Google signs the assertion of a service account, whose key nobody has. The assertion can name a user, which a token of the
//! service account itself cannot; and only users have mailboxes.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Identity, Refusal, Request, answer,
    assertion::Claims,
    not_judged,
    request::{Form, add},
};
use crate::{
    api::{Class, Reason},
    mail::{
        Diagnosis,
        diagnosis::printable,
        https::{Answer, Https, Url},
    },
};

/// What the token for signing is for.
/// Source: <https://developers.google.com/identity/protocols/oauth2/scopes#iamcredentials>
const SCOPE: &str = "https://www.googleapis.com/auth/iam";

/// How Google is brought to sign for a service account.
#[derive(Clone, Debug)]
pub struct Federation {
    /// Who vouches for us.
    pub identity: Arc<dyn Identity>,
    /// The full name of the pool's provider, which believes them.
    pub pool: String,
    /// The service account's address.
    pub account: String,
    /// The user that it acts for.
    pub subject: Option<String>,
    /// Where tokens are exchanged.
    pub exchange: Url,
    /// Where the account's assertions are signed.
    pub signing: Url,
}

#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "signedJwt")]
    signed_jwt: Option<String>,
    error: Option<GoogleError>,
}

#[derive(Deserialize)]
struct GoogleError {
    status: Option<String>,
    message: Option<String>,
}

impl Federation {
    /// The signed assertion for `request`.
    pub(super) async fn assertion(
        &self,
        https: &Https,
        request: &Request,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<SecretString, Refusal> {
        let vouched = self.identity.token().await.map_err(not_judged)?;
        let (form, exchange) = self.exchange_form(request, &vouched);
        let answered = https.post(&self.exchange, None, &form.body, deadline).await;
        let answered = answered.map_err(|failure| away(&self.exchange, &failure))?;
        let token = answer::read(&answered, &exchange, &form)?;
        let scope = request.scopes.join(" ");
        let claims = Claims {
            issuer: &self.account,
            subject: self.subject.as_deref(),
            audience: request.endpoint.to_string(),
            scope: Some(&scope),
        };
        let body = serde_json::json!({ "payload": claims.at(now).to_string() }).to_string();
        let bearer = SecretString::from(format!("Bearer {}", token.secret.expose_secret()));
        let answered = https.post_json(&self.signing, &bearer, &SecretString::from(body), deadline).await;
        self.read(&answered.map_err(|failure| away(&self.signing, &failure))?)
    }

    /// The exchange, and the request that its errors are judged by.
    fn exchange_form(&self, request: &Request, vouched: &SecretString) -> (Form, Request) {
        let mut body = String::new();
        for (name, value) in [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", self.pool.as_str()),
            ("scope", SCOPE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token", vouched.expose_secret()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ] {
            add(&mut body, name, value);
        }
        let form = Form { body: SecretString::from(body), authorization: None, secrets: vec![vouched.clone()] };
        (form, Request { endpoint: self.exchange.clone(), ..request.clone() })
    }

    fn read(&self, answered: &Answer) -> Result<SecretString, Refusal> {
        let place = &self.signing.host;
        let Ok(signed) = serde_json::from_slice::<Signed>(&answered.body) else { return Err(answer::nonsense(answered, place)) };
        match (signed.signed_jwt, signed.error) {
            (Some(jwt), None) if answered.status == 200 && answer::is_token(&jwt) => Ok(SecretString::from(jwt)),
            (_, error) => Err(self.refused(answered, error)),
        }
    }

    fn refused(&self, answered: &Answer, error: Option<GoogleError>) -> Refusal {
        let (status, message) = error.map(|error| (error.status, error.message)).unwrap_or_default();
        let status = status.map_or_else(|| answered.status.to_string(), |status| printable(&status, 64));
        let detail = format!("{} does not sign for {}: {status}", self.signing.host, self.account);
        let later = answered.status >= 500 || answered.status == 429;
        let diagnosis = Diagnosis::new(Reason::OAuthTokenFailed)
            .class(if later { Class::Transient } else { Class::User })
            .words(message.unwrap_or_default())
            .detail(detail.clone());
        let cure = format!(
            "Grant the pool's principal the role Service Account Token Creator on {}, and enable the IAM Service Account Credentials API",
            self.account
        );
        let diagnosis = if later { diagnosis.fact("fault", detail) } else { diagnosis.fact("cure", cure) };
        Refusal { diagnosis, judged: false, retry_after: answered.retry_after }
    }
}

fn away(url: &Url, failure: &Diagnosis) -> Refusal {
    let fault = format!("nothing could be had from {}: {}", url.host, failure.said());
    not_judged(Diagnosis::new(Reason::OAuthTokenFailed).class(failure.class).detail(fault.clone()).fact("fault", fault))
}
