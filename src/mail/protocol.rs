//! The protocols that we speak, and the name of the one that a port speaks, from its first bytes.

use std::net::SocketAddr;

use super::Diagnosis;
use crate::api::Reason;

/// A protocol that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 9051 and RFC 3501.
    Imap,
    /// RFC 1939.
    Pop3,
    /// Microsoft Graph: <https://learn.microsoft.com/en-us/graph/api/resources/mail-api-overview>
    Graph,
    /// The Gmail API: <https://developers.google.com/workspace/gmail/api/reference/rest>
    Gmail,
}

impl Protocol {
    /// Its name, as people write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
            Self::Graph => "MicrosoftGraph",
            Self::Gmail => "GmailAPI",
        }
    }
}

/// What the first bytes of a server say, where they are not those of the protocol that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A TLS record: the port speaks TLS from the first byte.
    Tls,
    /// Another protocol, by its name.
    Other(&'static str),
}

impl Found {
    /// The diagnosis for a connection on which `wanted` was expected.
    #[must_use]
    pub fn diagnose(self, peer: SocketAddr, wanted: Protocol) -> Diagnosis {
        match self {
            Self::Tls => Diagnosis::new(Reason::WrongTLSMode)
                .fact("found", "TLS")
                .fact("mode", "TLS")
                .detail(format!("{peer} speaks TLS from the first byte")),
            Self::Other(name) => Diagnosis::new(Reason::WrongProtocol)
                .fact("found", name)
                .fact("wanted", wanted.as_str())
                .detail(format!("{peer} speaks {name}")),
        }
    }
}

/// The protocol of a server that began with these bytes; none where they may be those of `wanted`, or tell nothing yet.
#[must_use]
pub fn of_bytes(opening: &[u8], wanted: Protocol) -> Option<Found> {
    match opening {
        // A TLS record: alert or handshake, version 3.x (RFC 8446 section 5.1).
        [0x15 | 0x16, 3, ..] => Some(Found::Tls),
        // "Interpret as command": WILL, WONT, DO or DONT (RFC 854).
        [0xff, 0xfb..=0xfe, _, 0xff, ..] => Some(Found::Other("Telnet")),
        // The length and the number 0 of a packet, and version 10 of the protocol.
        [_, _, 0, 0, 10, ..] => Some(Found::Other("MySQL")),
        _ => of_line(&String::from_utf8_lossy(opening.get(..8)?), wanted).map(Found::Other),
    }
}

/// The protocol of a first line, other than `wanted`.
#[must_use]
pub fn of_line(line: &str, wanted: Protocol) -> Option<&'static str> {
    let known = [
        ("HTTP/", "HTTP"),
        ("<!DOCTYPE", "HTTP"),
        ("<html", "HTTP"),
        ("SSH-", "SSH"),
        ("* OK", "IMAP"),
        ("* PREAUTH", "IMAP"),
        ("* BYE", "IMAP"),
        ("+OK", "POP3"),
        ("-ERR", "POP3"),
        ("220 ", "SMTP"),
        ("220-", "SMTP"),
        ("554 ", "SMTP"),
        ("RFB 0", "VNC"),
        ("AMQP", "AMQP"),
        ("\"IMPLEMENTATION\"", "ManageSieve"),
    ];
    let found = known.iter().find(|(start, _)| line.starts_with(start)).map(|(_, name)| *name);
    found.filter(|name| *name != wanted.as_str())
}

/// The protocol of a server that greets with 220 as SMTP's do, where its words say that it is another's: FTP (RFC 959) and
/// LMTP (RFC 2033). The first word is the server's own name, and tells nothing.
#[must_use]
pub fn of_greeting(words: &str) -> Option<&'static str> {
    let words = words.to_ascii_lowercase();
    let said = if words.starts_with('(') || words.starts_with('-') { &words } else { words.split_once(' ')?.1 };
    let known = [("ftpd", "FTP"), ("ftp server", "FTP"), ("ftp service", "FTP"), ("filezilla server", "FTP"), ("lmtp", "LMTP")];
    known.iter().find(|(mark, _)| said.contains(mark) && !said.contains("smtp")).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_that_greet_with_220_are_known_by_their_words() {
        for (words, name) in [
            ("(vsFTPd 3.0.5)", Some("FTP")),
            ("---------- Welcome to Pure-FTPd [privsep] [TLS] ----------", Some("FTP")),
            ("ProFTPD Server (Debian) [::ffff:192.0.2.7]", None),
            ("files.example ProFTPD Server ready", Some("FTP")),
            ("-FileZilla Server 1.8.0", Some("FTP")),
            ("Microsoft FTP Service", Some("FTP")),
            ("mx.example LMTP Dovecot ready.", Some("LMTP")),
            ("ftpd.example ready", None),
            ("lmtp.example ESMTP Postfix", None),
            ("mx.example ESMTP, no ftpd here", None),
            ("mx.example", None),
            ("", None),
        ] {
            assert_eq!(of_greeting(words), name, "{words}");
        }
    }

    #[test]
    fn a_protocol_is_known_by_its_first_bytes() {
        assert_eq!(of_bytes(b"SSH-2.0-OpenSSH_9.2", Protocol::Smtp), Some(Found::Other("SSH")));
        assert_eq!(of_bytes(b"* OK [CAPABILITY IMAP4rev1]", Protocol::Smtp), Some(Found::Other("IMAP")));
        assert_eq!(of_bytes(b"+OK Dovecot ready.", Protocol::Smtp), Some(Found::Other("POP3")));
        assert_eq!(of_bytes(b"HTTP/1.1 400 Bad Request", Protocol::Smtp), Some(Found::Other("HTTP")));
        assert_eq!(of_bytes(&[0x15, 3, 1, 0, 2, 2, 40], Protocol::Smtp), Some(Found::Tls));
        assert_eq!(of_bytes(b"220 mail.example ESMTP", Protocol::Smtp), None);
        assert_eq!(of_bytes(b"\xff\xfd\x18\xff\xfd\x20\xff\xfd", Protocol::Smtp), Some(Found::Other("Telnet")));
        assert_eq!(of_bytes(b"J\0\0\0\x0a8.0.36\0", Protocol::Smtp), Some(Found::Other("MySQL")));
        assert_eq!(of_bytes(b"22", Protocol::Smtp), None);
        assert_eq!(of_bytes(b"220 mail.example ESMTP", Protocol::Imap), Some(Found::Other("SMTP")));
        assert_eq!(of_bytes(b"* OK [CAPABILITY IMAP4rev1]", Protocol::Imap), None);
        assert_eq!(of_bytes(b"* OK [CAPABILITY IMAP4rev1]", Protocol::Pop3), Some(Found::Other("IMAP")));
    }
}
