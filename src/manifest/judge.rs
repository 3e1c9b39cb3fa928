//! The API server's verdict without an API server: the schema's bounds first, then the CEL rules.

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Document, Finding, Severity,
    read::join,
    suggest,
    walk::{Fault, prune, walk},
};
use crate::api::{
    crd,
    v1alpha1::{
        ActorSpec, ActorTaskSpec, EmailProfileSpec, MailReceiverSpec, MailServerSpec, ProbeReplySpec, RoundTripPolicySpec,
    },
};

/// Judges objects of our kinds. Made once: the rules are compiled then.
#[derive(Debug)]
pub struct Judge {
    kinds: Vec<Kind>,
    validator: Validator,
}

#[derive(Debug)]
struct Kind {
    name: String,
    versions: Vec<String>,
    schema: Value,
    rules: CompiledSchema,
    /// Reads a spec as the operator does.
    read: Read,
}

type Read = fn(&Value) -> Result<(), serde_json::Error>;

/// How the operator reads the spec of a kind.
fn reader(kind: &str) -> Read {
    match kind {
        "MailServer" => |spec| MailServerSpec::deserialize(spec).map(drop),
        "EmailProfile" => |spec| EmailProfileSpec::deserialize(spec).map(drop),
        "RoundTripPolicy" => |spec| RoundTripPolicySpec::deserialize(spec).map(drop),
        "MailReceiver" => |spec| MailReceiverSpec::deserialize(spec).map(drop),
        "ProbeReply" => |spec| ProbeReplySpec::deserialize(spec).map(drop),
        "Actor" => |spec| ActorSpec::deserialize(spec).map(drop),
        "ActorTask" => |spec| ActorTaskSpec::deserialize(spec).map(drop),
        _ => |_| Ok(()),
    }
}

