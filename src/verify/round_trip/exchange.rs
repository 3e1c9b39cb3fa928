//! A probe whose answer comes to a mailbox, from its beginning to its end: the mailbox is open before the mail is sent, and watched
//! until the answer is there or its time is over. The same for the operator and for `check --live`.

use std::time::Duration;

use futures::future::{BoxFuture, join};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{mpsc::UnboundedReceiver, watch as channel},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{Came, Posting, ProbeReport, matching::Expectation, send};
use crate::{
    api::{Reason, v1alpha1::Level},
    mail::{
        Diagnosis,
        mailbox::{Cleanup, Mark},
    },
    verify::{
        Gate, Report,
        gate::Until,
        mailbox::{
            self,
            desk::{Awaited, Desk, Heard, News, Tells, Wish, watch},
        },
        schedule::later,
    },
};

/// How long a mail may stand there before it is seen, where the mailbox is watched and much comes; the clocks of servers differ by
/// less.
const SEEN: SignedDuration = SignedDuration::from_secs(30);
/// How long behind a probe's time what came in time may still have to be found.
const GRACE: Duration = Duration::from_secs(5);
/// The time for leaving the mailbox in order.
const LEAVING: Duration = Duration::from_secs(10);

/// The mailbox that answers come to.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// How it is opened.
    pub mailbox: &'a mailbox::Inputs,
    /// Where all who wait at it say so.
    pub desk: &'a Desk,
    /// What becomes of our mails in it.
    pub cleanup: Cleanup,
}

/// How an exchange begins.
#[derive(Clone, Copy, Debug)]
pub enum Opening<'a> {
    /// The mail is to be sent.
    Send,
    /// It was sent before, perhaps by another process.
    Look {
        /// What the mailbox held before.
        mark: Option<&'a str>,
        /// When its time is over.
        deadline: Timestamp,
        /// How long behind that a mailbox that nobody could look into is tried again.
        tries_until: Timestamp,
    },
}

/// Asked before each step that acts on somebody's account, and told what was found.
pub trait Permits: Send + Sync {
    /// The gate of logins to the mailbox, which ends when the exchange is to end.
    fn logins(&self) -> &dyn Gate;

    /// The gate of the mail, before which the mailbox held this: takes the claim.
    fn sending<'a>(&'a self, mark: &'a str) -> Box<dyn Gate + 'a>;

    /// Told what became of the sending.
    fn sent<'a>(&'a self, report: &'a Report, sent: Option<Timestamp>) -> BoxFuture<'a, ()>;

    /// Takes note of a mail that came, before it is removed.
    fn came(&self, came: Came) -> BoxFuture<'_, Noted>;
}

/// What became of a mail that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It could not be noted: it stays, and is told again.
    No,
    /// It is noted, and the probe goes on.
    Yes,
    /// It settled the probe.
    Settled,
}

/// Runs an exchange. None where the probe was settled by what came, or told to end: there is nothing more to tell.
pub async fn exchange(
    posting: Posting<'_>,
    place: Place<'_>,
    permits: &dyn Permits,
    expected: &Expectation,
    opening: Opening<'_>,
) -> Option<ProbeReport> {
    let over = channel::channel(false);
    let gate = Until { gate: permits.logins(), over: over.1 };
    let flow = async {
        let report = Flow { posting, place, permits, expected, gate: &gate }.run(opening).await;
        over.0.send_replace(true);
        report
    };
    let watching = async {
        watch(place.mailbox, posting.vantage, &gate, place.desk).await.ok();
    };
    // What was noted is removed by whoever watches: perhaps by us, and that takes a moment.
    let mut ended = over.0.subscribe();
    let leaving = async {
        ended.wait_for(|over| *over).await.ok();
        tokio::time::sleep(LEAVING).await;
    };
    let watching = async {
        tokio::select! {
            () = watching => {}
            () = leaving => {}
        }
    };
    let (report, ()) = join(flow, watching).await;
    report
}

struct Flow<'a> {
    posting: Posting<'a>,
    place: Place<'a>,
    permits: &'a dyn Permits,
    expected: &'a Expectation,
    gate: &'a Until<'a>,
}

