//! Two hundred policies with a probe a minute each, for ten minutes; and what is asked of policies in the cluster's tests, longer: a
//! hundred kills of each sort.

#[path = "../cluster/policies/crashes.rs"]
mod crashes;
#[path = "../cluster/policies/kills.rs"]
mod kills;
#[path = "../cluster/policies/setting.rs"]
#[allow(dead_code)] // the cluster's tests use all of it
pub mod setting;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, ResourceExt,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use mailverity::{
    api::v1alpha1::{RoundTripPolicy, RoundTripPolicyStatus},
    verify::schedule::next_slot,
};
use serde_json::json;

use super::support::{
    cluster::{Cluster, Operator},
    stack::Stack,
};

const MANY: usize = 200;
const INTERVAL: Duration = Duration::from_mins(1);
/// How far a probe may be from its phase.
const PHASE: SignedDuration = SignedDuration::from_secs(1);
/// By how many KiB a process may grow behind its second minute: budgets remember each mail of an hour.
const GROWTH: u64 = 4096;

/// A probe, as the watch has shown it.
#[derive(Debug, Default)]
struct Probe {
    claimed: Option<Timestamp>,
    sent: Option<Timestamp>,
    result: Option<String>,
}

/// The probes of each policy, by its UID, in the order of their claims.
type Seen = Arc<Mutex<HashMap<String, BTreeMap<String, Probe>>>>;

/// Notes all that is told of probes.
async fn follow(policies: Api<RoundTripPolicy>, seen: Seen) {
    let mut events = std::pin::pin!(watcher(policies, watcher::Config::default()).default_backoff().applied_objects());
    while let Some(policy) = events.try_next().await.transpose() {
        let Ok(policy) = policy else { continue };
        let (uid, status) = (policy.uid().unwrap(), policy.status.unwrap_or_default());
        note(seen.lock().unwrap().entry(uid).or_default(), &status);
    }
}

fn note(probes: &mut BTreeMap<String, Probe>, status: &RoundTripPolicyStatus) {
    if let Some(flying) = &status.in_flight {
        let probe = probes.entry(flying.id.clone()).or_default();
        probe.claimed.get_or_insert(flying.claimed_at.0);
        probe.sent = flying.sent_at.as_ref().map(|sent| sent.0);
    }
    for row in &status.history {
        probes.entry(row.id.clone()).or_default().result = Some(row.result.clone());
    }
}

/// What is at the share of these.
fn at(sorted: &[SignedDuration], share: usize) -> f64 {
    sorted.get((sorted.len().saturating_sub(1)) * share / 100).map_or(f64::NAN, SignedDuration::as_secs_f64)
}

