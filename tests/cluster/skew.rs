//! An operator and an agent of different versions, and objects that a newer schema let in: whoever does not understand says so, and
//! everything else goes on. The other version is played by the test.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::Lease, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::ApiResource,
};
use mailverity::{
    api::v1alpha1::{Actor, ActorTask, MailServerStatus},
    verify::task::{LEASE, PRESENCE},
};
use serde_json::{Value, json};

use super::{
    account, auth, spec,
    support::{
        cluster::{Cluster, is, message},
        plane::Plane,
        stack::Stack,
    },
};

/// Widens the schema of a kind, as a newer version would: one more value of an enum there, and one more field in the spec.
async fn widen(cluster: &Cluster, kind: &str, path: &str, value: &str) {
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let name = format!("{kind}.mailverity.dev");
    let mut definition = serde_json::to_value(definitions.get(&name).await.unwrap()).unwrap();
    let mut version = definition["spec"]["versions"][0].take();
    let schema = &mut version["schema"]["openAPIV3Schema"];
    let values = schema.pointer_mut(&format!("{path}/enum")).and_then(Value::as_array_mut).unwrap();
    values.push(json!(value));
    schema["properties"]["spec"]["properties"]["tomorrow"] = json!({"type": "string"});
    let newer = Patch::Merge(json!({"spec": {"versions": [version]}}));
    definitions.patch(&name, &PatchParams::default(), &newer).await.unwrap();
    let known = async || {
        let now = serde_json::to_value(definitions.get(&name).await.ok()?).ok()?;
        let taken =
            now.pointer(&format!("/spec/versions/0/schema/openAPIV3Schema{path}/enum"))?.as_array()?.contains(&json!(value));
        let served = now["status"]["conditions"].as_array()?.iter().any(|c| c["type"] == "Established" && c["status"] == "True");
        (taken && served).then_some(())
    };
    cluster.until("the newer schema is in force", known).await;
}

fn actor(cluster: &Cluster, name: &str, more: &Value) -> Value {
    let mut spec = json!({"operator": cluster.namespace, "allowedNamespaces": {"from": "All"}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "Actor", "metadata": {"name": name}, "spec": spec})
}

/// Applies what the newer schema lets in, as soon as the API server goes by it.
async fn apply_newer(cluster: &Cluster, manifest: &Value, namespace: Option<&str>) {
    let taken = async || cluster.try_apply(manifest, namespace).await.ok();
    cluster.until("it is taken", taken).await;
}

#[tokio::test]
async fn objects_of_a_newer_schema_are_told_so_and_stop_nothing_else() {
    let (stack, plane) = (Stack::get(), Plane::up("skew").await);
    let cluster = Cluster::bare(plane.dir.clone(), "skew").await;
    cluster.kinds().await;
    widen(&cluster, "mailservers", "/properties/spec/properties/security", "Quantum").await;
    widen(&cluster, "actors", "/properties/spec/properties/mode", "Relay").await;
    widen(&cluster, "actortasks", "/properties/spec/properties/endpoint/properties/security", "Quantum").await;
    account(&cluster, &stack, "skew").await;

    // They are there before anybody looks, so that each list has one.
    let tasks = format!("{}-tasks", cluster.namespace);
    cluster.agent_rights("dmz", &tasks).await;
    let near = json!({"mode": "Agent", "taskNamespace": tasks, "tomorrow": "x"});
    apply_newer(&cluster, &actor(&cluster, "dmz", &near), None).await;
    apply_newer(&cluster, &actor(&cluster, "newer", &json!({"mode": "Relay"})), None).await;
    let newer = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer", "metadata": {"name": "newer"},
        "spec": {"host": "smtp.example.test", "port": 25, "security": "Quantum"}});
    apply_newer(&cluster, &newer, Some(&cluster.namespace)).await;
    // Of a person at a shell, whose tasks the operator leaves alone for a while.
    let task = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "ActorTask",
        "metadata": {"name": "newer", "labels": {"mailverity.dev/probe": "true"}},
        "spec": {"protocol": 1, "actor": "dmz", "object": "MailServer a/b", "run": "r", "tomorrow": "x",
            "endpoint": {"host": "a.example.test", "port": 25, "security": "Quantum", "user": "", "timeoutMillis": 1000},
            "server": {"level": "Connect"}}});
    apply_newer(&cluster, &task, Some(&tasks)).await;

    let operator = cluster.operator(&["--name", &cluster.namespace]).await;
    let agent = cluster.agent("dmz", &tasks, &[]).await;
    let actors = json!({"verification": {"actors": [{"name": "default"}, {"name": "dmz"}]}, "tomorrow": "x"});
    let mut whole = spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}));
    whole.as_object_mut().unwrap().extend(actors.as_object().unwrap().clone());
    cluster.server("ours", whole).await;
    let both = |status: &MailServerStatus| status.actors.len() == 2 && is(status, "Ready", "True", "Succeeded");
    cluster.status_when("ours", "both actors do their work", both).await;

    let told = cluster.condition_of_newer().await;
    assert!(told.contains("Quantum"), "{told}");
    let relay: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &ApiResource::erase::<Actor>(&()));
    let condition = async || {
        let data = relay.get("newer").await.ok()?.data;
        let conditions = data["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|c| c["type"] == "Ready" && c["reason"] == "SpecInvalid")
    };
    let condition = cluster.until("the newer actor is told so", condition).await;
    assert!(condition["message"].as_str().unwrap().contains("Relay"), "{condition}");
    // Once each, whatever else happens.
    let warnings = |log: &str, words: &str| log.lines().filter(|line| line.contains("WARN") && line.contains(words)).count();
    assert_eq!(warnings(&agent.log(), "is left alone"), 1, "the task");
    assert_eq!(warnings(&operator.log(), "actor=\"newer\""), 1, "the actor");
    operator.shows_no_secret().await;
}

