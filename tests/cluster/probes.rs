//! `probe --actor`, of `mailverity` and of the kubectl plugin: a server and a mailbox looked at by an agent elsewhere, asked by a person at
//! a shell.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use super::{
    plugin::{Ran as Told, administrator, mail_as, mail_beside},
    support::{
        cluster::signal,
        command::{Folder, Ran, run_in, start},
        leaks,
    },
    vantages::Three,
};

impl Three {
    /// Probes as an administrator would.
    async fn probe(&self, args: &[&str], password: &str) -> Ran {
        self.probe_as(&self.cluster.kubeconfig(), args, password).await
    }

    /// Probes as the person of this kubeconfig.
    async fn probe_as(&self, kubeconfig: &str, args: &[&str], password: &str) -> Ran {
        let folder = Folder::new();
        let (ca, secret) = (folder.file("ca.pem", self.stack.ca()), folder.file("password", password));
        let ends = ["--ca-file", &ca, "--username", &self.user, "--password-file", &secret, "-o", "json"];
        let args: Vec<String> = ["probe"].iter().chain(args).chain(&ends).map(|arg| (*arg).to_owned()).collect();
        // The test's own proxies and agents go on meanwhile.
        let kubeconfig = kubeconfig.to_owned();
        let run = move || run_in(&kubeconfig, &args.iter().map(String::as_str).collect::<Vec<_>>(), "");
        let ran = tokio::task::spawn_blocking(run).await.unwrap();
        drop(folder);
        ran
    }

    /// The same by the plugin, which is told of the cluster by kubectl's flags alone.
    async fn probe_by_plugin(&self, args: &[&str], password: &str) -> Told {
        let folder = Folder::new();
        let (ca, secret) = (folder.file("ca.pem", self.stack.ca()), folder.file("password", password));
        let ends = ["--ca-file", &ca, "--username", &self.user, "--password-file", &secret, "-o", "json"];
        mail_beside(&self.cluster, &[&["probe"], args, &ends].concat(), async {}).await.0
    }

    /// The same as the person of this kubeconfig.
    fn probe_by_plugin_as(&self, kubeconfig: &str, args: &[&str], password: &str) -> Told {
        let folder = Folder::new();
        let (ca, secret) = (folder.file("ca.pem", self.stack.ca()), folder.file("password", password));
        let ends = ["--ca-file", &ca, "--username", &self.user, "--password-file", &secret, "-o", "json"];
        mail_as(&self.cluster, Path::new(kubeconfig), &[&["probe"], args, &ends].concat())
    }
}

fn stages(report: &Value) -> Vec<&str> {
    report["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_agent_probes_a_server_and_a_mailbox_for_whoever_may_give_it_tasks() {
    let three = Three::new("probes").await;
    let operator = three.cluster.operator(&["--name", &three.cluster.namespace]).await;
    let agent = three.cluster.agent(&three.near, &three.near, &[]).await;
    let right = leaks::password("probes");
    let (smtp, imap) = (three.stack.port("SUBMISSION_PORT"), three.stack.port("IMAPS_PORT"));

    let ran = three.probe(&[&format!("smtp://localhost:{smtp}"), "--actor", &three.near], &right).await;
    let report = ran.json();
    assert_eq!((ran.code, &report["result"]), (0, &"Verified".into()), "{report:#}");
    assert!(stages(&report).ends_with(&["AUTH", "QUIT"]), "{report:#}");
    assert!(agent.log().contains("probe by command-line"), "it was the agent");

    let ran = three.probe(&[&format!("imaps://localhost:{imap}"), "--actor", &three.near], &right).await;
    let report = ran.json();
    assert_eq!((ran.code, &report["mailbox"]["name"]), (0, &"INBOX".into()), "{report:#}");

    let to = three.user.clone();
    let deliver = ["--level", "Deliver", "--from", &to, "--to", &to];
    let url = format!("smtp://localhost:{smtp}");
    let ran = three.probe(&[&[url.as_str(), "--actor", &three.near], &deliver[..]].concat(), &right).await;
    assert_eq!((ran.code, three.stack.taken(&to).into_values().collect::<Vec<_>>()), (0, vec![1]), "{}", ran.out);

    let ran = three.probe(&[&url, "--actor", &three.near], &leaks::password("probes-wrong")).await;
    let report = ran.json();
    assert_eq!((ran.code, &report["reason"], &report["stage"]), (1, &"AuthenticationFailed".into(), &"AUTH".into()));
    assert!(report["message"].as_str().unwrap().contains("535"), "the server's words: {report:#}");

    for (actor, words) in [("nobody", "there is no such Actor"), (three.far.as_str(), "its agent shows no sign of life")] {
        let ran = three.probe(&[&url, "--actor", actor], &right).await;
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains(words), "{}", ran.err);
    }
    let ran = three.probe(&[&url, "--actor", &three.near, "--egress-proxy", "socks5://a:1"], &right).await;
    assert!(ran.code == 2 && ran.err.contains("cannot be used with"), "{}", ran.err);

    three.nothing_is_left().await;
    three.cluster.shows_no_secret().await;
    operator.shows_no_secret().await;
    agent.shows_no_secret().await;
}

