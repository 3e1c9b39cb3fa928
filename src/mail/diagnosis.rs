//! What went wrong, in a form that people and programs can use: a reason, the stage, the server's own words, and the
//! facts that its hint needs.

use std::{fmt, time::Duration};

use super::Stage;
use crate::api::{Class, Reason};

/// The most characters of a server's words that anyone sees.
pub const WORDS: usize = 256;

/// A failure: why, where, what the server said, and what the hint is filled in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Why.
    pub reason: Reason,
    /// Who can help: the reason's class, unless the reply said otherwise (a 4xx where 5xx is usual).
    pub class: Class,
    /// Where; filled in by [`super::Stages::run`].
    pub stage: Option<Stage>,
    /// The server's own words: printable, scrubbed of credentials, at most [`WORDS`] characters.
    pub words: Option<String>,
    /// Our words, where the server had none or they do not tell enough.
    pub detail: Option<String>,
    /// How long the server wants to be left alone, where it said so.
    pub after: Option<Duration>,
    facts: Vec<(&'static str, String)>,
}

impl Diagnosis {
    /// A diagnosis that knows only its reason.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self { reason, class: reason.class(), stage: None, words: None, detail: None, after: None, facts: Vec::new() }
    }

    /// With the server's words. They must be scrubbed already; length and control characters are seen to here.
    #[must_use]
    pub fn words(mut self, words: impl AsRef<str>) -> Self {
        self.words = Some(printable(words.as_ref(), WORDS)).filter(|words| !words.is_empty());
        self
    }

    /// With our own words.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Not to be tried again before so long.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.after = wait;
        self
    }

    /// With a fact for the hint; the first value given to a name stands.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() && self.get(name).is_none() {
            self.facts.push((name, value));
        }
        self
    }

    /// Judged as transient or not, whatever the reason usually is.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// At a stage, unless one is named already.
    #[must_use]
    pub fn at(mut self, stage: Stage) -> Self {
        self.stage.get_or_insert(stage);
        self
    }

    /// A fact by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The condition that it makes False.
    #[must_use]
    pub fn condition(&self) -> &'static str {
        self.reason.row().condition.or(self.stage.map(Stage::condition)).unwrap_or(crate::api::v1alpha1::condition::REACHABLE)
    }

    /// What was said: the server's words, else ours, else what the reason means.
    #[must_use]
    pub fn said(&self) -> String {
        match (&self.words, &self.detail) {
            (Some(words), Some(detail)) => format!("{detail}: {words}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => self.reason.row().meaning.trim_end_matches('.').to_owned(),
        }
    }

    /// One line: the stage and what was said there.
    #[must_use]
    pub fn message(&self) -> String {
        match self.stage {
            Some(stage) => format!("{stage}: {}", self.said()),
            None => self.said(),
        }
    }

    /// What to do, with the facts filled in. Parts in brackets and sentences whose facts are missing are left out.
    #[must_use]
    pub fn hint(&self) -> String {
        let stage = self.stage.map(Stage::as_str);
        fill(self.reason.row().hint, |name| match name {
            "stage" => stage,
            "reply" => self.words.as_deref(),
            _ => self.get(name),
        })
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message())
    }
}

impl std::error::Error for Diagnosis {}

/// Server text as people may see it: no control characters, whitespace folded, at most `most` characters.
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most * 4));
    let (mut count, mut space) = (0, false);
    for c in text.chars() {
        // Format characters can turn a line around on a terminal (bidirectional overrides) or hide in it.
        let invisible = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_whitespace() || invisible {
            space = count > 0;
            continue;
        }
        if space {
            if count + 1 >= most {
                break;
            }
            out.push(' ');
            count += 1;
            space = false;
        }
        if count >= most {
            break;
        }
        out.push(c);
        count += 1;
    }
    out
}

/// Fills `{name}` in a hint's template; see [`Diagnosis::hint`].
fn fill<'a>(template: &str, fact: impl Fn(&str) -> Option<&'a str>) -> String {
    let sentences = template.split_inclusive(". ").filter_map(|sentence| fill_part(sentence, &fact));
    sentences.collect::<String>().trim().to_owned()
}

/// Fills in a sentence, or what stands in brackets; none where a fact is missing. What was filled in is not read again.
fn fill_part<'a>(part: &str, fact: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let mut out = String::new();
    let mut rest = part;
    while let Some(at) = rest.find(['{', '[']) {
        out.push_str(&rest[..at]);
        if rest[at..].starts_with('{') {
            let (name, tail) = rest[at + 1..].split_once('}')?;
            out.push_str(fact(name)?);
            rest = tail;
        } else {
            let (inside, tail) = rest[at + 1..].split_once(']')?;
            out.push_str(&fill_part(inside, fact).unwrap_or_default());
            rest = tail;
        }
    }
    Some(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_filled_in_and_leaves_out_what_is_not_known() {
        let diagnosis = Diagnosis::new(Reason::AuthenticationFailed).fact("secret", "mail/relay").fact("until", "13:00");
        assert_eq!(diagnosis.hint(), "Check Secret mail/relay. Not tried again before 13:00, so that the account is not locked.");
        let diagnosis = Diagnosis::new(Reason::AuthenticationFailed).fact("secret", "mail/relay").fact("changed", "12:00");
        assert_eq!(diagnosis.hint(), "Check Secret mail/relay; last changed 12:00.");
    }

    #[test]
    fn server_text_is_folded_cut_and_free_of_control_characters() {
        assert_eq!(printable("550 \u{1b}[31mno\r\n way\0 \u{202e}x", 64), "550 [31mno way x");
        assert_eq!(printable(&"é".repeat(999), 256).chars().count(), 256);
        assert_eq!(printable("  \t ", 9), "");
    }

    #[test]
    fn no_template_has_a_bracket_or_brace_left_open() {
        for reason in Reason::ALL {
            let hint = reason.row().hint;
            assert_eq!(hint.matches('{').count(), hint.matches('}').count(), "{reason}");
            assert_eq!(hint.matches('[').count(), hint.matches(']').count(), "{reason}");
        }
    }
}
