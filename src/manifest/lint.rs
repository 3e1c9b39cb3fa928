//! What the API server takes and a person would not want: warnings about objects that are valid.

use std::collections::BTreeMap;

use super::{Document, Finding, Severity, stored, walk::prune};
use crate::{
    api::{
        crd,
        v1alpha1::{ALLOWED_HOSTS, IS_DEFAULT_SERVER, Level, MailServerSpec, SecretRef, Security},
    },
    verify::{Endpoint, mail_server::inputs, maintenance::Windows},
};

/// Below this, a login at each interval looks like guessing to some providers.
const SHORT_INTERVAL: u64 = 300;

/// Warnings and notes about the `MailServer`s among `documents`, which are valid, and about the Secrets that they name.
/// `namespace` is that of objects that name none.
#[must_use]
pub fn lint(documents: &[&Document], namespace: &str) -> Vec<Finding> {
    let servers: Vec<_> = documents.iter().filter_map(|document| Server::of(document)).collect();
    let mut findings: Vec<_> = servers.iter().flat_map(|server| server.lint(documents, namespace)).collect();
    findings.extend(defaults(documents, namespace));
    findings
}

/// Two defaults in a namespace are none.
fn defaults(documents: &[&Document], namespace: &str) -> Vec<Finding> {
    let field = format!("metadata.annotations.{IS_DEFAULT_SERVER}");
    let mut first: BTreeMap<&str, &Document> = BTreeMap::new();
    let mut findings = Vec::new();
    let is_default = |document: &&&Document| {
        document.kind() == "MailServer" && document.text(&["metadata", "annotations", IS_DEFAULT_SERVER]) == "true"
    };
    for document in documents.iter().filter(is_default) {
        match first.get(document.namespace(namespace)) {
            None => drop(first.insert(document.namespace(namespace), document)),
            Some(other) => {
                let message = format!("{} is the default server of this namespace already; two are a Conflict", other.name());
                findings.push(document.finding(Severity::Warning, &field, message));
            }
        }
    }
    findings
}

struct Server<'a> {
    document: &'a Document,
    spec: MailServerSpec,
}

impl<'a> Server<'a> {
    fn of(document: &'a Document) -> Option<Self> {
        if document.kind() != "MailServer" || document.group() != crd::GROUP {
            return None;
        }
        let schema = crd::schema("MailServer").ok()??;
        let mut spec = document.value.get("spec")?.clone();
        prune(&schema["properties"]["spec"], &mut spec);
        Some(Self { document, spec: serde_json::from_value(spec).ok()? })
    }

    fn lint(&self, documents: &[&Document], namespace: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut say = |severity, field: &str, message: String| findings.push(self.document.finding(severity, field, message));
        self.endpoints(&mut say);
        self.addresses(&mut say);
        self.protection(&mut say);
        self.schedule(&mut say);
        self.windows(&mut say);
        let auth = self.spec.auth.as_ref();
        if let Some(reference) = auth.and_then(|auth| auth.secret_ref.as_ref()) {
            findings.extend(self.credentials(reference, documents, namespace));
        }
        findings
    }

    /// Each endpoint as it takes effect, and where it is written.
    fn effective(&self) -> Vec<(Endpoint, String)> {
        let primary = if self.spec.url.is_some() { "spec.url" } else { "spec.port" };
        let field = |index: usize| match index.checked_sub(1) {
            None => primary.to_owned(),
            Some(alternate) => format!("spec.alternates[{alternate}]"),
        };
        let all = inputs::endpoints(&self.spec).unwrap_or_default();
        all.into_iter().enumerate().map(|(index, endpoint)| (endpoint, field(index))).collect()
    }

    fn endpoints(&self, say: &mut impl FnMut(Severity, &str, String)) {
        for (Endpoint { host, port, security }, field) in self.effective() {
            match (port, security) {
                (465, Security::StartTLS) => {
                    say(
                        Severity::Warning,
                        &field,
                        format!("port 465 of {host} is for TLS from the first byte (RFC 8314); set security: TLS, or port 587"),
                    );
                }
                (587, Security::TLS) => {
                    say(
                        Severity::Warning,
                        &field,
                        format!("port 587 of {host} is for STARTTLS (RFC 6409); set security: StartTLS, or port 465"),
                    );
                }
                (25, _) => {
                    say(Severity::Note, &field, format!("most clouds block outgoing port 25; {host} may answer on 587 or 465"));
                }
                _ => {}
            }
            if security == Security::None {
                let at = if field.starts_with("spec.alternates") { field.as_str() } else { "spec.security" };
                say(Severity::Warning, at, format!("mail to {host} crosses the network unencrypted"));
            }
        }
    }

