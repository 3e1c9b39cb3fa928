//! Replies of an SMTP server (RFC 5321 section 4.2), line by line, with enhanced status codes (RFC 2034, RFC 3463).
//!
//! Bounded and total: any text is either a reply or [`Malformed`]. What a reply means is told by [`super::classify()`].

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The most lines of one reply. The longest EHLO replies seen have about 30.
pub const LINES: usize = 128;

/// Why a line is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It does not begin with three digits.
    #[error("a reply begins with three digits (RFC 5321 section 4.2)")]
    NoCode,
    /// The digits are no code that SMTP has.
    #[error("a reply code is between 200 and 599 (RFC 5321 section 4.2.1)")]
    CodeOutOfRange,
    /// Something other than a space or a hyphen follows the code.
    #[error("a space or a hyphen follows the reply code (RFC 5321 section 4.2)")]
    Separator,
    /// A line of a reply has another code than its first line.
    #[error("all lines of a reply have one code (RFC 5321 section 4.2.1)")]
    CodeChanged,
    /// More than [`LINES`] lines.
    #[error("a reply ends after a reasonable number of lines")]
    TooManyLines,
    /// The last line still says that another follows, or one follows the last line.
    #[error("a reply ends with its first line that has no hyphen (RFC 5321 section 4.2.1)")]
    Unfinished,
}

/// One line of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 200 to 599.
    pub code: u16,
    /// Whether the reply ends with it.
    pub last: bool,
    /// What follows the code and its separator; may be empty.
    pub text: String,
}

impl Line {
    /// Reads one line, with or without its line end.
    ///
    /// # Errors
    /// [`Malformed`] where it is no line of a reply.
    pub fn parse(line: &str) -> Result<Self, Malformed> {
        let line = line.trim_end_matches(['\r', '\n']);
        let (digits, rest) = line.split_at_checked(3).ok_or(Malformed::NoCode)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Malformed::NoCode);
        }
        let code = digits.parse().map_err(|_| Malformed::NoCode)?;
        if !(200..600).contains(&code) {
            return Err(Malformed::CodeOutOfRange);
        }
        let (last, text) = match rest.chars().next() {
            None => (true, ""),
            Some(' ') => (true, &rest[1..]),
            Some('-') => (false, &rest[1..]),
            Some(_) => return Err(Malformed::Separator),
        };
        Ok(Self { code, last, text: text.trim_end().to_owned() })
    }
}

impl FromStr for Line {
    type Err = Malformed;

    fn from_str(line: &str) -> Result<Self, Malformed> {
        Self::parse(line)
    }
}

/// An enhanced status code, such as 5.7.8 (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    /// What it is about: 7 is security or policy.
    pub subject: u16,
    /// What exactly.
    pub detail: u16,
}

impl EnhancedCode {
    /// Reads the code that a text begins with; a colon or a comma may follow it, as `OpenSMTPD` writes.
    #[must_use]
    pub fn leading(text: &str) -> Option<Self> {
        let word = text.split_whitespace().next()?.trim_start_matches('#').trim_end_matches([':', ',', ';', '.']);
        word.parse().ok()
    }
}

impl FromStr for EnhancedCode {
    type Err = Malformed;

    fn from_str(word: &str) -> Result<Self, Malformed> {
        let mut parts = word.split('.').map(|part| {
            // RFC 3463 section 2: one digit, then one to three digits twice, without signs.
            let plain = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u16>().ok().filter(|_| plain)
        });
        match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next()) {
            (Some(2), Some(subject), Some(detail), None) => Ok(Self { class: 2, subject, detail }),
            (Some(4), Some(subject), Some(detail), None) => Ok(Self { class: 4, subject, detail }),
            (Some(5), Some(subject), Some(detail), None) => Ok(Self { class: 5, subject, detail }),
            _ => Err(Malformed::NoCode),
        }
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// What the first digit of a code says (RFC 5321 section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyClass {
    /// 2xx: done.
    Positive,
    /// 3xx: go on.
    Intermediate,
    /// 4xx: not now.
    Transient,
    /// 5xx: no.
    Permanent,
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The enhanced code of the first line that has one of the same class; it also stands in `lines`.
    pub enhanced: Option<EnhancedCode>,
    /// The text of each line, without code and separator.
    pub lines: Vec<String>,
    complete: bool,
}

impl From<Line> for Reply {
    fn from(line: Line) -> Self {
        let mut reply = Self { code: line.code, enhanced: None, lines: Vec::new(), complete: false };
        reply.take(line);
        reply
    }
}

