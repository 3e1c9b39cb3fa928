//! The server through which a profile's own account sends: a login there is proved, or a `MailServer` does it.

use crate::{
    api::{
        Reason,
        v1alpha1::{Auth, AuthType, EmailProfileSpec, MailboxProtocol, Outgoing},
    },
    mail::{Diagnosis, tls::TlsPolicy},
    verify::{
        Endpoint, Login, References,
        email_profile::presets,
        lending::{not_ready, server},
        mail_server,
        resolve::{About, host_name, port_number, trust},
    },
};

/// The outgoing server, before the account is known.
pub enum Outward {
    /// Written in the profile, or by its provider's preset.
    Here { endpoint: Endpoint, tls: Box<TlsPolicy>, auth: Option<Box<Auth>> },
    /// A `MailServer` with the same account.
    There { name: String, server: Box<mail_server::Inputs>, waits: Option<Diagnosis> },
}

impl Outward {
    pub async fn of(spec: &EmailProfileSpec, about: &About<'_>, references: &dyn References) -> Result<Option<Self>, Diagnosis> {
        if !matches!(spec.protocol, MailboxProtocol::IMAP | MailboxProtocol::POP3) {
            // A token for these APIs is none for SMTP.
            return Ok(None);
        }
        let Some(written) = &spec.outgoing else {
            let Some(provider) = spec.provider else { return Ok(None) };
            let (host, port, security) = presets::outgoing(provider);
            let endpoint = Endpoint { host: host.to_owned(), port, security };
            return Ok(Some(Self::Here { endpoint, tls: Box::default(), auth: spec.account.clone().map(Box::new) }));
        };
        if let Some(reference) = &written.server_ref {
            let found = server(reference, about, references).await?;
            let namespace = reference.namespace.as_deref().unwrap_or(about.namespace);
            let name = format!("{namespace}/{}", reference.name);
            let waits = not_ready(&found, &name);
            let uid = found.metadata.uid.as_deref().unwrap_or_default();
            let lending = About { kind: "MailServer", namespace, name: &reference.name, uid, ..*about };
            let server = Box::new(mail_server::resolve(&found.spec, &lending, references).await?);
            return Ok(Some(Self::There { name, server, waits }));
        }
        let security = written.security.unwrap_or_default();
        let host = host_name(written.host.as_deref().unwrap_or_default(), "outgoing.host")?;
        let endpoint = Endpoint { host, port: port_number(written.port)?.unwrap_or(security.smtp_port()), security };
        let (tls, _) = trust(written.tls.as_ref(), about, references).await?;
        let auth = outgoing_auth(written, spec.account.as_ref()).map(Box::new);
        Ok(Some(Self::Here { endpoint, tls: Box::new(tls), auth }))
    }

    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Here { endpoint, .. } => Some(endpoint),
            Self::There { .. } => None,
        }
    }

    pub fn skips_verification(&self) -> bool {
        matches!(self, Self::Here { tls, .. } if tls.skip_verify)
    }

    /// The check of the outgoing server, with the profile's account. A `MailServer` is checked by itself: here it only has
    /// to have the same account.
    pub fn with(self, login: &Login, about: &About<'_>) -> Result<(Option<mail_server::Inputs>, Option<Diagnosis>), Diagnosis> {
        match self {
            Self::There { name, server, waits } => {
                let other = server.login.as_ref().map(|login| login.credential.user()).unwrap_or_default();
                let mine = login.credential.user();
                if server.login.as_ref().is_none_or(|theirs| theirs.fingerprint != login.fingerprint) {
                    let theirs = if other.is_empty() { "no account".to_owned() } else { format!("account {other}") };
                    return Err(Diagnosis::new(Reason::AccountMismatch)
                        .fact("server", name.as_str())
                        .fact("theirs", theirs.as_str())
                        .fact("user", mine)
                        .detail(format!(
                            "MailServer {name} uses {theirs}, or another password; this profile's account is {mine}"
                        )));
                }
                Ok((None, waits))
            }
            Self::Here { endpoint, tls, auth } => {
                let login = auth.map(|auth| Login {
                    mechanisms: auth.mechanisms.unwrap_or_else(|| vec![crate::api::v1alpha1::Mechanism::Auto]),
                    allow_plaintext: auth.allow_plaintext.unwrap_or(false),
                    ..login.clone()
                });
                let object = format!("EmailProfile {}/{}", about.namespace, about.name);
                Ok((Some(mail_server::Inputs::login_only(endpoint, *tls, login, object)), None))
            }
        }
    }
}

/// The account as it is used on the outgoing server; none where that wants no login.
fn outgoing_auth(outgoing: &Outgoing, account: Option<&Auth>) -> Option<Auth> {
    let wanted = outgoing.auth.as_ref().is_none_or(|auth| auth.required);
    let account = account.filter(|account| wanted && account.r#type != AuthType::None)?;
    Some(Auth {
        mechanisms: outgoing.auth.as_ref().and_then(|auth| auth.mechanisms.clone()),
        allow_plaintext: outgoing.allow_plaintext,
        ..account.clone()
    })
}
