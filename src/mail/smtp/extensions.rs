//! What a server offers: the reply to EHLO (RFC 5321 section 4.1.1.1), and our address where it names that.
//!
//! Bounded: at most [`KEYWORDS`] keywords of 256 characters each are kept.

use std::net::IpAddr;

use super::Reply;
use crate::mail::diagnosis::printable;

/// The most keywords that are kept.
pub const KEYWORDS: usize = 64;

/// The extensions that a server offers.
#[expect(clippy::struct_excessive_bools, reason = "each is an extension of its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Each keyword in upper case with its parameters as they were sent.
    pub keywords: Vec<String>,
    /// SASL mechanisms in upper case, in the order of the offer, each once (RFC 4954).
    pub auth: Vec<String>,
    /// The most bytes of a mail (RFC 1870); none where no limit is told.
    pub size: Option<u64>,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// Our address, where the greeting names it.
    pub observed_ip: Option<IpAddr>,
}

impl Extensions {
    /// Reads the reply to EHLO or HELO. `helo` is the name that we gave: where that is an address literal, the server
    /// repeating it says nothing about our address.
    #[must_use]
    pub fn parse(reply: &Reply, helo: &str) -> Self {
        let mut found = Self::default();
        let mut lines = reply.lines.iter();
        if let Some(greeting) = lines.next() {
            // The first word is the server's own name, and may be an address literal too.
            let said = greeting.split_once(char::is_whitespace).map_or("", |(_, said)| said);
            found.observed_ip = named_ips(&said.replacen(helo, "", usize::from(!helo.is_empty()))).last().copied();
        }
        for line in lines.take(KEYWORDS) {
            found.read(line);
        }
        found
    }

    fn read(&mut self, line: &str) {
        let line = printable(line, 256);
        // Servers of the time before RFC 2554 wrote `AUTH=LOGIN`.
        let end = line.find([' ', '=']).unwrap_or(line.len());
        let (name, parameters) = (line[..end].to_ascii_uppercase(), &line[end..]);
        if name.is_empty() {
            return;
        }
        let parameters = parameters.get(1..).unwrap_or_default();
        match name.as_str() {
            "AUTH" => {
                for mechanism in parameters.split([' ', '=']).filter(|word| !word.is_empty()) {
                    let mechanism = mechanism.to_ascii_uppercase();
                    if !self.auth.contains(&mechanism) {
                        self.auth.push(mechanism);
                    }
                }
            }
            // Zero means that there is no fixed limit (RFC 1870 section 4).
            "SIZE" => self.size = parameters.trim().parse().ok().filter(|size| *size > 0),
            "STARTTLS" => self.starttls = true,
            "PIPELINING" => self.pipelining = true,
            "DSN" => self.dsn = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "CHUNKING" => self.chunking = true,
            _ => {}
        }
        self.keywords.push(name + &line[end..]);
    }
}

/// The addresses that stand in brackets or parentheses in a server's words, in order, at most eight: the way in which
/// servers name a client. `[IPv6:2001:db8::1]` and Google's `[192.0.2.7      18]` count too.
#[must_use]
pub fn named_ips(text: &str) -> Vec<IpAddr> {
    let inside = text.split(['[', '(']).skip(1).filter_map(|part| part.split([']', ')']).next());
    let addresses = inside.filter_map(|part| {
        let word = part.split_whitespace().next()?;
        let prefixed = word.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("IPv6:"));
        if prefixed { word[5..].parse().ok() } else { word.parse().ok() }
    });
    addresses.take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, helo: &str) -> Extensions {
        Extensions::parse(&Reply::parse(text).unwrap(), helo)
    }

    #[test]
    fn postfix_with_old_and_new_auth_lines() {
        let found = parse(
            "250-mx.example.org\n250-PIPELINING\n250-SIZE 10240000\n250-starttls\n250-AUTH PLAIN login CRAM-MD5\n250-AUTH=PLAIN LOGIN NTLM\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-DSN\n250-SMTPUTF8\n250-X-vendor Thing\n250 CHUNKING",
            "client.example",
        );
        assert_eq!(found.auth, ["PLAIN", "LOGIN", "CRAM-MD5", "NTLM"]);
        assert_eq!(found.size, Some(10_240_000));
        assert!(found.starttls && found.pipelining && found.dsn && found.smtputf8 && found.chunking);
        assert!(found.eight_bit_mime && found.enhanced_status_codes);
        assert_eq!(found.keywords[2], "STARTTLS");
        assert_eq!(found.keywords[8], "SMTPUTF8");
        assert_eq!(found.keywords[9], "X-VENDOR Thing");
        assert_eq!(found.observed_ip, None);
    }

    #[test]
    fn our_address_is_read_where_the_server_names_it() {
        let ip = |text: &str, helo: &str| parse(text, helo).observed_ip.map(|ip| ip.to_string());
        let seen = Some("192.0.2.7".to_owned());
        assert_eq!(ip("250 mx.example Hello [192.0.2.7]", "a.example"), seen, "Exchange");
        assert_eq!(ip("250 mx.example Hello a.example [192.0.2.7]", "a.example"), seen, "Exim");
        assert_eq!(ip("250 mx.example Hello [10.0.0.5] [192.0.2.7]", "[10.0.0.5]"), seen, "Exim, address literal");
        assert_eq!(
            ip("250 mx.example Hello nat.example [192.0.2.7] (may be forged), pleased to meet you", "a.example"),
            seen,
            "Sendmail"
        );
        assert_eq!(ip("250 smtp.gmail.com at your service, [192.0.2.7]", "a.example"), seen, "Google");
        assert_eq!(ip("250 mx.example Hello a.example (192.0.2.7)", "a.example"), seen);
        assert_eq!(ip("250 mx.example Hello a [IPv6:2001:db8::1]", "a"), Some("2001:db8::1".to_owned()));
        assert_eq!(ip("250 mx.example Hello [10.0.0.5]", "[10.0.0.5]"), None, "only what we said ourselves");
        assert_eq!(ip("250 [198.51.100.1] Hello", "a.example"), None, "the server's own name");
        assert_eq!(ip("250 mx.example [not an address]", ""), None);
    }

    #[test]
    fn a_flood_of_keywords_is_bounded() {
        let text = (0..100).map(|n| format!("250-K{n} {}", "x".repeat(2000))).collect::<Vec<_>>().join("\n") + "\n250 END";
        let found = parse(&text, "");
        assert!(found.keywords.len() <= KEYWORDS);
        assert!(found.keywords.iter().all(|keyword| keyword.len() <= 256));
    }

    #[test]
    fn a_size_of_zero_or_without_a_number_is_no_limit() {
        assert_eq!(parse("250-mx\n250 SIZE 0", "").size, None);
        assert_eq!(parse("250-mx\n250 SIZE", "").size, None);
        assert_eq!(parse("250-mx\n250 SIZE 99999999999999999999999", "").size, None);
    }
}
