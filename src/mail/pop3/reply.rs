//! Replies of a POP3 server (RFC 1939 section 3): a status line, with the codes of RFC 2449 section 8 and RFC 3206, the
//! challenges of RFC 5034, and listings that end with a lone dot.
//!
//! Bounded and total: any bytes are an answer or [`Malformed`]. What a reply means is told by [`super::classify()`].

use thiserror::Error;

use crate::mail::{
    Diagnosis,
    diagnosis::{WORDS, printable},
    protocol::{self, Found, Protocol},
    wire::{Wire, broke},
};

/// The most lines of one listing.
pub const LINES: usize = 16 * 1024;

/// Why a line is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a reply begins with +OK or -ERR (RFC 1939 section 3)")]
pub struct Malformed;

/// What a refusal is about, in brackets behind `-ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// `[IN-USE]`: another session holds the maildrop (RFC 2449 section 8.1.2). The password was right.
    InUse,
    /// `[LOGIN-DELAY]`: the last login was too short a time ago (RFC 2449 section 8.1.1).
    LoginDelay,
    /// `[SYS/TEMP]`: time helps (RFC 3206 section 4).
    SysTemp,
    /// `[SYS/PERM]`: people have to help (RFC 3206 section 4).
    SysPerm,
    /// `[AUTH]`: user or password (RFC 3206 section 5).
    Auth,
}

impl Code {
    /// The code that words begin with; none where there is none, or it is not known.
    #[must_use]
    pub fn leading(words: &str) -> Option<Self> {
        let (code, _) = words.trim_start().strip_prefix('[')?.split_once(']')?;
        let known = [
            ("IN-USE", Self::InUse),
            ("LOGIN-DELAY", Self::LoginDelay),
            ("SYS/TEMP", Self::SysTemp),
            ("SYS/PERM", Self::SysPerm),
            ("AUTH", Self::Auth),
        ];
        // Deeper levels may follow behind a slash (RFC 2449 section 8).
        let is = |name: &str| {
            let head = code.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
            head && matches!(code.as_bytes().get(name.len()), None | Some(b'/'))
        };
        known.iter().find(|(name, _)| is(name)).map(|(_, code)| *code)
    }
}

/// A status line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `+OK`, rather than `-ERR`.
    pub positive: bool,
    /// What a refusal is about; it also stands in `words`.
    pub code: Option<Code>,
    /// What follows the status; may be empty.
    pub words: String,
}

impl Reply {
    /// The line as it came.
    #[must_use]
    pub fn text(&self) -> String {
        let status = if self.positive { "+OK" } else { "-ERR" };
        if self.words.is_empty() { status.to_owned() } else { format!("{status} {}", self.words) }
    }
}

/// What a server may say to a command.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// A status line.
    Reply(Reply),
    /// `+ `, and a challenge in base64 (RFC 5034 section 4). It came unscrubbed, so nobody may see it.
    Challenge(String),
}

impl Answer {
    /// Reads one line, without its end.
    ///
    /// # Errors
    /// [`Malformed`] where it is neither a status line nor a challenge.
    pub fn parse(line: &str) -> Result<Self, Malformed> {
        let (status, words) = line.split_once(' ').unwrap_or((line, ""));
        let positive = match status {
            "+" => return Ok(Self::Challenge(words.trim().to_owned())),
            _ if status.eq_ignore_ascii_case("+OK") => true,
            _ if status.eq_ignore_ascii_case("-ERR") => false,
            _ => return Err(Malformed),
        };
        let words = words.trim();
        let code = if positive { None } else { Code::leading(words) };
        Ok(Self::Reply(Reply { positive, code, words: words.to_owned() }))
    }
}

/// Reads a status line or a challenge.
///
/// # Errors
/// As [`Wire::raw_line`]; `WrongProtocol` and `ProtocolError` where it is neither.
pub async fn answer(wire: &mut Wire) -> Result<Answer, Diagnosis> {
    let line = wire.raw_line().await?;
    let line = String::from_utf8_lossy(&line);
    // Status and code are read before the words are scrubbed: a password may be "ERR", and a refusal must be seen.
    match Answer::parse(&line) {
        Ok(Answer::Reply(reply)) => {
            let reply = Reply { words: wire.scrubbed(&reply.words), ..reply };
            tracing::trace!(server = %printable(&reply.text(), WORDS), "reply");
            Ok(Answer::Reply(reply))
        }
        Ok(challenge) => Ok(challenge),
        Err(malformed) => Err(match protocol::of_line(&line, Protocol::Pop3) {
            Some(name) => Found::Other(name).diagnose(wire.peer(), Protocol::Pop3),
            None => broke(format!("the rule that {malformed}")),
        }
        .words(wire.scrubbed(&line))),
    }
}

