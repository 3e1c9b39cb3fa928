//! The `ConfigMap` that the operator, the receivers and, through the operator, the agents heed: a key is `all` or a namespace, its
//! value the end of the pause, or nothing.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use mailverity::runtime::{ApiError, bounded, pause::CONFIG_MAP};
use serde_json::json;

/// The `ConfigMap`.
pub struct Map {
    pub namespace: String,
    api: Api<ConfigMap>,
}

/// What is left of it.
#[derive(Debug, Default)]
pub struct Left {
    /// Whether the key that was taken away was there.
    pub was_there: bool,
    /// The keys that are there still.
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

    /// Takes one key away.
    pub async fn remove(&self, key: &str) -> Result<Left, ApiError> {
        let data = bounded(self.api.get_opt(CONFIG_MAP)).await?.and_then(|map| map.data).unwrap_or_default();
        let was_there = data.contains_key(key);
        if was_there {
            let patch = Patch::Merge(json!({"data": {key: null}}));
            match bounded(self.api.patch(CONFIG_MAP, &PatchParams::default(), &patch)).await {
                // Somebody else was quicker.
                Err(error) if error.is_gone() => return Ok(Left::default()),
                other => other?,
            };
        }
        Ok(Left { was_there, keys: data.into_keys().filter(|other| other != key).collect() })
    }
}
