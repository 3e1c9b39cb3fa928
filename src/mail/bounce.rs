//! Bounces (promise 6): reports on the delivery of a mail (RFC 3464), which tell minutes before any timeout that it does not
//! come, in the words of the server that refused it. Pure: from the bytes of a mail to what they tell.

use mail_parser::{Message, MessageParser, MimeHeaders};

use super::{
    Diagnosis,
    diagnosis::{WORDS, printable},
    mailbox::HEADER,
    mime::{Mail, Part},
};
use crate::api::Reason;

/// The most octets of a report that are read.
pub const MOST: usize = 64 * 1024;
/// The most lines of the status that are read: a report may be on many recipients.
const LINES: usize = 2_000;
/// The most characters of a name or an id.
const NAME: usize = 256;

const REDACTED: &str = "[redacted]";

/// What became of the mail (RFC 3464 section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is not delivered, and nobody goes on trying.
    Failed,
    /// A server goes on trying.
    Delayed,
    /// It arrived, was handed on to servers that report no more, or went to several.
    Delivered,
}

/// What a report tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounce {
    /// Original-Envelope-Id: the ENVID that the mail was sent with.
    pub envelope_id: Option<String>,
    /// The Message-ID in the headers that came back, with its angle brackets.
    pub message_id: Option<String>,
    /// What became of the mail.
    pub action: Action,
    /// The status code (RFC 3463), such as `5.1.1`.
    pub status: Option<String>,
    /// The server that said no; the reporting one where no other is named.
    pub remote: Option<String>,
    /// What it said: printable, at most 256 characters.
    pub words: Option<String>,
    /// Whom the mail was for.
    pub recipient: Option<String>,
}

impl Bounce {
    /// Reads a mail, of which the first [`MOST`] octets count; none where it is no report on a delivery. Of several recipients
    /// the worst off is told.
    #[must_use]
    pub fn read(mail: &[u8]) -> Option<Self> {
        Self::of(&Mail::read(mail.get(..MOST).unwrap_or(mail)))
    }

    /// The same of a mail that is taken apart already.
    #[must_use]
    pub fn of(mail: &Mail<'_>) -> Option<Self> {
        if !is_report(&mail.header) {
            return None;
        }
        let mut statuses = mail.parts.iter().filter(|part| part.kind == "message/delivery-status");
        let status = statuses.next().map(Part::decoded).unwrap_or_default();
        let groups = groups(&status);
        let about = groups.first()?;
        let recipients = groups.iter().filter(|group| value(group, "action").is_some());
        let worst = recipients.max_by_key(|group| severity(action(group)))?;
        let reporting = value(worst, "remote-mta").or_else(|| value(about, "reporting-mta"));
        Some(Self {
            envelope_id: value(about, "original-envelope-id").map(|id| short(&id)),
            message_id: returned_id(mail),
            action: action(worst),
            status: value(worst, "status").map(|status| short(&without_comment(&status))).filter(|status| !status.is_empty()),
            remote: reporting.map(|name| short(&behind_type(&name))).filter(|name| !name.is_empty()),
            words: value(worst, "diagnostic-code").map(|words| printable(&behind_type(&words), WORDS)).filter(|w| !w.is_empty()),
            recipient: value(worst, "original-recipient")
                .or_else(|| value(worst, "final-recipient"))
                .map(|address| short(&behind_type(&address)))
                .filter(|address| !address.is_empty()),
        })
    }

    /// Why the mail does not come: `MessageBounced`, or `MessageDelayed` where somebody goes on trying.
    #[must_use]
    pub fn diagnosis(&self) -> Diagnosis {
        let reason = if self.action == Action::Failed { Reason::MessageBounced } else { Reason::MessageDelayed };
        let of = |text: &Option<String>| text.clone().unwrap_or_default();
        Diagnosis::new(reason)
            .words(of(&self.words))
            .fact("remote", of(&self.remote))
            .fact("status", of(&self.status))
            .fact("recipient", of(&self.recipient))
    }

