//! Three operators, of which one leads: the leader is killed, frozen for longer than its Lease, robbed of it, or cut from the API
//! server, again and again, while runs of profiles and probes of policies are asked for. No mail is submitted twice, and each run
//! and each probe is settled.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use mailverity::api::v1alpha1::{EmailProfileStatus, RoundTripPolicyStatus};
use serde_json::json;
use uuid::Uuid;

use super::{
    policies::setting::away,
    profiles::setting::{concluded, mailbox, many_mailboxes, open_relay},
    support::{
        api::ApiProxy,
        cluster::{Cluster, Operator, signal},
        policies::results,
        profiles::says,
        stack::Stack,
    },
};

/// How long a Lease holds here.
const LEASE: Duration = Duration::from_secs(3);
/// A run's time, and that of two changes of the leader.
const PATIENCE: Duration = Duration::from_mins(3);
/// Whom the probes go to.
const TO: &str = "vacation@remote.test";
/// What the mail of a profile may come to whose leader was lost. `MessageNotReceived`: it was claimed and never left.
const RUNS: [&str; 3] = ["CodeReceived", "MessageNotReceived", "DeliveryUncertain"];
/// The same of a policy.
const PROBES: [&str; 3] = ["Succeeded", "ProbeLost", "DeliveryUncertain"];

/// What befalls the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Blow {
    /// kill -9.
    Killed,
    /// SIGSTOP, and SIGCONT once another leads.
    Frozen,
    /// Somebody writes another name into its Lease.
    Robbed,
    /// Nothing gets through between it and the API server until another leads.
    Cut,
}

const BLOWS: [Blow; 4] = [Blow::Killed, Blow::Frozen, Blow::Robbed, Blow::Cut];

struct World {
    stack: Stack,
    cluster: Cluster,
    /// Each with a way of its own to the API server.
    operators: Vec<(Operator, ApiProxy)>,
    /// The first is the one whose mailbox answers come to.
    users: Vec<String>,
    /// All that were seen: a history has an end.
    probes: BTreeSet<String>,
}

fn profile_name(number: usize) -> String {
    format!("box-{number}")
}

fn policy_name(number: usize) -> String {
    format!("echo-{number}")
}

impl World {
    /// With so many profiles, and so many policies.
    async fn new(objects: usize) -> Self {
        let (stack, cluster) = (Stack::get(), Cluster::new("leaders").await);
        let users = many_mailboxes(&cluster, &stack, "leaders", objects + 1).await;
        let (mut operators, lease) = (Vec::new(), format!("{}s", LEASE.as_secs()));
        for _ in 0..3 {
            let api = ApiProxy::to(&cluster.kubeconfig()).await;
            let flags = [
                ["--lease-duration", &lease],
                ["--max-messages-per-recipient-per-hour", "10000"],
                ["--max-messages-per-hour", "10000"],
                ["--max-checks-per-host", "8"],
            ];
            operators.push((cluster.operator_behind(&api, flags.as_flattened()).await, api));
        }
        let limits = json!({"messagesPerMinute": 1000, "connections": 8});
        open_relay(&cluster, &stack, stack.port("PLAIN_PORT"), json!({"sender": {"address": users[0]}, "limits": limits})).await;
        cluster.profile("box", mailbox(&stack, &users[0], json!({}))).await;
        for number in 0..objects {
            cluster.profile(&profile_name(number), mailbox(&stack, &users[number + 1], json!({}))).await;
            cluster.policy(&policy_name(number), away("20s")).await;
        }
        cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
        Self { stack, cluster, operators, users, probes: BTreeSet::new() }
    }

    fn objects(&self) -> usize {
        self.users.len() - 1
    }

    /// Who leads, of those that are not left out: a frozen process answers nobody.
    async fn leader(&self, but: Option<usize>) -> usize {
        let one = async || {
            for (number, (operator, _)) in self.operators.iter().enumerate() {
                if Some(number) != but && operator.leads().await {
                    return Some(number);
                }
            }
            None
        };
        self.cluster.until("one leads", one).await
    }

    async fn ask(&self, value: &str) {
        for number in 0..self.objects() {
            self.cluster.ask_profile(&profile_name(number), value).await;
            self.cluster.ask_policy(&policy_name(number), value).await;
        }
    }

    /// Waits until a run or a probe has begun for which this asked.
    async fn begun(&self, value: &str) {
        let one = async || {
            for number in 0..self.objects() {
                let profile = self.cluster.profile_status(&profile_name(number)).await.last_handled_verify_request;
                let policy = self.cluster.policy_status(&policy_name(number)).await.last_handled_verify_request;
                if [profile, policy].iter().any(|handled| handled.as_deref() == Some(value)) {
                    return Some(());
                }
            }
            None
        };
        self.cluster.until("something has begun", one).await;
    }

