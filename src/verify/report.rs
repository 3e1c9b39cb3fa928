//! What a check found: the one truth that `-o json` prints, that conditions are made from and that an agent hands over.

use std::{fmt::Write as _, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Serialize, Serializer};

use crate::{
    api::{
        Class, Reason,
        v1alpha1::{Capabilities, DeviceCode, Level, OAuth2Status, StageResult, StageStatus, TlsStatus},
    },
    mail::{
        Diagnosis, Stage,
        diagnosis::printable,
        mailbox::Shown,
        stage::{Outcome, Record},
    },
    verify::{conditions::cut, halt::whole_seconds, warnings::Ends},
};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Everything that was asked for works.
    Verified,
    /// Something does not.
    Unverified,
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Report {
    /// How far it was to go.
    pub level: Level,
    /// Why it failed; none if it did not.
    pub failure: Option<Diagnosis>,
    /// The stages of the endpoint that the result speaks of.
    pub stages: Vec<Record>,
    /// host:port that the result speaks of: the endpoint in use, or the primary where all failed.
    pub endpoint: String,
    /// Whether that is an alternate, and then why the primary is not in use.
    pub primary_failure: Option<Diagnosis>,
    /// Where every endpoint failed: the alternates, in order, each with what it said.
    pub alternate_failures: Vec<(String, Diagnosis)>,
    /// What the host resolved to, sorted.
    pub addresses: Vec<String>,
    /// The name given in EHLO.
    pub helo: Option<String>,
    /// What the server says of itself.
    pub capabilities: Option<Capabilities>,
    /// TLS and the certificate, also where it was refused.
    pub tls: Option<TlsStatus>,
    /// Whether the certificate was judged and found good.
    pub tls_verified: bool,
    /// Whether a port that did not greet was sent a TLS hello (promise 12: once per generation).
    pub tls_hello: bool,
    /// The address of our socket.
    pub source_ip: Option<String>,
    /// Our address as the server named it.
    pub observed_ip: Option<String>,
    /// Whether a login was tried, and taken.
    pub login: Option<LoginOutcome>,
    /// What became of the test mail, at level Deliver.
    pub delivery: Option<Delivery>,
    /// The mailbox that was opened.
    pub mailbox: Option<Shown>,
    /// The provider that gave the access token, and when that ends.
    pub token: Option<(String, Timestamp)>,
    /// The whole time.
    pub duration: Duration,
}

/// What a login came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOutcome {
    /// The server took it.
    Accepted,
    /// The server judged it and refused (RFC 4954 section 6): the breaker has to know.
    Refused,
    /// The server says that there were too many logins: hold for an hour.
    TooMany,
    /// It came to no judgement.
    Undecided,
}

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its Message-ID.
    pub message_id: String,
    /// The final dot was written: from here on nothing may be sent again.
    pub dot_sent: bool,
    /// The server's answer to the final dot, where it was positive.
    pub accepted: Option<String>,
}

impl Report {
    /// A report of an endpoint of which nothing is known yet.
    #[must_use]
    pub fn new(level: Level, endpoint: String) -> Self {
        Self {
            level,
            failure: None,
            stages: Vec::new(),
            endpoint,
            primary_failure: None,
            alternate_failures: Vec::new(),
            addresses: Vec::new(),
            helo: None,
            capabilities: None,
            tls: None,
            tls_verified: false,
            tls_hello: false,
            source_ip: None,
            observed_ip: None,
            login: None,
            delivery: None,
            mailbox: None,
            token: None,
            duration: Duration::ZERO,
        }
    }

    /// Whether it failed in a way that time may cure. What judges a login is not tried again (promises 7 and 8).
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let judged = matches!(self.login, Some(LoginOutcome::Refused | LoginOutcome::TooMany));
        !judged && self.failure.as_ref().is_some_and(|failure| failure.class == Class::Transient)
    }

    /// A check that ended before it touched the network: a reference is missing, or the spec makes no sense.
    #[must_use]
    pub fn refused(level: Level, endpoint: String, failure: Diagnosis) -> Self {
        let detail = Some(printable(&failure.said(), 128));
        let stages = vec![Record { stage: Stage::Secrets, outcome: Outcome::Failed, duration: Duration::ZERO, detail }];
        Self { stages, failure: Some(failure.at(Stage::Secrets)), ..Self::new(level, endpoint) }
    }

    /// Verified or not.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.failure.is_none() { Verdict::Verified } else { Verdict::Unverified }
    }

    /// Whether a stage ran and passed.
    #[must_use]
    pub fn passed(&self, stage: Stage) -> bool {
        self.stages.iter().any(|record| record.stage == stage && record.outcome == crate::mail::stage::Outcome::Passed)
    }
}

/// A duration as people read it: `0.4ms`, `12.3ms`, `1.25s`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    if ms < 1000.0 { format!("{ms:.1}ms") } else { format!("{:.2}s", ms / 1000.0) }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.told().serialize(serializer)
    }
}

/// A report in the names and the order of `docs/cli.md`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told<'a> {
    /// Verified or not.
    pub result: Verdict,
    /// A reason of `docs/reasons.md`.
    pub reason: &'a str,
    /// The stage that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'a str>,
    /// What happened.
    pub message: String,
    /// What to do; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// host:port that the result speaks of.
    pub endpoint: &'a str,
    /// How far it was to go.
    pub level: Level,
    /// How long it took.
    pub duration: String,
    /// Its stages.
    pub stages: Vec<Line<'a>>,
    /// TLS and the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<&'a TlsStatus>,
    /// What the server says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<&'a Capabilities>,
    /// The mailbox that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<&'a Shown>,
    /// What the host resolved to.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub addresses: &'a [String],
    /// The address of our socket.
    #[serde(skip_serializing_if = "Option::is_none", rename = "sourceIP")]
    pub source_ip: Option<&'a str>,
    /// Our address as the server named it.
    #[serde(skip_serializing_if = "Option::is_none", rename = "observedIP")]
    pub observed_ip: Option<&'a str>,
}

