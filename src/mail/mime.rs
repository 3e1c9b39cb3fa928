//! A mail taken apart (RFC 2045, RFC 2046), as far as is good for us: so deep, so many parts, and never by recursion. A parser
//! that follows every nested message keeps a frame of the stack for each, and a mail can hold thousands.
//! Pure; words and fields are `mail_parser`'s.

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use memchr::memmem;

use super::mailbox::HEADER;

/// How deep multiparts are followed; those that people send are four deep.
const DEPTH: usize = 8;
/// The most parts of a mail.
const PARTS: usize = 64;

/// A mail: its header, and its parts that are no multiparts, in order.
#[derive(Debug)]
pub struct Mail<'a> {
    /// The header, of which the first [`HEADER`] octets count.
    pub header: Message<'a>,
    /// The parts; one if the mail is no multipart.
    pub parts: Vec<Part<'a>>,
}

/// A part that holds no others, or whose others are not looked at: a message (RFC 2046 section 5.2), or what lies too deep.
#[derive(Debug)]
pub struct Part<'a> {
    /// Its type in lower case, such as `text/plain`.
    pub kind: String,
    /// Whether it is to be shown with the mail, and not beside it (RFC 2183 section 2.1).
    pub inline: bool,
    /// The body as it came.
    pub body: &'a [u8],
    charset: String,
    encoding: String,
}

impl<'a> Mail<'a> {
    /// Takes a mail apart. Of one that is no mail the header is empty.
    #[must_use]
    pub fn read(mail: &'a [u8]) -> Self {
        let (header, _) = head(mail);
        let mut parts = Vec::new();
        let mut open = vec![(mail, 0)];
        while let Some((raw, depth)) = open.pop() {
            if parts.len() == PARTS {
                break;
            }
            let (header, body) = head(raw);
            let content = header.content_type();
            let kind = content.map_or_else(
                || "text/plain".to_owned(),
                |content| format!("{}/{}", content.ctype(), content.subtype().unwrap_or_default()).to_ascii_lowercase(),
            );
            let boundary = content.and_then(|content| content.attribute("boundary")).filter(|boundary| !boundary.is_empty());
            if let Some(boundary) = boundary.filter(|_| depth < DEPTH && kind.starts_with("multipart/")) {
                let inside = split(body, boundary).into_iter().rev();
                open.extend(inside.map(|raw| (raw, depth + 1)));
                continue;
            }
            let inline = header.content_disposition().is_none_or(|disposition| !disposition.is_attachment());
            let charset = content.and_then(|content| content.attribute("charset")).map(word).unwrap_or_default();
            let encoding = header.content_transfer_encoding().map(word).unwrap_or_default();
            parts.push(Part { kind, inline, body, charset, encoding });
        }
        Self { header, parts }
    }

    /// What a person would read first: the plain texts, or what HTML says where there are none; `most` octets of it.
    #[must_use]
    pub fn text(&self, most: usize) -> String {
        let mut text = String::new();
        for kind in ["text/plain", "text/html"] {
            for part in self.parts.iter().filter(|part| part.inline && part.kind == kind) {
                if text.len() < most {
                    text.push_str(&part.decoded());
                }
            }
            if !text.trim().is_empty() {
                break;
            }
        }
        text.truncate(text.floor_char_boundary(most));
        text
    }
}

impl Part<'_> {
    /// The body without its transfer encoding, as text. Nothing of a message: what is in it may be nested as deep as one likes.
    #[must_use]
    pub fn decoded(&self) -> String {
        if ["message/rfc822", "message/global"].contains(&self.kind.as_str()) || self.kind.starts_with("multipart/") {
            return String::new();
        }
        let subtype = if self.kind == "text/html" { "html" } else { "plain" };
        let Self { charset, encoding, .. } = self;
        // With a header of ours: the parser might read more into the part's own, such as a message.
        let header =
            format!("Content-Type: text/{subtype}; charset=\"{charset}\"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
        let whole = [header.as_bytes(), self.body].concat();
        let mut parsed = MessageParser::default().parse(&whole);
        let Some(part) = parsed.as_mut().and_then(|mail| mail.parts.first_mut()) else { return String::new() };
        match std::mem::take(&mut part.body) {
            PartType::Text(text) => text.into_owned(),
            PartType::Html(html) => mail_parser::decoders::html::html_to_text(&html),
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            PartType::Message(_) | PartType::Multipart(_) => String::new(),
        }
    }
}

/// The header, and what stands behind it: nothing where the header has no end within its bound.
fn head(raw: &[u8]) -> (Message<'_>, &[u8]) {
    let bound = raw.get(..HEADER).unwrap_or(raw);
    let at_once = || bound.starts_with(b"\r\n").then_some(2).or(bound.starts_with(b"\n").then_some(1));
    let line_end = |at: usize| match bound.get(at + 1..)? {
        [b'\r', b'\n', ..] => Some(at + 3),
        [b'\n', ..] => Some(at + 2),
        _ => None,
    };
    let end = at_once().or_else(|| memchr::memchr_iter(b'\n', bound).find_map(line_end));
    let header = MessageParser::default().parse_headers(bound.get(..end.unwrap_or(bound.len())).unwrap_or_default());
    let body = match (end, &header) {
        (Some(end), _) => raw.get(end..).unwrap_or_default(),
        (None, Some(_)) => &[],
        (None, None) => raw,
    };
    (header.unwrap_or_else(nothing), body)
}

/// A message without fields. One that is made in no other way has no root, which its methods take for granted.
fn nothing<'a>() -> Message<'a> {
    Message { parts: vec![mail_parser::MessagePart::default()], ..Message::default() }
}