#[tokio::test]
async fn the_plugin_probes_by_the_agent_of_the_cluster_that_kubectls_flags_name_and_prints_the_same() {
    let three = Three::new("probes-plugin").await;
    let _operator = three.cluster.operator(&["--name", &three.cluster.namespace]).await;
    let agent = three.cluster.agent(&three.near, &three.near, &[]).await;
    let right = leaks::password("probes-plugin");
    let url = format!("imaps://localhost:{}", three.stack.port("IMAPS_PORT"));

    let ran = three.probe_by_plugin(&[&url, "--actor", &three.near], &right).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(agent.log().contains("probe by command-line"), "it was the agent");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let other = three.probe(&[&url, "--actor", &three.near], &right).await.json();
    let said = |report: &Value| report.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((said(&report), stages(&report)), (said(&other), stages(&other)), "{report:#}");
    for name in ["result", "endpoint", "level", "mailbox", "capabilities", "tls"] {
        assert_eq!(report[name], other[name], "{name}");
    }

    let ran = three.probe_by_plugin(&[&url, "--actor", &three.near], &leaks::password("probes-plugin-wrong")).await;
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &report["reason"], &report["stage"]), (1, &"AuthenticationFailed".into(), &"AUTH".into()));
    for (args, words) in [
        (&["--actor", "nobody"][..], "kubectl-mail: --actor nobody: there is no such Actor"),
        (&["--actor", "nobody", "--context", "nowhere"], "kubectl-mail: --actor nobody: there is no cluster to ask: "),
        (&["--level", "Deliver"], "kubectl-mail: --level Deliver, --from, --to and --helo go with smtp://"),
    ] {
        let ran = three.probe_by_plugin(&[&[url.as_str()], args].concat(), &right).await;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        assert!(ran.err.starts_with(words), "{}", ran.err);
    }
    // From here, where no cluster is asked for anything.
    let ran = three.probe_by_plugin(&[&url, "--context", "nowhere"], &right).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);

    // At the TAB key.
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_kubectl-mail"));
    plugin.arg("__complete").arg("--kubeconfig").arg(administrator(&three.cluster)).args(["probe", "--actor", &three.near]);
    let offered = String::from_utf8(plugin.output().unwrap().stdout).unwrap();
    assert!(offered.starts_with(&three.near) && offered.ends_with("\n:4\n"), "{offered}");
    three.nothing_is_left().await;
}

/// A person who may look for the Actor and its agent, and may do this beside it in the agent's namespace.
async fn person(three: &Three, name: &str, rules: Value) -> String {
    let (cluster, kind) = (&three.cluster, "rbac.authorization.k8s.io");
    cluster.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})).await;
    let subjects = json!([{"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}]);
    let everywhere = format!("{name}-{}", cluster.namespace);
    let actors = json!([{"apiGroups": ["mailverity.dev"], "resources": ["actors"], "verbs": ["get"]}]);
    let mut here = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]}]);
    here.as_array_mut().unwrap().extend(rules.as_array().unwrap().iter().cloned());
    for (role, name, namespace, rules) in
        [("ClusterRole", everywhere.as_str(), None, &actors), ("Role", name, Some(three.near.as_str()), &here)]
    {
        let api = format!("{kind}/v1");
        let metadata = json!({"name": name});
        cluster.apply_at(&json!({"apiVersion": api, "kind": role, "metadata": metadata, "rules": rules}), namespace).await;
        let reference = json!({"apiGroup": kind, "kind": role, "name": name});
        let binding = json!({"apiVersion": api, "kind": format!("{role}Binding"), "metadata": metadata,
            "roleRef": reference, "subjects": subjects});
        cluster.apply_at(&binding, namespace).await;
    }
    cluster.config_of(name, &cluster.namespace).await.display().to_string()
}

#[tokio::test]
async fn a_probe_by_whoever_may_give_an_agent_no_task_is_bad_usage_and_names_the_right() {
    let three = Three::new("probes-denied").await;
    let _operator = three.cluster.operator(&["--name", &three.cluster.namespace]).await;
    let _agent = three.cluster.agent(&three.near, &three.near, &[]).await;
    let secret = leaks::password("probes-denied");
    let tasks = json!({"apiGroups": ["mailverity.dev"], "resources": ["actortasks"], "verbs": ["*"]});
    for (name, rules, right) in [("nothing", json!([]), "actortasks"), ("tasks", json!([tasks]), "secrets")] {
        let config = person(&three, name, rules).await;
        let url = format!("imaps://localhost:{}", three.stack.port("IMAPS_PORT"));
        let said = format!("--actor {}: its agent may be given no task: ", three.near);
        let words = format!("cannot create resource \"{right}\"");
        let ran = three.probe_as(&config, &[&url, "--actor", &three.near], &secret).await;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains(&said) && ran.err.contains(&words), "{}", ran.err);
        let ran = three.probe_by_plugin_as(&config, &[&url, "--actor", &three.near], &secret);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains(&said) && ran.err.contains(&words), "{}", ran.err);
    }
    three.nothing_is_left().await;
}

#[tokio::test]
async fn a_probe_that_is_interrupted_takes_its_task_and_its_secret_back() {
    let three = Three::new("probes-int").await;
    let _operator = three.cluster.operator(&["--name", &three.cluster.namespace]).await;
    let _agent = three.cluster.agent(&three.near, &three.near, &[]).await;
    // It takes connections, and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://localhost:{}", silent.local_addr().unwrap().port());
    let kubeconfig = three.cluster.kubeconfig();
    let mut probe = start(&["probe", &url, "--actor", &three.near, "--timeout", "5m"], &kubeconfig);
    let given = async || (!three.cluster.left_for_agents(&three.near).await.is_empty()).then_some(());
    three.cluster.until("the agent has a task", given).await;
    let (_connection, _) = silent.accept().await.unwrap();
    assert!(signal("INT", &probe.id().to_string()));
    let code = tokio::task::spawn_blocking(move || probe.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(1));
    three.nothing_is_left().await;
}
