//! What tests share: the real counterparts that `tests/run` has started, and small builders.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

pub mod agents;
pub mod api;
pub mod cases;
pub mod cloud;
pub mod cluster;
pub mod collector;
pub mod command;
pub mod connect;
pub mod elsewhere;
pub mod fleet;
pub mod health;
pub mod identity;
pub mod leaks;
pub mod maildir;
pub mod plane;
pub mod policies;
pub mod profiles;
pub mod prometheus;
pub mod receivers;
pub mod references;
pub mod scope;
pub mod stack;
