//! The test mail of level Deliver (promise 5), composed with lettre, and the form in which DATA carries a mail.
//!
//! What people wrote (names, subjects, contacts) is folded to one line of printable text before it comes near a header.

use std::time::SystemTime;

use jiff::Timestamp;
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Body, Mailbox,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0},
    },
};
use uuid::Uuid;

use super::{Diagnosis, diagnosis::printable};
use crate::api::Reason;

/// The most characters of a line (RFC 5322 section 2.1.1).
const LINE: usize = 998;

/// What a test mail is made of.
#[derive(Clone, Copy, Debug)]
pub struct TestMail<'a> {
    /// The sender's address; `sender.address` in the spec.
    pub from: &'a str,
    /// The name beside it.
    pub display_name: Option<&'a str>,
    /// Where answers go; `sender.replyTo` in the spec.
    pub reply_to: Option<&'a str>,
    /// The recipient; `test.to` in the spec.
    pub to: &'a str,
    /// The subject before the code; "mailverity check" if absent.
    pub subject: Option<&'a str>,
    /// The code in the subject.
    pub code: Uuid,
    /// What the Message-ID is made of: another than the code where statuses may tell of it and not of the code.
    pub message: Uuid,
    /// The time in the header Date.
    pub date: Timestamp,
    /// The installation's id.
    pub installation: &'a str,
    /// The object's UID.
    pub uid: &'a str,
    /// The run's id.
    pub run: &'a str,
    /// The object as people name it: `MailServer mail/relay`.
    pub object: &'a str,
    /// Whom to ask: an address, a URL, a team's name.
    pub contact: Option<&'a str>,
}

/// What a round-trip probe is made of.
#[derive(Clone, Copy, Debug)]
pub struct ProbeMail<'a> {
    /// The address in From.
    pub from: &'a str,
    /// The name beside it.
    pub display_name: Option<&'a str>,
    /// Where answers and bounces go: MAIL FROM and Reply-To.
    pub return_address: &'a str,
    /// The recipient.
    pub to: &'a str,
    /// The subject before the id; "mailverity round trip" if absent.
    pub subject: Option<&'a str>,
    /// The text.
    pub body: &'a str,
    /// The probe's id.
    pub id: Uuid,
    /// The domain of its Message-ID: that of the server's sender.
    pub domain: &'a str,
    /// The time in the header Date.
    pub date: Timestamp,
    /// The installation's id.
    pub installation: &'a str,
    /// The object's UID.
    pub uid: &'a str,
}

/// A mail, ready for the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// MAIL FROM without angle brackets, its domain in A-labels (RFC 5890).
    pub envelope_from: String,
    /// RCPT TO, likewise.
    pub envelope_to: String,
    /// The Message-ID with its angle brackets.
    pub message_id: String,
    /// Headers and body, lines ended by CRLF, dots not stuffed.
    pub raw: Vec<u8>,
    /// Whether a local part is not ASCII, so that the server has to offer SMTPUTF8 (RFC 6531). Domains never need it.
    pub needs_smtputf8: bool,
}

