//! Answers: from flags, else from a person, else what is usual.

use std::{fmt::Debug, io};

use crate::Error;

/// What is told of an answer that is no name. It is most likely the secret itself, and shown to nobody.
const NO_NAME: &str = "is the name of a Secret; its value is not wanted here";

/// The most characters of a name.
const LONGEST: usize = 253;

/// Asks a question; an empty answer gives the second text.
pub type Ask<'a> = &'a dyn Fn(&str, &str) -> io::Result<String>;

/// Answers as they are gathered.
pub struct Form<'a> {
    ask: Option<Ask<'a>>,
    missing: Vec<&'static str>,
}

impl<'a> Form<'a> {
    /// A form that is filled in by flags, and by a person if there is one.
    pub fn new(ask: Option<Ask<'a>>) -> Self {
        Self { ask, missing: Vec::new() }
    }

    /// What must be said. Without anybody to ask it is noted as missing, and empty.
    pub fn need(&mut self, flag: &'static str, given: Option<String>, question: &str) -> Result<String, Error> {
        if let Some(given) = given {
            return Ok(given);
        }
        let Some(ask) = self.ask else {
            self.missing.push(flag);
            return Ok(String::new());
        };
        loop {
            let answer = ask(question, "")?;
            if !answer.is_empty() {
                return Ok(answer);
            }
        }
    }

    /// What may be said; nothing where the answer is empty.
    pub fn may(&self, given: Option<String>, question: &str) -> Result<Option<String>, Error> {
        self.usual(given, question, "")
    }

    /// What is usually as it is here; nothing where the answer is just that, as the schema's default says it.
    pub fn usual(&self, given: Option<String>, question: &str, usual: &str) -> Result<Option<String>, Error> {
        let answer = match (given, self.ask) {
            (Some(given), _) => given,
            (None, Some(ask)) => ask(question, usual)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(answer).filter(|answer| answer != usual))
    }

    /// The name of a Secret, which must be said. What is none is shown to nobody.
    pub fn secret(&mut self, flag: &'static str, mut given: Option<String>, question: &str) -> Result<String, Error> {
        named(flag, given.as_deref())?;
        let mut asked = question.to_owned();
        loop {
            let answer = self.need(flag, given.take(), &asked)?;
            // What is missing is told with what else is.
            if answer.is_empty() || is_name(&answer) {
                return Ok(answer);
            }
            asked = format!("This {NO_NAME}\n{question}");
        }
    }

    /// The name of a Secret, which may be said; nothing where the answer is empty.
    pub fn may_secret(&self, flag: &str, mut given: Option<String>, question: &str) -> Result<Option<String>, Error> {
        named(flag, given.as_deref().filter(|given| !given.is_empty()))?;
        let mut asked = question.to_owned();
        loop {
            let answer = self.may(given.take(), &asked)?;
            if answer.as_deref().is_none_or(is_name) {
                return Ok(answer);
            }
            asked = format!("This {NO_NAME}\n{question}");
        }
    }

    /// Words with commas or blanks between, of which one at least must be said.
    pub fn words(&mut self, flag: &'static str, given: &[String], question: &str) -> Result<Vec<String>, Error> {
        let mut found = words(&given.join(" "));
        while found.is_empty() {
            found = words(&self.need(flag, None, question)?);
            if self.ask.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// The same where none need be said.
    pub fn may_words(&self, given: &[String], question: &str) -> Result<Vec<String>, Error> {
        let said = if given.is_empty() { self.may(None, question)? } else { Some(given.join(" ")) };
        Ok(words(&said.unwrap_or_default()))
    }

    /// One of these, in any case; the first is the usual one. Only an answer is asked for again: whoever gave a flag meant it.
    pub fn choice(&self, given: Option<String>, question: &str, choices: &[&str]) -> Result<Option<String>, Error> {
        let usual = choices.first().copied().unwrap_or_default();
        let question = format!("{question}: {}", choices.join(", "));
        let is_said = given.is_some();
        let mut given = given;
        loop {
            let Some(answer) = self.usual(given.take(), &question, usual)? else { return Ok(None) };
            match choices.iter().find(|choice| choice.eq_ignore_ascii_case(&answer)) {
                Some(choice) => return Ok(Some((*choice).to_owned()).filter(|choice| choice != usual)),
                None if is_said => return Err(format!("{answer} is none of {}", choices.join(", ")).into()),
                None => {}
            }
        }
    }

    /// One of these, as values of the API or of our own: the usual one where nobody says another. Where there is only that, nobody is asked.
    pub fn one<T: Copy + Debug>(&self, given: Option<String>, question: &str, usual: T, others: &[T]) -> Result<T, Error> {
        let all: Vec<T> = [&[usual], others].concat();
        let names: Vec<String> = all.iter().map(|value| format!("{value:?}")).collect();
        let silent = Form::new(None);
        let form = if others.is_empty() { &silent } else { self };
        let chosen = form.choice(given, question, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let found = names.iter().zip(&all).find(|(name, _)| Some(*name) == chosen.as_ref());
        Ok(found.map_or(usual, |(_, value)| *value))
    }

    /// The object's name; one that is made of `from` if nobody says another.
    pub fn name(&self, given: Option<String>, from: &str) -> Result<String, Error> {
        let usual = name_of(from);
        Ok(self.usual(given, "Name of the object", &usual)?.unwrap_or(usual))
    }

    /// Fails where something was said that nothing is made of: each flag, and whether it is left over.
    pub fn all_used(flags: &[(&str, bool)]) -> Result<(), Error> {
        let left: Vec<&str> = flags.iter().filter(|(_, is_left)| *is_left).map(|(flag, _)| *flag).collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("there is no use for {} beside what else is said", left.join(", ")).into())
        }
    }

    /// Fails where something that must be said was not.
    pub fn done(&self) -> Result<(), Error> {
        match self.missing.as_slice() {
            [] => Ok(()),
            missing => Err(format!("there is nobody to ask: say {}", missing.join(", ")).into()),
        }
    }
}

/// Fails where a flag has what is no name.
fn named(flag: &str, given: Option<&str>) -> Result<(), Error> {
    if given.is_none_or(is_name) { Ok(()) } else { Err(format!("{flag} {NO_NAME}").into()) }
}

/// Whether Kubernetes takes it for the name of a Secret: a subdomain of RFC 1123 in lower case.
fn is_name(text: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        let ends = [label.bytes().next(), label.bytes().next_back()];
        ends.iter().all(|end| end.is_some_and(is_plain)) && label.bytes().all(|c| is_plain(c) || c == b'-')
    };
    text.len() <= LONGEST && text.split('.').all(is_label)
}

