//! `MailServer`: from its spec to what is checked, and from what was found to what is told.
//!
//! `inputs` resolves a spec and its references; `check` runs the stages; `decide` says what is to be done now and when
//! to look again; `status` turns what was seen and found into the new status.

pub mod check;
pub mod decide;
mod facts;
pub mod inputs;
mod judge;
#[cfg(test)]
mod samples;
pub mod seen;
pub mod status;

pub use check::{Run, check, refused};
pub use decide::{Because, Check, Plan, Trigger, What, decide};
pub use inputs::{Inputs, resolve};
pub use seen::{Mode, Observed, Pause, PauseScope, Seen};
pub use status::{Event, claim, differs, status, transitions};
