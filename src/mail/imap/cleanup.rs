//! Removing what is ours, and nothing else (promise 11).
//!
//! EXPUNGE and CLOSE are never said: they remove whatever other people have marked as deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::{ImapMailbox, Session, folders::quoted, look::set};
use crate::mail::{
    Diagnosis, Stage,
    mailbox::{Cleanup, Place, Sighting},
};

/// The most UIDs in one command: lines have bounds at servers too.
const BATCH: usize = 100;

impl ImapMailbox {
    pub(super) async fn clean(&mut self, ours: &[Sighting], how: Cleanup) -> Result<usize, Diagnosis> {
        if how == Cleanup::Keep {
            return Ok(0);
        }
        let mut places: BTreeMap<(&str, u32), BTreeSet<u32>> = BTreeMap::new();
        for place in ours.iter().map(|sighting| &sighting.place).filter(|place| place.number > 0) {
            places.entry((&place.folder, place.validity)).or_default().insert(place.number);
        }
        let mut done = 0;
        for ((folder, validity), uids) in places {
            done += self.clean_folder(folder, validity, uids, how).await.map_err(at_cleanup)?;
        }
        Ok(done)
    }

    pub(super) async fn clear_one(&mut self, place: &Place, how: Cleanup) -> Result<(), Diagnosis> {
        if how == Cleanup::Keep {
            return Ok(());
        }
        let uids = BTreeSet::from([place.number]);
        self.clean_folder(&place.folder, place.validity, uids, how).await.map(|_| ()).map_err(at_cleanup)
    }

    async fn clean_folder(&mut self, folder: &str, validity: u32, uids: BTreeSet<u32>, how: Cleanup) -> Result<usize, Diagnosis> {
        let selected = &self.session.selected;
        if selected.name != folder || !selected.writable {
            self.session.select(folder, true).await?;
        }
        // With other UIDs, these would be other people's mails.
        if self.session.selected.validity != validity {
            return Ok(0);
        }
        let uids: Vec<_> = uids.into_iter().collect();
        for batch in uids.chunks(BATCH) {
            let uids = set(batch);
            match how {
                Cleanup::Keep => {}
                Cleanup::MarkSeen => self.flag(&uids, "\\Seen").await?,
                Cleanup::Delete => self.delete(&uids).await?,
            }
        }
        Ok(uids.len())
    }

    async fn delete(&mut self, uids: &str) -> Result<(), Diagnosis> {
        // At Google what is deleted from a folder stays in All Mail; what is in the bin goes.
        // https://developers.google.com/workspace/gmail/imap/imap-extensions
        let bin = self.trash.as_deref().filter(|_| self.session.can("X-GM-EXT-1") && self.session.can("MOVE"));
        if let Some(bin) = bin {
            let command = format!("UID MOVE {uids} {}", quoted(bin));
            return self.session.accepted(Stage::Cleanup, &command).await.map(|_| ());
        }
        self.flag(uids, "\\Deleted").await?;
        // Without it only all that is marked could be removed.
        if self.session.expunges_by_uid() {
            self.session.accepted(Stage::Cleanup, &format!("UID EXPUNGE {uids}")).await?;
        }
        Ok(())
    }

    async fn flag(&mut self, uids: &str, flag: &str) -> Result<(), Diagnosis> {
        self.session.accepted(Stage::Cleanup, &format!("UID STORE {uids} +FLAGS.SILENT ({flag})")).await.map(|_| ())
    }
}

impl Session {
    /// Whether single mails can be removed: UIDPLUS (RFC 4315), which `IMAP4rev2` has within (RFC 9051 appendix E).
    pub(super) fn expunges_by_uid(&self) -> bool {
        self.can("UIDPLUS") || self.can("IMAP4rev2")
    }
}

/// The folder is opened again only to clean it up.
fn at_cleanup(mut diagnosis: Diagnosis) -> Diagnosis {
    diagnosis.stage = Some(Stage::Cleanup);
    diagnosis
}
