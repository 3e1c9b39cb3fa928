//! `JUnit`'s XML as CI systems read it: a suite per file with a case per object, or a suite per probe with a case per stage.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use super::Outcome;
use crate::{
    mail::stage::Outcome as Ended,
    manifest::{Finding, Severity},
    verify::Report,
};

/// One test case.
struct Case {
    class: String,
    name: String,
    time: Duration,
    /// Its failure: a type, a line and a text.
    failure: Option<(String, String, String)>,
    skipped: Option<String>,
    /// Warnings and notes.
    said: String,
}

pub(super) fn render(outcomes: &[Outcome]) -> String {
    let mut suites: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for outcome in outcomes {
        match (&outcome.subject, &outcome.report) {
            (Some(subject), _) => {
                suites.entry(subject.file.clone()).or_default().push(object(&subject.title(), &subject.kind, outcome));
            }
            (None, Some(report)) => suites.entry(report.endpoint.clone()).or_default().extend(stages(report)),
            (None, None) => {}
        }
    }
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (name, cases) in suites {
        suite(&name, &cases, &mut out);
    }
    out.push_str("</testsuites>\n");
    out
}

fn object(title: &str, class: &str, outcome: &Outcome) -> Case {
    let lines = |wanted: fn(&&Finding) -> bool| {
        outcome.findings.iter().filter(wanted).map(Finding::to_string).collect::<Vec<_>>().join("\n")
    };
    let errors = lines(|finding| finding.severity == Severity::Error);
    let failure = match outcome.failure() {
        _ if !errors.is_empty() => {
            Some(("Invalid".to_owned(), errors.lines().next().unwrap_or_default().to_owned(), errors.clone()))
        }
        Some((failure, message)) => Some((failure.reason.as_str().to_owned(), message, failure.hint())),
        None => None,
    };
    Case {
        class: if class.is_empty() { "file".to_owned() } else { class.to_owned() },
        name: title.to_owned(),
        time: outcome.duration(),
        failure,
        skipped: outcome.skipped().map(str::to_owned),
        said: lines(|finding| finding.severity != Severity::Error),
    }
}

fn stages(report: &Report) -> Vec<Case> {
    let cases = report.stages.iter().map(|record| {
        let detail = record.detail.clone().unwrap_or_default();
        let failure = report.failure.as_ref().filter(|_| record.outcome == Ended::Failed);
        Case {
            class: report.endpoint.clone(),
            name: record.stage.as_str().to_owned(),
            time: record.duration,
            failure: failure.map(|failure| (failure.reason.as_str().to_owned(), report.message(), failure.hint())),
            skipped: (record.outcome == Ended::Skipped).then(|| detail.clone()),
            said: detail,
        }
    });
    let mut cases: Vec<_> = cases.collect();
    // A failure before the first stage must not read as a suite in which all is well.
    if let Some(failure) = report.failure.as_ref().filter(|_| cases.iter().all(|case| case.failure.is_none())) {
        cases.push(Case {
            class: report.endpoint.clone(),
            name: failure.stage.map_or("Check", crate::mail::Stage::as_str).to_owned(),
            time: report.duration,
            failure: Some((failure.reason.as_str().to_owned(), report.message(), failure.hint())),
            skipped: None,
            said: String::new(),
        });
    }
    cases
}

fn suite(name: &str, cases: &[Case], out: &mut String) {
    let failed = cases.iter().filter(|case| case.failure.is_some()).count();
    let skipped = cases.iter().filter(|case| case.skipped.is_some()).count();
    let time: Duration = cases.iter().map(|case| case.time).sum();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        out,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"{:.3}\">",
        escape(name),
        cases.len(),
        time.as_secs_f64()
    );
    for case in cases {
        let _ = write!(
            out,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escape(&case.class),
            escape(&case.name),
            case.time.as_secs_f64()
        );
        let mut inside = String::new();
        if let Some((kind, message, text)) = &case.failure {
            let _ = writeln!(
                inside,
                "      <failure type=\"{}\" message=\"{}\">{}</failure>",
                escape(kind),
                escape(message),
                escape(text)
            );
        } else if let Some(why) = &case.skipped {
            let _ = writeln!(inside, "      <skipped message=\"{}\"/>", escape(why));
        }
        if !case.said.is_empty() && case.skipped.is_none() {
            let _ = writeln!(inside, "      <system-out>{}</system-out>", escape(&case.said));
        }
        match inside.as_str() {
            "" => out.push_str("/>\n"),
            inside => {
                let _ = write!(out, ">\n{inside}    </testcase>\n");
            }
        }
    }
    out.push_str("  </testsuite>\n");
}

/// Text as XML 1.0 can hold it: markup escaped, characters that it forbids dropped.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
