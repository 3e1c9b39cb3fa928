//! Header fields that came as JSON, written as a header again (RFC 5322 section 2.2): what is looked for in it is looked for in
//! the same way as over IMAP and POP3.

use crate::mail::mailbox::HEADER;

/// The header with these fields, in their order; what can be no field is left out.
pub fn header<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut header = Vec::new();
    for (name, value) in fields {
        let is_name = !name.is_empty() && name.bytes().all(|byte| (33..=126).contains(&byte) && byte != b':');
        if !is_name || header.len() + name.len() + value.len() > HEADER {
            continue;
        }
        header.extend_from_slice(name.as_bytes());
        header.extend_from_slice(b": ");
        // Whoever wrote the value could end the field with it, and write others.
        header.extend(value.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
        header.extend_from_slice(b"\r\n");
    }
    header.extend_from_slice(b"\r\n");
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_makes_a_field_of_its_own() {
        let written = header([("Subject", "a\r\nX-Mailverity-Run: b"), ("bad name", "c"), ("", "d"), ("X:Y", "e"), ("To", "é")]);
        assert_eq!(String::from_utf8(written).unwrap(), "Subject: a  X-Mailverity-Run: b\r\nTo: é\r\n\r\n");
    }

    #[test]
    fn it_is_no_longer_than_a_header_may_be() {
        let long = "x".repeat(HEADER);
        assert_eq!(header([("A", long.as_str()), ("B", "b")]), b"B: b\r\n\r\n");
    }
}
