//! What stops an object for a while: suspension, pauses, maintenance windows. The same for all kinds.

use jiff::Timestamp;

use crate::{
    api::{
        Reason,
        v1alpha1::{MaintenanceWindow, SUSPEND_UNTIL, State},
    },
    mail::{Diagnosis, diagnosis::printable},
    verify::maintenance::Windows,
};

/// A pause by `kubectl mail pause`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// The `ConfigMap` that says so, as namespace/name.
    pub config_map: String,
    /// What it stops.
    pub scope: PauseScope,
}

/// What a pause stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseScope {
    /// The whole installation.
    All,
    /// The namespace of the object.
    Namespace,
}

/// Whether the installation sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It connects and logs in, and sends and deletes nothing (promise 4).
    Observe,
    /// It does all that specs ask for.
    #[default]
    Enforce,
}

/// A reason to let nothing out.
pub struct Halt {
    /// Which.
    pub diagnosis: Diagnosis,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// The word for it in the status.
    pub state: State,
}

/// Everything that can stop an object.
#[derive(Clone, Copy, Debug)]
pub struct Brakes<'a> {
    /// spec.suspend.
    pub suspend: bool,
    /// The annotation `mailverity.dev/suspend-until`, as it is written.
    pub suspend_until: Option<&'a str>,
    /// A pause of everything or of its namespace.
    pub pause: Option<&'a Pause>,
    /// spec.maintenance.
    pub maintenance: &'a [MaintenanceWindow],
    /// Now.
    pub now: Timestamp,
}

impl Brakes<'_> {
    /// Whether the object is suspended, paused or in maintenance; the first of them in this order.
    #[must_use]
    pub fn halt(&self) -> Option<Halt> {
        let told =
            |reason, until: Option<Timestamp>| Diagnosis::new(reason).fact("until", until.map(told_time).unwrap_or_default());
        if self.suspend {
            return Some(Halt { diagnosis: told(Reason::Suspended, None), until: None, state: State::Suspended });
        }
        if let Some(until) = self.suspended_until().ok().flatten() {
            let until = Some(until);
            return Some(Halt { diagnosis: told(Reason::Suspended, until), until, state: State::Suspended });
        }
        if let Some(pause) = self.pause.filter(|pause| pause.until.is_none_or(|until| until > self.now)) {
            let diagnosis = told(Reason::Paused, pause.until).fact("configmap", &pause.config_map);
            let diagnosis = match pause.scope {
                PauseScope::All => diagnosis.detail("Everything is paused"),
                PauseScope::Namespace => diagnosis.detail("This namespace is paused"),
            };
            return Some(Halt { diagnosis, until: pause.until, state: State::Paused });
        }
        let until = self.windows().ok()?.open_until(self.now);
        until.map(|_| Halt { diagnosis: told(Reason::Maintenance, until), until, state: State::Suspended })
    }

    /// Whether nothing may go out, as something stops the object or makes no sense.
    #[must_use]
    pub fn is_pulled(&self) -> bool {
        self.unacceptable().is_some() || self.halt().is_some()
    }

    /// What of it makes no sense, whatever the cluster holds.
    #[must_use]
    pub fn unacceptable(&self) -> Option<Diagnosis> {
        self.suspended_until().err().or_else(|| self.windows().err())
    }

    /// When the next maintenance window begins.
    #[must_use]
    pub fn window_start(&self) -> Option<Timestamp> {
        self.windows().ok()?.next_start(self.now)
    }

    fn windows(&self) -> Result<Windows, Diagnosis> {
        Windows::read(self.maintenance)
    }

    /// The end of a suspension by annotation, if it is still to come.
    fn suspended_until(&self) -> Result<Option<Timestamp>, Diagnosis> {
        let Some(written) = self.suspend_until else { return Ok(None) };
        if let Ok(until) = written.trim().parse::<Timestamp>() {
            return Ok(Some(until).filter(|until| *until > self.now));
        }
        // Whoever wrote it wanted silence: nothing goes out until it is mended.
        let fault = format!("annotation {SUSPEND_UNTIL} {:?} is no RFC 3339 time", printable(written, 64));
        Err(Diagnosis::new(Reason::SpecInvalid).detail(fault.clone()).fact("fault", fault))
    }
}

/// A time as messages tell it: RFC 3339 in whole seconds, as the status has it.
#[must_use]
pub fn told_time(time: Timestamp) -> String {
    whole_seconds(time).to_string()
}

/// A time without the part of a second that the status would lose.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
