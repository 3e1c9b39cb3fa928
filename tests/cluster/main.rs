//! Against a real API server, and a real mail server beside it: the operator as its own process, with the product's roles.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test that cannot go on fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod agents;
mod authorities;
mod command;
mod consent;
mod device;
mod faults;
mod gitops;
mod history;
mod kills;
mod leaders;
mod life;
mod monitoring;
mod outage;
mod plugin;
mod policies;
mod probes;
mod profiles;
mod proxy;
mod receivers;
mod rotation;
mod scale;
mod schema;
mod scopes;
mod secrets;
mod sending;
mod servers;
mod setting;
mod skew;
mod tokens;
mod tracing;
mod vantages;
mod views;
mod workload;

use setting::{account, auth, spec};
