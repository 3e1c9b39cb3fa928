//! All that a decision on a `MailReceiver` rests on.

use jiff::Timestamp;

use super::{Certificate, mx::Found};
use crate::{
    api::v1alpha1::{ListenerStatus, MailReceiverSpec, MailReceiverStatus, condition as c},
    mail::diagnosis::printable,
    verify::halt::{Brakes, Pause},
};

/// The most characters of a verify request that are echoed.
const REQUEST: usize = 256;

/// A look at the MX records. It is kept while it runs, and goes to `status` with what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its id.
    pub id: String,
    /// When it was decided on.
    pub started: Timestamp,
    /// The generation that it judges.
    pub generation: i64,
    /// The value of the verify request that it answers.
    pub request: Option<String>,
}

/// What a look found, domain by domain.
pub type Records = Vec<Found>;

/// An object and what surrounds it.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// metadata.uid.
    pub uid: &'a str,
    /// metadata.generation.
    pub generation: i64,
    /// metadata.creationTimestamp.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleted: bool,
    /// The annotation mailverity.dev/verify-requested-at.
    pub verify_requested_at: Option<&'a str>,
    /// The annotation mailverity.dev/suspend-until.
    pub suspend_until: Option<&'a str>,
    /// Its spec.
    pub spec: &'a MailReceiverSpec,
    /// Its status.
    pub status: Option<&'a MailReceiverStatus>,
    /// A pause of everything or of its namespace.
    pub pause: Option<Pause>,
    /// The domains that an older `MailReceiver` has, with its name.
    pub rivals: Vec<(String, String)>,
    /// Its certificate.
    pub certificate: Certificate,
    /// What those receivers say that are at work.
    pub listeners: Vec<ListenerStatus>,
    /// Until when receivers that are at work may take to notice it.
    pub noticed_by: Timestamp,
    /// The namespace of the receivers.
    pub receiver_namespace: &'a str,
    /// How many objects name it.
    pub used_by: i32,
    /// Looks in a row that came to nothing.
    pub failures: u32,
    /// The look that is under way.
    pub running: Option<Look>,
    /// When this process began to lead.
    pub since: Timestamp,
    /// Now.
    pub now: Timestamp,
}

impl Seen<'_> {
    /// What may stop it.
    #[must_use]
    pub fn brakes(&self) -> Brakes<'_> {
        Brakes {
            suspend: self.spec.suspend == Some(true),
            suspend_until: self.suspend_until,
            pause: self.pause.as_ref(),
            maintenance: &[],
            now: self.now,
        }
    }

    /// The verify request that was not answered yet, as the status would echo it.
    #[must_use]
    pub fn request(&self) -> Option<String> {
        let asked = self.verify_requested_at.map(|asked| printable(asked, REQUEST)).filter(|asked| !asked.is_empty())?;
        let answered = self.status.and_then(|status| status.last_handled_verify_request.as_deref());
        (answered != Some(asked.as_str())).then_some(asked)
    }

    /// Whether the MX records were looked at for this generation.
    #[must_use]
    pub fn is_looked_at(&self) -> bool {
        let told = self.status.and_then(|status| status.conditions.iter().find(|c| c.type_ == c::MX_RECORDS_VALID));
        told.is_some_and(|told| told.observed_generation == Some(self.generation))
    }

    /// Whether it was suspended or paused when the status was written.
    #[must_use]
    pub fn was_halted(&self) -> bool {
        self.status.is_some_and(|status| status.conditions.iter().any(|c| c.type_ == c::SUSPENDED && c.status == "True"))
    }

    /// Whether no operator has ever looked at it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.status.and_then(|status| status.observed_generation).is_none_or(|generation| generation == -1)
    }
}