/// What may stand in a header of ours.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.:".contains(*c)).take(64).collect()
}

/// The parts between the delimiters of a multipart (RFC 2046 section 5.1.1).
fn split<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let delimiter = format!("--{boundary}");
    let (mut parts, mut begin) = (Vec::new(), None);
    for at in memmem::find_iter(body, delimiter.as_bytes()) {
        let behind = &body[at + delimiter.len()..];
        let last = behind.starts_with(b"--");
        // Another boundary may begin like this one.
        let whole = last || behind.first().is_none_or(u8::is_ascii_whitespace);
        if !whole || !(at == 0 || body[at - 1] == b'\n') {
            continue;
        }
        if let Some(begin) = begin.filter(|begin| *begin <= at) {
            let part = &body[begin..at];
            let part = part.strip_suffix(b"\n").unwrap_or(part);
            parts.push(part.strip_suffix(b"\r").unwrap_or(part));
        }
        let line = memchr::memchr(b'\n', behind).map(|end| at + delimiter.len() + end + 1);
        begin = line.filter(|_| !last);
        if last || parts.len() == PARTS {
            return parts;
        }
    }
    // The end is missing where a mail was cut.
    parts.extend(begin.map(|begin| &body[begin..]));
    parts
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn kinds(mail: &Mail<'_>) -> Vec<String> {
        mail.parts.iter().map(|part| part.kind.clone()).collect()
    }

    #[test]
    fn a_mail_comes_apart_into_its_parts() {
        let mail = "Subject: x\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n--a\r\n\
            Content-Type: multipart/alternative; boundary=ab\r\n\r\n--ab\r\n\r\nplain =3D\r\n--ab\r\n\
            Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>html =3D</p>\r\n--ab--\r\n\r\n--a\r\n\
            Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nattached\r\n--a--\r\nepilogue";
        let mail = Mail::read(mail.as_bytes());
        assert_eq!(mail.header.subject(), Some("x"));
        assert_eq!(kinds(&mail), ["text/plain", "text/html", "text/plain"]);
        assert_eq!(mail.text(99), "plain =3D");
        assert_eq!(mail.parts[1].decoded().trim(), "html =");
        assert_eq!(mail.text(5), "plain");
    }

    #[test]
    fn html_is_read_where_nothing_else_is_there() {
        let mail = b"Content-Type: text/html\r\n\r\n<html><body><p>it works</p></body></html>";
        assert_eq!(Mail::read(mail).text(99).trim(), "it works");
    }

    #[test]
    fn a_mail_that_is_none_has_no_header() {
        for text in ["", "\r\n", "no header at all", "\r\n\r\nbody"] {
            let mail = Mail::read(text.as_bytes());
            assert_eq!(mail.header.subject(), None, "{text:?}");
            let _ = mail.text(99);
        }
    }

    #[test]
    fn a_message_inside_is_never_followed_whatever_is_said_twice() {
        for first in ["text/plain", "message/rfc822", "multipart/mixed; boundary=x"] {
            for second in ["text/plain", "message/rfc822", "multipart/digest; boundary=x"] {
                let nested = format!("Content-Type: {first}\r\nContent-Type: {second}\r\n\r\n").repeat(3000);
                let read = Mail::read(nested.as_bytes());
                let _ = read.text(usize::MAX);
                assert!(read.parts.len() <= PARTS);
            }
        }
    }

    /// What is dear to a careless parser, each as long as what a receiver keeps of a mail.
    fn hostile() -> Vec<String> {
        let level = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
        let deep = (0..10_000).map(level).collect::<Vec<_>>().concat();
        let one = |unit: &str| unit.repeat(256 * 1024 / unit.len());
        let multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
        vec![
            deep,
            one("Content-Type: message/rfc822\r\n\r\n"),
            one("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"),
            format!("{multipart}{}", one("--b\r\n")),
            format!("{multipart}{}", one("--b")),
            format!("{multipart}{}", one("--b\r\nContent-Type: text/html\r\n\r\n<div>\r\n")),
            format!("Content-Type: text/html\r\n\r\n{}", one("<div>")),
            format!("Content-Type: text/html\r\n\r\n{}", one("<")),
            format!("Content-Type: text/html\r\n\r\n{}", one("&")),
            format!("Content-Type: text/html\r\n\r\n{}", one("<!--")),
            one("X-Header: y\r\n"),
            one("From: a@b.test, \r\n "),
            format!("From: {}", one("(")),
            format!("From: {}", one("\"")),
            format!("To: {}", one("<a@b.test>,")),
            format!("To: {}", one("g:")),
            format!("References: {}", one("<a@b> ")),
            format!("Subject: {}", one("=?utf-8?q?=41?= ")),
            format!("Subject: {}", one("=?utf-8?b?")),
            format!("Content-Type: text/plain{}", one("; a*0=b")),
            format!("Received: {}", one("from a by b ")),
            format!("Date: {}", one("1 ")),
            one("\0"),
        ]
    }

    #[test]
    fn no_mail_costs_more_stack_or_time_than_another() {
        // a tenth of what a thread of the runtime has
        let judge = || {
            for mail in hostile() {
                let begun = Instant::now();
                let read = Mail::read(mail.as_bytes());
                let _ = read.text(usize::MAX);
                assert!(read.parts.len() <= PARTS);
                drop(read);
                // No measure of speed: what is quadratic takes minutes here.
                assert!(begun.elapsed() < Duration::from_secs(5), "{:?} for {}", begun.elapsed(), &mail[..60]);
            }
        };
        std::thread::Builder::new().stack_size(200 * 1024).spawn(judge).unwrap().join().unwrap();
    }
}