/// What stands between commas and blanks.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| c == ',' || c.is_whitespace());
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A name that objects may have (RFC 1123), made of a host or of an address's local part.
fn name_of(text: &str) -> String {
    let text = text.split('@').next().unwrap_or_default().to_lowercase();
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    let name = plain.trim_matches('-').to_owned();
    if name.is_empty() { "mail".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_objects_may_have() {
        for (text, name) in
            [("smtp.Corp.example", "smtp-corp-example"), ("a.b+c@d.example", "a-b-c"), ("@", "mail"), ("[::1]", "1")]
        {
            assert_eq!(name_of(text), name);
        }
    }

    #[test]
    fn what_must_be_said_is_asked_for_until_it_is() {
        let tries = std::cell::Cell::new(0);
        let ask = |_: &str, _: &str| {
            tries.set(tries.get() + 1);
            Ok(if tries.get() < 3 { String::new() } else { "smtp".to_owned() })
        };
        let mut form = Form::new(Some(&ask));
        assert_eq!((form.need("--host", None, "Host").unwrap().as_str(), tries.get()), ("smtp", 3));
        assert_eq!(form.need("--host", Some("given".to_owned()), "Host").unwrap(), "given");
        assert!(form.done().is_ok());
    }

    #[test]
    fn a_choice_is_asked_for_until_it_is_one_and_is_written_as_the_schema_has_it() {
        let tries = std::cell::Cell::new(0);
        let ask = |question: &str, _: &str| {
            assert_eq!(question, "Security: TLS, StartTLS, None");
            tries.set(tries.get() + 1);
            Ok(["ssl", "none"][tries.get() - 1].to_owned())
        };
        let choices = ["TLS", "StartTLS", "None"];
        assert_eq!(Form::new(Some(&ask)).choice(None, "Security", &choices).unwrap().as_deref(), Some("None"));
        let form = Form::new(None);
        assert_eq!(form.choice(Some("starttls".to_owned()), "Security", &choices).unwrap().as_deref(), Some("StartTLS"));
        assert_eq!(form.choice(Some("tls".to_owned()), "Security", &choices).unwrap(), None);
        assert_eq!(form.choice(None, "Security", &choices).unwrap(), None);
        assert!(form.choice(Some("ssl".to_owned()), "Security", &choices).is_err());
    }

    #[test]
    fn a_flag_that_is_no_choice_fails_even_where_somebody_answers() {
        let ask = |_: &str, usual: &str| Ok(usual.to_owned());
        let error = Form::new(Some(&ask)).choice(Some("ssl".to_owned()), "Security", &["TLS", "None"]).unwrap_err();
        assert_eq!(error.to_string(), "ssl is none of TLS, None");
        assert!(Form::new(Some(&ask)).one(Some("3".to_owned()), "Number", 1, &[2]).is_err());
    }

    #[test]
    fn what_is_no_name_of_a_secret_is_asked_for_again_and_fails_as_a_flag_and_is_never_shown() {
        const PASTED: [&str; 8] = ["Hunter2", "s3cr3t~x", "a b", "-a", "a-", "a..b", "1//0gToken", "über"];
        let long = "a".repeat(LONGEST + 1);
        let shown = std::cell::RefCell::new(String::new());
        for pasted in PASTED.into_iter().chain([long.as_str()]) {
            let answers = std::cell::RefCell::new(vec!["app.v2-1", pasted]);
            let ask = |question: &str, _: &str| {
                shown.borrow_mut().push_str(question);
                Ok(answers.borrow_mut().pop().unwrap().to_owned())
            };
            assert_eq!(Form::new(Some(&ask)).secret("--secret", None, "Secret").unwrap(), "app.v2-1");
            answers.borrow_mut().extend(["app.v2-1", pasted]);
            assert_eq!(Form::new(Some(&ask)).may_secret("--secret", None, "Secret").unwrap().as_deref(), Some("app.v2-1"));
            for asks in [None, Some(&ask as Ask<'_>)] {
                let given = || Some(pasted.to_owned());
                let must = Form::new(asks).secret("--secret", given(), "Secret").unwrap_err();
                let may = Form::new(asks).may_secret("--secret", given(), "Secret").unwrap_err();
                let words = "--secret is the name of a Secret; its value is not wanted here";
                assert_eq!((must.to_string().as_str(), may.to_string().as_str()), (words, words));
            }
            assert!(!shown.borrow().contains(pasted), "{pasted}");
        }
        let again = "SecretThis is the name of a Secret; its value is not wanted here\nSecret";
        assert!(shown.borrow().starts_with(again), "{}", shown.borrow());
    }

    #[test]
    fn a_secret_that_nobody_names_is_missing_or_left_out() {
        let mut form = Form::new(None);
        assert_eq!(form.may_secret("--secret", None, "Secret").unwrap(), None);
        assert_eq!(form.may_secret("--secret", Some(String::new()), "Secret").unwrap(), None);
        assert_eq!(form.secret("--secret", None, "Secret").unwrap(), "");
        assert_eq!(form.done().unwrap_err().to_string(), "there is nobody to ask: say --secret");
    }

    #[test]
    fn words_stand_between_commas_and_blanks_and_none_is_empty() {
        let given = |text: &[&str]| text.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for said in [&["a,", "b"][..], &["a b"], &[" a, ,b "], &["a", "", "b"]] {
            assert_eq!(Form::new(None).may_words(&given(said), "Scopes").unwrap(), ["a", "b"], "{said:?}");
            assert_eq!(Form::new(None).words("--domain", &given(said), "Domains").unwrap(), ["a", "b"], "{said:?}");
        }
        let mut form = Form::new(None);
        assert!(form.may_words(&given(&[","]), "Scopes").unwrap().is_empty());
        assert!(form.words("--domain", &given(&[","]), "Domains").unwrap().is_empty());
        assert_eq!(form.done().unwrap_err().to_string(), "there is nobody to ask: say --domain");
        let answers = std::cell::RefCell::new(vec!["a, ,b", ", ,"]);
        let ask = |_: &str, _: &str| Ok(answers.borrow_mut().pop().unwrap().to_owned());
        assert_eq!(Form::new(Some(&ask)).words("--domain", &[], "Domains").unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_choice_of_one_is_not_asked_for() {
        let nobody = |question: &str, _: &str| Err(io::Error::other(question.to_owned()));
        let form = Form::new(Some(&nobody));
        assert_eq!(form.one(None, "Number", 1, &[]).unwrap(), 1);
        assert!(form.one(Some("2".to_owned()), "Number", 1, &[]).is_err());
        let ask = |_: &str, usual: &str| Ok(usual.to_owned());
        assert_eq!(Form::new(Some(&ask)).one(None, "Number", 1, &[2]).unwrap(), 1);
        assert_eq!(Form::new(None).one(Some("2".to_owned()), "Number", 1, &[2]).unwrap(), 2);
    }

    #[test]
    fn what_was_said_and_is_not_used_is_told() {
        assert!(Form::all_used(&[("--host", false)]).is_ok());
        let error = Form::all_used(&[("--host", true), ("--port", false), ("--ca", true)]).unwrap_err();
        assert_eq!(error.to_string(), "there is no use for --host, --ca beside what else is said");
    }

    #[test]
    fn what_is_usual_is_left_to_the_schema() {
        let ask = |_: &str, fallback: &str| Ok(fallback.to_owned());
        let form = Form::new(Some(&ask));
        assert_eq!(form.usual(None, "Security", "StartTLS").unwrap(), None);
        assert_eq!(form.usual(Some("TLS".to_owned()), "Security", "StartTLS").unwrap().as_deref(), Some("TLS"));
        assert_eq!(Form::new(None).usual(None, "Security", "StartTLS").unwrap(), None);
    }
}
