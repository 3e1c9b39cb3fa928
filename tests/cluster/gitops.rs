//! What the tools that apply from Git see: the health of each kind over its life, and objects that stay as they were applied.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    policies::policy,
    profiles::{
        mailbox,
        setting::{mailboxes, relay},
    },
    spec,
    support::{
        cluster::{Cluster, root},
        health::{argo, kstatus},
        stack::Stack,
    },
};

/// Who applies here.
const MANAGER: &str = "gitops";

impl Cluster {
    /// What `kubectl` makes of manifests: its exit code and what it printed.
    fn kubectl_with(&self, args: &[&str], manifests: &str) -> (Option<i32>, String) {
        let env = |name| std::env::var(name).unwrap();
        let mut child = Command::new(env("MAILVERITY_TEST_KUBECTL"))
            .args(["--kubeconfig", &self.kubeconfig(), "-n", &self.namespace])
            .args(args)
            .args(["--server-side", "--field-manager", MANAGER, "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(manifests.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    fn gitops(&self, manifests: &str) {
        let (code, said) = self.kubectl_with(&["apply"], manifests);
        assert_eq!(code, Some(0), "{said}");
    }

    /// Asserts that what was applied is what is there, and that nobody else has a word in it.
    fn is_as_applied(&self, manifests: &str, objects: &[Value]) {
        // It reads an object twice, and a status may be written in between. What differs each time is drift.
        let differs =
            || Some(self.kubectl_with(&["diff"], manifests)).filter(|(code, said)| *code != Some(0) || !said.is_empty());
        let drift = (0..5).map_while(|_| differs()).nth(4);
        assert_eq!(drift, None, "it differs from what was applied");
        for object in objects {
            let managers = object["metadata"]["managedFields"].as_array().unwrap();
            for other in managers.iter().filter(|manager| manager["manager"] != MANAGER) {
                let fields = other["fieldsV1"].as_object().unwrap();
                assert!(other["subresource"] == "status" && fields.keys().all(|key| key == "f:status"), "{other}");
            }
        }
    }

    /// The objects with these names (`kind/name`), with their managed fields.
    fn objects(&self, names: &[String]) -> Vec<Value> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let said = self.kubectl(&[&["get", "-o", "json", "--show-managed-fields"], names.as_slice()].concat());
        let mut said: Value = serde_json::from_str(&said).unwrap();
        // One object is no list.
        match said["items"].as_array_mut() {
            Some(items) => std::mem::take(items),
            None => vec![said],
        }
    }
}

/// Every version of the objects, as `kubectl get --watch` prints them.
struct Watches(Vec<(String, std::process::Child)>);

impl Watches {
    /// From the versions that there are now: each watch has told of its object when this ends.
    async fn of(cluster: &Cluster, names: &[String]) -> Self {
        let env = |name| std::env::var(name).unwrap();
        let watch = |name: &String| {
            let file = fs::File::create(cluster.dir().join(name.replace('/', "-"))).unwrap();
            let child = Command::new(env("MAILVERITY_TEST_KUBECTL"))
                .args(["--kubeconfig", &cluster.kubeconfig(), "-n", &cluster.namespace])
                .args(["get", name, "--watch", "-o", "json"])
                .stdout(file)
                .spawn();
            (name.clone(), child.unwrap())
        };
        let watches = Self(names.iter().map(watch).collect());
        for name in names {
            let file = cluster.dir().join(name.replace('/', "-"));
            let told = async || fs::metadata(&file).unwrap().len().checked_sub(1);
            cluster.until(&format!("the watch of {name} tells"), told).await;
        }
        watches
    }

