//! Manifests on disk: read with lines and columns, judged as the API server would judge them, and looked at for what is
//! allowed and unwise. Knows the schemas of [`crate::api`] and how [`crate::verify`] reads a spec; touches no network.
//!
//! [`read`] makes documents of text, [`Judge`] gives the API server's verdict on one, [`lint`] warns about all of them
//! together.

pub mod finding;
pub mod judge;
pub mod lint;
pub mod load;
pub mod read;
pub mod stored;
mod suggest;
mod walk;

pub use finding::{Finding, Severity};
pub use judge::Judge;
pub use load::load;
pub use read::{Document, Place};
