//! What a person would not want of an `EmailProfile`, alone and beside the `MailServer`s that it names.

use super::{Files, Say, account, address, certificates, named::named, windows};
use crate::{
    api::v1alpha1::{
        Cloud, EmailProfileSpec, MailProvider, MailServerSpec, MailboxProtocol, ObjectRef, Security, VerificationMode,
    },
    manifest::{Document, Finding, Severity},
};

/// Warnings and notes about each `EmailProfile`.
pub(super) fn lint(files: &Files) -> Vec<Finding> {
    let servers = files.of_kind("MailServer");
    let profiles = files.of_kind("EmailProfile");
    profiles.into_iter().flat_map(|(document, spec)| Profile { document, spec, servers: &servers }.lint(files)).collect()
}

struct Profile<'a> {
    document: &'a Document,
    spec: EmailProfileSpec,
    servers: &'a [(&'a Document, MailServerSpec)],
}

impl Profile<'_> {
    fn lint(&self, files: &Files) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut say = |severity, field: &str, message: String| findings.push(self.document.finding(severity, field, message));
        let (account, outgoing) = (self.spec.account.as_ref(), self.spec.outgoing.as_ref());
        address("spec.address", &self.spec.address, &mut say);
        self.shared(files, &mut say);
        self.server(&mut say);
        self.cloud(&mut say);
        account::user("spec.account", account, &mut say);
        certificates("spec.server.tls", self.spec.server.as_ref().and_then(|server| server.tls.as_ref()), &mut say);
        certificates("spec.outgoing.tls", outgoing.and_then(|outgoing| outgoing.tls.as_ref()), &mut say);
        account::plaintext("spec.account", account.and_then(|account| account.allow_plaintext), &mut say);
        account::plaintext("spec.outgoing", outgoing.and_then(|outgoing| outgoing.allow_plaintext), &mut say);
        self.sender(files, &mut say);
        if let Some(reference) = outgoing.and_then(|outgoing| outgoing.server_ref.as_ref()) {
            self.find("spec.outgoing.serverRef", reference, files, &mut say);
        }
        windows(self.spec.maintenance.as_deref(), &mut say);
        let incoming = self.spec.server.as_ref().map(|server| server.host.as_str());
        let hosts: Vec<_> = incoming.into_iter().chain(outgoing.and_then(|outgoing| outgoing.host.as_deref())).collect();
        account::strangers("spec.account", account, &hosts, &mut say);
        findings.extend(account::secret(self.document, "spec.account", account, &hosts, files));
        findings
    }

    /// A mailbox that people or programs send from is one that they read.
    fn shared(&self, files: &Files, say: Say) {
        let sends_from_it = |spec: &MailServerSpec| {
            spec.sender.as_ref().is_some_and(|sender| sender.address.eq_ignore_ascii_case(&self.spec.address))
        };
        if let Some((server, _)) = self.servers.iter().find(|(_, spec)| sends_from_it(spec)) {
            let message = format!(
                "MailServer {}/{} sends from this address; give the profile a mailbox of its own, as a machine looks into it and removes mail (SharedMailbox)",
                files.namespace_of(server),
                server.name()
            );
            say(Severity::Warning, "spec.address", message);
        }
    }

    /// Ports and security that do not fit (RFC 8314).
    fn server(&self, say: Say) {
        let Some(server) = &self.spec.server else { return };
        let security = server.security.unwrap_or(Security::TLS);
        let (tls, plain) = if self.spec.protocol == MailboxProtocol::POP3 { (995, 110) } else { (993, 143) };
        let host = &server.host;
        match (server.port, security) {
            (Some(port), Security::StartTLS | Security::None) if port == tls => {
                let message = format!(
                    "port {port} of {host} is for TLS from the first byte (RFC 8314); set server.security: TLS, or port {plain}"
                );
                say(Severity::Warning, "spec.server.port", message);
            }
            (Some(port), Security::TLS) if port == plain => {
                let message = format!("port {port} of {host} begins in plain text; set server.security: StartTLS, or port {tls}");
                say(Severity::Warning, "spec.server.port", message);
            }
            _ => {}
        }
        if security == Security::None {
            let message = format!("the mailbox on {host} is read over the network unencrypted");
            say(Severity::Warning, "spec.server.security", message);
        }
    }

    /// Servers of one of Microsoft's clouds, and tokens of another.
    fn cloud(&self, say: Say) {
        let oauth2 = self.spec.account.as_ref().and_then(|account| account.oauth2.as_ref());
        let cloud = oauth2.and_then(|oauth2| oauth2.cloud).unwrap_or_default();
        let is_filled_in = self.spec.server.is_none() || self.spec.outgoing.is_none();
        if self.spec.provider == Some(MailProvider::Microsoft365) && cloud != Cloud::Public && is_filled_in {
            let message = format!(
                "Microsoft365 fills in servers of cloud Public, which have no use for a token of cloud {cloud:?}: leave provider out, and set server"
            );
            say(Severity::Warning, "spec.provider", message);
        }
    }

    /// The server that sends the codes: in mode Manual it has nothing to do.
    fn sender(&self, files: &Files, say: Say) {
        let Some(reference) = self.spec.verification.as_ref().and_then(|verification| verification.sender_ref.as_ref()) else {
            return;
        };
        let field = "spec.verification.senderRef";
        if self.spec.mode() == VerificationMode::Manual {
            say(Severity::Note, field, "is not used in mode Manual: a person sends the mail".to_owned());
            return;
        }
        if let Some(server) = self.find(field, reference, files, say)
            && server.sender.is_none()
        {
            let message = format!(
                "MailServer {} has no sender, and the mails with the codes need one: set its sender.address",
                reference.name
            );
            say(Severity::Warning, field, message);
        }
    }

    /// The `MailServer` that is named, where the files hold it; what is wrong with naming it is said.
    fn find(&self, field: &str, reference: &ObjectRef, files: &Files, say: Say) -> Option<&MailServerSpec> {
        named(self.document, field, reference, self.servers, files, say)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {username: a@b.se, password: x}\n";

    /// A sound profile; `change` puts one text in place of another.
    fn spec(change: (&str, &str)) -> String {
        let sound = "{address: box@b.se, protocol: IMAP, server: {host: imap.b.se}, account: {type: Password, secretRef: {name: s}}, verification: {senderRef: {name: relay}}}";
        assert!(sound.contains(change.0), "{change:?}");
        sound.replacen(change.0, change.1, 1)
    }

    /// A server in a namespace, to stand behind the Secret.
    fn server(name: &str, namespace: &str, spec: &str) -> String {
        format!(
            "---\napiVersion: mailverity.dev/v1alpha1\nkind: MailServer\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        )
    }

    #[track_caller]
    fn one(change: (&str, &str), more: &str, words: &str) {
        let said = said("EmailProfile", &spec(change), &format!("{SECRET}{more}"));
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains(words), "{}", said[0]);
    }

    #[track_caller]
    fn none(change: (&str, &str), more: &str) {
        assert_eq!(said("EmailProfile", &spec(change), &format!("{SECRET}{more}")), [""; 0]);
    }

    const RELAY: &str = "{host: smtp.b.se, sender: {address: alerts@b.se}}";

    #[test]
    fn a_sound_profile_gets_no_warning() {
        none(("box", "box"), &server("relay", "default", RELAY));
        none(("box", "box"), "");
        none(("{senderRef: {name: relay}}", "{mode: Manual}"), "");
    }

    #[test]
    fn example_domains_and_bare_logins_are_said() {
        one(("box@b.se", "box@corp.example"), "", "4 spec.address: corp.example is an example");
        one(("type: Password", "type: Password, username: bob"), "", "4 spec.account.username: \"bob\" is a bare login");
        none(("type: Password", "type: Password, username: 'CORP\\bob'"), "");
        let bare = SECRET.replace("a@b.se", "bob");
        let said = said("EmailProfile", &spec(("box", "box")), &bare);
        assert!(said.len() == 1 && said[0].contains("stringData.username: \"bob\" is a bare login"), "{said:?}");
    }

    #[test]
    fn a_mailbox_that_a_server_sends_from_is_said() {
        let relay = server("relay", "mail", "{host: smtp.b.se, sender: {address: Box@b.se}}");
        one(("box", "box"), &relay, "spec.address: MailServer mail/relay sends from this address");
    }

    #[test]
    fn ports_and_security_that_do_not_fit_are_said() {
        let host = "host: imap.b.se";
        one((host, "host: imap.b.se, port: 993, security: StartTLS"), "", "spec.server.port: port 993 of imap.b.se is for TLS");
        one((host, "host: imap.b.se, port: 143"), "", "spec.server.port: port 143 of imap.b.se begins in plain text");
        none((host, "host: imap.b.se, port: 143, security: StartTLS"), "");
        none((host, "host: imap.b.se, port: 1143"), "");
        one(
            (
                "{host: imap.b.se}, account: {type: Password,",
                "{host: imap.b.se, security: None}, account: {type: Password, mechanisms: [CRAM-MD5],",
            ),
            "",
            "spec.server.security: the mailbox on imap.b.se is read over the network unencrypted",
        );
    }

    #[test]
    fn servers_of_another_cloud_than_the_tokens_are_said() {
        let microsoft = |start: &str, cloud: &str| {
            let oauth2 = format!(
                "oauth2: {{provider: Microsoft365, cloud: {cloud}, grant: ClientCredentials, tenantID: t, clientID: c, client: {{secretRef: {{name: app}}}}}}"
            );
            format!("{start}, account: {{type: OAuth2, username: box@b.se, {oauth2}}}")
        };
        let sound = "server: {host: imap.b.se}, account: {type: Password, secretRef: {name: s}}";
        let words = "spec.provider: Microsoft365 fills in servers of cloud Public, which have no use for a token of cloud China";
        one((sound, &microsoft("provider: Microsoft365", "China")), "", words);
        one((sound, &microsoft("provider: Microsoft365, server: {host: partner.outlook.cn}", "China")), "", words);
        none((sound, &microsoft("server: {host: partner.outlook.cn}", "China")), "");
        none((sound, &microsoft("provider: Microsoft365", "Public")), "");
    }

    #[test]
    fn missing_protection_is_said_of_both_servers() {
        one(
            ("host: imap.b.se", "host: imap.b.se, tls: {insecureSkipVerify: true}"),
            "",
            "spec.server.tls.insecureSkipVerify: any",
        );
        let outgoing = "outgoing: {host: smtp.b.se, tls: {insecureSkipVerify: true}}, verification";
        one(("verification", outgoing), "", "put the server's CA in outgoing.tls.caRef");
        one(("type: Password", "type: Password, allowPlaintext: true"), "", "spec.account.allowPlaintext");
        one(
            ("verification", "outgoing: {host: smtp.b.se, allowPlaintext: true}, verification"),
            "",
            "spec.outgoing.allowPlaintext",
        );
    }

    #[test]
    fn a_server_that_is_not_in_files_that_hold_others_is_said() {
        one(
            ("box", "box"),
            &server("relai", "default", RELAY),
            "MailServer default/relay is not among these files; it has to be in the cluster; did you mean relai?",
        );
        // Files that hold no server of that namespace cannot tell.
        none(("box", "box"), &server("other", "mail", RELAY));
        let outgoing = ("verification", "outgoing: {serverRef: {name: smtp}}, verification");
        one(outgoing, &server("relay", "default", RELAY), "spec.outgoing.serverRef: MailServer default/smtp is not among");
        none(outgoing, &(server("relay", "default", RELAY) + &server("smtp", "default", "{host: smtp.b.se}")));
    }

    #[test]
    fn a_server_that_cannot_send_the_codes_is_said() {
        let without = server("relay", "default", "{host: smtp.b.se}");
        one(("box", "box"), &without, "spec.verification.senderRef: MailServer relay has no sender");
        none(("{senderRef: {name: relay}}", "{mode: Manual}"), &without);
        one(("{senderRef", "{mode: Manual, senderRef"), &without, "senderRef: is not used in mode Manual");
    }

    #[test]
    fn a_server_that_is_not_shared_is_said() {
        let elsewhere = ("{name: relay}", "{name: relay, namespace: mail}");
        one(elsewhere, &server("relay", "mail", RELAY), "its allowedNamespaces has to admit default (RefNotPermitted)");
        none(elsewhere, &server("relay", "mail", &RELAY.replace("sender", "allowedNamespaces: {from: All}, sender")));
    }

    #[test]
    fn a_secret_that_cannot_work_and_windows_that_cannot_be_read_are_said() {
        let absent = said("EmailProfile", &spec(("box", "box")), "");
        assert!(absent[0].contains("spec.account.secretRef: Secret default/s is not among these files"), "{absent:?}");
        one(
            ("{name: s}", "{name: s, passwordKey: pw}"),
            "",
            "spec.account.secretRef: Secret default/s has no key pw; it has password, username",
        );
        let pinned = SECRET.replace("name: s", "name: s, annotations: {mailverity.dev/allowed-hosts: imap.b.se}");
        let with = spec(("verification", "outgoing: {host: smtp.b.se}, verification"));
        let said = said("EmailProfile", &with, &pinned);
        assert!(said.len() == 1 && said[0].contains("is pinned to imap.b.se, and would not be sent to smtp.b.se"), "{said:?}");
        one(
            ("verification", "maintenance: [{start: 0 25 * * SAT, duration: 1h}], verification"),
            "",
            "spec.maintenance: maintenance[0]",
        );
    }
}
