//! The `CustomResourceDefinition`s, made from the types of this room, with what the derives cannot say put right.
//!
//! Everything that reads a schema (the files in `crds/`, the offline validation, the documentation) takes it from here.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::v1alpha1::{Actor, ActorTask, EmailProfile, MailReceiver, MailServer, ProbeReply, RoundTripPolicy};

/// The group of every kind.
pub const GROUP: &str = "mailverity.dev";

/// Every `CustomResourceDefinition`, as JSON, in the order in which users meet the kinds.
///
/// # Errors
/// None in practice: only a type that JSON cannot hold would make one.
pub fn all() -> Result<Vec<Value>, serde_json::Error> {
    let users = [MailServer::crd(), EmailProfile::crd(), RoundTripPolicy::crd(), MailReceiver::crd(), Actor::crd()];
    let internal = [ActorTask::crd(), ProbeReply::crd()];
    users.into_iter().chain(internal).map(|crd| serde_json::to_value(crd).map(mend)).collect()
}

/// The schema of one kind's objects (spec and status), if it is one of ours.
///
/// # Errors
/// As [`all`].
pub fn schema(kind: &str) -> Result<Option<Value>, serde_json::Error> {
    let crd = all()?.into_iter().find(|crd| crd["spec"]["names"]["kind"] == kind);
    Ok(crd.map(|mut crd| crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take()))
}

/// What the derives write differently from what a cluster should be given.
fn mend(mut crd: Value) -> Value {
    if let Some(versions) = crd["spec"]["versions"].as_array_mut() {
        for version in versions {
            let schema = &mut version["schema"]["openAPIV3Schema"];
            mend_schema(schema);
            if let Some(top) = schema.as_object_mut() {
                top.remove("title");
            }
            // Unlike an absent status, which kstatus takes for done, this reads as in progress from the first moment on.
            // What has no such field is no user's, and begins without a status.
            if schema["properties"]["status"]["properties"].get("observedGeneration").is_some() {
                schema["properties"]["status"]["default"] = json!({"observedGeneration": -1});
            }
            // Where others than the operator write to a status, it may be there before the operator has looked.
            if let Some(status) = schema.pointer_mut("/properties/status/properties").and_then(Value::as_object_mut)
                && status.contains_key("listeners")
            {
                status["observedGeneration"]["default"] = json!(-1);
            }
        }
    }
    crd
}

fn mend_schema(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    // Without `nullable` the API server drops an explicit null; with it, it would be stored.
    fields.remove("nullable");
    // API servers warn of unsigned formats: https://github.com/kubernetes/kubernetes/pull/133525.
    if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        fields.remove("format");
    }
    // The types of CRDs hold bounds as floats; `maximum: 65535.0` is right and reads badly.
    for bound in ["minimum", "maximum"] {
        if let Some(whole) = fields.get(bound).and_then(Value::as_f64).and_then(whole) {
            fields.insert(bound.to_owned(), json!(whole));
        }
    }
    // An optional enum admits null in JSON Schema; the API server has dropped it before.
    if let Some(values) = fields.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::String(text)) = fields.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if fields.get("type").is_some_and(|kind| kind == "array") {
        fields.entry("x-kubernetes-list-type").or_insert_with(|| json!("atomic"));
    }
    // Half a selector of one manager and half of another's would select what neither meant.
    if fields.get("properties").is_some_and(|inner| inner.get("matchExpressions").is_some()) {
        fields.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        fields["properties"]["matchExpressions"]["items"]["properties"]["operator"]["enum"] =
            json!(["In", "NotIn", "Exists", "DoesNotExist"]);
    }
    for (name, inner) in fields.iter_mut() {
        match (name.as_str(), inner) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(mend_schema),
            ("items" | "additionalProperties", inner) => mend_schema(inner),
            _ => {}
        }
    }
}

/// A float that is a whole number, and one that floats hold exactly.
fn whole(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
    (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `see` with each schema below `schema` and its path.
    fn each(path: &str, schema: &Value, see: &mut impl FnMut(&str, &Value)) {
        see(path, schema);
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            each(&format!("{path}.{name}"), inner, see);
        }
        for key in ["items", "additionalProperties"] {
            if schema[key].is_object() {
                each(&format!("{path}[]"), &schema[key], see);
            }
        }
    }

    /// Calls `see` with each schema of each kind and its path, which begins with the kind's name.
    fn each_of_all(mut see: impl FnMut(&str, &Value)) {
        let kinds: Vec<_> = all().unwrap().iter().map(|crd| crd["spec"]["names"]["kind"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds, ["MailServer", "EmailProfile", "RoundTripPolicy", "MailReceiver", "Actor", "ActorTask", "ProbeReply"]);
        for kind in kinds {
            each(&kind, &schema(&kind).unwrap().unwrap(), &mut see);
        }
    }

    #[test]
    fn every_field_is_explained() {
        each_of_all(|path, field| {
            let text = field["description"].as_str().unwrap_or_default();
            assert!(path.ends_with("[]") || text.len() > 3, "{path} has no description");
            assert!(!text.contains("[`"), "{path}: {text:?} links to code, which `kubectl explain` cannot follow");
        });
    }

    #[test]
    fn no_field_is_nullable_or_unsigned_and_every_list_says_how_it_merges() {
        each_of_all(|path, field| {
            assert!(field.get("nullable").is_none(), "{path} is nullable");
            assert!(!field["format"].as_str().unwrap_or_default().starts_with("uint"), "{path} is unsigned");
            assert_eq!(field["type"] == "array", field.get("x-kubernetes-list-type").is_some(), "{path}");
        });
    }

    #[test]
    fn every_list_and_every_text_of_ours_is_bounded() {
        each_of_all(|path, field| {
            // Selectors and conditions are Kubernetes' own types, with Kubernetes' own bounds.
            if path.contains("elector") || path.contains(".conditions[]") {
                return;
            }
            match field["type"].as_str() {
                Some("array") => assert!(field["maxItems"].is_u64(), "{path} has no maxItems"),
                Some("string") if field.get("enum").is_none() && field["format"] != "date-time" => {
                    assert!(field["maxLength"].is_u64(), "{path} has no maxLength");
                }
                Some("integer") => assert!(field["minimum"].is_number(), "{path} has no minimum"),
                _ => {}
            }
        });
    }

    #[test]
    fn no_column_of_a_time_that_may_lie_ahead_is_a_date() {
        for crd in all().unwrap() {
            let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
            assert!(columns.len() > 2);
            for column in columns {
                // kubectl prints a date ahead of its own clock as <invalid>.
                assert_eq!(column["type"] == "date", column["name"] == "Age", "{column}");
            }
        }
    }
}
