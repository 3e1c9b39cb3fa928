//! Header fields that came as JSON, written as a header again (RFC 5322 section 2.2): what is looked for in it is looked for in
//! the same way as over IMAP and POP3. A mail may have a header of many kilobytes, and a look passes hundreds of mails: what
//! does not count is dropped while the JSON is read.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use crate::mail::mailbox::RUN;

/// The most octets of a header, as over IMAP.
pub const MOST: usize = 8192;
/// The most octets of one value: no field of many kilobytes keeps out those behind it.
const VALUE: usize = 2048;
const SUBJECT: &str = "Subject";
/// The fields that count: those by which a mail is known to be ours, or to be about one of ours.
pub const FIELDS: [&str; 10] = [
    SUBJECT,
    "In-Reply-To",
    "References",
    "Message-ID",
    "Content-Type",
    "To",
    "Delivered-To",
    "X-Original-To",
    "Authentication-Results",
    RUN,
];

/// A header, as far as it counts. From JSON: a list of objects with a name and a value.
#[derive(Debug, Default)]
pub struct Header {
    text: Vec<u8>,
    has_subject: bool,
}

impl Header {
    /// Adds a field, if it counts and there is room for it.
    fn add(&mut self, name: &str, value: &str) {
        let Some(name) = FIELDS.into_iter().find(|known| known.eq_ignore_ascii_case(name)) else { return };
        let value = value.get(..value.floor_char_boundary(VALUE)).unwrap_or_default();
        if self.text.len() + name.len() + value.len() + b": \r\n\r\n".len() > MOST {
            return;
        }
        self.has_subject |= name == SUBJECT;
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b": ");
        // Whoever wrote the value could end the field with it, and write others.
        self.text.extend(value.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
        self.text.extend_from_slice(b"\r\n");
    }

    /// As it is looked at, with the empty line at its end; with this subject where it has none.
    #[must_use]
    pub fn with(mut self, subject: Option<&str>) -> Vec<u8> {
        if let Some(subject) = subject.filter(|_| !self.has_subject) {
            self.add(SUBJECT, subject);
        }
        self.text.extend_from_slice(b"\r\n");
        self.text.shrink_to_fit();
        self.text
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Fields)
    }
}

#[derive(Deserialize)]
struct Field<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of header fields")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(Field { name, value }) = fields.next_element()? {
            header.add(&name, value.as_deref().unwrap_or_default());
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header(fields: &[(&str, &str)]) -> Vec<u8> {
        let fields: Vec<_> = fields.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        serde_json::from_str::<Header>(&json!(fields).to_string()).unwrap().with(None)
    }

    #[test]
    fn no_value_makes_a_field_of_its_own() {
        let written = header(&[("Subject", "a\r\nX-Mailverity-Run: b"), ("bad name", "c"), ("", "d"), ("X:Y", "e"), ("to", "é")]);
        assert_eq!(String::from_utf8(written).unwrap(), "Subject: a  X-Mailverity-Run: b\r\nTo: é\r\n\r\n");
    }

    #[test]
    fn what_does_not_count_is_not_kept_and_what_is_long_keeps_nothing_out() {
        let long = "é".repeat(40_000);
        let mut fields = vec![("Received", long.as_str()), ("References", &long), ("X-Other", "x"), ("subject", "s")];
        assert_eq!(header(&fields).len(), "References: \r\nSubject: s\r\n\r\n".len() + VALUE);
        fields.extend([("To", long.as_str()); 40]);
        assert!((MOST - VALUE..=MOST).contains(&header(&fields).len()));
    }

    #[test]
    fn a_subject_that_is_told_apart_counts_where_the_header_has_none() {
        let header = |fields: &str| serde_json::from_str::<Header>(fields).unwrap().with(Some("apart"));
        assert_eq!(header("[]"), b"Subject: apart\r\n\r\n");
        assert_eq!(header(r#"[{"name": "SUBJECT", "value": "in it"}, {"name": "To"}]"#), b"Subject: in it\r\nTo: \r\n\r\n");
    }
}
