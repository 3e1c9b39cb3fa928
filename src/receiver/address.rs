//! Addresses as MAIL and RCPT spell them (RFC 5321 section 4.1.2): source routes, quoted local parts, address literals, the
//! null sender, and the lengths of section 4.5.3.1. Pure.

use std::{
    borrow::Cow,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::mail::domain::canonical;

/// RFC 5321 section 4.5.3.1.1.
const LOCAL_PART: usize = 64;
/// RFC 5321 section 4.5.3.1.2.
const DOMAIN: usize = 255;
/// RFC 5321 section 4.5.3.1.3, with the angle brackets.
const PATH: usize = 256;
/// RFC 1035 section 2.3.4.
const LABEL: usize = 63;

/// An address, whole or, for `<postmaster>`, without a domain (RFC 5321 section 4.1.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The local part without its quotes, as it was written.
    pub local: String,
    /// The domain in lower case and A-labels (RFC 5890), an address literal with its brackets, or nothing.
    pub domain: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.local.bytes().all(|byte| is_atext(byte) || byte == b'.') {
            f.write_str(&self.local)?;
        } else {
            write!(f, "\"{}\"", self.local.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
        if self.domain.is_empty() { Ok(()) } else { write!(f, "@{}", self.domain) }
    }
}

/// An address as it stands on the line: nothing is copied before it is known to be wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelled<'a> {
    /// The local part without its quotes.
    pub local: Cow<'a, str>,
    /// The domain as it was written; empty where there is none.
    pub domain: &'a str,
}

impl Spelled<'_> {
    /// Whether it takes SMTPUTF8 to say it (RFC 6531 section 3.3).
    pub fn is_international(&self) -> bool {
        !self.local.is_ascii() || !self.domain.is_ascii()
    }

    /// Whether its local part is longer than anybody has to take.
    pub fn is_long(&self) -> bool {
        self.local.len() > LOCAL_PART
    }

    pub fn to_address(&self) -> Address {
        Address { local: self.local.clone().into_owned(), domain: canonical(self.domain).into_owned() }
    }
}

/// Reads `<...>` and returns what is in it, none for the null sender `<>`, and what stands behind it.
pub(super) fn path(text: &str) -> Option<(Option<Spelled<'_>>, &str)> {
    // A space behind the colon is no part of the grammar, and of many clients.
    let text = text.trim_start_matches(' ');
    let end = closing(text)?;
    let (inside, rest) = (text.get(1..end)?, text.get(end + 1..)?);
    if end >= PATH || !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    if inside.is_empty() {
        return Some((None, rest));
    }
    Some((Some(mailbox(behind_route(inside)?)?), rest))
}

/// Where the bracket closes that opens `text`; one in quotes does not.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'<') {
        return None;
    }
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// What follows a source route, which is read and not followed (RFC 5321 section 3.6.1).
fn behind_route(inside: &str) -> Option<&str> {
    if !inside.starts_with('@') {
        return Some(inside);
    }
    let (route, mailbox) = inside.split_once(':')?;
    route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(is_domain)).then_some(mailbox)
}

fn mailbox(text: &str) -> Option<Spelled<'_>> {
    let (local, rest) = if let Some(quoted) = text.strip_prefix('"') { unquoted(quoted)? } else { dotted(text)? };
    let domain = match rest.strip_prefix('@') {
        Some(domain) if is_domain(domain) || is_literal(domain) => domain,
        None if rest.is_empty() => "",
        _ => return None,
    };
    (!local.is_empty()).then_some(Spelled { local, domain })
}

/// A local part that needs no quotes. Two dots in a row are not allowed, and some of the world's senders have them.
fn dotted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (local, rest) = text.split_at(text.find('@').unwrap_or(text.len()));
    let plain = local.bytes().all(|byte| is_atext(byte) || byte == b'.' || !byte.is_ascii());
    plain.then_some((local.into(), rest))
}

/// A quoted local part, behind its first quote (RFC 5321 section 4.1.2, Quoted-string).
fn unquoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut local = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((local.into(), &text[at + 1..])),
            '\\' => local.push(characters.next().map(|(_, c)| c).filter(|c| !c.is_control())?),
            c if c.is_control() => return None,
            c => local.push(c),
        }
    }
    None
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || !byte.is_ascii();
        !label.is_empty() && label.len() <= LABEL && label.bytes().all(inner)
    };
    text.len() <= DOMAIN && text.split('.').all(label)
}

/// `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3).
fn is_literal(text: &str) -> bool {
    let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    match inside.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")) {
        Some(tag) => inside[tag.len()..].parse::<Ipv6Addr>().is_ok(),
        None => inside.parse::<Ipv4Addr>().is_ok(),
    }
}

/// RFC 5322 section 3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<String> {
        let (path, rest) = path(text)?;
        let path = path.map_or("nobody".to_owned(), |spelled| spelled.to_address().to_string());
        Some(if rest.is_empty() { path } else { format!("{path} +{rest}") })
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        for (text, told) in [
            ("<notify@example.org>", "notify@example.org"),
            (" <Notify+A1@EXAMPLE.org> SIZE=9", "Notify+A1@example.org + SIZE=9"),
            ("<>", "nobody"),
            ("<postmaster>", "postmaster"),
            ("<@one.test,@two.test:notify@example.org>", "notify@example.org"),
            (r#"<"a b>\"c"@example.org>"#, r#""a b>\"c"@example.org"#),
            (r#"<"notify"@example.org>"#, "notify@example.org"),
            ("<ops@[192.0.2.1]>", "ops@[192.0.2.1]"),
            ("<ops@[IPv6:2001:db8::1]>", "ops@[ipv6:2001:db8::1]"),
            ("<büro@bücher.example>", "\"büro\"@xn--bcher-kva.example"),
            ("<a..b@example.org>", "a..b@example.org"),
        ] {
            assert_eq!(read(text).as_deref(), Some(told), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        let long_label = format!("<a@{}.org>", "x".repeat(64));
        let long_path = format!("<{}@{}org>", "x".repeat(60), "abcdefghi.".repeat(20));
        let long_domain = format!("<@{}org:a@b.org>", "abcdefghi.".repeat(26));
        for text in [
            "",
            "notify@example.org",
            "<notify@example.org",
            "<notify@example.org>x",
            "<a@b@c>",
            "<@example.org>",
            "<a b@c>",
            "<a@>",
            "<a@.org>",
            "<a@b..c>",
            "<a@[1.2.3]>",
            "<a@[IPv6:zz]>",
            "<a@b,c>",
            "<\"a@b>",
            "<\"a\"b@c>",
            "<\"\"@c>",
            "<\u{7}@c>",
            "<\"\u{7}\"@c>",
            "<@a:>",
            "<@a,b:c@d>",
            &long_label,
            &long_path,
            &long_domain,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_upsets_the_reader(text in "<?[@a\"\\\\:.,<>\\[\\] é\u{0}]{0,40}>?") {
            if let Some((Some(spelled), _)) = path(&text) {
                let again = format!("<{}>", spelled.to_address());
                let (read, rest) = path(&again).unwrap();
                prop_assert_eq!(rest, "");
                prop_assert_eq!(read.unwrap().to_address(), spelled.to_address());
            }
        }
    }
}
