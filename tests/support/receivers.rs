//! Receivers in processes of their own, with the product's manifests and no more rights than these give; mail for them; and a
//! real name server.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::Secret,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use mailverity::api::v1alpha1::{MailReceiver, MailReceiverStatus, ProbeReply, RoundTripPolicy};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{
    cluster::{Cluster, Operator, documents, free_port, root},
    scope,
};

/// The receivers of one test: their namespace and their port.
pub struct Receivers {
    pub namespace: String,
    pub port: u16,
    kubeconfig: PathBuf,
    client: Client,
}

impl Cluster {
    /// Installs the product's manifests for receivers of this namespace's `MailReceivers`, in a namespace of their own.
    pub async fn receivers(&self) -> Receivers {
        let namespace = format!("{}-rx", self.namespace);
        let mut files: Vec<_> = fs::read_dir(root().join("deploy/receiver")).unwrap().flatten().map(|file| file.path()).collect();
        files.sort();
        for mut doc in files.iter().flat_map(|path| documents(&fs::read_to_string(path).unwrap())) {
            let kind = doc["kind"].as_str().unwrap().to_owned();
            for subject in doc.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
                let operator = subject["name"] == "mailverity";
                subject["namespace"] = json!(if operator { &self.namespace } else { &namespace });
            }
            match kind.as_str() {
                "Namespace" => {
                    doc["metadata"]["name"] = json!(namespace);
                    self.apply_at(&doc, None).await;
                }
                "ClusterRole" => self.apply_at(&doc, None).await,
                "ClusterRoleBinding" if scope::is_cluster() => {
                    doc["metadata"]["name"] = json!(namespace);
                    self.apply_at(&doc, None).await;
                }
                "ClusterRoleBinding" => {
                    doc["kind"] = json!("RoleBinding");
                    self.apply_at(&doc, Some(&self.namespace)).await;
                }
                // Nothing runs pods here; that the API server takes it is enough.
                _ => {
                    let of_operator = doc["metadata"]["namespace"] == "mailverity-system";
                    let place = if of_operator { &self.namespace } else { &namespace };
                    doc["metadata"]["namespace"] = json!(place);
                    self.apply_at(&doc, Some(place)).await;
                }
            }
        }
        let kubeconfig = self.config_of("mailverity-receiver", &namespace).await;
        Receivers { namespace, port: free_port(), kubeconfig, client: self.client.clone() }
    }

    /// An operator that knows these receivers.
    pub async fn operator_with(&self, receivers: &Receivers, flags: &[&str]) -> Operator {
        self.operator(&[&["--receiver-namespace", &receivers.namespace], flags].concat()).await
    }

    /// A `MailReceiver`.
    pub async fn mail_receiver(&self, name: &str, spec: Value) {
        let object =
            json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailReceiver", "metadata": {"name": name}, "spec": spec});
        self.apply(object).await;
    }

    pub fn mail_receivers(&self) -> Api<MailReceiver> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits until a condition of a `MailReceiver` has this status and reason.
    pub async fn received(&self, name: &str, kind: &str, status: &str, reason: &str) -> MailReceiverStatus {
        let end = std::time::Instant::now() + std::time::Duration::from_mins(1);
        loop {
            let seen = self.mail_receivers().get(name).await.unwrap().status.unwrap_or_default();
            if seen.conditions.iter().any(|c| c.type_ == kind && c.status == status && c.reason == reason) {
                return seen;
            }
            let told = serde_json::to_string_pretty(&seen).unwrap();
            assert!(std::time::Instant::now() < end, "{name}: not {kind}={status} {reason}: {told}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// A suspended `RoundTripPolicy`, which no operator may look after, whose answers come to this `MailReceiver`, with a probe under way and one that was settled,
    /// as an operator would have written them.
    pub async fn claimed_policy(&self, name: &str, receiver: &str, spec: Value, flying: Option<&str>, settled: &[&str]) {
        let mut whole = json!({
            "to": "echo@partner.example", "message": {"body": "please send this back"}, "suspend": true,
            "receive": {"receiverRef": {"name": receiver}},
        });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let object = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "RoundTripPolicy", "metadata": {"name": name}, "spec": whole});
        self.apply(object).await;
        let time = "2026-01-01T00:00:00.000000Z";
        let flying =
            flying.map(|id| json!({"id": id, "attempt": 1, "claimedAt": time, "deadline": time, "from": "probe@corp.example"}));
        let row = |id: &&str| json!({"id": id, "sentAt": "2026-01-01T00:00:00Z", "result": "ReplyTimeout"});
        let status = json!({"status": {"inFlight": flying, "history": settled.iter().map(row).collect::<Vec<_>>()}});
        let api: Api<RoundTripPolicy> = Api::namespaced(self.client.clone(), &self.namespace);
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Whether RBAC lets an account do this; `what` is `resource.group/subresource`, or `configmaps/name`.
    pub async fn may(&self, account: &str, verb: &str, what: &str, namespace: &str) -> bool {
        let (what, part) = what.split_once('/').map_or((what, None), |(what, part)| (what, Some(part.to_owned())));
        let (resource, group) = what.split_once('.').unwrap_or((what, ""));
        let (subresource, name) = if resource == "configmaps" { (None, part) } else { (part, None) };
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            resource: Some(resource.to_owned()),
            group: Some(group.to_owned()),
            namespace: Some(namespace.to_owned()),
            subresource,
            name,
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(account.to_owned()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    }

    /// A Secret with a chain and its key.
    pub async fn certificate(&self, name: &str, (chain, key): &(String, String)) {
        self.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": chain, "tls.key": key}}))
            .await;
    }
}

impl Receivers {
    /// Starts one, in a pod of this name.
    pub fn start(&self, cluster: &Cluster, pod: &str, flags: &[&str]) -> Operator {
        self.start_by(cluster, pod, "127.0.0.1", self.kubeconfig.clone(), flags)
    }

    /// The same on another port.
    pub fn start_at(&self, cluster: &Cluster, pod: &str, port: u16) -> Operator {
        let other =
            Self { namespace: self.namespace.clone(), port, kubeconfig: self.kubeconfig.clone(), client: self.client.clone() };
        other.start(cluster, pod, &[])
    }

    /// The same at another address, as another pod: Postfix tries it where the first is away.
    pub fn start_beside(&self, cluster: &Cluster, pod: &str, flags: &[&str]) -> Operator {
        self.start_by(cluster, pod, "127.0.0.2", self.kubeconfig.clone(), flags)
    }

    /// The same through a proxy before the API server, without TLS, on this port.
    pub fn start_behind(&self, cluster: &Cluster, pod: &str, api: u16) -> Operator {
        let mut config: Value = serde_yaml::from_str(&fs::read_to_string(&self.kubeconfig).unwrap()).unwrap();
        config["clusters"][0]["cluster"] = json!({"server": format!("http://127.0.0.1:{api}")});
        let path = self.kubeconfig.with_extension("behind");
        fs::write(&path, serde_yaml::to_string(&config).unwrap()).unwrap();
        self.start_by(cluster, pod, "127.0.0.1", path, &[])
    }

    fn start_by(&self, cluster: &Cluster, pod: &str, ip: &str, kubeconfig: PathBuf, flags: &[&str]) -> Operator {
        let (listen, metrics) = (format!("{ip}:{}", self.port), format!("127.0.0.1:{}", free_port()));
        let namespaces: &[&str] = if scope::is_cluster() { &[] } else { &["--namespaces", &cluster.namespace] };
        let fixed = ["receiver", "--listen", &listen, "--receiver-namespace", &self.namespace];
        let more = ["--operator-namespace", &cluster.namespace, "--metrics-address", &metrics, "--grace", "2s"];
        let level: &[&str] = if flags.contains(&"--log-level") { &[] } else { &["--log-level", "trace"] };
        let args = fixed.iter().chain(namespaces).chain(&more).chain(level).chain(flags).map(|arg| (*arg).to_owned()).collect();
        let log = cluster.dir().join(format!("receiver-{pod}.log"));
        Operator::receiver(pod, args, metrics, kubeconfig, log)
    }

    /// A spec for a `MailReceiver` with this domain; what is in `rest` is added.
    pub fn spec(&self, domain: &str, rest: Value) -> Value {
        let mut spec = json!({"domains": [domain], "listener": {"port": self.port}});
        for (key, value) in rest.as_object().unwrap() {
            spec[key] = value.clone();
        }
        spec
    }

    /// What receivers have put down.
    pub async fn replies(&self) -> Vec<ProbeReply> {
        let api: Api<ProbeReply> = Api::namespaced(self.client.clone(), &self.namespace);
        api.list(&ListParams::default()).await.unwrap().items
    }

    /// The one with this name.
    pub async fn reply(&self, name: &str) -> ProbeReply {
        let api: Api<ProbeReply> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get(name).await.unwrap()
    }

    /// The names of Secrets in the receivers' namespace.
    pub async fn secrets(&self) -> Vec<String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        api.list(&ListParams::default()).await.unwrap().into_iter().map(|secret| secret.name_any()).collect()
    }

    pub async fn secret(&self, name: &str) -> Option<Secret> {
        Api::<Secret>::namespaced(self.client.clone(), &self.namespace).get_opt(name).await.unwrap()
    }

    pub async fn delete_secret(&self, name: &str) {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Brings a mail; the last reply.
    pub async fn bring(&self, from: &str, to: &str, mail: &str) -> String {
        bring(self.port, from, to, mail).await
    }
}

/// Brings a mail to a port of loopback; the reply to its final dot, or the first refusal.
pub async fn bring(port: u16, from: &str, to: &str, mail: &str) -> String {
    let mut smtp = Smtp::connect(port).await;
    for command in ["EHLO client.test".to_owned(), format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
        let reply = smtp.say(&command).await;
        if !reply.starts_with(['2', '3']) {
            return reply;
        }
    }
    smtp.say(&format!("{}\r\n.", mail.replace('\n', "\r\n"))).await
}

/// A client, line by line.
pub struct Smtp(BufReader<TcpStream>);

impl Smtp {
    pub async fn connect(port: u16) -> Self {
        let mut smtp = Self(BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.expect("a listener")));
        smtp.hear().await;
        smtp
    }

    pub async fn send(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    }

    /// The last line of the reply; empty where the other side has hung up.
    pub async fn say(&mut self, line: &str) -> String {
        self.send(line).await;
        self.hear().await
    }

    pub async fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap_or(0);
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }
}

