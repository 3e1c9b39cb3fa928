//! What a person would not want of a `RoundTripPolicy`, alone and beside what it names.

use super::{Files, Say, address, named::named, windows};
use crate::{
    api::v1alpha1::{
        EmailProfileSpec, Expect, IS_DEFAULT_SERVER, MailReceiverSpec, MailServerSpec, ReplyMatch, RoundTripPolicySpec,
    },
    manifest::{Document, Finding, Severity},
    verify::round_trip::matching::{folded, same_address, same_domain},
};

/// Visible characters of a body below which other mails may hold it, too.
const SHORT_BODY: usize = 10;
/// Below this, a server on the way that greylists makes every first probe late.
const SHORT_TIMEOUT: u64 = 60;
/// Below this, more mails are due in an hour than an address gets of an operator by default: 12.
const SHORT_INTERVAL: u64 = 300;
/// The days for which auto-responders remember whom they have answered (RFC 5230 section 4.1).
const REMEMBERED: u64 = 7 * 86_400;

/// Warnings and notes about each `RoundTripPolicy`.
pub(super) fn lint(files: &Files) -> Vec<Finding> {
    let servers = files.of_kind("MailServer");
    let profiles = files.of_kind("EmailProfile");
    let receivers = files.of_kind("MailReceiver");
    let policies = files.of_kind("RoundTripPolicy");
    let one =
        |(document, spec)| Policy { document, spec, servers: &servers, profiles: &profiles, receivers: &receivers }.lint(files);
    policies.into_iter().flat_map(one).collect()
}

struct Policy<'a> {
    document: &'a Document,
    spec: RoundTripPolicySpec,
    servers: &'a [(&'a Document, MailServerSpec)],
    profiles: &'a [(&'a Document, EmailProfileSpec)],
    receivers: &'a [(&'a Document, MailReceiverSpec)],
}

