//! `EmailProfile`: from its spec to the mails that are sent and looked for, and from what was found to what is told.
//!
//! `inputs` resolves a spec and what it names; `run` sends, looks and cleans up; `decide` says what is to be done now and when
//! to look again; `status` turns what was seen and found into the new status.

pub mod decide;
mod facts;
pub mod inputs;
mod judge;
pub mod presets;
pub mod report;
pub mod run;
#[cfg(test)]
mod samples;
pub mod seen;
pub mod status;

pub use decide::{Because, Begin, Errand, Plan, Run, Trigger, What, decide};
pub use inputs::{Inputs, resolve};
pub use report::{ActorReport, Finding, Mail, RunReport};
pub use run::{Agent, Codes, Noted, Outcome, Permits, Setting, Stand, run};
pub use seen::{Observed, Seen};
pub use status::{claim, differs, status, transitions};
