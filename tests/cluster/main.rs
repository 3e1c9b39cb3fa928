//! Tests against a real API server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/cases.rs"]
#[allow(dead_code)] // each suite reads its part of a case
mod cases;
mod schema;
mod support;
