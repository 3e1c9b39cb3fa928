//! Mailboxes over HTTPS APIs, Microsoft Graph's and Gmail's: what the two have in common.
//!
//! `client` asks, waits where it is told to, and turns what is refused into a diagnosis; `mailbox` is the [`Mailbox`] over a
//! [`Service`]; `pace` says when it looks. What differs, the requests and what refusals mean, is in `mail::graph` and
//! `mail::gmail`.
//!
//! [`Mailbox`]: super::mailbox::Mailbox

mod client;
mod header;
mod mailbox;
mod pace;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{Diagnosis, mailbox::Cleanup};

pub(in crate::mail) use client::PAGE;
pub use client::{Client, Kind, Refusal, Said, Verdict};
pub use header::{FIELDS, Header};
pub use mailbox::RestMailbox;

/// A folder, or a label that stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its id.
    pub id: String,
    /// Its name, as people see it.
    pub name: String,
    /// The messages in it.
    pub messages: u32,
}

/// A message of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// The fields of its header (RFC 5322) that count here, of at most 8 KiB.
    pub header: Vec<u8>,
}

/// Handed each message that is passed: none of them is kept for it.
pub type Take<'a> = &'a mut (dyn FnMut(Listed) + Send);

/// An API by which a mailbox is read.
pub trait Service: Send {
    /// What asks.
    fn client(&mut self) -> &mut Client;

    /// The first request: whether the token is taken, and the account has a mailbox.
    fn greet(&mut self) -> BoxFuture<'_, Result<(), Refusal>>;

    /// What a folder is called there.
    fn calls_it(&self) -> &'static str;

    /// The folder of this name; none where there is none.
    fn named<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<Option<Folder>, Diagnosis>>;

    /// The provider's own folder for junk; none where there is none.
    fn junk(&mut self) -> BoxFuture<'_, Result<Option<Folder>, Diagnosis>>;

    /// Passes the mails of a folder that came at this time or later, the newest first and at most so many; without a time the
    /// newest.
    fn pass<'a>(
        &'a mut self,
        folder: &'a Folder,
        since: Option<Timestamp>,
        most: usize,
        take: Take<'a>,
    ) -> BoxFuture<'a, Result<(), Diagnosis>>;

    /// The start of a mail, at most [`MOST`](super::bounce::MOST) octets of it; none where it is gone.
    fn start_of<'a>(&'a mut self, id: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Diagnosis>>;

    /// Removes one mail, or marks it as read; whether it was there.
    fn clean<'a>(&'a mut self, id: &'a str, how: Cleanup) -> BoxFuture<'a, Result<bool, Diagnosis>>;
}
