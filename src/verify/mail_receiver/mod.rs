//! `MailReceiver`: who has a domain, what its conditions say, and when its MX records are looked at. What is needed by the
//! processes that take mail, too, is [`domains`], [`inputs`], [`handing`] and [`presence`].

pub mod domains;
pub mod handing;
pub mod inputs;
pub mod presence;

mod certificate;
mod decide;
pub mod mx;
mod seen;
mod status;

pub use certificate::{Certificate, Pair};
pub use decide::{Plan, What, decide};
pub use seen::{Look, Records, Seen};
pub use status::{differs, status};

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
