//! Where an account's mail lies, in memory. The oldest mail makes room for the newest.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};
use uuid::Uuid;

use super::Account;

/// Mails that an account keeps.
pub(super) const MOST_MESSAGES: usize = 100;

/// A mail that arrived.
#[derive(Debug)]
pub struct Message {
    /// Names it, also to POP3 (UIDL) and in the reply to DATA.
    pub id: Uuid,
    /// Header and body, lines ended by CRLF, nothing stuffed.
    pub bytes: Vec<u8>,
}

/// An account and its mail.
pub(super) struct Maildrop {
    pub account: Account,
    messages: Mutex<VecDeque<Arc<Message>>>,
    lock: Arc<Lock<()>>,
}

impl Maildrop {
    pub fn new(account: Account) -> Self {
        Self { account, messages: Mutex::default(), lock: Arc::default() }
    }

    /// The mails, oldest first.
    pub fn messages(&self) -> Vec<Arc<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Takes a mail; where the drop is full, the oldest goes.
    pub fn push(&self, message: Arc<Message>) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() == MOST_MESSAGES {
            messages.pop_front();
        }
        messages.push_back(message);
    }

    /// Removes the mails with these ids.
    pub fn remove(&self, ids: &[Uuid]) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).retain(|message| !ids.contains(&message.id));
    }

    /// The exclusive access that one POP3 session has (RFC 1939 section 4), until it is dropped; none while another has it.
    pub fn open(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.lock).try_lock_owned().ok()
    }
}

impl fmt::Debug for Maildrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maildrop").field("user", &self.account.user).finish_non_exhaustive()
    }
}
