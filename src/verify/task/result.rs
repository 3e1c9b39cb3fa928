//! What an agent found: a report, and the mail.

use std::time::Duration;

use super::{duration, failure::stage, millis};
use crate::{
    api::v1alpha1::{
        AuthenticationResults, Capabilities, Failure, Level, StageResult, StageStatus, TaskDelivery, TaskFolder, TaskResult,
        TlsStatus,
    },
    mail::{
        Stage,
        authentication::{self, Own},
        diagnosis::printable,
        mailbox::Shown,
        stage::{Outcome, Record},
        tls::TlsPolicy,
    },
    verify::{
        Endpoint, Login, Report,
        mailbox::{Inputs, attend::Finding},
        report::{Delivery, LoginOutcome, stage_status, tls_status},
    },
};

/// The most stages that are handed over.
const STAGES: usize = 24;

/// What an agent found, as if it had been found here.
#[derive(Clone, Debug)]
pub struct Told {
    /// The stages of the last session, and why it failed.
    pub report: Report,
    /// Whether the mail was found in the mailbox.
    pub found: bool,
    /// How long after the agent had heard of its being sent.
    pub took: Option<Duration>,
    /// What the mailbox's own server wrote of the sender.
    pub results: AuthenticationResults,
}

impl TaskResult {
    /// What a visit came to.
    #[must_use]
    pub fn of_report(report: &Report) -> Self {
        Self {
            failure: report.failure.as_ref().map(Failure::of),
            stages: report.stages.iter().take(STAGES).map(stage_status).map(|stage| scrubbed(&stage)).collect(),
            login: report.login.map(|outcome| outcome_name(outcome).to_owned()),
            tls: report.tls.as_ref().map(tls_status),
            capabilities: report.capabilities.as_ref().map(capabilities),
            folder: report.mailbox.as_ref().map(folder),
            source_ip: address(report.source_ip.as_deref()),
            observed_ip: address(report.observed_ip.as_deref()),
            addresses: report.addresses.iter().take(16).map(|address| printable(address, 64)).collect(),
            helo: report.helo.as_deref().map(|helo| printable(helo, 300)),
            tls_hello: report.tls_hello.then_some(true),
            delivery: report.delivery.as_ref().map(|delivery| TaskDelivery {
                message_id: printable(&delivery.message_id, 512),
                dot_sent: delivery.dot_sent,
                accepted: delivery.accepted.as_deref().map(|words| printable(words, 256)),
            }),
            ..Self::default()
        }
    }

    /// What a search came to, in a mailbox of `domain` at `host`.
    #[must_use]
    pub fn of_finding(finding: &Finding, domain: &str, host: &str) -> Self {
        Self::of_session(&finding.report, finding, domain, host)
    }

    /// The same while the session goes on.
    #[must_use]
    pub fn of_session(so_far: &Report, finding: &Finding, domain: &str, host: &str) -> Self {
        let mut result = Self::of_report(so_far);
        let Some(found) = &finding.found else { return result };
        result.found = true;
        let took = finding.dispatched.as_ref().map(|dispatched| found.at.saturating_duration_since(dispatched.at));
        result.took_millis = took.map(|took| millis(took, 0, i64::MAX));
        let headers = found.sighting.authentication_results.iter().map(String::as_str);
        result.authentication_results = Some(authentication::read(headers, &Own::new(domain, &[host])));
        result
    }
}

/// What an agent found in a mailbox with these inputs, as if it had been found here.
#[must_use]
pub fn told(result: &TaskResult, inputs: &Inputs) -> Told {
    let report = report(result, inputs.level, &inputs.endpoint, &inputs.tls, inputs.login.as_ref());
    let results = result.authentication_results.clone().unwrap_or_default();
    let word = |word: Option<String>| word.map(|word| printable(&word, 16)).filter(|word| !word.is_empty());
    Told {
        // What failed found nothing, whoever says so.
        found: result.found && result.failure.is_none(),
        took: result.took_millis.map(duration),
        results: AuthenticationResults { spf: word(results.spf), dkim: word(results.dkim), dmarc: word(results.dmarc) },
        report,
    }
}

