//! A maildrop (RFC 1939 section 5): opened, cleaned up and left. Looking is in `look`.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{About, Session, classify, classify::wordings::says_gone, reply};
use crate::mail::{
    Diagnosis, Stage,
    mailbox::{Arrivals, Cleanup, Concerns, Earlier, Mailbox, Mark, Place, Shown, Sighting, recognise},
    smtp::providers::Provider,
    wire::broke,
};

/// A maildrop has no name; this is what people call it.
pub(super) const NAME: &str = "INBOX";
/// The time for QUIT.
const GOODBYE: Duration = Duration::from_secs(1);

/// A maildrop that is open, in one session. It shows what was there when the session began: new mail is seen by a new
/// session only, which is a new login (promise 9), and the session locks the maildrop as long as it lasts.
pub struct Pop3Mailbox {
    pub(super) session: Session,
    pub(super) account: Account,
    pub(super) shown: Shown,
    /// Our mails that this session has found: its numbers hold for no other.
    found: Vec<Sighting>,
    /// Reports on deliveries that were passed.
    pub(super) reports: Vec<Place>,
    /// Those that were read.
    read: Vec<Place>,
    /// What was marked for removal: the server shows it no more.
    pub(super) deleted: Vec<u32>,
}

/// What [`About`] borrows.
pub(super) struct Account {
    host: String,
    port: u16,
    user: String,
    provider: Option<Provider>,
}

impl Account {
    pub(super) fn about(&self) -> About<'_> {
        About { host: &self.host, port: self.port, user: &self.user, provider: self.provider }
    }
}

impl Pop3Mailbox {
    /// Counts the messages of a session that has logged in.
    ///
    /// # Errors
    /// At the stage List: what a refusal of STAT means, `ProtocolError` where it counts nothing, and as [`reply::reply`].
    pub async fn open(mut session: Session, about: &About<'_>) -> Result<Self, Diagnosis> {
        let stat = reply::command(&mut session.wire, "STAT").await.map_err(|diagnosis| diagnosis.at(Stage::List))?;
        if !stat.positive {
            return Err(classify(Stage::List, &stat, about));
        }
        let messages = stat
            .words
            .split(' ')
            .next()
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| broke("RFC 1939 section 5 (STAT tells a count)".to_owned()).words(stat.text()).at(Stage::List))?;
        let account =
            Account { host: about.host.to_owned(), port: about.port, user: about.user.to_owned(), provider: about.provider };
        let shown = Shown { name: NAME.to_owned(), messages, junk: Vec::new() };
        Ok(Self { session, account, shown, found: Vec::new(), reports: Vec::new(), read: Vec::new(), deleted: Vec::new() })
    }

    fn keep(&mut self, sightings: &[Sighting]) {
        for sighting in sightings {
            if !self.found.contains(sighting) {
                self.found.push(sighting.clone());
            }
        }
    }

    /// Whether this number is that mail in this session. A place of another session tells nothing: its header is read again.
    async fn is_there(&mut self, ours: &Sighting) -> Result<bool, Diagnosis> {
        if self.found.contains(ours) {
            return Ok(true);
        }
        let number = ours.place.number;
        if !(1..=self.shown.messages).contains(&number) {
            return Ok(false);
        }
        let Ok(header) = self.top(number).await? else { return Ok(false) };
        Ok(recognise(&header, &[ours.code], place(number)).is_some_and(|now| now.run == ours.run))
    }

    async fn delete(&mut self, ours: &[Sighting]) -> Result<usize, Diagnosis> {
        let mut count = 0;
        for sighting in ours {
            let number = sighting.place.number;
            if self.deleted.contains(&number) || !self.is_there(sighting).await? {
                continue;
            }
            count += usize::from(self.mark_for_removal(number).await?);
        }
        Ok(count)
    }

    /// Whether it was there.
    async fn mark_for_removal(&mut self, number: u32) -> Result<bool, Diagnosis> {
        let reply = reply::command(&mut self.session.wire, &format!("DELE {number}")).await?;
        if !reply.positive && says_gone(&reply.words) {
            return Ok(false);
        }
        if !reply.positive {
            return Err(classify(Stage::Cleanup, &reply, &self.account.about()));
        }
        self.deleted.push(number);
        Ok(true)
    }
}

impl Mailbox for Pop3Mailbox {
    fn shown(&self) -> &Shown {
        &self.shown
    }

