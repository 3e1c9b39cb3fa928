//! A mailbox over IMAP: opened, noted, looked at, cleaned up and left. Looking is in `look`, removing in `cleanup`, waiting
//! in `wait`.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Session, look::Looked};
use crate::mail::{
    Diagnosis,
    mailbox::{Arrivals, Cleanup, Concerns, Earlier, Mailbox, Mark, Place, Shown, Sighting},
};

/// Which mailbox is opened, and how; names as people write them.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The folder's name, such as `INBOX`.
    pub mailbox: String,
    /// Folders for junk, beside those that the server tells of.
    pub junk: Vec<String>,
    /// Whether nothing in it will be changed.
    pub read_only: bool,
}

/// Whether the server tells of new messages by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idling {
    Never,
    Offered,
    /// An IDLE is under way: a wait may be dropped.
    Now,
}

/// A mailbox that is open over IMAP.
pub struct ImapMailbox {
    pub(super) session: Session,
    pub(super) shown: Shown,
    /// The mailbox's name as the server writes it.
    pub(super) folder: String,
    pub(super) writable: bool,
    pub(super) trash: Option<String>,
    /// How long the next wait between two looks is.
    pub(super) step: Duration,
    /// Whether a first IDLE is over.
    pub(super) has_idled: bool,
    pub(super) idle: Idling,
    /// When a message was last a reason to look.
    pub(super) noticed: Option<Instant>,
    /// When somebody last wanted short steps.
    pub(super) hurried: Option<Instant>,
    pub(super) looked: Option<Looked>,
    /// Whether what SELECT told still stands.
    fresh: bool,
}

impl ImapMailbox {
    /// Opens a mailbox in a session that is logged in.
    ///
    /// # Errors
    /// `MailboxNotFound`, `MailboxAccessDenied`, `MailboxBusy` and what else a refusal means, at [`crate::mail::Stage::Select`].
    pub async fn open(mut session: Session, wanted: &Wanted) -> Result<Self, Diagnosis> {
        let idles = session.capability().await?.has("IDLE");
        let folders = session.folders(&wanted.mailbox, &wanted.junk).await?;
        session.select(&folders.mailbox, !wanted.read_only).await?;
        let shown = Shown { name: folders.mailbox.clone(), messages: session.selected.exists, junk: folders.junk };
        Ok(Self {
            session,
            shown,
            folder: folders.mailbox,
            writable: !wanted.read_only,
            trash: folders.trash,
            step: Duration::ZERO,
            has_idled: false,
            idle: if idles { Idling::Offered } else { Idling::Never },
            noticed: None,
            hurried: None,
            looked: None,
            fresh: true,
        })
    }

    /// Moves the deadline.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.session.set_deadline(deadline);
    }

    /// Opens the mailbox again, after another folder.
    pub(super) async fn back(&mut self) -> Result<(), Diagnosis> {
        if self.session.selected.name == self.folder { Ok(()) } else { self.session.select(&self.folder, self.writable).await }
    }

    /// RFC 9051 section 2.3.1.1. A folder that is open tells its UIDNEXT when it is opened; so it is, once more.
    async fn note_now(&mut self) -> Result<Mark, Diagnosis> {
        if !std::mem::take(&mut self.fresh) || self.session.selected.name != self.folder {
            self.session.select(&self.folder, self.writable).await?;
        }
        (self.step, self.noticed) = (Duration::ZERO, None);
        Ok(Mark::Imap { validity: self.session.selected.validity, next: self.session.selected.next })
    }
}

impl Mailbox for ImapMailbox {
    fn shown(&self) -> &Shown {
        &self.shown
    }

    fn note(&mut self) -> BoxFuture<'_, Result<Mark, Diagnosis>> {
        self.note_now().boxed()
    }

    fn look<'a>(&'a mut self, since: &'a Mark, codes: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        self.look_now(since, codes).boxed()
    }

    fn arrivals<'a>(&'a mut self, since: &'a Mark, concerns: Concerns<'a>) -> BoxFuture<'a, Result<Arrivals, Diagnosis>> {
        self.arrivals_now(since, concerns).boxed()
    }

    fn arrivals_in_junk<'a>(&'a mut self, concerns: Concerns<'a>) -> BoxFuture<'a, Result<Vec<Place>, Diagnosis>> {
        self.arrivals_at_junk(concerns).boxed()
    }

    fn look_in_junk<'a>(&'a mut self, codes: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        self.look_at_junk(codes).boxed()
    }

    fn clean_up<'a>(&'a mut self, ours: &'a [Sighting], how: Cleanup) -> BoxFuture<'a, Result<usize, Diagnosis>> {
        self.clean(ours, how).boxed()
    }

    fn earlier<'a>(&'a mut self, runs: &'a Earlier<'a>, most: usize) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        self.look_for_earlier(runs, most).boxed()
    }

    fn reports(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.session.reports)
    }

    fn read<'a>(&'a mut self, place: &'a Place) -> BoxFuture<'a, Result<Option<Vec<u8>>, Diagnosis>> {
        self.read_start(place).boxed()
    }

    fn clear<'a>(&'a mut self, place: &'a Place, how: Cleanup) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.clear_one(place, how).boxed()
    }

    fn stays(&self) -> bool {
        true
    }

    fn wait<'a>(&'a mut self, until: Instant, woken: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<bool, Diagnosis>> {
        self.wait_or(until, woken).boxed()
    }

    fn hurry(&mut self) {
        self.expect_something();
    }

    fn set_deadline(&mut self, deadline: Instant) {
        self.set_deadline(deadline);
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            if self.idle == Idling::Now {
                // What the server says to that may be in the way of what it says to the goodbye; neither matters.
                self.session.wire.write(b"DONE\r\n").await.ok();
            }
            self.session.logout().await.ok();
        }
        .boxed()
    }
}
