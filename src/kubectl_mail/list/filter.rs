//! Filters: `COLUMN=TEXT`. A cell passes if it holds TEXT, in any case. In TEXT `,` is or, `&` is and and binds tighter, `!` before a
//! part is not, and `\` takes the next character as it is. Pure: what a column is, is its caller's business.

use std::mem;

/// What a cell must be like: one of `any`, all parts of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    any: Vec<Vec<Part>>,
}

/// A text that a cell must hold, or must not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    not: bool,
    /// In lower case, never empty.
    text: String,
}

/// What is wrong with a filter.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    #[error("a text is missing: before, between or behind , or &")]
    Empty,
    #[error("! needs a text behind it")]
    LoneNot,
    #[error("\\ needs a character behind it")]
    LoneBackslash,
}

impl Pattern {
    /// Reads what is behind the `=` of a filter.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let (mut any, mut all) = (Vec::new(), Vec::new());
        let (mut part, mut blank) = (Part::default(), String::new());
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match c {
                ',' => {
                    all.push(mem::take(&mut part).whole()?);
                    any.push(mem::take(&mut all));
                }
                '&' => all.push(mem::take(&mut part).whole()?),
                '!' if part.text.is_empty() => part.not = !part.not,
                // Around a part it is for readers, inside it counts.
                c if c.is_whitespace() => {
                    blank.push(c);
                    continue;
                }
                c => {
                    if !part.text.is_empty() {
                        part.text.push_str(&blank);
                    }
                    let meant = if c == '\\' { characters.next().ok_or(Fault::LoneBackslash)? } else { c };
                    part.text.extend(meant.to_lowercase());
                }
            }
            blank.clear();
        }
        all.push(part.whole()?);
        any.push(all);
        Ok(Self { any })
    }

    /// Whether a cell passes.
    pub fn passes(&self, cell: &str) -> bool {
        let cell: String = cell.chars().flat_map(char::to_lowercase).collect();
        self.any.iter().any(|all| all.iter().all(|part| cell.contains(&part.text) != part.not))
    }
}

impl Part {
    fn whole(self) -> Result<Self, Fault> {
        match (self.text.is_empty(), self.not) {
            (false, _) => Ok(self),
            (true, true) => Err(Fault::LoneNot),
            (true, false) => Err(Fault::Empty),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passes(pattern: &str, cell: &str) -> bool {
        Pattern::read(pattern).unwrap().passes(cell)
    }

    #[test]
    fn a_part_of_a_cell_is_enough_in_any_case() {
        assert!(passes("CORP", "smtp.corp.example") && passes("smtp.corp.example", "smtp.corp.example"));
        assert!(!passes("corp", "smtp.other.example") && !passes("corp", ""));
    }

    #[test]
    fn comma_is_or_ampersand_is_and_and_binds_tighter() {
        assert!(passes("a,b", "xbx") && !passes("a,b", "xcx"));
        assert!(passes("a&b", "b-a") && !passes("a&b", "a"));
        assert!(passes("a & b , c", "c") && passes("a & b , c", "ab") && !passes("a & b , c", "b"));
    }

    #[test]
    fn an_exclamation_mark_is_not() {
        assert!(passes("!a", "b") && !passes("!a", "ab"));
        assert!(passes("a&!b", "ac") && !passes("a&!b", "ab"));
        assert!(passes("!!a", "a") && !passes("! !a", "b"));
        assert!(passes("a!", "wha!t a!") && !passes("a!", "a"), "it is a mark like others inside a text");
    }

    #[test]
    fn a_backslash_takes_the_next_character_as_it_is() {
        assert!(passes(r"a\,b", "a,b") && !passes(r"a\,b", "b"));
        assert!(passes(r"\!a", "!a") && !passes(r"\!a", "b"));
        assert!(passes(r"CORP\\relay", r"corp\relay"));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, fault) in [
            ("", Fault::Empty),
            (" ", Fault::Empty),
            ("a,", Fault::Empty),
            ("a,&b", Fault::Empty),
            ("!", Fault::LoneNot),
            ("a&!", Fault::LoneNot),
            ("!,a", Fault::LoneNot),
            ("a\\", Fault::LoneBackslash),
        ] {
            assert_eq!(Pattern::read(text), Err(fault), "{text}");
        }
    }

    /// A text as a filter has to write it.
    fn written(text: &str) -> String {
        text.chars().flat_map(|c| ['\\', c]).collect()
    }

    /// Parts of an alphabet in which they often meet: what is to be one of, all of, (not, text).
    fn patterns() -> impl Strategy<Value = Vec<Vec<(bool, String)>>> {
        let part = (any::<bool>(), "[abAB ,!&]{1,3}");
        prop::collection::vec(prop::collection::vec(part, 1..4), 1..4)
    }

    proptest! {
        #[test]
        fn a_pattern_is_what_its_parts_say(parts in patterns(), cell in "[abAB ,!&]{0,8}") {
            let all = |all: &Vec<(bool, String)>| {
                let parts = all.iter().map(|(not, text)| format!("{}{}", if *not { "!" } else { "" }, written(text)));
                parts.collect::<Vec<_>>().join("&")
            };
            let text = parts.iter().map(all).collect::<Vec<_>>().join(",");
            let holds = |(not, text): &(bool, String)| cell.to_lowercase().contains(&text.to_lowercase()) != *not;
            let expected = parts.iter().any(|all| all.iter().all(holds));
            prop_assert_eq!(Pattern::read(&text).unwrap().passes(&cell), expected, "{}", text);
        }

        #[test]
        fn any_text_passes_the_pattern_that_is_made_of_it(text in ".{1,20}") {
            prop_assert!(passes(&written(&text), &text));
            let none = format!("!{}", written(&text));
            prop_assert!(!passes(&none, &text));
        }

        #[test]
        fn whatever_is_typed_is_read_or_refused(text in r"[ab,&! \\]{0,12}|.{0,20}") {
            if let Ok(pattern) = Pattern::read(&text) {
                prop_assert!(pattern.any.iter().flatten().all(|part| !part.text.is_empty()));
            }
        }
    }
}
