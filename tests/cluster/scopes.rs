//! The operator for the whole cluster, bound as the manifests bind it, and with each way to notice a changed Secret. All other tests
//! run it for one namespace each.

use std::{fs, time::Duration};

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};

use super::{
    account, auth,
    profiles::setting::{mailbox, relay},
    spec,
    support::{
        cluster::{Cluster, documents, is, root},
        plane::Plane,
        profiles::says,
        stack::Stack,
    },
};

/// With Get a changed Secret is noticed within 70 s.
const PATIENCE: Duration = Duration::from_secs(90);

/// Applies the manifests as a person would: all of them, as they stand.
async fn install(cluster: &Cluster) {
    let mut files: Vec<_> = fs::read_dir(root().join("deploy/operator")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for doc in files.iter().flat_map(|path| documents(&fs::read_to_string(path).unwrap())) {
        // Nobody runs pods here: the operator is a process beside it.
        if doc["kind"] != "Deployment" {
            let namespace = doc["metadata"]["namespace"].as_str().map(str::to_owned);
            cluster.apply_at(&doc, namespace.as_deref()).await;
        }
    }
}

/// What the account of the operator was forbidden.
fn forbidden(cluster: &Cluster) -> Vec<Value> {
    let log = fs::read_to_string(cluster.plane().join("audit.log")).unwrap();
    let ours = log.lines().filter(|line| line.contains("system:serviceaccount:mailverity-system:mailverity"));
    let requests = ours.map(|line| serde_json::from_str::<Value>(line).unwrap());
    requests.filter(|request| request["annotations"]["authorization.k8s.io/decision"] == "forbid").collect()
}

/// A server and a mailbox are verified, and a password that is changed is noticed, in two namespaces.
async fn works(stack: &Stack, namespaces: &[Cluster; 2], round: &str) {
    for cluster in namespaces {
        let user = account(cluster, stack, round).await;
        relay(cluster, stack, json!({"sender": {"address": user}})).await;
        cluster.server("other", spec(stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
        cluster.profile("box", mailbox(stack, &user, json!({}))).await;
        cluster.profile_within(PATIENCE, "box", round, |status| says(status, "Ready", "True", "CodeReceived")).await;
        cluster.status_within(PATIENCE, "other", round, |status| is(status, "Ready", "True", "Succeeded")).await;
        cluster.account("account", &user, &format!("wrong-{round}")).await;
    }
    for cluster in namespaces {
        cluster
            .status_within(PATIENCE, "other", "the wrong one is noticed", |status| {
                // Of two objects with one wrong password the second does not try it.
                is(status, "Ready", "False", "AuthenticationFailed") || is(status, "Ready", "False", "CredentialHeld")
            })
            .await;
    }
}

#[tokio::test]
async fn for_the_whole_cluster_it_needs_no_right_that_its_manifests_do_not_give_with_watch_and_with_get() {
    let (stack, plane) = (Stack::get(), Plane::up("scope").await);
    let namespaces = [Cluster::bare(plane.dir.clone(), "scope-a").await, Cluster::bare(plane.dir.clone(), "scope-b").await];
    let cluster = &namespaces[0];
    cluster.kinds().await;
    install(cluster).await;
    let flags = ["--receiver-namespace", "", "--max-checks-per-host", "8"];
    let mut operator = cluster.operator_of_all(&flags).await;
    works(&stack, &namespaces, "watch").await;
    assert!(operator.stop() < Duration::from_secs(10));

    let bindings: Api<ClusterRoleBinding> = Api::all(cluster.client.clone());
    bindings.delete("mailverity-watch", &DeleteParams::default()).await.unwrap();
    let operator = cluster.operator_of_all(&[&flags[..], &["--secrets-access", "Get"]].concat()).await;
    works(&stack, &namespaces, "get").await;
    operator.shows_no_secret().await;
    let forbidden = forbidden(cluster);
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}
