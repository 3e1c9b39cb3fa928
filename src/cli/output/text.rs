//! Output for people: findings as compilers print them, then the stages of a check, its verdict, and the hint last.

use std::{
    fmt::Write,
    io::{self, IsTerminal},
};

use super::{Outcome, Proof};
use crate::{
    api::v1alpha1::TlsStatus,
    mail::{
        Diagnosis, Stage,
        stage::{Outcome as Ended, Record},
    },
    manifest::{Finding, Severity},
    verify::{Report, report::human},
};

/// With colour or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Plain text.
    Plain,
    /// ANSI colours.
    Color,
}

impl Style {
    /// Colour on a terminal, unless a flag, `NO_COLOR` (<https://no-color.org>) or a dumb terminal says otherwise.
    #[must_use]
    pub fn choose(no_color: bool, terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if terminal && !no_color && !refused && !dumb { Self::Color } else { Self::Plain }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Color => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const DIM: &str = "2";
const BOLD: &str = "1";

/// Shows on a terminal, in one line that is written over again and again, which stage was just finished.
pub fn progress(record: &Record) {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        let line = format!("\r\x1b[2K{} {} ...", record.stage, human(record.duration));
        let _ = io::Write::write_all(&mut stderr.lock(), line.as_bytes());
    }
}

/// Says on that line what is waited for.
pub fn progress_says(words: &str) {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        let _ = io::Write::write_all(&mut stderr.lock(), format!("\r\x1b[2K{words} ...").as_bytes());
    }
}

/// Clears the line of [`progress`].
pub fn progress_ends() {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        let _ = io::Write::write_all(&mut stderr.lock(), b"\r\x1b[2K");
    }
}

pub(super) fn render(outcomes: &[Outcome], style: Style) -> String {
    let mut out = String::new();
    for outcome in outcomes {
        for one in &outcome.findings {
            finding(one, outcome, style, &mut out);
        }
        if let Some(subject) = outcome.subject.as_ref().filter(|_| outcome.is_checked()) {
            let title = format!("{} ({}:{})", subject.title(), subject.file, subject.line);
            let _ = writeln!(out, "{}", style.paint(BOLD, &title));
        }
        if let Some(report) = &outcome.report {
            check(report, style, &mut out);
        }
        if let (Some(proof), Some(subject)) = (&outcome.proof, &outcome.subject) {
            profile(proof, &subject.title(), style, &mut out);
        }
    }
    if outcomes.iter().any(|outcome| outcome.subject.is_some()) {
        summary(outcomes, &mut out);
    }
    out
}

fn finding(finding: &Finding, outcome: &Outcome, style: Style, out: &mut String) {
    let color = match finding.severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
        Severity::Note => DIM,
    };
    let place = if finding.line > 0 { format!(":{}:{}", finding.line, finding.column) } else { String::new() };
    let place = style.paint(BOLD, &format!("{}{place}:", finding.file));
    let whose = outcome
        .subject
        .as_ref()
        .filter(|subject| !subject.kind.is_empty())
        .map(|subject| subject.title() + ": ")
        .unwrap_or_default();
    let field = if finding.field.is_empty() { String::new() } else { format!("{}: ", finding.field) };
    let severity = style.paint(color, &format!("{}:", finding.severity.as_str()));
    let _ = writeln!(out, "{place} {severity} {whose}{field}{}", finding.message);
}

fn check(report: &Report, style: Style, out: &mut String) {
    session(report, style, out);
    let took = human(report.duration);
    match &report.failure {
        Some(failure) => {
            let verdict = style.paint(RED, "Unverified");
            let _ = writeln!(out, "{verdict} {} in {took}: {}: {}", report.endpoint, failure.reason, report.message());
            hint(failure, style, out);
        }
        None => {
            let _ = writeln!(out, "{} in {took}: {}", style.paint(GREEN, "Verified"), report.message());
        }
    }
}

/// A mailbox's last session, how the mail was sent, what the outgoing server said, and the verdict.
fn profile(proof: &Proof, title: &str, style: Style, out: &mut String) {
    let parts = [("Sending", proof.sending.as_ref()), ("Mailbox", Some(&proof.report)), ("Outgoing", proof.outgoing.as_ref())];
    for (name, report) in parts {
        if let Some(report) = report.filter(|report| !report.stages.is_empty()) {
            part(name, report, style, out);
        }
    }
    if let Some(results) = proof.found.as_ref().map(|found| &found.results) {
        let all = [("spf", &results.spf), ("dkim", &results.dkim), ("dmarc", &results.dmarc)];
        let told: Vec<_> = all.iter().filter_map(|(name, result)| Some(format!("{name}={}", result.as_ref()?))).collect();
        if !told.is_empty() {
            let _ = writeln!(out, "  Sender as the mailbox's server saw it: {}", told.join(", "));
        }
    }
    match (proof.failure(), proof.skipped()) {
        (Some(failure), _) => {
            let verdict = style.paint(RED, "Unverified");
            let _ = writeln!(out, "{verdict}  {title}  {}: {}", failure.reason, proof.message());
            hint(failure, style, out);
        }
        (None, Some(why)) => {
            let _ = writeln!(out, "{}  {title}  {why}", style.paint(YELLOW, "Skipped"));
        }
        (None, None) => {
            let _ = writeln!(out, "{}  {title}  {}", style.paint(GREEN, "Verified"), proof.message());
        }
    }
}

