//! Ten thousand `MailServer`s on one operator.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    account, auth, spec,
    support::{cluster::Cluster, stack::Stack},
};

const MANY: usize = 10_000;

#[tokio::test]
async fn ten_thousand_servers_are_checked_and_then_cost_nothing() {
    let (stack, cluster) = (Stack::get(), Cluster::new("fleet").await);
    account(&cluster, &stack, "fleet").await;
    let mut operator = cluster.operator_at("info", &["--max-checks", "64", "--max-checks-per-host", "64"]).await;
    let spec = spec(
        &stack,
        "SUBMISSION_PORT",
        "StartTLS",
        json!({"auth": auth(), "limits": {"connections": 64}, "verification": {"interval": "24h"}}),
    );
    let begun = Instant::now();
    cluster.fleet(MANY, &spec).await;
    println!("created after {:?}", begun.elapsed());
    let checked = cluster.fleet_ready(MANY, Duration::from_mins(30)).await;
    println!("{MANY} MailServers ready after {:?}; {} KiB resident", begun.elapsed(), operator.resident());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let writes = cluster.writes().len();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(cluster.writes().len(), writes, "writes though nothing was due");
    operator.kill();
    operator.start();
    let begun = Instant::now();
    cluster.until("ready", async || operator.get("/readyz").await.filter(|(code, _)| *code == 200)).await;
    println!("ready {:?} after a restart", begun.elapsed());
    cluster.until("leading", async || operator.leads().await.then_some(())).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    println!("{} KiB resident", operator.resident());
    assert_eq!(cluster.fleet_ids().await, checked, "a check that was not due");
}
