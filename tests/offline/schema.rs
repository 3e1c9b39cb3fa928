//! Our own validation and the schema: the verdicts that the API server gives, which `tests/cluster/schema.rs` holds it to.

use std::collections::BTreeSet;

use mailverity::{api::crd, manifest::Judge};
use serde_json::Value;

use crate::cases::{self, object};

#[test]
fn every_case_gets_the_api_servers_verdict_and_its_field_is_named() {
    let judge = Judge::new().unwrap();
    let mut wrong = Vec::new();
    for case in cases::all() {
        let faults = judge.object(&object("a", &case.passes));
        if !faults.is_empty() {
            wrong.push(format!("{} should pass: {faults:?}", case.title));
        }
        let faults = judge.object(&object("a", &case.refused));
        if !faults.iter().any(|(field, words)| *field == case.field && (!case.is_rule || words.contains(&case.says))) {
            wrong.push(format!("{} should be refused at {}: {faults:?}", case.title, case.field));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_bound_and_rule_of_the_schema_has_a_case() {
    let schema = crd::schema("MailServer").unwrap().unwrap();
    let (mut bounds, mut rules) = (BTreeSet::new(), BTreeSet::new());
    collect("spec", &schema["properties"]["spec"], &mut bounds, &mut rules);
    let cases = cases::all();
    let covered: BTreeSet<_> = cases.iter().filter_map(|case| case.bound.clone()).collect();
    assert!(bounds.len() > 100, "the walk found only {} bounds", bounds.len());
    assert_eq!(bounds.difference(&covered).collect::<Vec<_>>(), [].to_vec() as Vec<&(String, String)>, "no case for these");
    assert_eq!(covered.difference(&bounds).collect::<Vec<_>>(), [].to_vec() as Vec<&(String, String)>, "no such bound any more");
    for rule in rules {
        let has_one = cases.iter().any(|case| case.is_rule && (rule.starts_with(&case.says) || rule.ends_with(&case.says)));
        assert!(has_one, "no case for the rule {rule:?}");
    }
}

/// The bounds below a schema, as (path, keyword), and the messages of its rules.
fn collect(path: &str, schema: &Value, bounds: &mut BTreeSet<(String, String)>, rules: &mut BTreeSet<String>) {
    for keyword in ["enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems"] {
        if schema.get(keyword).is_some() {
            bounds.insert((path.to_owned(), keyword.to_owned()));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        bounds.insert((format!("{path}.{name}"), "required".to_owned()));
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        rules.insert(rule["message"].as_str().expect("every rule has a message").to_owned());
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        collect(&format!("{path}.{name}"), inner, bounds, rules);
    }
    if schema["items"].is_object() {
        collect(&format!("{path}[]"), &schema["items"], bounds, rules);
    }
}
