//! What operator and agents hand each other, made from what both work with and back: where to connect and what to do there for
//! one way, what was found for the other. Pure. What comes from the other side may be of another version, or broken: nothing in
//! it is trusted, and all of it is cut and scrubbed again.

mod contents;
mod endpoint;
mod failure;
mod mailbox;
mod presence;
mod result;
mod search;
mod server;
#[cfg(test)]
mod tests;

pub use contents::{Contents, Needs};
pub use presence::Presence;
pub use result::{Told, report, told};
pub use server::Order;

use std::time::Duration;

/// The Lease by which an agent shows that it is alive, in its task namespace.
pub const LEASE: &str = "mailverity-agent";
/// The annotation of that Lease in which an agent tells of itself: a [`Presence`] as JSON.
pub const PRESENCE: &str = "mailverity.dev/agent";

/// Milliseconds for the wire, within a field's bounds.
fn millis(duration: Duration, least: i64, most: i64) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(most).clamp(least, most)
}

/// Milliseconds from the wire.
fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
