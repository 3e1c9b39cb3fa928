//! The API server that `tests/run` has started: a namespace a test, and operators with no more rights than the product's roles.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Namespace, Secret, ServiceAccount},
    events::v1::Event,
    rbac::v1::{ClusterRoleBinding, RoleBinding},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::ApiResource,
};
use mailverity::api::v1alpha1::{EmailProfile, MailServer, MailServerStatus};
use serde_json::{Value, json};

use super::{
    api::ApiProxy,
    leaks,
    scope::{self, Own},
};

const PATIENCE: Duration = Duration::from_secs(90);

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts an API server"))
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A namespace of one test's own, and a client that may do everything.
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
    plane: PathBuf,
    /// Up as long as anything of its test is.
    own: Option<Arc<Own>>,
}

impl Cluster {
    /// Makes a namespace, and the kinds where they are not there yet.
    pub async fn new(test: &str) -> Self {
        let own = if scope::is_cluster() { Some(scope::own().await) } else { None };
        let plane = own.as_ref().map_or_else(|| env("MAILVERITY_TEST_CONTROLPLANE").into(), |own| own.dir());
        let cluster = Self { own, ..Self::bare(plane, test).await };
        cluster.kinds().await;
        cluster
    }

    /// Makes a namespace at the API server that `tests/controlplane/up.sh` started in `plane`.
    pub async fn bare(plane: PathBuf, test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let config = Kubeconfig::read_from(plane.join("kubeconfig")).unwrap();
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace =
            format!("t-{}-{}-{number}", test.replace('_', "-").chars().take(30).collect::<String>(), std::process::id());
        let cluster = Self { client, namespace, plane, own: None };
        let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}});
        Api::<Namespace>::all(cluster.client.clone())
            .create(&PostParams::default(), &serde_json::from_value(made).unwrap())
            .await
            .unwrap();
        cluster
    }

    /// The folder of the API server.
    pub fn plane(&self) -> &std::path::Path {
        &self.plane
    }

    /// The path of an administrator's kubeconfig.
    pub fn kubeconfig(&self) -> String {
        self.plane.join("kubeconfig").display().to_string()
    }

    /// Installs the kinds.
    pub async fn kinds(&self) {
        for file in fs::read_dir(root().join("crds")).unwrap().flatten() {
            for doc in documents(&fs::read_to_string(file.path()).unwrap()) {
                self.apply_at(&doc, None).await;
            }
        }
        let servers: Api<MailServer> = Api::all(self.client.clone());
        let profiles: Api<EmailProfile> = Api::all(self.client.clone());
        let one = ListParams::default().limit(1);
        self.until("the kinds are served", async || {
            servers.list(&one).await.ok()?;
            profiles.list(&one).await.ok().map(|_| ())
        })
        .await;
    }

    pub fn servers(&self) -> Api<MailServer> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies one manifest, in this namespace if it is namespaced.
    pub async fn apply(&self, manifest: Value) {
        self.apply_at(&manifest, Some(&self.namespace)).await;
    }

    pub async fn apply_at(&self, manifest: &Value, namespace: Option<&str>) {
        self.try_apply(manifest, namespace).await.unwrap_or_else(|error| panic!("{manifest}: {error}"));
    }

    /// Applies one manifest; the API server's own words where it refuses.
    pub async fn try_apply(&self, manifest: &Value, namespace: Option<&str>) -> Result<DynamicObject, kube::Error> {
        let (group, version) = match manifest["apiVersion"].as_str().unwrap().split_once('/') {
            Some((group, version)) => (group, version),
            None => ("", manifest["apiVersion"].as_str().unwrap()),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, manifest["kind"].as_str().unwrap()));
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let name = manifest["metadata"]["name"].as_str().unwrap();
        let mut params = PatchParams::apply("tests").force();
        params.field_validation = Some(kube::api::ValidationDirective::Strict);
        api.patch(name, &params, &Patch::Apply(manifest)).await
    }

    /// A `MailServer`.
    pub async fn server(&self, name: &str, spec: Value) {
        self.apply(
            json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer", "metadata": {"name": name}, "spec": spec}),
        )
        .await;
    }

    /// A Secret with user name and password.
    pub async fn account(&self, name: &str, user: &str, password: &str) {
        self.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/basic-auth",
            "stringData": {"username": user, "password": password}}))
            .await;
    }

    /// A `ConfigMap` with the CA that signed the mail stack's certificate.
    pub async fn ca(&self, pem: &[u8]) {
        let pem = String::from_utf8(pem.to_vec()).unwrap();
        self.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": pem}})).await;
    }

    /// Pauses everything.
    pub async fn pause(&self) {
        self.apply(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mailverity-pause"}, "data": {"all": ""}}),
        )
        .await;
    }

    /// Ends the pause.
    pub async fn goes_on(&self) {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        maps.delete("mailverity-pause", &DeleteParams::default()).await.unwrap();
    }

    /// Sets an annotation of a `MailServer`.
    pub async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        self.servers().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Merges into the spec of a `MailServer`.
    pub async fn patch(&self, name: &str, spec: Value) {
        self.servers().patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.unwrap();
    }

    pub async fn status(&self, name: &str) -> MailServerStatus {
        self.servers().get(name).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until a `MailServer`'s status is as `ready` says; fails with the last one.
    pub async fn status_when(&self, name: &str, what: &str, ready: impl Fn(&MailServerStatus) -> bool) -> MailServerStatus {
        self.status_within(PATIENCE, name, what, ready).await
    }

    /// The same with more patience, or less.
    pub async fn status_within(
        &self,
        patience: Duration,
        name: &str,
        what: &str,
        ready: impl Fn(&MailServerStatus) -> bool,
    ) -> MailServerStatus {
        let end = Instant::now() + patience;
        loop {
            let status = self.status(name).await;
            if ready(&status) {
                return status;
            }
            assert!(Instant::now() < end, "{name}: not {what}: {}", serde_json::to_string_pretty(&status).unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a condition has this status and reason.
    pub async fn condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> MailServerStatus {
        let what = format!("{kind}={status} {reason}");
        self.status_when(name, &what, |seen| is(seen, kind, status, reason)).await
    }

    /// Waits until `ready` gives something.
    pub async fn until<T>(&self, what: &str, ready: impl AsyncFn() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = ready().await {
                return value;
            }
            assert!(Instant::now() < end, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn events(&self) -> Vec<Event> {
        Api::<Event>::namespaced(self.client.clone(), &self.namespace).list(&ListParams::default()).await.unwrap().items
    }

    /// Lines of the audit log that record a write of this test's operator, but for Leases.
    pub fn writes(&self) -> Vec<Value> {
        let user = format!("system:serviceaccount:{}:mailverity", self.namespace);
        let log = fs::read_to_string(self.plane.join("audit.log")).unwrap_or_default();
        let lines = log.lines().filter(|line| line.contains(&user)).filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let write =
            |line: &Value| matches!(line["verb"].as_str(), Some("create" | "update" | "patch" | "delete" | "deletecollection"));
        lines.filter(|line| write(line) && line["objectRef"]["resource"] != "leases").collect()
    }

    /// Gives the operator its `ServiceAccount` and the product's roles in this namespace; returns a kubeconfig of that account.
    pub async fn rights(&self, watch: bool) -> PathBuf {
        let files = fs::read_dir(root().join("deploy/operator")).unwrap().flatten();
        for file in files.filter(|file| watch || !file.file_name().to_string_lossy().contains("watch")) {
            for doc in documents(&fs::read_to_string(file.path()).unwrap()) {
                self.right(doc).await;
            }
        }
        self.config_of("mailverity", &self.namespace).await
    }

    /// The rights that go with these flags of an operator.
    async fn rights_for(&self, flags: &[&str]) -> PathBuf {
        for (flag, folder) in [("--token-secrets", "tokens"), ("--federated-service-account", "identity")] {
            let path = root().join("deploy").join(folder).join("30-clusterrole.yaml");
            let docs = if flags.contains(&flag) { documents(&fs::read_to_string(path).unwrap()) } else { Vec::new() };
            for doc in docs {
                self.right(doc).await;
            }
        }
        self.rights(!flags.contains(&"Get") && !gets()).await
    }

    /// A kubeconfig of an account.
    pub async fn config_of(&self, account: &str, namespace: &str) -> PathBuf {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(7200), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let token = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap().status.unwrap().token;
        let mut config: Value = serde_yaml::from_str(&fs::read_to_string(self.plane.join("kubeconfig")).unwrap()).unwrap();
        config["users"][0]["user"] = json!({"token": token});
        let path = self.dir().join(format!("kubeconfig-{account}-{namespace}"));
        fs::write(&path, serde_yaml::to_string(&config).unwrap()).unwrap();
        path
    }

    /// An operator for this namespace and another one.
    pub async fn operator_for_both(&self, other: &Self) -> Operator {
        if scope::is_cluster() {
            return self.operator(&[]).await;
        }
        for role in ["mailverity", "mailverity-watch"].iter().filter(|role| !gets() || !role.contains("watch")) {
            let subject = json!({"kind": "ServiceAccount", "name": "mailverity", "namespace": self.namespace});
            other
                .apply(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                    "subjects": [subject]}))
                .await;
        }
        self.operator(&["--namespaces", &other.namespace]).await
    }

    /// Takes from the operator the binding of a cluster role of the product, and gives it a role with these rules instead.
    pub async fn bind_instead(&self, role: &str, rules: &Value) {
        let (kind, binding, place, old) = if scope::is_cluster() {
            ("ClusterRole", "ClusterRoleBinding", None, format!("{role}-{}", self.namespace))
        } else {
            ("Role", "RoleBinding", Some(self.namespace.as_str()), format!("cluster-{role}"))
        };
        let (version, meta) = ("rbac.authorization.k8s.io/v1", json!({"name": format!("narrow-{}", self.namespace)}));
        self.apply_at(&json!({"apiVersion": version, "kind": kind, "metadata": meta, "rules": rules}), place).await;
        let bound = json!({"apiVersion": version, "kind": binding, "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": meta["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": "mailverity", "namespace": self.namespace}]});
        self.apply_at(&bound, place).await;
        let params = DeleteParams::default();
        match place {
            Some(place) => drop(Api::<RoleBinding>::namespaced(self.client.clone(), place).delete(&old, &params).await.unwrap()),
            None => drop(Api::<ClusterRoleBinding>::all(self.client.clone()).delete(&old, &params).await.unwrap()),
        }
    }

    /// Labels the namespace.
    pub async fn label(&self, labels: &Value) {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        Api::<Namespace>::all(self.client.clone()).patch(&self.namespace, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The product's own rights, narrowed from the cluster to this namespace where operators work for one namespace.
    pub(super) async fn right(&self, mut doc: Value) {
        match doc["kind"].as_str().unwrap_or_default() {
            "ServiceAccount" | "Role" => {
                doc["metadata"]["namespace"] = json!(self.namespace);
                // The Lease has the installation's name, which here may be that of the test.
                for rule in doc.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
                    if rule["resources"] == json!(["leases"]) && rule["resourceNames"].is_array() {
                        rule["resourceNames"] = json!(["mailverity", self.namespace]);
                    }
                }
            }
            "ClusterRole" => return self.apply_at(&doc, None).await,
            // Actors belong to no namespace: each test's operator may read them all.
            "ClusterRoleBinding" if scope::is_cluster() || doc["metadata"]["name"] == "mailverity-actors" => {
                doc["metadata"]["name"] = json!(format!("{}-{}", doc["metadata"]["name"].as_str().unwrap(), self.namespace));
                doc["subjects"][0]["namespace"] = json!(self.namespace);
                return self.apply_at(&doc, None).await;
            }
            kind @ ("RoleBinding" | "ClusterRoleBinding") => {
                if kind == "ClusterRoleBinding" {
                    doc["metadata"]["name"] = json!(format!("cluster-{}", doc["metadata"]["name"].as_str().unwrap()));
                }
                doc["kind"] = json!("RoleBinding");
                doc["metadata"]["namespace"] = json!(self.namespace);
                for subject in doc["subjects"].as_array_mut().unwrap() {
                    subject["namespace"] = json!(self.namespace);
                }
            }
            _ => return,
        }
        self.apply_at(&doc, Some(&self.namespace)).await;
    }

    /// What kubectl prints, in this namespace.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let mut command = Command::new(env("MAILVERITY_TEST_KUBECTL"));
        command.args(["--kubeconfig", &self.kubeconfig(), "-n", &self.namespace]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A folder for this test's files.
    pub fn dir(&self) -> PathBuf {
        let dir = self.plane.join("tests").join(&self.namespace);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Starts an operator for this namespace, or for this cluster, with its real rights, at trace level.
    pub async fn operator(&self, flags: &[&str]) -> Operator {
        self.operator_at("trace", flags).await
    }

    /// The same, with a proxy between it and the API server.
    pub async fn operator_behind(&self, api: &ApiProxy, flags: &[&str]) -> Operator {
        let kubeconfig = self.rights_for(flags).await;
        let mut config: Value = serde_yaml::from_str(&fs::read_to_string(&kubeconfig).unwrap()).unwrap();
        config["clusters"][0]["cluster"] = json!({"server": format!("http://127.0.0.1:{}", api.port)});
        let kubeconfig = kubeconfig.with_file_name(format!("kubeconfig-behind-{}", api.port));
        fs::write(&kubeconfig, serde_yaml::to_string(&config).unwrap()).unwrap();
        self.start("trace", flags, kubeconfig)
    }

    /// The same at another level, where a trace of thousands of checks would be gigabytes.
    pub async fn operator_at(&self, level: &str, flags: &[&str]) -> Operator {
        let kubeconfig = self.rights_for(flags).await;
        self.start(level, flags, kubeconfig)
    }

    /// An operator for the whole cluster, in `mailverity-system`, with the rights that `deploy/operator` gives as it stands.
    pub async fn operator_of_all(&self, flags: &[&str]) -> Operator {
        let kubeconfig = self.config_of("mailverity", "mailverity-system").await;
        let scope = ["--operator-namespace", "mailverity-system", "--log-level", "trace"];
        let mut operator = self.unstarted(&scope, flags, kubeconfig);
        operator.start();
        operator
    }

    /// One for this namespace, with further variables in its environment.
    pub async fn operator_in(&self, env: Vec<(String, String)>, flags: &[&str]) -> Operator {
        let kubeconfig = self.rights_for(flags).await;
        let mut operator = self.unstarted(&self.scope("trace"), flags, kubeconfig);
        operator.env = env;
        operator.start();
        operator
    }

    fn start(&self, level: &str, flags: &[&str], kubeconfig: PathBuf) -> Operator {
        let mut operator = self.unstarted(&self.scope(level), flags, kubeconfig);
        operator.start();
        operator
    }

    fn scope<'a>(&'a self, level: &'a str) -> Vec<&'a str> {
        let namespaces: &[&str] = if scope::is_cluster() { &[] } else { &["--namespaces", &self.namespace] };
        [namespaces, &["--operator-namespace", &self.namespace, "--log-level", level]].concat()
    }

    fn unstarted(&self, scope: &[&str], flags: &[&str], kubeconfig: PathBuf) -> Operator {
        let metrics = format!("127.0.0.1:{}", free_port());
        let mut args: Vec<String> = [&["operator"], scope].concat().into_iter().map(str::to_owned).collect();
        args.extend(["--metrics-address".to_owned(), metrics.clone()]);
        if !flags.contains(&"--deny-cidrs") {
            args.extend(["--deny-cidrs".to_owned(), String::new()]);
        }
        if !flags.contains(&"--allowed-ports") {
            args.extend(["--allowed-ports".to_owned(), "1-65535".to_owned()]);
        }
        // It has rights there only where there are receivers.
        if !flags.contains(&"--receiver-namespace") {
            args.extend(["--receiver-namespace".to_owned(), String::new()]);
        }
        if gets() && !flags.contains(&"--secrets-access") {
            args.extend(["--secrets-access", "Get"].map(str::to_owned));
        }
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let log = self.dir().join("operator.log");
        Operator { child: None, args, kubeconfig, metrics, log, within: None, pod: None, env: Vec::new() }
    }

    /// Fails where the objects and Events of this namespace show a secret.
    pub async fn shows_no_secret(&self) {
        for server in self.servers().list(&ListParams::default()).await.unwrap() {
            leaks::none_in(&format!("the status of {}", server.name_any()), &serde_json::to_string(&server.status).unwrap());
        }
        for profile in self.profiles().list(&ListParams::default()).await.unwrap() {
            leaks::none_in(&format!("the status of {}", profile.name_any()), &serde_json::to_string(&profile.status).unwrap());
        }
        for policy in self.policies().list(&ListParams::default()).await.unwrap() {
            leaks::none_in(&format!("the status of {}", policy.name_any()), &serde_json::to_string(&policy.status).unwrap());
        }
        for receiver in self.mail_receivers().list(&ListParams::default()).await.unwrap() {
            leaks::none_in(&format!("the status of {}", receiver.name_any()), &serde_json::to_string(&receiver.status).unwrap());
        }
        for event in self.events().await {
            leaks::none_in("an Event", &serde_json::to_string(&event).unwrap());
        }
        for map in Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace).list(&ListParams::default()).await.unwrap()
        {
            leaks::none_in("a ConfigMap", &serde_json::to_string(&map.data).unwrap());
        }
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Whether all operators are to notice changed Secrets by looking at them, without the right to list: `MAILVERITY_TEST_SECRETS_ACCESS=Get`.
fn gets() -> bool {
    std::env::var("MAILVERITY_TEST_SECRETS_ACCESS").is_ok_and(|access| access == "Get")
}

/// Within how many seconds a changed Secret is noticed and what follows is told, see [`gets`].
pub fn noticed_within() -> u64 {
    if gets() { 70 } else { 6 }
}

/// Whether a condition has this status and reason.
pub fn is(status: &MailServerStatus, kind: &str, value: &str, reason: &str) -> bool {
    status.conditions.iter().any(|c| c.type_ == kind && c.status == value && c.reason == reason)
}

/// The message of a condition.
pub fn message<'a>(status: &'a MailServerStatus, kind: &str) -> &'a str {
    status.conditions.iter().find(|c| c.type_ == kind).map_or("", |c| c.message.as_str())
}

pub fn documents(text: &str) -> Vec<Value> {
    use serde::Deserialize;
    serde_yaml::Deserializer::from_str(text).filter_map(|doc| Value::deserialize(doc).ok()).filter(|doc| !doc.is_null()).collect()
}

/// Sends a signal, through a shell: the program `kill` is in no package that every Debian has.
pub fn signal(name: &str, pid: &str) -> bool {
    Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, pid]).status().unwrap().success()
}

/// A port of loopback that nobody listens on, and that is no other test's. Not one of those that the kernel hands out to
/// clients: while an operator is being started again, a check elsewhere must not take its port.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [first, second, ..] = *uuid::Uuid::new_v4().as_bytes();
    let start = u16::from_be_bytes([first, second]);
    NEXT.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed).ok();
    loop {
        let port = 20_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// An operator in a process of its own.
pub struct Operator {
    child: Option<Child>,
    args: Vec<String>,
    kubeconfig: PathBuf,
    pub metrics: String,
    pub log: PathBuf,
    /// The network namespace that it runs in, if not this one.
    within: Option<String>,
    /// The pod that it takes itself for.
    pod: Option<String>,
    /// Further variables of its environment.
    pub env: Vec<(String, String)>,
}

impl Operator {
    /// An agent, which has no HTTP server.
    pub fn agent(args: Vec<String>, kubeconfig: PathBuf, log: PathBuf) -> Self {
        let mut agent =
            Self { child: None, args, kubeconfig, metrics: String::new(), log, within: None, pod: None, env: Vec::new() };
        agent.start();
        agent
    }

    /// An agent in a network namespace.
    pub fn agent_within(network: &str, args: Vec<String>, kubeconfig: PathBuf, log: PathBuf) -> Self {
        let within = Some(network.to_owned());
        let mut agent = Self { child: None, args, kubeconfig, metrics: String::new(), log, within, pod: None, env: Vec::new() };
        agent.start();
        agent
    }

    /// A receiver, in a pod of this name.
    pub fn receiver(pod: &str, args: Vec<String>, metrics: String, kubeconfig: PathBuf, log: PathBuf) -> Self {
        let mut receiver =
            Self { child: None, args, kubeconfig, metrics, log, within: None, pod: Some(pod.to_owned()), env: Vec::new() };
        receiver.start();
        receiver
    }

    /// Starts it, or starts it again.
    pub fn start(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let program = env!("CARGO_BIN_EXE_mailverity");
        let mut command = match &self.within {
            Some(network) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", network, program]);
                command
            }
            None => Command::new(program),
        };
        let child = command
            .args(&self.args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env_remove("RUST_LOG")
            .envs(self.pod.iter().map(|pod| ("POD_NAME", pod)))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// SIGTERM, and the time until it had ended.
    pub fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        let mut child = self.child.take().unwrap();
        assert!(signal("TERM", &child.id().to_string()));
        child.wait().unwrap();
        begun.elapsed()
    }

    /// An answer of its HTTP server.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        self.get_with(path, "").await
    }

    /// The same, asked for with further header lines. A compressed body is not read as what it is.
    pub async fn get_with(&self, path: &str, headers: &str) -> Option<(u16, String)> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&self.metrics).await.ok()?;
        let asked = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(asked.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8_lossy(&answer);
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        Some((code, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// Whether it leads.
    pub async fn leads(&self) -> bool {
        self.get("/metrics")
            .await
            .is_some_and(|(_, text)| text.lines().any(|line| line.starts_with("mailverity_leader{") && line.ends_with(" 1")))
    }

    /// How many reconciliations it has done.
    pub async fn reconciliations(&self) -> u64 {
        let (_, text) = self.get("/metrics").await.unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with("controller_runtime_reconcile_total{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Resident memory in KiB without the program's own pages, of which more come in with each way through it.
    pub fn resident_data(&self) -> u64 {
        self.memory("RssAnon:")
    }

    /// What [`Self::peak`] tells begins anew.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    /// The most resident memory in KiB.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Fails where its log, its metrics or the process list show a secret.
    pub async fn shows_no_secret(&self) {
        leaks::none_in("the operator's log", &self.log());
        if let Some((_, metrics)) = self.get("/metrics").await {
            leaks::none_in("the metrics", &metrics);
        }
        for file in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{}/{file}", self.pid())).unwrap_or_default();
            leaks::none_in("the process list", &String::from_utf8_lossy(&text));
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
        // Every test of the cluster is a test of promise 14 too.
        if !std::thread::panicking() {
            leaks::none_in("the operator's log", &self.log());
        }
    }
}
