//! POP3 (RFC 1939, 2449, 2595, 3206, 5034): what a server says, what its refusals mean, and its mailbox.
//!
//! A conversation is a [`Session`], a function a stage; once it is logged in, [`Pop3Mailbox`] looks into the maildrop.

mod capabilities;
pub mod classify;
mod login;
mod look;
mod mailbox;
pub mod reply;
mod session;

pub use capabilities::Capabilities;
pub use classify::{About, classify};
pub use mailbox::Pop3Mailbox;
pub use reply::{Answer, Code, Malformed, Reply};
pub use session::Session;
