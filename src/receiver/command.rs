//! Command lines, read into what they ask (RFC 5321 section 4.1.1). Pure: what is no command is a reply already.

use super::address::{self, Spelled};

/// What a client asks. Verbs are read without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Ehlo(&'a str),
    Helo(&'a str),
    /// With what it says of the mail: its size (RFC 1870), and whether its addresses and header are UTF-8 (RFC 6531).
    Mail {
        from: Option<Spelled<'a>>,
        size: Option<u64>,
        utf8: bool,
    },
    Rcpt(Spelled<'a>),
    Data,
    /// RFC 3030 section 2.
    Bdat {
        size: u64,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy,
    Expn,
    Help,
    StartTls,
    Quit,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// To be told, after which the conversation goes on.
    Refused(&'static str),
    /// Another protocol: whoever talks it to us was sent here by somebody else, a web page for instance.
    Foreign,
}

use Fault::Refused;

/// Reads a line without its CRLF.
pub(super) fn read(line: &[u8]) -> Result<Command<'_>, Fault> {
    let line = std::str::from_utf8(line).map_err(|_| Refused("500 5.5.2 Error: the line is not UTF-8"))?;
    let line = line.trim_end_matches(' ');
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_start_matches(' ');
    let is = |name: &str| verb.eq_ignore_ascii_case(name);
    let alone = |command| if rest.is_empty() { Ok(command) } else { Err(Refused("501 5.5.4 Syntax: takes no argument")) };
    match verb.as_bytes().first().map(u8::to_ascii_uppercase) {
        Some(b'M') if is("MAIL") => mail(rest),
        Some(b'R') if is("RCPT") => rcpt(rest),
        Some(b'D') if is("DATA") => alone(Command::Data),
        Some(b'B') if is("BDAT") => bdat(rest),
        Some(b'E') if is("EHLO") => name(rest).map(Command::Ehlo),
        Some(b'H') if is("HELO") => name(rest).map(Command::Helo),
        Some(b'Q') if is("QUIT") => alone(Command::Quit),
        Some(b'R') if is("RSET") => alone(Command::Rset),
        Some(b'S') if is("STARTTLS") => alone(Command::StartTls),
        Some(b'N') if is("NOOP") => Ok(Command::Noop),
        Some(b'H') if is("HELP") => Ok(Command::Help),
        Some(b'V') if is("VRFY") && !rest.is_empty() => Ok(Command::Vrfy),
        Some(b'E') if is("EXPN") && !rest.is_empty() => Ok(Command::Expn),
        _ if is("VRFY") || is("EXPN") => Err(Refused("501 5.5.4 Syntax: needs an argument")),
        Some(b'A'..=b'Z') if !is_foreign(verb) => Err(Refused("500 5.5.2 Error: command not recognized")),
        None => Err(Refused("500 5.5.2 Error: bad syntax")),
        _ => Err(Fault::Foreign),
    }
}

fn is_foreign(verb: &str) -> bool {
    ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "USER-AGENT:", "HOST:"]
        .iter()
        .any(|known| verb.eq_ignore_ascii_case(known))
}

/// A client's name for itself. It is told to people and never trusted, so any printable word does.
fn name(text: &str) -> Result<&str, Fault> {
    let good = !text.is_empty() && text.len() <= 255 && text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if good { Ok(text) } else { Err(Refused("501 5.5.4 Syntax: EHLO hostname")) }
}

/// What follows a keyword and its colon.
fn behind<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let head = text.get(..keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| &text[keyword.len()..])
}

fn mail(text: &str) -> Result<Command<'_>, Fault> {
    let path = behind(text, "FROM:").ok_or(Refused("501 5.5.4 Syntax: MAIL FROM:<address>"))?;
    let (from, parameters) = address::path(path).ok_or(Refused("501 5.1.7 Bad sender address syntax"))?;
    if from.as_ref().is_some_and(|from| from.domain.is_empty()) {
        return Err(Refused("501 5.1.7 Bad sender address syntax: it has no domain"));
    }
    let (mut size, mut utf8) = (None, false);
    for parameter in parameters.split(' ').filter(|parameter| !parameter.is_empty()) {
        let (keyword, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if keyword.eq_ignore_ascii_case("SIZE") {
            // At most 20 digits (RFC 1870 section 6.1); more than a u64 holds is too much for anybody.
            let digits = (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
            size = Some(if digits {
                value.parse().unwrap_or(u64::MAX)
            } else {
                return Err(Refused("501 5.5.4 Syntax: SIZE=number"));
            });
        } else if keyword.eq_ignore_ascii_case("BODY") {
            if !["7BIT", "8BITMIME"].iter().any(|known| value.eq_ignore_ascii_case(known)) {
                return Err(Refused("501 5.5.4 Syntax: BODY=7BIT or BODY=8BITMIME"));
            }
        } else if parameter.eq_ignore_ascii_case("SMTPUTF8") {
            utf8 = true;
        } else {
            return Err(Refused("555 5.5.4 Unsupported parameter of MAIL"));
        }
    }
    if from.as_ref().is_some_and(Spelled::is_international) && !utf8 {
        return Err(Refused("553 5.6.7 The sender's address needs SMTPUTF8"));
    }
    Ok(Command::Mail { from, size, utf8 })
}

fn rcpt(text: &str) -> Result<Command<'_>, Fault> {
    let path = behind(text, "TO:").ok_or(Refused("501 5.5.4 Syntax: RCPT TO:<address>"))?;
    let bad = Refused("501 5.1.3 Bad recipient address syntax");
    let (to, parameters) = address::path(path).ok_or(bad)?;
    let to = to.ok_or(bad)?;
    if to.domain.is_empty() && !to.local.eq_ignore_ascii_case("postmaster") {
        return Err(Refused("501 5.1.3 Bad recipient address syntax: it has no domain"));
    }
    if to.is_long() {
        return Err(Refused("501 5.1.3 Bad recipient address syntax: the local part is over 64 octets"));
    }
    if !parameters.trim_matches(' ').is_empty() {
        return Err(Refused("555 5.5.4 Unsupported parameter of RCPT"));
    }
    Ok(Command::Rcpt(to))
}

