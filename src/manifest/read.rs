//! YAML (and JSON, which is YAML) as kubectl reads it: several documents, `yes` and `on` as booleans, 0777 as octal; with
//! the line and column of every field, and duplicate keys refused.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use super::{Finding, Severity};

/// The most bytes of one file that are read: a whole cluster's manifests fit, a disk image does not.
pub const MOST_BYTES: usize = 64 << 20;

/// After so many faults in one file nobody reads on.
const MOST_FAULTS: usize = 100;

/// A position in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named on the command line; `-` for standard input.
    pub file: Arc<str>,
    /// The line, from 1; 0 where none is known.
    pub line: u64,
    /// The column, from 1; 0 where none is known.
    pub column: u64,
}

/// One object of a manifest.
#[derive(Clone, Debug)]
pub struct Document {
    /// The object.
    pub value: Value,
    /// Where it begins.
    pub start: Place,
    /// Where each field stands, by its path in the file's document.
    places: Arc<BTreeMap<String, (u64, u64)>>,
    /// The object's own path there: empty, or `items[2]` in a List.
    root: String,
}

impl Document {
    /// Where a field stands, or the nearest field around it. `path` is that of the object, such as `spec.tls.caRef`.
    #[must_use]
    pub fn place(&self, path: &str) -> Place {
        let mut path = join(&self.root, path);
        loop {
            if let Some(&(line, column)) = self.places.get(&path) {
                return Place { line, column, ..self.start.clone() };
            }
            match path.rfind(['.', '[']) {
                Some(at) if at > self.root.len() => path.truncate(at),
                _ => return self.start.clone(),
            }
        }
    }

    /// The text at a path of names, such as `["metadata", "name"]`; empty where there is none.
    #[must_use]
    pub fn text(&self, path: &[&str]) -> &str {
        path.iter().try_fold(&self.value, |value, name| value.get(name)).and_then(Value::as_str).unwrap_or_default()
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text(&["kind"])
    }

    /// The group of the apiVersion; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.text(&["apiVersion"]).split_once('/').map_or("", |(group, _)| group)
    }

    /// The name, or what it is generated from.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.text(&["metadata", "name"]) {
            "" => self.text(&["metadata", "generateName"]),
            name => name,
        }
    }

    /// The namespace, or the one that takes its place where none is written.
    #[must_use]
    pub fn namespace<'a>(&'a self, fallback: &'a str) -> &'a str {
        match self.text(&["metadata", "namespace"]) {
            "" => fallback,
            namespace => namespace,
        }
    }

    /// A finding about a field of this object.
    #[must_use]
    pub fn finding(&self, severity: Severity, field: &str, message: impl Into<String>) -> Finding {
        Finding::new(severity, &self.place(field), field, message)
    }
}

/// Reads every object of a text, Lists unrolled. What cannot be read becomes a finding; what follows a syntax error in
/// the same file is not looked at.
#[must_use]
pub fn read(file: &str, text: &str) -> (Vec<Document>, Vec<Finding>) {
    let file: Arc<str> = file.into();
    let (mut documents, mut findings) = (Vec::new(), Vec::new());
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: false,
        with_snippet: false,
    };
    let mut bytes = text.as_bytes();
    let mut last = None;
    for result in serde_saphyr::read_with_options::<_, Spanned<Node>>(&mut bytes, options) {
        match result {
            Ok(node) => unroll(&file, node, &mut documents, &mut findings),
            Err(error) => {
                let finding = unreadable(&file, &error);
                // After a syntax error the reader may say the same again and again.
                if last.as_ref() == Some(&finding) || findings.len() >= MOST_FAULTS {
                    break;
                }
                findings.push(finding.clone());
                last = Some(finding);
            }
        }
    }
    (documents, findings)
}

fn unreadable(file: &Arc<str>, error: &serde_saphyr::Error) -> Finding {
    let error = error.without_snippet();
    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
    let place = Place { file: file.clone(), line, column };
    // The parser's words begin with the position, which the finding has already.
    let words = error.to_string();
    let words = words.lines().next().unwrap_or_default();
    let words = words.strip_prefix("error: ").unwrap_or(words);
    let position = format!(" at line {line}, column {column}");
    Finding::new(Severity::Error, &place, "", format!("cannot be read: {}", words.replace(&position, "")))
}

fn unroll(file: &Arc<str>, node: Spanned<Node>, documents: &mut Vec<Document>, findings: &mut Vec<Finding>) {
    let start = Place { file: file.clone(), line: node.referenced.line(), column: node.referenced.column() };
    let mut places = BTreeMap::new();
    let value = node.value.settle("", &mut places);
    let whole = Document { value, start, places: Arc::new(places), root: String::new() };
    if !whole.value.is_object() {
        findings.push(whole.finding(Severity::Error, "", "is no Kubernetes object: it has to be a map with apiVersion and kind"));
        return;
    }
    let is_list = whole.kind().ends_with("List") && whole.value.get("items").is_some_and(Value::is_array);
    if !is_list {
        documents.push(whole);
        return;
    }
    for (index, item) in whole.value["items"].as_array().into_iter().flatten().enumerate() {
        let root = format!("items[{index}]");
        let start = whole.place(&root);
        documents.push(Document { value: item.clone(), start, places: whole.places.clone(), root });
    }
}

