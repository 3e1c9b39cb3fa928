//! What a person would not want of a `MailReceiver`, alone and beside the others.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{Files, Say, is_example};
use crate::{
    api::v1alpha1::{MailReceiverSpec, ReceiverTlsMode},
    manifest::{Document, Finding, Severity, stored},
};

/// The keys of a Secret of type kubernetes.io/tls.
const KEYS: [&str; 2] = ["tls.crt", "tls.key"];

/// Warnings and notes about each `MailReceiver`.
pub(super) fn lint(files: &Files) -> Vec<Finding> {
    let receivers = files.of_kind("MailReceiver");
    let mut findings: Vec<_> = receivers.iter().flat_map(|(document, spec)| Receiver { document, spec }.lint(files)).collect();
    findings.extend(twice(&receivers, files));
    findings
}

/// A domain belongs to one receiver of the whole cluster.
fn twice(receivers: &[(&Document, MailReceiverSpec)], files: &Files) -> Vec<Finding> {
    let mut first: BTreeMap<String, &Document> = BTreeMap::new();
    let mut findings = Vec::new();
    for (document, spec) in receivers {
        for domain in &spec.domains {
            let other = *first.entry(domain.to_ascii_lowercase()).or_insert(document);
            if !std::ptr::eq(other, *document) {
                let message = format!(
                    "{domain} is a domain of MailReceiver {}/{}, too; the older of the two has it, the other is a Conflict",
                    files.namespace_of(other),
                    other.name()
                );
                findings.push(document.finding(Severity::Warning, "spec.domains", message));
            }
        }
    }
    findings
}

struct Receiver<'a> {
    document: &'a Document,
    spec: &'a MailReceiverSpec,
}

impl Receiver<'_> {
    fn lint(&self, files: &Files) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut say = |severity, field: &str, message: String| findings.push(self.document.finding(severity, field, message));
        for domain in self.spec.domains.iter().filter(|domain| is_example(domain)) {
            let message = format!("{domain} is an example domain (RFC 2606), to which no mail finds its way; write your own");
            say(Severity::Warning, "spec.domains", message);
        }
        self.sources(&mut say);
        self.certificate(files, &mut say);
        if self.spec.expected_mx.is_none() {
            let message = "without expectedMX nobody looks whether mail to the domains finds its way here";
            say(Severity::Note, "spec", message.to_owned());
        }
        findings
    }

    /// Who may send.
    fn sources(&self, say: Say) {
        let field = "spec.listener.allowedSources";
        let sources = self.spec.listener.as_ref().and_then(|listener| listener.allowed_sources.as_deref()).unwrap_or_default();
        for source in sources.iter().filter(|source| !is_network(source)) {
            let message = format!("{source:?} is no network: write an address, or one as 192.0.2.0/24");
            say(Severity::Warning, field, message);
        }
        if !sources.is_empty() {
            return;
        }
        if self.spec.tls_mode() == ReceiverTlsMode::Required {
            let message = "servers of the world that have no TLS cannot deliver (RFC 3207 section 4); set Opportunistic, or name those that you know in listener.allowedSources";
            say(Severity::Warning, "spec.tls.mode", message.to_owned());
        } else {
            let message =
                "everybody may send to it; if only servers that you know bring mail, name them in listener.allowedSources";
            say(Severity::Note, "spec", message.to_owned());
        }
    }

    /// The Secret that the files hold of the certificate, if they do: cert-manager's is in none.
    fn certificate(&self, files: &Files, say: Say) {
        let Some(reference) = self.spec.tls.as_ref().and_then(|tls| tls.certificate_ref.as_ref()) else { return };
        let (field, name) = ("spec.tls.certificateRef", reference.name.as_str());
        if self.spec.tls_mode() == ReceiverTlsMode::None {
            let message = "is not used with tls.mode None: STARTTLS is not offered; set Opportunistic";
            say(Severity::Warning, field, message.to_owned());
        }
        let mine = files.namespace_of(self.document);
        let is_it = |d: &&&Document| stored::is_secret(d) && d.name() == name && files.namespace_of(d) == mine;
        let content = files.documents.iter().find(is_it).and_then(|secret| stored::content(secret).ok());
        for key in KEYS.iter().filter(|key| content.as_ref().is_some_and(|content| !content.contains_key(**key))) {
            say(Severity::Warning, field, format!("Secret {mine}/{name} has no key {key}"));
        }
    }
}

fn is_network(text: &str) -> bool {
    text.parse::<IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    /// A sound receiver; `change` puts one text in place of another.
    fn spec(change: (&str, &str)) -> String {
        let sound = "{domains: [in.b.se], expectedMX: mx.b.se, listener: {allowedSources: [192.0.2.0/24]}, tls: {mode: Opportunistic, certificateRef: {name: t}}}";
        assert!(sound.contains(change.0), "{change:?}");
        sound.replacen(change.0, change.1, 1)
    }

    #[track_caller]
    fn one(change: (&str, &str), more: &str, words: &str) {
        let said = said("MailReceiver", &spec(change), more);
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains(words), "{}", said[0]);
    }

    #[track_caller]
    fn none(change: (&str, &str), more: &str) {
        assert_eq!(said("MailReceiver", &spec(change), more), [""; 0]);
    }

    #[test]
    fn a_sound_receiver_gets_no_warning() {
        none(("in.b.se", "in.b.se"), "");
        none(("Opportunistic", "Required"), "");
        none(("192.0.2.0/24", "192.0.2.0/24, '2001:db8::1'"), "");
    }

    #[test]
    fn a_receiver_for_everybody_is_said_and_one_that_demands_tls_of_everybody_is_warned_of() {
        let open = ("listener: {allowedSources: [192.0.2.0/24]}, ", "");
        one(open, "", "4 spec: everybody may send to it");
        one(
            ("listener: {allowedSources: [192.0.2.0/24]}, tls: {mode: Opportunistic", "tls: {mode: Required"),
            "",
            "4 spec.tls.mode: servers of the world that have no TLS cannot deliver",
        );
    }

    #[test]
    fn networks_that_cannot_be_read_are_said() {
        one(("192.0.2.0/24", "192.0.2/24"), "", "spec.listener.allowedSources: \"192.0.2/24\" is no network");
    }

    #[test]
    fn mx_records_that_nobody_looks_at_are_said() {
        one(("expectedMX: mx.b.se, ", ""), "", "4 spec: without expectedMX nobody looks");
    }

    #[test]
    fn a_domain_that_no_mail_can_go_to_and_one_that_two_receivers_have_are_said() {
        one(("in.b.se", "in.corp.example"), "", "spec.domains: in.corp.example is an example domain");
        let other = format!(
            "apiVersion: mailverity.dev/v1alpha1\nkind: MailReceiver\nmetadata: {{name: b, namespace: mail}}\nspec: {}\n",
            spec(("in.b.se", "other.b.se, IN.b.se"))
        );
        one(("in.b.se", "in.b.se"), &other, "spec.domains: IN.b.se is a domain of MailReceiver default/a, too");
    }

    #[test]
    fn a_certificate_that_is_not_used_or_not_whole_is_said() {
        one(("Opportunistic", "None"), "", "spec.tls.certificateRef: is not used with tls.mode None");
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: t}\nstringData: {tls.crt: x}\n";
        one(("in.b.se", "in.b.se"), secret, "spec.tls.certificateRef: Secret default/t has no key tls.key");
    }
}
