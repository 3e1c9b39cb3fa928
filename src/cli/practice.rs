//! `check --live --sandbox`: servers in manifests stand for a mail sandbox on this machine, so that a laptop without any
//! mail server can see what a check says.

use secrecy::ExposeSecret;

use super::{Error, given::Given};
use crate::{
    api::v1alpha1::{CaKind, CaRef, MailServerSpec, Security},
    sandbox::{Account, Options, Ports, Running, Sandbox},
    verify::{Stored, mail_server::inputs},
};

/// The ports by which manifests name the sandbox; it listens on free ones.
const NAMED: Ports = Ports { smtp: 2587, smtps: 2465, plain: 2525, pop3: 2110, pop3s: 2995 };
/// A name that no manifest uses: whatever is not in the files comes from the sandbox.
const ITS_OWN: &str = "(sandbox)";

/// A sandbox, and what manifests have to be told to find it.
pub struct Practice {
    sandbox: Running,
    account: Account,
}

impl Practice {
    /// Starts a sandbox on free ports.
    ///
    /// # Errors
    /// Those of the sandbox, as words.
    pub async fn start() -> Result<Self, Error> {
        let sandbox = Sandbox::start(Options::default()).await.map_err(|error| Error::Usage(format!("--sandbox: {error}")))?;
        let account = sandbox.accounts.first().cloned().ok_or_else(|| Error::Usage("--sandbox: it has no account".to_owned()))?;
        Ok(Self { sandbox, account })
    }

    /// Answers with the sandbox's account and CA for every Secret and `ConfigMap` that is not in the files.
    #[must_use]
    pub fn answer(&self, given: Given) -> Given {
        let stored = |data: Vec<(&str, &str)>| Stored {
            data: data.into_iter().map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect(),
            ..Stored::default()
        };
        let password = self.account.password.expose_secret();
        given.or_these(
            stored(vec![("username", &self.account.user), ("password", password)]),
            stored(vec![("ca.crt", &self.sandbox.ca)]),
        )
    }

    /// Points a server to the sandbox. One at `localhost` is taken as it is written, but for the ports; with another, the
    /// sandbox also stands in for its account, its certificate and its recipient.
    pub fn redirect(&self, spec: &mut MailServerSpec) {
        let Ok(mut endpoints) = inputs::endpoints(spec) else { return };
        let primary = endpoints.swap_remove(0);
        let meant = primary.host == "localhost";
        let ports = self.sandbox.ports;
        let port = match (primary.port, primary.security) {
            (port, _) if port == NAMED.smtp => ports.smtp,
            (port, _) if port == NAMED.smtps => ports.smtps,
            (port, _) if port == NAMED.plain => ports.plain,
            (587, _) | (_, Security::StartTLS) => ports.smtp,
            (465, _) | (_, Security::TLS) => ports.smtps,
            (_, Security::None) => ports.plain,
        };
        (spec.host, spec.url, spec.port, spec.security) =
            (Some("localhost".to_owned()), None, Some(i32::from(port)), Some(primary.security));
        if meant {
            return;
        }
        spec.alternates = None;
        let tls = spec.tls.get_or_insert_default();
        tls.ca_ref = Some(CaRef { kind: CaKind::ConfigMap, name: ITS_OWN.to_owned(), key: "ca.crt".to_owned() });
        (tls.server_name, tls.client_certificate_ref, tls.insecure_skip_verify) = (None, None, None);
        if let Some(auth) = &mut spec.auth {
            auth.username = None;
            if let Some(reference) = &mut auth.secret_ref {
                ITS_OWN.clone_into(&mut reference.name);
                (reference.username_key, reference.password_key) = ("username".to_owned(), "password".to_owned());
            }
        }
        if let Some(test) = &mut spec.test {
            test.to.clone_from(&self.account.user);
        }
    }
}
