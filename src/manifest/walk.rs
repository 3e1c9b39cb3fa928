//! The schema's bounds: types, enums, ranges, lengths, patterns, required and unknown fields. The API server checks
//! them before the CEL rules, and so do we: a rule speaks of values that have the right type.

use std::collections::HashSet;

use regex::Regex;
use serde_json::{Map, Value};

use super::{read::join, suggest};

/// What is wrong with a field: its path and the words.
pub type Fault = (String, String);

/// Drops the nulls that the API server drops before it looks: those of known fields of maps.
pub fn prune(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| !(field.is_null() && schema["properties"].get(name).is_some()));
            for (name, field) in fields {
                let inner = &schema["properties"][name.as_str()];
                prune(if inner.is_null() { &schema["additionalProperties"] } else { inner }, field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prune(&schema["items"], item)),
        _ => {}
    }
}

/// Compares a value with its schema; every fault is added to `faults`. `top` is the schema that `path` begins at, for
/// suggestions.
pub fn walk(path: &str, schema: &Value, top: &Value, value: &Value, faults: &mut Vec<Fault>) {
    let mut fault = |text: String| faults.push((path.to_owned(), text));
    let wanted = schema["type"].as_str().unwrap_or_default();
    if !has_type(wanted, value) {
        fault(wrong_type(wanted, value));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        let meant = value.as_str().and_then(|written| suggest::nearest(written, names.iter().copied()));
        fault(format!("{value} is not one of {}{}", names.join(", "), did_you_mean(meant)));
    }
    match value {
        Value::String(text) => text_bounds(schema, text, &mut fault),
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            if schema["minimum"].as_f64().is_some_and(|least| number < least) {
                fault(format!("{value} is below {}", schema["minimum"]));
            }
            if schema["maximum"].as_f64().is_some_and(|most| number > most) {
                fault(format!("{value} is over {}", schema["maximum"]));
            } else if schema["format"] == "int32" && number.abs() > f64::from(i32::MAX) {
                fault(format!("{value} does not fit into 32 bits"));
            }
        }
        Value::Array(items) => {
            count_bounds(schema, items.len(), &mut fault);
            duplicates(path, schema, items, faults);
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{path}[{index}]"), &schema["items"], top, item, faults);
            }
        }
        Value::Object(fields) => object(path, schema, top, fields, faults),
        Value::Null | Value::Bool(_) => {}
    }
}

fn object(path: &str, schema: &Value, top: &Value, fields: &Map<String, Value>, faults: &mut Vec<Fault>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            faults.push((join(path, name), "is required".to_owned()));
        }
    }
    let known = schema["properties"].as_object();
    for (name, field) in fields {
        let inner_path = join(path, name);
        match known.and_then(|known| known.get(name)) {
            Some(inner) => walk(&inner_path, inner, top, field, faults),
            None if schema["additionalProperties"].is_object() => {
                walk(&inner_path, &schema["additionalProperties"], top, field, faults);
            }
            None => {
                let here = known.and_then(|known| suggest::nearest(name, known.keys().map(String::as_str)));
                let root = path.split('.').next().unwrap_or_default();
                let meant = here.map(str::to_owned).or_else(|| suggest::elsewhere(name, root, &top["properties"][root]));
                faults.push((inner_path, format!("is not a known field{}", did_you_mean(meant.as_deref()))));
            }
        }
    }
}

fn has_type(wanted: &str, value: &Value) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        // 587.0 is a whole number to the API server too.
        "integer" => value.as_i64().is_some() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        _ => true,
    }
}

fn wrong_type(wanted: &str, value: &Value) -> String {
    let (wanted, is) = (article(wanted), article(type_of(value)));
    match value {
        Value::Number(_) | Value::Bool(_) if wanted == "a text" => {
            format!("{value} is {is} and has to be a text: write \"{value}\"")
        }
        Value::String(text) if ["a whole number", "true or false"].contains(&wanted) => {
            let bare = text.parse::<i64>().is_ok() || text == "true" || text == "false";
            let hint = if bare { ": leave the quotes out" } else { "" };
            format!("{value} is {is} and has to be {wanted}{hint}")
        }
        Value::Null => format!("is empty and has to be {wanted}"),
        _ => format!("is {is} and has to be {wanted}"),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn article(kind: &str) -> &'static str {
    match kind {
        "object" => "a map",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "empty",
    }
}

fn text_bounds(schema: &Value, text: &str, fault: &mut impl FnMut(String)) {
    let length = text.chars().count() as u64;
    if schema["maxLength"].as_u64().is_some_and(|most| length > most) {
        fault(format!("has {length} characters, {} at most", schema["maxLength"]));
    }
    if schema["minLength"].as_u64().is_some_and(|least| length < least) {
        let least = &schema["minLength"];
        fault(if length == 0 { "is empty".to_owned() } else { format!("has {length} characters, {least} at least") });
    }
    let pattern = schema["pattern"].as_str();
    if let Some((pattern, _)) = pattern.and_then(|p| Some((p, Regex::new(p).ok()?))).filter(|(_, regex)| !regex.is_match(text)) {
        let shown: String = text.chars().take(64).collect();
        fault(match schema["format"].as_str() {
            _ if pattern == SPAN => format!("{shown:?} is not a duration: write it like 30s, 5m or 1h30m (units h, m and s)"),
            _ if pattern.contains(r"\x00-\x1f") => {
                format!("{shown:?} has a control character or is empty; one line of text goes here")
            }
            _ => format!("{shown:?} does not match {pattern}"),
        });
    }
}

/// The pattern of durations, which deserves better words than its own.
const SPAN: &str = "^([0-9]+(h|m|s))+$";

fn count_bounds(schema: &Value, count: usize, fault: &mut impl FnMut(String)) {
    let count = count as u64;
    if schema["maxItems"].as_u64().is_some_and(|most| count > most) {
        fault(format!("has {count} items, {} at most", schema["maxItems"]));
    }
    if schema["minItems"].as_u64().is_some_and(|least| count < least) {
        fault(format!("has {count} items, {} at least; leave it out if there is none", schema["minItems"]));
    }
}

/// A list that is merged by keys (or as a set) holds each only once.
fn duplicates(path: &str, schema: &Value, items: &[Value], faults: &mut Vec<Fault>) {
    let keys: Vec<&str> = match schema["x-kubernetes-list-type"].as_str() {
        Some("map") => schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        Some("set") => Vec::new(),
        _ => return,
    };
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let key = if keys.is_empty() { item.to_string() } else { keys.iter().map(|key| item[*key].to_string()).collect() };
        if !seen.insert(key.clone()) {
            faults.push((format!("{path}[{index}]"), format!("{key} stands in the list twice")));
        }
    }
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default()
}