/// Composes the mail.
///
/// # Errors
/// `SpecInvalid`, naming the field, where an address is none.
pub fn compose(mail: &TestMail<'_>) -> Result<Composed, Diagnosis> {
    let from = address(mail.from, "sender.address")?;
    let to = address(mail.to, "test.to")?;
    let reply_to = mail.reply_to.map(|reply_to| address(reply_to, "sender.replyTo")).transpose()?;

    let display_name = mail.display_name.map(|name| printable(name, 128)).filter(|name| !name.is_empty());
    let subject = mail.subject.map(|subject| printable(subject, 200)).filter(|subject| !subject.is_empty());
    let subject = format!("{} ({})", subject.as_deref().unwrap_or("mailverity check"), mail.code);
    let message_id = format!("<{}@{}>", mail.message, from.domain());
    let run = run_header(mail.installation, mail.uid, mail.run);

    let impossible = |error: &dyn std::fmt::Display| invalid("the test mail", &format!("cannot be composed: {error}"));
    // Given here, since lettre would read it out of the headers, and cannot read address literals there.
    let envelope = Envelope::new(Some(from.clone()), vec![to.clone()]).map_err(|error| impossible(&error))?;
    let mut builder = Message::builder()
        .envelope(envelope)
        .from(Mailbox::new(display_name, from.clone()))
        .to(Mailbox::new(None, to.clone()))
        .subject(subject)
        .date(SystemTime::from(mail.date))
        .message_id(Some(message_id.clone()))
        .raw_header(plain(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated"))
        .raw_header(plain(HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"), "All"))
        .raw_header(plain(HeaderName::new_from_ascii_str(super::mailbox::RUN), &run));
    if let Some(reply_to) = &reply_to {
        builder = builder.reply_to(Mailbox::new(None, reply_to.clone()));
    }
    let message =
        builder.header(MIME_VERSION_1_0).header(ContentType::TEXT_PLAIN).body(body(mail)).map_err(|error| impossible(&error))?;

    let addresses = [Some(&from), Some(&to), reply_to.as_ref()];
    Ok(Composed {
        needs_smtputf8: addresses.into_iter().flatten().any(|address| !address.user().is_ascii()),
        envelope_from: from.to_string(),
        envelope_to: to.to_string(),
        message_id,
        raw: message.formatted(),
    })
}

/// Composes a round-trip probe: without the fields by which a responder knows that nobody waits for its answer (RFC 3834 section
/// 2; promise 5).
///
/// # Errors
/// `SpecInvalid`, naming the field, where an address is none.
pub fn compose_probe(mail: &ProbeMail<'_>) -> Result<Composed, Diagnosis> {
    let from = address(mail.from, "from")?;
    let back = address(mail.return_address, "envelopeFrom")?;
    let to = address(mail.to, "to")?;
    let display_name = mail.display_name.map(|name| printable(name, 128)).filter(|name| !name.is_empty());
    let subject = mail.subject.map(|subject| printable(subject, 200)).filter(|subject| !subject.is_empty());
    let subject = format!("{} ({})", subject.as_deref().unwrap_or("mailverity round trip"), mail.id);
    let domain = idna::domain_to_ascii(mail.domain).unwrap_or_else(|_| mail.domain.to_owned());
    let message_id = format!("<{}@{domain}>", mail.id);
    let run = run_header(mail.installation, mail.uid, &mail.id.to_string());
    let impossible = |error: &dyn std::fmt::Display| invalid("message", &format!("cannot be composed: {error}"));
    let envelope = Envelope::new(Some(back.clone()), vec![to.clone()]).map_err(|error| impossible(&error))?;
    let message = Message::builder()
        .envelope(envelope)
        .from(Mailbox::new(display_name, from.clone()))
        .reply_to(Mailbox::new(None, back.clone()))
        .to(Mailbox::new(None, to.clone()))
        .subject(subject)
        .date(SystemTime::from(mail.date))
        .message_id(Some(message_id.clone()))
        .raw_header(plain(HeaderName::new_from_ascii_str(super::mailbox::RUN), &run))
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN)
        .body(text(format!("{}\r\n", mail.body.trim_end().replace("\r\n", "\n").replace('\n', "\r\n"))))
        .map_err(|error| impossible(&error))?;
    Ok(Composed {
        needs_smtputf8: [&from, &back, &to].into_iter().any(|address| !address.user().is_ascii()),
        envelope_from: back.to_string(),
        envelope_to: to.to_string(),
        message_id,
        raw: message.formatted(),
    })
}

/// Two lines: what this is and which object it is for, and whom to ask.
fn body(mail: &TestMail<'_>) -> Body {
    let object = printable(mail.object, 300);
    let whom = match mail.contact.map(|contact| printable(contact, 200)).filter(|contact| !contact.is_empty()) {
        Some(contact) => format!("Questions? Ask {contact}."),
        None => format!("It was sent by the installation {}.", token(mail.installation)),
    };
    let text = format!("This is a test mail of mailverity for {object}; it needs no answer.\r\n{whom}\r\n");
    self::text(text)
}

/// A text whose lines end in CRLF, as it is where that can be.
fn text(text: String) -> Body {
    let plain = |line: &str| line.len() <= LINE && line.chars().all(|c| c.is_ascii() && (!c.is_ascii_control() || c == '\t'));
    if text.split("\r\n").all(plain) {
        // lettre would encode lines over 76 characters.
        return Body::dangerous_pre_encoded(text.into_bytes(), ContentTransferEncoding::SevenBit);
    }
    Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable).unwrap_or_else(Body::new)
}

/// An address whose domain is in A-labels: servers without SMTPUTF8 take those too.
fn address(text: &str, field: &str) -> Result<Address, Diagnosis> {
    let (user, domain) = text.rsplit_once('@').ok_or_else(|| invalid(field, "is no e-mail address: it has no @"))?;
    if text.chars().any(char::is_control) {
        return Err(invalid(field, "is no e-mail address: it holds a control character"));
    }
    let domain = if domain.starts_with('[') {
        domain.to_owned()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| invalid(field, "is no e-mail address: its domain cannot be"))?
    };
    Address::new(user, domain).map_err(|error| invalid(field, &format!("is no e-mail address: {error}")))
}

fn invalid(field: &str, fault: &str) -> Diagnosis {
    let fault = format!("{field} {fault}");
    Diagnosis::new(Reason::SpecInvalid).detail(fault.clone()).fact("fault", fault)
}

/// A header that must stay as it is: lettre would fold long values, and look for words to encode.
fn plain(name: HeaderName, value: &str) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(name, value.to_owned(), value.to_owned())
}

