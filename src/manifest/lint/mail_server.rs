//! What a person would not want of a `MailServer`.

use std::collections::BTreeMap;

use super::{Files, Say, account, address, certificates, windows};
use crate::{
    api::v1alpha1::{IS_DEFAULT_SERVER, Level, MailServerSpec, Security},
    manifest::{Document, Finding, Severity},
    verify::{Endpoint, mail_server::inputs},
};

/// Below this, a login at each interval looks like guessing to some providers.
const SHORT_INTERVAL: u64 = 300;

/// Warnings and notes about each `MailServer`.
pub(super) fn lint(files: &Files) -> Vec<Finding> {
    let servers = files.of_kind("MailServer");
    let mut findings: Vec<_> = servers.into_iter().flat_map(|(document, spec)| Server { document, spec }.lint(files)).collect();
    findings.extend(defaults(files));
    findings
}

/// Two defaults in a namespace are none.
fn defaults(files: &Files) -> Vec<Finding> {
    let field = format!("metadata.annotations.{IS_DEFAULT_SERVER}");
    let mut first: BTreeMap<&str, &Document> = BTreeMap::new();
    let mut findings = Vec::new();
    let is_default = |document: &&&Document| {
        document.kind() == "MailServer" && document.text(&["metadata", "annotations", IS_DEFAULT_SERVER]) == "true"
    };
    for document in files.documents.iter().filter(is_default) {
        match first.get(files.namespace_of(document)) {
            None => drop(first.insert(files.namespace_of(document), document)),
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

impl Server<'_> {
    fn lint(&self, files: &Files) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut say = |severity, field: &str, message: String| findings.push(self.document.finding(severity, field, message));
        let auth = self.spec.auth.as_ref();
        self.endpoints(&mut say);
        self.addresses(&mut say);
        account::user("spec.auth", auth, &mut say);
        certificates("spec.tls", self.spec.tls.as_ref(), &mut say);
        account::plaintext("spec.auth", auth.and_then(|auth| auth.allow_plaintext), &mut say);
        self.schedule(&mut say);
        windows(self.spec.maintenance.as_deref(), &mut say);
        let endpoints = self.effective();
        let hosts: Vec<_> = endpoints.iter().map(|(endpoint, _)| endpoint.host.as_str()).collect();
        account::strangers("spec.auth", auth, &hosts, &mut say);
        findings.extend(account::secret(self.document, "spec.auth", auth, &hosts, files));
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

    fn endpoints(&self, say: Say) {
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

    fn addresses(&self, say: Say) {
        let sender = self.spec.sender.as_ref();
        let written = [
            ("spec.sender.address", sender.map(|sender| sender.address.as_str())),
            ("spec.sender.replyTo", sender.and_then(|sender| sender.reply_to.as_deref())),
            ("spec.test.to", self.spec.test.as_ref().map(|test| test.to.as_str())),
        ];
        for (field, written) in written {
            if let Some(written) = written {
                address(field, written, say);
            }
        }
    }

    fn schedule(&self, say: Say) {
        let interval = self.spec.interval();
        let logs_in = self.spec.auth.is_some() && self.spec.level() != Level::Connect;
        if logs_in && interval.get().as_secs() < SHORT_INTERVAL {
            let message = format!(
                "a login every {interval} may look like guessing to a provider; 1h is usual, and a change is checked at once anyway"
            );
            say(Severity::Warning, "spec.verification.interval", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[track_caller]
    fn one(spec: &str, more: &str, words: &str) {
        let said = said("MailServer", spec, more);
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains(words), "{}", said[0]);
    }

    const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";

    #[test]
    fn a_sound_server_gets_no_warning() {
        let secret = format!("{SECRET}stringData: {{username: a@b.se, password: x}}\n");
        let spec = "{host: a.se, auth: {type: Password, secretRef: {name: s}}, sender: {address: a@b.se}}";
        assert_eq!(said("MailServer", spec, &secret), [""; 0]);
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
    fn a_token_at_a_strangers_is_said() {
        let spec = |host: &str| {
            let oauth2 = "{provider: Microsoft365, grant: RefreshToken, tenantID: a.se, clientID: x, tokenSecretName: t}";
            format!("{{host: {host}, auth: {{type: OAuth2, username: a@b.se, secretRef: {{name: s}}, oauth2: {oauth2}}}}}")
        };
        let secret = format!("{SECRET}stringData: {{username: a@b.se, password: x}}\n");
        one(&spec("smtp.gmail.com"), &secret, "spec.auth.oauth2.provider: smtp.gmail.com is not Microsoft365's");
        assert_eq!(said("MailServer", &spec("smtp.office365.com"), &secret), [""; 0]);
        assert_eq!(said("MailServer", &spec("relay.a.se"), &secret), [""; 0], "it may lead there");
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
