//! A diagnosis: its facts have names that the hints of the reason table know, so that each side fills in its own hint.

use std::sync::OnceLock;

use crate::{
    api::{Class, Reason, v1alpha1::Failure},
    mail::{
        Diagnosis, Stage,
        diagnosis::{WORDS, printable},
    },
};

/// The most characters of our own words, and of a fact.
const MOST: usize = 1024;
/// Facts of the Secret: the agent knows the task's, people know the one that the spec names.
const OF_THE_SECRET: [&str; 2] = ["secret", "changed"];

impl Failure {
    /// A diagnosis as it is handed over.
    #[must_use]
    pub fn of(diagnosis: &Diagnosis) -> Self {
        let facts = names().iter().filter(|name| !OF_THE_SECRET.contains(name));
        Self {
            reason: diagnosis.reason.as_str().to_owned(),
            class: class_name(diagnosis.class).to_owned(),
            stage: diagnosis.stage.map(|stage| stage.as_str().to_owned()),
            words: diagnosis.words.as_deref().map(|words| printable(words, WORDS)),
            detail: diagnosis.detail.as_deref().map(|detail| printable(detail, MOST)),
            facts: facts.filter_map(|name| Some(((*name).to_owned(), printable(diagnosis.get(name)?, MOST)))).take(32).collect(),
        }
    }

    /// The diagnosis that is meant. `encrypted` tells which stage is called TLS: that behind STARTTLS, or that before the
    /// greeting. A reason that only a newer version knows becomes `ProtocolError`, in the words that came with it.
    #[must_use]
    pub fn diagnosis(&self, encrypted: bool) -> Diagnosis {
        let known = Reason::ALL.iter().find(|reason| reason.as_str() == self.reason);
        let reason = known.copied().unwrap_or(Reason::ProtocolError);
        let class = match self.class.as_str() {
            "User" => Class::User,
            "Transient" => Class::Transient,
            "Information" => Class::Information,
            _ => reason.class(),
        };
        let mut diagnosis = Diagnosis::new(reason).class(class).words(self.words.as_deref().unwrap_or_default());
        let detail = printable(self.detail.as_deref().unwrap_or_default(), MOST);
        if known.is_none() {
            let theirs = printable(&self.reason, 64);
            let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
            diagnosis = diagnosis.detail(format!("the agent found {theirs}, which this version does not know{detail}"));
        } else if !detail.is_empty() {
            diagnosis = diagnosis.detail(detail);
        }
        if let Some(stage) = self.stage.as_deref().and_then(|name| stage(name, encrypted)) {
            diagnosis = diagnosis.at(stage);
        }
        for name in names().iter().filter(|name| !OF_THE_SECRET.contains(name)) {
            if let Some(value) = self.facts.get(*name) {
                diagnosis = diagnosis.fact(name, printable(value, MOST));
            }
        }
        diagnosis
    }
}

/// The stage of this name; none for one that only a newer version knows.
pub(super) fn stage(name: &str, encrypted: bool) -> Option<Stage> {
    let other = if encrypted { Stage::ImplicitTls } else { Stage::Tls };
    Stage::ALL.into_iter().find(|stage| stage.as_str() == name && *stage != other)
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::User => "User",
        Class::Transient => "Transient",
        Class::Information => "Information",
    }
}

/// The names of all facts: those that stand in hints.
fn names() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let hints = Reason::ALL.iter().map(|reason| reason.row().hint);
        let parts = hints.flat_map(|hint| hint.split('{').skip(1));
        let mut names: Vec<_> = parts.filter_map(|part| Some(part.split_once('}')?.0)).collect();
        names.sort_unstable();
        names.dedup();
        names
    })
}
