//! From where an actor looks, and what it is asked to do there: from this process, or by an agent elsewhere.

use std::time::Duration;

use futures::future::BoxFuture;

use super::{Permits, Setting, note::Note};
use crate::{
    api::v1alpha1::{AuthenticationResults, Level},
    mail::{
        Diagnosis, Vantage,
        authentication::{self, Own},
        mailbox::Sighting,
    },
    verify::{
        Gate, Report,
        email_profile::Inputs,
        mailbox::{
            self,
            attend::{self, Search, attend},
        },
    },
};

/// From where an actor looks.
pub enum Stand<'a> {
    /// From this process: by the setting's vantage, or by another.
    Here(Option<Box<Vantage>>),
    /// By an agent elsewhere.
    There(Box<dyn Agent + 'a>),
    /// It can be given no work.
    Away(Diagnosis),
}

impl Stand<'_> {
    /// Opens the mailbox and leaves it.
    pub(super) async fn visit(&self, setting: Setting<'_>, permits: &dyn Permits) -> Report {
        let mailbox = &setting.inputs.mailbox;
        match self {
            Self::Here(vantage) => {
                let vantage = vantage.as_deref().unwrap_or(setting.vantage);
                mailbox::check(mailbox, vantage, permits.logins(), setting.watcher).await
            }
            Self::There(agent) => agent.attend(mailbox, permits.logins(), None).await.report,
            Self::Away(away) => unopened(setting, away),
        }
    }

    /// Opens the mailbox, has the mail sent and looks for it.
    pub(super) async fn attend<'b>(
        &'b self,
        setting: Setting<'b>,
        logins: &'b dyn Gate,
        search: &'b Search<'b>,
        begin: attend::Begin<'b>,
        note: &'b Note<'b>,
    ) -> Outcome {
        let mailbox = &setting.inputs.mailbox;
        match self {
            Self::Here(vantage) => {
                let vantage = vantage.as_deref().unwrap_or(setting.vantage);
                let search = Search { witness: Some(note), ..*search };
                let finding = attend(mailbox, vantage, logins, &search, begin, setting.watcher).await;
                here(setting.inputs, finding)
            }
            Self::There(agent) => agent.attend(mailbox, logins, Some((search, begin, note))).await,
            Self::Away(away) => Outcome { report: unopened(setting, away), found: None, mark: None },
        }
    }
}

/// A mailbox that nobody could be sent to.
fn unopened(setting: Setting<'_>, away: &Diagnosis) -> Report {
    let mut report = Report::new(Level::Authenticate, setting.inputs.mailbox.endpoint.to_string());
    report.failure = Some(away.clone());
    report
}

/// An agent elsewhere, which attends to a mailbox as [`attend()`] does here.
pub trait Agent: Send + Sync {
    /// Opens the mailbox, has the mail sent and looks for it; without a search it opens the mailbox and leaves it.
    fn attend<'a>(
        &'a self,
        inputs: &'a mailbox::Inputs,
        gate: &'a dyn Gate,
        work: Option<(&'a Search<'a>, attend::Begin<'a>, &'a dyn Noted)>,
    ) -> BoxFuture<'a, Outcome>;
}

/// Told of a mail that an agent found, before it removes it.
pub trait Noted: Send + Sync {
    /// Takes note of it: the session so far, how long it took where that is known, and what its server wrote of the sender.
    /// Whether it may be removed.
    fn found(&self, so_far: Report, took: Option<Duration>, results: AuthenticationResults) -> BoxFuture<'_, bool>;
}

/// What came of attending to a mailbox.
#[derive(Debug)]
pub struct Outcome {
    /// The stages of the last session, and why it failed.
    pub report: Report,
    /// The code was found: how long after the mail was sent, where that is known, and what its server wrote of the sender.
    pub found: Option<(Option<Duration>, AuthenticationResults)>,
    /// What the mailbox held before.
    pub mark: Option<String>,
}

/// What was found from this process.
fn here(inputs: &Inputs, finding: attend::Finding) -> Outcome {
    let found = found_here(inputs, &finding);
    Outcome { report: finding.report, found, mark: finding.mark.as_ref().map(ToString::to_string) }
}

/// How long a mail that was found took, where that is known, and what its server wrote of the sender.
pub(super) fn found_here(inputs: &Inputs, finding: &attend::Finding) -> Option<(Option<Duration>, AuthenticationResults)> {
    let found = finding.found.as_ref()?;
    let sent = finding.dispatched.as_ref().map(|dispatched| dispatched.at);
    let took = sent.map(|sent| found.at.saturating_duration_since(sent));
    Some((took, results(inputs, &found.sighting)))
}

/// What the mailbox's own server wrote of the sender.
fn results(inputs: &Inputs, sighting: &Sighting) -> AuthenticationResults {
    let domain = inputs.address.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
    let own = Own::new(domain, &[&inputs.mailbox.endpoint.host]);
    authentication::read(sighting.authentication_results.iter().map(String::as_str), &own)
}
