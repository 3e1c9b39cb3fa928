//! The text of a mail as DATA carries it (RFC 5321 section 4.5.2): its end, its dots, and whatever is no line's end.
//!
//! Servers differ in what they take for the end of a line, and mails have been smuggled in between (CVE-2023-51764,
//! CVE-2023-51765, CVE-2023-51766): a CR or an LF that stands alone, and a NUL, end the conversation.

use memchr::memchr3;

/// What has no place in a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// A LF without its CR.
    Lf,
    /// A CR without its LF.
    Cr,
    /// RFC 5322 section 3.5 has no NUL.
    Nul,
}

impl Stray {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "bare <LF>",
            Self::Cr => "bare <CR>",
            Self::Nul => "<NUL>",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    Dot,
    DotCr,
    Text,
    Cr,
}

/// Takes a mail apart as it comes in, in pieces of any size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unstuffer {
    at: At,
    /// Whether dots mean anything: under BDAT they do not (RFC 3030 section 2).
    dots: bool,
    line: u64,
    longest: u64,
}

impl Unstuffer {
    /// For DATA.
    pub fn new() -> Self {
        Self { at: At::LineStart, dots: true, line: 0, longest: 0 }
    }

    /// For BDAT.
    pub fn without_dots() -> Self {
        Self { dots: false, ..Self::new() }
    }

    /// The octets of the longest line so far, without its end.
    pub fn longest_line(&self) -> u64 {
        self.longest.max(self.line)
    }

    /// Whether the mail must not end here: a CR waits for its LF.
    pub fn ends_badly(&self) -> bool {
        self.at == At::Cr
    }

    /// Takes the next piece and gives what belongs to the mail to `keep`. Returns how much of the piece the mail took if it
    /// ended in it, none if all was taken and more is to come.
    pub fn feed(&mut self, piece: &[u8], mut keep: impl FnMut(&[u8])) -> Result<Option<usize>, Stray> {
        let (mut next, mut kept) = (0, 0);
        while let Some(&byte) = piece.get(next) {
            match self.at {
                At::LineStart if byte == b'.' && self.dots => {
                    keep(&piece[kept..next]);
                    next += 1;
                    kept = next;
                    self.at = At::Dot;
                }
                At::Dot if byte == b'\r' => {
                    next += 1;
                    self.at = At::DotCr;
                }
                At::DotCr => return if byte == b'\n' { Ok(Some(next + 1)) } else { Err(Stray::Cr) },
                At::Cr => {
                    if byte != b'\n' {
                        return Err(Stray::Cr);
                    }
                    next += 1;
                    self.at = At::LineStart;
                    self.longest = self.longest.max(self.line);
                    self.line = 0;
                }
                At::LineStart | At::Dot | At::Text => {
                    self.at = At::Text;
                    let rest = &piece[next..];
                    let end = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
                    self.line += end as u64;
                    next += end;
                    match rest.get(end) {
                        Some(b'\r') => {
                            next += 1;
                            self.at = At::Cr;
                        }
                        Some(b'\n') => return Err(Stray::Lf),
                        Some(_) => return Err(Stray::Nul),
                        None => {}
                    }
                }
            }
        }
        // The CR behind a lone dot belongs to the end of the mail, or to nothing.
        if self.at != At::DotCr {
            keep(&piece[kept..]);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::message::dot_stuffed;

    /// What is kept and what is left of a mail that comes in pieces of this size.
    type Read = Result<Option<(Vec<u8>, Vec<u8>)>, Stray>;

    fn read(text: &[u8], piece: usize) -> Read {
        let (mut unstuffer, mut kept) = (Unstuffer::new(), Vec::new());
        for (n, bytes) in text.chunks(piece).enumerate() {
            if let Some(took) = unstuffer.feed(bytes, |part| kept.extend_from_slice(part))? {
                return Ok(Some((kept, text[n * piece + took..].to_vec())));
            }
        }
        Ok(None)
    }

    fn pieces(text: &[u8]) -> Vec<Read> {
        (1..=text.len().max(1)).map(|piece| read(text, piece)).collect()
    }

    #[test]
    fn a_mail_ends_at_its_dot_and_what_follows_is_left() {
        for (text, kept, rest) in [
            ("Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n", "Subject: x\r\n\r\nbody\r\n", "QUIT\r\n"),
            (".\r\n", "", ""),
            ("..\r\n...x\r\n.y\r\n.\r\n.\r\n", ".\r\n..x\r\ny\r\n", ".\r\n"),
            ("x.\r\n.\r\n", "x.\r\n", ""),
        ] {
            for read in pieces(text.as_bytes()) {
                assert_eq!(read, Ok(Some((kept.as_bytes().to_vec(), rest.as_bytes().to_vec()))), "{text:?}");
            }
        }
    }

    #[test]
    fn every_false_end_of_a_mail_is_seen_however_it_is_cut() {
        for (end, stray) in [
            ("\n.\n", Stray::Lf),
            ("\n.\r\n", Stray::Lf),
            ("\r\n.\n", Stray::Lf),
            ("\r.\r", Stray::Cr),
            ("\r.\r\n", Stray::Cr),
            ("\r\n.\r", Stray::Cr),
            ("\r\r\n.\r\n", Stray::Cr),
            ("\r\n.\r\r\n", Stray::Cr),
            ("\r\n\0.\r\n", Stray::Nul),
            ("\r\n.\0\r\n", Stray::Nul),
            ("\r\0\n.\r\n", Stray::Cr),
            ("\n\n.\r\n", Stray::Lf),
            ("\r\n.\n.\r\n", Stray::Lf),
        ] {
            let text = format!("one{end}MAIL FROM:<admin@example.org>\r\n.\r\n");
            for read in pieces(text.as_bytes()) {
                assert_eq!(read, Err(stray), "{text:?}");
            }
        }
    }

    #[test]
    fn under_bdat_a_dot_is_a_dot() {
        let mut unstuffer = Unstuffer::without_dots();
        let mut kept = Vec::new();
        assert_eq!(unstuffer.feed(b".\r\n..\r\n", |part| kept.extend_from_slice(part)), Ok(None));
        assert_eq!(kept, b".\r\n..\r\n");
        assert!(!unstuffer.ends_badly());
        assert_eq!(unstuffer.feed(b"x\ny", |_| {}), Err(Stray::Lf));
        let mut unstuffer = Unstuffer::without_dots();
        assert_eq!(unstuffer.feed(b"x\r", |_| {}), Ok(None));
        assert!(unstuffer.ends_badly());
    }

    #[test]
    fn the_longest_line_is_known() {
        let mut unstuffer = Unstuffer::new();
        assert_eq!(unstuffer.feed(b"abc\r\n..d\r\nabcdef", |_| {}), Ok(None));
        assert_eq!(unstuffer.longest_line(), 6);
    }

    proptest! {
        #[test]
        fn what_was_stuffed_comes_out_as_it_went_in(lines in prop::collection::vec("[.a]{0,4}", 1..9), piece in 1usize..7) {
            let mail = lines.join("\r\n") + "\r\n";
            let read = read(&dot_stuffed(mail.as_bytes()), piece);
            prop_assert_eq!(read, Ok(Some((mail.into_bytes(), Vec::new()))));
        }
    }
}