impl Flow<'_> {
    async fn run(&self, opening: Opening<'_>) -> Option<ProbeReport> {
        match opening {
            Opening::Send => self.send().await,
            Opening::Look { mark, deadline, tries_until } => {
                let timeout = self.posting.inputs.timeout;
                let until = instant(deadline);
                let wish = self.wish(mark.and_then(|mark| mark.parse().ok()), until.checked_sub(timeout).unwrap_or(until), until);
                let (mut hears, _waits) = self.place.desk.wait_for(wish);
                self.listen(&mut hears, deadline, tries_until).await
            }
        }
    }

    async fn send(&self) -> Option<ProbeReport> {
        let (inputs, id) = (self.posting.inputs, self.expected.id);
        let mark = tokio::select! {
            mark = self.place.desk.note() => mark,
            () = self.gate.ends() => return None,
        };
        let mark = match mark {
            Ok(mark) => mark,
            Err(failure) => return Some(unopened(self.place, id, failure, false)),
        };
        let begun = Instant::now();
        let (mut hears, _waits) = self.place.desk.wait_for(self.wish(Some(mark.clone()), begun, begun + inputs.timeout));
        let text = mark.to_string();
        let (report, sent) = {
            let gate = self.permits.sending(&text);
            send(self.posting, &*gate, id).await
        };
        self.permits.sent(&report, sent).await;
        let dot_sent = report.delivery.as_ref().is_some_and(|delivery| delivery.dot_sent);
        if !dot_sent {
            return Some(ProbeReport { id: id.to_string(), report, sent, looked: false });
        }
        // It was told; from here on only its answer is of interest.
        let sent = sent.unwrap_or_else(Timestamp::now);
        let deadline = later(sent, inputs.timeout);
        self.listen(&mut hears, deadline, deadline).await
    }

    fn wish(&self, since: Option<Mark>, begun: Instant, until: Instant) -> Wish {
        let awaited = vec![Awaited::Answer(self.expected.clone())];
        Wish { awaited, cleanup: self.place.cleanup, since, begun, until: Some(until) }
    }

    /// Hears what comes until the probe is settled, or its time is over; where nobody could look by then, until `tries_until`.
    async fn listen(&self, hears: &mut UnboundedReceiver<News>, ended: Timestamp, tries_until: Timestamp) -> Option<ProbeReport> {
        let (deadline, tries_until) = (instant(ended), instant(tries_until));
        let id = self.expected.id;
        let (mut trouble, mut looked) = (None, false);
        loop {
            let over = deadline.max(Instant::now());
            let patience = if looked { over } else { tries_until.max(over + GRACE) };
            let news = tokio::select! {
                biased;
                () = self.gate.gate.ends() => return None,
                news = hears.recv() => news?,
                () = sleep_until(patience) => break,
            };
            match news {
                News::Mail(mail) => {
                    let Heard { tells: Tells::Answer(_, mut answer), received, arrived, junk, noted } = *mail else { continue };
                    if let (None, Some(folder)) = (&answer.failure, junk) {
                        answer.failure = Some(
                            Diagnosis::new(Reason::MessageInJunk)
                                .detail(format!("the answer came to {folder}"))
                                .fact("folder", folder)
                                .fact("from", self.posting.inputs.to.as_str()),
                        );
                    }
                    let received = came(received, arrived, ended);
                    let told = self.permits.came(Came { probe: id.to_string(), received, answer }).await;
                    if told != Noted::No {
                        noted.tell();
                    }
                    if told == Noted::Settled {
                        return None;
                    }
                }
                News::Failed { failure, over: true } => return Some(unopened(self.place, id, failure, true)),
                News::Failed { failure, over: false } => trouble = Some(failure),
                News::Over if Instant::now() >= deadline => {
                    looked = true;
                    break;
                }
                News::Over => looked = true,
            }
        }
        if let Some(failure) = trouble.filter(|_| !looked) {
            return Some(unopened(self.place, id, failure, true));
        }
        if !looked {
            return Some(unopened(self.place, id, unseen(self.place), true));
        }
        let report = Report::new(Level::Authenticate, self.place.mailbox.endpoint.to_string());
        Some(ProbeReport { id: id.to_string(), report, sent: None, looked: true })
    }
}

/// When a mail came: when it was seen, where that was a moment later. Where nobody was there to see it, or only once its time was
/// over, its own server says when.
fn came(seen: Timestamp, arrived: Option<Timestamp>, over: Timestamp) -> Timestamp {
    let unseen = |arrived: &Timestamp| seen.duration_since(*arrived) > SEEN || (seen > over && *arrived <= over);
    arrived.filter(unseen).unwrap_or(seen)
}

/// That nobody has looked into the mailbox since the mail was sent: what is in it is not known.
fn unseen(place: Place<'_>) -> Diagnosis {
    let address = place.mailbox.login.as_ref().map(|login| login.credential.user()).unwrap_or_default();
    Diagnosis::new(Reason::MailboxUnseen).fact("user", address).fact("protocol", place.mailbox.protocol.as_str())
}

/// That the mailbox could not be looked at.
fn unopened(place: Place<'_>, id: Uuid, failure: Diagnosis, looked: bool) -> ProbeReport {
    let mut report = Report::new(Level::Authenticate, place.mailbox.endpoint.to_string());
    report.failure = Some(failure);
    ProbeReport { id: id.to_string(), report, sent: None, looked }
}

fn instant(until: Timestamp) -> Instant {
    let left = until.duration_since(Timestamp::now());
    Instant::now() + Duration::try_from(left).unwrap_or(Duration::ZERO)
}
