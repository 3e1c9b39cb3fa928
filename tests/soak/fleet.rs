//! A fleet on one operator, and its growth: of a hundred, a thousand and ten thousand objects, four fifths `MailServers`, the others
//! `EmailProfiles` and `RoundTripPolicies`. The table that it prints is that of docs/performance.md.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use mailverity::api::v1alpha1::MailServer;
use serde_json::{Value, json};

use super::{
    auth,
    policies::setting::{domain, policy},
    profiles::setting::{mailbox, many_mailboxes, with},
    spec,
    support::{
        cluster::{Cluster, Operator},
        stack::Stack,
    },
};

/// As many requests at the same time as the operator's own.
const AT_ONCE: usize = 16;
const IDLE: Duration = Duration::from_mins(1);

/// How many there are of each kind.
struct Size {
    servers: usize,
    profiles: usize,
    policies: usize,
}

impl Size {
    fn of(all: usize) -> Self {
        Self { servers: all * 80 / 100, profiles: all * 15 / 100, policies: all * 5 / 100 }
    }

    fn all(&self) -> usize {
        self.servers + self.profiles + self.policies
    }
}

/// What was measured at one size.
#[derive(Default)]
struct Row {
    objects: usize,
    first_pass: f64,
    writes: usize,
    /// What the same writes alone take.
    writes_alone: f64,
    resident: u64,
    /// The most while two Prometheus servers scrape at the same time.
    scraped: u64,
    resident_restarted: u64,
    follower: u64,
    ready: f64,
    failover: f64,
}

struct Fleet {
    stack: Stack,
    cluster: Cluster,
    size: Size,
    /// The ids of the last check, run and probe, by name.
    done: BTreeMap<String, String>,
}

/// Makes objects of a kind.
async fn make<K>(api: &Api<K>, kind: &str, objects: Vec<(String, Value)>)
where
    K: serde::de::DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    let create = |(name, spec): (String, Value)| {
        let object = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let object: K = serde_json::from_value(object).unwrap();
        async move { api.create(&PostParams::default(), &object).await.map(|_| ()) }
    };
    stream::iter(objects).map(create).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.unwrap();
}

fn flags(receivers: &str) -> Vec<&str> {
    [
        ["--receiver-namespace", receivers],
        ["--max-new-at-once", "0"],
        ["--max-checks", "64"],
        ["--max-checks-per-host", "64"],
        ["--max-messages-per-hour", "1000000"],
        ["--max-messages-per-recipient-per-hour", "1000000"],
    ]
    .concat()
}

impl Fleet {
    async fn make(&self) {
        let (stack, cluster) = (&self.stack, &self.cluster);
        let users = many_mailboxes(cluster, stack, "fleet", self.size.profiles.max(1)).await;
        let limits = json!({"limits": {"messagesPerMinute": 10000, "connections": 64}, "verification": {"interval": "24h"}});
        let server = spec(stack, "SUBMISSION_PORT", "StartTLS", with(json!({"auth": auth()}), &limits));
        let name = |number: usize| if number == 0 { "relay".to_owned() } else { format!("relay-{number:05}") };
        make(&cluster.servers(), "MailServer", (0..self.size.servers).map(|number| (name(number), server.clone())).collect())
            .await;
        let verification = json!({"verification": {"senderRef": {"name": "relay"}, "interval": "24h", "timeout": "10m"}});
        let profile = |(number, user): (usize, &String)| (format!("box-{number:05}"), mailbox(stack, user, verification.clone()));
        make(&cluster.profiles(), "EmailProfile", users.iter().take(self.size.profiles).enumerate().map(profile).collect()).await;
        let trip = policy(json!({"to": "vacation@remote.test", "expect": "OutOfOffice", "interval": "24h", "timeout": "10m"}));
        let policies = (0..self.size.policies).map(|number| (format!("echo-{number:05}"), trip.clone()));
        make(&cluster.policies(), "RoundTripPolicy", policies.collect()).await;
    }

