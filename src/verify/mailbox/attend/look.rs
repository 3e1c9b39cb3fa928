//! One look, and the looks of a session that stays (promise 10).

use std::time::Duration;

use futures::future::{FutureExt, pending};
use tokio::time::Instant;

use super::Search;
use crate::{
    api::Reason,
    mail::{
        Diagnosis,
        bounce::{Action, Bounce},
        mailbox::{Cleanup, Mailbox, Mark, Place, Sighting},
    },
    verify::Gate,
};

/// The time behind the end of a search for what was begun before it: the last look, the cleanup.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// The most reports on deliveries that one search reads: most are on other people's mails.
const REPORTS: usize = 100;

/// What is looked for, since when, and until when.
pub(super) struct Quest<'a> {
    pub(super) search: &'a Search<'a>,
    pub(super) mark: Mark,
    pub(super) accepted: Instant,
    pub(super) until: Instant,
    /// The time for one answer.
    pub(super) patience: Duration,
    /// By what a report on the mail is known.
    pub(super) ids: Ids,
    /// The last report that somebody goes on trying.
    pub(super) delayed: Option<Bounce>,
    reports: usize,
    /// Whether junk was looked at, a third of the time behind the beginning.
    junk_seen: bool,
}

/// What a report on the mail's delivery names.
pub(super) struct Ids {
    pub(super) message: Option<String>,
    pub(super) envelope: Option<String>,
}

/// How looking ended.
pub(super) enum Ending {
    /// It is in the mailbox; and the copies in junk.
    Found(Vec<Sighting>),
    /// It is in junk alone.
    InJunk(Vec<Sighting>),
    /// It came back; and where the report stands.
    Bounced(Box<Bounce>, Place),
    /// It is not there yet.
    NotYet,
    /// It did not come in time.
    Nowhere,
    /// Nobody wants to know any more.
    Unwanted,
}

impl<'a> Quest<'a> {
    pub(super) fn new(search: &'a Search<'a>, mark: Mark, accepted: Instant, patience: Duration, ids: Ids) -> Self {
        let until = accepted + search.timeout;
        Self { search, mark, accepted, until, patience, ids, delayed: None, reports: 0, junk_seen: false }
    }

    /// The moment by which something that begins now has to be done.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        (now + self.patience).min(self.until.max(now) + GRACE)
    }

    /// Looks in an open mailbox: once, or until the end where the session stays.
    pub(super) async fn follow(&mut self, mailbox: &mut dyn Mailbox, stays: bool, gate: &dyn Gate) -> Result<Ending, Diagnosis> {
        let third = self.accepted + self.search.timeout / 3;
        loop {
            let now = Instant::now();
            let last = now >= self.until;
            mailbox.set_deadline(self.deadline(now));
            let junk = last || (!self.junk_seen && now >= third);
            if let Some(ending) = self.look(mailbox, junk, last).await? {
                return Ok(ending);
            }
            if let Some(ending) = self.read_reports(mailbox).await? {
                return Ok(ending);
            }
            self.junk_seen |= junk;
            if last {
                return Ok(Ending::Nowhere);
            }
            if !stays {
                return Ok(Ending::NotYet);
            }
            let next = if self.junk_seen { self.until } else { third.min(self.until) };
            mailbox.set_deadline(self.deadline(next));
            tokio::select! {
                came = mailbox.wait(next, pending().boxed()) => drop(came?),
                () = gate.ends() => return Ok(Ending::Unwanted),
            }
        }
    }

    async fn look(&self, mailbox: &mut dyn Mailbox, junk: bool, last: bool) -> Result<Option<Ending>, Diagnosis> {
        let junk = junk && !mailbox.shown().junk.is_empty();
        // At the end the mailbox comes first, in case that junk cannot be seen.
        if !junk || last {
            let here = self.look_here(mailbox).await?;
            if !here.is_empty() {
                return Ok(Some(Ending::Found(here)));
            }
        }
        if !junk {
            return Ok(None);
        }
        let in_junk = self.ours(mailbox.look_in_junk(&[self.search.code]).await?);
        // What came while another folder was open gives no notice.
        let mut here = self.look_here(mailbox).await?;
        if here.is_empty() {
            return Ok(if in_junk.is_empty() { None } else { Some(Ending::InJunk(in_junk)) });
        }
        here.extend(in_junk);
        Ok(Some(Ending::Found(here)))
    }

    async fn look_here(&self, mailbox: &mut dyn Mailbox) -> Result<Vec<Sighting>, Diagnosis> {
        Ok(self.ours(mailbox.look(&self.mark, &[self.search.code]).await?))
    }

    /// Reads what may be on our mail; of all other mails no more than headers is read.
    async fn read_reports(&mut self, mailbox: &mut dyn Mailbox) -> Result<Option<Ending>, Diagnosis> {
        let (message, envelope) = (self.ids.message.as_deref(), self.ids.envelope.as_deref());
        for place in mailbox.reports() {
            if self.reports == REPORTS || (message.is_none() && envelope.is_none()) {
                break;
            }
            self.reports += 1;
            let Some(bounce) = mailbox.read(&place).await?.and_then(|mail| Bounce::read(&mail)) else { continue };
            if !bounce.is_about(envelope, message) {
                continue;
            }
            let bounce = bounce.without(&self.search.code.to_string());
            match bounce.action {
                Action::Failed => return Ok(Some(Ending::Bounced(Box::new(bounce), place))),
                Action::Delayed => self.delayed = Some(bounce),
                Action::Delivered => {}
            }
            if self.search.cleanup == Cleanup::Delete {
                // What broke the conversation is told by what is said next.
                mailbox.clear(&place, Cleanup::Delete).await.ok();
            }
        }
        Ok(None)
    }

    /// Those that may be ours: another header than ours belongs to somebody else, whatever the subject says. A gateway may
    /// have taken ours away.
    fn ours(&self, sightings: Vec<Sighting>) -> Vec<Sighting> {
        let Some(run) = self.search.run else { return sightings };
        sightings.into_iter().filter(|sighting| sighting.run.as_deref().is_none_or(|theirs| theirs == run)).collect()
    }

    /// What an ending means for the mail.
    pub(super) fn judge(&self, ending: &Ending, mailbox: &str) -> Result<(), Diagnosis> {
        match ending {
            Ending::Found(_) | Ending::NotYet | Ending::Unwanted => Ok(()),
            Ending::InJunk(sightings) => {
                let folder = sightings.first().map(|sighting| sighting.place.folder.as_str()).unwrap_or_default();
                Err(Diagnosis::new(Reason::MessageInJunk).detail(format!("the mail came into {folder}")).fact("folder", folder))
            }
            Ending::Bounced(bounce, _) => Err(bounce.diagnosis()),
            Ending::Nowhere => {
                let timeout = format!("{}s", self.search.timeout.as_secs_f64());
                let delayed = if self.delayed.is_some() { "; a server on the way reported that it goes on trying" } else { "" };
                Err(Diagnosis::new(Reason::MessageNotReceived)
                    .detail(format!("the mail was not in {mailbox} after {timeout}{delayed}"))
                    .fact("mailbox", mailbox)
                    .fact("timeout", timeout))
            }
        }
    }
}
