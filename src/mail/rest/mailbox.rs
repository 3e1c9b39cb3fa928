//! A mailbox over an API. A mail is known by when it came: what came since a time is listed, and ours are recognised here, by
//! subject and header, as over IMAP and POP3 (promise 10). A server shows a mail late, and its clocks differ: so each look
//! begins some minutes before the time that was noted, and at the same time until the end.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{Folder, Listed, Service, Take, pace::step};
use crate::{
    api::Reason,
    mail::{
        Diagnosis, Stage,
        bounce::announces_report,
        mailbox::{Arrivals, Cleanup, Concerns, Earlier, Mailbox, Mark, Place, REPORTS, Shown, Sighting, recognise},
    },
};

/// So much may the clock that stamps mail be behind the one that was noted.
const ALLOWANCE: Duration = Duration::from_mins(5);
/// The most mails of one look.
const NEWEST: usize = 500;
/// How many of the newest are looked at for junk, and for what earlier runs have left.
const AROUND: usize = 50;
/// How many of the mails that were read are known to have been.
const READ: usize = 2 * NEWEST;
/// The time that is left for what follows a wait.
const COURTESY: Duration = Duration::from_secs(1);

/// The folders that are looked at.
struct Folders {
    /// Where mail arrives.
    inbox: Folder,
    /// Those for junk.
    junk: Vec<Folder>,
}

impl Folders {
    /// The folder of this name, the one for junk that the provider has, and those of these names that are there.
    async fn find(service: &mut dyn Service, name: &str, junk: &[String]) -> Result<Self, Diagnosis> {
        let missing = |what: &str| Diagnosis::new(Reason::MailboxNotFound).detail(format!("there is no {what} {name}"));
        let inbox = service.named(name).await?.ok_or_else(|| missing(service.calls_it()))?;
        let mut found: Vec<Folder> = service.junk().await?.into_iter().collect();
        for name in junk {
            found.extend(service.named(name).await?.filter(|folder| !found.contains(folder)));
        }
        Ok(Self { inbox, junk: found })
    }
}

/// A mailbox that is open: a token that was taken, and the folders.
pub struct RestMailbox {
    service: Box<dyn Service>,
    shown: Shown,
    folders: Folders,
    /// Reports on deliveries that were passed.
    reports: Vec<Place>,
    /// All of them since the session began.
    passed: HashSet<String>,
    /// Those that were read of late.
    read: VecDeque<Place>,
    /// Since when something is expected.
    expected: Instant,
}

impl RestMailbox {
    /// Finds the folders of a mailbox whose API has greeted.
    ///
    /// # Errors
    /// At the stage Select: `MailboxNotFound`, and what refusals mean.
    pub async fn open(mut service: Box<dyn Service>, name: &str, junk: &[String]) -> Result<Self, Diagnosis> {
        let folders = Folders::find(service.as_mut(), name, junk).await.map_err(|diagnosis| diagnosis.at(Stage::Select))?;
        let shown = Shown {
            name: folders.inbox.name.clone(),
            messages: folders.inbox.messages,
            junk: folders.junk.iter().map(|folder| folder.name.clone()).collect(),
        };
        let (reports, passed, read) = (Vec::new(), HashSet::new(), VecDeque::new());
        Ok(Self { service, shown, folders, reports, passed, read, expected: Instant::now() })
    }

    /// Passes what came since; the newest where the mark is another protocol's.
    async fn pass_since(&mut self, mark: &Mark, take: Take<'_>) -> Result<(), Diagnosis> {
        let since = match mark {
            Mark::Time { at } => Timestamp::from_second(*at).and_then(|at| at.checked_sub(ALLOWANCE)).ok(),
            Mark::Imap { .. } | Mark::Pop3 { .. } => None,
        };
        let Self { service, folders, .. } = self;
        service.pass(&folders.inbox, since, NEWEST, take).await.map_err(|diagnosis| diagnosis.at(Stage::Fetch))
    }

    /// Passes the newest of each folder for junk.
    async fn pass_junk(&mut self, take: &mut (dyn FnMut(&Folder, Listed) + Send)) -> Result<(), Diagnosis> {
        let Self { service, folders, .. } = self;
        for folder in &folders.junk {
            let passed = service.pass(folder, None, AROUND, &mut |mail| take(folder, mail)).await;
            passed.map_err(|diagnosis| diagnosis.at(Stage::Fetch))?;
        }
        Ok(())
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
            let (mut sightings, mut reports, inbox) = (Vec::new(), Vec::new(), self.folders.inbox.clone());
            self.pass_since(since, &mut |mail| {
                let place = place(&inbox, mail.id, false);
                match recognise(&mail.header, codes, place.clone()) {
                    Some(sighting) => sightings.push(sighting),
                    None if announces_report(&mail.header) => reports.push(place),
                    None => {}
                }
            })
            .await?;
            for report in reports {
                if self.reports.len() < REPORTS && self.passed.insert(report.id.clone()) {
                    self.reports.push(report);
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
            let (mut places, inbox) = (Vec::new(), self.folders.inbox.clone());
            self.pass_since(since, &mut |mail| {
                if concerns(&mail.header) {
                    places.push(place(&inbox, mail.id, false));
                }
            })
            .await?;
            places.reverse();
            Ok(Arrivals { places, mark: Mark::Time { at } })
        }
        .boxed()
    }

    fn arrivals_in_junk<'a>(&'a mut self, concerns: Concerns<'a>) -> BoxFuture<'a, Result<Vec<Place>, Diagnosis>> {
        async move {
            let mut places = Vec::new();
            self.pass_junk(&mut |folder, mail| {
                if concerns(&mail.header) {
                    places.push(place(folder, mail.id, true));
                }
            })
            .await?;
            Ok(places)
        }
        .boxed()
    }

    fn look_in_junk<'a>(&'a mut self, codes: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>> {
        async move {
            let mut sightings = Vec::new();
            self.pass_junk(&mut |folder, mail| {
                sightings.extend(recognise(&mail.header, codes, place(folder, mail.id, true)));
            })
            .await?;
            Ok(sightings)
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
            let (mut left, Self { service, folders, .. }) = (Vec::new(), self);
            let take: Take<'_> = &mut |mail| left.extend(runs.recognise(&mail.header, place(&folders.inbox, mail.id, false)));
            let passed = service.pass(&folders.inbox, None, AROUND, take).await;
            passed.map_err(|diagnosis| diagnosis.at(Stage::Fetch))?;
            Ok(left.into_iter().rev().take(most).collect())
        }
        .boxed()
    }

    fn reports(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.reports)
    }

    fn read<'a>(&'a mut self, place: &'a Place) -> BoxFuture<'a, Result<Option<Vec<u8>>, Diagnosis>> {
        async move {
            if !self.read.contains(place) {
                if self.read.len() == READ {
                    self.read.pop_front();
                }
                self.read.push_back(place.clone());
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