/// The path of a field inside another path; either may be empty.
pub(super) fn join(path: &str, field: &str) -> String {
    match (path, field) {
        ("", field) => field.to_owned(),
        (path, "") => path.to_owned(),
        (path, field) if field.starts_with('[') => format!("{path}{field}"),
        (path, field) => format!("{path}.{field}"),
    }
}

/// A value whose fields know where they stand.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    /// The plain value; the places of its fields go into `places`.
    fn settle(self, path: &str, places: &mut BTreeMap<String, (u64, u64)>) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::List(items) => {
                let settled = items.into_iter().enumerate().map(|(index, item)| {
                    let path = format!("{path}[{index}]");
                    places.insert(path.clone(), (item.referenced.line(), item.referenced.column()));
                    item.value.settle(&path, places)
                });
                Value::Array(settled.collect())
            }
            Self::Map(fields) => {
                let settled = fields.into_iter().map(|(key, field)| {
                    let path = join(path, &key.value);
                    places.insert(path.clone(), (key.referenced.line(), key.referenced.column()));
                    (key.value, field.value.settle(&path, places))
                });
                Value::Object(settled.collect::<Map<_, _>>())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        // JSON, and so the API server, knows neither infinity nor not-a-number.
        Number::from_f64(value)
            .map(|number| Node::Scalar(number.into()))
            .ok_or_else(|| E::custom("a number that JSON does not know"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Document {
        let (mut documents, findings) = read("f.yaml", text);
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(documents.len(), 1);
        documents.remove(0)
    }

    #[test]
    fn every_field_knows_its_line_and_column() {
        let document = one("kind: A\nspec:\n  list:\n  - host: a\n  - host: b\n");
        for (path, line, column) in
            [("spec", 2, 1), ("spec.list[1].host", 5, 5), ("spec.list[1].absent.too", 5, 5), ("none", 1, 1)]
        {
            let place = document.place(path);
            assert_eq!((place.line, place.column), (line, column), "{path}");
        }
    }

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let value = one("a: yes\nb: off\nc: 0777\nd: \"on\"\ne: 1.5\nf: ~\ng: 12\nh: 1h\n").value;
        assert_eq!(
            value,
            serde_json::json!({"a": true, "b": false, "c": 511, "d": "on", "e": 1.5, "f": null, "g": 12, "h": "1h"})
        );
    }

    #[test]
    fn json_with_tabs_is_read_too() {
        assert_eq!(one("{\n\t\"kind\": \"A\",\n\t\"n\": [1, 2]\n}\n").value["n"][1], 2);
    }

    #[test]
    fn several_documents_and_lists_come_out_one_by_one_and_keep_their_lines() {
        let (documents, findings) = read("-", "---\nkind: A\n---\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n  x: 1\n");
        assert!(findings.is_empty());
        assert_eq!(documents.iter().map(|d| (d.kind(), d.start.line)).collect::<Vec<_>>(), [("A", 2), ("B", 7), ("C", 8)]);
        assert_eq!(documents[2].place("x").line, 9);
    }

    #[test]
    fn a_duplicate_key_is_refused_with_its_line_and_the_next_document_is_still_read() {
        let (documents, findings) = read("f", "a: 1\na: 2\n---\nkind: B\n");
        assert_eq!(documents.len(), 1);
        assert_eq!((findings.len(), findings[0].line), (1, 2));
        assert!(findings[0].message.contains("duplicate"), "{}", findings[0].message);
    }

    #[test]
    fn a_syntax_error_is_said_once() {
        for text in
            ["a: [1, 2\nb: }\n", "a: b: c\n", "a:\n\tx: 1\n", "a: 1\n---\n}\n---\nb: 2\n", "a: \"x\n", "&a [*a]", "- 1\n- {"]
        {
            let (_, findings) = read("f", text);
            assert_eq!(findings.len(), 1, "{text:?}: {findings:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_reading_panic_or_go_on_for_ever(text in "([ \\t\\n:{}\\[\\],&*!|>'\"#%@`a-c0-9~?-]|---\\n|\\PC){0,60}") {
            let (documents, findings) = read("f", &text);
            proptest::prop_assert!(findings.len() <= MOST_FAULTS + documents.len() + 1);
            for document in &documents {
                let _ = (document.place("spec.a[0]"), document.name(), document.kind());
            }
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let (documents, findings) = read("f", "- 1\n- 2\n");
        assert!(documents.is_empty());
        assert!(findings[0].message.contains("is no Kubernetes object"));
    }
}
