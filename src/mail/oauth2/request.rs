//! What is asked of a token endpoint: a grant, and how the client proves that it is itself.

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Federation, Identity,
    assertion::{Claims, SigningKey},
};
use crate::mail::{Diagnosis, https::Url};

/// Everything that a token depends on.
#[derive(Clone, Debug)]
pub struct Request {
    /// The token endpoint.
    pub endpoint: Url,
    /// The application's id; empty for a service account, whose grant names it.
    pub client_id: String,
    /// How the application proves itself.
    pub proof: Proof,
    /// What entitles to a token.
    pub grant: Grant,
    /// What the token is for; none asks for what was granted.
    pub scopes: Vec<String>,
}

/// How an application proves that it is itself.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Not at all: a public client.
    None,
    /// A secret by HTTP Basic (RFC 6749 section 2.3.1), which each server must take.
    Basic(SecretString),
    /// A secret in the form, as Microsoft and Google document it.
    Post(SecretString),
    /// An assertion signed by its key (RFC 7523 section 2.2).
    Key(Arc<SigningKey>),
    /// A token of somebody else's, whom the provider was told to believe: Microsoft's federated credentials.
    /// Source: <https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation>
    Vouched(Arc<dyn Identity>),
}

/// What entitles to a token.
#[derive(Clone, Debug)]
pub enum Grant {
    /// The application itself (RFC 6749 section 4.4).
    ClientCredentials,
    /// A user who consented before (RFC 6749 section 6).
    RefreshToken(SecretString),
    /// A device (RFC 8628 section 3.1), which is given a code and no token.
    Device,
    /// A person who has signed in with a device code (RFC 8628 section 3.4).
    DeviceCode(SecretString),
    /// A service account, by a signed assertion (RFC 7523 section 2.1), for itself or for a user.
    /// Source: <https://developers.google.com/identity/protocols/oauth2/service-account>
    ServiceAccount {
        /// The account's key.
        key: Arc<SigningKey>,
        /// The account's address.
        issuer: String,
        /// The user that it acts for.
        subject: Option<String>,
    },
    /// The same without a key: somebody else vouches for us, and Google signs.
    Federated(Arc<Federation>),
}

/// A request as it is sent.
pub(super) struct Form {
    pub body: SecretString,
    pub authorization: Option<SecretString>,
    /// What of it must never be seen again.
    pub secrets: Vec<SecretString>,
}

