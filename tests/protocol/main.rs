//! Protocol tests: scripted peers on loopback, one conversation a fault, and the promises that are kept on the wire.
//!
//! A conversation is written the way an RFC prints it (see `script`) and played by `player`; `world` is what a user wrote.
//! The tables (`resolving`, `reaching`, `protecting`, `logging_in`, `sending`) make every reason of a check happen, which
//! `coverage` proves; the other modules each hold a group of promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod names;
mod player;
mod rows;
mod script;
mod world;

mod coverage;
mod logging_in;
mod protecting;
mod proxy;
mod reaching;
mod references;
mod sending;
