//! What came that is about mails of ours, by the fields that name another mail: headers only, as in `look`.

use super::{ImapMailbox, look::Walk};
use crate::mail::{
    Diagnosis,
    mailbox::{Arrivals, Concerns, Mark, Place},
};

/// The start of each is enough: a stranger's header may be of any size.
const FIELDS: &str = "(UID BODY.PEEK[HEADER.FIELDS (FROM SUBJECT IN-REPLY-TO REFERENCES MESSAGE-ID CONTENT-TYPE AUTO-SUBMITTED TO \
                      DELIVERED-TO X-ORIGINAL-TO)]<0.8192>)";

impl ImapMailbox {
    pub(super) async fn arrivals_now(&mut self, since: &Mark, concerns: Concerns<'_>) -> Result<Arrivals, Diagnosis> {
        let from = self.refresh(since).await?;
        let mut places = Vec::new();
        let walk = Walk { from, junk: false, fields: FIELDS };
        self.session.pass_new(&walk, &mut |place, header| places.extend(concerns(header).then_some(place))).await?;
        places.sort_unstable_by_key(|place: &Place| place.number);
        let selected = &self.session.selected;
        let next = from.max(selected.read_up_to.saturating_add(1));
        Ok(Arrivals { places, mark: Mark::Imap { validity: selected.validity, next } })
    }

    pub(super) async fn arrivals_at_junk(&mut self, concerns: Concerns<'_>) -> Result<Vec<Place>, Diagnosis> {
        let mut places = Vec::new();
        self.pass_junk(FIELDS, &mut |place, header| places.extend(concerns(header).then_some(place))).await?;
        Ok(places)
    }
}