    fn addresses(&self, say: &mut impl FnMut(Severity, &str, String)) {
        let sender = self.spec.sender.as_ref();
        let written = [
            ("spec.sender.address", sender.map(|sender| sender.address.as_str())),
            ("spec.sender.replyTo", sender.and_then(|sender| sender.reply_to.as_deref())),
            ("spec.test.to", self.spec.test.as_ref().map(|test| test.to.as_str())),
        ];
        for (field, address) in written {
            let Some(domain) = address.and_then(|address| address.rsplit_once('@')).map(|(_, domain)| domain) else { continue };
            if is_example(domain) {
                say(
                    Severity::Warning,
                    field,
                    format!("{domain} is an example domain (RFC 2606), which takes no mail; write your own"),
                );
            }
        }
        if let Some(user) = self.spec.auth.as_ref().and_then(|auth| auth.username.as_deref())
            && is_bare(user)
        {
            say(Severity::Warning, "spec.auth.username", bare(user));
        }
    }

    fn protection(&self, say: &mut impl FnMut(Severity, &str, String)) {
        if self.spec.tls.as_ref().is_some_and(|tls| tls.insecure_skip_verify == Some(true)) {
            let message =
                "any certificate is taken, so anyone in the path can read the password; put the server's CA in tls.caRef instead";
            say(Severity::Warning, "spec.tls.insecureSkipVerify", message.to_owned());
        }
        if self.spec.auth.as_ref().is_some_and(|auth| auth.allow_plaintext == Some(true)) {
            let message = "PLAIN and LOGIN show the password to whoever watches the network";
            say(Severity::Warning, "spec.auth.allowPlaintext", message.to_owned());
        }
    }

    fn schedule(&self, say: &mut impl FnMut(Severity, &str, String)) {
        let interval = self.spec.interval();
        let logs_in = self.spec.auth.is_some() && self.spec.level() != Level::Connect;
        if logs_in && interval.get().as_secs() < SHORT_INTERVAL {
            let message = format!(
                "a login every {interval} may look like guessing to a provider; 1h is usual, and a change is checked at once anyway"
            );
            say(Severity::Warning, "spec.verification.interval", message);
        }
    }

    /// Cron lines and time zones that pass the schema and cannot be read.
    fn windows(&self, say: &mut impl FnMut(Severity, &str, String)) {
        if let Err(diagnosis) = Windows::read(self.spec.maintenance.as_deref().unwrap_or_default()) {
            say(Severity::Warning, "spec.maintenance", diagnosis.hint());
        }
    }

    fn credentials(&self, reference: &SecretRef, documents: &[&Document], namespace: &str) -> Vec<Finding> {
        let (field, name) = ("spec.auth.secretRef", reference.name.as_str());
        let mine = self.document.namespace(namespace);
        let is_it = |d: &&&Document| stored::is_secret(d) && d.name() == name && d.namespace(namespace) == mine;
        let Some(secret) = documents.iter().find(is_it) else {
            let message = format!("Secret {mine}/{name} is not among these files; it has to be in the cluster");
            return vec![self.document.finding(Severity::Note, field, message)];
        };
        // A Secret that cannot be decoded is an error that was said already.
        let Ok(content) = stored::content(secret) else { return Vec::new() };
        let own_name = self.spec.auth.as_ref().is_some_and(|auth| auth.username.is_some());
        let user = (!own_name).then_some(reference.username_key.as_str());
        let mut findings = Vec::new();
        for key in user.into_iter().chain([reference.password_key.as_str()]) {
            let at = format!("{}.{key}", if secret.value["stringData"].get(key).is_some() { "stringData" } else { "data" });
            match content.get(key).map(|value| String::from_utf8_lossy(value)) {
                None => {
                    let present = content.keys().cloned().collect::<Vec<_>>().join(", ");
                    let message = format!("Secret {mine}/{name} has no key {key}; it has {present}");
                    findings.push(self.document.finding(Severity::Warning, field, message));
                }
                Some(value) if value.trim().is_empty() => findings.push(secret.finding(Severity::Warning, &at, "is empty")),
                Some(value) if value.ends_with(['\n', '\r']) => {
                    let message =
                        "ends in a newline, which would be a part of it: use printf, or `kubectl create secret`, not echo";
                    findings.push(secret.finding(Severity::Warning, &at, message));
                }
                Some(value) if Some(key) == user && is_bare(&value) => {
                    findings.push(secret.finding(Severity::Warning, &at, bare(&value)));
                }
                Some(_) => {}
            }
        }
        if let Some(hosts) = stored::annotations(secret).get(ALLOWED_HOSTS) {
            let allowed = |host: &str| hosts.split(',').any(|known| known.trim().eq_ignore_ascii_case(host));
            for (endpoint, _) in self.effective().iter().filter(|(endpoint, _)| !allowed(&endpoint.host)) {
                let message = format!("Secret {mine}/{name} is pinned to {hosts}, and would not be sent to {}", endpoint.host);
                findings.push(self.document.finding(Severity::Warning, field, message));
            }
        }
        findings
    }
}

fn is_example(domain: &str) -> bool {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = domain.rsplit('.').collect();
    match labels.as_slice() {
        ["example" | "invalid", ..] | ["com" | "net" | "org", "example", ..] => true,
        [] | [_, ..] => false,
    }
}

fn is_bare(user: &str) -> bool {
    !user.contains(['@', '\\'])
}

