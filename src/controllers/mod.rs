//! The wiring of each kind to the cluster, a folder a kind: each goes observe → decide → act → tell. What is decided is in
//! [`crate::verify`]; what does not even know the kinds is in [`crate::runtime`]. Here is what all kinds share:
//!
//! - [`kind`]: what a kind has to say of itself. [`kinds()`] is the list of them.
//! - [`mod@lead`]: a term as leader, over all kinds; `streams`: what brings the objects of one kind to [`mod@reconcile`].
//! - [`ground`] and [`memory`]: what a term stands on, and what outlives it. [`term`]: what all kinds share in one.
//!   [`context`]: what one kind has in it.
//! - [`known`], [`glance`]: the objects, and the little that is kept of each. [`dependents`]: who names whom.
//! - [`checks`]: what runs beside reconciliations; [`mandate`]: whether it still may.
//! - [`around`]: what surrounds an object at the moment of a decision.
//! - `malformed`: objects that cannot be read.

pub mod actors;
pub mod around;
pub mod checks;
pub mod context;
pub mod dependents;
pub mod desks;
pub mod email_profile;
pub mod glance;
pub mod ground;
pub mod kind;
pub mod known;
pub mod lead;
pub mod mail_receiver;
pub mod mail_server;
mod malformed;
pub mod mandate;
pub mod memory;
pub mod reconcile;
pub mod round_trip;
mod streams;
pub mod term;

pub use context::Context;
pub use ground::{Ground, Settings};
pub use kind::Kind;
pub use lead::{Entry, definition, lead};
pub use memory::Memory;

/// The kinds that are looked after: a new one is one line more.
#[must_use]
pub fn kinds() -> Vec<Entry> {
    vec![
        Entry::of::<mail_server::MailServers>(),
        Entry::of::<email_profile::EmailProfiles>(),
        Entry::of::<round_trip::RoundTripPolicies>(),
        Entry::of::<mail_receiver::MailReceivers>(),
    ]
}