    /// The verdicts of kstatus on each object, one after the other, without repetitions.
    fn end(self, cluster: &Cluster) -> Vec<(String, Vec<String>)> {
        let verdicts = |name: &String| {
            let text = fs::read_to_string(cluster.dir().join(name.replace('/', "-"))).unwrap();
            let versions = serde_json::Deserializer::from_str(&text).into_iter::<Value>().filter_map(Result::ok);
            let mut verdicts = kstatus(&versions.collect::<Vec<_>>());
            verdicts.dedup();
            (name.clone(), verdicts)
        };
        self.0.iter().map(|(name, _)| verdicts(name)).collect()
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Waits until every object is what both tools are to say of it.
async fn all_become(cluster: &Cluster, names: &[String], flux: &str, argo_cd: &str) -> Vec<Value> {
    let what = format!("{flux} and {argo_cd}");
    let mut last = Vec::new();
    for _ in 0..120 {
        let objects = cluster.objects(names);
        let seen: Vec<_> = kstatus(&objects).into_iter().zip(argo(&objects)).collect();
        if seen.iter().all(|(one, other)| one == flux && other == argo_cd) {
            return objects;
        }
        last = seen.into_iter().zip(objects).map(|(seen, object)| (seen, object["status"]["conditions"].clone())).collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    panic!("not {what}: {names:?} are {last:#?}");
}

fn manifests(objects: &[(&str, &str, Value)]) -> String {
    let object = |(kind, name, spec): &(&str, &str, Value)| {
        json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}).to_string()
    };
    objects.iter().map(object).collect::<Vec<_>>().join("\n---\n")
}

#[tokio::test]
async fn every_kind_is_in_progress_current_or_failed_when_it_should_be_and_stays_as_it_was_applied() {
    let (stack, cluster) = (Stack::get(), Cluster::new("gitops").await);
    let [user] = mailboxes(&cluster, &stack, "gitops").await;
    let receivers = cluster.receivers().await;
    let _receiver = receivers.start(&cluster, "receiver-1", &[]);
    relay(&cluster, &stack, json!({})).await;

    let domain = format!("p{}.receiver.test", receivers.port);
    let with = |mut spec: Value, fields: &Value| {
        for (key, value) in fields.as_object().unwrap() {
            spec[key] = value.clone();
        }
        spec
    };
    // Each kind as it works, and with what only a change of the user's can mend.
    let life = |more: &Value, wrong: bool| {
        let some = |fault: Value| if wrong { fault } else { json!({}) };
        let server = with(spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({})), &some(json!({"security": "TLS"})));
        let server = with(server, &json!({"auth": {"type": "Password", "secretRef": {"name": "account"}}}));
        let unknown_ca = json!({"server": {"host": "localhost", "port": stack.port("IMAPS_PORT"), "security": "TLS"}});
        let profile = with(mailbox(&stack, &user, json!({})), &some(unknown_ca));
        let away = policy(json!({"to": "vacation@remote.test", "expect": "OutOfOffice"}));
        let away = with(away, &some(json!({"serverRef": {"name": "nobody"}})));
        let no_secret = json!({"tls": {"mode": "Required", "certificateRef": {"name": "nowhere"}}});
        let inbound = with(receivers.spec(&domain, json!({})), &some(no_secret));
        let specs = [("MailServer", "server", server), ("EmailProfile", "box", profile), ("RoundTripPolicy", "away", away)];
        let all = specs.into_iter().chain([("MailReceiver", "inbound", inbound)]);
        manifests(&all.map(|(kind, name, spec)| (kind, name, with(spec, more))).collect::<Vec<_>>())
    };
    let names = ["mailserver/server", "emailprofile/box", "roundtrippolicy/away", "mailreceiver/inbound"].map(str::to_owned);

    let works = life(&json!({}), false);
    cluster.gitops(&works);
    all_become(&cluster, &names, "InProgress", "Progressing").await;
    let watches = Watches::of(&cluster, &names).await;
    let mut operator = cluster.operator_with(&receivers, &[]).await;
    let objects = all_become(&cluster, &names, "Current", "Healthy").await;
    cluster.is_as_applied(&works, &objects);

