//! Looking for our mails among what is new (promise 10): headers only, never a body, and never more than is reasonable.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{ImapMailbox, Session, Status, classify, folders::quoted, response::Fetched, response::Response};
use crate::mail::{
    Diagnosis, Stage,
    bounce::{MOST, announces_report},
    mailbox::{Earlier, Mark, Place, REPORTS, RUN, Sighting, recognise},
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
/// How often what is too much to be read is searched anew.
const AGAIN: Duration = Duration::from_mins(1);
/// A stranger's header may be of any size, and must not keep us from ours: the start of each is enough.
const FIELDS: &str = "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT X-MAILVERITY-RUN AUTHENTICATION-RESULTS CONTENT-TYPE)]<0.8192>)";

/// What is looked for.
struct Sought<'a> {
    codes: &'a [Uuid],
    /// No message with a lower UID counts.
    from: u32,
    junk: bool,
}

/// What was looked at and is not ours: a mailbox in which much comes is not read from the mark on at each look.
pub(super) struct Looked {
    validity: u32,
    from: u32,
    codes: Vec<Uuid>,
    /// Nothing below this UID has one of the codes.
    up_to: u32,
    /// Where so much is new that the oldest was left to the server's search, which may be late, that holds for a while.
    until: Option<Instant>,
}

impl Looked {
    fn holds(&self, validity: u32, from: u32, codes: &[Uuid]) -> bool {
        (self.validity, self.from) == (validity, from) && self.codes == codes && self.until.is_none_or(|end| Instant::now() < end)
    }
}

impl ImapMailbox {
    pub(super) async fn look_now(&mut self, since: &Mark, codes: &[Uuid]) -> Result<Vec<Sighting>, Diagnosis> {
        self.back().await?;
        // A wait that ended by a notice has told what there is.
        if !std::mem::take(&mut self.session.selected.told) {
            self.session.accepted(Stage::Fetch, "NOOP").await?;
        }
        let validity = self.session.selected.validity;
        let from = match since {
            Mark::Imap { validity: noted, next } if *noted == validity => (*next).max(1),
            // UIDs have begun anew: all that is there may be new.
            _ => 1,
        };
        let looked = self.looked.take().filter(|looked| looked.holds(validity, from, codes));
        let mut until = looked.as_ref().and_then(|looked| looked.until);
        let sought = Sought { codes, from: looked.map_or(from, |looked| looked.up_to), junk: false };
        let few = self.session.selected.at_most_from(sought.from);
        // What is told while headers are read is not among them.
        self.session.selected.looked_at = Some((sought.from, self.session.selected.arrived()));
        let found = match few {
            0 => Vec::new(),
            few if few <= BATCH => self.session.sightings(&format!("UID FETCH {}:* {FIELDS}", sought.from), &sought).await?,
            _ => {
                let (mut found, reached) = self.session.newest(NEW, &sought).await?;
                if !reached && found.is_empty() {
                    until = Some(Instant::now() + AGAIN);
                    found = self.session.searched(&sought).await?;
                }
                found
            }
        };
        if found.is_empty() {
            let up_to = sought.from.max(self.session.selected.read_up_to.saturating_add(1));
            self.looked = Some(Looked { validity, from, codes: codes.to_vec(), up_to, until });
        }
        Ok(found)
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

    /// By the server's search: old mail is too much to be read, and one that it does not find is found at a later run.
    pub(super) async fn look_for_earlier(&mut self, runs: &Earlier<'_>, most: usize) -> Result<Vec<Sighting>, Diagnosis> {
        if !runs.prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Vec::new());
        }
        self.back().await?;
        // What could only be marked, for want of UIDPLUS, has been swept; with it a mark is a removal that was cut short.
        let unmarked = if self.session.expunges_by_uid() { "" } else { "UNDELETED " };
        let search = format!("UID SEARCH {unmarked}HEADER {RUN} {}", quoted(runs.prefix));
        let mut uids = self.session.search(&search).await?;
        uids.sort_unstable();
        uids.truncate(FOUND);
        let mut found = Vec::new();
        for batch in uids.chunks(BATCH as usize) {
            for fetched in self.session.fetched(&format!("UID FETCH {} {FIELDS}", set(batch))).await? {
                let Some((place, header)) = self.session.placed(fetched, false) else { continue };
                found.extend(runs.recognise(&header, place));
            }
            if found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }
}

impl ImapMailbox {
    pub(super) async fn read_start(&mut self, place: &Place) -> Result<Option<Vec<u8>>, Diagnosis> {
        self.back().await?;
        if (place.folder.as_str(), place.validity) != (self.folder.as_str(), self.session.selected.validity) {
            return Ok(None);
        }
        let fetched = self.session.fetched(&format!("UID FETCH {} (UID BODY.PEEK[]<0.{MOST}>)", place.number)).await?;
        Ok(fetched.into_iter().find(|fetched| fetched.uid == Some(place.number)).and_then(|fetched| fetched.header))
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
            uids.extend(self.search(&search).await?.into_iter().filter(|uid| *uid >= sought.from));
        }
        let uids: Vec<_> = uids.into_iter().rev().take(FOUND).collect();
        let mut found = Vec::new();
        for batch in uids.chunks(BATCH as usize) {
            found.extend(self.sightings(&format!("UID FETCH {} {FIELDS}", set(batch)), sought).await?);
        }
        Ok(found)
    }

    async fn search(&mut self, search: &str) -> Result<Vec<u32>, Diagnosis> {
        let answer = self.command(Stage::Search, search).await?;
        if answer.said.status == Status::Bye {
            return Err(classify(Stage::Search, &answer.said, &self.about));
        }
        let found = answer.data.into_iter().filter_map(|data| match data {
            Response::Search(found) => Some(found),
            _ => None,
        });
        Ok(found.flatten().collect())
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
        let fetched: Vec<_> = fetched.collect();
        let newest = fetched.iter().filter(|fetched| fetched.header.is_some()).filter_map(|fetched| fetched.uid).max();
        self.selected.read_up_to = self.selected.read_up_to.max(newest.unwrap_or_default());
        Ok(fetched)
    }

    /// Those that are ours and new: `7:*` also brings the last message where its UID is lower (RFC 9051 section 9, seq-range).
    fn ours(&mut self, fetched: Vec<Fetched>, sought: &Sought<'_>) -> Vec<Sighting> {
        let mut ours = Vec::new();
        for fetched in fetched {
            let Some((place, header)) = self.placed(fetched, sought.junk) else { continue };
            if place.number < sought.from {
                continue;
            }
            match recognise(&header, sought.codes, place.clone()) {
                Some(sighting) => ours.push(sighting),
                None if !sought.junk && self.reports.len() < REPORTS && announces_report(&header) => self.reports.push(place),
                None => {}
            }
        }
        ours
    }

    /// Where a message is, and its header.
    fn placed(&self, fetched: Fetched, junk: bool) -> Option<(Place, Vec<u8>)> {
        let place = Place { folder: self.selected.name.clone(), validity: self.selected.validity, number: fetched.uid?, junk };
        Some((place, fetched.header?))
    }
}

/// A set of UIDs, as commands have it.
pub(super) fn set(uids: &[u32]) -> String {
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
