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

/// The tests that take a right away, or ask for one that nobody has, and see that it is told of or refused.
const WITHOUT_A_RIGHT: [&str; 2] = ["t-rights-", "t-agent-rights-"];

/// Rights that are asked for by the API server's admission, in the name of who writes: no request shows them.
const BY_ADMISSION: [&str; 1] = ["mailverity-tasks: update actortasks/finalizers in mailverity.dev"];

/// A verb for a resource, and for some objects where a rule names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    role: String,
    verb: String,
    resource: String,
    group: String,
    names: Vec<String>,
}

impl Right {
    fn told(&self) -> String {
        let group = if self.group.is_empty() { "core" } else { &self.group };
        let only = if self.names.is_empty() { String::new() } else { format!(", only {}", self.names.join(", ")) };
        format!("{}: {} {} in {group}{only}", self.role, self.verb, self.resource)
    }

    /// Whether a request in one of these namespaces is what this gives.
    fn is_for(&self, request: &Request, namespaces: &BTreeSet<&str>) -> bool {
        // In the tests a Lease may have the test's name.
        let named = self.names.is_empty() || self.resource == "leases" || self.names.contains(&request.name);
        let same = (&self.verb, &self.resource, &self.group) == (&request.verb, &request.resource, &request.group);
        same && named && namespaces.contains(request.namespace.as_str())
    }
}

/// A request of one of the product's accounts.
#[derive(Debug)]
struct Request {
    /// Where the account is at home.
    home: String,
    account: String,
    verb: String,
    resource: String,
    group: String,
    name: String,
    namespace: String,
    forbidden: bool,
    /// The role by which it was allowed.
    role: Option<String>,
}

impl Request {
    /// None of anybody else.
    fn read(record: &Value) -> Option<Self> {
        let user = record["user"]["username"].as_str()?.strip_prefix("system:serviceaccount:")?;
        let (home, account) = user.split_once(':').filter(|(_, account)| account.starts_with("mailverity"))?;
        let object = &record["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource = match object["subresource"].as_str() {
            Some(part) => format!("{}/{part}", text(&object["resource"])),
            None => text(&object["resource"]),
        };
        let said = |what: &str| text(&record["annotations"][format!("authorization.k8s.io/{what}")]);
        // RBAC: allowed by RoleBinding "binding/namespace" of ClusterRole "role" to ServiceAccount "account/namespace"
        let role = said("reason").split_once("Role \"").and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()));
        Some(Self {
            home: home.to_owned(),
            account: account.to_owned(),
            verb: text(&record["verb"]),
            resource,
            group: text(&object["apiGroup"]),
            name: text(&object["name"]),
            namespace: text(&object["namespace"]),
            forbidden: said("decision") == "forbid",
            role,
        })
    }

    fn told(&self) -> String {
        format!("{} of {}: {} {} {} in {}", self.account, self.home, self.verb, self.resource, self.name, self.namespace)
    }
}

fn requests() -> Vec<Request> {
    let plane = std::env::var("MAILVERITY_TEST_CONTROLPLANE").expect("run by make test");
    let log = fs::read_to_string(PathBuf::from(plane).join("audit.log")).unwrap();
    let ours = log.lines().filter(|line| line.contains(":mailverity"));
    let records = ours.map(|line| serde_json::from_str::<Value>(line).unwrap());
    // A watch is there twice: when it began, and when it ended.
    let each: BTreeMap<_, _> =
        records.filter_map(|record| Some((record["auditID"].to_string(), Request::read(&record)?))).collect();
    each.into_values().collect()
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

/// Every right of every role that an account of the product is bound to, and how many rules give them. Roles that nobody is bound
/// to are for people.
fn rights() -> (BTreeSet<Right>, usize) {
    let documents = documents();
    let of_kind = |suffix: &'static str| {
        documents.iter().filter(move |doc| doc["kind"].as_str().is_some_and(|kind| kind.ends_with(suffix)))
    };
    let bound: BTreeSet<&str> = of_kind("RoleBinding").map(|binding| binding["roleRef"]["name"].as_str().unwrap()).collect();
    let (mut rights, mut rules) = (BTreeSet::new(), 0);
    for role in of_kind("Role") {
        let name = role["metadata"]["name"].as_str().unwrap();
        for rule in role["rules"].as_array().unwrap().iter().filter(|_| bound.contains(name)) {
            rules += 1;
            let (group, names) = (strings(&rule["apiGroups"]).remove(0), strings(&rule["resourceNames"]));
            for resource in strings(&rule["resources"]) {
                rights.extend(strings(&rule["verbs"]).into_iter().map(|verb| Right {
                    role: name.to_owned(),
                    verb,
                    resource: resource.clone(),
                    group: group.clone(),
                    names: names.clone(),
                }));
            }
        }
    }
    (rights, rules)
}

#[test]
fn each_right_that_a_role_gives_is_used() {
    let (requests, (rights, rules)) = (requests(), rights());
    // Where two roles give the same, the log names one of them: what counts is that the other is bound there as well.
    let mut bound: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for request in &requests {
        if let Some(role) = &request.role {
            bound.entry(role).or_default().insert(&request.namespace);
        }
    }
    let nowhere = BTreeSet::new();
    let is_used = |right: &Right| {
        let namespaces = bound.get(right.role.as_str()).unwrap_or(&nowhere);
        requests.iter().any(|request| !request.forbidden && right.is_for(request, namespaces))
    };
    println!("{} rules with {} rights, {} requests", rules, rights.len(), requests.len());
    // Nobody is bound to that role where Secrets are looked at rather than watched.
    let gets = std::env::var("MAILVERITY_TEST_SECRETS_ACCESS").is_ok_and(|access| access == "Get");
    let counts = |right: &&Right| !(gets && right.role == "mailverity-watch");
    let idle: Vec<_> = rights.iter().filter(counts).filter(|right| !is_used(right)).map(Right::told).collect();
    assert_eq!(idle, BY_ADMISSION, "no test of the cluster has used these rights");
}

#[test]
fn nothing_was_asked_for_that_no_role_allows() {
    let requests = requests();
    let meant = |request: &&&Request| WITHOUT_A_RIGHT.iter().any(|test| request.home.starts_with(test));
    let (meant, denied): (Vec<_>, Vec<_>) = requests.iter().filter(|request| request.forbidden).partition(|one| meant(&one));
    println!("{} requests, {} of them refused, as they should be", requests.len(), meant.len());
    let denied: BTreeSet<_> = denied.into_iter().map(Request::told).collect();
    assert!(denied.is_empty(), "forbidden: {denied:#?}");
    for test in WITHOUT_A_RIGHT {
        assert!(meant.iter().any(|request| request.home.starts_with(test)), "{test}: where there is no right it is missed");
    }
}
