//! What the specs of all kinds name, read and judged: accounts, CA bundles, client certificates, hosts and ports. Nothing in
//! here touches the network but what references are read over; a device code that waits is asked about from here on, while the object
//! is not paused or suspended ([`super::tokens::Source::kept_in`]).

mod account;
mod consent;
mod federated;
mod kept;
mod oauth2;
mod trust;

pub(super) use account::account;
pub use consent::{Consent, consent};
pub(super) use trust::trust;

use crate::{
    api::Reason,
    mail::{Diagnosis, guard::bare},
    verify::{References, Stored, fingerprint::Key},
};

/// The key of a refresh token in the Secret that `tokenSecretName` names.
const REFRESH_TOKEN: &str = "refresh_token";

/// Which object is resolved, and the rules of the installation.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The object's kind.
    pub kind: &'static str,
    /// The object's namespace.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The object's UID; empty where it lives in a file.
    pub uid: &'a str,
    /// The installation's key.
    pub key: &'a Key,
    /// Whether each Secret must name the hosts that it may go to.
    pub require_allowed_hosts: bool,
}

impl About<'_> {
    /// The object as `kubectl mail login` takes it.
    fn to_sign_in(self) -> String {
        if self.kind == "MailServer" { format!("ms/{}", self.name) } else { self.name.to_owned() }
    }
}

pub(super) fn host_name(host: &str, field: &str) -> Result<String, Diagnosis> {
    let host = bare(host.trim());
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control() || "/@?#".contains(c)) {
        return Err(invalid(&format!("{field} is no name and no IP address")));
    }
    Ok(host.to_owned())
}

pub(super) fn port_number(port: Option<i32>) -> Result<Option<u16>, Diagnosis> {
    let number = |port| u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| invalid("a port is between 1 and 65535"));
    port.map(number).transpose()
}

/// That a value in the spec makes no sense.
pub(super) fn invalid(fault: &str) -> Diagnosis {
    Diagnosis::new(Reason::SpecInvalid).detail(fault).fact("fault", fault)
}

pub(super) async fn secret(references: &dyn References, namespace: &str, name: &str, keys: &str) -> Result<Stored, Diagnosis> {
    references.secret(namespace, name).await?.ok_or_else(|| {
        Diagnosis::new(Reason::SecretNotFound)
            .fact("secret", format!("{namespace}/{name}"))
            .fact("keys", keys)
            .detail(format!("there is no Secret {namespace}/{name}"))
    })
}

fn key_missing(place: &str, missing: &[&str], secret: &Stored) -> Diagnosis {
    let present: Vec<&str> = secret.data.keys().map(String::as_str).take(16).collect();
    let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
    Diagnosis::new(Reason::SecretKeyMissing)
        .fact("secret", place)
        .fact("missing", missing.join(", "))
        .detail(format!("Secret {place} lacks {}", missing.join(", ")))
        .fact("present", present)
}