impl Cluster {
    /// What a `MailServer` named newer, which this version cannot read, says of itself.
    async fn condition_of_newer(&self) -> String {
        let resource = ApiResource::erase::<mailverity::api::v1alpha1::MailServer>(&());
        let servers: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let told = async || {
            let data = servers.get("newer").await.ok()?.data;
            let conditions = data["status"]["conditions"].as_array()?.clone();
            let ready = conditions.into_iter().find(|c| c["type"] == "Ready" && c["reason"] == "SpecInvalid")?;
            Some(ready["message"].as_str()?.to_owned())
        };
        self.until("the newer object is told so", told).await
    }

    /// A sign of life of an agent that says this of itself.
    async fn beats(&self, namespace: &str, about: &Value) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let now = format!("{:.6}", Timestamp::now());
        let lease = json!({"metadata": {"annotations": {PRESENCE: about.to_string()}},
            "spec": {"holderIdentity": "played_1", "renewTime": now, "leaseDurationSeconds": 30}});
        leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(lease)).await.unwrap();
    }
}

/// A server that is checked by the agent that the test plays, which says this of itself; what comes of it. With `answer` a task is
/// given that for a status.
async fn checked_by(test: &str, about: Value, answer: Option<Value>) -> MailServerStatus {
    let (stack, plane) = (Stack::get(), Plane::up(test).await);
    let cluster = Cluster::bare(plane.dir.clone(), test).await;
    cluster.kinds().await;
    widen(&cluster, "actortasks", "/properties/status/properties/phase", "Pondering").await;
    account(&cluster, &stack, test).await;
    let tasks = format!("{}-tasks", cluster.namespace);
    cluster.actor("dmz", &tasks).await;
    let _operator = cluster.operator(&["--name", &cluster.namespace]).await;
    let rest = json!({"auth": auth(), "verification": {"actors": [{"name": "dmz"}]}});
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", rest)).await;
    let all: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &tasks, &ApiResource::erase::<ActorTask>(&()));
    let end = tokio::time::Instant::now() + Duration::from_secs(100);
    loop {
        cluster.beats(&tasks, &about).await;
        if let Some(answer) = &answer {
            for task in all.list(&ListParams::default()).await.unwrap().items.iter().filter(|task| task.data["status"].is_null())
            {
                let status = Patch::Merge(json!({"status": answer}));
                all.patch_status(&task.name_any(), &PatchParams::default(), &status).await.ok();
            }
        }
        let status = cluster.status("relay").await;
        if is(&status, "Ready", "False", "AgentIncompatible") {
            return status;
        }
        assert!(tokio::time::Instant::now() < end, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn an_agent_of_an_older_protocol_is_given_nothing_and_its_version_is_told() {
    let status = checked_by("skew-protocol", json!({"version": "0.0.9", "protocol": 0}), None).await;
    let told = message(&status, "Ready");
    assert!(told.contains("protocol 0") && told.contains("of version 0.0.9") && told.contains("upgrade"), "{told}");
}

#[tokio::test]
async fn a_task_that_an_agent_of_another_version_does_not_take_is_told_with_both_versions() {
    let status = checked_by("skew-behind", json!({"version": "0.0.9"}), None).await;
    let (told, ours) = (message(&status, "Ready"), env!("CARGO_PKG_VERSION"));
    assert!(told.contains("of version 0.0.9") && told.contains(&format!("of version {ours}")), "{told}");
    assert!(told.contains("did not take the task"), "{told}");
}

#[tokio::test]
async fn an_answer_of_a_newer_agent_that_cannot_be_read_is_told_so() {
    let answer = json!({"phase": "Pondering", "claimedBy": "played_1"});
    let status = checked_by("skew-ahead", json!({"version": "9.9.9", "protocol": 7}), Some(answer)).await;
    let told = message(&status, "Ready");
    assert!(told.contains("cannot be read") && told.contains("of version 9.9.9") && told.contains("upgrade"), "{told}");
}
