//! The cases of `tests/cases/`, each unfolded to a spec that passes and one that is refused. One file a kind; what kinds
//! share is written once, in `shared/`, and unfolded at each place where a kind has it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken case is a failed test")]

use std::{collections::BTreeMap, fs};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Every kind that has cases.
pub const KINDS: [&str; 7] =
    ["MailServer", "EmailProfile", "RoundTripPolicy", "MailReceiver", "Actor", "ActorTask", "ProbeReply"];

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
    /// What is written elsewhere.
    #[serde(default)]
    shared: Vec<Mount>,
    #[serde(flatten)]
    cases: Cases,
}

/// A place where a kind has a shared type.
#[derive(Deserialize)]
struct Mount {
    /// The file in `shared/`, without its ending.
    cases: String,
    /// The places, each a path such as `spec.tls`.
    at: Vec<String>,
    /// The base of the kind that goes around it.
    #[serde(default = "plain")]
    base: String,
}

#[derive(Deserialize)]
struct Cases {
    bases: BTreeMap<String, Value>,
    #[serde(default)]
    bounds: Vec<Bound>,
    #[serde(default)]
    rules: Vec<Whole>,
    #[serde(default)]
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

/// Every case of a kind.
pub fn of(kind: &str) -> Vec<Case> {
    let File { shared, cases } = read(&kind.to_lowercase());
    let bases = cases.bases.clone();
    let mut all = cases.unfold("", &Value::clone);
    for mount in shared {
        let around = base(&bases, &mount.base);
        for at in &mount.at {
            let file: Cases = read(&format!("shared/{}", mount.cases));
            all.extend(file.unfold(at, &|value| put(around, at, value)));
        }
    }
    all
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/cases/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn base<'a>(bases: &'a BTreeMap<String, Value>, name: &str) -> &'a Value {
    bases.get(name).unwrap_or_else(|| panic!("no base {name}"))
}

impl Cases {
    /// Each case, its paths below `at` and its values inside of what `around` makes.
    fn unfold(self, at: &str, around: &dyn Fn(&Value) -> Value) -> Vec<Case> {
        let path = |below: &str| [at, below].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        let mut cases = Vec::new();
        for bound in self.bounds {
            let base = base(&self.bases, &bound.base);
            for below in &bound.at {
                let at = path(below);
                cases.push(Case {
                    title: format!("{} of {at}", bound.keyword),
                    field: at.replace("[]", "[0]"),
                    bound: Some((at, bound.keyword.clone())),
                    passes: around(&put(base, below, &bound.passes)),
                    refused: around(&put(base, below, &bound.refused)),
                    says: bound.says.clone(),
                    is_rule: false,
                });
            }
        }
        let wholes = self.rules.into_iter().map(|one| (one, true)).chain(self.shapes.into_iter().map(|one| (one, false)));
        for (Whole { says, field, passes, refused }, is_rule) in wholes {
            let field = path(&field).replace("[]", "[0]");
            let title = format!("{field}: {says}");
            cases.push(Case { title, bound: None, field, passes: around(&passes), refused: around(&refused), says, is_rule });
        }
        cases
    }
}

/// A whole object around a spec.
pub fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let mut object = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": kind, "metadata": {"name": name}});
    if !spec.is_null() {
        object["spec"] = spec.clone();
    }
    object
}

/// `base` with a value at a path such as `spec.alternates[].host`; the maps on the way are made. A path of a kind's own
/// begins with `spec`, which `base` is.
fn put(base: &Value, path: &str, value: &Value) -> Value {
    let mut whole = base.clone();
    let path = path.replace("[]", ".0");
    let (parent, last) = path.rsplit_once('.').unwrap_or(("", &path));
    let mut at = &mut whole;
    for step in parent.split('.').filter(|step| !step.is_empty() && *step != "spec") {
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
    whole
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
