//! Waiting for mails that are about mails of ours: answers to probes, and reports on deliveries (promise 6). Many wait at one
//! mailbox, and a provider grants few sessions: so all who wait say so at the mailbox's desk, and one of them watches for all.
//!
//! Here is what goes in and comes out. Who watches, and how long, is told in `watch`, one look in `look`, when there is reason for
//! one in `pace`, what a mail is to those who wait in `judge`.

mod judge;
mod look;
mod pace;
mod parties;
mod watch;

pub use watch::watch;

use std::{
    fmt,
    hash::RandomState,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use tokio::{
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
        watch::Sender,
    },
    time::Instant,
};
use uuid::Uuid;

use self::{pace::Logins, parties::Party};
use crate::{
    mail::{
        Diagnosis,
        bounce::Bounce,
        mailbox::{Cleanup, Mailbox, Mark},
    },
    runtime::lock,
    verify::round_trip::matching::{Answer, Expectation},
};

/// A mail that was sent, by what a report on it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Whose it is.
    pub actor: String,
    /// Its code, which a report may quote and nobody may see.
    pub code: Uuid,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Its ENVID (RFC 3461 section 4.4).
    pub envelope_id: Option<String>,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Reports on this mail.
    Reports(Sent),
    /// The answer to this probe, and reports on it.
    Answer(Expectation),
}

/// What somebody waits for, and for how long.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What is waited for.
    pub awaited: Vec<Awaited>,
    /// What becomes of what was found to be ours, once it is noted.
    pub cleanup: Cleanup,
    /// What the mailbox held before ([`Desk::note`]); without it the newest few of what is there may be it.
    pub since: Option<Mark>,
    /// When its time began: when the mail was sent, or is.
    pub begun: Instant,
    /// When its time is over, which is told ([`News::Over`]); until it is dropped, where there is none.
    pub until: Option<Instant>,
}

/// What those who wait are told.
#[derive(Debug)]
pub enum News {
    /// A mail is about one of theirs. The same may be told again: behind a restart, and where it was not noted.
    Mail(Box<Heard>),
    /// The mailbox could not be opened or read.
    Failed {
        /// Why.
        failure: Diagnosis,
        /// Nobody tries it again: it would be in vain, or a login was judged (promises 7 and 8).
        over: bool,
    },
    /// The time is over, and behind its end everything was looked at, junk too. What comes later is told all the same.
    Over,
}

/// A mail that is about one of theirs.
#[derive(Debug)]
pub struct Heard {
    /// What it tells.
    pub tells: Tells,
    /// When it was seen: over IMAP a moment after it came, over POP3 at the next look.
    pub received: Timestamp,
    /// When it came, as its own server wrote into it.
    pub arrived: Option<Timestamp>,
    /// The folder for junk that it is in.
    pub junk: Option<String>,
    /// To be told once this is noted where it survives us. Dropped without that, the mail stays, and is told again.
    pub noted: Noted,
}

/// What a mail tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tells {
    /// What became of the delivery of a mail of ours.
    Report(Sent, Bounce),
    /// What it is to the probe with this id. Only a mail from whom an answer may come, and a report that names the probe, are
    /// removed.
    Answer(Uuid, Answer),
}

/// The promise that a mail is noted.
#[derive(Debug)]
pub struct Noted(oneshot::Sender<()>);

impl Noted {
    /// It is: the mail may go.
    pub fn tell(self) {
        // Who watched may have gone; then it is told again.
        self.0.send(()).ok();
    }
}

/// Where all who wait at one mailbox, a folder of an account, say so: one of them watches it for all.
pub struct Desk {
    /// The right to watch; and the session that whoever watched before has left open.
    turn: tokio::sync::Mutex<Option<Box<dyn Mailbox>>>,
    /// Those who wait for their turn.
    queue: AtomicUsize,
    parties: Mutex<Vec<Party>>,
    numbers: AtomicU64,
    /// Whether somebody came since the last look.
    news: AtomicBool,
    /// Those who wait for a note of what is there.
    asking: AtomicUsize,
    standing: Sender<Standing>,
    /// Rung where whoever watches has reason to look up.
    bell: Notify,
    /// The failures that ended a watch, and the last.
    failed: Mutex<(u64, Option<Diagnosis>)>,
    logins: Mutex<Logins>,
    keys: RandomState,
}

/// How it stands with the mailbox.
#[derive(Clone, Debug)]
enum Standing {
    Closed,
    /// It is watched, and nothing below this was left unseen.
    Open(Mark),
    Failed(Diagnosis),
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            queue: AtomicUsize::default(),
            parties: Mutex::default(),
            numbers: AtomicU64::default(),
            news: AtomicBool::default(),
            asking: AtomicUsize::default(),
            standing: Sender::new(Standing::Closed),
            bell: Notify::new(),
            failed: Mutex::default(),
            logins: Mutex::default(),
            keys: RandomState::new(),
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("parties", &lock(&self.parties).len()).finish_non_exhaustive()
    }
}

impl Desk {
    /// Somebody waits, until what comes back is dropped. To be called before the mail is sent.
    #[must_use]
    pub fn wait_for(&self, wish: Wish) -> (UnboundedReceiver<News>, Waits<'_>) {
        let (tell, hears) = unbounded_channel();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        lock(&self.parties).push(Party::new(number, wish, tell));
        self.news.store(true, Ordering::Relaxed);
        self.bell.notify_one();
        (hears, Waits { desk: self, number })
    }

    /// What the mailbox holds, to be written down before a mail is sent: what comes afterwards is looked at by whoever waits with
    /// it. Whoever calls this takes part in the watch meanwhile ([`watch`]).
    ///
    /// # Errors
    /// Why the mailbox could not be opened, as soon as that was tried.
    pub async fn note(&self) -> Result<Mark, Diagnosis> {
        let mut standing = self.standing.subscribe();
        if let Standing::Open(mark) = &*standing.borrow() {
            return Ok(mark.clone());
        }
        let _asking = Counted::new(&self.asking);
        self.bell.notify_one();
        loop {
            if standing.changed().await.is_err() {
                // The desk has the other end.
                std::future::pending::<()>().await;
            }
            match &*standing.borrow_and_update() {
                Standing::Open(mark) => return Ok(mark.clone()),
                Standing::Failed(failure) => return Err(failure.clone()),
                Standing::Closed => {}
            }
        }
    }
}

/// Somebody who waits.
#[derive(Debug)]
pub struct Waits<'a> {
    desk: &'a Desk,
    number: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        lock(&self.desk.parties).retain(|party| party.number != self.number);
    }
}

/// One more, as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Tell = UnboundedSender<News>;
