//! The roles that the product comes with, beside what the tests of the cluster have used of them: runs after those, by the audit log
//! of their API server. No right is there that nothing needs, and nothing was asked for that no role allows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde::Deserialize;
use serde_json::Value;

/// The test that takes a right away, and sees that it is told of.
const WITHOUT_A_RIGHT: &str = "t-rights-";

/// Rights that are asked for by the API server's admission, in the name of who writes: no request shows them.
const BY_ADMISSION: [&str; 1] = ["mailverity-operator: update actortasks/finalizers in mailverity.dev"];

/// A verb for a resource, and for one object where a rule names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    account: String,
    verb: String,
    resource: String,
    group: String,
    names: Vec<String>,
}

impl Right {
    fn told(&self) -> String {
        let group = if self.group.is_empty() { "core" } else { &self.group };
        let only = if self.names.is_empty() { String::new() } else { format!(", only {}", self.names.join(", ")) };
        format!("{}: {} {} in {group}{only}", self.account, self.verb, self.resource)
    }
}

fn documents() -> Vec<Value> {
    let deploy = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let folders =
        ["operator", "tokens", "identity", "agent", "receiver"].map(|folder| fs::read_dir(deploy.join(folder)).unwrap());
    let texts = folders.into_iter().flatten().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let all =
        |text: String| serde_yaml::Deserializer::from_str(&text).map(|doc| Value::deserialize(doc).unwrap()).collect::<Vec<_>>();
    texts.flat_map(all).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Every right of every account of the product. Roles that nobody is bound to are for people.
fn rights() -> BTreeSet<Right> {
    let documents = documents();
    let of_kind = |suffix: &'static str| {
        documents.iter().filter(move |doc| doc["kind"].as_str().is_some_and(|kind| kind.ends_with(suffix)))
    };
    let mut bound: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for binding in of_kind("RoleBinding") {
        let subjects = binding["subjects"].as_array().unwrap().iter().map(|subject| subject["name"].as_str().unwrap());
        bound.entry(binding["roleRef"]["name"].as_str().unwrap()).or_default().extend(subjects);
    }
    let mut rights = BTreeSet::new();
    for role in of_kind("Role") {
        for account in bound.get(role["metadata"]["name"].as_str().unwrap()).into_iter().flatten() {
            for rule in role["rules"].as_array().unwrap() {
                let (group, names) = (strings(&rule["apiGroups"]).remove(0), strings(&rule["resourceNames"]));
                for resource in strings(&rule["resources"]) {
                    rights.extend(strings(&rule["verbs"]).into_iter().map(|verb| Right {
                        account: (*account).to_owned(),
                        verb,
                        resource: resource.clone(),
                        group: group.clone(),
                        names: names.clone(),
                    }));
                }
            }
        }
    }
    rights
}

/// The requests of the product's accounts.
fn requests() -> Vec<Value> {
    let plane = std::env::var("MAILVERITY_TEST_CONTROLPLANE").expect("run by make test");
    let log = fs::read_to_string(PathBuf::from(plane).join("audit.log")).unwrap();
    let ours = log.lines().filter(|line| line.contains(":mailverity"));
    let requests = ours.map(|line| serde_json::from_str::<Value>(line).unwrap());
    requests.filter(|request| account(request).is_some()).collect()
}

/// Who asked, if it was an account of the product.
fn account(request: &Value) -> Option<(&str, &str)> {
    let (namespace, name) = request["user"]["username"].as_str()?.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    name.starts_with("mailverity").then_some((namespace, name))
}

/// What was asked for: account, verb, resource, group and name.
fn asked(request: &Value) -> Option<(String, String, String, String, String)> {
    let object = &request["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = match object["subresource"].as_str() {
        Some(part) => format!("{}/{part}", text(&object["resource"])),
        None => text(&object["resource"]),
    };
    let (_, account) = account(request)?;
    Some((account.to_owned(), text(&request["verb"]), resource, text(&object["apiGroup"]), text(&object["name"])))
}

#[test]
fn each_right_that_a_role_gives_is_used() {
    let used: BTreeSet<_> = requests().iter().filter_map(asked).collect();
    assert!(used.len() > 50, "{used:?}");
    let is_used = |right: &Right| {
        used.iter().any(|(account, verb, resource, group, name)| {
            // In the tests a Lease may have the test's name.
            let named = right.names.is_empty() || right.resource == "leases" || name.is_empty() || right.names.contains(name);
            (account, verb, resource, group) == (&right.account, &right.verb, &right.resource, &right.group) && named
        })
    };
    let idle: Vec<_> = rights().iter().filter(|right| !is_used(right)).map(Right::told).collect();
    let idle: Vec<_> = idle.iter().filter(|told| !BY_ADMISSION.contains(&told.as_str())).collect();
    assert!(idle.is_empty(), "no test of the cluster has used these rights: {idle:#?}");
}

#[test]
fn nothing_was_asked_for_that_no_role_allows() {
    let forbidden = |request: &&Value| request["annotations"]["authorization.k8s.io/decision"] == "forbid";
    let meant = |request: &&Value| account(request).is_some_and(|(namespace, _)| namespace.starts_with(WITHOUT_A_RIGHT));
    let (meant, denied): (Vec<_>, Vec<_>) =
        requests().into_iter().filter(|request| forbidden(&request)).partition(|request| meant(&request));
    let denied: BTreeSet<_> = denied.iter().filter_map(asked).collect();
    assert!(denied.is_empty(), "forbidden: {denied:#?}");
    assert!(!meant.is_empty(), "where a right was taken away it is missed");
}