    for (manifests, flux, argo_cd) in [
        (life(&json!({}), true), "Failed", "Degraded"),
        (works.clone(), "Current", "Healthy"),
        (life(&json!({"suspend": true}), false), "Current", "Healthy"),
    ] {
        operator.stop();
        cluster.gitops(&manifests);
        // A change is not what was judged before it.
        let waiting = kstatus(&cluster.objects(&names));
        assert!(waiting.iter().all(|verdict| verdict == "InProgress"), "{waiting:?}");
        operator.start();
        let objects = all_become(&cluster, &names, flux, argo_cd).await;
        cluster.is_as_applied(&manifests, &objects);
    }
    // No verdict in between but those of a change and of what came of it.
    for (name, verdicts) in watches.end(&cluster) {
        let right = ["InProgress", "Current", "InProgress", "Failed", "InProgress", "Current", "InProgress", "Current"];
        assert_eq!(verdicts, right, "{name}");
    }
}

#[tokio::test]
async fn an_actor_is_in_progress_until_its_agent_is_there_and_current_when_suspended() {
    let cluster = Cluster::new("gitops-actor").await;
    let tasks = format!("{}-tasks", cluster.namespace);
    let name = cluster.namespace.clone();
    let kubeconfig = cluster.agent_rights(&name, &tasks).await;
    let actor = |more: Value| {
        let mut spec = json!({"operator": cluster.namespace, "zone": "elsewhere", "mode": "Agent", "taskNamespace": tasks,
            "allowedNamespaces": {"from": "All"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        manifests(&[("Actor", &name, spec)])
    };
    let names = [format!("actor/{name}")];
    cluster.gitops(&actor(json!({})));
    all_become(&cluster, &names, "InProgress", "Progressing").await;
    let operator = cluster.operator(&["--name", &cluster.namespace]).await;
    cluster.until("it leads", async || operator.leads().await.then_some(())).await;
    let agent = cluster.agent_by(kubeconfig, &name, &tasks, &[]);
    let objects = all_become(&cluster, &names, "Current", "Healthy").await;
    cluster.is_as_applied(&actor(json!({})), &objects);
    cluster.gitops(&actor(json!({"suspend": true})));
    all_become(&cluster, &names, "Current", "Healthy").await;
    drop(agent);
    cluster.kubectl(&["delete", "actor", &name]);
}

#[tokio::test]
async fn the_samples_stay_as_they_were_applied_while_the_operator_works_on_them() {
    let cluster = Cluster::new("samples").await;
    let mut text = String::new();
    for file in fs::read_dir(root().join("deploy/samples")).unwrap().flatten() {
        // Its MailReceiver is that of the policies, with less in it.
        if file.path().extension().is_some_and(|ending| ending == "yaml") && file.file_name() != "receiver.yaml" {
            let here = format!("namespace: {}", cluster.namespace);
            text += &fs::read_to_string(file.path()).unwrap().replace("namespace: default", &here);
            text += "\n---\n";
        }
    }
    // Names end here: nothing leaves the machine.
    let operator = cluster.operator(&["--nameservers", "127.0.0.1:1"]).await;
    cluster.gitops(&text);
    let kinds = "mailservers,emailprofiles,roundtrippolicies,mailreceivers";
    let all = async || {
        let list = cluster.kubectl(&["get", kinds, "-o", "json", "--show-managed-fields"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let objects = list["items"].as_array().unwrap().clone();
        let judged = |object: &Value| object["status"]["observedGeneration"] == object["metadata"]["generation"];
        (objects.len() >= 15 && objects.iter().all(judged)).then_some(objects)
    };
    let objects = cluster.until("all samples are judged", all).await;
    cluster.is_as_applied(&text, &objects);
    operator.shows_no_secret().await;
}

/// A Secret or `ConfigMap` with what its tool writes beside the data.
fn made_by(kind: &str, name: &str, type_: Option<&str>, metadata: &Value, data: &Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
    object[if kind == "Secret" { "stringData" } else { "data" }] = data.clone();
    if let Some(type_) = type_ {
        object["type"] = json!(type_);
    }
    object
}

#[tokio::test]
async fn secrets_come_after_their_objects_in_the_shape_that_each_tool_gives_them() {
    let (stack, cluster) = (Stack::get(), Cluster::new("shapes").await);
    let password = super::support::leaks::password("shapes");
    let user = stack.user(&format!("shapes-{}", uuid::Uuid::new_v4().simple()), &password).await;
    let operator = cluster.operator(&["--max-checks-per-host", "8"]).await;
    let ca = json!({"caRef": {"kind": "ConfigMap", "name": "corp-ca", "key": "trust-bundle.pem"}});
    for (name, keys) in [
        ("sealed-secrets", json!({})),
        ("external-secrets", json!({"usernameKey": "smtp_user", "passwordKey": "smtp_password"})),
        ("sops", json!({})),
    ] {
        let mut secret = json!({"name": name});
        secret.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let auth = json!({"type": "Password", "secretRef": secret});
        cluster.server(name, spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"tls": ca, "auth": auth}))).await;
        // It has neither the CA nor the password; the first of them is told.
        cluster.condition(name, "Ready", "False", "CABundleNotFound").await;
    }
    let login = json!({"username": user, "password": password});
    for object in [
        // A Bundle's ConfigMap has whatever key the Bundle names, and a label and an annotation of its own.
        made_by(
            "ConfigMap",
            "corp-ca",
            None,
            &json!({"labels": {"trust.cert-manager.io/bundle": "corp-ca"}, "annotations": {"trust.cert-manager.io/hash": "c0ffee"}}),
            &json!({"trust-bundle.pem": String::from_utf8(stack.ca()).unwrap()}),
        ),
        made_by("Secret", "sealed-secrets", Some("kubernetes.io/basic-auth"), &json!({}), &login),
        // External Secrets makes them Opaque if nothing is said, with keys of the vault's.
        made_by(
            "Secret",
            "external-secrets",
            Some("Opaque"),
            &json!({"labels": {"reconcile.external-secrets.io/created-by": "c0ffee"},
                "annotations": {"reconcile.external-secrets.io/data-hash": "c0ffee"}}),
            &json!({"smtp_user": user, "smtp_password": password, "unrelated": "x"}),
        ),
        made_by(
            "Secret",
            "sops",
            Some("kubernetes.io/basic-auth"),
            &json!({"annotations": {"kustomize.toolkit.fluxcd.io/ssa": "Merge"}}),
            &login,
        ),
    ] {
        cluster.apply(object).await;
    }
    for name in ["sealed-secrets", "external-secrets", "sops"] {
        cluster.condition(name, "Ready", "True", "Succeeded").await;
    }
    operator.shows_no_secret().await;
}
