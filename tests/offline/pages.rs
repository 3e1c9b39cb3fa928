//! What the pages say, held to the program: their manifests, flags, commands and links.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;
use serde_json::{Value, json};

use super::command::run;

/// Every page that a user reads, with its path.
pub fn pages() -> Vec<(PathBuf, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut pages =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/samples/README.md"].map(|name| root.join(name)).to_vec();
    let mut folders = vec![root.join("docs"), root.join("charts")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 30);
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// The texts between fences that are marked so.
fn blocks<'a>(page: &'a str, mark: &str) -> Vec<&'a str> {
    let fenced = page.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).filter(|(marked, _)| *marked == mark).map(|(_, text)| text).collect()
}

fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// The long flags of a subcommand, without those that all have.
fn flags(subcommand: &str) -> BTreeSet<String> {
    let help = String::from_utf8(run(&[subcommand, "--help"], "").stdout).unwrap();
    let mut flags = found(r"(?m)^ +(?:-\w, )?(--[a-z-]+)", &help);
    for common in ["--help", "--version", "--no-color"] {
        assert!(flags.remove(common), "{help}");
    }
    flags
}

fn subcommands() -> BTreeSet<String> {
    let help = String::from_utf8(run(&["--help"], "").stdout).unwrap();
    found(r"(?m)^  ([a-z]+)  ", help.split_once("Commands:").unwrap().1)
}

/// Whether `kubectl mail` has this subcommand with these flags.
fn plugin(rest: &str) -> bool {
    let name = rest.split_whitespace().next().unwrap_or_default();
    let help = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_kubectl-mail")).args(args).arg("--help").output().unwrap();
    // The plugin's own name, in a sentence.
    if name.is_empty() {
        return true;
    }
    let all = String::from_utf8(help(&[]).stdout).unwrap();
    let mut known = String::from_utf8(help(&[name]).stdout).unwrap();
    // A command may have commands of its own, with flags of theirs.
    let second = rest.split_whitespace().nth(1).unwrap_or_default();
    if known.split_once("Commands:").is_some_and(|(_, inner)| found(r"(?m)^  ([a-z]+)  ", inner).contains(second)) {
        known += &String::from_utf8(help(&[name, second]).stdout).unwrap();
    }
    let mut names = found(r"(?m)^  ([a-z]+)  ", all.split_once("Commands:").unwrap().1);
    names.extend(found(r"\[alias: ([a-z]+)\]", &all));
    names.contains(name) && found(r" (--[a-z-]+)", rest).is_subset(&found(r"(--[a-z-]+)", &known))
}

/// A part of a spec as an object of the page's kind, with what every spec of that kind has to say besides.
fn whole(page: &Path, part: &str) -> String {
    let (kind, needed) = if page.ends_with("email-profile.md") {
        let account = json!({"type": "Password", "secretRef": {"name": "mailbox-account"}});
        let verification = json!({"senderRef": {"name": "relay"}});
        let needed = json!({"address": "mailbox@corp.test", "protocol": "IMAP", "server": {"host": "imap.corp.test"},
            "account": account, "verification": verification});
        ("EmailProfile", needed)
    } else if page.ends_with("round-trip.md") {
        let message = json!({"body": "please answer this mail"});
        let receive = json!({"profileRef": {"name": "mailbox"}});
        ("RoundTripPolicy", json!({"to": "echo@partner.test", "message": message, "receive": receive}))
    } else {
        ("MailServer", json!({"host": "smtp.corp.test"}))
    };
    let mut object: Value = serde_yaml::from_str(part).unwrap();
    for (field, value) in needed.as_object().unwrap() {
        if object["spec"].get(field).is_none() {
            object["spec"][field] = value.clone();
        }
    }
    object["apiVersion"] = "mailverity.dev/v1alpha1".into();
    object["kind"] = kind.into();
    object["metadata"] = json!({"name": "mailbox"});
    object.to_string()
}

