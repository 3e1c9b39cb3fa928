//! All that a decision on a `MailReceiver` rests on.

use jiff::Timestamp;

use super::{Certificate, mx::Found};
use crate::{
    api::v1alpha1::{ListenerStatus, MailReceiverSpec, MailReceiverStatus, condition as c},
    verify::object::Object,
};

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
    /// What all kinds have in common.
    pub object: Object<'a>,
    /// Its spec.
    pub spec: &'a MailReceiverSpec,
    /// Its status.
    pub status: Option<&'a MailReceiverStatus>,
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
}

impl Seen<'_> {
    /// Whether the MX records were looked at for this generation.
    #[must_use]
    pub fn is_looked_at(&self) -> bool {
        let told = self.status.and_then(|status| status.conditions.iter().find(|c| c.type_ == c::MX_RECORDS_VALID));
        told.is_some_and(|told| told.observed_generation == Some(self.object.generation))
    }
}