impl Judge {
    /// Compiles the rules of every kind.
    ///
    /// # Errors
    /// Those of [`crd::all`].
    pub fn new() -> Result<Self, serde_json::Error> {
        let kinds = crd::all()?.into_iter().map(|mut crd| {
            let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
            let versions = versions.filter_map(|version| version["name"].as_str().map(str::to_owned)).collect();
            let schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take();
            let name = crd["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
            Kind { rules: compile_schema(&schema), read: reader(&name), name, versions, schema }
        });
        Ok(Self { kinds: kinds.collect(), validator: Validator::new() })
    }

    /// The spec of a document as the API server would keep it: without the nulls that it drops.
    #[must_use]
    pub fn pruned(&self, document: &Document) -> Value {
        let mut spec = document.value["spec"].clone();
        if let Some(kind) = self.kinds.iter().find(|kind| kind.name == document.kind()) {
            prune(&kind.schema["properties"]["spec"], &mut spec);
        }
        spec
    }

    /// Everything that the API server would refuse a document of our group for; empty if it would take it.
    #[must_use]
    pub fn document(&self, document: &Document) -> Vec<Finding> {
        let faults = self.object(&document.value);
        faults.into_iter().map(|(field, message)| document.finding(Severity::Error, &field, message)).collect()
    }

    /// The same for a plain object, as pairs of the field's path and what is wrong with it.
    #[must_use]
    pub fn object(&self, object: &Value) -> Vec<Fault> {
        let written = object["kind"].as_str().unwrap_or_default();
        let Some(kind) = self.kinds.iter().find(|kind| kind.name == written) else {
            let names = || self.kinds.iter().map(|kind| kind.name.as_str());
            let known = names().collect::<Vec<_>>().join(", ");
            let meant = suggest::nearest(written, names()).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            return vec![("kind".to_owned(), format!("{written:?} is not a kind of {}: {known}{meant}", crd::GROUP))];
        };
        let version = object["apiVersion"].as_str().unwrap_or_default().split_once('/').map_or("", |(_, version)| version);
        if !kind.versions.iter().any(|known| known == version) {
            let known = kind.versions.join(", ");
            return vec![(
                "apiVersion".to_owned(),
                format!("{} has no version {version:?}; write {}/{known}", kind.name, crd::GROUP),
            )];
        }
        let mut faults = metadata(&object["metadata"]);
        let mut body = object.clone();
        if let Some(fields) = body.as_object_mut() {
            // The API server sees to the first three itself, and drops the status of what users apply.
            for name in ["apiVersion", "kind", "metadata", "status"] {
                fields.remove(name);
            }
        }
        prune(&kind.schema, &mut body);
        let before = faults.len();
        walk("", &kind.schema, &kind.schema, &body, &mut faults);
        if faults.len() == before
            && let Err(broken) = self.validator.validate_compiled(&kind.rules, &body, None)
        {
            faults.extend(broken.into_vec().into_iter().map(|rule| (rule.field_path, rule.message)));
        }
        // A few values pass the schema and mean nothing, such as 99999999999999h: the operator says SpecInvalid then.
        if faults.is_empty()
            && let Err(error) = (kind.read)(&body["spec"])
        {
            faults.push(("spec".to_owned(), error.to_string()));
        }
        faults
    }
}

/// The parts of metadata that people get wrong by hand.
fn metadata(metadata: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut named = false;
    for field in ["name", "generateName", "namespace"] {
        let Some(value) = metadata.get(field).filter(|value| !value.is_null()) else { continue };
        let path = format!("metadata.{field}");
        let Some(text) = value.as_str() else {
            faults.push((path, format!("{value} has to be a text: write \"{value}\"")));
            continue;
        };
        named |= field != "namespace";
        let ending = if field == "generateName" { "[a-z0-9.-]*$" } else { "([a-z0-9.-]*[a-z0-9])?$" };
        let most = if field == "namespace" { 63 } else { 253 };
        if !Regex::new(&format!("^[a-z0-9]{ending}")).is_ok_and(|name| name.is_match(text)) || text.contains("..") {
            faults.push((path, format!("{text:?} is not a name: lower case letters, digits, - and . (RFC 1123)")));
        } else if text.len() > most {
            faults.push((path, format!("has {} characters, {most} at most", text.len())));
        }
    }
    if !named {
        faults.push(("metadata.name".to_owned(), "is required".to_owned()));
    }
    for field in ["labels", "annotations"] {
        for (name, value) in metadata[field].as_object().into_iter().flatten() {
            if !value.is_string() {
                let path = join(&format!("metadata.{field}"), name);
                faults.push((path, format!("{value} has to be a text: write \"{value}\"")));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(spec: &Value) -> Vec<String> {
        faults_of("MailServer", spec)
    }

    fn faults_of(kind: &str, spec: &Value) -> Vec<String> {
        let object = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        Judge::new().unwrap().object(&object).into_iter().map(|(field, words)| format!("{field}: {words}")).collect()
    }

    #[test]
    fn every_rule_compiles() {
        let judge = Judge::new().unwrap();
        for kind in &judge.kinds {
            assert!(!kind.rules.has_errors(), "{:?}", kind.rules.compilation_errors());
        }
    }

    #[test]
    fn every_kind_is_read_as_the_operator_reads_it() {
        for kind in &Judge::new().unwrap().kinds {
            assert!((kind.read)(&json!("no spec")).is_err(), "{} has no reader", kind.name);
        }
    }

    #[test]
    fn a_sound_server_is_taken_and_nulls_are_no_values() {
        assert_eq!(faults(&json!({"host": "a.example", "url": null, "auth": null})), [""; 0]);
    }

    #[test]
    fn what_the_schema_takes_and_the_operator_cannot_read_is_said() {
        let said = faults(&json!({"host": "a.example", "tls": {"expiryWarning": "99999999999999h"}}));
        assert!(said[0].starts_with("spec: \"99999999999999h\" is not a duration"), "{said:?}");
        let said = faults_of(
            "EmailProfile",
            &json!({
                "address": "a@b.example", "protocol": "IMAP", "server": {"host": "a", "tls": {"expiryWarning": "99999999999999h"}},
                "account": {"type": "Password", "secretRef": {"name": "s"}}, "verification": {"mode": "Manual"},
            }),
        );
        assert!(said[0].starts_with("spec: \"99999999999999h\" is not a duration"), "{said:?}");
    }

    #[test]
    fn unknown_fields_are_refused_with_the_one_that_was_meant() {
        assert_eq!(faults(&json!({"hots": "a.example", "host": "b"})), ["spec.hots: is not a known field; did you mean host?"]);
        let elsewhere = faults(&json!({"host": "b", "username": "x"}));
        assert_eq!(elsewhere, ["spec.username: is not a known field; did you mean spec.auth.username?"]);
    }

    #[test]
    fn wrong_types_are_said_in_the_words_of_manifests() {
        let said = faults(&json!({"host": "a", "port": "587", "tls": {"minVersion": 1.2}, "suspend": "true"}));
        assert_eq!(
            said,
            [
                "spec.port: \"587\" is a text and has to be a whole number: leave the quotes out",
                "spec.suspend: \"true\" is a text and has to be true or false: leave the quotes out",
                "spec.tls.minVersion: 1.2 is a number and has to be a text: write \"1.2\"",
            ]
        );
    }

    #[test]
    fn rules_speak_only_where_the_shape_is_right_and_name_their_field() {
        let said = faults(&json!({"host": "a.example:25"}));
        assert_eq!(said, ["spec.host: put the port in port, not in host"]);
        let said = faults(&json!({"host": "a.example:25", "port": 0}));
        assert_eq!(said, ["spec.port: 0 is below 1"]);
    }

    #[test]
    fn names_and_annotations_are_looked_at() {
        let object = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer",
            "metadata": {"name": "Big_Name", "annotations": {"mailverity.dev/is-default-server": true}}, "spec": {"host": "a"}});
        let said = Judge::new().unwrap().object(&object);
        assert_eq!(
            said.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(),
            ["metadata.name", "metadata.annotations.mailverity.dev/is-default-server"]
        );
    }

    #[test]
    fn another_version_and_another_kind_are_refused() {
        let judge = Judge::new().unwrap();
        let said = judge.object(&json!({"apiVersion": "mailverity.dev/v1", "kind": "MailServer"}));
        assert_eq!(said[0].1, "MailServer has no version \"v1\"; write mailverity.dev/v1alpha1");
        let said = judge.object(&json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "Mailserver"}));
        assert!(said[0].1.ends_with("did you mean MailServer?"), "{}", said[0].1);
    }
}
