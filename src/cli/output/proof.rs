//! What a check of an `EmailProfile` or a `RoundTripPolicy` found, as all forms of output tell it.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::{
    api::{
        Reason,
        v1alpha1::{AuthenticationResults, Level},
    },
    mail::Diagnosis,
    verify::{
        Report, Verdict,
        email_profile::{Finding, Mail},
        report::{Told, human},
    },
};

/// What a check of an `EmailProfile` or a `RoundTripPolicy` found.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The last session at the mailbox, and why the check failed, if that was not at the outgoing server.
    pub report: Report,
    /// The mail that was sent.
    pub mail: Option<Mail>,
    /// The code, or the answer, where it was found.
    pub found: Option<Finding>,
    /// What is to be said of an answer; none of a code.
    pub answer: Option<String>,
    /// How the mail was sent.
    pub sending: Option<Report>,
    /// What the outgoing server said.
    pub outgoing: Option<Report>,
    /// How far it was to go; below Deliver the mailbox is only opened.
    pub level: Level,
    /// Why the object as a whole cannot be proved from here, although nothing failed.
    pub unproved: Option<String>,
}

impl Proof {
    /// A check of which nothing is known but its mailbox's report.
    #[must_use]
    pub fn new(report: Report, level: Level) -> Self {
        Self { report, mail: None, found: None, answer: None, sending: None, outgoing: None, level, unproved: None }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Diagnosis> {
        self.report.failure.as_ref().or_else(|| self.outgoing.as_ref()?.failure.as_ref())
    }

    /// Verified or not.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.failure().is_none() { Verdict::Verified } else { Verdict::Unverified }
    }

    /// Why it is neither.
    #[must_use]
    pub fn skipped(&self) -> Option<&str> {
        self.unproved.as_deref().filter(|_| self.failure().is_none())
    }

    /// One line: what was proved, or where it failed and in whose words.
    #[must_use]
    pub fn message(&self) -> String {
        match (&self.report.failure, &self.outgoing, &self.found) {
            (Some(failure), ..) => failure.message(),
            (None, Some(outgoing), _) if outgoing.failure.is_some() => {
                format!("outgoing server {}: {}", outgoing.endpoint, outgoing.message())
            }
            (None, _, Some(found)) => {
                let what = if self.answer.is_some() { "answer" } else { "code" };
                let took = found.took.map(|took| format!(" {} after it was sent", human(took))).unwrap_or_default();
                format!("{what} found{took}{}", self.answer.as_deref().unwrap_or_default())
            }
            (None, _, None) => {
                let level = if self.level == Level::Connect { "Connect" } else { "Authenticate" };
                format!("{}; no mail was sent (--level {level})", self.report.message())
            }
        }
    }

    fn told(&self) -> Told<'_> {
        let failure = self.failure();
        let good = if self.found.is_some() && self.answer.is_none() { Reason::CodeReceived.as_str() } else { "Succeeded" };
        Told {
            result: self.verdict(),
            reason: failure.map_or(good, |failure| failure.reason.as_str()),
            stage: failure.and_then(|failure| failure.stage).map(crate::mail::Stage::as_str),
            message: self.message(),
            hint: failure.map(Diagnosis::hint).unwrap_or_default(),
            level: self.level,
            ..self.report.told()
        }
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Whole<'a> {
            #[serde(flatten)]
            told: Told<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sent: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            received: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            took: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            authentication_results: Option<&'a AuthenticationResults>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sending: Option<&'a Report>,
            #[serde(skip_serializing_if = "Option::is_none")]
            outgoing: Option<&'a Report>,
        }
        let time = |time: Timestamp| format!("{time:.3}");
        let found = self.found.as_ref();
        Whole {
            told: self.told(),
            sent: self.mail.as_ref().map(|mail| time(mail.sent)),
            received: found.map(|found| time(found.received)),
            took: found.and_then(|found| found.took).map(human),
            authentication_results: found
                .map(|found| &found.results)
                .filter(|results| **results != AuthenticationResults::default()),
            sending: self.sending.as_ref(),
            outgoing: self.outgoing.as_ref(),
        }
        .serialize(serializer)
    }
}
