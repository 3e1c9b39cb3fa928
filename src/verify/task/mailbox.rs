//! A mailbox: everything but the password, which goes by the task's Secret.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::SecretString;

use super::{duration, millis};
use crate::{
    api::{
        Reason,
        v1alpha1::{Level, MailboxProtocol, Mechanism, TaskMailbox},
    },
    mail::{
        Diagnosis,
        protocol::Protocol,
        tls::{MinVersion, TlsPolicy, certificates},
    },
    verify::{
        Credential, Endpoint, Login,
        mailbox::Inputs,
        resolve::{host_name, invalid, port_number},
    },
};

/// The most octets of certificates that a task holds.
const CERTIFICATES: usize = 262_144;

impl TaskMailbox {
    /// The mailbox as an agent is told of it. No password or token is in it.
    ///
    /// # Errors
    /// `SpecInvalid` where it has something that cannot be handed to an agent in this version.
    pub fn of(inputs: &Inputs) -> Result<Self, Diagnosis> {
        let protocol = match inputs.protocol {
            Protocol::Imap => MailboxProtocol::IMAP,
            Protocol::Pop3 => MailboxProtocol::POP3,
            Protocol::Smtp => return Err(invalid("SMTP has no mailbox")),
        };
        if inputs.tls.client.is_some() {
            return Err(invalid(
                "a client certificate cannot be handed to an agent in this version: only the operator itself can use it",
            ));
        }
        let login = inputs.login.as_ref();
        if login.is_some_and(|login| matches!(login.credential, Credential::Token { .. })) {
            return Err(invalid("an access token cannot be handed to an agent in this version"));
        }
        let ca = pem(&inputs.tls);
        if ca.len() > CERTIFICATES {
            return Err(invalid("the CA bundle is larger than 256 KiB, and cannot be handed to an agent"));
        }
        let user = login.map(|login| login.credential.user().to_owned()).unwrap_or_default();
        if user.chars().count() > 320 {
            return Err(invalid("the user name is longer than 320 characters, and cannot be handed to an agent"));
        }
        Ok(Self {
            protocol,
            host: inputs.endpoint.host.clone(),
            port: inputs.endpoint.port.into(),
            security: inputs.endpoint.security,
            ca: Some(ca).filter(|ca| !ca.is_empty()),
            server_name: inputs.tls.server_name.clone(),
            min_version: Some(inputs.tls.min_version.as_str().to_owned()),
            insecure_skip_verify: inputs.tls.skip_verify.then_some(true),
            user,
            mechanisms: login.map(|login| login.mechanisms.iter().copied().take(8).collect()).unwrap_or_default(),
            allow_plaintext: login.is_some_and(|login| login.allow_plaintext).then_some(true),
            folder: inputs.mailbox.clone(),
            junk: inputs.junk.iter().take(8).cloned().collect(),
            timeout_millis: millis(inputs.timeout, 1, 600_000),
        })
    }
}

/// What an agent works with. `secret` is the name of the task's Secret, `resolving` the time that reading it took. Without a
/// user there is no login.
///
/// # Errors
/// `SpecInvalid` and `CABundleInvalid` where a value makes no sense.
pub fn inputs(mailbox: &TaskMailbox, password: SecretString, secret: String, resolving: Duration) -> Result<Inputs, Diagnosis> {
    let added = certificates(mailbox.ca.as_deref().unwrap_or_default().as_bytes()).map_err(|fault| {
        let said = format!("the task's CA bundle cannot be read: {fault}");
        Diagnosis::new(Reason::CABundleInvalid).detail(said).fact("fault", fault)
    })?;
    let least = if mailbox.min_version.as_deref() == Some("1.3") { MinVersion::Tls13 } else { MinVersion::Tls12 };
    let mut tls = TlsPolicy::new(&added, least);
    tls.server_name.clone_from(&mailbox.server_name);
    tls.skip_verify = mailbox.insecure_skip_verify.unwrap_or(false);
    let port = port_number(Some(mailbox.port))?.ok_or_else(|| invalid("a port is between 1 and 65535"))?;
    let login = Login {
        credential: Credential::Password { user: mailbox.user.clone(), password },
        mechanisms: if mailbox.mechanisms.is_empty() { vec![Mechanism::Auto] } else { mailbox.mechanisms.clone() },
        allow_plaintext: mailbox.allow_plaintext.unwrap_or(false),
        secret,
        changed: None,
        // The breaker that asks for it is the operator's.
        fingerprint: String::new(),
    };
    Ok(Inputs {
        protocol: match mailbox.protocol {
            MailboxProtocol::IMAP => Protocol::Imap,
            MailboxProtocol::POP3 => Protocol::Pop3,
            _ => return Err(invalid("an agent of this version opens mailboxes over IMAP and POP3 only")),
        },
        endpoint: Endpoint { host: host_name(&mailbox.host, "the task's host")?, port, security: mailbox.security },
        tls,
        login: Some(login).filter(|_| !mailbox.user.is_empty()),
        mailbox: mailbox.folder.clone(),
        junk: mailbox.junk.clone(),
        level: Level::Authenticate,
        timeout: duration(mailbox.timeout_millis),
        resolving,
    })
}

/// The certificates that are trusted beside the public roots, in PEM (RFC 7468).
fn pem(tls: &TlsPolicy) -> String {
    let mut pem = String::new();
    for certificate in tls.added() {
        let encoded = STANDARD.encode(certificate);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(64));
            // Writing to a String cannot fail.
            let _ = writeln!(pem, "{line}");
            rest = tail;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}
