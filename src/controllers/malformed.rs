//! Objects that the API server took and this version cannot read: an older schema let them in. They are told so, with what
//! the reader stumbled over, and stop nothing else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{
    Api,
    core::{ApiResource, DynamicObject, PartialObjectMeta, PartialObjectMetaExt},
};
use serde_json::{Value, json};

use super::{context::Context, kind::Kind, reconcile::Error};
use crate::{
    api::{
        Reason,
        v1alpha1::condition::{ACCEPTED, READY, STALLED},
    },
    mail::{Diagnosis, diagnosis::printable},
    manifest::Judge,
    runtime::{Name, bounded},
};

/// The most characters of what the reader says.
const WORDS: usize = 512;

/// Tells an object that it cannot be read, as `error` says. What else its status holds is kept.
///
/// # Errors
/// Those of the API server.
pub async fn tell<K: Kind>(object: &Name, error: &str, ctx: &Context<K>) -> Result<(), Error> {
    let term = &ctx.term;
    if !term.ground.fence.held() {
        return Err(Error::NotLeading);
    }
    let kind = ApiResource::erase::<K::Object>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(term.ground.client.clone(), &object.namespace, &kind);
    let Some(raw) = bounded(api.get_opt(&object.name)).await? else { return Ok(()) };
    let fault = fault(&raw, error);
    let mut old = raw.data.get("status").cloned().unwrap_or_else(|| json!({}));
    // Written by the receivers: what is applied here would be ours.
    if let Some(old) = old.as_object_mut() {
        old.remove("listeners");
    }
    let new = status(&old, raw.metadata.generation.unwrap_or_default(), &fault, jiff::Timestamp::now());
    if old == new {
        return Ok(());
    }
    tracing::warn!(%object, fault, "cannot be read");
    let applied: Result<PartialObjectMeta<K::Object>, _> = term.teller.apply(&raw, &new).await;
    match applied {
        // The schema in force cannot read it either: then the API server cannot tell whose field is whose.
        Err(error) if matches!(error.code(), Some(422 | 500)) => {
            let _: PartialObjectMeta<K::Object> = term.teller.overwrite(&raw, &new).await?;
        }
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let regarding: PartialObjectMeta<K::Object> = raw.metadata.into_response_partial();
    term.teller.event(&regarding, true, Reason::SpecInvalid.as_str(), &fault).await;
    term.changed(&Context::<K>::who(object));
    Ok(())
}

/// What is wrong, field by field, as the schema of this version sees it; else what the reader stumbled over.
pub(super) fn fault(object: &DynamicObject, error: &str) -> String {
    let faults = serde_json::to_value(object).ok().zip(Judge::new().ok()).map(|(object, judge)| judge.object(&object));
    let named: Vec<String> = faults.into_iter().flatten().map(|(field, fault)| format!("{field}: {fault}")).collect();
    printable(if named.is_empty() { error.to_owned() } else { named.join("; ") }.as_str(), WORDS)
}

/// The old status with the conditions that say so; equal to the old one where it says so already.
pub(super) fn status(old: &Value, generation: i64, fault: &str, now: jiff::Timestamp) -> Value {
    let diagnosis = Diagnosis::new(Reason::SpecInvalid).fact("fault", fault);
    let mut new = old.as_object().cloned().unwrap_or_default();
    let mut conditions: Vec<Value> = new.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    for (type_, status) in [(READY, "False"), (ACCEPTED, "False"), (STALLED, "True")] {
        let known = conditions.iter().position(|condition| condition["type"] == type_);
        let before = known.map(|at| conditions.remove(at));
        let since =
            before.filter(|condition| condition["status"] == status).map(|condition| condition["lastTransitionTime"].clone());
        let condition = json!(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Reason::SpecInvalid.as_str().to_owned(),
            message: diagnosis.hint(),
            observed_generation: Some(generation),
            last_transition_time: Time(now),
        });
        let at = known.unwrap_or(conditions.len()).min(conditions.len());
        conditions.insert(at, condition);
        if let (Some(since), Some(condition)) = (since, conditions.get_mut(at)) {
            condition["lastTransitionTime"] = since;
        }
    }
    // kstatus takes the first of the two in the list, and nothing is under way.
    conditions.retain(|condition| condition["type"] != crate::api::v1alpha1::condition::RECONCILING);
    new.insert("conditions".to_owned(), Value::Array(conditions));
    new.insert("observedGeneration".to_owned(), json!(generation));
    Value::Object(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_field_that_cannot_be_read_is_named() {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "mailverity.dev/v1alpha1",
            "kind": "MailServer",
            "metadata": {"name": "relay", "namespace": "mail"},
            "spec": {"host": "smtp.corp.example", "port": "abc"},
        }))
        .unwrap();
        let told = fault(&object, "Invalid type string");
        assert!(told.contains("spec.port"), "{told}");
    }

    #[test]
    fn an_object_that_cannot_be_read_is_told_once_and_keeps_what_else_it_has() {
        let old = json!({
            "observedGeneration": 1,
            "claim": {"id": "x"},
            "conditions": [
                {"type": "Verified", "status": "True"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:01Z"},
                {"type": "Reconciling", "status": "True"},
            ],
        });
        let new = status(&old, 2, "invalid type: string, expected i32", at(9));
        let condition = |name: &str| new["conditions"].as_array().unwrap().iter().find(|c| c["type"] == name).unwrap();
        assert_eq!(new["claim"]["id"], "x");
        assert_eq!(new["observedGeneration"], 2);
        assert_eq!(condition("Verified")["status"], "True");
        for (name, status) in [("Ready", "False"), ("Accepted", "False"), ("Stalled", "True")] {
            assert_eq!(
                (&condition(name)["status"], &condition(name)["reason"]),
                (&json!(status), &json!("SpecInvalid")),
                "{name}"
            );
            assert_eq!(condition(name)["lastTransitionTime"], "1970-01-01T00:00:09Z");
        }
        assert!(condition("Accepted")["message"].as_str().unwrap().contains("expected i32"));
        assert!(!new["conditions"].as_array().unwrap().iter().any(|c| c["type"] == "Reconciling"));
        assert_eq!(status(&new, 2, "invalid type: string, expected i32", at(99)), new, "told already");
    }
}