#[test]
fn every_manifest_on_a_page_is_valid() {
    let mut seen = 0;
    for (path, text) in pages() {
        for block in blocks(&text, "yaml") {
            let manifest = match block {
                object if object.contains("apiVersion:") => object.to_owned(),
                part if part.starts_with("spec:") => whole(&path, part),
                _ => continue,
            };
            let output = run(&["check", "-f", "-"], &manifest);
            assert_eq!(output.status.code(), Some(0), "{}: {}", path.display(), String::from_utf8_lossy(&output.stdout));
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} manifests were found");
}

#[test]
fn the_operators_flags_are_on_its_page_all_of_them() {
    let page = page("operate.md");
    let rows: String = page.lines().filter(|line| line.starts_with("| --")).map(|line| line.split('|').nth(1).unwrap()).collect();
    assert_eq!(found(r"(--[a-z-]+)", &rows), flags("operator"));
    let help = String::from_utf8(run(&["operator", "--help"], "").stdout).unwrap();
    for line in page.lines().filter(|line| line.starts_with("| --max-") || line.starts_with("| --metrics-address")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (_, after) = help.split_once(&format!("{} <", cells[1])).unwrap();
        let about = after.split("\n      --").next().unwrap();
        assert!(about.contains(&format!("[default: {}]", cells[2])), "{line}: {about}");
    }
}

#[test]
fn the_receivers_flags_are_on_its_page_all_of_them() {
    let page = page("receiver.md");
    let rows: String = page.lines().filter(|line| line.starts_with("| --")).map(|line| line.split('|').nth(1).unwrap()).collect();
    assert_eq!(found(r"(--[a-z-]+)", &rows), flags("receiver"));
}

#[test]
fn the_flags_of_probe_and_check_are_on_their_page_all_of_them() {
    let page = page("cli.md");
    let section = |name: &str| {
        let (_, after) = page.split_once(&format!("\n## {name}\n")).unwrap();
        after.split("\n## ").next().unwrap().to_owned()
    };
    for name in ["probe", "check"] {
        let mut told = found(r"(--[a-z][a-z-]*)", &section(name));
        told.extend(found(r"\[-o (text)", &section(name)).iter().map(|_| "--output".to_owned()));
        told.extend(found(r"(\[-R\])", &section(name)).iter().map(|_| "--recursive".to_owned()));
        told.extend(found(r"(\[-n NAMESPACE\])", &section(name)).iter().map(|_| "--namespace".to_owned()));
        told.extend(found(r"(-f FILE)", &section(name)).iter().map(|_| "--filename".to_owned()));
        assert_eq!(told, flags(name), "{name}");
    }
    let table: BTreeSet<_> = found(r"(?m)^\| \[?([a-z]+)[\] ]", page.split("## Exit codes").next().unwrap());
    let mut known = subcommands();
    known.remove("help");
    assert_eq!(table.into_iter().filter(|name| name != "subcommand").collect::<BTreeSet<_>>(), known);
}

#[test]
fn every_command_on_a_page_exists_with_its_flags() {
    let known = subcommands();
    let makefile = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Makefile")).unwrap();
    let targets = found(r"(?m)^([a-z-]+):.*## ", &makefile);
    // A command begins a line of a fenced block, or stands between backticks.
    let command = Regex::new(r"(?m)^(?:\$ )?(?:target/debug/)?(mailverity|make|kubectl) ([a-z-]+)(.*)$").unwrap();
    let mut seen = 0;
    for (path, text) in pages() {
        let prose: String = text.split("\n```").step_by(2).collect();
        let quoted: Vec<&str> = prose.split('`').skip(1).step_by(2).collect();
        let commands = [blocks(&text, ""), quoted].concat().join("\n");
        for found in command.captures_iter(&commands) {
            let (whole, name) = (&found[0], &found[2]);
            let exists = match &found[1] {
                "make" => targets.contains(name),
                "kubectl" if name == "mail" => plugin(found[3].split('#').next().unwrap()),
                "kubectl" => name != "mailverity",
                _ => {
                    let known_flags = if known.contains(name) { flags(name) } else { BTreeSet::new() };
                    let mut used = self::found(r" (--[a-z-]+)", found[3].split('#').next().unwrap());
                    used.remove("--help");
                    known.contains(name) && used.is_subset(&known_flags)
                }
            };
            assert!(exists, "{}: {whole}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let (mut code, mut folders) =
        (String::new(), ["src", "tests"].map(|name| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).to_vec());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut seen = 0;
    for name in ["security.md", "backup-restore.md"] {
        for test in found(r"`([a-z0-9]+(?:_[a-z0-9]+){4,})`", &page(name)) {
            assert!(code.contains(&format!("fn {test}(")), "{name}: {test}");
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} tests are named");
}

/// The names of a page's table of metrics; counters without the `_total` that they are shown with.
fn told_metrics() -> BTreeSet<String> {
    let page = page("metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    rows.filter(|name| name.contains('_') && !name.contains([',', ' ', '`'])).map(plain_metric).collect()
}

fn plain_metric(name: &str) -> String {
    ["_total", "_bucket", "_count", "_sum"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name)).to_owned()
}

#[test]
fn the_metrics_on_the_page_are_those_in_the_code() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let code = |name: &str| fs::read_to_string(root.join("src").join(name)).unwrap();
    let [metrics, objects, receiver] = ["metrics.rs", "metrics/objects.rs", "receiver/outcome.rs"].map(code);
    let registered = |pattern: &str, prefix: &str, code: &str| {
        let names = found(pattern, code);
        assert!(!names.is_empty(), "{pattern}");
        names.into_iter().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>()
    };
    let known = [
        registered(r#"mail\.register\("([a-z_]+)""#, "mailverity_", &metrics),
        registered(r#"runtime\.register\("([a-z_]+)""#, "controller_runtime_", &metrics),
        registered(r#"gauge\(\s*"([a-z_]+)""#, "", &objects),
        registered(r#"registry\.register\("([a-z_]+)""#, "mailverity_", &receiver),
    ];
    assert_eq!(told_metrics(), known.concat().into_iter().collect());
}

#[test]
fn alerts_dashboard_and_queries_ask_for_metrics_that_there_are() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for name in ["charts/mailverity/rules/mailverity.yaml", "charts/mailverity/dashboards/mailverity.json", "docs/metrics.md"] {
        let text = fs::read_to_string(root.join(name)).unwrap();
        let asked: BTreeSet<_> =
            found(r"\b((?:mailverity|controller_runtime)_[a-z_]+)", &text).iter().map(|n| plain_metric(n)).collect();
        let unknown: Vec<_> = asked.difference(&told_metrics()).cloned().collect();
        assert!(asked.len() > 5 && unknown.is_empty(), "{name}: {unknown:?}");
    }
}

/// The paths of all values that are no maps, or empty ones.
fn leaves(path: &str, value: &Value, into: &mut Vec<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        Some(map) if !path.ends_with(".requests") && !path.ends_with(".limits") && !path.ends_with("dashboards.labels") => {
            for (key, value) in map {
                leaves(&format!("{path}{}{key}", if path.is_empty() { "" } else { "." }), value, into);
            }
        }
        _ => into.push(path.to_owned()),
    }
}

#[test]
fn every_value_of_the_chart_is_on_its_page() {
    let values = include_str!("../../charts/mailverity/values.yaml");
    let (values, page, mut all) = (serde_yaml::from_str(values).unwrap(), page("values.md"), Vec::new());
    leaves("", &values, &mut all);
    assert!(all.len() > 90);
    for path in all {
        assert!(page.lines().any(|line| line.starts_with(&format!("| `{path}` | `"))), "{path}: run `make generate`");
    }
}

#[test]
fn the_manifests_start_the_program_with_flags_that_it_has() {
    for file in ["operator/40-deployment.yaml", "agent/50-deployment.yaml", "receiver/40-deployment.yaml"] {
        let text = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).unwrap();
        let deployment: Value = serde_yaml::from_str(&text).unwrap();
        let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
        let mut args: Vec<&str> = args.iter().map(|arg| arg.as_str().unwrap()).collect();
        // Help is printed only where all that stands before it is understood.
        args.push("--help");
        let output = run(&args, "");
        assert_eq!(output.status.code(), Some(0), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_readme_is_read_in_a_minute() {
    assert!(include_str!("../../README.md").lines().count() < 80);
}
