//! `RoundTripPolicy`: from a spec to a mail, and from what comes back to a verdict.
//!
//! [`matching`] says what a mail that came is to a probe: the same for a receiver and for a mailbox that is read.

pub mod matching;