impl Request {
    /// The request as it is sent at this time. `vouched`: the assertion that somebody else made, where the request rests on one.
    ///
    /// # Errors
    /// What is wrong with the key, in words that hold nothing of it.
    pub(super) fn form(&self, vouched: Option<SecretString>, now: Timestamp) -> Result<Form, String> {
        let (mut body, mut secrets, mut authorization) = (String::new(), Vec::new(), None);
        match &self.grant {
            Grant::ClientCredentials => add(&mut body, "grant_type", "client_credentials"),
            Grant::RefreshToken(token) => {
                add(&mut body, "grant_type", "refresh_token");
                add(&mut body, "refresh_token", token.expose_secret());
                secrets.push(token.clone());
            }
            Grant::Device => {}
            Grant::DeviceCode(code) => {
                add(&mut body, "grant_type", "urn:ietf:params:oauth:grant-type:device_code");
                add(&mut body, "device_code", code.expose_secret());
                secrets.push(code.clone());
            }
            Grant::ServiceAccount { key, issuer, subject } => {
                add(&mut body, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                let scope = self.scopes.join(" ");
                let claims =
                    Claims { issuer, subject: subject.as_deref(), audience: self.endpoint.to_string(), scope: Some(&scope) };
                let assertion = key.assertion(&claims, now)?;
                add(&mut body, "assertion", assertion.expose_secret());
                secrets.push(assertion);
            }
            Grant::Federated(_) => {
                let assertion = vouched.clone().ok_or("nobody has signed its assertion")?;
                add(&mut body, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                add(&mut body, "assertion", assertion.expose_secret());
                secrets.push(assertion);
            }
        }
        if !self.scopes.is_empty()
            && !matches!(self.grant, Grant::ServiceAccount { .. } | Grant::Federated(_) | Grant::DeviceCode(_))
        {
            add(&mut body, "scope", &self.scopes.join(" "));
        }
        let id = self.client_id.as_str();
        match &self.proof {
            Proof::Basic(secret) => {
                let login = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
                let encoded = SecretString::from(STANDARD.encode(&login));
                authorization = Some(SecretString::from(format!("Basic {}", encoded.expose_secret())));
                secrets.extend([secret.clone(), encoded]);
                drop(SecretString::from(login));
            }
            Proof::Post(secret) => {
                add(&mut body, "client_id", id);
                add(&mut body, "client_secret", secret.expose_secret());
                secrets.extend([secret.clone(), SecretString::from(encoded(secret.expose_secret()))]);
            }
            Proof::Key(key) => {
                let claims = Claims { issuer: id, subject: Some(id), audience: self.endpoint.to_string(), scope: None };
                secrets.push(asserted(&mut body, id, key.assertion(&claims, now)?));
            }
            Proof::Vouched(_) => secrets.push(asserted(&mut body, id, vouched.ok_or("nobody has vouched for it")?)),
            Proof::None if !id.is_empty() => add(&mut body, "client_id", id),
            Proof::None => {}
        }
        Ok(Form { body: SecretString::from(body), authorization, secrets })
    }

    /// Whether it asks Google for a token in exchange for one of somebody else's, which is a step of its own.
    pub(super) fn is_exchange(&self) -> bool {
        matches!(&self.grant, Grant::Federated(federation) if federation.exchange == self.endpoint)
    }

    /// What hints need.
    pub(super) fn facts(&self, diagnosis: Diagnosis) -> Diagnosis {
        let client = match &self.grant {
            Grant::ServiceAccount { issuer, .. } => issuer,
            Grant::Federated(federation) => &federation.account,
            _ => &self.client_id,
        };
        let scopes = if self.scopes.is_empty() { "what it asks for".to_owned() } else { self.scopes.join(", ") };
        diagnosis.fact("client", client).fact("scopes", scopes).fact("provider", &self.endpoint.host)
    }
}

/// Adds an assertion by which a client proves itself (RFC 7523 section 2.2).
fn asserted(body: &mut String, id: &str, assertion: SecretString) -> SecretString {
    add(body, "client_id", id);
    add(body, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    add(body, "client_assertion", assertion.expose_secret());
    assertion
}

pub(super) fn add(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(name);
    form.push('=');
    form.push_str(&encoded(value));
}

/// application/x-www-form-urlencoded, as RFC 6749 appendix B wants it. A space as %20 is understood everywhere too.
pub(in crate::mail) fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(proof: Proof, grant: Grant) -> (String, Option<String>) {
        let request = Request {
            endpoint: "https://login.test/token".parse().unwrap(),
            client_id: "us & them".to_owned(),
            proof,
            grant,
            scopes: vec!["mail".to_owned(), "more".to_owned()],
        };
        let form = request.form(None, Timestamp::UNIX_EPOCH).unwrap();
        let shown = |secret: &SecretString| secret.expose_secret().to_owned();
        (shown(&form.body), form.authorization.as_ref().map(shown))
    }

    #[test]
    fn a_secret_goes_where_the_provider_documents_it() {
        let (body, header) = sent(Proof::Post("s=c r+t".to_owned().into()), Grant::ClientCredentials);
        let want = "grant_type=client_credentials&scope=mail%20more&client_id=us%20%26%20them&client_secret=s%3Dc%20r%2Bt";
        assert_eq!((body.as_str(), header), (want, None));
        let (body, header) = sent(Proof::Basic("s:c".to_owned().into()), Grant::ClientCredentials);
        assert_eq!(body, "grant_type=client_credentials&scope=mail%20more");
        // RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
        assert_eq!(header.unwrap(), format!("Basic {}", STANDARD.encode("us%20%26%20them:s%3Ac")));
    }

    #[test]
    fn a_public_client_names_itself_beside_its_refresh_token() {
        let (body, header) = sent(Proof::None, Grant::RefreshToken("r".to_owned().into()));
        assert_eq!(body, "grant_type=refresh_token&refresh_token=r&scope=mail%20more&client_id=us%20%26%20them");
        assert!(header.is_none());
    }
}
