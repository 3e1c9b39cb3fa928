//! The one way by which statuses are written and Events told, for all kinds: server-side apply with one field manager,
//! bounded in time, for exactly the object that was seen.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::{ClusterResourceScope, NamespaceResourceScope},
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
    reporter: Reporter,
}

impl Teller {
    /// Writes with `client`'s rights; `instance` is this process in Events.
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Self {
        // Events take names of at most 128 characters.
        let instance = Some(instance.chars().take(128).collect());
        Self { reporter: Reporter { controller: "mailverity.dev/operator".to_owned(), instance }, client }
    }

    /// Applies `status` to the very version of the object that `seen` is, and returns the object as it then is. Fields that
    /// an earlier status had and this one lacks are removed.
    ///
    /// Without the version a second apply of one field manager would overwrite the first without a word, and with it
    /// perhaps a claim.
    ///
    /// # Errors
    /// [`ApiError::is_conflict`] where it was written to since, [`ApiError::is_gone`] where it is deleted.
    pub async fn apply<K>(&self, seen: &impl ResourceExt, status: &impl Serialize) -> Result<K, ApiError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let name = Name::of(seen);
        let metadata = serde_json::json!({ "name": name.name, "uid": seen.uid(), "resourceVersion": seen.resource_version() });
        let body = serde_json::json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": metadata,
            "status": status,
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), &name.namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        bounded(api.patch_status(&name.name, &params, &Patch::Apply(&body))).await
    }

    /// The same for an object that is in no namespace.
    ///
    /// # Errors
    /// Those of [`Teller::apply`].
    pub async fn apply_at_large<K>(&self, seen: &impl ResourceExt, status: &impl Serialize) -> Result<K, ApiError>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let name = seen.name_any();
        let metadata = serde_json::json!({ "name": name, "uid": seen.uid(), "resourceVersion": seen.resource_version() });
        let body = serde_json::json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": metadata,
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        bounded(Api::<K>::all(self.client.clone()).patch_status(&name, &params, &Patch::Apply(&body))).await
    }

    /// Puts these fields of a status in place of those of the version that `seen` is, whoever wrote them; a list is replaced
    /// as a whole (RFC 7396). For what an apply cannot do: to remove what another wrote, and to write to an object that the
    /// API server itself cannot read by its schema.
    ///
    /// # Errors
    /// Those of [`Teller::apply`].
    pub async fn overwrite<K>(&self, seen: &impl ResourceExt, status: &serde_json::Value) -> Result<K, ApiError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let name = Name::of(seen);
        let body = serde_json::json!({
            "metadata": { "uid": seen.uid(), "resourceVersion": seen.resource_version() },
            "status": status,
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), &name.namespace);
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        bounded(api.patch_status(&name.name, &params, &Patch::Merge(&body))).await
    }

    /// Tells an Event about `object`. Its loss is logged and nothing more: the condition says the same.
    pub async fn event<K>(&self, object: &K, warning: bool, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        self.event_about(&object.object_ref(&()), warning, reason, note).await;
    }

    /// The same about an object that is not ours.
    pub async fn event_about(&self, object: &ObjectReference, warning: bool, reason: &str, note: &str) {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note.chars().take(NOTE).collect()),
            action: "Verify".to_owned(),
            secondary: None,
        };
        // A recorder for each: one that lives on keeps every Event for minutes, and shows a repeated one with its first note.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        if let Err(error) = bounded(recorder.publish(&event, object)).await {
            tracing::warn!(reason, %error, "an Event was not told");
        }
    }
}
