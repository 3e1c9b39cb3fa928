//! Looking for our mails among what is new (promise 10): headers only, never a body, and never more than is reasonable.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{ImapMailbox, Session, Status, classify, response::Fetched, response::Response};
use crate::mail::{
    Diagnosis, Stage,
    mailbox::{Mark, Place, Sighting, recognise},
};

/// The newest messages that are looked at, where more are new.
const NEW: u32 = 500;
/// The newest messages in a folder for junk that are looked at.
const JUNK: u32 = 200;
/// The most messages in one FETCH: with [`FIELDS`] of each, less than one command may bring.
const BATCH: u32 = 25;
/// The first of several is smaller: nearly always what is looked for is the newest.
const FIRST: u32 = 5;
/// The most messages that a SEARCH may bring.
const FOUND: usize = 100;
/// A stranger's header may be of any size, and must not keep us from ours: the start of each is enough.
const FIELDS: &str = "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT X-MAILVERITY-RUN AUTHENTICATION-RESULTS)]<0.8192>)";

/// What is looked for.
struct Sought<'a> {
    codes: &'a [Uuid],
    /// No message with a lower UID counts.
    from: u32,
    junk: bool,
}

impl ImapMailbox {
    pub(super) async fn look_now(&mut self, since: &Mark, codes: &[Uuid]) -> Result<Vec<Sighting>, Diagnosis> {
        self.back().await?;
        self.session.accepted(Stage::Fetch, "NOOP").await?;
        let from = match since {
            Mark::Imap { validity, next } if *validity == self.session.selected.validity => *next,
            // UIDs have begun anew: all that is there may be new.
            _ => 1,
        };
        let sought = Sought { codes, from: from.max(1), junk: false };
        match self.session.selected.at_most_from(sought.from) {
            0 => Ok(Vec::new()),
            few if few <= BATCH => self.session.sightings(&format!("UID FETCH {}:* {FIELDS}", sought.from), &sought).await,
            _ => {
                let (mut found, reached) = self.session.newest(NEW, &sought).await?;
                if !reached && found.is_empty() {
                    found = self.session.searched(&sought).await?;
                }
                Ok(found)
            }
        }
    }

    pub(super) async fn look_at_junk(&mut self, codes: &[Uuid]) -> Result<Vec<Sighting>, Diagnosis> {
        let mut found = Vec::new();
        for folder in self.shown.junk.clone() {
            let said = self.session.try_select(&folder, false).await?;
            match said.status {
                Status::Ok => {
                    let sought = Sought { codes, from: 1, junk: true };
                    found.extend(self.session.newest(JUNK, &sought).await?.0);
                }
                Status::Bye => return Err(classify(Stage::Select, &said, &self.session.about)),
                // What the spec names need not be there.
                _ => {}
            }
        }
        self.back().await?;
        Ok(found)
    }
}

impl Session {
    /// Goes from the newest message back, until one is old or so many were seen; and whether an old one, or the first of
    /// all, was reached. By numbers, not UIDs: those have gaps of any width.
    async fn newest(&mut self, most: u32, sought: &Sought<'_>) -> Result<(Vec<Sighting>, bool), Diagnosis> {
        let mut found = Vec::new();
        let mut newest = self.selected.exists;
        let last = newest.saturating_sub(most);
        let mut size = FIRST;
        while newest > last {
            let oldest = (newest + 1).saturating_sub(size).max(last + 1);
            let fetched = self.fetched(&format!("FETCH {oldest}:{newest} {FIELDS}")).await?;
            let old = fetched.iter().any(|fetched| fetched.uid.is_some_and(|uid| uid < sought.from));
            found.extend(self.ours(fetched, sought));
            if old {
                return Ok((found, true));
            }
            newest = oldest - 1;
            size = BATCH;
        }
        Ok((found, last == 0))
    }

    /// What the server finds by itself, which may be nothing or a refusal: some know only whole words, or index late.
    async fn searched(&mut self, sought: &Sought<'_>) -> Result<Vec<Sighting>, Diagnosis> {
        let mut uids = BTreeSet::new();
        for code in sought.codes {
            self.hide(*code);
            let search = format!("UID SEARCH UID {}:* HEADER SUBJECT \"{code}\"", sought.from);
            let answer = self.command(Stage::Search, &search).await?;
            if answer.said.status == Status::Bye {
                return Err(classify(Stage::Search, &answer.said, &self.about));
            }
            for data in answer.data {
                if let Response::Search(found) = data {
                    uids.extend(found.into_iter().filter(|uid| *uid >= sought.from));
                }
            }
        }
        let uids: Vec<_> = uids.into_iter().rev().take(FOUND).collect();
        let mut found = Vec::new();
        for batch in uids.chunks(BATCH as usize) {
            found.extend(self.sightings(&format!("UID FETCH {} {FIELDS}", set(batch)), sought).await?);
        }
        Ok(found)
    }

    async fn sightings(&mut self, fetch: &str, sought: &Sought<'_>) -> Result<Vec<Sighting>, Diagnosis> {
        let fetched = self.fetched(fetch).await?;
        Ok(self.ours(fetched, sought))
    }

    async fn fetched(&mut self, fetch: &str) -> Result<Vec<Fetched>, Diagnosis> {
        let answer = self.accepted(Stage::Fetch, fetch).await?;
        let fetched = answer.data.into_iter().filter_map(|data| match data {
            Response::Fetch(fetched) => Some(fetched),
            _ => None,
        });
        Ok(fetched.collect())
    }

    /// Those that are ours and new: `7:*` also brings the last message where its UID is lower (RFC 9051 section 9, seq-range).
    fn ours(&self, fetched: Vec<Fetched>, sought: &Sought<'_>) -> Vec<Sighting> {
        let new = fetched.into_iter().filter_map(|fetched| {
            let number = fetched.uid.filter(|uid| *uid >= sought.from)?;
            let folder = self.selected.name.clone();
            let place = Place { folder, validity: self.selected.validity, number, junk: sought.junk };
            recognise(&fetched.header?, sought.codes, place)
        });
        new.collect()
    }
}

/// A set of UIDs, as commands have it.
pub(super) fn set(uids: &[u32]) -> String {
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
