//! The data of a response as words, strings and parentheses (RFC 9051 section 4).
//!
//! By hand, since a parser of all that IMAP has must not meet a hostile server: body structures nest without end, and
//! those that were tried fell over them or over a date that is NIL. Nothing here recurses, and any bytes are read.

/// A part of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    /// An atom, a number, NIL, or `BODY[HEADER.FIELDS (SUBJECT)]<0>` as a whole.
    Word(String),
    /// A quoted string without its escapes, or a literal.
    Text(Vec<u8>),
}

impl Token {
    /// The word, if it is one.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<u32> {
        self.word()?.parse().ok()
    }
}

/// Reads what follows; none at its end, or where it makes no sense any more.
pub(super) struct Tokens<'a>(pub(super) &'a [u8]);

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let space = self.0.iter().take_while(|byte| matches!(byte, b' ' | b'\r' | b'\n')).count();
        self.skip(space);
        match self.0.first()? {
            b'(' => {
                self.skip(1);
                Some(Token::Open)
            }
            b')' => {
                self.skip(1);
                Some(Token::Close)
            }
            b'"' => self.quoted(),
            b'{' => self.literal(),
            _ => Some(self.word()),
        }
    }
}

impl Tokens<'_> {
    fn skip(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }

    fn quoted(&mut self) -> Option<Token> {
        let mut text = Vec::new();
        let mut bytes = self.0.iter().enumerate().skip(1);
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.skip(at + 1);
                    return Some(Token::Text(text));
                }
                b'\\' => text.push(*bytes.next()?.1),
                b'\r' | b'\n' => return None,
                byte => text.push(*byte),
            }
        }
        None
    }

    fn literal(&mut self) -> Option<Token> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let count = announced(&self.0[..end])?;
        let from = end + 1;
        let text = self.0.get(from..from.checked_add(count)?)?.to_vec();
        self.skip(from + count);
        Some(Token::Text(text))
    }

    /// Brackets hold anything, spaces and parentheses included.
    fn word(&mut self) -> Token {
        let mut inside = false;
        let ends = |byte: &u8| {
            match byte {
                b'[' => inside = true,
                b']' => inside = false,
                b'\r' | b'\n' => return true,
                b' ' | b'(' | b')' | b'"' => return !inside,
                _ => {}
            }
            false
        };
        let end = self.0.iter().position(ends).unwrap_or(self.0.len());
        // A quote in brackets would otherwise be no word at all, and be read for ever.
        let end = end.max(1);
        let word = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.skip(end);
        Token::Word(word)
    }
}

/// The octets of the literal that a line announces at its end: `{12}`, `{12+}` or `~{12}`.
pub(super) fn announced(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\r").unwrap_or(line).strip_suffix(b"}")?;
    let digits = &line[line.iter().rposition(|byte| *byte == b'{')? + 1..];
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // What no number holds is more than anyone reads.
    Some(str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX))
}
