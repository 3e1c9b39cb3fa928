//! What commands print: one form for people, three for programs, all made from the same outcomes.

mod junit;
mod text;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    manifest::Finding,
    verify::{Report, Verdict},
};

pub use text::{Style, progress, progress_ends};

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
    /// What the check found; none where none was run.
    pub report: Option<Report>,
    /// It is no kind that we know.
    pub skipped: bool,
}

impl Outcome {
    /// Whether the manifest would be refused.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }

    /// Valid, Invalid or Skipped for a manifest, Verified or Unverified for a server.
    #[must_use]
    pub fn result(&self) -> &'static str {
        match &self.report {
            Some(report) if report.verdict() == Verdict::Verified => "Verified",
            Some(_) => "Unverified",
            None if self.is_invalid() => "Invalid",
            None if self.skipped => "Skipped",
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
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            findings: &'a [Finding],
        }
        Whole {
            subject: self.subject.as_ref(),
            result: self.report.is_none().then_some(self.result()),
            report: self.report.as_ref(),
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
