//! What commands print: one form for people, three for programs, all made from the same outcomes.

mod junit;
mod proof;
mod text;

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    mail::Diagnosis,
    manifest::Finding,
    verify::{Report, Verdict},
};

pub use proof::Proof;
pub use text::{Style, progress, progress_ends, progress_says};

/// The forms of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// An object for `probe`; for `check` one object a line, one line a resource.
    Json,
    /// The same as YAML documents.
    Yaml,
    /// JUnit's XML, which CI systems show as test results.
    Junit,
}

/// What was checked, in a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The file; `-` for standard input.
    pub file: String,
    /// The line on which the object begins.
    pub line: u64,
    /// Its kind; empty where the file could not be read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its namespace, also where that is the default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl Subject {
    /// `MailServer mail/relay`, or the file where nothing more is known.
    #[must_use]
    pub fn title(&self) -> String {
        match (self.kind.as_str(), self.name.as_str()) {
            ("", _) => self.file.clone(),
            (kind, name) => format!("{kind} {}/{name}", self.namespace),
        }
    }
}

/// What came out for one object, or for an address that was probed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The object; none for a probe.
    pub subject: Option<Subject>,
    /// What is to be said about the manifest.
    pub findings: Vec<Finding>,
    /// What the check of a server or a mailbox found; none where none was run.
    pub report: Option<Report>,
    /// The same for an `EmailProfile` or a `RoundTripPolicy`.
    pub proof: Option<Box<Proof>>,
    /// It is no kind that we know.
    pub skipped: bool,
}

impl Outcome {
    /// Whether the manifest would be refused.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }

    /// The verdict on what was checked; none where nothing was, or not the whole.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let proved = || self.proof.as_ref().filter(|proof| proof.skipped().is_none()).map(|proof| proof.verdict());
        self.report.as_ref().map(Report::verdict).or_else(proved)
    }

    /// Whether anything was checked.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.report.is_some() || self.proof.is_some()
    }

    /// Why nothing was checked, or not the whole.
    fn skipped(&self) -> Option<&str> {
        let unproved = self.proof.as_ref().and_then(|proof| proof.skipped());
        unproved.or_else(|| self.skipped.then_some("not looked at"))
    }

    /// Why a check failed, with one line on it.
    fn failure(&self) -> Option<(&Diagnosis, String)> {
        let report = self.report.as_ref().and_then(|report| Some((report.failure.as_ref()?, report.message())));
        report.or_else(|| self.proof.as_ref().and_then(|proof| Some((proof.failure()?, proof.message()))))
    }

    /// How long a check took.
    fn duration(&self) -> Duration {
        let report = self.report.as_ref().or_else(|| self.proof.as_ref().map(|proof| &proof.report));
        report.map_or(Duration::ZERO, |report| report.duration)
    }

    /// Valid, Invalid or Skipped for a manifest, Verified or Unverified for what was checked.
    #[must_use]
    pub fn result(&self) -> &'static str {
        match self.verdict() {
            Some(Verdict::Verified) => "Verified",
            Some(Verdict::Unverified) => "Unverified",
            None if self.is_invalid() => "Invalid",
            None if self.skipped().is_some() => "Skipped",
            None => "Valid",
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            subject: Option<&'a Subject>,
            // A report has a result of its own.
            #[serde(skip_serializing_if = "Option::is_none")]
            result: Option<&'static str>,
            #[serde(flatten)]
            report: Option<&'a Report>,
            #[serde(flatten)]
            proof: Option<&'a Proof>,
            // What was checked of an object that is not proved as a whole.
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sending: Option<&'a Report>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            findings: &'a [Finding],
        }
        Whole {
            subject: self.subject.as_ref(),
            result: self.verdict().is_none().then_some(self.result()),
            report: self.report.as_ref(),
            proof: self.proof.as_deref().filter(|proof| proof.skipped().is_none()),
            message: self.proof.as_deref().and_then(Proof::skipped),
            sending: self.proof.as_deref().filter(|proof| proof.skipped().is_some()).and_then(|proof| proof.sending.as_ref()),
            findings: &self.findings,
        }
        .serialize(serializer)
    }
}

/// The outcomes as text in one of the forms. `outcomes` is that of one probe, or one for each object of a check.
///
/// # Errors
/// None in practice: only what JSON and YAML cannot hold.
pub fn render(format: Format, outcomes: &[Outcome], style: Style) -> io::Result<String> {
    let mut out = String::new();
    match format {
        Format::Text => out = text::render(outcomes, style),
        Format::Junit => out = junit::render(outcomes),
        Format::Json => {
            for outcome in outcomes {
                let json = if outcome.subject.is_none() {
                    serde_json::to_string_pretty(outcome)
                } else {
                    serde_json::to_string(outcome)
                };
                out.push_str(&json?);
                out.push('\n');
            }
        }
        Format::Yaml => {
            for outcome in outcomes {
                out.push_str("---\n");
                out.push_str(&serde_yaml::to_string(outcome).map_err(io::Error::other)?);
            }
        }
    }
    Ok(out)
}

/// Prints the outcomes to standard output.
///
/// # Errors
/// Those of standard output.
pub fn print(format: Format, outcomes: &[Outcome], no_color: bool) -> Result<(), super::Error> {
    let stdout = io::stdout();
    let style = Style::choose(no_color, stdout.is_terminal());
    let text = render(format, outcomes, style).and_then(|text| stdout.lock().write_all(text.as_bytes()));
    text.map_err(super::Error::about("standard output"))
}

#[cfg(test)]
pub(super) mod tests;