fn bare(user: &str) -> String {
    format!("{user:?} is a bare login; most servers want user@domain, Exchange also DOMAIN\\user")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Judge, read::read};

    /// What is said about a `MailServer` with this spec, and what else is in the files.
    fn said(spec: &str, more: &str) -> Vec<String> {
        let text =
            format!("apiVersion: mailverity.dev/v1alpha1\nkind: MailServer\nmetadata: {{name: a}}\nspec: {spec}\n---\n{more}");
        let (documents, findings) = read("f", &text);
        assert!(findings.is_empty(), "{findings:?}");
        let judge = Judge::new().unwrap();
        for document in documents.iter().filter(|d| d.group() == crd::GROUP) {
            assert_eq!(judge.document(document), [], "the manifest is not valid");
        }
        let all: Vec<_> = documents.iter().collect();
        lint(&all, "default").iter().map(|finding| format!("{} {}: {}", finding.line, finding.field, finding.message)).collect()
    }

    #[track_caller]
    fn one(spec: &str, more: &str, words: &str) {
        let said = said(spec, more);
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains(words), "{}", said[0]);
    }

    const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";

    #[test]
    fn a_sound_server_gets_no_warning() {
        let secret = format!("{SECRET}stringData: {{username: a@b.se, password: x}}\n");
        let spec = "{host: a.se, auth: {type: Password, secretRef: {name: s}}, sender: {address: a@b.se}}";
        assert_eq!(said(spec, &secret), [""; 0]);
    }

    #[test]
    fn ports_and_security_that_do_not_fit_are_said() {
        one("{host: a.se, port: 465, security: StartTLS}", "", "spec.port: port 465");
        one("{url: 'smtp://a.se:465'}", "", "spec.url: port 465");
        one("{host: a.se, port: 587, security: TLS}", "", "port 587");
        one("{host: a.se, port: 25}", "", "clouds block outgoing port 25");
        one("{host: a.se, security: None, port: 2525}", "", "spec.security: mail to a.se crosses");
        one("{host: a.se, alternates: [{host: b.se, port: 465}]}", "", "spec.alternates[0]: port 465 of b.se");
    }

    #[test]
    fn example_domains_and_bare_logins_are_said() {
        one("{host: a.se, sender: {address: a@corp.example}}", "", "spec.sender.address: corp.example is an example");
        one("{host: a.se, sender: {address: a@b.se, replyTo: a@example.org}}", "", "spec.sender.replyTo");
        one("{host: a.se, test: {to: a@mail.example.com}}", "", "spec.test.to");
        let secret = format!("{SECRET}stringData: {{password: x}}\n");
        one("{host: a.se, auth: {type: Password, username: bob, secretRef: {name: s}}}", &secret, "bare login");
    }

    #[test]
    fn windows_that_cannot_be_read_are_said() {
        one("{host: a.se, maintenance: [{start: 0 25 * * SAT, duration: 1h}]}", "", "spec.maintenance: maintenance[0]");
        one(
            "{host: a.se, maintenance: [{start: 0 2 * * SAT, duration: 1h, timeZone: Mars/Base}]}",
            "",
            "spec.maintenance: maintenance[0]",
        );
    }

    #[test]
    fn missing_protection_is_said() {
        one("{host: a.se, tls: {insecureSkipVerify: true}}", "", "spec.tls.insecureSkipVerify");
        one("{host: a.se, auth: {type: None, allowPlaintext: true}}", "", "spec.auth.allowPlaintext");
    }

    #[test]
    fn a_secret_that_cannot_work_is_said_where_it_stands() {
        let spec = "{host: a.se, auth: {type: Password, secretRef: {name: s}}}";
        one(spec, "", "Secret default/s is not among these files");
        one(spec, &format!("{SECRET}data: {{username: YUBiLnNl, password: eAo=}}\n"), "9 data.password: ends in a newline");
        one(spec, &format!("{SECRET}stringData: {{username: a@b.se, pass: x}}\n"), "no key password; it has pass, username");
        one(spec, &format!("{SECRET}stringData: {{username: a@b.se, password: ''}}\n"), "stringData.password: is empty");
        let pinned = SECRET.replace("name: s", "name: s, annotations: {mailverity.dev/allowed-hosts: 'x.se, y.se'}");
        one(spec, &format!("{pinned}stringData: {{username: a@b.se, password: x}}\n"), "is pinned to x.se, y.se");
    }

    #[test]
    fn logins_every_minute_and_two_defaults_are_said() {
        let secret = format!("{SECRET}stringData: {{username: a@b.se, password: x}}\n");
        let often = "{host: a.se, verification: {interval: 1m}, auth: {type: Password, secretRef: {name: s}}}";
        one(often, &secret, "a login every 1m");
        let default = |name: &str| {
            format!(
                "apiVersion: mailverity.dev/v1alpha1\nkind: MailServer\nmetadata: {{name: {name}, annotations: {{mailverity.dev/is-default-server: 'true'}}}}\nspec: {{host: a.se}}\n---\n"
            )
        };
        one("{host: a.se}", &(default("b") + &default("c")), "b is the default server of this namespace already");
    }
}
