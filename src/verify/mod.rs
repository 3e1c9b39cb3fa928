//! What the product decides: from a spec, its secrets and a vantage to stages, conditions and the time of the next
//! check. Knows [`crate::api`] and [`crate::mail`], not the cluster.

pub mod agenda;
pub mod approach;
pub mod breaker;
pub mod budget;
pub mod conditions;
pub mod email_profile;
pub mod events;
pub mod fingerprint;
pub mod gate;
pub mod halt;
pub mod lending;
pub mod login;
pub mod mail_receiver;
pub mod mail_server;
pub mod mailbox;
pub mod maintenance;
pub mod object;
pub mod references;
pub mod report;
pub mod resolve;
pub mod round_trip;
pub mod schedule;
pub mod select;
pub mod sharing;
pub mod task;
pub mod tokens;
pub mod warnings;

pub use approach::Endpoint;
pub use gate::{Gate, Open};
pub use login::Login;
pub use references::{Credential, References, Stored};
pub use report::{Report, Verdict};
pub use select::Chosen;