/// How far the probes are from their phases, and whether one was skipped. Prints it, and how far they are when their server has them.
fn assert_in_phase(seen: &HashMap<String, BTreeMap<String, Probe>>, until: Timestamp) {
    let (mut claimed, mut sent, mut counts) = (Vec::new(), Vec::new(), BTreeMap::<usize, usize>::new());
    let (mut skipped, mut failed) = (Vec::new(), Vec::new());
    for (uid, probes) in seen {
        let mut probes: Vec<(&String, &Probe)> = probes.iter().collect();
        probes.sort_by_key(|(_, probe)| probe.claimed);
        assert!(probes.iter().all(|(_, probe)| probe.claimed.is_some()), "a claim that the watch did not show: {probes:?}");
        *counts.entry(probes.len()).or_default() += 1;
        failed.extend(
            probes.iter().filter(|(_, probe)| probe.result.as_deref() != Some("Succeeded")).map(|(id, probe)| (*id, *probe)),
        );
        let slot = |probe: &Probe| next_slot(probe.claimed.unwrap() - INTERVAL, uid, INTERVAL);
        // The first is sent at once.
        let phased: Vec<&Probe> = probes.iter().skip(1).map(|(_, probe)| *probe).collect();
        for probe in &phased {
            claimed.push(probe.claimed.unwrap().duration_since(slot(probe)));
            sent.extend(probe.sent.map(|sent| sent.duration_since(slot(probe))));
        }
        let slots: Vec<Timestamp> = phased.iter().map(|probe| slot(probe)).collect();
        skipped.extend(
            slots.windows(2).filter(|two| two[1].duration_since(two[0]) != SignedDuration::from_mins(1)).map(<[_]>::to_vec),
        );
        // Its second comes in the second minute at the latest, and its last in the last.
        let last = slots.last().expect("more than one probe");
        assert!(until.duration_since(*last) < SignedDuration::from_secs(62), "nothing after {last}");
    }
    claimed.sort_unstable();
    sent.sort_unstable();
    println!("probes of a policy: {counts:?} (how many: of how many policies)");
    for (what, times) in [("claimed", &claimed), ("sent", &sent)] {
        let [median, most, last] = [50, 99, 100].map(|share| at(times, share));
        println!("{what} {median:.3} s behind its slot (median), {most:.3} s (p99), {last:.3} s at the most, of {}", times.len());
    }
    println!("skipped: {}; not Succeeded: {}", skipped.len(), failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(skipped.is_empty(), "{skipped:?}");
    assert!(claimed.iter().all(|late| *late < PHASE), "a probe is out of phase");
}

#[tokio::test]
async fn two_hundred_policies_keep_their_phase_for_ten_minutes() {
    let minutes = std::env::var("MAILVERITY_SOAK_MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(10_u32);
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-minutes").await);
    let receivers = cluster.receivers().await;
    let flags = [
        ["--receiver-namespace", receivers.namespace.as_str()],
        ["--max-messages-per-recipient-per-hour", "10000"],
        ["--max-messages-per-hour", "10000"],
        ["--max-checks-per-host", "8"],
    ];
    let operator = cluster.operator_at("info", flags.as_flattened()).await;
    let limits = json!({"limits": {"messagesPerMinute": 1000, "connections": 8}, "verification": {"interval": "24h"}});
    let receiver = setting::receiver_and(&cluster, &stack, &receivers, limits, &["--log-level", "info"]).await;
    let seen = Seen::default();
    let following = tokio::spawn(follow(cluster.policies(), Arc::clone(&seen)));

    let spec = setting::policy(json!({
        "to": "vacation@remote.test", "expect": "OutOfOffice", "interval": "1m", "timeout": "50s", "historyLimit": 50,
    }));
    let create = |number: usize| {
        let object = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "RoundTripPolicy",
            "metadata": {"name": format!("echo-{number:03}")}, "spec": spec});
        let (api, object): (_, RoundTripPolicy) = (cluster.policies(), serde_json::from_value(object).unwrap());
        async move { api.create(&PostParams::default(), &object).await.map(|_| ()) }
    };
    stream::iter(0..MANY).map(create).buffer_unordered(16).try_collect::<Vec<()>>().await.unwrap();

    let begun = Instant::now();
    let mut resident = Vec::new();
    for minute in 1..=minutes {
        tokio::time::sleep((INTERVAL * minute).saturating_sub(begun.elapsed())).await;
        let now = [&operator, &receiver].map(Operator::resident);
        println!("minute {minute}: operator {} KiB, receiver {} KiB", now[0], now[1]);
        resident.push(now);
    }
    // Those that were on their way come to their end; what begins from here on is not counted.
    let until = Timestamp::now();
    let counts = |probe: &Probe| probe.claimed.is_none_or(|claimed| claimed <= until);
    let settled = async || {
        let seen = seen.lock().unwrap();
        seen.values().flat_map(BTreeMap::values).all(|probe| probe.result.is_some() || !counts(probe)).then_some(())
    };
    cluster.until("each is settled", settled).await;
    cluster.until("what was taken is gone", async || receivers.replies().await.is_empty().then_some(())).await;
    following.abort();

    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    for probes in seen.values_mut() {
        probes.retain(|_, probe| counts(probe));
    }
    assert_eq!(seen.len(), MANY);
    let probes: usize = seen.values().map(BTreeMap::len).sum();
    let mut writes = BTreeMap::<String, usize>::new();
    for write in cluster.writes() {
        let (verb, on) = (write["verb"].as_str().unwrap(), &write["objectRef"]);
        let part = on["subresource"].as_str().map(|part| format!("/{part}")).unwrap_or_default();
        *writes.entry(format!("{verb} {}{part}", on["resource"].as_str().unwrap())).or_default() += 1;
    }
    #[allow(clippy::cast_precision_loss)] // for people
    let share = writes.values().sum::<usize>() as f64 / probes as f64;
    println!("{probes} probes; the operator wrote {share:.2} times for each, all else included: {writes:?}");
    assert_in_phase(&seen, until);
    for (which, who) in ["operator", "receiver"].into_iter().enumerate() {
        let (second, last) = (resident[1.min(resident.len() - 1)][which], resident[resident.len() - 1][which]);
        assert!(last < second + GROWTH, "the {who} grew from {second} to {last} KiB");
    }
    let mails = stack.taken("vacation@remote.test");
    assert!(mails.values().all(|count| *count == 1), "a probe was submitted twice");
}
