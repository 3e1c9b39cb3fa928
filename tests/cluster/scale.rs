//! A thousand `MailServers` on one operator.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    account, auth, spec,
    support::{cluster::Cluster, stack::Stack},
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
