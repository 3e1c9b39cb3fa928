//! One response of a server (RFC 9051 section 7), read from the wire and taken apart; what is not needed is passed over.

use super::tokens::{Token, Tokens, announced};
use crate::mail::{
    Diagnosis,
    mailbox::HEADER,
    wire::{Wire, broke},
};

/// The first word of a response about the state of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Refused.
    No,
    /// Not understood.
    Bad,
    /// A greeting to someone who needs no login.
    PreAuth,
    /// The server goes.
    Bye,
}

impl Status {
    /// As the protocol has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
            Self::PreAuth => "PREAUTH",
            Self::Bye => "BYE",
        }
    }
}

/// A status with all that stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// How it went.
    pub status: Status,
    /// The response code without its brackets, as it came; nobody may see it.
    pub code: Option<String>,
    /// All that follows the status, the code included. Scrubbed by the session.
    pub text: String,
}

impl Said {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let known = [Status::Ok, Status::No, Status::Bad, Status::PreAuth, Status::Bye];
        let status = known.into_iter().find(|status| word.eq_ignore_ascii_case(status.as_str()))?;
        let code = rest.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(code, _)| code.to_owned());
        Some(Self { status, code, text: rest.trim().to_owned() })
    }

    /// What the server said, as people may see it once it is scrubbed.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} {}", self.status.as_str(), self.text)
    }

    /// What stands behind a code of this name, such as the number of `UIDNEXT 7`.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        let (word, argument) = self.code.as_deref()?.split_once(' ')?;
        word.eq_ignore_ascii_case(name).then_some(argument.trim())
    }

    /// The code's name in upper case; empty without one.
    #[must_use]
    pub fn code_name(&self) -> String {
        self.code.as_deref().and_then(|code| code.split_whitespace().next()).unwrap_or_default().to_ascii_uppercase()
    }
}

/// A folder, as LIST tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    /// In lower case, each with its backslash.
    pub(super) attributes: Vec<String>,
    pub(super) name: String,
}

/// A message, as FETCH tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) uid: Option<u32>,
    /// The part that was asked for: the header, or the start of the whole.
    pub(super) header: Option<Vec<u8>>,
}

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// The end of a command.
    Tagged(String, Said),
    /// A status without a tag.
    Untagged(Said),
    /// `+`, and what stands behind it.
    Continue(String),
    Capability(Vec<String>),
    Search(Vec<u32>),
    List(Folder),
    Exists(u32),
    Expunge,
    Fetch(Fetched),
    /// Data that nobody here needs.
    Other,
    /// No response at all.
    Unreadable(String),
}

/// Reads responses. It keeps what it has of one, so that reading may be dropped while it waits.
#[derive(Debug, Default)]
pub(super) struct Reader {
    so_far: Vec<u8>,
    owed: usize,
}

impl Reader {
    /// Reads one response.
    ///
    /// # Errors
    /// As [`Wire::raw_line`]; `ProtocolError` for a literal that is larger than any header.
    pub(super) async fn read(&mut self, wire: &mut Wire) -> Result<Response, Diagnosis> {
        loop {
            if self.owed > 0 {
                let literal = wire.octets(self.owed).await?;
                self.so_far.extend(literal);
                self.owed = 0;
            }
            let line = wire.raw_line().await?;
            let begins = self.so_far.is_empty();
            self.so_far.extend_from_slice(&line);
            // The text of a status may end in anything; only data has literals.
            let literal = announced(&line).filter(|_| !begins || is_data(&line));
            let Some(count) = literal else {
                let response = parse(&self.so_far);
                // A large one leaves no large buffer behind.
                self.so_far = Vec::new();
                return Ok(response);
            };
            if count > HEADER || self.so_far.len() + count > 2 * HEADER {
                return Err(broke(format!("every measure: a literal of {count} bytes")));
            }
            self.so_far.extend_from_slice(b"\r\n");
            self.owed = count;
        }
    }
}

fn is_data(line: &[u8]) -> bool {
    line.strip_prefix(b"* ").is_some_and(|rest| Said::parse(&String::from_utf8_lossy(rest)).is_none())
}

/// Takes one response apart, given with its literals and without its last line end.
pub(super) fn parse(bytes: &[u8]) -> Response {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    if let Some(rest) = text.strip_prefix('+').filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
        return Response::Continue(rest.trim().to_owned());
    }
    if let Some(rest) = text.strip_prefix("* ") {
        return match Said::parse(rest) {
            Some(said) => Response::Untagged(said),
            None => data(bytes.get(2..).unwrap_or_default()).unwrap_or(Response::Other),
        };
    }
    let tagged = text.split_once(' ').and_then(|(tag, rest)| Some((tag.to_owned(), Said::parse(rest)?)));
    match tagged {
        Some((tag, said)) if !tag.is_empty() && matches!(said.status, Status::Ok | Status::No | Status::Bad) => {
            Response::Tagged(tag, said)
        }
        _ => Response::Unreadable(text.to_owned()),
    }
}

fn data(bytes: &[u8]) -> Option<Response> {
    let mut tokens = Tokens(bytes);
    let first = tokens.next()?;
    if let Some(number) = first.number() {
        let what = tokens.next()?;
        return match what.word()?.to_ascii_uppercase().as_str() {
            "EXISTS" => Some(Response::Exists(number)),
            "EXPUNGE" => Some(Response::Expunge),
            "FETCH" => Some(Response::Fetch(fetched(tokens))),
            _ => None,
        };
    }
    match first.word()?.to_ascii_uppercase().as_str() {
        "CAPABILITY" => Some(Response::Capability(
            tokens.filter_map(|token| token.word().map(str::to_owned)).take(super::capabilities::MOST).collect(),
        )),
        "SEARCH" => Some(Response::Search(tokens.filter_map(|token| token.number()).collect())),
        "LIST" => folder(tokens).map(Response::List),
        _ => None,
    }
}

/// `(\Junk) "/" "Spam"`.
fn folder(mut tokens: Tokens<'_>) -> Option<Folder> {
    tokens.next().filter(|token| *token == Token::Open)?;
    let attributes = tokens.by_ref().take_while(|token| *token != Token::Close);
    let attributes = attributes.filter_map(|token| token.word().map(str::to_ascii_lowercase)).collect();
    let _separator = tokens.next()?;
    let name = match tokens.next()? {
        Token::Word(name) => name,
        Token::Text(name) => String::from_utf8(name).ok()?,
        Token::Open | Token::Close => return None,
    };
    // It will be sent back, and must stay one argument of one command.
    (!name.chars().any(char::is_control)).then_some(Folder { attributes, name })
}

/// `(UID 7 BODY[HEADER.FIELDS (SUBJECT)]<0> {9} ...)`, in any order and with anything between.
fn fetched(tokens: Tokens<'_>) -> Fetched {
    let mut fetched = Fetched::default();
    let mut depth = 0_u32;
    let mut name = None;
    for token in tokens {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            _ if depth != 1 => {}
            token => match name.take() {
                None => name = token.word().map(str::to_ascii_uppercase),
                Some(name) if name == "UID" => fetched.uid = fetched.uid.or(token.number()),
                Some(name) if name.starts_with("BODY[HEADER.FIELDS ") || name.starts_with("BODY[]") => match token {
                    Token::Text(header) => fetched.header = Some(header),
                    _ => fetched.header = Some(Vec::new()),
                },
                Some(_) => {}
            },
        }
        // A list was a value: behind it stands the next name.
        if depth > 1 {
            name = None;
        }
    }
    fetched
}

#[cfg(test)]
mod tests;