fn bdat(text: &str) -> Result<Command<'_>, Fault> {
    let (size, last) = match text.split_once(' ') {
        Some((size, word)) if word.trim().eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => ("", false),
        None => (text, false),
    };
    let digits = (1..=19).contains(&size.len()) && size.bytes().all(|byte| byte.is_ascii_digit());
    let size = if digits { size.parse().ok() } else { None };
    size.map(|size| Command::Bdat { size, last }).ok_or(Refused("501 5.5.4 Syntax: BDAT number [LAST]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> &'static str {
        match read(line.as_bytes()) {
            Err(Refused(reply)) => reply,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_are_read_whatever_their_case_and_spaces() {
        assert_eq!(read(b"ehlo mx.test"), Ok(Command::Ehlo("mx.test")));
        assert_eq!(read(b"HELO [192.0.2.1] "), Ok(Command::Helo("[192.0.2.1]")));
        assert_eq!(read(b"data"), Ok(Command::Data));
        assert_eq!(read(b"NOOP whatever"), Ok(Command::Noop));
        assert_eq!(read(b"bdat 86 last"), Ok(Command::Bdat { size: 86, last: true }));
        let mail = |size, utf8| Ok(Command::Mail { from: None, size, utf8 });
        assert_eq!(read(b"MAIL FROM:<>"), mail(None, false));
        assert_eq!(read(b"mail from: <> size=12 body=8bitmime smtputf8"), mail(Some(12), true));
        assert_eq!(read(b"MAIL FROM:<> SIZE=99999999999999999999"), mail(Some(u64::MAX), false));
        assert!(matches!(read(b"RCPT TO:<Postmaster>"), Ok(Command::Rcpt(_))));
    }

    #[test]
    fn a_line_that_is_no_command_is_told_what_it_should_be() {
        for (line, code) in [
            ("", "500 5.5.2"),
            ("FOO", "500 5.5.2"),
            ("DATA now", "501 5.5.4"),
            ("QUIT x", "501 5.5.4"),
            ("EHLO", "501 5.5.4"),
            ("EHLO a b", "501 5.5.4"),
            ("EHLO \u{7}", "501 5.5.4"),
            ("MAIL", "501 5.5.4"),
            ("MAIL <a@b.test>", "501 5.5.4"),
            ("MAIL FROM:a@b.test", "501 5.1.7"),
            ("MAIL FROM:<a>", "501 5.1.7"),
            ("MAIL FROM:<> SIZE=", "501 5.5.4"),
            ("MAIL FROM:<> SIZE=x", "501 5.5.4"),
            ("MAIL FROM:<> SIZE=-1", "501 5.5.4"),
            ("MAIL FROM:<> BODY=BINARYMIME", "501 5.5.4"),
            ("MAIL FROM:<> RET=HDRS", "555 5.5.4"),
            ("MAIL FROM:<> SMTPUTF8=1", "555 5.5.4"),
            ("MAIL FROM:<é@b.test>", "553 5.6.7"),
            ("RCPT TO:<>", "501 5.1.3"),
            ("RCPT TO:<a>", "501 5.1.3"),
            ("RCPT TO:<a@b.test> NOTIFY=NEVER", "555 5.5.4"),
            ("RCPT FROM:<a@b.test>", "501 5.5.4"),
            ("BDAT", "501 5.5.4"),
            ("BDAT -1", "501 5.5.4"),
            ("BDAT 1 2", "501 5.5.4"),
            ("BDAT 99999999999999999999", "501 5.5.4"),
            ("VRFY", "501 5.5.4"),
            ("EXPN", "501 5.5.4"),
            ("AUTH PLAIN", "500 5.5.2"),
        ] {
            assert!(refused(line).starts_with(code), "{line}: {}", refused(line));
        }
        assert!(refused(&format!("RCPT TO:<{}@b.test>", "x".repeat(65))).contains("64 octets"));
        assert!(matches!(read(b"NOOP \xff"), Err(Refused(_))));
    }

    #[test]
    fn another_protocol_is_known_at_its_first_word() {
        for line in ["GET / HTTP/1.1", "post /mail", "\u{16}\u{3}\u{1}", "{\"a\":1}", ":"] {
            assert_eq!(read(line.as_bytes()), Err(Fault::Foreign), "{line}");
        }
    }
}
