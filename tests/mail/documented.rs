//! The outputs for programs, held to what `docs/cli.md` says of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::support::{
    command::{Ran, run},
    stack::Stack,
};

/// The names of the table under "Output for programs", each with the names inside it.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../docs/cli.md");
    let (_, section) = page.split_once("## Output for programs").unwrap();
    let mut names = BTreeMap::new();
    for row in section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').collect();
        let quoted = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        for name in quoted(cells[1]) {
            let name = name.trim_end_matches("[]").to_owned();
            let within = ["stages", "tls", "capabilities", "mailbox", "findings"].contains(&name.as_str());
            names.insert(name, if within { quoted(cells[3]).into_iter().collect() } else { BTreeSet::new() });
        }
    }
    assert!(names.len() > 15, "the table is not where it was: {names:?}");
    names
}

/// The names of an output, each with the names inside it.
fn used(report: &Value, names: &mut BTreeMap<String, BTreeSet<String>>) {
    for (name, value) in report.as_object().unwrap() {
        let inner = names.entry(name.clone()).or_default();
        let items = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        inner.extend(items.iter().filter_map(Value::as_object).flat_map(|item| item.keys().cloned()));
    }
}

fn probe(form: &str, password: &str) -> Ran {
    probe_by(("smtp", "SUBMISSION_PORT"), form, password)
}

fn probe_by((scheme, port): (&str, &str), form: &str, password: &str) -> Ran {
    let stack = Stack::get();
    let url = format!("{scheme}://localhost:{}", stack.port(port));
    let login = ["--username", "held@example.test", "--password-file", "-"];
    run(&[&["probe", &url, "--ca-file", stack.var("CA_FILE"), "-o", form], &login[..]].concat(), password)
}

const BAD: &str = "apiVersion: mailverity.dev/v1alpha1\nkind: MailServer\nmetadata: {name: relay}\nspec: {host: a:25}\n";

#[tokio::test]
async fn json_has_the_documented_names_and_no_others() {
    let mut found = BTreeMap::new();
    used(&probe("json", "held-secret").json(), &mut found);
    used(&probe("json", "wrong").json(), &mut found);
    used(&probe_by(("imaps", "IMAPS_PORT"), "json", "held-secret").json(), &mut found);
    for line in run(&["check", "-f", "-", "-o", "json"], BAD).lines() {
        used(&line, &mut found);
    }
    for mut trip in super::trips::both("documented-trips").await {
        let sending = trip["sending"].take();
        used(&trip, &mut found);
        used(&sending, &mut found);
    }
    let mut proof = super::profiles::proved("documented").await;
    // Each has the names of a server that was checked.
    let parts = ["sending", "outgoing"].map(|part| proof[part].take());
    used(&proof, &mut found);
    for part in &parts {
        used(part, &mut found);
    }
    let mut documented = documented();
    // Nobody writes on this stack what it thinks of a sender.
    documented.remove("authenticationResults");
    // Postfix does not say from where it sees us.
    documented.remove("observedIP");
    assert_eq!(found, documented);
}

/// An output without what differs from run to run.
fn lasting(mut report: Value) -> Value {
    report["duration"].take();
    for stage in report["stages"].as_array_mut().into_iter().flatten() {
        stage["duration"].take();
    }
    report
}

#[test]
fn yaml_says_what_json_says() {
    for password in ["held-secret", "wrong"] {
        let (yaml, json) = (probe("yaml", password), probe("json", password));
        let text = yaml.out.strip_prefix("---\n").unwrap();
        assert_eq!((yaml.code, lasting(serde_yaml::from_str(text).unwrap())), (json.code, lasting(json.json())));
    }
}

#[test]
fn text_says_what_json_says_and_has_no_colour_in_a_pipe() {
    let (text, report) = (probe("text", "wrong"), probe("json", "wrong").json());
    for said in ["reason", "message", "hint"] {
        assert!(text.out.contains(report[said].as_str().unwrap()), "{}", text.out);
    }
    let lines = text.out.lines().filter(|line| line.starts_with("  ok   ") || line.starts_with("  FAIL ")).count();
    assert_eq!(lines, report["stages"].as_array().unwrap().len(), "{}", text.out);
    assert!(!text.out.contains('\x1b') && text.err.is_empty(), "{}{}", text.out, text.err);
}

/// The elements of an XML document in order, as name and attributes; fails where they are not nested soundly.
fn elements(xml: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap();
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        assert!(!text.contains(['<', '>']), "{text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{xml}");
            continue;
        }
        let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, rest) = tag.split_once(' ').unwrap_or((tag, ""));
        let pieces: Vec<&str> = rest.split('"').collect();
        let pairs = pieces.chunks_exact(2).map(|pair| (pair[0].trim().trim_end_matches('=').to_owned(), pair[1].to_owned()));
        all.push((name.to_owned(), pairs.collect()));
        if !empty {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{xml}");
    all
}

#[test]
fn junit_has_a_case_a_stage_and_one_failure_with_the_reason() {
    let (ran, report) = (probe("junit", "wrong"), probe("json", "wrong").json());
    let elements = elements(&ran.out);
    let named = |name: &str| elements.iter().filter(|(found, _)| found == name).map(|(_, with)| with).collect::<Vec<_>>();
    let suite = named("testsuite")[0];
    let stages = report["stages"].as_array().unwrap();
    assert_eq!((suite["name"].as_str(), suite["failures"].as_str()), (report["endpoint"].as_str().unwrap(), "1"));
    assert_eq!(suite["tests"], stages.len().to_string());
    let cases: Vec<&str> = named("testcase").iter().map(|case| case["name"].as_str()).collect();
    assert_eq!(cases, stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect::<Vec<_>>());
    let failures = named("failure");
    assert_eq!((ran.code, failures.len(), failures[0]["type"].as_str()), (1, 1, "AuthenticationFailed"), "{}", ran.out);
    assert_eq!(failures[0]["message"], report["message"].as_str().unwrap());
}
