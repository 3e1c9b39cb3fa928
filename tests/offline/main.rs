//! Tests that need nothing but Rust.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/cases.rs"]
mod cases;
mod command;
mod pages;
mod schema;
mod site;
