//! A mailbox over an API. A mail is known by when it came: what came since a time is listed, and ours are recognised here, by
//! subject and header, as over IMAP and POP3 (promise 10). A server shows a mail late, and its clocks differ: so each look
//! begins some minutes before the time that was noted, and at the same time until the end.

use std::{collections::HashSet, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{Folder, Folders, Listed, Service, pace::step};
use crate::mail::{
    Diagnosis, Stage,
    bounce::announces_report,
    mailbox::{Arrivals, Cleanup, Concerns, Earlier, Mailbox, Mark, Place, REPORTS, Shown, Sighting, recognise},
};

/// So much may the clock that stamps mail be behind the one that was noted.
const ALLOWANCE: Duration = Duration::from_mins(5);
/// The most mails of one look.
const NEWEST: usize = 500;
/// How many of the newest are looked at for junk, and for what earlier runs have left.
const AROUND: usize = 50;
/// The time that is left for what follows a wait.
const COURTESY: Duration = Duration::from_secs(1);

/// A mailbox that is open: a token that was taken, and the folders.
pub struct RestMailbox {
    service: Box<dyn Service>,
    shown: Shown,
    folders: Folders,
    /// Reports on deliveries that were passed.
    reports: Vec<Place>,
    /// All of them since the session began.
    passed: HashSet<String>,
    /// Those that were read.
    read: Vec<Place>,
    /// Since when something is expected.
    expected: Instant,
}

impl RestMailbox {
    /// Finds the folders of a mailbox whose API has greeted.
    ///
    /// # Errors
    /// At the stage Select: `MailboxNotFound`, and what refusals mean.
    pub async fn open(mut service: Box<dyn Service>, name: &str, junk: &[String]) -> Result<Self, Diagnosis> {
        let folders = service.folders(name, junk).await.map_err(|diagnosis| diagnosis.at(Stage::Select))?;
        let shown = Shown {
            name: folders.inbox.name.clone(),
            messages: folders.inbox.messages,
            junk: folders.junk.iter().map(|folder| folder.name.clone()).collect(),
        };
        let (reports, passed, read) = (Vec::new(), HashSet::new(), Vec::new());
        Ok(Self { service, shown, folders, reports, passed, read, expected: Instant::now() })
    }

    async fn list(&mut self, folder: &Folder, since: Option<Timestamp>, most: usize) -> Result<Vec<Listed>, Diagnosis> {
        self.service.list(folder, since, most).await.map_err(|diagnosis| diagnosis.at(Stage::Fetch))
    }

    /// What came since; the newest where the mark is another protocol's.
    async fn since(&mut self, mark: &Mark) -> Result<Vec<Listed>, Diagnosis> {
        let since = match mark {
            Mark::Time { at } => Timestamp::from_second(*at).and_then(|at| at.checked_sub(ALLOWANCE)).ok(),
            Mark::Imap { .. } | Mark::Pop3 { .. } => None,
        };
        let folder = self.folders.inbox.clone();
        self.list(&folder, since, NEWEST).await
    }

    /// The newest of each folder for junk.
    async fn junk(&mut self) -> Result<Vec<(Folder, Listed)>, Diagnosis> {
        let mut all = Vec::new();
        for folder in self.folders.junk.clone() {
            all.extend(self.list(&folder, None, AROUND).await?.into_iter().map(|mail| (folder.clone(), mail)));
        }
        Ok(all)
    }

    fn note_report(&mut self, place: Place, header: &[u8]) {
        if self.reports.len() < REPORTS && announces_report(header) && self.passed.insert(place.id.clone()) {
            self.reports.push(place);
        }
    }

    async fn clean(&mut self, id: &str, how: Cleanup) -> Result<bool, Diagnosis> {
        self.service.clean(id, how).await.map_err(|diagnosis| diagnosis.at(Stage::Cleanup))
    }
}

impl Mailbox for RestMailbox {
    fn shown(&self) -> &Shown {
        &self.shown
    }

    /// The time, by the earlier of the server's clock and ours.
    fn note(&mut self) -> BoxFuture<'_, Result<Mark, Diagnosis>> {
        let at = self.service.client().now().as_second();
        async move { Ok(Mark::Time { at }) }.boxed()
    }

    fn look<'a>(&'a mut self, since: &'a Mark, codes: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        async move {
            let mut sightings = Vec::new();
            for mail in self.since(since).await? {
                let place = place(&self.folders.inbox, mail.id, false);
                match recognise(&mail.header, codes, place.clone()) {
                    Some(sighting) => sightings.push(sighting),
                    None => self.note_report(place, &mail.header),
                }
            }
            Ok(sightings)
        }
        .boxed()
    }

    /// From where the next look goes on is now: each begins some minutes before.
    fn arrivals<'a>(&'a mut self, since: &'a Mark, concerns: Concerns<'a>) -> BoxFuture<'a, Result<Arrivals, Diagnosis>> {
        async move {
            let at = self.service.client().now().as_second();
            let listed = self.since(since).await?;
            let of_interest = listed.into_iter().rev().filter(|mail| concerns(&mail.header));
            let places = of_interest.map(|mail| place(&self.folders.inbox, mail.id, false)).collect();
            Ok(Arrivals { places, mark: Mark::Time { at } })
        }
        .boxed()
    }

    fn arrivals_in_junk<'a>(&'a mut self, concerns: Concerns<'a>) -> BoxFuture<'a, Result<Vec<Place>, Diagnosis>> {
        async move {
            let of_interest = self.junk().await?.into_iter().filter(|(_, mail)| concerns(&mail.header));
            Ok(of_interest.map(|(folder, mail)| place(&folder, mail.id, true)).collect())
        }
        .boxed()
    }

    fn look_in_junk<'a>(&'a mut self, codes: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        async move {
            let listed = self.junk().await?.into_iter();
            Ok(listed.filter_map(|(folder, mail)| recognise(&mail.header, codes, place(&folder, mail.id, true))).collect())
        }
        .boxed()
    }

    fn clean_up<'a>(&'a mut self, ours: &'a [Sighting], how: Cleanup) -> BoxFuture<'a, Result<usize, Diagnosis>> {
        async move {
            let mut count = 0;
            for sighting in ours.iter().filter(|_| how != Cleanup::Keep) {
                count += usize::from(self.clean(&sighting.place.id, how).await?);
            }
            Ok(count)
        }
        .boxed()
    }

    /// Among the newest: the rest is left to later runs.
    fn earlier<'a>(&'a mut self, runs: &'a Earlier<'a>, most: usize) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        async move {
            let folder = self.folders.inbox.clone();
            let listed = self.list(&folder, None, AROUND).await?.into_iter().rev();
            Ok(listed.filter_map(|mail| runs.recognise(&mail.header, place(&folder, mail.id, false))).take(most).collect())
        }
        .boxed()
    }

    fn reports(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.reports)
    }

    fn read<'a>(&'a mut self, place: &'a Place) -> BoxFuture<'a, Result<Option<Vec<u8>>, Diagnosis>> {
        async move {
            if !self.read.contains(place) {
                self.read.push(place.clone());
            }
            self.service.start_of(&place.id).await.map_err(|diagnosis| diagnosis.at(Stage::Fetch))
        }
        .boxed()
    }

    fn clear<'a>(&'a mut self, place: &'a Place, how: Cleanup) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            if how != Cleanup::Keep && self.read.contains(place) {
                self.clean(&place.id, how).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn stays(&self) -> bool {
        true
    }

    /// Lets the time of one step go by.
    fn wait<'a>(&'a mut self, until: Instant, woken: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<bool, Diagnosis>> {
        async move {
            let deadline = self.service.client().deadline();
            let until = until.min(deadline.checked_sub(COURTESY).unwrap_or(deadline));
            let next = Instant::now() + step(self.expected.elapsed());
            tokio::select! {
                () = sleep_until(until.min(next)) => {}
                () = woken => {}
            }
            Ok(true)
        }
        .boxed()
    }

    fn hurry(&mut self) {
        self.expected = Instant::now();
    }

    fn set_deadline(&mut self, deadline: Instant) {
        self.service.client().set_deadline(deadline);
    }

    /// There is nothing to say.
    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        tracing::debug!(requests = self.service.client().requests(), "the mailbox is left");
        async {}.boxed()
    }
}

fn place(folder: &Folder, id: String, junk: bool) -> Place {
    Place { folder: folder.name.clone(), validity: 0, number: 0, id, junk }
}