/// A name server on loopback that knows these records, such as `corp.test. MX 10 mx.corp.test.`, and nothing else.
pub struct NameServer {
    pub address: String,
    dir: PathBuf,
    zone: String,
    child: Option<Child>,
}

impl NameServer {
    pub async fn start(cluster: &Cluster, zone: &str, records: &[&str]) -> Self {
        let dir = cluster.dir().join("dns");
        fs::create_dir_all(&dir).unwrap();
        let mut server = Self { address: format!("127.0.0.1:{}", free_port()), dir, zone: zone.to_owned(), child: None };
        server.now(records).await;
        server
    }

    /// From now on these are the records.
    pub async fn now(&mut self, records: &[&str]) {
        self.stop();
        let (port, dir) = (self.address.rsplit(':').next().unwrap(), self.dir.display());
        let mut config = format!(
            "server:\n directory: \"{dir}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n interface: 127.0.0.1\n \
             port: {port}\n do-ip6: no\n module-config: \"iterator\"\n local-zone: \"{}\" static\n",
            self.zone
        );
        config.extend(records.iter().map(|record| format!(" local-data: \"{record}\"\n")));
        // Nobody else is asked.
        config.push_str("forward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@9\nremote-control:\n control-enable: no\n");
        let path = self.dir.join("unbound.conf");
        fs::write(&path, config).unwrap();
        let log = fs::File::create(self.dir.join("unbound.log")).unwrap();
        let program = ["/usr/sbin/unbound", "/usr/bin/unbound"].into_iter().find(|path| fs::exists(path).unwrap_or(false));
        let program = program.expect("unbound, which tests/mailstack/install.sh brings");
        let mut command = Command::new(program);
        command.args(["-d", "-c"]).arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        for _ in 0..200 {
            if TcpStream::connect(&self.address).await.is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("unbound does not listen: {}", fs::read_to_string(self.dir.join("unbound.log")).unwrap());
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop();
    }
}
