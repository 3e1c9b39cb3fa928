//! Access tokens: XOAUTH2 (Google's and Microsoft's own) and OAUTHBEARER (RFC 7628).
//!
//! A refused token comes back as a challenge that holds JSON; it must be answered before the server says its code.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Login, Response, SaslError, response, without};
use crate::{api::v1alpha1::Mechanism, mail::diagnosis::printable};

/// Google's and RFC 7628's error challenge; what else stands in it is of no use to people.
#[derive(Deserialize)]
struct Refusal {
    status: Option<serde_json::Value>,
    scope: Option<String>,
    schemes: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

pub(super) struct Bearer {
    mechanism: Mechanism,
    head: String,
    token: SecretString,
    error: Option<String>,
}

impl Bearer {
    /// `user=` user ^A `auth=Bearer ` token ^A ^A.
    /// Source: <https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>
    pub(super) fn xoauth2(login: &Login<'_>) -> Result<Self, SaslError> {
        Self::new(Mechanism::XOAuth2, login, |user| format!("user={user}\x01"))
    }

    /// A GS2 header that names the user, then key-value pairs between ^A (RFC 7628 section 3.1).
    pub(super) fn oauthbearer(login: &Login<'_>) -> Result<Self, SaslError> {
        let (host, port) = (login.host, login.port);
        Self::new(Mechanism::OAuthBearer, login, |user| {
            // RFC 5801 section 4: a comma and an equals sign are escaped in a name.
            let user = user.replace('=', "=3D").replace(',', "=2C");
            format!("n,a={user},\x01host={host}\x01port={port}\x01")
        })
    }

    fn new(mechanism: Mechanism, login: &Login<'_>, head: impl Fn(&str) -> String) -> Result<Self, SaslError> {
        let separators = [('\x01', "a control character (^A)"), ('\0', "a NUL")];
        without(mechanism, "the user name", login.user, &separators)?;
        without(mechanism, "the token", login.secret.expose_secret(), &separators)?;
        Ok(Self { mechanism, head: head(login.user), token: login.secret.clone(), error: None })
    }

    pub(super) fn message(&self) -> Response {
        let token = self.token.expose_secret();
        let mut message = Vec::with_capacity(self.head.len() + token.len() + 16);
        message.extend_from_slice(self.head.as_bytes());
        message.extend_from_slice(b"auth=Bearer ");
        message.extend_from_slice(token.as_bytes());
        message.extend_from_slice(b"\x01\x01");
        response(message)
    }

    /// An empty challenge asks for the message (a server that takes no initial response); any other is a refusal.
    pub(super) fn respond(&mut self, challenge: &[u8]) -> Response {
        if challenge.is_empty() {
            return self.message();
        }
        self.error = Some(told(challenge)).filter(|error| !error.is_empty());
        match self.mechanism {
            Mechanism::OAuthBearer => response(vec![1]),
            _ => response(Vec::new()),
        }
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

/// An error challenge as text: `status 401, scope https://mail.google.com/`; as it is where it is no JSON.
fn told(challenge: &[u8]) -> String {
    let text = String::from_utf8_lossy(challenge);
    let Ok(refusal) = serde_json::from_str::<Refusal>(&text) else {
        return printable(&text, 200);
    };
    let status = refusal.status.map(|status| match status {
        serde_json::Value::String(status) => status,
        other => other.to_string(),
    });
    let parts = [
        ("status", status),
        ("error", refusal.error),
        ("description", refusal.error_description),
        ("schemes", refusal.schemes),
        ("scope", refusal.scope),
    ];
    let parts =
        parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value.filter(|value| !value.is_empty())?)));
    printable(&parts.collect::<Vec<_>>().join(", "), 200)
}
