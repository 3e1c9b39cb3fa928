//! Against a real API server, and a real mail server beside it: the operator as its own process, with the product's roles.

#[path = "../support/mod.rs"]
mod support;

mod kills;
mod life;
mod proxy;
mod scale;
mod schema;
mod secrets;
mod sending;
mod servers;
mod setting;

use setting::{account, auth, spec};
