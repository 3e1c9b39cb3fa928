//! Protocols: DNS, TLS, SMTP and what they stand on. Nothing here knows Kubernetes.
//!
//! Every failure leaves as a [`Diagnosis`] that keeps the server's own words. One type, `wire::Wire`, stands between us
//! and every server; stages are run by one recorder, [`stage::Stages`].

pub mod diagnosis;
pub mod message;
pub mod sasl;
pub mod smtp;
pub mod stage;

pub use diagnosis::Diagnosis;
pub use stage::{Stage, Stages};