/// The value of the header `X-Mailverity-Run`.
#[must_use]
pub fn run_header(installation: &str, uid: &str, run: &str) -> String {
    [installation, uid, run].map(token).join("/")
}

/// An id as it may stand in a header: other characters than those of UIDs and DNS names become underscores.
fn token(id: &str) -> String {
    id.chars().take(128).map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' }).collect()
}

/// A mail as DATA carries it (RFC 5321 section 4.5.2): lines ended by CRLF, a dot before each that begins with one, and the
/// final `.` on its line. Bare CR and LF are mended: servers differ in what they take for a line's end, and mails have been
/// smuggled that way.
#[must_use]
pub fn dot_stuffed(mail: &[u8]) -> Vec<u8> {
    let mail = mail.strip_suffix(b"\n").unwrap_or(mail);
    let mut out = Vec::with_capacity(mail.len() + 64);
    for line in mail.split(|byte| *byte == b'\n') {
        let before = out.len();
        out.extend(line.iter().filter(|byte| **byte != b'\r'));
        if out.get(before) == Some(&b'.') {
            out.insert(before, b'.');
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> TestMail<'static> {
        TestMail {
            from: "relay@example.org",
            display_name: Some("Example Relay"),
            reply_to: None,
            to: "ops@example.net",
            subject: None,
            code: "0190d3a0-1111-8222-8333-444455556666".parse().unwrap(),
            message: "0190d3a0-1111-8222-8333-444455556666".parse().unwrap(),
            date: "2026-03-01T12:30:00Z".parse().unwrap(),
            installation: "prod",
            uid: "5d7c8e6a-0000-4000-8000-000000000001",
            run: "r-17",
            object: "MailServer mail/relay",
            contact: Some("postmaster@example.org"),
        }
    }

    fn text(mail: &TestMail<'_>) -> String {
        String::from_utf8(compose(mail).unwrap().raw).unwrap()
    }

    fn headers(mail: &TestMail<'_>) -> Vec<String> {
        let text = text(mail);
        let head = text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        head.split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_test_mail_has_the_promised_shape() {
        let headers = headers(&mail());
        for line in [
            "From: \"Example Relay\" <relay@example.org>",
            "To: ops@example.net",
            "Subject: mailverity check (0190d3a0-1111-8222-8333-444455556666)",
            "Date: Sun, 01 Mar 2026 12:30:00 +0000",
            "Message-ID: <0190d3a0-1111-8222-8333-444455556666@example.org>",
            "Auto-Submitted: auto-generated",
            "X-Auto-Response-Suppress: All",
            "X-Mailverity-Run: prod/5d7c8e6a-0000-4000-8000-000000000001/r-17",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 7bit",
        ] {
            assert!(headers.iter().any(|header| header == line), "{line} is not in {headers:#?}");
        }
        assert_eq!(headers.len(), 11, "{headers:#?}");
        let text = text(&mail());
        assert!(text.ends_with(
            "\r\n\r\nThis is a test mail of mailverity for MailServer mail/relay; it needs no answer.\r\nQuestions? Ask postmaster@example.org.\r\n"
        ));
    }

    fn probe() -> ProbeMail<'static> {
        ProbeMail {
            from: "probe@example.org",
            display_name: None,
            return_address: "notify+0190d3a0@in.example.org",
            to: "echo@example.net",
            subject: None,
            body: "please answer\n.and quote\n",
            id: "0190d3a0-1111-8222-8333-444455556666".parse().unwrap(),
            domain: "example.org",
            date: "2026-03-01T12:30:00Z".parse().unwrap(),
            installation: "prod",
            uid: "u1",
        }
    }

    #[test]
    fn a_probe_does_not_look_automatic_and_its_answers_reach_us() {
        // promise 5
        let composed = compose_probe(&probe()).unwrap();
        let text = String::from_utf8(composed.raw).unwrap();
        for field in ["auto-submitted", "precedence", "list-", "x-auto-response-suppress"] {
            assert!(!text.to_ascii_lowercase().contains(field), "{text}");
        }
        for line in [
            "From: probe@example.org\r\n",
            "Reply-To: notify+0190d3a0@in.example.org\r\n",
            "Subject: mailverity round trip (0190d3a0-1111-8222-8333-444455556666)\r\n",
            "Message-ID: <0190d3a0-1111-8222-8333-444455556666@example.org>\r\n",
            "\r\n\r\nplease answer\r\n.and quote\r\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert_eq!(composed.envelope_from, "notify+0190d3a0@in.example.org");
        let evil = ProbeMail { subject: Some("x\r\nBcc: a@b"), display_name: Some("y\r\nBcc: a@b"), ..probe() };
        let text = String::from_utf8(compose_probe(&evil).unwrap().raw).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
        let long = "x".repeat(3000);
        let text = String::from_utf8(compose_probe(&ProbeMail { body: &long, ..probe() }).unwrap().raw).unwrap();
        assert!(text.lines().all(|line| line.len() <= 998), "{text}");
    }

    #[test]
    fn a_subject_of_ones_own_is_followed_by_the_code() {
        let headers = headers(&TestMail { subject: Some("Nightly relay test"), reply_to: Some("help@example.org"), ..mail() });
        assert!(headers.contains(&"Subject: Nightly relay test (0190d3a0-1111-8222-8333-444455556666)".to_owned()));
        assert!(headers.contains(&"Reply-To: help@example.org".to_owned()));
    }

    #[test]
    fn nothing_that_people_write_becomes_a_header_of_its_own() {
        let evil = "x\r\nBcc: victim@example.com\r\n\r\nbody\u{2028}\0";
        let mail = TestMail {
            display_name: Some(evil),
            subject: Some(evil),
            installation: evil,
            uid: evil,
            run: evil,
            object: evil,
            contact: Some(evil),
            ..mail()
        };
        let text = text(&mail);
        assert!(!text.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{text}");
        assert_eq!(text.matches("\r\n\r\n").count(), 1, "{text}");
        assert!(text.contains("X-Mailverity-Run: x__Bcc__victim_example.com____body__/x__"), "{text}");
    }

    #[test]
    fn a_subject_and_a_body_that_are_not_ascii_are_encoded() {
        let mail =
            TestMail { subject: Some("Prüfung"), object: "MailServer büro/relay", display_name: Some("Büro"), ..mail() };
        let composed = compose(&mail).unwrap();
        assert!(composed.raw.is_ascii() && !composed.needs_smtputf8);
        let text = String::from_utf8(composed.raw).unwrap();
        assert!(text.contains("Subject: =?utf-8?b?"), "{text}");
        assert!(text.contains("(0190d3a0-1111-8222-8333-444455556666)"), "the code stays readable: {text}");
        assert!(text.contains("Content-Transfer-Encoding: quoted-printable"), "{text}");
        assert!(text.contains("MailServer b=C3=BCro/relay"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn a_domain_becomes_a_labels_and_only_a_local_part_needs_smtputf8() {
        let composed = compose(&TestMail { from: "relay@bücher.example", to: "ops@[192.0.2.1]", ..mail() }).unwrap();
        assert_eq!(composed.envelope_from, "relay@xn--bcher-kva.example");
        assert_eq!(composed.envelope_to, "ops@[192.0.2.1]");
        assert_eq!(composed.message_id, "<0190d3a0-1111-8222-8333-444455556666@xn--bcher-kva.example>");
        assert!(!composed.needs_smtputf8);
        assert!(compose(&TestMail { to: "büro@example.net", ..mail() }).unwrap().needs_smtputf8);
    }

    #[test]
    fn what_is_no_address_is_refused_by_the_name_of_its_field() {
        for (from, to, answers, field) in [
            ("relay", "ops@example.net", None, "sender.address"),
            ("relay@example.org, boss@example.org", "ops@example.net", None, "sender.address"),
            ("relay@", "ops@example.net", None, "sender.address"),
            ("relay@example.org", "ops@example.net\r\nBcc: x@y", None, "test.to"),
            ("relay@example.org", "ops@exa mple.net", None, "test.to"),
            ("relay@example.org", "<ops@example.net>", None, "test.to"),
            ("relay@example.org", "ops@example.net", Some("@example.org"), "sender.replyTo"),
        ] {
            let found = compose(&TestMail { from, to, reply_to: answers, ..mail() }).unwrap_err();
            assert_eq!(found.reason, Reason::SpecInvalid);
            assert!(found.hint().starts_with(field), "{}", found.hint());
        }
    }

    #[test]
    fn dots_are_stuffed_and_line_ends_mended() {
        assert_eq!(dot_stuffed(b"a\r\n.\r\n..b\r\n"), b"a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(dot_stuffed(b"a\n.\nb"), b"a\r\n..\r\nb\r\n.\r\n");
        assert_eq!(dot_stuffed(b"a\r.\rb"), b"a.b\r\n.\r\n");
        assert_eq!(dot_stuffed(b"\r.\r\nx"), b"..\r\nx\r\n.\r\n");
        assert_eq!(dot_stuffed(b""), b"\r\n.\r\n");
    }
}
