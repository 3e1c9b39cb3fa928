//! `mailverity docs`: the pages of the documentation that are made from code: every reason, every field.

use std::{fmt::Write, fs, path::PathBuf};

use clap::Args;
use serde_json::Value;

use super::{Error, Exit};
use crate::api::{Reason, crd};

/// Write docs/reasons.md and docs/api.md.
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Docs {
    /// The folder that they go to.
    #[arg(long, value_name = "DIR", default_value = "docs")]
    out: PathBuf,
}

impl Docs {
    pub(super) fn run(self) -> Result<Exit, Error> {
        fs::create_dir_all(&self.out).map_err(Error::about(self.out.display()))?;
        for (name, text) in files()? {
            let path = self.out.join(name);
            fs::write(&path, text).map_err(Error::about(path.display()))?;
        }
        Ok(Exit::Good)
    }
}

/// Each page: its name and its content.
///
/// # Errors
/// None in practice; see [`crd::all`].
pub fn files() -> Result<Vec<(&'static str, String)>, Error> {
    Ok(vec![("reasons.md", reasons()), ("api.md", fields(&crd::all()?))])
}

fn reasons() -> String {
    let mut page = "<!-- Made from src/api/reason.rs by `make generate`; changes belong there. -->\n\
        # Reasons\n\n\
        Every failure, and every state that deserves a word, has one of these reasons: in conditions, Events, metrics and the\n\
        output of the command line. The condition is the one that the reason stands on; *stage* means that of the stage that\n\
        failed. *Needs you*: only a change helps, the object is Stalled and is looked at again at its interval. *Tried again*:\n\
        looking and connecting are repeated with back-off; no mail is. In the cure, `{…}` is filled in and parts in `[…]` appear\n\
        where they are known.\n\n\
        | Reason | Condition | Who can help | Meaning | Cure |\n|---|---|---|---|---|\n"
        .to_owned();
    for reason in Reason::ALL {
        let row = reason.row();
        let hint = if row.hint == "{reply}" { "" } else { row.hint };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| {reason} | {} | {} | {} | {} |",
            row.condition.unwrap_or("*stage*"),
            row.class.as_str(),
            cell(row.meaning),
            cell(hint)
        );
    }
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn fields(crds: &[Value]) -> String {
    let mut page = "<!-- Made from src/api by `make generate`; changes belong there. -->\n\
        # Fields\n\n\
        What `kubectl explain` says, on one page. *Required* fields are so within the map that they stand in.\n"
        .to_owned();
    // A kind in no category is internal.
    for crd in crds.iter().filter(|crd| crd["spec"]["names"]["categories"].is_array()) {
        let names = &crd["spec"]["names"];
        let version = &crd["spec"]["versions"][0];
        let schema = &version["schema"]["openAPIV3Schema"];
        let (kind, plural) = (plain(&names["kind"]), plain(&names["plural"]));
        let shorts: Vec<_> =
            names["shortNames"].as_array().into_iter().flatten().map(|name| format!("`{}`", plain(name))).collect();
        let _ = write!(
            page,
            "\n## {kind}\n\n`{}/{}`, {}; `kubectl get {plural}`, short {}.\n{}\n",
            crd::GROUP,
            plain(&version["name"]),
            plain(&crd["spec"]["scope"]).to_lowercase(),
            shorts.join(", "),
            plain(&schema["description"]),
        );
        for part in ["spec", "status"] {
            let _ = write!(page, "\n### {kind} {part}\n\n| Field | Type | Meaning |\n|---|---|---|\n");
            rows(part, &schema["properties"][part], &mut page);
        }
        rules(schema, &mut page);
    }
    page
}

fn plain(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn rows(path: &str, schema: &Value, page: &mut String) {
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let mut kind = shape(field);
        if required(name) {
            kind.push_str(", required");
        }
        if let Some(default) = field.get("default").filter(|default| !default.is_object()) {
            let _ = write!(kind, ", default {default}");
        }
        let _ = writeln!(page, "| `{path}` | {kind} | {} |", cell(&plain(&field["description"])));
        match field["type"].as_str() {
            Some("object") => rows(&path, field, page),
            Some("array") => rows(&format!("{path}[]"), &field["items"], page),
            _ => {}
        }
    }
}

fn shape(field: &Value) -> String {
    let bounds = |least: &str, most: &str| match (&field[least], &field[most]) {
        (Value::Null, Value::Null) => String::new(),
        (least, Value::Null) => format!(" from {least}"),
        (Value::Null, most) => format!(" up to {most}"),
        (least, most) => format!(" {least} to {most}"),
    };
    match field["type"].as_str().unwrap_or_default() {
        "string" if field["enum"].is_array() => {
            let names: Vec<_> = field["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            names.join(", ")
        }
        "string" if field["format"] == "date-time" => "time".to_owned(),
        "string" if field["pattern"] == "^([0-9]+(h|m|s))+$" => "duration such as 1h30m".to_owned(),
        "string" => match field["maxLength"].as_u64() {
            Some(most) => format!("text, {most} characters at most"),
            None => "text".to_owned(),
        },
        "integer" => format!("whole number{}", bounds("minimum", "maximum")),
        "boolean" => "true or false".to_owned(),
        "array" => {
            let most = field["maxItems"].as_u64().map(|most| format!("{most} at most, ")).unwrap_or_default();
            format!("list, {most}of {}", shape(&field["items"]))
        }
        _ if field["additionalProperties"].is_object() => format!("map of {}", shape(&field["additionalProperties"])),
        _ => "map".to_owned(),
    }
}

/// The CEL rules, in the words that the API server refuses with.
fn rules(schema: &Value, page: &mut String) {
    page.push_str("\n### What is refused\n\nBesides wrong types, lengths and ranges:\n\n");
    let mut at = vec![("spec".to_owned(), &schema["properties"]["spec"])];
    while let Some((path, schema)) = at.pop() {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let _ = writeln!(page, "- `{path}`: {}", plain(&rule["message"]));
        }
        let inner = schema["properties"].as_object().into_iter().flatten().rev();
        at.extend(inner.map(|(name, field)| match field["type"].as_str() {
            Some("array") => (format!("{path}.{name}[]"), &field["items"]),
            _ => (format!("{path}.{name}"), field),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_in_docs_are_those_that_the_code_makes() {
        for (name, text) in files().unwrap() {
            let kept = fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap_or_default();
            assert!(kept == text, "docs/{name} is out of date: run `make generate`");
        }
    }

    #[test]
    fn every_reason_has_a_row_with_a_meaning() {
        let page = reasons();
        for reason in Reason::ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| {reason} |"))).unwrap();
            assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
            assert!(!reason.row().meaning.is_empty());
        }
    }
}
