//! The one way by which statuses are written and Events told, for all kinds: server-side apply with one field manager,
//! bounded in time, for exactly the object that was seen.

use std::fmt::Debug;

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{ApiError, FIELD_MANAGER, Name, bounded};

/// The most characters of an Event's note that the API server takes.
const NOTE: usize = 1024;

/// Writes statuses and Events. Cheap to clone.
#[derive(Clone)]
pub struct Teller {
    client: Client,
    recorder: Recorder,
}

/// What a write rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The object as such: a newer version of it may be written to, another object of its name may not.
    Object,
    /// This very version of it: any change since gives a conflict. A claim is had only so (two server-side applies of the
    /// same manager do not conflict otherwise, the second one wins).
    Version,
}

impl Teller {
    /// Writes with `client`'s rights; `instance` is this process in Events.
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Self {
        // Events take names of at most 128 characters.
        let instance = Some(instance.chars().take(128).collect());
        let reporter = Reporter { controller: "mailverity.dev/operator".to_owned(), instance };
        Self { recorder: Recorder::new(client.clone(), reporter), client }
    }

    /// Applies `status` to the object that `seen` is the metadata of, and returns the object as it then is. Fields that an
    /// earlier status had and this one lacks are removed.
    ///
    /// # Errors
    /// [`ApiError::is_conflict`] where the guard does not hold, [`ApiError::is_gone`] where the object is deleted.
    pub async fn apply<K>(&self, seen: &impl ResourceExt, status: &impl Serialize, guard: Guard) -> Result<K, ApiError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let Name { namespace, name } = Name::of(seen);
        let mut metadata = serde_json::json!({ "name": name, "uid": seen.uid() });
        if guard == Guard::Version {
            metadata["resourceVersion"] = serde_json::json!(seen.resource_version());
        }
        let body = serde_json::json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": metadata,
            "status": status,
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        bounded(api.patch_status(&name, &params, &Patch::Apply(&body))).await
    }

    /// Tells an Event about `object`. Its loss is logged and nothing more: the condition says the same.
    pub async fn event<K>(&self, object: &K, warning: bool, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note.chars().take(NOTE).collect()),
            action: "Verify".to_owned(),
            secondary: None,
        };
        if let Err(error) = bounded(self.recorder.publish(&event, &object.object_ref(&()))).await {
            tracing::warn!(reason, %error, "an Event was not told");
        }
    }
}
