//! The cases of `tests/cases/mailserver.yaml`, each unfolded to a spec that passes and one that is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken case is a failed test")]

use std::{collections::BTreeMap, fs};

use serde::Deserialize;
use serde_json::{Value, json};

/// One case, unfolded.
pub struct Case {
    /// What it is about, for the test's words.
    pub title: String,
    /// The bound that it covers, as (path in the schema, keyword); none for a rule or a shape.
    pub bound: Option<(String, String)>,
    /// Where the refusal points.
    pub field: String,
    /// A spec that is taken.
    pub passes: Value,
    /// A spec that is refused.
    pub refused: Value,
    /// Words of the API server's refusal.
    pub says: String,
    /// Whether the words are a rule's message, which our own validation says too.
    pub is_rule: bool,
}

#[derive(Deserialize)]
struct File {
    bases: BTreeMap<String, Value>,
    bounds: Vec<Bound>,
    rules: Vec<Whole>,
    shapes: Vec<Whole>,
}

#[derive(Deserialize)]
struct Bound {
    #[serde(rename = "bound")]
    keyword: String,
    at: Vec<String>,
    #[serde(default = "plain")]
    base: String,
    passes: Value,
    refused: Value,
    says: String,
}

#[derive(Deserialize)]
struct Whole {
    says: String,
    field: String,
    passes: Value,
    refused: Value,
}

fn plain() -> String {
    "plain".to_owned()
}

/// Every case.
pub fn all() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/mailserver.yaml");
    let file: File = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut cases = Vec::new();
    for bound in file.bounds {
        let base = file.bases.get(&bound.base).unwrap_or_else(|| panic!("no base {}", bound.base));
        for at in &bound.at {
            cases.push(Case {
                title: format!("{} of {at}", bound.keyword),
                bound: Some((at.clone(), bound.keyword.clone())),
                field: at.replace("[]", "[0]"),
                passes: put(base, at, &bound.passes),
                refused: put(base, at, &bound.refused),
                says: bound.says.clone(),
                is_rule: false,
            });
        }
    }
    for (whole, is_rule) in file.rules.into_iter().map(|one| (one, true)).chain(file.shapes.into_iter().map(|one| (one, false))) {
        let Whole { says, field, passes, refused } = whole;
        cases.push(Case { title: format!("{field}: {says}"), bound: None, field, passes, refused, says, is_rule });
    }
    cases
}

/// A whole object around a spec.
pub fn object(name: &str, spec: &Value) -> Value {
    let mut object = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer", "metadata": {"name": name}});
    if !spec.is_null() {
        object["spec"] = spec.clone();
    }
    object
}

/// `base` with a value at a path such as `spec.alternates[].host`.
fn put(base: &Value, path: &str, value: &Value) -> Value {
    let mut spec = base.clone();
    let pointer = path.strip_prefix("spec").unwrap().replace("[]", ".0").replace('.', "/");
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let mut at = &mut spec;
    for step in parent.split('/').skip(1) {
        at = match at {
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            map => &mut map[step],
        };
    }
    match at {
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = unfold(value),
        map if value.get("$absent").is_some() => drop(map.as_object_mut().unwrap().remove(last)),
        map => map[last] = unfold(value),
    }
    spec
}

fn unfold(value: &Value) -> Value {
    let count = |part: &Value| usize::try_from(part[1].as_u64().unwrap()).unwrap();
    if let Some(parts) = value.get("$text") {
        let text = parts.as_array().unwrap().iter().map(|part| match part {
            Value::String(text) => text.clone(),
            repeated => repeated[0].as_str().map_or_else(|| repeated[0].to_string(), str::to_owned).repeat(count(repeated)),
        });
        return text.collect::<String>().into();
    }
    match value.get("$items") {
        Some(items) => vec![items[0].clone(); count(items)].into(),
        None => value.clone(),
    }
}