/// What an agent found at an endpoint, as if it had been found here. A stage that only a newer version knows is left out.
#[must_use]
pub fn report(result: &TaskResult, level: Level, endpoint: &Endpoint, tls: &TlsPolicy, login: Option<&Login>) -> Report {
    let encrypted = result.stages.iter().any(|stage| [Stage::StartTls.as_str(), Stage::Stls.as_str()].contains(&&*stage.name));
    let mut report = Report::new(level, endpoint.to_string());
    report.failure = result.failure.as_ref().map(|failure| {
        let diagnosis = failure.diagnosis(encrypted);
        let Some(login) = login else { return diagnosis };
        diagnosis.fact("secret", login.secret.as_str()).fact("changed", login.changed.as_deref().unwrap_or_default())
    });
    report.stages = result.stages.iter().take(STAGES).filter_map(|told| record(told, encrypted)).collect();
    report.login = result.login.as_deref().and_then(outcome);
    report.tls = result.tls.as_ref().map(tls_told);
    report.tls_verified = !tls.skip_verify && [Stage::Tls, Stage::ImplicitTls].into_iter().any(|tls| report.passed(tls));
    report.tls_hello = result.tls_hello.unwrap_or(false);
    report.capabilities = result.capabilities.as_ref().map(capabilities);
    report.mailbox = result.folder.as_ref().map(shown);
    report.source_ip = address(result.source_ip.as_deref());
    report.observed_ip = address(result.observed_ip.as_deref());
    report.addresses = result.addresses.iter().take(16).map(|address| printable(address, 64)).collect();
    report.helo = result.helo.as_deref().map(|helo| printable(helo, 300));
    report.delivery = result.delivery.as_ref().map(|delivery| Delivery {
        message_id: printable(&delivery.message_id, 512),
        dot_sent: delivery.dot_sent,
        accepted: delivery.accepted.as_deref().map(|words| printable(words, 256)),
    });
    report.duration = report.stages.iter().map(|stage| stage.duration).sum();
    report
}

fn address(told: Option<&str>) -> Option<String> {
    told.map(|address| printable(address, 64)).filter(|address| !address.is_empty())
}

fn outcome_name(outcome: LoginOutcome) -> &'static str {
    match outcome {
        LoginOutcome::Accepted => "Accepted",
        LoginOutcome::Refused => "Refused",
        LoginOutcome::TooMany => "TooMany",
        LoginOutcome::Undecided => "Undecided",
    }
}

/// What a login came to; a word that only a newer version knows is no judgement.
fn outcome(name: &str) -> Option<LoginOutcome> {
    Some(match name {
        "" => return None,
        "Accepted" => LoginOutcome::Accepted,
        "Refused" => LoginOutcome::Refused,
        "TooMany" => LoginOutcome::TooMany,
        _ => LoginOutcome::Undecided,
    })
}

fn scrubbed(stage: &StageStatus) -> StageStatus {
    StageStatus {
        detail: stage.detail.as_deref().map(|detail| printable(detail, 128)).filter(|detail| !detail.is_empty()),
        ..stage.clone()
    }
}

fn record(told: &StageStatus, encrypted: bool) -> Option<Record> {
    let outcome = match told.result {
        StageResult::Passed => Outcome::Passed,
        StageResult::Failed => Outcome::Failed,
        StageResult::Skipped => Outcome::Skipped,
    };
    Some(Record {
        stage: stage(&told.name, encrypted)?,
        outcome,
        duration: spoken(&told.duration),
        detail: scrubbed(told).detail,
    })
}

/// A duration as [`crate::verify::report::human`] writes it; none for anything else.
fn spoken(written: &str) -> Duration {
    let (number, unit) = match written.strip_suffix("ms") {
        Some(number) => (number, 1000.0),
        None => (written.strip_suffix('s').unwrap_or_default(), 1.0),
    };
    let seconds = number.parse::<f64>().unwrap_or_default() / unit;
    // No stage takes longer than a day.
    Duration::try_from_secs_f64(seconds).unwrap_or_default().min(Duration::from_hours(24))
}

fn tls_told(told: &TlsStatus) -> TlsStatus {
    let clean = |text: Option<String>| text.map(|text| printable(&text, 256));
    let TlsStatus { version, cipher, subject, issuer, dns_names, not_before, not_after, sha256 } = tls_status(told);
    TlsStatus {
        version: clean(version),
        cipher: clean(cipher),
        subject: clean(subject),
        issuer: clean(issuer),
        dns_names: dns_names.iter().map(|name| printable(name, 253)).collect(),
        not_before: clean(not_before),
        not_after: clean(not_after),
        sha256: clean(sha256),
    }
}

fn capabilities(told: &Capabilities) -> Capabilities {
    Capabilities {
        banner: told.banner.as_deref().map(|banner| printable(banner, 256)).filter(|banner| !banner.is_empty()),
        extensions: told.extensions.iter().take(32).map(|name| printable(name, 64)).collect(),
        auth_mechanisms: told.auth_mechanisms.iter().take(16).map(|name| printable(name, 32)).collect(),
        max_size: told.max_size.filter(|size| *size >= 0),
    }
}

fn folder(shown: &Shown) -> TaskFolder {
    TaskFolder {
        name: printable(&shown.name, 253),
        messages: shown.messages.into(),
        junk: shown.junk.iter().take(16).map(|name| printable(name, 253)).collect(),
    }
}

fn shown(folder: &TaskFolder) -> Shown {
    Shown {
        name: printable(&folder.name, 253),
        messages: u32::try_from(folder.messages).unwrap_or_default(),
        junk: folder.junk.iter().take(16).map(|name| printable(name, 253)).collect(),
    }
}
