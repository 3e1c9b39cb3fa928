//! Restarts, leadership, idleness: nothing is lost, nothing is done twice, and nothing is done for nothing.

use std::time::Duration;

use serde_json::json;

use super::{
    account, auth, spec,
    support::{
        cluster::{Cluster, is},
        stack::Stack,
    },
};

#[tokio::test]
async fn a_restart_runs_no_check_that_is_not_due_and_idleness_writes_nothing() {
    let (stack, cluster) = (Stack::get(), Cluster::new("idle").await);
    account(&cluster, &stack, "idle").await;
    let mut operator = cluster.operator(&["--max-checks-per-host", "8"]).await;
    let names: Vec<String> = (0..10).map(|number| format!("relay-{number}")).collect();
    let mut ids = Vec::new();
    for name in &names {
        cluster.server(name, spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    }
    for name in &names {
        let status = cluster.condition(name, "Ready", "True", "Succeeded").await;
        ids.push(status.last_check.unwrap().id);
    }
    operator.kill();
    operator.start();
    cluster.until("ready again", async || operator.get("/readyz").await.filter(|(code, _)| *code == 200)).await;
    cluster.until("leading again", async || operator.leads().await.then_some(())).await;
    let writes = cluster.writes().len();
    tokio::time::sleep(Duration::from_secs(10)).await;
    for (name, id) in names.iter().zip(&ids) {
        assert_eq!(&cluster.status(name).await.last_check.unwrap().id, id, "{name} was checked again");
    }
    let more = &cluster.writes()[writes..];
    assert!(more.is_empty(), "writes though nothing was due: {more:#?}");
}

#[tokio::test]
async fn a_polite_stop_hands_over_within_two_seconds_and_a_kill_within_fifteen() {
    let (stack, cluster) = (Stack::get(), Cluster::new("leader").await);
    account(&cluster, &stack, "leader").await;
    let mut first = cluster.operator(&[]).await;
    cluster.until("the first leads", async || first.leads().await.then_some(())).await;
    let mut second = cluster.operator(&[]).await;
    cluster.until("the second is ready", async || second.get("/readyz").await.filter(|(code, _)| *code == 200)).await;
    assert!(!second.leads().await);
    assert!(first.stop() < Duration::from_secs(10));
    let begun = std::time::Instant::now();
    cluster.until("the second leads", async || second.leads().await.then_some(())).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    first.start();
    cluster.until("the first is ready", async || first.get("/readyz").await.filter(|(code, _)| *code == 200)).await;
    second.kill();
    let begun = std::time::Instant::now();
    cluster.until("the first leads again", async || first.leads().await.then_some(())).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
}

#[tokio::test]
async fn series_of_a_deleted_object_disappear_and_readiness_says_what_is_pending() {
    let (stack, cluster) = (Stack::get(), Cluster::new("metrics").await);
    account(&cluster, &stack, "metrics").await;
    let operator = cluster.operator(&[]).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert!(is(&status, "Verified", "True", "Succeeded"));
    let series = async || operator.get("/metrics").await.map(|(_, text)| text).unwrap_or_default();
    let text = cluster.until("series", async || Some(series().await).filter(|text| text.contains("name=\"relay\""))).await;
    for name in [
        "mailverity_condition",
        "mailverity_next_check_timestamp_seconds",
        "mailverity_check_stage_duration_seconds",
        "mailverity_tls_certificate_not_after_seconds",
        "mailverity_logins_total",
    ] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    assert_eq!(operator.get("/livez").await.unwrap().0, 200);
    cluster.servers().delete("relay", &kube::api::DeleteParams::default()).await.unwrap();
    cluster.until("no series of the deleted", async || (!series().await.contains("name=\"relay\"")).then_some(())).await;
}
