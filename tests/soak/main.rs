//! The long tests: hundreds of kills, schedules of minutes, ten thousand objects. `make soak` runs them, and keeps what they print.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test that cannot go on fails"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../cluster/kills.rs"]
mod kills;
#[path = "../cluster/leaders.rs"]
mod leaders;
#[path = "../cluster/outage.rs"]
mod outage;
#[path = "../cluster/proxy.rs"]
#[allow(dead_code)] // the cluster's tests use all of it
mod proxy;
#[path = "../cluster/rotation.rs"]
mod rotation;
#[path = "../cluster/sending.rs"]
mod sending;
#[path = "../cluster/setting.rs"]
mod setting;

mod fleet;
mod policies;
mod profiles;
mod schedule;

use setting::{account, auth, spec};
