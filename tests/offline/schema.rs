//! Our own validation and the schema: the verdicts that the API server gives, which `tests/cluster/schema.rs` holds it to.

use std::collections::BTreeSet;

use mailverity::{api::crd, manifest::Judge};
use serde_json::Value;

use crate::cases::{self, object};

#[test]
fn every_case_gets_the_api_servers_verdict_and_its_field_is_named() {
    let judge = Judge::new().unwrap();
    let mut wrong = Vec::new();
    for kind in cases::KINDS {
        for case in cases::of(kind) {
            let faults = judge.object(&object(kind, "a", &case.passes));
            if !faults.is_empty() {
                wrong.push(format!("{kind}: {} should pass: {faults:?}", case.title));
            }
            let faults = judge.object(&object(kind, "a", &case.refused));
            if !faults.iter().any(|(field, words)| *field == case.field && (!case.is_rule || words.contains(&case.says))) {
                wrong.push(format!("{kind}: {} should be refused at {}: {faults:?}", case.title, case.field));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_bound_and_rule_of_the_schema_has_a_case() {
    assert_eq!(crd::all().unwrap().len(), cases::KINDS.len(), "a kind has no cases at all");
    for kind in cases::KINDS {
        let schema = crd::schema(kind).unwrap().unwrap();
        let (mut bounds, mut rules) = (BTreeSet::new(), BTreeSet::new());
        collect("spec", &schema["properties"]["spec"], &mut bounds, &mut rules);
        let cases = cases::of(kind);
        let covered: BTreeSet<_> = cases.iter().filter_map(|case| case.bound.clone()).collect();
        assert!(bounds.len() > 10, "the walk found only {} bounds", bounds.len());
        let without: Vec<_> = bounds.difference(&covered).collect();
        assert!(without.is_empty(), "{kind}: no case for these: {without:#?}");
        let gone: Vec<_> = covered.difference(&bounds).collect();
        assert!(gone.is_empty(), "{kind}: no such bound any more: {gone:#?}");
        for (path, rule) in rules {
            let has_one = cases.iter().any(|case| {
                let said = rule.starts_with(&case.says) || rule.ends_with(&case.says);
                case.is_rule && said && case.field.replace("[0]", "[]").starts_with(&path)
            });
            assert!(has_one, "{kind}: no case for the rule {rule:?} of {path}");
        }
    }
}

/// The bounds below a schema, as (path, keyword), and its rules, as (path, message).
fn collect(path: &str, schema: &Value, bounds: &mut BTreeSet<(String, String)>, rules: &mut BTreeSet<(String, String)>) {
    for keyword in ["enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems"] {
        if schema.get(keyword).is_some() {
            bounds.insert((path.to_owned(), keyword.to_owned()));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        bounds.insert((format!("{path}.{name}"), "required".to_owned()));
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        rules.insert((path.to_owned(), rule["message"].as_str().expect("every rule has a message").to_owned()));
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        collect(&format!("{path}.{name}"), inner, bounds, rules);
    }
    if schema["items"].is_object() {
        collect(&format!("{path}[]"), &schema["items"], bounds, rules);
    }
}
