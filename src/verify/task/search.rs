//! What is looked for: everything but the code, which goes by the task's Secret.

use std::time::Duration;

use uuid::Uuid;

use super::{duration, millis};
use crate::{
    api::v1alpha1::{MailboxCleanup, TaskSearch},
    mail::{diagnosis::printable, mailbox::Cleanup},
    verify::mailbox::attend::{Patience, Search},
};

/// The longest search in milliseconds: 25 hours.
const LONGEST: i64 = 90_000_000;

impl TaskSearch {
    /// A search for a mailbox of `domain`, for an agent that begins it: for one that goes on with it, `resume_millis` and
    /// `mark` are set besides. The sweep of earlier runs is not handed over.
    #[must_use]
    pub fn of(search: &Search<'_>, domain: &str) -> Self {
        Self {
            header: search.run.map(|run| printable(run, 512)),
            domain: Some(domain.to_owned()).filter(|domain| !domain.is_empty() && domain.len() <= 253),
            cleanup: match search.cleanup {
                Cleanup::Delete => MailboxCleanup::Delete,
                Cleanup::MarkSeen => MailboxCleanup::MarkSeen,
                Cleanup::Keep => MailboxCleanup::Keep,
            },
            timeout_millis: millis(search.timeout, 1, LONGEST),
            every_millis: match search.patience {
                Patience::Stay => None,
                Patience::Return { every } => Some(millis(every, 1000, 3_600_000)),
            },
            resume_millis: None,
            mark: None,
        }
    }

    /// The same for an agent that goes on with it, for as long as is left.
    #[must_use]
    pub fn resumed(self, left: Duration) -> Self {
        Self { resume_millis: Some(millis(left, 0, LONGEST)), ..self }
    }

    /// The search for the mail with this code.
    #[must_use]
    pub fn search(&self, code: Uuid) -> Search<'_> {
        Search {
            code,
            run: self.header.as_deref(),
            cleanup: match self.cleanup {
                MailboxCleanup::Delete => Cleanup::Delete,
                MailboxCleanup::MarkSeen => Cleanup::MarkSeen,
                MailboxCleanup::Keep => Cleanup::Keep,
            },
            timeout: duration(self.timeout_millis),
            patience: self.every_millis.map_or(Patience::Stay, |every| Patience::Return { every: duration(every) }),
            earlier: None,
            witness: None,
        }
    }
}
