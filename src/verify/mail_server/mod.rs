//! `MailServer`: from its spec to what is checked, and from what was found to what is told.
//!
//! `inputs` resolves a spec and its references; `check` runs the stages; `decide` says what is to be done now and when
//! to look again; `status` turns what was seen and found into the new status.

pub mod check;
pub mod inputs;

pub use check::{Run, check, refused};
pub use inputs::{Endpoint, Inputs, resolve};