    /// Waits until the operator's own metrics say that all are Ready.
    async fn ready(&self, operator: &Operator, all: usize) {
        let end = Instant::now() + Duration::from_mins(40);
        loop {
            let (_, text) = operator.get("/metrics").await.unwrap_or_default();
            let ready = text.lines().filter(|line| {
                line.starts_with("mailverity_condition{")
                    && line.contains("type=\"Ready\"")
                    && line.contains("status=\"True\"")
                    && line.ends_with(" 1")
            });
            let good = ready.count();
            if good >= all {
                return;
            }
            assert!(Instant::now() < end, "{good} of {all} are Ready");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// What was done last for each object, and when the last became Ready.
    async fn done(&self) -> (BTreeMap<String, String>, Timestamp) {
        let all = ListParams::default();
        let (mut ids, mut last) = (BTreeMap::new(), Timestamp::MIN);
        let mut note = |name: Option<String>, id: Option<String>, status: Value| {
            let ready = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready").unwrap().clone();
            assert_eq!(ready["status"], "True", "{name:?}: {ready}");
            last = last.max(ready["lastTransitionTime"].as_str().unwrap().parse().unwrap());
            ids.insert(name.unwrap(), id.unwrap());
        };
        for server in self.cluster.servers().list(&all).await.unwrap() {
            let status = server.status.unwrap();
            let id = status.last_check.as_ref().map(|check| check.id.clone());
            note(server.metadata.name, id, serde_json::to_value(&status).unwrap());
        }
        for profile in self.cluster.profiles().list(&all).await.unwrap() {
            let status = profile.status.unwrap();
            let id = status.verification.as_ref().map(|run| run.run_id.clone());
            note(profile.metadata.name, id, serde_json::to_value(&status).unwrap());
        }
        for policy in self.cluster.policies().list(&all).await.unwrap() {
            let status = policy.status.unwrap();
            let id = status.history.first().map(|row| row.id.clone());
            note(policy.metadata.name, id, serde_json::to_value(&status).unwrap());
        }
        (ids, last)
    }

    /// Nothing was checked, run or probed since.
    async fn assert_nothing_more(&self) {
        let (now, _) = self.done().await;
        let again: Vec<_> = now.iter().filter(|(name, id)| self.done.get(*name) != Some(id)).collect();
        assert!(again.is_empty(), "not due, and done: {again:?}");
    }

    /// How long so many writes of such statuses take that nothing but the API server has to do with.
    async fn writes_alone(&self, writes: usize) -> f64 {
        let servers: Vec<_> = self.cluster.servers().list(&ListParams::default()).await.unwrap().items;
        let sample = servers.len().min(1000);
        let api = self.cluster.servers();
        let how = PatchParams::apply("beside").force();
        let write = |server: MailServer| {
            let (name, status) = (server.metadata.name.unwrap(), serde_json::to_value(server.status).unwrap());
            let status = with(status, &json!({"lastHandledVerifyRequest": "beside"}));
            let patch = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer", "status": status});
            let (api, how) = (api.clone(), how.clone());
            async move { api.patch_status(&name, &how, &Patch::Apply(&patch)).await.map(|_| ()) }
        };
        let begun = Instant::now();
        stream::iter(servers.into_iter().take(sample))
            .map(write)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await
            .unwrap();
        #[allow(clippy::cast_precision_loss)] // for people
        let share = writes as f64 / sample as f64;
        begun.elapsed().as_secs_f64() * share
    }
}

async fn ready_again(cluster: &Cluster, operator: &Operator) -> f64 {
    let begun = Instant::now();
    cluster.until("ready", async || operator.get("/readyz").await.filter(|(code, _)| *code == 200)).await;
    begun.elapsed().as_secs_f64()
}

async fn leads_after(cluster: &Cluster, operator: &Operator) -> f64 {
    let begun = Instant::now();
    cluster.until("leading", async || operator.leads().await.then_some(())).await;
    begun.elapsed().as_secs_f64()
}

/// The most memory in KiB while two Prometheus servers scrape at the same time.
async fn scraped(operator: &Operator) -> u64 {
    operator.forget_peak();
    let scrape = || operator.get_with("/metrics", "Accept-Encoding: gzip\r\n");
    let (first, second) = tokio::join!(scrape(), scrape());
    assert!(first.is_some() && second.is_some());
    operator.peak()
}

async fn measure(all: usize) -> Row {
    let size = Size::of(all);
    let (stack, cluster) = (Stack::get(), Cluster::new(&format!("fleet-{all}")).await);
    let receivers = cluster.receivers().await;
    let flags = flags(&receivers.namespace);
    cluster.ca(&stack.ca()).await;
    cluster.mail_receiver("inbound", receivers.spec(&domain(&receivers), json!({}))).await;
    let _receiver = receivers.start(&cluster, "receiver-1", &["--log-level", "info"]);
    let mut fleet = Fleet { stack, cluster, size, done: BTreeMap::new() };
    fleet.make().await;
    let before = fleet.cluster.writes().len();
    let mut row = Row { objects: fleet.size.all(), ..Row::default() };

    let (begun, clock) = (Timestamp::now(), Instant::now());
    let mut operator = fleet.cluster.operator_at("info", &flags).await;
    // The receiver's object as well.
    fleet.ready(&operator, row.objects + 1).await;
    let (done, last) = fleet.done().await;
    fleet.done = done;
    row.first_pass = last.duration_since(begun).as_secs_f64().min(clock.elapsed().as_secs_f64());
    tokio::time::sleep(Duration::from_secs(5)).await;
    row.writes = fleet.cluster.writes().len() - before;
    println!("{}: first pass {:.1} s with {} writes", row.objects, row.first_pass, row.writes);

    let quiet = fleet.cluster.writes().len();
    tokio::time::sleep(IDLE).await;
    let more = fleet.cluster.writes().len() - quiet;
    assert_eq!(more, 0, "writes though nothing was due");
    row.resident = operator.resident();
    row.scraped = scraped(&operator).await;

    operator.kill();
    operator.start();
    row.ready = ready_again(&fleet.cluster, &operator).await;
    leads_after(&fleet.cluster, &operator).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    row.resident_restarted = operator.resident();
    fleet.assert_nothing_more().await;

    let second = fleet.cluster.operator_at("info", &flags).await;
    ready_again(&fleet.cluster, &second).await;
    row.follower = second.resident();
    operator.kill();
    row.failover = leads_after(&fleet.cluster, &second).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    fleet.assert_nothing_more().await;
    assert_eq!(fleet.cluster.writes().len(), quiet, "writes though nothing was due");
    drop(second);
    row.writes_alone = fleet.writes_alone(row.writes).await;
    row
}

fn print(rows: &[Row]) {
    println!(
        "| objects | first pass | writes | the same writes alone | ratio | resident | while two scrape | after a restart | as follower | ready | leads after a kill |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    #[allow(clippy::cast_precision_loss)] // for people
    let mib = |kib: u64| kib as f64 / 1024.0;
    for row in rows {
        println!(
            "| {} | {:.1} s | {} | {:.1} s | {:.2} | {:.1} MiB | {:.1} MiB | {:.1} MiB | {:.1} MiB | {:.2} s | {:.1} s |",
            row.objects,
            row.first_pass,
            row.writes,
            row.writes_alone,
            row.first_pass / row.writes_alone,
            mib(row.resident),
            mib(row.scraped),
            mib(row.resident_restarted),
            mib(row.follower),
            row.ready,
            row.failover,
        );
    }
}

#[tokio::test]
async fn a_fleet_is_verified_and_then_costs_nothing_also_after_a_restart_and_a_failover() {
    let sizes = std::env::var("MAILVERITY_SOAK_FLEET").unwrap_or_else(|_| "100,1000,10000".to_owned());
    let mut rows = Vec::new();
    for size in sizes.split(',') {
        rows.push(measure(size.parse().unwrap()).await);
        print(&rows);
    }
    for row in rows {
        let ratio = row.first_pass / row.writes_alone;
        assert!(ratio <= 1.3, "{} objects: a pass of {ratio:.2} times its writes", row.objects);
        assert!(row.resident < 80 * 1024, "{} objects: {} KiB", row.objects, row.resident);
        assert!(row.ready < 3.0 && row.failover < 15.0, "{} objects: {} s and {} s", row.objects, row.ready, row.failover);
    }
}
