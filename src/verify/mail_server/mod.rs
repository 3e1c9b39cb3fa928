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
mod views;

pub use crate::verify::events::Event;
pub use crate::verify::halt::{Mode, Pause, PauseScope};
pub use check::{Agent, By, Run, check, check_by, refused};
pub use decide::{Because, Check, Plan, Trigger, What, decide};
pub use inputs::{Inputs, MESSAGES_PER_MINUTE, resolve};
pub use seen::{Observed, Seen};
pub use status::{claim, differs, status, transitions};
pub use views::{View, Views};
