//! What is to be done with a `MailServer` now, and when to look again. Pure: the clock, the cluster and the network are
//! all in [`Seen`]. Next: `status`.

use jiff::Timestamp;

use super::Seen;
use crate::{
    api::v1alpha1::{Claim, Level, State},
    mail::Diagnosis,
    verify::breaker::Hold,
};

/// What is to be done, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is to be done now.
    pub what: What,
    /// When to decide again, if nothing happens before; none: only a change brings something new.
    pub next: Option<Timestamp>,
    /// Whether the object is at work.
    pub state: State,
}

/// What is to be done now.
///
/// A check that is running goes on only under `Rest(Because::Running)`; under anything else it is to be cancelled.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Nothing can be checked: the spec or its references do not allow it.
    Refuse(Diagnosis),
    /// Nothing is to be done.
    Rest(Because),
    /// A claim was found that nobody settles: its mail may have gone, and is not sent again (promise 2).
    Settle(Claim),
    /// A check is to be run.
    Check(Check),
}

/// Why nothing is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// No check is due.
    NotDue,
    /// A check is running.
    Running,
    /// Suspended, paused or in maintenance: nothing goes out. The diagnosis says which.
    Halted(Diagnosis),
    /// The credentials were refused and are not tried now (promise 8).
    Held(Hold),
    /// The object is being deleted.
    Deleted,
}

/// One check: what it is for and how far it goes. It is kept while the check runs, and goes to `status` with the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its id, which logs, status.lastCheck and the claim carry.
    pub id: String,
    /// When it was decided on.
    pub started: Timestamp,
    /// Why it runs.
    pub trigger: Trigger,
    /// How far it goes: never further than the spec says, and without a mail where none is due (promise 3).
    pub level: Level,
    /// 1, and one more for each failed check in a row before it.
    pub attempt: i32,
    /// Whether a server that does not greet may be tried with a TLS hello (promise 12: once per generation).
    pub may_greet_with_tls: bool,
    /// The generation that it judges.
    pub generation: i64,
    /// [`super::Observed::inputs`] that it judges.
    pub inputs: String,
    /// [`super::Observed::credentials`] that it uses.
    pub credentials: Option<String>,
    /// The value of the verify request that it answers.
    pub request: Option<String>,
}

/// Why a check runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The object was never checked.
    First,
    /// The spec, a Secret or a CA bundle changed.
    Changed,
    /// The annotation `mailverity.dev/verify-requested-at` has a new value.
    Requested,
    /// The schedule, or the end of a back-off or a hold.
    Due,
}

/// What is to be done now.
#[must_use]
pub fn decide(seen: &Seen<'_>) -> Plan {
    let _ = seen;
    Plan { what: What::Rest(Because::NotDue), next: None, state: State::Active }
}
