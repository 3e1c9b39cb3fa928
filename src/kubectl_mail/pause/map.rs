//! The `ConfigMap` that the operator, the receivers and, through the operator, the agents heed: a key is `all` or a namespace, its
//! value the end of the pause, or nothing.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use mailverity::runtime::{
    ApiError, bounded,
    pause::{CONFIG_MAP, in_force},
};
use serde_json::json;

/// The `ConfigMap`.
pub struct Map {
    pub namespace: String,
    api: Api<ConfigMap>,
}

/// What is left of it.
#[derive(Debug, Default)]
pub struct Left {
    /// Whether the key that was taken away was in force.
    pub was_paused: bool,
    /// The keys that are in force still.
    pub keys: Vec<String>,
}

impl Map {
    /// That of the operator in this namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), api: Api::namespaced(client, namespace) }
    }

    /// Writes one key, and makes the map if it is not there.
    ///
    /// Applied on the server's side: that is one request, which touches no other key, and a creation that RBAC can bind to a name. A
    /// field manager owns one key, so that none takes away what another wrote.
    pub async fn set(&self, key: &str, value: String) -> Result<(), ApiError> {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP}, "data": {key: value}});
        let params = PatchParams::apply(&format!("kubectl-mail-{key}")).force();
        bounded(self.api.patch(CONFIG_MAP, &params, &Patch::Apply(map))).await?;
        Ok(())
    }

    /// Takes one key away, and the map with the last that is in force.
    pub async fn remove(&self, key: &str) -> Result<Left, ApiError> {
        let map = bounded(self.api.get_opt(CONFIG_MAP)).await?.unwrap_or_default();
        // One that has ended stands there until somebody takes it away.
        let mut keys = in_force(&map, Timestamp::now());
        let was_paused = keys.iter().any(|other| other == key);
        keys.retain(|other| other != key);
        let is_there = map.data.as_ref().is_some_and(|data| data.contains_key(key));
        if is_there && !(keys.is_empty() && self.delete(map.metadata.resource_version).await?) {
            let patch = Patch::Merge(json!({"data": {key: null}}));
            match bounded(self.api.patch(CONFIG_MAP, &PatchParams::default(), &patch)).await {
                // Somebody else was quicker.
                Err(error) if error.is_gone() => return Ok(Left::default()),
                other => other?,
            };
        }
        Ok(Left { was_paused, keys })
    }

    /// Takes the whole map away, unless somebody has written to it since, or it may not be.
    async fn delete(&self, version: Option<String>) -> Result<bool, ApiError> {
        let preconditions = Some(Preconditions { resource_version: version, uid: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match bounded(self.api.delete(CONFIG_MAP, &params)).await {
            Err(error) if error.is_conflict() || error.is_forbidden() => Ok(false),
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(true),
        }
    }
}
