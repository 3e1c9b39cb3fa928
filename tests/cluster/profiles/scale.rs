//! Hundreds of profiles on one operator.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use kube::api::{ListParams, PostParams};
use mailverity::api::v1alpha1::EmailProfile;
use serde_json::json;

use super::setting::{RUN, logins, mailbox, many_mailboxes, relay, with};
use crate::support::{cluster::Cluster, profiles::says, stack::Stack};

/// Of each profile: its last run, and what its status says of it.
async fn runs(cluster: &Cluster) -> Vec<(String, String)> {
    let all = cluster.profiles().list(&ListParams::default()).await.unwrap().items;
    let verified = |profile: EmailProfile| {
        let status = profile.status.filter(|status| says(status, "Ready", "True", "CodeReceived"))?;
        Some((profile.metadata.name?, status.verification?.run_id))
    };
    let mut all: Vec<_> = all.into_iter().filter_map(verified).collect();
    all.sort();
    all
}

#[tokio::test]
async fn hundreds_of_profiles_are_verified_then_nothing_is_written_and_a_killed_operator_runs_none_again() {
    let is_soak = std::env::var_os("MAILVERITY_SOAK").is_some();
    let many = if is_soak { 500 } else { 100 };
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-scale").await);
    let users = many_mailboxes(&cluster, &stack, "profile-scale", many).await;
    let flags = [
        ["--max-new-at-once", "0"],
        ["--max-checks", "64"],
        ["--max-checks-per-host", "32"],
        ["--max-messages-per-hour", "100000"],
    ];
    let mut operator = cluster.operator_at("info", flags.as_flattened()).await;
    relay(
        &cluster,
        &stack,
        json!({"limits": {"messagesPerMinute": 1000, "connections": 16}, "verification": {"interval": "24h"}}),
    )
    .await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let before = operator.resident();
    let begun = Instant::now();
    let (api, verification) = (cluster.profiles(), json!({"senderRef": {"name": "relay"}, "interval": "24h", "timeout": "5m"}));
    let make = |(number, user): (usize, &String)| {
        let spec = with(mailbox(&stack, user, json!({})), &json!({"verification": verification}));
        let profile: EmailProfile =
            serde_json::from_value(json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "EmailProfile",
            "metadata": {"name": format!("box-{number:04}"), "namespace": cluster.namespace}, "spec": spec}))
            .unwrap();
        let api = api.clone();
        async move { api.create(&PostParams::default(), &profile).await.map(|_| ()).unwrap() }
    };
    stream::iter(users.iter().enumerate()).map(make).buffer_unordered(16).collect::<Vec<()>>().await;
    let end = Instant::now() + Duration::from_mins(5);
    let verified = loop {
        let verified = runs(&cluster).await;
        if verified.len() == many {
            break verified;
        }
        assert!(Instant::now() < end, "{} of {many} are verified", verified.len());
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let took = begun.elapsed();
    println!("{many} EmailProfiles verified after {took:?}; {} KiB resident, {before} KiB before", operator.resident());
    for (number, user) in users.iter().enumerate() {
        cluster.profile_left(&format!("box-{number:04}")).await;
        assert_eq!(stack.taken(user).into_values().collect::<Vec<_>>(), [1], "{user}");
        cluster.removed(&stack, user, RUN).await;
    }
    // Before the first, a writer's last words may be on their way to the log.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let sessions = || users.iter().map(|user| logins(&stack, user)).sum::<usize>();
    let (writes, connections) = (cluster.writes().len(), sessions());
    tokio::time::sleep(Duration::from_mins(1)).await;
    let more = &cluster.writes()[writes..];
    assert!(more.is_empty(), "{} writes in 60 s in which nothing was due: {:#?}", more.len(), more.first());
    assert_eq!(sessions(), connections, "a mailbox was opened though nothing was due");
    let resident = operator.resident();
    println!("0 writes beyond Leases and 0 logins in 60 s; {resident} KiB resident");
    // A build with debug assertions is no measure of a release; its order of magnitude is.
    let most = if is_soak { 40 } else { 120 };
    assert!(resident < most * 1024, "{resident} KiB");

    operator.kill();
    operator.start();
    cluster.until("leading again", async || operator.leads().await.then_some(())).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(runs(&cluster).await, verified, "a run that was not due");
    assert_eq!(sessions(), connections, "a login that was not due");
    assert!(cluster.writes()[writes..].is_empty(), "writes after the restart: {:#?}", cluster.writes()[writes..].first());
    for user in &users {
        assert_eq!(stack.taken(user).len(), 1, "{user}");
    }
}
