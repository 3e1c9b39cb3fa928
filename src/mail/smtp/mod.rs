//! SMTP (RFC 5321): what a server says, what it offers, and what its refusals mean.
//!
//! Words only: nothing here touches a socket. Replies become reasons in [`classify()`].

pub mod classify;
pub mod extensions;
pub mod providers;
pub mod reply;
pub mod session;
pub mod wordings;

pub use classify::{About, LoginJudgement, classify};
pub use extensions::Extensions;
pub use reply::{EnhancedCode, Line, Malformed, Reply, ReplyClass};
