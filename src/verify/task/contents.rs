//! What is secret in a task: it goes by the Secret of the same name.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::endpoint::pem;
use crate::{
    api::{
        Reason,
        v1alpha1::{ActorTaskSpec, TaskServer},
    },
    mail::{
        Diagnosis,
        tls::{ClientIdentity, TlsPolicy},
    },
    verify::Login,
};

/// The key of the password.
const PASSWORD: &str = "password";
/// The key of the code: a UUID as text.
const CODE: &str = "code";
/// The keys of a certificate to show, and of its key.
const CERTIFICATE: (&str, &str) = ("tls.crt", "tls.key");

/// What a task's Secret holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The password, or the access token in place of it; empty where nobody logs in.
    pub password: SecretString,
    /// The code of the mail that is looked for, or sent.
    pub code: Option<Uuid>,
    /// The certificate to show to a server that asks.
    pub client: Option<ClientIdentity>,
}

/// What of it a task needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    password: bool,
    code: bool,
    client: bool,
}

impl Needs {
    /// What a task needs.
    #[must_use]
    pub fn of(task: &ActorTaskSpec) -> Self {
        let sends = |server: &TaskServer| server.mail.is_some();
        Self {
            password: !task.endpoint.user.is_empty(),
            code: task.search.is_some() || task.server.as_ref().is_some_and(sends),
            client: task.endpoint.client_certificate == Some(true),
        }
    }
}

impl Contents {
    /// What a login and a policy hold that is secret, and a code.
    #[must_use]
    pub fn of(tls: &TlsPolicy, login: Option<&Login>, code: Option<Uuid>) -> Self {
        let password = login.and_then(|login| login.credential.secret().cloned()).unwrap_or_default();
        Self { password, code, client: tls.client.clone() }
    }

    /// By its keys, in the clear: for the Secret alone.
    #[must_use]
    pub fn exposed(&self) -> BTreeMap<&'static str, String> {
        let mut data = BTreeMap::new();
        let password = self.password.expose_secret();
        if !password.is_empty() {
            data.insert(PASSWORD, password.to_owned());
        }
        data.extend(self.code.map(|code| (CODE, code.to_string())));
        if let Some(client) = &self.client {
            data.insert(CERTIFICATE.0, pem(client.chain()));
            data.insert(CERTIFICATE.1, client.key().expose_secret().to_owned());
        }
        data
    }

    /// Reads what is needed.
    ///
    /// # Errors
    /// `SecretKeyMissing`, `SecretInvalid`: in words that hold nothing of it.
    pub fn read(mut data: BTreeMap<String, Vec<u8>>, needs: Needs) -> Result<Self, Diagnosis> {
        let mut take = |key: &str| {
            let missing = || {
                let said = format!("the task's Secret has no key {key}");
                Diagnosis::new(Reason::SecretKeyMissing).fact("missing", key).detail(said)
            };
            // The text in the error would be the secret.
            String::from_utf8(data.remove(key).ok_or_else(missing)?)
                .map(SecretString::from)
                .map_err(|_| unfit(key, "is no UTF-8 text"))
        };
        let password = if needs.password { take(PASSWORD)? } else { SecretString::default() };
        let code = if needs.code {
            let code = take(CODE)?;
            Some(Uuid::try_parse(code.expose_secret().trim()).map_err(|_| unfit(CODE, "is no UUID"))?)
        } else {
            None
        };
        let client = if needs.client {
            let (chain, key) = (take(CERTIFICATE.0)?, take(CERTIFICATE.1)?);
            let read = ClientIdentity::from_pem(chain.expose_secret().as_bytes(), key.expose_secret().as_bytes());
            Some(read.map_err(|fault| unfit(CERTIFICATE.0, &format!("and its key cannot be used: {fault}")))?)
        } else {
            None
        };
        Ok(Self { password, code, client })
    }
}

fn unfit(key: &str, fault: &str) -> Diagnosis {
    let said = format!("key {key} of the task's Secret {fault}");
    Diagnosis::new(Reason::SecretInvalid).fact("key", key).fact("fault", fault).detail(said)
}