/// One line for a part that went well; all its stages where one did not.
fn part(name: &str, report: &Report, style: Style, out: &mut String) {
    if report.stages.iter().any(|record| record.outcome == Ended::Failed) {
        let _ = writeln!(out, "  {} {name} {}", style.paint(RED, "FAIL"), report.endpoint);
        return session(report, style, out);
    }
    let stage = |record: &Record| {
        // What a server says of itself before the login is in -o json.
        let detail = record.detail.as_ref().filter(|_| record.stage >= Stage::Auth);
        let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!("{} {}{detail}", record.stage, human(record.duration))
    };
    let stages = report.stages.iter().map(stage).collect::<Vec<_>>().join(", ");
    let (word, took) = (style.paint(GREEN, "ok  "), human(report.duration));
    let _ = writeln!(out, "  {word} {name:<10} {took:>8}  {}: {stages}", report.endpoint);
}

fn hint(failure: &Diagnosis, style: Style, out: &mut String) {
    let hint = failure.hint();
    if !hint.is_empty() {
        let _ = writeln!(out, "{} {hint}", style.paint(BOLD, "Hint:"));
    }
}

/// The stages of a report, and what was learnt in them.
fn session(report: &Report, style: Style, out: &mut String) {
    for record in &report.stages {
        let (word, color) = match record.outcome {
            Ended::Passed => ("ok  ", GREEN),
            Ended::Failed => ("FAIL", RED),
            Ended::Skipped => ("skip", DIM),
        };
        let line = format!(
            "  {} {:<10} {:>8}  {}",
            style.paint(color, word),
            record.stage.as_str(),
            human(record.duration),
            record.detail.as_deref().unwrap_or_default()
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let facts = [
        ("Server", server(report)),
        ("TLS", report.tls.as_ref().map(tls)),
        ("Alternate", report.primary_failure.as_ref().map(|why| format!("in use, because the primary failed: {why}"))),
        ("Seen as", report.observed_ip.clone()),
    ];
    for (name, fact) in facts {
        if let Some(fact) = fact {
            let _ = writeln!(out, "  {name}: {fact}");
        }
    }
}

fn server(report: &Report) -> Option<String> {
    let capabilities = report.capabilities.as_ref()?;
    let mut parts: Vec<String> = capabilities.banner.iter().cloned().collect();
    if !capabilities.auth_mechanisms.is_empty() {
        parts.push(format!("AUTH {}", capabilities.auth_mechanisms.join(" ")));
    }
    if let Some(most) = capabilities.max_size.filter(|most| *most > 0) {
        parts.push(format!("takes {most} bytes"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn tls(tls: &TlsStatus) -> String {
    let parts = [
        ("", &tls.version),
        ("", &tls.cipher),
        ("certificate of ", &tls.subject),
        ("issued by ", &tls.issuer),
        ("until ", &tls.not_after),
    ];
    let parts: Vec<_> = parts.iter().filter_map(|(word, value)| value.as_ref().map(|value| format!("{word}{value}"))).collect();
    parts.join(", ")
}

fn summary(outcomes: &[Outcome], out: &mut String) {
    let objects = || outcomes.iter().filter(|outcome| outcome.subject.as_ref().is_some_and(|subject| !subject.kind.is_empty()));
    let count =
        |severity| outcomes.iter().flat_map(|outcome| &outcome.findings).filter(|finding| finding.severity == severity).count();
    let mut parts = Vec::new();
    for result in ["Verified", "Unverified", "Valid", "Invalid", "Skipped"] {
        let many = objects().filter(|outcome| outcome.result() == result).count();
        if many > 0 {
            parts.push(format!("{many} {}", result.to_lowercase()));
        }
    }
    for (severity, one) in [(Severity::Error, "error"), (Severity::Warning, "warning")] {
        let many = count(severity);
        if many > 0 {
            parts.push(format!("{many} {one}{}", if many == 1 { "" } else { "s" }));
        }
    }
    let many = objects().count();
    let _ = writeln!(out, "{many} object{} checked: {}", if many == 1 { "" } else { "s" }, parts.join(", "));
}
