//! mailverity keeps mail settings as Kubernetes custom resources and proves that they work.
//!
//! The rooms of the house, each knowing only those after it:
//!
//! - [`cli`]: one file per subcommand of the program.
//! - [`manifest`]: manifests on disk: read with lines, judged as the API server would, linted. [`sandbox`]: a mail server to try.
//! - [`receiver`]: mail that comes in over SMTP, for whoever wants it. Knows no Kubernetes.
//! - [`reception`]: the receivers of a cluster: what joins [`receiver`] to `MailReceivers` and `RoundTripPolicies`.
//! - [`agent`]: what an agent does: the tasks that the operator puts into its namespace, and its sign of life.
//! - [`controllers`]: a folder per kind: observe, decide, act, tell; around them what all kinds share.
//! - [`runtime`]: what a controller needs of a cluster, whatever its kinds: Lease, Secrets, places, writing.
//! - [`verify`]: what the product decides: from a spec, its secrets and a vantage to stages, conditions and the time of
//!   the next check. It does not know the cluster.
//! - [`mail`]: protocols. It does not know Kubernetes, and every failure leaves it as a typed diagnosis.
//! - [`api`]: the types that users write and read; all rooms may use it.
//!
//! `mailverity check --live` on a laptop and the controller in a cluster go through the same [`verify`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agent;
pub mod api;
pub mod cli;
pub mod controllers;
pub mod mail;
pub mod manifest;
pub mod metrics;
pub mod receiver;
pub mod reception;
pub mod runtime;
pub mod sandbox;
pub mod server;
pub mod telemetry;
pub mod verify;