/// Reads a status line.
///
/// # Errors
/// As [`answer`]; `ProtocolError` where it is a challenge.
pub async fn reply(wire: &mut Wire) -> Result<Reply, Diagnosis> {
    match answer(wire).await? {
        Answer::Reply(reply) => Ok(reply),
        Answer::Challenge(_) => Err(broke("the rules of AUTH (a challenge where none was due)".to_owned())),
    }
}

/// Says one command and reads the status line that it gets.
///
/// # Errors
/// As [`reply`] and [`Wire::send`].
pub async fn command(wire: &mut Wire, command: &str) -> Result<Reply, Diagnosis> {
    tracing::trace!(client = %command, "command");
    say(wire, command).await?;
    reply(wire).await
}

/// Says one line that no log may show.
///
/// # Errors
/// As [`Wire::send`].
pub async fn say(wire: &mut Wire, line: &str) -> Result<(), Diagnosis> {
    // A session lasts as long as there is mail to look at: what is bounded is each answer.
    wire.measure_anew();
    let line = secrecy::SecretString::from(format!("{line}\r\n"));
    wire.send(secrecy::ExposeSecret::expose_secret(&line).as_bytes()).await
}

/// Reads the lines behind a `+OK` up to the lone dot, without the dots that were put before others' (RFC 1939 section 3).
/// No more than `keep` bytes are kept; the rest is read and forgotten.
///
/// # Errors
/// As [`Wire::raw_line`]; `ProtocolError` where there are over [`LINES`] lines, or over 256 KiB.
pub async fn listing(wire: &mut Wire, keep: usize) -> Result<Vec<u8>, Diagnosis> {
    let mut kept = Vec::new();
    for _ in 0..=LINES {
        let line = wire.raw_line_within(keep).await?;
        let line = match line.as_slice() {
            b"." => return Ok(kept),
            [b'.', stuffed @ ..] => stuffed,
            line => line,
        };
        let room = keep.saturating_sub(kept.len());
        kept.extend(line.iter().chain(b"\r\n").take(room));
    }
    Err(broke(format!("every measure: over {LINES} lines in one listing")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Reply {
        match Answer::parse(line) {
            Ok(Answer::Reply(reply)) => reply,
            _ => panic!("{line:?} is no reply"),
        }
    }

    #[test]
    fn a_status_line_has_a_status_a_code_and_words() {
        for (line, positive, code, words) in [
            ("+OK", true, None, ""),
            ("+OK 2 320", true, None, "2 320"),
            ("+ok [AUTH] hello", true, None, "[AUTH] hello"),
            ("-ERR", false, None, ""),
            ("-ERR [AUTH] no", false, Some(Code::Auth), "[AUTH] no"),
            (
                "-ERR [in-use] Do you have another POP session running?",
                false,
                Some(Code::InUse),
                "[in-use] Do you have another POP session running?",
            ),
            (
                "-ERR  [LOGIN-DELAY] minimum time between mail checks violation",
                false,
                Some(Code::LoginDelay),
                "[LOGIN-DELAY] minimum time between mail checks violation",
            ),
            ("-ERR [SYS/TEMP/DISK] full", false, Some(Code::SysTemp), "[SYS/TEMP/DISK] full"),
            ("-ERR [SYS/PERM] no", false, Some(Code::SysPerm), "[SYS/PERM] no"),
            ("-ERR [SYS/PERMANENT] no", false, None, "[SYS/PERMANENT] no"),
            ("-ERR [AUTHÉ] no", false, None, "[AUTHÉ] no"),
            ("-ERR [AUTH", false, None, "[AUTH"),
            ("-ERR see [AUTH] there", false, None, "see [AUTH] there"),
        ] {
            assert_eq!(read(line), Reply { positive, code, words: words.to_owned() }, "{line}");
        }
    }

    #[test]
    fn a_challenge_is_told_from_a_status_line() {
        for (line, challenge) in [("+", Some("")), ("+ ", Some("")), ("+ PDE2PgA=", Some("PDE2PgA=")), ("+OK", None)] {
            match Answer::parse(line).unwrap() {
                Answer::Challenge(found) => assert_eq!(Some(found.as_str()), challenge, "{line}"),
                Answer::Reply(_) => assert_eq!(challenge, None, "{line}"),
            }
        }
    }

    #[test]
    fn other_lines_are_no_reply() {
        for line in ["", " ", "OK", "+OKAY", "-ERROR no", "- ERR", "* OK IMAP", "220 mx.test", ".", "\0+OK", "+\tOK"] {
            assert!(Answer::parse(line).is_err(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_malformed(bytes: Vec<u8>, status in "(\\+|\\+OK|-ERR) ?\\[?", words in "\\PC{0,40}") {
            let _ = Answer::parse(&String::from_utf8_lossy(&bytes));
            let _ = Code::leading(&String::from_utf8_lossy(&bytes));
            let _ = Answer::parse(&format!("{status}{words}"));
        }
    }
}