    /// The count with which the session began.
    fn note(&mut self) -> BoxFuture<'_, Result<Mark, Diagnosis>> {
        let messages = self.shown.messages;
        async move { Ok(Mark::Pop3 { messages }) }.boxed()
    }

    /// Looks at what came since, the newest first, at most 500. Where the count did not grow since it was noted, others have
    /// removed mail: the newest 50 are looked at then.
    fn look<'a>(&'a mut self, since: &'a Mark, codes: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        let noted = counted(since);
        async move {
            let sightings = self.search(noted, codes).await.map_err(|diagnosis| diagnosis.at(Stage::Top))?;
            self.keep(&sightings);
            Ok(sightings)
        }
        .boxed()
    }

    fn arrivals<'a>(&'a mut self, since: &'a Mark, concerns: Concerns<'a>) -> BoxFuture<'a, Result<Arrivals, Diagnosis>> {
        async move {
            let places = self.arrived(counted(since), concerns).await.map_err(|diagnosis| diagnosis.at(Stage::Top))?;
            Ok(Arrivals { places, mark: since.clone() })
        }
        .boxed()
    }

    /// None: POP3 does not show folders.
    fn arrivals_in_junk<'a>(&'a mut self, _: Concerns<'a>) -> BoxFuture<'a, Result<Vec<Place>, Diagnosis>> {
        async { Ok(Vec::new()) }.boxed()
    }

    /// None: POP3 does not show folders.
    fn look_in_junk<'a>(&'a mut self, _: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        async { Ok(Vec::new()) }.boxed()
    }

    /// Deletes by marking (DELE). The server removes at QUIT, in [`Mailbox::close`]: if that does not get through, it removes
    /// nothing (RFC 1939 section 6), and the mails are there for the next session. Nothing can be marked as read over POP3.
    fn clean_up<'a>(&'a mut self, ours: &'a [Sighting], how: Cleanup) -> BoxFuture<'a, Result<usize, Diagnosis>> {
        async move {
            match how {
                Cleanup::Delete => self.delete(ours).await.map_err(|diagnosis| diagnosis.at(Stage::Cleanup)),
                Cleanup::MarkSeen | Cleanup::Keep => Ok(0),
            }
        }
        .boxed()
    }

    fn earlier<'a>(&'a mut self, runs: &'a Earlier<'a>, most: usize) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        async move {
            let sightings = self.search_for_earlier(runs, most).await.map_err(|diagnosis| diagnosis.at(Stage::Top))?;
            self.keep(&sightings);
            Ok(sightings)
        }
        .boxed()
    }

    fn reports(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.reports)
    }

    fn read<'a>(&'a mut self, place: &'a Place) -> BoxFuture<'a, Result<Option<Vec<u8>>, Diagnosis>> {
        async move {
            self.read.push(place.clone());
            Ok(self.start_of(place.number).await.map_err(|diagnosis| diagnosis.at(Stage::Top))?.ok())
        }
        .boxed()
    }

    fn clear<'a>(&'a mut self, place: &'a Place, how: Cleanup) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            // In another session the number may be somebody else's.
            if how == Cleanup::Delete && self.read.contains(place) && !self.deleted.contains(&place.number) {
                self.mark_for_removal(place.number).await.map_err(|diagnosis| diagnosis.at(Stage::Cleanup))?;
            }
            Ok(())
        }
        .boxed()
    }

    /// No: a session would keep others from the maildrop, and shows nothing new.
    fn stays(&self) -> bool {
        false
    }

    /// Only lets the time go by.
    fn wait<'a>(&'a mut self, until: Instant, woken: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<bool, Diagnosis>> {
        async move {
            tokio::select! {
                () = sleep_until(until) => {}
                () = woken => {}
            }
            Ok(false)
        }
        .boxed()
    }

    /// No session shows what comes.
    fn hurry(&mut self) {}

    fn set_deadline(&mut self, deadline: Instant) {
        self.session.wire.set_deadline(deadline);
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            let wire = &mut self.session.wire;
            wire.set_deadline(Instant::now() + GOODBYE);
            self.session.quit().await.ok();
        }
        .boxed()
    }
}

/// How many there were; another protocol's mark does not hold.
fn counted(mark: &Mark) -> u32 {
    match mark {
        Mark::Pop3 { messages } => *messages,
        Mark::Imap { .. } | Mark::Time { .. } => 0,
    }
}

pub(super) fn place(number: u32) -> Place {
    Place { folder: String::new(), validity: 0, number, id: String::new(), junk: false }
}
