//! Ten minutes of a schedule of one minute.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    account, auth, spec,
    support::{cluster::Cluster, stack::Stack},
};

#[tokio::test]
async fn a_check_a_minute_for_ten_minutes_keeps_its_phase() {
    let (stack, cluster) = (Stack::get(), Cluster::new("schedule").await);
    account(&cluster, &stack, "schedule").await;
    let _operator = cluster.operator_at("info", &[]).await;
    cluster
        .server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth(), "verification": {"interval": "1m"}})))
        .await;
    let mut times = BTreeSet::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_mins(10) {
        let started = cluster.status("relay").await.last_check.and_then(|check| check.started_at);
        times.extend(started.map(|time| time.0.as_second()));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // The first runs at once; the others stand in one phase.
    let phases: BTreeSet<i64> = times.iter().skip(1).map(|second| second.rem_euclid(60)).collect();
    println!("{} checks in ten minutes, at second {phases:?} of their minute", times.len());
    assert!((10..=11).contains(&times.len()), "{times:?}");
    assert!(phases.last().unwrap() - phases.first().unwrap() <= 2, "the phase drifts: {phases:?}");
}
