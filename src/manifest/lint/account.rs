//! An account as manifests give it, and the Secret that holds it.

use super::{Files, Say};
use crate::{
    api::v1alpha1::{ALLOWED_HOSTS, Auth, OAuth2Provider, SecretRef},
    mail::smtp::providers::{Provider, recognise},
    manifest::{Document, Finding, Severity, stored},
};

/// A user name in the spec that few servers take. `field` is that of the [`Auth`].
pub(super) fn user(field: &str, auth: Option<&Auth>, say: Say) {
    if let Some(user) = auth.and_then(|auth| auth.username.as_deref()).filter(|user| is_bare(user)) {
        say(Severity::Warning, &format!("{field}.username"), bare(user));
    }
}

/// A password that may be seen. `field` is that of the map that says so.
pub(super) fn plaintext(field: &str, allowed: Option<bool>, say: Say) {
    if allowed == Some(true) {
        let message = "PLAIN and LOGIN show the password to whoever watches the network";
        say(Severity::Warning, &format!("{field}.allowPlaintext"), message.to_owned());
    }
}

/// A provider's token at a host of another, which would see it and has no use for it. `field` is that of the [`Auth`].
pub(super) fn strangers(field: &str, auth: Option<&Auth>, hosts: &[&str], say: Say) {
    let Some(oauth2) = auth.and_then(|auth| auth.oauth2.as_ref()) else { return };
    let (own, name) = match oauth2.provider {
        OAuth2Provider::Microsoft365 => (Provider::Microsoft365, "Microsoft365"),
        OAuth2Provider::Google => (Provider::Google, "Google"),
        OAuth2Provider::Custom => return,
    };
    for host in hosts {
        if recognise(host, None).is_some_and(|other| other != own) {
            let message = format!("{host} is not {name}'s: it would be shown {name}'s token, and has no use for it");
            say(Severity::Warning, &format!("{field}.oauth2.provider"), message);
        }
    }
}

/// The Secret of an account, if it names one: its keys, what they hold, and whether it may go to `hosts`. `field` is that of
/// the [`Auth`] in `document`.
pub(super) fn secret(document: &Document, field: &str, auth: Option<&Auth>, hosts: &[&str], files: &Files) -> Vec<Finding> {
    let Some((auth, reference)) = auth.and_then(|auth| Some((auth, auth.secret_ref.as_ref()?))) else { return Vec::new() };
    let (field, name) = (format!("{field}.secretRef"), reference.name.as_str());
    let mine = document.namespace(files.namespace);
    let is_it = |d: &&&Document| stored::is_secret(d) && d.name() == name && d.namespace(files.namespace) == mine;
    let Some(secret) = files.documents.iter().find(is_it) else {
        let message = format!("Secret {mine}/{name} is not among these files; it has to be in the cluster");
        return vec![document.finding(Severity::Note, &field, message)];
    };
    let mut findings = keys(document, &field, auth, reference, secret, mine);
    if let Some(pinned) = stored::annotations(secret).get(ALLOWED_HOSTS) {
        let allowed = |host: &str| pinned.split(',').any(|known| known.trim().eq_ignore_ascii_case(host));
        for host in hosts.iter().filter(|host| !allowed(host)) {
            let message = format!("Secret {mine}/{name} is pinned to {pinned}, and would not be sent to {host}");
            findings.push(document.finding(Severity::Warning, &field, message));
        }
    }
    findings
}

fn keys(document: &Document, field: &str, auth: &Auth, reference: &SecretRef, secret: &Document, mine: &str) -> Vec<Finding> {
    // A Secret that cannot be decoded is an error that was said already.
    let Ok(content) = stored::content(secret) else { return Vec::new() };
    let user = auth.username.is_none().then_some(reference.username_key.as_str());
    let mut findings = Vec::new();
    for key in user.into_iter().chain([reference.password_key.as_str()]) {
        let at = format!("{}.{key}", if secret.value["stringData"].get(key).is_some() { "stringData" } else { "data" });
        match content.get(key).map(|value| String::from_utf8_lossy(value)) {
            None => {
                let present = content.keys().cloned().collect::<Vec<_>>().join(", ");
                let message = format!("Secret {mine}/{} has no key {key}; it has {present}", reference.name);
                findings.push(document.finding(Severity::Warning, field, message));
            }
            Some(value) if value.trim().is_empty() => findings.push(secret.finding(Severity::Warning, &at, "is empty")),
            Some(value) if value.ends_with(['\n', '\r']) => {
                let message = "ends in a newline, which would be a part of it: use printf, or `kubectl create secret`, not echo";
                findings.push(secret.finding(Severity::Warning, &at, message));
            }
            Some(value) if Some(key) == user && is_bare(&value) => {
                findings.push(secret.finding(Severity::Warning, &at, bare(&value)));
            }
            Some(_) => {}
        }
    }
    findings
}

fn is_bare(user: &str) -> bool {
    !user.contains(['@', '\\'])
}

fn bare(user: &str) -> String {
    format!("{user:?} is a bare login; most servers want user@domain, Exchange also DOMAIN\\user")
}
