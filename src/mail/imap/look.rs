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
pub(super) const NEW: u32 = 500;
/// The newest messages in a folder for junk that are looked at.
pub(super) const JUNK: u32 = 200;
/// The most messages in one FETCH: with [`FIELDS`] of each, less than one command may bring.
pub(super) const BATCH: u32 = 25;
/// The first of several is smaller: nearly always what is looked for is the newest.
const FIRST: u32 = 5;
/// The most messages that a SEARCH may bring.
const FOUND: usize = 100;
/// How often what is too much to be read is searched anew.
const AGAIN: Duration = Duration::from_mins(1);
/// A stranger's header may be of any size, and must not keep us from ours: the start of each is enough.
const FIELDS: &str = "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT X-MAILVERITY-RUN AUTHENTICATION-RESULTS CONTENT-TYPE)]<0.8192>)";

/// Which messages are passed, and what is read of each.
pub(super) struct Walk {
    /// No message with a lower UID counts.
    pub(super) from: u32,
    pub(super) junk: bool,
    pub(super) fields: &'static str,
}

/// Handed the place and the header of each message that is passed.
pub(super) type Take<'a> = &'a mut (dyn FnMut(Place, &[u8]) + Send);

/// What is kept of the messages that are passed.
struct Kept<'a> {
    codes: &'a [Uuid],
    found: Vec<Sighting>,
    reports: Vec<Place>,
}

impl<'a> Kept<'a> {
    fn of(codes: &'a [Uuid]) -> Self {
        Self { codes, found: Vec::new(), reports: Vec::new() }
    }

    fn take(&mut self, place: Place, header: &[u8]) {
        match recognise(header, self.codes, place.clone()) {
            Some(sighting) => self.found.push(sighting),
            None if !place.junk && self.reports.len() < REPORTS && announces_report(header) => self.reports.push(place),
            None => {}
        }
    }
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
        let from = self.refresh(since).await?;
        let validity = self.session.selected.validity;
        let looked = self.looked.take().filter(|looked| looked.holds(validity, from, codes));
        let mut until = looked.as_ref().and_then(|looked| looked.until);
        let walk = Walk { from: looked.map_or(from, |looked| looked.up_to), junk: false, fields: FIELDS };
        let mut kept = Kept::of(codes);
        let reached = self.session.pass_new(&walk, &mut |place, header| kept.take(place, header)).await?;
        if !reached && kept.found.is_empty() {
            until = Some(Instant::now() + AGAIN);
            self.session.searched(&walk, &mut kept).await?;
        }
        let Kept { found, reports, .. } = kept;
        self.session.keep(reports);
        if found.is_empty() {
            let up_to = walk.from.max(self.session.selected.read_up_to.saturating_add(1));
            self.looked = Some(Looked { validity, from, codes: codes.to_vec(), up_to, until });
        }
        Ok(found)
    }

    /// Hears what is there now; from which UID on it is new.
    pub(super) async fn refresh(&mut self, since: &Mark) -> Result<u32, Diagnosis> {
        self.back().await?;
        // A wait that ended by a notice has told what there is.
        if !std::mem::take(&mut self.session.selected.told) {
            self.session.accepted(Stage::Fetch, "NOOP").await?;
        }
        Ok(match since {
            Mark::Imap { validity: noted, next } if *noted == self.session.selected.validity => (*next).max(1),
            // UIDs have begun anew: all that is there may be new.
            _ => 1,
        })
    }

    pub(super) async fn look_at_junk(&mut self, codes: &[Uuid]) -> Result<Vec<Sighting>, Diagnosis> {
        let mut kept = Kept::of(codes);
        self.pass_junk(FIELDS, &mut |place, header| kept.take(place, header)).await?;
        Ok(kept.found)
    }

    /// Passes what is newest in the folders for junk.
    pub(super) async fn pass_junk(&mut self, fields: &'static str, take: Take<'_>) -> Result<(), Diagnosis> {
        for folder in self.shown.junk.clone() {
            let said = self.session.try_select(&folder, false).await?;
            match said.status {
                Status::Ok => {
                    self.session.newest(JUNK, &Walk { from: 1, junk: true, fields }, take).await?;
                }
                Status::Bye => return Err(classify(Stage::Select, &said, &self.session.about)),
                // What the spec names need not be there.
                _ => {}
            }
        }
        self.back().await
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
        if place.junk && self.shown.junk.contains(&place.folder) {
            if self.session.selected.name != place.folder {
                self.session.select(&place.folder, false).await?;
            }
        } else {
            self.back().await?;
        }
        let selected = &self.session.selected;
        if (place.folder.as_str(), place.validity) != (selected.name.as_str(), selected.validity) {
            return Ok(None);
        }
        let fetched = self.session.fetched(&format!("UID FETCH {} (UID BODY.PEEK[]<0.{MOST}>)", place.number)).await?;
        Ok(fetched.into_iter().find(|fetched| fetched.uid == Some(place.number)).and_then(|fetched| fetched.header))
    }
}

