//! When an object is due by itself: its schedule, a planned retry, and what a restart or a halt puts off. The same for all
//! kinds. No clock in here.

use std::time::Duration;

use jiff::Timestamp;

use super::schedule::{catch_up, due_after, stagger};

/// What the time of the next check follows from.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Agenda<'a> {
    /// metadata.uid.
    pub uid: &'a str,
    /// The time between two checks.
    pub interval: Duration,
    /// Whether no operator has ever looked at the object.
    pub fresh: bool,
    /// Whether a fresh one is one of very many, and would send: then the first checks are spread over the interval.
    pub spread: bool,
    /// Whether it was ever checked.
    pub checked: bool,
    /// When the status says that it is due.
    pub planned: Option<Timestamp>,
    /// Whether the status speaks of this generation.
    pub current: bool,
    /// Whether the status waits for the end of a hold that is gone.
    pub was_held: bool,
    /// Whether the status was written while it was halted.
    pub was_halted: bool,
    /// Whether the last check failed: what is planned is a retry.
    pub failed: bool,
    /// metadata.creationTimestamp.
    pub created: Option<Timestamp>,
    /// When this process began to lead.
    pub since: Timestamp,
    /// Now.
    pub now: Timestamp,
}

impl Agenda<'_> {
    /// When it is due: now or before means that it is.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        let due = if self.checked { self.next() } else { self.first() };
        // What fell due while it was halted did so with many others, as a rule: they do not all run when it ends.
        let overdue = due <= self.now && self.planned.is_some() && self.was_halted;
        if overdue { catch_up(self.now, self.uid, self.interval) } else { due }
    }

    /// When an object that was never checked is due.
    fn first(&self) -> Timestamp {
        if self.fresh {
            let from = self.created.map_or(self.since, |created| created.max(self.since));
            return if self.spread { stagger(from, self.uid, self.interval) } else { self.now };
        }
        match self.planned.filter(|_| self.current) {
            Some(planned) if planned < self.since => catch_up(self.since, self.uid, self.interval),
            // What was planned for the end of a hold is due when the hold is gone before: the Secret changed.
            Some(planned) if !self.was_held => planned,
            _ => self.now,
        }
    }

    /// When the schedule, a back-off or the end of a hold makes the next check of a checked object due.
    fn next(&self) -> Timestamp {
        let Some(planned) = self.planned else { return self.now };
        if planned < self.since {
            return catch_up(self.since, self.uid, self.interval);
        }
        if planned <= self.now || self.current {
            return planned;
        }
        // A changed interval moves the next check and runs none; a back-off goes on as it was.
        let slot = due_after(self.now, self.uid, self.interval);
        if self.failed { slot.min(planned) } else { slot }
    }
}
