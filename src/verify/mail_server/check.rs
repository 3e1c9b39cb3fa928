//! The staged check of a server: the same for the controller, for a laptop and for agents.
//!
//! Reads from top to bottom like the RFCs: connect, greet, protect, log in, send. What a stage says to the server is in
//! [`crate::mail::smtp::session`]; who may log in and send is asked of the [`Gate`].

mod attempt;

use std::time::Instant as Clock;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::inputs::Inputs;
use crate::{
    api::{
        Reason,
        v1alpha1::{Level, MailServerSpec},
    },
    mail::{
        Diagnosis, Stage, Stages, Vantage,
        message::ProbeMail,
        stage::{Outcome, Record},
    },
    verify::{Gate, Report, report::LoginOutcome},
};
use attempt::Attempt;

/// The most of a check's time that is kept back for each alternate.
const RESERVE: std::time::Duration = std::time::Duration::from_secs(5);

/// One run of a check.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Its id, which logs and the mail's header carry.
    pub id: &'a str,
    /// The code in the mail's subject.
    pub code: Uuid,
    /// What the mail's Message-ID and ENVID are made of.
    pub message: Uuid,
    /// Whether somebody reads what comes back to the sender's address.
    pub reads_bounces: bool,
    /// A probe instead of the test mail.
    pub probe: Option<ProbeMail<'a>>,
    /// The mail's date.
    pub now: Timestamp,
    /// The installation's name, for the mail's header.
    pub installation: &'a str,
    /// Whom a reader of the mail may ask.
    pub contact: Option<&'a str>,
    /// How far this run goes: the inputs' level, or less.
    pub level: Level,
    /// Whether a port that does not greet may be sent a TLS hello (promise 12).
    pub may_greet_with_tls: bool,
    /// Told each finished stage.
    pub watcher: Option<fn(&Record)>,
}

/// From where endpoints are tried.
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// From this process.
    Here(&'a Vantage),
    /// By an agent elsewhere.
    Agent(&'a dyn Agent),
}

/// An agent elsewhere, which tries an endpoint as it is tried here.
pub trait Agent: Send + Sync {
    /// Tries the one endpoint of `inputs`, inside their timeout.
    fn attempt<'a>(&'a self, inputs: &'a Inputs, gate: &'a dyn Gate, run: &'a Run<'a>) -> BoxFuture<'a, Report>;
}

/// Checks a server from here: the primary, then, where it cannot be reached or used, its alternates, all inside the timeout.
pub async fn check(inputs: &Inputs, vantage: &Vantage, gate: &dyn Gate, run: &Run<'_>) -> Report {
    check_by(By::Here(vantage), inputs, gate, run).await
}

/// The same from wherever it is to be checked.
pub async fn check_by(by: By<'_>, inputs: &Inputs, gate: &dyn Gate, run: &Run<'_>) -> Report {
    let begun = Clock::now();
    let end = Instant::now() + inputs.timeout;
    let mut reports: Vec<Report> = Vec::new();
    for (index, endpoint) in inputs.endpoints.iter().enumerate() {
        let after = u32::try_from(inputs.endpoints.len() - index - 1).unwrap_or(0);
        let left = end.saturating_duration_since(Instant::now());
        let until = end - RESERVE.min(left / 10) * after;
        let connect_by = Instant::now() + left / (after + 1);
        let report = match by {
            By::Here(vantage) => {
                let stages = Stages::watched(run.watcher).with(inputs_record(inputs));
                Attempt { inputs, endpoint, vantage, gate, run }.run(stages, connect_by, until).await
            }
            By::Agent(agent) => {
                let timeout = until.saturating_duration_since(Instant::now());
                let alone = Inputs { endpoints: vec![endpoint.clone()], timeout, ..inputs.clone() };
                agent.attempt(&alone, gate, run).await
            }
        };
        let goes_on = report.failure.is_some() && worth_an_alternate(&report);
        reports.push(report);
        if !goes_on {
            break;
        }
    }
    let tls_hello = reports.iter().any(|report| report.tls_hello);
    let mut report = told(reports);
    report.tls_hello = tls_hello;
    report.duration = inputs.resolving + begun.elapsed();
    report
}

/// [`Report::refused`] for a spec, at its first endpoint if it has one.
#[must_use]
pub fn refused(spec: &MailServerSpec, failure: Diagnosis) -> Report {
    let endpoint = super::inputs::endpoints(spec).ok().and_then(|all| all.first().map(ToString::to_string)).unwrap_or_default();
    Report::refused(spec.level(), endpoint, failure)
}

fn inputs_record(inputs: &Inputs) -> Record {
    Record { stage: Stage::Secrets, outcome: Outcome::Passed, duration: inputs.resolving, detail: None }
}

/// The report that speaks for all: the endpoint that works, with why the primary does not, else the primary's failure with
/// what the alternates said. A check that had to end at an alternate (a refused login) speaks for that one.
fn told(mut reports: Vec<Report>) -> Report {
    let Some(last) = reports.pop() else { return Report::new(Level::Connect, String::new()) };
    if reports.is_empty() {
        return last;
    }
    let decided = last.failure.is_none() || !worth_an_alternate(&last);
    if decided {
        let primary_failure = reports.swap_remove(0).failure;
        return Report { primary_failure, ..last };
    }
    reports.push(last);
    let mut reports = reports.into_iter();
    let Some(first) = reports.next() else { return Report::new(Level::Connect, String::new()) };
    let alternate_failures = reports.filter_map(|report| Some((report.endpoint, report.failure?))).collect();
    Report { alternate_failures, ..first }
}

/// Whether a failure is one that another server may not have. Never after a refused login (promise 7), never where a mail
/// may have left, and not where we ourselves held back.
fn worth_an_alternate(report: &Report) -> bool {
    let Some(failure) = &report.failure else { return false };
    let judged = matches!(report.login, Some(LoginOutcome::Refused | LoginOutcome::TooMany));
    let ours = matches!(
        failure.reason,
        Reason::CredentialHeld
            | Reason::RateBudgetExceeded
            | Reason::Paused
            | Reason::ObserveOnly
            | Reason::SpecInvalid
            | Reason::SecretInvalid
            | Reason::ActorOffline
            | Reason::ActorSuspended
            | Reason::AgentIncompatible
            | Reason::TaskTimedOut
    );
    // Nobody knows what became of a password that was shown: it may have been refused by hanging up.
    let unanswered = matches!(report.login, Some(LoginOutcome::Undecided))
        && matches!(
            failure.reason,
            Reason::ConnectionClosed | Reason::ConnectionReset | Reason::ResponseTimedOut | Reason::ProtocolError
        );
    let sending = report.delivery.is_some() || failure.stage.is_some_and(|stage| stage >= Stage::Mail);
    // Another server would be shown the same token.
    let no_token = failure.stage == Some(Stage::Token);
    !judged && !unanswered && !ours && !sending && !no_token
}
