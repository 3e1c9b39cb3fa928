//! Agents in processes of their own, with the product's manifests and no more rights than these give.

use std::{fs, path::PathBuf};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use mailverity::api::v1alpha1::ActorTask;
use serde_json::{Value, json};

use super::{
    cluster::{Cluster, Operator, documents, root},
    elsewhere::{Elsewhere, Way},
};

impl Cluster {
    /// Installs the product's manifests for an agent of `actor` in the namespace `tasks`, where this test's operator may put
    /// tasks; a kubeconfig of the agent's account.
    pub async fn agent_rights(&self, actor: &str, tasks: &str) -> PathBuf {
        // As in docs/actors.md, the operator's role comes first.
        for doc in documents(&fs::read_to_string(root().join("deploy/operator/34-clusterrole-tasks.yaml")).unwrap()) {
            self.right(doc).await;
        }
        let mut files: Vec<_> = fs::read_dir(root().join("deploy/agent")).unwrap().flatten().map(|file| file.path()).collect();
        files.sort();
        for doc in files.iter().flat_map(|path| documents(&fs::read_to_string(path).unwrap())) {
            let doc = self.for_actor(doc, actor, tasks);
            match doc["kind"].as_str().unwrap() {
                "Namespace" => self.apply_at(&doc, None).await,
                // Nothing runs pods here; that the API server takes it is enough.
                _ => self.apply_at(&doc, Some(tasks)).await,
            }
        }
        let operator = format!("system:serviceaccount:{}:mailverity", self.namespace);
        let may = async || self.may(&operator, "get", "namespaces", tasks).await.then_some(());
        self.until("the operator has its rights there", may).await;
        self.config_of("mailverity-agent", tasks).await
    }

    fn for_actor(&self, mut doc: Value, actor: &str, tasks: &str) -> Value {
        if doc["kind"] == "Namespace" {
            doc["metadata"]["name"] = json!(tasks);
            doc["metadata"]["labels"]["mailverity.dev/actor"] = json!(actor);
            return doc;
        }
        doc["metadata"]["namespace"] = json!(tasks);
        for subject in doc.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
            let operator = subject["name"] == "mailverity";
            subject["namespace"] = json!(if operator { &self.namespace } else { tasks });
        }
        doc
    }

    /// An Actor of this test's operator, whose name is that of the namespace, with its agent at work in `tasks`, where the
    /// operator has its rights.
    pub async fn actor(&self, name: &str, tasks: &str) {
        self.agent_rights(name, tasks).await;
        let spec = json!({
            "operator": self.namespace, "zone": "elsewhere", "mode": "Agent", "taskNamespace": tasks,
            "heartbeatTimeout": "25s", "allowedNamespaces": {"from": "All"},
        });
        let actor = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "Actor", "metadata": {"name": name}, "spec": spec});
        self.apply_at(&actor, None).await;
    }

    /// Who holds a Lease.
    pub async fn holder(&self, namespace: &str, lease: &str) -> Option<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        leases.get_opt(lease).await.ok()??.spec?.holder_identity
    }

    /// Cuts the Lease of a process that is dead short: who comes after it need not wait for its end.
    pub async fn outlived(&self, namespace: &str, lease: &str) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let short = Patch::Merge(json!({"spec": {"leaseDurationSeconds": 1}}));
        leases.patch(lease, &PatchParams::default(), &short).await.unwrap();
    }

    /// Starts an agent of `actor` for the namespace `tasks`, with its real rights, at trace level.
    pub async fn agent(&self, actor: &str, tasks: &str, flags: &[&str]) -> Operator {
        let kubeconfig = self.agent_rights(actor, tasks).await;
        self.agent_by(kubeconfig, actor, tasks, flags)
    }

    /// The same in a network namespace, from which `api` leads to the API server.
    pub async fn agent_elsewhere(&self, place: &Elsewhere, api: &Way, actor: &str, tasks: &str) -> Operator {
        let path = self.agent_rights(actor, tasks).await;
        let mut config: Value = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        config["clusters"][0]["cluster"]["server"] = json!(format!("https://{}:{}", api.address, api.port));
        config["clusters"][0]["cluster"]["tls-server-name"] = json!("kubernetes");
        let path = path.with_extension("elsewhere");
        fs::write(&path, serde_yaml::to_string(&config).unwrap()).unwrap();
        let log = self.dir().join(format!("agent-{}.log", uuid::Uuid::new_v4().simple()));
        Operator::agent_within(&place.name, Self::agent_flags(actor, tasks, &[]), path, log)
    }

    /// The names of tasks and Secrets in a namespace of an agent.
    pub async fn left_for_agents(&self, namespace: &str) -> Vec<String> {
        let all = ListParams::default();
        let tasks: Api<ActorTask> = Api::namespaced(self.client.clone(), namespace);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let tasks = tasks.list(&all).await.unwrap().into_iter().map(|task| task.name_any());
        let secrets = secrets.list(&all).await.unwrap().into_iter().map(|secret| secret.name_any());
        tasks.chain(secrets).collect()
    }

    /// The port of the API server on loopback.
    pub fn api_port(&self) -> u16 {
        let config: Value = serde_yaml::from_str(&fs::read_to_string(self.plane().join("kubeconfig")).unwrap()).unwrap();
        let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap().to_owned();
        server.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap()
    }

    fn agent_flags(actor: &str, tasks: &str, flags: &[&str]) -> Vec<String> {
        let fixed = ["agent", "--actor", actor, "--namespace", tasks, "--log-level", "trace", "--deny-cidrs", ""];
        let ports = ["--allowed-ports", "1-65535"];
        fixed.iter().chain(&ports).chain(flags).map(|arg| (*arg).to_owned()).collect()
    }

    /// The same with a kubeconfig that is there.
    pub fn agent_by(&self, kubeconfig: PathBuf, actor: &str, tasks: &str, flags: &[&str]) -> Operator {
        let log = self.dir().join(format!("agent-{}.log", uuid::Uuid::new_v4().simple()));
        Operator::agent(Self::agent_flags(actor, tasks, flags), kubeconfig, log)
    }
}
