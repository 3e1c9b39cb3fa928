//! Watching a mailbox for a mail (promises 9 to 11): what is there is noted, the mail is sent, and it is looked for until it
//! is found or its time is over; then it is removed, and what earlier runs have left.
//!
//! Here is what goes in and comes out. How a search runs is told in `search`, when it looks in `times`, what one look means in
//! `look`, and what becomes of what was found in `settle`.

mod look;
mod search;
mod settle;
pub(super) mod times;

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;
use uuid::Uuid;

use super::Inputs;
use crate::{
    mail::{
        Diagnosis, Vantage,
        bounce::Bounce,
        mailbox::{Cleanup, CodesOf, Mark, Sighting},
        stage::Record,
    },
    verify::{Gate, Report},
};

pub use times::Tries;

/// What is looked for, and what becomes of it.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// The code in the mail's subject: this actor's; in mode Manual, the run's.
    pub code: Uuid,
    /// The whole value of the mail's header `X-Mailverity-Run`, `installation/object/run`; none in mode Manual, as the mail of
    /// a person has none.
    pub run: Option<&'a str>,
    /// What becomes of the mail. Where `run` is set, only a mail that has that header is touched.
    pub cleanup: Cleanup,
    /// How long it is looked for, from the moment that it was accepted.
    pub timeout: Duration,
    /// Whether a session is held all the time.
    pub patience: Patience,
    /// The codes of earlier runs, for the sweep of what they have left: none for a run of which the time is not over. Nothing
    /// is swept without it.
    pub earlier: Option<CodesOf<'a>>,
    /// Told of the mail before it is removed; none where nobody has to remember it.
    pub witness: Option<&'a dyn Witness>,
}

/// Told of a mail that was found, before it is removed.
pub trait Witness: Send + Sync {
    /// Takes note of it, and of the session so far. Whether the mail may be removed: where that it was found is not noted, it
    /// must be there for whoever looks again.
    fn found<'a>(&'a self, finding: &'a Finding, so_far: Report) -> BoxFuture<'a, bool>;
}

/// Whether a session is held all the time. POP3 cannot: it always comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// In mode Automatic the mail is due at any moment.
    Stay,
    /// In mode Manual a person takes their time: a session for each look.
    Return {
        /// The time between two looks.
        every: Duration,
    },
}

/// Sends the mail, once the mailbox is open and its state noted.
pub trait Dispatch: Send {
    /// Sends it. Over POP3, and where no session is held, the mailbox is closed meanwhile. A mail that may have gone
    /// (`DeliveryUncertain`) was dispatched: the mailbox can settle it (promise 2).
    ///
    /// # Errors
    /// Why it was not sent. That is the result then, and nothing is looked for.
    fn dispatch<'a>(&'a mut self, noted: &'a Mark) -> BoxFuture<'a, Result<Dispatched, Diagnosis>>;
}

/// A mail that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatched {
    /// When the server accepted it.
    pub at: Instant,
    /// Its Message-ID, by which its bounce is known.
    pub message_id: Option<String>,
    /// Its ENVID (RFC 3461 section 4.4), likewise.
    pub envelope_id: Option<String>,
}

/// How a search begins.
pub enum Begin<'a> {
    /// The mail is sent once the mailbox is open.
    Send(&'a mut dyn Dispatch),
    /// The mail was sent before, perhaps by another process, or is sent by a person.
    Resume {
        /// What the mailbox held before; without it, all that is there may be the mail.
        mark: Option<Mark>,
        /// When its time is over.
        until: Instant,
        /// Its Message-ID, where that is known.
        message_id: Option<String>,
        /// Its ENVID, where that is known.
        envelope_id: Option<String>,
    },
}

/// What came of a search.
#[derive(Debug)]
pub struct Finding {
    /// The stages of the last session, and why the search failed: none where the mail was found. `MessageNotReceived`,
    /// `MessageInJunk` and `MessageBounced` are verdicts on the mail; any other failure is of the mailbox or of the dispatch. A cleanup that failed
    /// is a failed stage, and no failure.
    pub report: Report,
    /// The mail, where it was found in the mailbox.
    pub found: Option<Found>,
    /// The mail, where it was found in a folder for junk alone.
    pub in_junk: Option<Found>,
    /// The last report that a server on the way still tries: information, where the mail was not found.
    pub delayed: Option<Bounce>,
    /// What the mailbox held before; none where it could not be noted, so that nothing was sent.
    pub mark: Option<Mark>,
    /// What is known of the mail that was dispatched here.
    pub dispatched: Option<Dispatched>,
    /// The connections that were made.
    pub sessions: u32,
    /// How many mails of this search were removed, or marked as read.
    pub removed: usize,
    /// How many mails of earlier runs were removed.
    pub swept: usize,
}

/// A mail that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// One of its copies, if possible one that has our header.
    pub sighting: Sighting,
    /// When it was seen.
    pub at: Instant,
    /// How many there were: relays may make copies.
    pub copies: usize,
}

/// Opens the mailbox, notes what is there, sends the mail and looks for it; or goes on looking for one that was sent.
///
/// `inputs.timeout` bounds connecting and opening in each session. Where the first session cannot be opened, nothing is sent.
/// While the search goes on, what time may cure is tried again with back-off, and is the result only if the search ends on it.
pub async fn attend(
    inputs: &Inputs,
    vantage: &Vantage,
    gate: &dyn Gate,
    search: &Search<'_>,
    begin: Begin<'_>,
    watcher: Option<fn(&Record)>,
) -> Finding {
    // Large, and rarely many at a time on one stack.
    Box::pin(search::run(search::Around { inputs, vantage, gate, watcher }, search, begin)).await
}
