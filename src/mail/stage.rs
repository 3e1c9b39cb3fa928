//! The stages of a check, and the recorder that none can pass by: each has its name, its time and its result.

use std::{
    fmt,
    future::Future,
    time::{Duration, Instant},
};

use tracing::Instrument;

use super::Diagnosis;
use crate::{api::v1alpha1::condition as c, telemetry::spans};

/// A stage of a check, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// References are read and judged.
    Secrets,
    /// An access token is had from its provider (RFC 6749).
    Token,
    /// The name is resolved.
    Dns,
    /// The egress proxy is asked to connect.
    Proxy,
    /// TCP is connected.
    Tcp,
    /// TLS from the first byte (RFC 8314).
    ImplicitTls,
    /// An SMTP server greets (RFC 5321 section 3.1).
    Banner,
    /// A mailbox's server greets (RFC 9051 section 7.1, RFC 1939 section 4).
    Greeting,
    /// EHLO, or HELO where EHLO is refused.
    Ehlo,
    /// IMAP's CAPABILITY, before TLS and inside it.
    Capability,
    /// POP3's CAPA (RFC 2449), before TLS and inside it.
    Capa,
    /// The STARTTLS command (RFC 3207, RFC 9051 section 6.2.1).
    StartTls,
    /// POP3's STLS (RFC 2595).
    Stls,
    /// The handshake after STARTTLS.
    Tls,
    /// EHLO inside TLS.
    Ehlo2,
    /// The login (RFC 4954).
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, up to the answer to the final dot.
    Data,
    /// IMAP's mailbox is opened.
    Select,
    /// POP3's maildrop is counted: STAT.
    List,
    /// IMAP's SEARCH, where too much is new to be fetched.
    Search,
    /// Headers are fetched over IMAP.
    Fetch,
    /// Headers are fetched over POP3.
    Top,
    /// What is ours is removed.
    Cleanup,
    /// QUIT or LOGOUT, which never fails a check.
    Quit,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 26] = [
        Self::Secrets,
        Self::Token,
        Self::Dns,
        Self::Proxy,
        Self::Tcp,
        Self::ImplicitTls,
        Self::Banner,
        Self::Greeting,
        Self::Ehlo,
        Self::Capability,
        Self::Capa,
        Self::StartTls,
        Self::Stls,
        Self::Tls,
        Self::Ehlo2,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Select,
        Self::List,
        Self::Search,
        Self::Fetch,
        Self::Top,
        Self::Cleanup,
        Self::Quit,
    ];

    /// The name in status, JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secrets => "Secrets",
            Self::Token => "Token",
            Self::Dns => "DNS",
            Self::Proxy => "Proxy",
            Self::Tcp => "TCP",
            Self::ImplicitTls | Self::Tls => "TLS",
            Self::Banner => "Banner",
            Self::Greeting => "Greeting",
            Self::Capability => "Capability",
            Self::Capa => "Capa",
            Self::Stls => "STLS",
            Self::Select => "Select",
            Self::List => "List",
            Self::Search => "Search",
            Self::Fetch => "Fetch",
            Self::Top => "Top",
            Self::Cleanup => "Cleanup",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Ehlo2 => "EHLO2",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Quit => "QUIT",
        }
    }

    /// The condition that a failure in this stage makes False.
    #[must_use]
    pub fn condition(self) -> &'static str {
        match self {
            Self::Secrets => c::RESOLVED_REFS,
            Self::Token => c::CREDENTIALS_READY,
            Self::Dns
            | Self::Proxy
            | Self::Tcp
            | Self::Banner
            | Self::Greeting
            | Self::Ehlo
            | Self::Capability
            | Self::Capa
            | Self::Quit => c::REACHABLE,
            Self::ImplicitTls | Self::StartTls | Self::Stls | Self::Tls | Self::Ehlo2 => c::TLS_VALID,
            Self::Select | Self::List | Self::Search | Self::Fetch | Self::Top | Self::Cleanup => c::VERIFIED,
            Self::Auth => c::AUTHENTICATED,
            Self::Mail | Self::Rcpt | Self::Data => c::DELIVERY_TESTED,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Passed,
    /// It failed, and the check with it.
    Failed,
    /// It had nothing to do.
    Skipped,
}

impl Outcome {
    /// The word in status and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }
}

/// One stage as it ran.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which stage.
    pub stage: Stage,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
    /// What was found, or the server's words; at most 128 characters.
    pub detail: Option<String>,
}

/// Runs stages and keeps their records.
#[derive(Debug, Default)]
pub struct Stages {
    records: Vec<Record>,
    watcher: Option<fn(&Record)>,
}

impl Stages {
    /// A recorder that also tells each finished stage to `watcher`, for people who wait at a terminal.
    #[must_use]
    pub fn watched(watcher: Option<fn(&Record)>) -> Self {
        Self { watcher, ..Self::default() }
    }

    /// Begins with a stage that ran elsewhere.
    #[must_use]
    pub fn with(mut self, record: Record) -> Self {
        self.push(record);
        self
    }

    /// Runs one stage: times it, keeps its result and gives a failure the stage's name.
    ///
    /// # Errors
    /// Those of the stage, with `stage` filled in.
    pub async fn run<T>(&mut self, stage: Stage, work: impl Future<Output = Result<T, Diagnosis>>) -> Result<T, Diagnosis> {
        let (begun, span) = (Instant::now(), spans::stage(stage));
        let result = work.instrument(span.clone()).await.map_err(|diagnosis| diagnosis.at(stage));
        spans::ended(&span, result.as_ref().err().map(|diagnosis| diagnosis.reason));
        let (outcome, detail) = match &result {
            Ok(_) => (Outcome::Passed, None),
            Err(diagnosis) => (Outcome::Failed, Some(diagnosis.said())),
        };
        self.push(Record { stage, outcome, duration: begun.elapsed(), detail });
        result
    }

    /// Notes that a stage had nothing to do.
    pub fn skip(&mut self, stage: Stage, why: impl Into<String>) {
        self.push(Record { stage, outcome: Outcome::Skipped, duration: Duration::ZERO, detail: Some(why.into()) });
    }

    /// Says what the last finished stage found.
    pub fn note(&mut self, detail: impl Into<String>) {
        if let Some(record) = self.records.last_mut() {
            record.detail = Some(cut(&detail.into()));
        }
    }

    /// The stages that ran, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The stages that ran, in order, and none is kept.
    #[must_use]
    pub fn take(self) -> Vec<Record> {
        self.records
    }

    fn push(&mut self, mut record: Record) {
        record.detail = record.detail.map(|detail| cut(&detail));
        if let Some(watcher) = self.watcher {
            watcher(&record);
        }
        self.records.push(record);
    }
}

fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}
