//! Names the protocol that a port speaks, from its first bytes.

use std::net::SocketAddr;

use super::Diagnosis;
use crate::api::Reason;

/// What the first bytes of a server say, where they are not SMTP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A TLS record: the port speaks TLS from the first byte.
    Tls,
    /// Another protocol, by its name.
    Other(&'static str),
}

impl Found {
    /// The diagnosis for a connection on which SMTP was expected.
    #[must_use]
    pub fn diagnose(self, peer: SocketAddr) -> Diagnosis {
        match self {
            Self::Tls => Diagnosis::new(Reason::WrongTLSMode)
                .fact("found", "TLS")
                .fact("mode", "TLS")
                .detail(format!("{peer} speaks TLS from the first byte")),
            Self::Other(name) => Diagnosis::new(Reason::WrongProtocol)
                .fact("found", name)
                .fact("wanted", "SMTP")
                .detail(format!("{peer} speaks {name}")),
        }
    }
}

/// The protocol of a server that began with these bytes; none where they may be SMTP's, or tell nothing yet.
#[must_use]
pub fn of_bytes(opening: &[u8]) -> Option<Found> {
    match opening {
        // A TLS record: alert or handshake, version 3.x (RFC 8446 section 5.1).
        [0x15 | 0x16, 3, ..] => Some(Found::Tls),
        _ => of_line(&String::from_utf8_lossy(opening.get(..8)?)).map(Found::Other),
    }
}

/// The protocol of a first line, other than SMTP's.
#[must_use]
pub fn of_line(line: &str) -> Option<&'static str> {
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
        ("RFB 0", "VNC"),
        ("AMQP", "AMQP"),
    ];
    known.iter().find(|(start, _)| line.starts_with(start)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_known_by_its_first_bytes() {
        assert_eq!(of_bytes(b"SSH-2.0-OpenSSH_9.2"), Some(Found::Other("SSH")));
        assert_eq!(of_bytes(b"* OK [CAPABILITY IMAP4rev1]"), Some(Found::Other("IMAP")));
        assert_eq!(of_bytes(b"+OK Dovecot ready."), Some(Found::Other("POP3")));
        assert_eq!(of_bytes(b"HTTP/1.1 400 Bad Request"), Some(Found::Other("HTTP")));
        assert_eq!(of_bytes(&[0x15, 3, 1, 0, 2, 2, 40]), Some(Found::Tls));
        assert_eq!(of_bytes(b"220 mail.example ESMTP"), None);
        assert_eq!(of_bytes(b"22"), None);
    }
}
