//! IMAP (RFC 9051, RFC 3501): what a server says, what its refusals mean, and a mailbox over it.
//!
//! A conversation begins as a [`Session`], a function a stage; once logged in it becomes an [`ImapMailbox`]. Nothing that a
//! server sends is kept longer than one command needs, and each command has the wire's bound.

mod arrivals;
mod capabilities;
pub mod classify;
mod cleanup;
mod conversation;
mod folders;
mod login;
mod look;
mod mailbox;
mod providers;
mod response;
pub mod session;
mod tokens;
mod wait;
mod words;

pub use capabilities::Capabilities;
pub use classify::{About, classify};
pub use mailbox::{ImapMailbox, Wanted};
pub use providers::recognise;
pub use response::{Said, Status};
pub use session::Session;
