//! Where those who wait for mails at one mailbox say so, whatever kind they are of: one of them watches it for all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use crate::{
    runtime::lock,
    verify::{gate::Account, mailbox::desk::Desk},
};

/// The desks of all mailboxes that somebody waits at.
#[derive(Debug, Default)]
pub struct Desks(Mutex<HashMap<(Account, String), Weak<Desk>>>);

impl Desks {
    /// The desk of a folder of an account, as long as anybody waits there.
    #[must_use]
    pub fn of(&self, account: Account, folder: &str) -> Arc<Desk> {
        let mut desks = lock(&self.0);
        desks.retain(|_, desk| desk.strong_count() > 0);
        let at = (account, folder.to_owned());
        let known = desks.get(&at).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let desk = Arc::default();
            desks.insert(at, Arc::downgrade(&desk));
            desk
        })
    }
}
