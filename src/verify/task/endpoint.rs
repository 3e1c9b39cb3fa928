//! Where an agent connects, and as whom: everything but what is secret.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::CertificateDer;

use super::{Contents, duration, millis};
use crate::{
    api::{
        Reason,
        v1alpha1::{Mechanism, TaskEndpoint},
    },
    mail::{
        Diagnosis,
        tls::{MinVersion, TlsPolicy, certificates},
    },
    verify::{
        Credential, Endpoint, Login,
        resolve::{host_name, invalid, port_number},
    },
};

/// The most octets of certificates that a task holds.
const CERTIFICATES: usize = 262_144;
/// The most characters of a user's name.
const USER: usize = 320;

/// What an agent connects with.
#[derive(Clone, Debug)]
pub struct Way {
    /// The server.
    pub endpoint: Endpoint,
    /// What its certificate must be.
    pub tls: TlsPolicy,
    /// The account; none where nobody logs in.
    pub login: Option<Login>,
    /// The time for it.
    pub timeout: Duration,
}

impl TaskEndpoint {
    /// A server as an agent is told of it. No password, token or key is in it.
    ///
    /// # Errors
    /// `SpecInvalid` where it has something that cannot be handed to an agent in this version.
    pub fn of(endpoint: &Endpoint, tls: &TlsPolicy, login: Option<&Login>, timeout: Duration) -> Result<Self, Diagnosis> {
        if login.is_some_and(|login| matches!(login.credential, Credential::OAuth2 { .. })) {
            return Err(invalid("what access tokens are had with is not handed to an agent"));
        }
        let ca = pem(tls.added());
        if ca.len() > CERTIFICATES {
            return Err(invalid("the CA bundle is larger than 256 KiB, and cannot be handed to an agent"));
        }
        let user = login.map(|login| login.credential.user().to_owned()).unwrap_or_default();
        if user.chars().count() > USER {
            return Err(invalid("the user name is longer than 320 characters, and cannot be handed to an agent"));
        }
        Ok(Self {
            host: endpoint.host.clone(),
            port: endpoint.port.into(),
            security: endpoint.security,
            ca: Some(ca).filter(|ca| !ca.is_empty()),
            server_name: tls.server_name.clone(),
            min_version: Some(tls.min_version.as_str().to_owned()),
            insecure_skip_verify: tls.skip_verify.then_some(true),
            client_certificate: tls.client.as_ref().map(|_| true),
            user,
            token: login.is_some_and(|login| matches!(login.credential, Credential::Token { .. })).then_some(true),
            mechanisms: login.map(|login| login.mechanisms.iter().copied().take(8).collect()).unwrap_or_default(),
            allow_plaintext: login.is_some_and(|login| login.allow_plaintext).then_some(true),
            timeout_millis: millis(timeout, 1, 600_000),
        })
    }

    /// What an agent connects with. `secret` is the name of the task's Secret, `contents` what it holds.
    ///
    /// # Errors
    /// `SpecInvalid` and `CABundleInvalid` where a value makes no sense.
    pub fn way(&self, contents: &Contents, secret: String) -> Result<Way, Diagnosis> {
        let added = certificates(self.ca.as_deref().unwrap_or_default().as_bytes()).map_err(|fault| {
            let said = format!("the task's CA bundle cannot be read: {fault}");
            Diagnosis::new(Reason::CABundleInvalid).detail(said).fact("fault", fault)
        })?;
        let least = if self.min_version.as_deref() == Some("1.3") { MinVersion::Tls13 } else { MinVersion::Tls12 };
        let mut tls = TlsPolicy::new(&added, least);
        tls.server_name.clone_from(&self.server_name);
        tls.skip_verify = self.insecure_skip_verify.unwrap_or(false);
        tls.client.clone_from(&contents.client);
        let port = port_number(Some(self.port))?.ok_or_else(|| invalid("a port is between 1 and 65535"))?;
        let (user, secret_value) = (self.user.clone(), contents.password.clone());
        let login = Login {
            credential: if self.token == Some(true) {
                Credential::Token { user, token: secret_value }
            } else {
                Credential::Password { user, password: secret_value }
            },
            mechanisms: if self.mechanisms.is_empty() { vec![Mechanism::Auto] } else { self.mechanisms.clone() },
            allow_plaintext: self.allow_plaintext.unwrap_or(false),
            secret,
            changed: None,
            // The breaker that asks for it is the operator's.
            fingerprint: String::new(),
        };
        Ok(Way {
            endpoint: Endpoint { host: host_name(&self.host, "the task's host")?, port, security: self.security },
            tls,
            login: Some(login).filter(|_| !self.user.is_empty()),
            timeout: duration(self.timeout_millis),
        })
    }
}

/// Certificates in PEM (RFC 7468).
pub(super) fn pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    for certificate in certificates {
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
