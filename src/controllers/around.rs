//! What surrounds an object of any kind at the moment of a decision, and how the object looks in it.

use jiff::Timestamp;
use kube::{Resource, ResourceExt, core::object::HasStatus};

use super::{
    context::Context,
    kind::{Asks, Kind, Standing},
};
use crate::{
    api::v1alpha1::{SUSPEND_UNTIL, VERIFY_REQUESTED_AT},
    runtime::Name,
    verify::{
        halt::{Mode, Pause},
        object::Object,
    },
};

/// What surrounds an object.
pub struct Around {
    pause: Option<Pause>,
    mode: Mode,
    crowded: bool,
    since: Timestamp,
    /// Now.
    pub now: Timestamp,
}

impl Around {
    /// What surrounds the object `name` now.
    #[must_use]
    pub fn of<K: Kind>(name: &Name, ctx: &Context<K>) -> Self {
        let (term, now) = (&ctx.term, Timestamp::now());
        Self {
            pause: term.paused(&name.namespace, now),
            mode: term.settings().mode,
            crowded: ctx.is_crowded(),
            since: term.since,
            now,
        }
    }

    /// The object in it.
    #[must_use]
    pub fn object<'a, K: Kind>(&self, object: &'a K::Object) -> Object<'a> {
        let (meta, annotation) = (object.meta(), |key| object.annotations().get(key).map(String::as_str));
        let Asks { suspend, maintenance } = K::asks(object);
        let Standing { observed_generation, conditions, answered } = object.status().map(K::standing).unwrap_or_default();
        Object {
            uid: meta.uid.as_deref().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleted: meta.deletion_timestamp.is_some(),
            suspend: suspend == Some(true),
            maintenance: maintenance.unwrap_or_default(),
            suspend_until: annotation(SUSPEND_UNTIL),
            verify_requested_at: annotation(VERIFY_REQUESTED_AT),
            answered,
            observed_generation,
            conditions,
            pause: self.pause.clone(),
            mode: self.mode,
            crowded: self.crowded,
            since: self.since,
            now: self.now,
        }
    }
}
