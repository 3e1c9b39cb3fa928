//! What a mail says, as far as an answer to a probe can be judged by it: the fields that matter, its text, and what it tells on
//! the delivery of another mail. Everything in it is bounded, and none of it is to be trusted. Pure.

use jiff::Timestamp;
use mail_parser::{HeaderName, HeaderValue, Message};

use super::{bounce::Bounce, diagnosis::printable, mime::Mail};

/// The most octets of the text.
const TEXT: usize = 64 * 1024;
/// The most characters of a field.
const FIELD: usize = 998;
/// The most values of a field that is a list, and the most fields of our own.
const LIST: usize = 50;
const OURS: &str = "x-mailverity-";

/// What a mail says.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    /// The fields that matter.
    pub header: Header,
    /// What a person would read, at most 64 KiB: plain text, or what HTML says where there is none.
    pub text: String,
    /// What it says on the delivery of another mail, if it is a report (RFC 3464).
    pub bounce: Option<Bounce>,
}

impl Letter {
    /// Reads a mail, or as much of it as was kept.
    #[must_use]
    pub fn read(mail: &[u8]) -> Self {
        let mail = Mail::read(mail);
        Self { header: Header::of(&mail.header), text: mail.text(TEXT), bounce: Bounce::of(&mail) }
    }
}

/// The fields of a mail that matter, decoded, each at most 998 characters and printable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The addresses in From.
    pub from: Vec<String>,
    /// Subject; of several the last.
    pub subject: Option<String>,
    /// Message-ID without its angle brackets, as in the next two.
    pub message_id: Option<String>,
    /// In-Reply-To.
    pub in_reply_to: Vec<String>,
    /// References.
    pub references: Vec<String>,
    /// Auto-Submitted without its parameters, in lower case (RFC 3834 section 5).
    pub auto_submitted: Option<String>,
    /// When the server that has it took it, as its own Received says: the topmost.
    pub arrived: Option<Timestamp>,
    /// The fields whose names begin with `X-Mailverity-`: names in lower case, and values.
    pub ours: Vec<(String, String)>,
}

impl Header {
    fn of(mail: &Message<'_>) -> Self {
        let addresses = mail.from().into_iter().flat_map(|from| from.iter()).filter_map(|address| address.address());
        let automatic = |text: String| text.split([';', '(', ' ']).next().unwrap_or_default().to_ascii_lowercase();
        Self {
            from: addresses.take(LIST).map(field).collect(),
            subject: mail.subject().map(field),
            message_id: mail.message_id().map(field),
            in_reply_to: list(mail.in_reply_to()),
            references: list(mail.references()),
            auto_submitted: mail.header("Auto-Submitted").and_then(text).map(automatic),
            arrived: mail
                .received_all()
                .next()
                .and_then(mail_parser::Received::date)
                .and_then(|date| Timestamp::from_second(date.to_timestamp()).ok()),
            ours: mail
                .headers()
                .iter()
                .filter_map(|header| match &header.name {
                    HeaderName::Other(name) if is_ours(name) => Some((name.to_ascii_lowercase(), text(&header.value)?)),
                    _ => None,
                })
                .take(LIST)
                .collect(),
        }
    }

    /// The value of one of our own fields, named without regard to case.
    #[must_use]
    pub fn our(&self, name: &str) -> Option<&str> {
        self.ours.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

fn is_ours(name: &str) -> bool {
    name.len() <= 64 && name.get(..OURS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(OURS))
}

fn field(text: &str) -> String {
    printable(text, FIELD)
}

fn text(value: &HeaderValue<'_>) -> Option<String> {
    value.as_text().map(field)
}

fn list(value: &HeaderValue<'_>) -> Vec<String> {
    match value {
        HeaderValue::Text(one) => vec![field(one)],
        HeaderValue::TextList(many) => many.iter().take(LIST).map(|one| field(one)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mail: &str) -> Letter {
        Letter::read(mail.as_bytes())
    }

    #[test]
    fn the_fields_that_matter_are_read_and_decoded() {
        let mail = read(
            "From: =?utf-8?q?B=C3=BCro?= <Echo@example.net>, second@example.net\r\nSubject: Re: =?utf-8?q?pr=C3=BCfung?=\r\n (42)\r\n\
             Message-ID: <a@b>\r\nIn-Reply-To: <c@d>\r\nReferences: <x@y> <c@d>\r\nAuto-Submitted: Auto-Replied (vacation); x=y\r\n\
             Received: by mx.test; Sun, 1 Mar 2026 12:30:07 +0100\r\nReceived: by other.test; Sun, 1 Mar 2026 12:29:00 +0100\r\n\
             X-Mailverity-Probe: 7\r\nx-MAILVERITY-run: a/b/c\r\nX-Other: z\r\n\r\n> it works\r\nyes\r\n",
        );
        let header = &mail.header;
        assert_eq!(header.from, ["Echo@example.net", "second@example.net"]);
        assert_eq!(header.subject.as_deref(), Some("Re: prüfung (42)"));
        assert_eq!((header.message_id.as_deref(), header.in_reply_to.as_slice()), (Some("a@b"), ["c@d".to_owned()].as_slice()));
        assert_eq!(header.references, ["x@y", "c@d"]);
        assert_eq!(header.arrived, Some("2026-03-01T11:30:07Z".parse().unwrap()));
        assert_eq!(header.auto_submitted.as_deref(), Some("auto-replied"));
        assert_eq!((header.our("X-Mailverity-Probe"), header.our("X-Mailverity-Run")), (Some("7"), Some("a/b/c")));
        assert_eq!(header.ours.len(), 2);
        assert_eq!(mail.text, "> it works\r\nyes\r\n");
        assert!(mail.bounce.is_none());
    }

    #[test]
    fn a_report_is_read_with_the_mail() {
        let mail = read(
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nIt failed.\r\n--b\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\nFinal-Recipient: rfc822; a@b.test\r\n\
             Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 nobody\r\n--b\r\n\
             Content-Type: message/rfc822\r\n\r\nMessage-ID: <probe@us>\r\n\r\nbody\r\n--b--\r\n",
        );
        let bounce = mail.bounce.unwrap();
        assert_eq!((bounce.status.as_deref(), bounce.message_id.as_deref()), (Some("5.1.1"), Some("<probe@us>")));
        assert_eq!(mail.text.trim(), "It failed.");
    }

    #[test]
    fn whatever_comes_stays_small() {
        let long = "x".repeat(300_000);
        let mail =
            read(&format!("Subject: {long}\r\nReferences: {}\r\nX-Mailverity-A: {long}\r\n\r\n{long}", "<a@b> ".repeat(9000)));
        assert!(mail.text.len() <= TEXT && mail.header.references.len() <= LIST);
        assert!(mail.header.subject.is_none_or(|subject| subject.chars().count() <= FIELD));
    }
}