/// One stage of it.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'a> {
    /// Its name.
    pub name: &'a str,
    /// Passed, Failed or Skipped.
    pub result: &'a str,
    /// How long it took.
    pub duration: String,
    /// What was found, or the server's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
}

impl Report {
    /// In the names and the order of `docs/cli.md`.
    #[must_use]
    pub fn told(&self) -> Told<'_> {
        let failure = self.failure.as_ref();
        Told {
            result: self.verdict(),
            reason: failure.map_or("Succeeded", |f| f.reason.as_str()),
            stage: failure.and_then(|f| f.stage).map(Stage::as_str),
            message: self.message(),
            hint: failure.map(Diagnosis::hint).unwrap_or_default(),
            endpoint: &self.endpoint,
            level: self.level,
            duration: human(self.duration),
            stages: self
                .stages
                .iter()
                .map(|r| Line {
                    name: r.stage.as_str(),
                    result: r.outcome.as_str(),
                    duration: human(r.duration),
                    detail: r.detail.as_deref(),
                })
                .collect(),
            tls: self.tls.as_ref(),
            capabilities: self.capabilities.as_ref(),
            mailbox: self.mailbox.as_ref(),
            addresses: &self.addresses,
            source_ip: self.source_ip.as_deref(),
            observed_ip: self.observed_ip.as_deref(),
        }
    }
}

impl Report {
    /// One line for a condition: what worked, or where it failed and in whose words.
    #[must_use]
    pub fn message(&self) -> String {
        let Some(failure) = &self.failure else {
            if let Some(shown) = &self.mailbox {
                return format!("{} took the login; {} holds {}", self.endpoint, shown.name, shown.count());
            }
            let how = match self.level {
                Level::Connect => "answered",
                Level::Authenticate if self.login.is_some() => "took the login",
                Level::Authenticate => "answered; no login is set",
                Level::Deliver => match self.delivery.as_ref().and_then(|d| d.accepted.as_deref()) {
                    Some(reply) => return format!("{} took the test mail: {reply}", self.endpoint),
                    None => "answered",
                },
            };
            return format!("{} {how}", self.endpoint);
        };
        let mut message = failure.message();
        for (endpoint, other) in &self.alternate_failures {
            let _ = write!(message, "; {endpoint}: {}", other.reason);
        }
        message
    }
}

/// A stage as a status keeps it.
#[must_use]
pub fn stage_status(record: &Record) -> StageStatus {
    StageStatus {
        name: record.stage.as_str().to_owned(),
        result: match record.outcome {
            Outcome::Passed => StageResult::Passed,
            Outcome::Failed => StageResult::Failed,
            Outcome::Skipped => StageResult::Skipped,
        },
        duration: cut(&human(record.duration), 16).to_owned(),
        detail: text(record.detail.as_deref(), 128),
    }
}

/// The token in use, and the device code that waits, as a status tells them; `known`: what it told before.
#[must_use]
pub fn oauth2_status(report: &Report, known: Option<OAuth2Status>) -> Option<OAuth2Status> {
    let had = report.token.as_ref().map(|(_, expires)| Time(whole_seconds(*expires)));
    let token_expires_at = had.or_else(|| known.as_ref().and_then(|known| known.token_expires_at.clone()));
    let device_code = report.failure.as_ref().and_then(device_code);
    let credential_expires_at = known.and_then(|known| known.credential_expires_at);
    let told = OAuth2Status { token_expires_at, credential_expires_at, device_code };
    Some(told).filter(|told| *told != OAuth2Status::default())
}

/// The same, with the end of what the application proves itself by as it is known now.
pub fn credential_ends(status: &mut Option<OAuth2Status>, ends: Option<&Ends>) {
    let credential_expires_at = ends.map(|ends| Time(whole_seconds(ends.at)));
    let told = OAuth2Status { credential_expires_at, ..status.take().unwrap_or_default() };
    *status = Some(told).filter(|told| *told != OAuth2Status::default());
}

fn device_code(failure: &Diagnosis) -> Option<DeviceCode> {
    let pending = failure.reason == Reason::DeviceCodePending;
    let fact = |name| failure.get(name).filter(|_| pending);
    Some(DeviceCode {
        verification_uri: cut(fact("uri")?, 512).to_owned(),
        user_code: cut(fact("code")?, 64).to_owned(),
        expires_at: Time(fact("until")?.parse().ok()?),
    })
}

/// TLS and a certificate, cut to the bounds of a status.
#[must_use]
pub fn tls_status(found: &TlsStatus) -> TlsStatus {
    TlsStatus {
        version: text(found.version.as_deref(), 16),
        cipher: text(found.cipher.as_deref(), 64),
        subject: text(found.subject.as_deref(), 256),
        issuer: text(found.issuer.as_deref(), 256),
        dns_names: list(&found.dns_names, 16, 253),
        not_before: text(found.not_before.as_deref(), 32),
        not_after: text(found.not_after.as_deref(), 32),
        sha256: text(found.sha256.as_deref(), 64),
    }
}

/// Text, cut to so many bytes; none where nothing is left.
pub(super) fn text(written: Option<&str>, most: usize) -> Option<String> {
    written.map(|written| cut(written, most).to_owned()).filter(|written| !written.is_empty())
}

/// A list, cut to so many items of so many bytes.
pub(super) fn list(written: &[String], items: usize, most: usize) -> Vec<String> {
    written.iter().take(items).map(|item| cut(item, most).to_owned()).collect()
}
