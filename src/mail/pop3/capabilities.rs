//! What a server offers (RFC 2449 section 5).

use crate::mail::diagnosis::printable;

/// The most keywords that are kept.
const KEYWORDS: usize = 64;

/// The answer to CAPA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Each line as it came: a keyword and its parameters.
    pub keywords: Vec<String>,
    /// The mechanisms of SASL, in upper case.
    pub sasl: Vec<String>,
    /// USER and PASS are taken.
    pub user: bool,
    /// TLS can be asked for (RFC 2595 section 4).
    pub stls: bool,
}

impl Capabilities {
    /// Reads the lines behind `+OK`. What is not known is kept as it came.
    #[must_use]
    pub fn parse(listing: &[u8]) -> Self {
        let mut capabilities = Self::default();
        for line in String::from_utf8_lossy(listing).lines().map(|line| printable(line, 256)).take(KEYWORDS) {
            let mut words = line.split(' ').map(str::to_ascii_uppercase);
            match words.next().as_deref() {
                None | Some("") => continue,
                Some("SASL") => capabilities.sasl.extend(words.take(KEYWORDS)),
                Some("USER") => capabilities.user = true,
                Some("STLS") => capabilities.stls = true,
                Some(_) => {}
            }
            capabilities.keywords.push(line);
        }
        capabilities
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_in_any_case_and_the_unknown_is_kept() {
        let read = Capabilities::parse(b"TOP\r\nuser\r\nSASL plain  CRAM-MD5\r\n\r\nSTLS\r\nIMPLEMENTATION x\0y\r\nSTLSX\r\n");
        assert_eq!(read.sasl, ["PLAIN", "CRAM-MD5"]);
        assert!(read.user && read.stls);
        assert_eq!(read.keywords, ["TOP", "user", "SASL plain CRAM-MD5", "STLS", "IMPLEMENTATION x y", "STLSX"]);
        assert_eq!(Capabilities::parse(b"USERS\r\nSASLX PLAIN\r\n").sasl, Vec::<String>::new());
        assert!(!Capabilities::parse(b"USERS\r\nXSTLS\r\n").stls);
    }

    #[test]
    fn a_flood_of_keywords_is_cut() {
        assert_eq!(Capabilities::parse(&b"X\r\n".repeat(9999)).keywords.len(), KEYWORDS);
    }
}