    /// With something cut out of what the server said: it may quote the mail, of which the code is secret (promise 14).
    #[must_use]
    pub fn without(mut self, secret: &str) -> Self {
        let secret = secret.to_ascii_lowercase();
        let cut = |text: &mut String| {
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| rest.to_ascii_lowercase().find(&secret)) {
                text.replace_range(from + at..from + at + secret.len(), REDACTED);
                from += at + REDACTED.len();
            }
        };
        if !secret.is_empty() {
            [&mut self.words, &mut self.status, &mut self.remote, &mut self.recipient].into_iter().flatten().for_each(cut);
        }
        self
    }

    /// Whether it is about the mail with this ENVID or this Message-ID.
    #[must_use]
    pub fn is_about(&self, envelope_id: Option<&str>, message_id: Option<&str>) -> bool {
        let same = |theirs: &Option<String>, ours: Option<&str>| {
            let bare = |id: &str| id.trim().trim_start_matches('<').trim_end_matches('>').to_ascii_lowercase();
            theirs.as_deref().zip(ours).is_some_and(|(theirs, ours)| !bare(ours).is_empty() && bare(theirs) == bare(ours))
        };
        same(&self.envelope_id, envelope_id) || same(&self.message_id, message_id)
    }
}

/// Whether a mail with this header is a report on a delivery (RFC 6522, RFC 3464 section 2).
#[must_use]
pub fn announces_report(header: &[u8]) -> bool {
    MessageParser::default().parse_headers(header).is_some_and(|mail| is_report(&mail))
}

fn is_report(mail: &Message<'_>) -> bool {
    let Some(kind) = mail.content_type() else { return false };
    kind.ctype().eq_ignore_ascii_case("multipart")
        && kind.subtype().is_some_and(|subtype| subtype.eq_ignore_ascii_case("report"))
        && kind.attribute("report-type").is_some_and(|kind| kind.eq_ignore_ascii_case("delivery-status"))
}

/// The Message-ID of the mail that came back, whole or its headers alone.
fn returned_id(mail: &Mail<'_>) -> Option<String> {
    let of = |header: &[u8]| MessageParser::default().parse_headers(header)?.message_id().map(|id| short(&format!("<{id}>")));
    mail.parts.iter().find_map(|part| match part.kind.as_str() {
        "message/rfc822" | "message/global" => of(part.body.get(..HEADER).unwrap_or(part.body)),
        "text/rfc822-headers" | "message/global-headers" => of(part.decoded().as_bytes()),
        _ => None,
    })
}

/// A group of fields, by their names in lower case.
type Group = Vec<(String, String)>;

/// The groups of a status (RFC 3464 section 2.1): of the message first, then of each recipient, with empty lines between.
fn groups(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![Vec::new()];
    for line in text.lines().take(LINES) {
        let Some(group) = groups.last_mut() else { break };
        if line.trim().is_empty() {
            if !group.is_empty() {
                groups.push(Vec::new());
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = group.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            group.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    groups
}

fn value(group: &Group, name: &str) -> Option<String> {
    group.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
}

fn action(group: &Group) -> Action {
    match value(group, "action").map(|action| without_comment(&action).to_ascii_lowercase()).as_deref() {
        Some("failed") => Action::Failed,
        Some("delayed") => Action::Delayed,
        _ => Action::Delivered,
    }
}

fn severity(action: Action) -> u8 {
    match action {
        Action::Failed => 2,
        Action::Delayed => 1,
        Action::Delivered => 0,
    }
}

/// `mx.example` of `dns; mx.example (192.0.2.1)`, and the words of `smtp; 550 no`.
fn behind_type(value: &str) -> String {
    match value.split_once(';') {
        Some((_, rest)) => rest.trim().to_owned(),
        None => value.trim().to_owned(),
    }
}

fn without_comment(value: &str) -> String {
    value.split('(').next().unwrap_or_default().trim().to_owned()
}

fn short(text: &str) -> String {
    printable(text, NAME)
}

#[cfg(test)]
mod tests;
