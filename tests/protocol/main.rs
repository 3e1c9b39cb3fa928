//! Protocol tests: scripted peers on loopback, one conversation a fault, and the promises that are kept on the wire.
//!
//! A conversation is written the way an RFC prints it (see `script`) and played by `player`; `world` is what a user wrote.
//! The tables (`references`, `reaching`, `proxy`, `protecting`, `logging_in`, `sending`, `mailboxes`) make every reason of a check happen, which
//! `coverage` proves; the other modules each hold a group of promises; in `rest` the peers are the played APIs of `support::cloud`. In `receiver` the sides are changed: there we are the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::needless_pass_by_value)]
#![allow(clippy::assigning_clones, clippy::format_collect, reason = "tests are read, not timed")]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod names;
mod player;
mod rows;
mod script;
mod world;

mod alternates;
mod coverage;
mod federated;
mod hostile;
mod imap;
mod keeping;
mod logging_in;
mod mailboxes;
mod pinning;
mod pop3;
mod promise_login;
mod promise_sending;
mod promise_wire;
mod protecting;
mod proxy;
mod random;
mod reaching;
mod receiver;
mod references;
mod rest;
mod sending;
mod tokens;
mod watching;
