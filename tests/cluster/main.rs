//! Tests against a real API server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/cases.rs"]
mod cases;
mod schema;
mod support;
