//! `check --live --sandbox`: what manifests name stands for a mail sandbox on this machine, so that a laptop without any
//! mail server can see what a check says.

use secrecy::ExposeSecret;

use super::{
    Error,
    given::{Fallback, Given},
};
use crate::{
    api::v1alpha1::{
        AllowedNamespaces, Auth, AuthType, CaKind, CaRef, EmailProfileSpec, MailServerSpec, MailboxProtocol, MailboxServer,
        NamespacesFrom, ObjectRef, Outgoing, SecretRef, Security, Sender, Tls, VerificationMode,
    },
    sandbox::{Account, Options, Ports, Running, Sandbox},
    verify::{Stored, email_profile, mail_server::inputs},
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

/// What became of a profile.
pub struct Redirected {
    /// Whether the mail goes to the sandbox's account.
    pub stands_in: bool,
    /// What is not as it is written: fields, each with words.
    pub notes: Vec<(&'static str, String)>,
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

    /// Answers with the sandbox's account and CA for every Secret and `ConfigMap` that is not in the files, and with its
    /// SMTP for every `MailServer`.
    #[must_use]
    pub fn answer(&self, given: Given) -> Given {
        let stored = |data: Vec<(&str, &str)>| Stored {
            data: data.into_iter().map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect(),
            ..Stored::default()
        };
        let password = self.account.password.expose_secret();
        given.or_these(Fallback {
            secret: stored(vec![("username", &self.account.user), ("password", password)]),
            config_map: stored(vec![("ca.crt", &self.sandbox.ca)]),
            server: MailServerSpec {
                host: Some("localhost".to_owned()),
                port: Some(self.sandbox.ports.smtp.into()),
                tls: Some(its_tls()),
                auth: Some(its_account()),
                sender: Some(Sender { address: format!("mailverity@{}", self.domain()), display_name: None, reply_to: None }),
                allowed_namespaces: Some(AllowedNamespaces { from: NamespacesFrom::All, selector: None }),
                ..MailServerSpec::default()
            },
        })
    }

    /// Points a server to the sandbox. One at `localhost` is taken as it is written, but for the ports; with another, the
    /// sandbox also stands in for its account, its certificate and its recipient.
    pub fn redirect(&self, spec: &mut MailServerSpec) {
        let Ok(mut endpoints) = inputs::endpoints(spec) else { return };
        let primary = endpoints.swap_remove(0);
        let meant = primary.host == "localhost";
        let port = self.smtp(primary.port, primary.security);
        (spec.host, spec.url, spec.port, spec.security) =
            (Some("localhost".to_owned()), None, Some(i32::from(port)), Some(primary.security));
        if meant {
            return;
        }
        spec.alternates = None;
        stand_in(spec.tls.get_or_insert_default());
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

    /// Points a server that a profile names to the sandbox. That takes mail of nobody who did not log in, whatever the server
    /// that it stands for does.
    pub fn lend(&self, spec: &mut MailServerSpec) {
        let stands_in = inputs::endpoints(spec).is_ok_and(|all| all.first().is_some_and(|primary| primary.host != "localhost"));
        self.redirect(spec);
        if stands_in && spec.auth.as_ref().is_none_or(|auth| auth.r#type != AuthType::Password) {
            spec.auth = Some(its_account());
        }
    }

    /// Points a profile to the sandbox's POP3. One with POP3 at `localhost` is taken as it is written, but for the ports; with
    /// another, the sandbox also stands in for its account, its certificate and its address.
    pub fn redirect_profile(&self, spec: &mut EmailProfileSpec) -> Redirected {
        let mut notes = Vec::new();
        if spec.protocol != MailboxProtocol::POP3 {
            notes.push(("spec.protocol", format!("the sandbox has no {:?}: its POP3 stands for it", spec.protocol)));
        }
        if spec.mode() == VerificationMode::Manual {
            notes.push(("spec.verification.mode", "nobody else can send to the sandbox: the mail is sent from here".to_owned()));
            let verification = spec.verification.get_or_insert_default();
            verification.mode = Some(VerificationMode::Automatic);
            verification.sender_ref = Some(ObjectRef { name: ITS_OWN.to_owned(), namespace: None });
        }
        let stands_in = self.redirect_mailbox(spec);
        Redirected { stands_in, notes }
    }

    fn redirect_mailbox(&self, spec: &mut EmailProfileSpec) -> bool {
        let written = email_profile::inputs::incoming(spec).ok().map(|(_, endpoint)| endpoint);
        let meant = written.as_ref().is_some_and(|at| at.host == "localhost") && spec.protocol == MailboxProtocol::POP3;
        let (port, security) = written.map_or((0, Security::TLS), |at| (at.port, at.security));
        let ports = self.sandbox.ports;
        let (port, security) = match (port, security) {
            (port, security) if port == NAMED.pop3 => (ports.pop3, security),
            (port, security) if port == NAMED.pop3s => (ports.pop3s, security),
            (_, Security::TLS) => (ports.pop3s, Security::TLS),
            _ => (ports.pop3, Security::StartTLS),
        };
        let server = spec.server.get_or_insert_with(MailboxServer::default);
        "localhost".clone_into(&mut server.host);
        (server.port, server.security) = (Some(port.into()), Some(security));
        if let Some(outgoing) = spec.outgoing.as_mut().filter(|outgoing| outgoing.server_ref.is_none()) {
            let security = outgoing.security.unwrap_or_default();
            let port = outgoing.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(security.smtp_port());
            outgoing.host = Some("localhost".to_owned());
            outgoing.port = Some(self.smtp(port, security).into());
        }
        if meant {
            return false;
        }
        stand_in(server.tls.get_or_insert_default());
        if spec.provider.take().is_some() && spec.outgoing.is_none() {
            let (host, port) = (Some("localhost".to_owned()), Some(self.sandbox.ports.smtp.into()));
            spec.outgoing = Some(Outgoing { host, port, ..Outgoing::default() });
        }
        if let Some(outgoing) = spec.outgoing.as_mut().filter(|outgoing| outgoing.server_ref.is_none()) {
            stand_in(outgoing.tls.get_or_insert_default());
            if let Some(auth) = &mut outgoing.auth {
                auth.mechanisms = None;
            }
        }
        (spec.protocol, spec.graph, spec.gmail) = (MailboxProtocol::POP3, None, None);
        spec.account = Some(its_account());
        true
    }

    /// Sends the profile's mail to the sandbox's account, where that stands in for the profile's own.
    pub fn readdress(&self, inputs: &mut email_profile::Inputs) {
        inputs.address.clone_from(&self.account.user);
        if let Some(test) = inputs.sender.as_mut().and_then(|sender| sender.server.test.as_mut()) {
            test.to.clone_from(&self.account.user);
        }
    }

    fn smtp(&self, port: u16, security: Security) -> u16 {
        let ports = self.sandbox.ports;
        match (port, security) {
            (port, _) if port == NAMED.smtp => ports.smtp,
            (port, _) if port == NAMED.smtps => ports.smtps,
            (port, _) if port == NAMED.plain => ports.plain,
            (587, _) | (_, Security::StartTLS) => ports.smtp,
            (465, _) | (_, Security::TLS) => ports.smtps,
            (_, Security::None) => ports.plain,
        }
    }

    fn domain(&self) -> &str {
        self.account.user.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

fn its_account() -> Auth {
    let secret = SecretRef { name: ITS_OWN.to_owned(), username_key: "username".to_owned(), password_key: "password".to_owned() };
    Auth { r#type: AuthType::Password, secret_ref: Some(secret), ..Auth::default() }
}

fn its_tls() -> Tls {
    let mut tls = Tls::default();
    stand_in(&mut tls);
    tls
}

/// The sandbox's certificate is trusted, and no other.
fn stand_in(tls: &mut Tls) {
    tls.ca_ref = Some(CaRef { kind: CaKind::ConfigMap, name: ITS_OWN.to_owned(), key: "ca.crt".to_owned() });
    (tls.server_name, tls.client_certificate_ref, tls.insecure_skip_verify) = (None, None, None);
}