impl Reply {
    /// Reads a whole reply of one or more lines.
    ///
    /// # Errors
    /// [`Malformed`] where the lines are not exactly one reply.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut lines = text.lines();
        let mut reply = Self::from(Line::parse(lines.next().unwrap_or_default())?);
        for line in lines {
            reply.push(Line::parse(line)?)?;
        }
        if reply.complete { Ok(reply) } else { Err(Malformed::Unfinished) }
    }

    /// Adds the next line; read lines until [`Reply::is_complete`].
    ///
    /// # Errors
    /// [`Malformed`] where the code differs, the reply is complete already, or it has [`LINES`] lines.
    pub fn push(&mut self, line: Line) -> Result<(), Malformed> {
        if self.complete {
            return Err(Malformed::Unfinished);
        }
        if line.code != self.code {
            return Err(Malformed::CodeChanged);
        }
        if self.lines.len() >= LINES {
            return Err(Malformed::TooManyLines);
        }
        self.take(line);
        Ok(())
    }

    fn take(&mut self, line: Line) {
        self.complete = line.last;
        // OpenSMTPD and some gateways send a class that contradicts the code: such a code says nothing.
        let agrees = |enhanced: &EnhancedCode| u16::from(enhanced.class) == self.code / 100;
        self.enhanced = self.enhanced.or_else(|| EnhancedCode::leading(&line.text).filter(agrees));
        self.lines.push(line.text);
    }

    /// Whether the last line is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What the first digit says.
    #[must_use]
    pub fn class(&self) -> ReplyClass {
        match self.code / 100 {
            2 => ReplyClass::Positive,
            3 => ReplyClass::Intermediate,
            4 => ReplyClass::Transient,
            _ => ReplyClass::Permanent,
        }
    }

    /// Whether the server did what it was asked.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.class() == ReplyClass::Positive
    }

    /// The server's words: the code, then the lines joined by spaces. An enhanced code that a later line repeats is left
    /// out.
    #[must_use]
    pub fn text(&self) -> String {
        let repeated = self.enhanced.map(|enhanced| enhanced.to_string());
        let mut text = self.code.to_string();
        for (index, line) in self.lines.iter().enumerate() {
            let mut line = line.trim();
            if let Some(repeated) = repeated.as_deref().filter(|_| index > 0) {
                line = line.strip_prefix(repeated).filter(|rest| rest.is_empty() || rest.starts_with(' ')).unwrap_or(line).trim();
            }
            if !line.is_empty() {
                text.push(' ');
                text.push_str(line);
            }
        }
        text
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_of_several_lines_is_one_text_without_repeated_codes() {
        let reply = Reply::parse("535-5.7.8 Username and Password not accepted. For more information, go to\r\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp\r\n").unwrap();
        assert_eq!(reply.enhanced, Some(EnhancedCode { class: 5, subject: 7, detail: 8 }));
        assert_eq!(
            reply.text(),
            "535 5.7.8 Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials x - gsmtp"
        );
    }

    #[test]
    fn lines_that_are_no_reply_are_told_apart() {
        let cases = [
            ("", Malformed::NoCode),
            ("25", Malformed::NoCode),
            ("+OK dovecot ready", Malformed::NoCode),
            ("* OK IMAP4rev1", Malformed::NoCode),
            ("SSH-2.0-OpenSSH_9.2", Malformed::NoCode),
            ("HTTP/1.1 400 Bad Request", Malformed::NoCode),
            (" 250 ok", Malformed::NoCode),
            ("2é0 ok", Malformed::NoCode),
            ("+50 ok", Malformed::NoCode),
            ("999 what", Malformed::CodeOutOfRange),
            ("000 what", Malformed::CodeOutOfRange),
            ("199 what", Malformed::CodeOutOfRange),
            ("600 what", Malformed::CodeOutOfRange),
            ("2500 what", Malformed::Separator),
            ("250é", Malformed::Separator),
        ];
        for (line, want) in cases {
            assert_eq!(Line::parse(line), Err(want), "{line:?}");
        }
        assert_eq!(Line::parse("250").unwrap(), Line { code: 250, last: true, text: String::new() });
        assert_eq!(Line::parse("250-").unwrap(), Line { code: 250, last: false, text: String::new() });
    }

    #[test]
    fn a_reply_that_changes_its_code_or_never_ends_is_malformed() {
        assert_eq!(Reply::parse("250-a\r\n251 b"), Err(Malformed::CodeChanged));
        assert_eq!(Reply::parse("250-a\r\n250-b"), Err(Malformed::Unfinished));
        assert_eq!(Reply::parse("250 a\r\n250 b"), Err(Malformed::Unfinished));
        assert_eq!(Reply::parse(&"220-x\r\n".repeat(LINES + 1)), Err(Malformed::TooManyLines));
    }

    #[test]
    fn an_enhanced_code_counts_only_where_its_class_is_the_codes() {
        let enhanced = |text: &str| Reply::parse(text).unwrap().enhanced.map(|code| code.to_string());
        assert_eq!(enhanced("550 5.7.1 no"), Some("5.7.1".to_owned()));
        assert_eq!(enhanced("421 4.3.0: Temporary Error"), Some("4.3.0".to_owned()));
        assert_eq!(enhanced("535 5.7.139 no"), Some("5.7.139".to_owned()));
        assert_eq!(enhanced("550 #5.1.0 Address rejected"), Some("5.1.0".to_owned()));
        assert_eq!(enhanced("550-\r\n550 5.1.1 gone"), Some("5.1.1".to_owned()));
        for none in
            ["550 4.7.1 no", "550 2.0.0 no", "550 192.0.2.7 is listed", "550 5.7 no", "550 5.+7.1 no", "550 5.7.1234 no", "550"]
        {
            assert_eq!(enhanced(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_reply_or_malformed(text in "\\PC{0,80}", code in 0u16..1000, mark in "[ \\-x]?") {
            let _ = Line::parse(&text);
            if let Ok(line) = Line::parse(&format!("{code:03}{mark}{text}")) {
                let reply = Reply::from(line);
                prop_assert!((200..600).contains(&reply.code));
                prop_assert!(reply.text().starts_with(&code.to_string()));
            }
        }
    }
}
