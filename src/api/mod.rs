//! The types that users write and read: kinds, fields, conditions, reasons. Types only, no I/O.

pub mod crd;
pub mod reason;
pub mod v1alpha1;

pub use reason::{Class, Reason};