impl Policy<'_> {
    fn lint(&self, files: &Files) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut say = |severity, field: &str, message: String| findings.push(self.document.finding(severity, field, message));
        self.addresses(&mut say);
        self.answer(&mut say);
        self.out_of_office(&mut say);
        self.times(&mut say);
        self.sender(files, &mut say);
        self.back(files, &mut say);
        windows(self.spec.maintenance.as_deref(), &mut say);
        findings
    }

    fn addresses(&self, say: Say) {
        let spec = &self.spec;
        let written = [("to", Some(&spec.to)), ("from", spec.from.as_ref()), ("envelopeFrom", spec.envelope_from.as_ref())];
        for (field, written) in written {
            if let Some(written) = written {
                address(&format!("spec.{field}"), written, say);
            }
        }
    }

    /// An answer of which too little is asked.
    fn answer(&self, say: Say) {
        let expect = self.spec.expect;
        let ReplyMatch { same_sender, senders, contains_subject, contains_body } = self.spec.matching.clone().unwrap_or_default();
        let body = contains_body.unwrap_or(expect != Expect::OutOfOffice);
        let anybody = same_sender == Some(false) && senders.unwrap_or_default().is_empty();
        // A mail that is handed on has our From or our Message-ID whatever is asked of it.
        if expect != Expect::Redirect && anybody && contains_subject == Some(false) && !body {
            let message =
                "nothing is asked of an answer: any mail passes that names the probe; ask for its sender, subject or body";
            say(Severity::Warning, "spec.match", message.to_owned());
        }
        let length = folded(&self.spec.message.body).chars().count();
        if body && length < SHORT_BODY {
            let message = format!(
                "has {length} visible characters, which other mails may hold by chance; write a sentence of {SHORT_BODY} or more"
            );
            say(Severity::Warning, "spec.message.body", message);
        }
    }

    /// Auto-responders quote nothing, and answer each sender once in days (RFC 3834 section 2, RFC 5230).
    fn out_of_office(&self, say: Say) {
        if self.spec.expect != Expect::OutOfOffice {
            return;
        }
        if self.spec.matching.as_ref().is_some_and(|matching| matching.contains_body == Some(true)) {
            let message = "an out-of-office reply quotes no body: every probe would end in ReplyBodyMissing; leave it out";
            say(Severity::Warning, "spec.match.containsBody", message.to_owned());
        }
        let interval = self.spec.interval();
        let same_each_time = self.spec.receive.profile_ref.is_some() || self.spec.envelope_from.is_some();
        if same_each_time && interval.get().as_secs() < REMEMBERED {
            let message = format!(
                "an out-of-office reply goes to each sender once in days, and every probe comes from the same one: those after the first, each {interval}, would time out; set 168h, or have answers sent to a MailReceiver, without envelopeFrom, where each probe has an address of its own"
            );
            say(Severity::Warning, "spec.interval", message);
        }
    }

    fn times(&self, say: Say) {
        let interval = self.spec.interval();
        if interval.get().as_secs() < SHORT_INTERVAL {
            let most = 3600 / interval.get().as_secs().max(1);
            let message = format!(
                "{most} mails an hour to {} are more than an operator sends to one address unless its --max-messages-per-recipient-per-hour (12) says so; set 5m or longer",
                self.spec.to
            );
            say(Severity::Warning, "spec.interval", message);
        }
        if let Some(timeout) = self.spec.timeout.as_ref().filter(|timeout| timeout.get().as_secs() < SHORT_TIMEOUT) {
            let message = format!(
                "a mail may well take longer than {timeout}, there and back: a server that greylists holds the first one for 5 minutes; slowAfter tells of slow answers without a failure"
            );
            say(Severity::Warning, "spec.timeout", message);
        }
    }

    /// The server that sends, and whether it may send as `from`.
    fn sender(&self, files: &Files, say: Say) {
        let Some(server) = self.server(files, say) else { return };
        let field = if self.spec.server_ref.is_some() { "spec.serverRef" } else { "spec" };
        let Some(sender) = &server.sender else {
            let message = "the MailServer has no sender, and a probe needs one: set its sender.address".to_owned();
            return say(Severity::Warning, field, message);
        };
        if same_address(&sender.address, &self.spec.to) {
            say(Severity::Warning, "spec.to", self_addressed("the sender of the MailServer"));
        }
        let domain = |address: &str| address.rsplit_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default();
        let Some(from) = &self.spec.from else { return };
        let (theirs, own) = (domain(from), domain(&sender.address));
        if !same_domain(&theirs, &own) {
            let message = format!(
                "the MailServer sends as {own}: it may refuse {theirs} (SenderRejected) or rewrite it (FromRewritten), and DMARC of {theirs} may have the mail thrown away"
            );
            say(Severity::Warning, "spec.from", message);
        }
    }

    fn server(&self, files: &Files, say: Say) -> Option<&MailServerSpec> {
        if let Some(reference) = &self.spec.server_ref {
            return named(self.document, "spec.serverRef", reference, self.servers, files, say);
        }
        let mine = files.namespace_of(self.document);
        let mut there = self.servers.iter().filter(|(server, _)| files.namespace_of(server) == mine).peekable();
        there.peek()?;
        let is_default = |document: &Document| document.text(&["metadata", "annotations", IS_DEFAULT_SERVER]) == "true";
        let found = there.find(|(server, _)| is_default(server)).map(|(_, spec)| spec);
        if found.is_none() {
            let message = format!(
                "no MailServer of namespace {mine} among these files has the annotation {IS_DEFAULT_SERVER}: \"true\"; name one in serverRef (NoDefaultServer)"
            );
            say(Severity::Warning, "spec", message);
        }
        found
    }

    /// Where answers come to.
    fn back(&self, files: &Files, say: Say) {
        let receive = &self.spec.receive;
        if let Some(reference) = &receive.receiver_ref {
            let receiver = named(self.document, "spec.receive.receiverRef", reference, self.receivers, files, say);
            self.to_receiver(receiver, say);
        }
        if let Some(reference) = &receive.profile_ref
            && let Some(profile) = named(self.document, "spec.receive.profileRef", reference, self.profiles, files, say)
        {
            if same_address(&profile.address, &self.spec.to) {
                say(Severity::Warning, "spec.to", self_addressed("the address of the EmailProfile"));
            }
            if let Some(written) = self.spec.envelope_from.as_ref().filter(|own| !same_address(own, &profile.address)) {
                let message = format!(
                    "answers go to {written}, and the mailbox that is read is that of {}: the one has to be delivered to the other",
                    profile.address
                );
                say(Severity::Note, "spec.envelopeFrom", message);
            }
        }
    }

    fn to_receiver(&self, receiver: Option<&MailReceiverSpec>, say: Say) {
        let Some(written) = &self.spec.envelope_from else { return };
        let (local, domain) = written.rsplit_once('@').unwrap_or_default();
        let local = local.split_once('+').map_or(local, |(local, _)| local);
        let is_taken = |receiver: &MailReceiverSpec| {
            local.eq_ignore_ascii_case(receiver.notify_local_part())
                && receiver.domains.iter().any(|own| same_domain(own, domain))
        };
        let message = match receiver {
            Some(receiver) if !is_taken(receiver) => format!(
                "the MailReceiver takes mail for {}@ its domains only, not for {written} (DomainNotAuthorized); leave it out",
                receiver.notify_local_part()
            ),
            _ => "without it each probe has an address of its own, by which answers and bounces are known whatever a responder does to their subject; leave it out".to_owned(),
        };
        say(Severity::Warning, "spec.envelopeFrom", message);
    }
}

fn self_addressed(whose: &str) -> String {
    format!("is {whose}, too: the probe would answer itself (SelfAddressed)")
}

#[cfg(test)]
mod tests;
