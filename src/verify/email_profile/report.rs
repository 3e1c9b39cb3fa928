//! What a run found, actor by actor: what `check --live` prints, what the status is made from, and what an agent hands over.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    api::{Reason, v1alpha1::AuthenticationResults},
    mail::Diagnosis,
    verify::Report,
};

/// What a run found.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// Each actor that had an errand.
    pub actors: Vec<ActorReport>,
    /// What the outgoing server said to the login, where that was asked.
    pub outgoing: Option<Report>,
    /// Whether the run was told to end before each actor was done: what is open goes on later.
    pub cut: bool,
}

/// What one actor found.
#[derive(Clone, Debug)]
pub struct ActorReport {
    /// Its name.
    pub name: String,
    /// Its number of tries in this run.
    pub attempt: i32,
    /// The stages of its last session, and why it failed; none where the code was found, or, on a visit, the mailbox opened.
    pub report: Report,
    /// What became of its mail.
    pub mail: Option<Mail>,
    /// Whether the claim to send it was taken for this run.
    pub claimed: bool,
    /// Whether its mail may still come: it was told to end.
    pub awaits: bool,
    /// Whether it found the code in the mailbox.
    pub found: Option<Finding>,
    /// What the mailbox held before, as status.verification keeps it.
    pub mark: Option<String>,
}

/// A mail of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// When the server took it.
    pub sent: Timestamp,
    /// Its final dot was written: it is never sent again.
    pub dot_sent: bool,
    /// Nobody heard the answer to the final dot: it may have gone.
    pub uncertain: Option<Diagnosis>,
}

/// A code that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When.
    pub received: Timestamp,
    /// How long after the server had taken the mail, where that is known.
    pub took: Option<Duration>,
    /// What the mailbox's own server wrote of the sender.
    pub results: AuthenticationResults,
}

impl RunReport {
    /// What was stopped by us, for no fault of a server, goes on later as if it had not been tried.
    pub fn resume_what_was_stopped(&mut self) {
        for actor in &mut self.actors {
            let stopped = actor
                .report
                .failure
                .as_ref()
                .is_some_and(|failure| matches!(failure.reason, Reason::Paused | Reason::Suspended | Reason::Maintenance));
            let sent = actor.mail.as_ref().is_some_and(|mail| mail.dot_sent);
            if stopped && !sent {
                actor.awaits = true;
                actor.report.failure = None;
                actor.mail = None;
                self.cut = true;
            }
        }
    }
}

impl ActorReport {
    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Diagnosis> {
        self.report.failure.as_ref().filter(|_| !self.awaits)
    }
}
