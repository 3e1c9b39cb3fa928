//! `RoundTripPolicy`: from a spec to a mail, and from what comes back to a verdict.
//!
//! `inputs` resolves a spec and what it names; `decide` says what is to be done now and when to look again; `send` sends a probe, and `exchange` waits for
//! its answer in a mailbox;
//! [`matching`] says what a mail that came is to a probe: the same for a receiver and for a mailbox that is read; `status` turns
//! what was seen and found into the new status.

pub mod decide;
pub mod exchange;
pub mod inputs;
mod judge;
pub mod matching;
#[cfg(test)]
mod samples;
pub mod seen;
pub mod send;
pub mod settle;
pub mod status;

pub use decide::{Because, Begin, Plan, Probe, Trigger, What, decide};
pub use inputs::{Back, Inputs, resolve};
pub use seen::{Came, Observed, Seen};
pub use send::{Posting, ProbeReport, send};
pub use settle::{Outcome, is_told};
pub use status::{claim, differs, status, transitions};
