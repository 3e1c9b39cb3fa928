//! What a decision about an object of any kind rests on, gathered before it: its metadata, what its status tells of itself, pauses
//! and the time.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::v1alpha1::{MaintenanceWindow, condition::SUSPENDED},
    mail::diagnosis::printable,
    verify::halt::{Brakes, Mode, Pause},
};

/// The most characters of a verify request that are echoed, and so that count (status.lastHandledVerifyRequest).
const REQUEST: usize = 256;

/// An object of any kind, and what surrounds it, at one moment.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// metadata.uid: what the phase of the schedule and the jitter of back-off are made from.
    pub uid: &'a str,
    /// metadata.generation.
    pub generation: i64,
    /// metadata.creationTimestamp.
    pub created: Option<Timestamp>,
    /// Whether metadata.deletionTimestamp is set.
    pub deleted: bool,
    /// spec.suspend.
    pub suspend: bool,
    /// spec.maintenance.
    pub maintenance: &'a [MaintenanceWindow],
    /// The annotation `mailverity.dev/suspend-until`, as it is written.
    pub suspend_until: Option<&'a str>,
    /// The annotation `mailverity.dev/verify-requested-at`.
    pub verify_requested_at: Option<&'a str>,
    /// status.lastHandledVerifyRequest.
    pub answered: Option<&'a str>,
    /// status.observedGeneration.
    pub observed_generation: Option<i64>,
    /// status.conditions.
    pub conditions: &'a [Condition],
    /// A pause of everything or of its namespace.
    pub pause: Option<Pause>,
    /// Whether the installation sends.
    pub mode: Mode,
    /// Whether more than `--max-new-at-once` objects are fresh at the same time: a restored or rebuilt cluster.
    pub crowded: bool,
    /// When this process began to lead.
    pub since: Timestamp,
    /// Now.
    pub now: Timestamp,
}

impl Object<'_> {
    /// What may stop it.
    #[must_use]
    pub fn brakes(&self) -> Brakes<'_> {
        Brakes {
            suspend: self.suspend,
            suspend_until: self.suspend_until,
            pause: self.pause.as_ref(),
            maintenance: self.maintenance,
            now: self.now,
        }
    }

    /// The verify request that was not answered yet, as the status would echo it.
    #[must_use]
    pub fn request(&self) -> Option<String> {
        let asked = self.verify_requested_at.map(|asked| printable(asked, REQUEST)).filter(|asked| !asked.is_empty())?;
        (self.answered != Some(asked.as_str())).then_some(asked)
    }

    /// Whether it was suspended, paused or in maintenance when the status was written.
    #[must_use]
    pub fn was_halted(&self) -> bool {
        self.conditions.iter().any(|condition| condition.type_ == SUSPENDED && condition.status == "True")
    }

    /// Whether no operator has ever looked at it: no status, or the schema's default of -1.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.observed_generation.is_none_or(|generation| generation == -1)
    }

    /// Whether it takes its place in the schedule before anything else is said of it, as one of a crowd: once it is known, what stops
    /// it now would let it go with all the others as soon as that ends.
    #[must_use]
    pub fn is_new_in_a_crowd(&self) -> bool {
        self.crowded && self.is_fresh()
    }

    /// Whether the status speaks of this generation.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.observed_generation == Some(self.generation)
    }
}
