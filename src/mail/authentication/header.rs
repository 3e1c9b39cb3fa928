//! One header `Authentication-Results`, taken apart (RFC 8601 section 2.2). Never fails: what cannot be read is left out.

/// As much of a header is read: far above what servers write, and little work.
const MOST_BYTES: usize = 8 * 1024;
/// What a result word may have, in characters; the longest of RFC 8601 has nine.
const MOST_WORD: usize = 16;

/// A method that we ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Spf,
    Dkim,
    Dmarc,
}

/// A header: who wrote it, and what it says.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// The authserv-id, in lower case; none where the header begins with a result.
    pub(super) id: Option<String>,
    /// Whether it can be trusted to mean what RFC 8601 means.
    pub(super) is_sound: bool,
    results: Vec<Resinfo>,
}

/// One `method=result` with the names of its properties.
#[derive(Debug)]
struct Resinfo {
    method: String,
    result: String,
    properties: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Equals,
}

impl Header {
    /// Takes a header's value apart, folded or not.
    pub(super) fn parse(value: &str) -> Self {
        let mut segments = segments(value).into_iter();
        let first = segments.next().unwrap_or_default();
        let mut header = Self { is_sound: true, ..Self::default() };
        // Microsoft's begin with a result; old ones of Yahoo have a word of their own behind the id.
        match first.as_slice() {
            [Token::Word(_), Token::Equals, ..] => header.results.extend(Resinfo::read(&first)),
            [Token::Word(id), rest @ ..] => {
                // OpenDKIM may put its job behind the name: `mx.corp.example/C741440440`.
                let name = id.split('/').next().unwrap_or_default();
                header.id = Some(name.trim_end_matches('.').to_ascii_lowercase());
                // Version 1 is the only one there is; another would have other rules (section 2.2).
                header.is_sound = match rest {
                    [Token::Word(version)] => version == "1",
                    _ => true,
                };
            }
            _ => header.is_sound = false,
        }
        for segment in segments {
            // Exchange Online writes `RECIPIENT'S DOMAIN; dkim=none ...; RECIPIENT'S DOMAIN; dmarc=none ...` into mail that it
            // sends: the recipient's name, and not a word of the recipient's server.
            if let [Token::Word(word)] = segment.as_slice()
                && header.id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(word))
            {
                header.is_sound = false;
            }
            header.results.extend(Resinfo::read(&segment));
        }
        header
    }

    /// The result of a method. Of several signatures one that holds is enough; of several SPF results that of the envelope's
    /// sender comes before that of HELO.
    pub(super) fn result(&self, method: Method) -> Option<String> {
        let name = match method {
            Method::Spf => "spf",
            Method::Dkim => "dkim",
            Method::Dmarc => "dmarc",
        };
        let of_method = || self.results.iter().filter(|one| one.method == name);
        let chosen = match method {
            Method::Spf => of_method().find(|one| !one.is_of_helo()),
            Method::Dkim => of_method().find(|one| one.result == "pass"),
            Method::Dmarc => None,
        };
        chosen.or_else(|| of_method().next()).map(|one| one.result.clone())
    }
}

impl Resinfo {
    /// The results in one segment: one by the grammar, more where a server forgot a semicolon, as Zoho's did.
    fn read(segment: &[Token]) -> Vec<Self> {
        let starts = segment.windows(2).enumerate().filter(|(_, pair)| match pair {
            [Token::Word(word), Token::Equals] => ["spf", "dkim", "dmarc"].iter().any(|name| word.eq_ignore_ascii_case(name)),
            _ => false,
        });
        let mut starts: Vec<usize> = starts.map(|(at, _)| at).filter(|at| *at > 0).collect();
        starts.insert(0, 0);
        let ends = starts.iter().skip(1).copied().chain([segment.len()]);
        starts.iter().zip(ends).filter_map(|(start, end)| Self::one(segment.get(*start..end)?)).collect()
    }

    fn one(segment: &[Token]) -> Option<Self> {
        let equals = segment.iter().position(|token| *token == Token::Equals)?;
        let word = |token: &Token| match token {
            Token::Word(word) => word.to_ascii_lowercase(),
            Token::Equals => String::new(),
        };
        // A version may follow the method: `dkim/1=pass`.
        let method: String = segment[..equals].iter().map(word).collect();
        let method = method.split('/').next().unwrap_or_default().to_owned();
        let result: String = segment.get(equals + 1).map(word)?.chars().take(MOST_WORD).collect();
        let result = match result.as_str() {
            // Yahoo's words of 2020: https://github.com/pimlie/authres_status/issues/39.
            "dkim_pass" | "success" => "pass".to_owned(),
            _ => result,
        };
        let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let properties = segment.windows(2).filter(|pair| pair[1] == Token::Equals).map(|pair| word(&pair[0])).collect();
        is_word(&result).then_some(Self { method, result, properties })
    }

    fn is_of_helo(&self) -> bool {
        let has = |name: &str| self.properties.iter().any(|property| property == name);
        has("smtp.helo") && !has("smtp.mailfrom")
    }
}

/// The parts between semicolons, as words and equals signs. Comments are left out; quotes hold a word together.
fn segments(value: &str) -> Vec<Vec<Token>> {
    let mut segments = vec![Vec::new()];
    let mut word = None::<String>;
    let mut characters = bounded(value).chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = characters.next().filter(|c| *c != '"') {
                    word.extend(if c == '\\' { characters.next() } else { Some(c) });
                }
            }
            '(' | ';' | '=' => {
                let last = segments.last_mut();
                if let Some(segment) = last {
                    segment.extend(word.take().map(Token::Word));
                    if c == '=' {
                        segment.push(Token::Equals);
                    }
                }
                match c {
                    '(' => comment(&mut characters),
                    ';' => segments.push(Vec::new()),
                    _ => {}
                }
            }
            c if c.is_whitespace() || c.is_control() => {
                if let (Some(segment), Some(word)) = (segments.last_mut(), word.take()) {
                    segment.push(Token::Word(word));
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    if let (Some(segment), Some(word)) = (segments.last_mut(), word) {
        segment.push(Token::Word(word));
    }
    segments
}

/// Passes over a comment, which may hold others (RFC 5322 section 3.2.2); the opening parenthesis is gone already.
fn comment(characters: &mut std::str::Chars) {
    let mut depth = 1_usize;
    while let Some(c) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

fn bounded(value: &str) -> &str {
    let end = (0..=value.len().min(MOST_BYTES)).rev().find(|end| value.is_char_boundary(*end));
    &value[..end.unwrap_or_default()]
}
