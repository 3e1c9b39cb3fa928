//! An object as the API server has it, and what all kinds have in common. What one kind alone has is read where it is shown.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Client, ResourceExt,
    api::{DynamicObject, ListParams},
    core::TypeMeta,
};
use mailverity::{
    api::v1alpha1::condition,
    runtime::{ApiError, bounded},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Kind;

/// The objects that are asked for in one request.
const PAGE: u32 = 500;

/// An object.
#[derive(Clone, Debug)]
pub struct Object {
    pub kind: Kind,
    pub raw: DynamicObject,
}

/// Who last wrote a spec, and when.
pub struct Edit {
    pub by: String,
    pub at: Timestamp,
}

impl Object {
    pub fn new(kind: Kind, mut raw: DynamicObject) -> Self {
        // The items of a list do not say what they are.
        raw.types.get_or_insert_with(|| {
            let resource = kind.resource();
            TypeMeta { api_version: resource.api_version, kind: resource.kind }
        });
        Self { kind, raw }
    }

    /// All of a kind, in one namespace or in all.
    pub async fn all(client: &Client, kind: Kind, namespace: Option<&str>) -> Result<Vec<Self>, ApiError> {
        let (api, mut params, mut all) = (kind.api(client, namespace), ListParams::default().limit(PAGE), Vec::new());
        loop {
            let page = bounded(api.list(&params)).await?;
            all.extend(page.items.into_iter().map(|raw| Self::new(kind, raw)));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    pub fn name(&self) -> String {
        self.raw.name_any()
    }

    /// Its namespace; empty for what belongs to the cluster.
    pub fn namespace(&self) -> String {
        self.raw.namespace().unwrap_or_default()
    }

    /// A value by its path (RFC 6901), such as /spec/to.
    pub fn at(&self, path: &str) -> Option<&Value> {
        self.raw.data.pointer(path)
    }

    /// A text by its path; empty where there is none.
    pub fn text(&self, path: &str) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// Its spec as this version knows it; none where it cannot be read.
    pub fn spec<S: DeserializeOwned>(&self) -> Option<S> {
        serde_json::from_value(self.at("/spec")?.clone()).ok()
    }

    /// Its status, likewise; empty where there is none.
    pub fn status<S: DeserializeOwned + Default>(&self) -> S {
        self.at("/status").and_then(|status| serde_json::from_value(status.clone()).ok()).unwrap_or_default()
    }

    /// Its conditions; none where the status cannot be read.
    pub fn conditions(&self) -> Vec<Condition> {
        let conditions = self.at("/status/conditions").cloned();
        conditions.and_then(|conditions| serde_json::from_value(conditions).ok()).unwrap_or_default()
    }

    /// The condition that sums it up: Ready, or Suspended where there is no Ready.
    pub fn summary(&self) -> Option<Condition> {
        let conditions = self.conditions();
        let find = |kind| conditions.iter().find(|condition| condition.type_ == kind).cloned();
        find(condition::READY).or_else(|| find(condition::SUSPENDED))
    }

    /// Whether the status speaks of the spec as it is now.
    pub fn is_judged(&self) -> bool {
        self.at("/status/observedGeneration").and_then(Value::as_i64) == self.raw.metadata.generation
    }

    pub fn created(&self) -> Option<Timestamp> {
        self.raw.metadata.creation_timestamp.as_ref().map(|created| created.0)
    }

    /// Its last edit: who wrote its spec last by what the API server notes of field managers. Statuses and annotations are none.
    pub fn edit(&self) -> Option<Edit> {
        let fields = self.raw.metadata.managed_fields.iter().flatten();
        let specs = fields.filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty()).filter(|entry| {
            let owned = entry.fields_v1.as_ref().map(|fields| &fields.0);
            owned.is_some_and(|owned| owned.get("f:spec").is_some())
        });
        let edits = specs.filter_map(|entry| Some(Edit { by: entry.manager.clone()?, at: entry.time.as_ref()?.0 }));
        let created = || Some(Edit { by: String::new(), at: self.created()? });
        edits.max_by_key(|edit| edit.at).or_else(created)
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// An object of this kind and name, with this spec and status.
    pub fn object(kind: Kind, name: &str, spec: &Value, status: &Value) -> Object {
        let raw = json!({
            "metadata": {"name": name, "namespace": "mail", "uid": "u-1", "generation": 2, "creationTimestamp": "2026-11-20T10:00:00Z"},
            "spec": spec, "status": status,
        });
        Object::new(kind, serde_json::from_value(raw).unwrap())
    }

    #[test]
    fn an_edit_is_of_the_spec_and_by_the_last_who_wrote_it() {
        let mut edited = object(Kind::MailServer, "relay", &json!({}), &json!({}));
        assert_eq!(edited.edit().map(|edit| (edit.by, edit.at)), Some((String::new(), "2026-11-20T10:00:00Z".parse().unwrap())));
        let entry = |manager: &str, time: &str, rest: Value| {
            let mut entry = json!({"manager": manager, "time": time, "fieldsV1": {"f:spec": {}}});
            entry.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            entry
        };
        let entries = json!([
            entry("helm", "2026-11-21T10:00:00Z", json!({})),
            entry("kubectl-edit", "2026-11-22T10:00:00Z", json!({})),
            entry("kubectl-mail", "2026-11-23T10:00:00Z", json!({"fieldsV1": {"f:metadata": {"f:annotations": {}}}})),
            entry("mailverity-operator", "2026-11-24T10:00:00Z", json!({"subresource": "status"})),
        ]);
        edited.raw.metadata.managed_fields = Some(serde_json::from_value(entries).unwrap());
        let edit = edited.edit().unwrap();
        assert_eq!((edit.by.as_str(), edit.at.to_string().as_str()), ("kubectl-edit", "2026-11-22T10:00:00Z"));
    }

    #[test]
    fn a_suspended_object_is_summed_up_by_why_it_is() {
        let suspended = json!({"type": "Suspended", "status": "True", "reason": "Paused", "message": "", "lastTransitionTime": "2026-11-22T10:00:00Z"});
        let status = json!({"conditions": [suspended]});
        let paused = object(Kind::MailServer, "relay", &json!({}), &status);
        assert_eq!(paused.summary().map(|summary| summary.reason).as_deref(), Some("Paused"));
    }
}