impl Session {
    /// Passes what is new: of very much the newest. Whether it was all of it.
    pub(super) async fn pass_new(&mut self, walk: &Walk, take: Take<'_>) -> Result<bool, Diagnosis> {
        let few = self.selected.at_most_from(walk.from);
        // What is told while headers are read is not among them.
        self.selected.looked_at = Some((walk.from, self.selected.arrived()));
        match few {
            0 => Ok(true),
            few if few <= BATCH => {
                self.pass(&format!("UID FETCH {}:* {}", walk.from, walk.fields), walk, take).await?;
                Ok(true)
            }
            _ => self.newest(NEW, walk, take).await,
        }
    }

    /// Goes from the newest message back, until one is old or so many were seen; and whether an old one, or the first of
    /// all, was reached. By numbers, not UIDs: those have gaps of any width.
    async fn newest(&mut self, most: u32, walk: &Walk, take: Take<'_>) -> Result<bool, Diagnosis> {
        let mut newest = self.selected.exists;
        let last = newest.saturating_sub(most);
        let mut size = FIRST;
        while newest > last {
            let oldest = (newest + 1).saturating_sub(size).max(last + 1);
            if self.pass(&format!("FETCH {oldest}:{newest} {}", walk.fields), walk, take).await? {
                return Ok(true);
            }
            newest = oldest - 1;
            size = BATCH;
        }
        Ok(last == 0)
    }

    /// What the server finds by itself, which may be nothing or a refusal: some know only whole words, or index late.
    async fn searched(&mut self, walk: &Walk, kept: &mut Kept<'_>) -> Result<(), Diagnosis> {
        let mut uids = BTreeSet::new();
        for code in kept.codes {
            self.hide(*code);
            let search = format!("UID SEARCH UID {}:* HEADER SUBJECT \"{code}\"", walk.from);
            uids.extend(self.search(&search).await?.into_iter().filter(|uid| *uid >= walk.from));
        }
        let uids: Vec<_> = uids.into_iter().rev().take(FOUND).collect();
        for batch in uids.chunks(BATCH as usize) {
            let fetch = format!("UID FETCH {} {}", set(batch), walk.fields);
            self.pass(&fetch, walk, &mut |place, header| kept.take(place, header)).await?;
        }
        Ok(())
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

    /// Passes what a FETCH brings, as far as it is new: `7:*` also brings the last message where its UID is lower (RFC 9051
    /// section 9, seq-range). Whether one was old.
    pub(super) async fn pass(&mut self, fetch: &str, walk: &Walk, take: Take<'_>) -> Result<bool, Diagnosis> {
        let mut old = false;
        for fetched in self.fetched(fetch).await? {
            if fetched.uid.is_some_and(|uid| uid < walk.from) {
                old = true;
            } else if let Some((place, header)) = self.placed(fetched, walk.junk) {
                take(place, &header);
            }
        }
        Ok(old)
    }

    /// Keeps where reports stand.
    fn keep(&mut self, reports: Vec<Place>) {
        let room = REPORTS.saturating_sub(self.reports.len());
        self.reports.extend(reports.into_iter().take(room));
    }

    /// Where a message is, and its header.
    fn placed(&self, fetched: Fetched, junk: bool) -> Option<(Place, Vec<u8>)> {
        let place = Place {
            folder: self.selected.name.clone(),
            validity: self.selected.validity,
            number: fetched.uid?,
            id: String::new(),
            junk,
        };
        Some((place, fetched.header?))
    }
}

/// A set of UIDs, as commands have it.
pub(super) fn set(uids: &[u32]) -> String {
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