    /// Another leads at its end, and the one that was hit is a follower.
    async fn strike(&mut self, blow: Blow) {
        let hit = self.leader(None).await;
        let pid = self.operators[hit].0.pid().to_string();
        match blow {
            Blow::Killed => {
                self.operators[hit].0.kill();
                self.leader(Some(hit)).await;
                self.operators[hit].0.start();
            }
            Blow::Frozen => {
                assert!(signal("STOP", &pid));
                self.leader(Some(hit)).await;
                assert!(signal("CONT", &pid));
            }
            Blow::Robbed => {
                let leases: Api<Lease> = Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace);
                let robber = Patch::Merge(json!({"spec": {"holderIdentity": "by-hand"}}));
                leases.patch("mailverity", &PatchParams::default(), &robber).await.unwrap();
                let over = async || (!self.operators[hit].0.leads().await).then_some(());
                self.cluster.until("the robbed one follows", over).await;
                self.leader(None).await;
                return;
            }
            Blow::Cut => {
                self.operators[hit].1.dark(true);
                self.leader(Some(hit)).await;
                assert!(!self.operators[hit].0.leads().await, "it led without the API server for longer than its Lease held");
                self.operators[hit].1.dark(false);
            }
        }
        let follows = async || {
            let (_, text) = self.operators[hit].0.get("/readyz").await.filter(|(code, _)| *code == 200)?;
            text.contains("follower").then_some(())
        };
        self.cluster.until("the one that was hit follows", follows).await;
    }

    /// Takes down which probes there were, and what they came to.
    async fn look(&mut self) {
        for number in 0..self.objects() {
            let status = self.cluster.policy_status(&policy_name(number)).await;
            assert!(results(&status).iter().all(|result| PROBES.contains(result)), "{status:#?}");
            self.probes.extend(status.history.into_iter().map(|row| row.id));
        }
    }

    /// Every run and every probe has come to an end that is told; then one of each that nothing disturbs.
    async fn settle(&mut self) {
        for number in 0..self.objects() {
            let name = profile_name(number);
            let status = self.cluster.profile_within(PATIENCE, &name, "settled", |status| concluded(status).is_some()).await;
            assert!(RUNS.contains(&concluded(&status).unwrap().as_str()), "{name}: {status:#?}");
            let settled = |status: &RoundTripPolicyStatus| status.in_flight.is_none() && !status.history.is_empty();
            self.cluster.policy_within(PATIENCE, &policy_name(number), "settled", settled).await;
        }
        self.ask("clean").await;
        for number in 0..self.objects() {
            let clean = |status: &EmailProfileStatus| {
                let answered = status.last_handled_verify_request.as_deref() == Some("clean");
                answered && concluded(status).is_some() && says(status, "Ready", "True", "CodeReceived")
            };
            self.cluster.profile_within(PATIENCE, &profile_name(number), "verified by a clean run", clean).await;
            let clean = |status: &RoundTripPolicyStatus| {
                let answered = status.last_handled_verify_request.as_deref() == Some("clean");
                answered && status.in_flight.is_none() && results(status).first() == Some(&"Succeeded")
            };
            self.cluster.policy_within(PATIENCE, &policy_name(number), "healthy by a clean probe", clean).await;
        }
        self.look().await;
    }

    /// How many mails went, none of them twice: a run's mail has its own Message-ID, a probe's its id. Each object had one at least.
    fn assert_once(&self) -> usize {
        let to_profiles: Vec<_> = self.users[1..].iter().flat_map(|user| self.stack.taken(user)).collect();
        let ours = |mail: &str| self.probes.iter().any(|id| mail.contains(id.as_str()));
        let to_policies: Vec<_> = self.stack.taken(TO).into_iter().filter(|(mail, _)| ours(mail)).collect();
        for (mail, count) in to_profiles.iter().chain(&to_policies) {
            assert_eq!(*count, 1, "{mail} was submitted {count} times");
        }
        assert!(to_profiles.len() >= self.objects() && to_policies.len() >= self.objects(), "{to_profiles:?}, {to_policies:?}");
        to_profiles.len() + to_policies.len()
    }
}

#[tokio::test]
async fn a_leader_that_is_killed_or_frozen_or_robbed_or_cut_off_costs_no_second_mail_and_no_run() {
    // promises 1 and 2
    let (rounds, objects) = if std::env::var_os("MAILVERITY_SOAK").is_some() { (100, 6) } else { (10, 3) };
    let mut world = World::new(objects).await;
    let mut blows: HashMap<Blow, usize> = HashMap::new();
    for round in 0..rounds {
        let value = format!("round {round}");
        world.ask(&value).await;
        world.begun(&value).await;
        // Any time of a run may be the wrong one.
        tokio::time::sleep(Duration::from_millis(u64::from(Uuid::new_v4().as_bytes()[0]) * 2)).await;
        let blow = BLOWS[round % BLOWS.len()];
        world.strike(blow).await;
        *blows.entry(blow).or_default() += 1;
        world.look().await;
    }
    world.settle().await;
    println!("{blows:?}: {} mails, each once; {} probes settled", world.assert_once(), world.probes.len());
    for (operator, _) in &world.operators {
        operator.shows_no_secret().await;
    }
}
