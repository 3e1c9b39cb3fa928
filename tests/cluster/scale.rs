//! A thousand `MailServers` on one operator, and one among thousands of other people's Secrets.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{
    account, auth, spec,
    support::{
        cluster::{Cluster, Operator},
        stack::Stack,
    },
};

const MANY: usize = 1000;

#[tokio::test]
async fn a_thousand_servers_are_checked_then_nothing_is_written_and_a_killed_operator_checks_none_again() {
    let (stack, cluster) = (Stack::get(), Cluster::new("scale").await);
    let user = account(&cluster, &stack, "scale").await;
    let mut operator = cluster.operator_at("info", &["--max-checks", "64", "--max-checks-per-host", "64"]).await;
    let spec = spec(
        &stack,
        "SUBMISSION_PORT",
        "StartTLS",
        json!({"auth": auth(), "limits": {"connections": 64}, "verification": {"interval": "24h"}}),
    );
    let begun = Instant::now();
    cluster.fleet(MANY, &spec).await;
    let checked = cluster.fleet_ready(MANY, Duration::from_mins(4)).await;
    println!("{MANY} MailServers ready after {:?}; {} KiB resident", begun.elapsed(), operator.resident());
    // Before the first, a writer's last words may be on their way to the log.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let (writes, logins) = (cluster.writes().len(), stack.log("POSTFIX_LOG", &[&user]));
    tokio::time::sleep(Duration::from_mins(1)).await;
    let more = &cluster.writes()[writes..];
    assert!(more.is_empty(), "{} writes in 60 s in which nothing was due: {:#?}", more.len(), more.first());
    println!("0 writes beyond Leases in 60 s; {} KiB resident", operator.resident());

    operator.kill();
    operator.start();
    let led = Instant::now();
    cluster.until("leading again", async || operator.leads().await.then_some(())).await;
    println!("leads again after {:?}", led.elapsed());
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(cluster.fleet_ids().await, checked, "a check that was not due");
    assert_eq!(stack.log("POSTFIX_LOG", &[&user]), logins, "a login that was not due");
    assert!(cluster.writes()[writes..].is_empty(), "writes after the restart: {:#?}", cluster.writes()[writes..].first());
}

/// By how many KiB the operator may grow for Secrets that nobody refers to: what a list of them takes while it is read.
const ROOM: u64 = 4096;

/// Makes so many Secrets, or changes them.
async fn foreign(cluster: &Cluster, many: usize, value: &str) {
    let secrets: Api<Secret> = cluster.secrets();
    let write = |number: usize| {
        let name = format!("foreign-{number:05}");
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"value": value.repeat(200)}});
        let secrets = secrets.clone();
        async move {
            if value == "a" {
                secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.map(|_| ())
            } else {
                secrets.patch(&name, &PatchParams::default(), &Patch::Merge(secret)).await.map(|_| ())
            }
        }
    };
    stream::iter(0..many).map(write).buffer_unordered(16).try_collect::<Vec<()>>().await.unwrap();
}

/// Everything that was written before has been heard by the operator: a Secret that it uses is changed, and noticed.
async fn heard(cluster: &Cluster, user: &str) {
    cluster.account("account", user, &format!("wrong-{}", uuid::Uuid::new_v4().simple())).await;
    cluster.condition("relay", "Authenticated", "False", "AuthenticationFailed").await;
}

async fn data_after(cluster: &Cluster, operator: &Operator, user: &str, password: &str) -> u64 {
    heard(cluster, user).await;
    cluster.account("account", user, password).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    operator.resident_data()
}

#[tokio::test]
async fn thousands_of_foreign_secrets_cost_no_memory() {
    let many = if std::env::var_os("MAILVERITY_SOAK").is_some() { 20_000 } else { 3000 };
    let (stack, cluster) = (Stack::get(), Cluster::new("foreign").await);
    let user = account(&cluster, &stack, "foreign").await;
    let password = crate::support::leaks::password("foreign");
    let mut operator = cluster.operator_at("info", &[]).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let before = data_after(&cluster, &operator, &user, &password).await;
    foreign(&cluster, many, "a").await;
    let with = data_after(&cluster, &operator, &user, &password).await;
    foreign(&cluster, many, "b").await;
    let changed = data_after(&cluster, &operator, &user, &password).await;
    operator.kill();
    operator.start();
    cluster.until("leading again", async || operator.leads().await.then_some(())).await;
    let restarted = data_after(&cluster, &operator, &user, &password).await;
    println!("{before} KiB; {with} with {many} Secrets, {changed} once they have changed, {restarted} after a restart");
    for now in [with, changed, restarted] {
        assert!(now < before + ROOM, "{before} KiB without foreign Secrets, {now} with {many}");
    }
}
