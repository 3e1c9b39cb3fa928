//! kill -9 at random moments, of the operator or of one of two receivers, while probes are asked for: no probe is submitted twice, no
//! answer is lost that a receiver had taken, and each probe is settled.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use mailverity::api::v1alpha1::RoundTripPolicyStatus;
use serde_json::json;
use uuid::Uuid;

use super::setting::{domain, policy, receiver};
use crate::support::{
    cluster::{Cluster, Operator},
    receivers::Receivers,
    stack::Stack,
};

/// Whom the probes go to.
const TO: &str = "vacation@remote.test";
/// What a probe may come to of which no answer was taken: killed behind the claim, nobody knows whether its mail left.
const TOLD: [&str; 2] = ["ProbeLost", "DeliveryUncertain"];
/// A probe's time and a new leader's.
const PATIENCE: Duration = Duration::from_mins(3);

/// One operator, and two receivers as two pods: each at an address of its own.
struct World {
    stack: Stack,
    cluster: Cluster,
    receivers: Receivers,
    operator: Operator,
    pods: [Operator; 2],
    policies: usize,
    /// What became of each probe, as far as it was seen: a history has an end.
    seen: HashMap<Uuid, String>,
}

fn name(number: usize) -> String {
    format!("echo-{number}")
}

impl World {
    async fn new(policies: usize) -> Self {
        let (stack, cluster) = (Stack::get(), Cluster::new("rtp-crashes").await);
        let receivers = cluster.receivers().await;
        let flags =
            ["--max-messages-per-recipient-per-hour", "10000", "--max-messages-per-hour", "10000", "--max-checks-per-host", "8"];
        let operator = cluster.operator_with(&receivers, &flags).await;
        let first = receiver(&cluster, &stack, &receivers).await;
        let second = receivers.start_beside(&cluster, "receiver-2", &[]);
        let both = async || {
            let status = cluster.mail_receivers().get("inbound").await.ok()?.status?;
            (status.listeners.iter().filter(|one| one.reason.is_none()).count() == 2).then_some(())
        };
        cluster.until("both receivers take mail", both).await;
        let spec = policy(json!({"to": TO, "expect": "OutOfOffice", "timeout": "60s", "historyLimit": 50}));
        for number in 0..policies {
            cluster.policy(&name(number), spec.clone()).await;
        }
        Self { stack, cluster, receivers, operator, pods: [first, second], policies, seen: HashMap::new() }
    }

    /// Asks for a probe of each, and kills a process; says which. Some of the policies still wait for the answers to those before.
    async fn round(&mut self, round: usize) -> &'static str {
        for number in 0..self.policies {
            self.cluster.ask_policy(&name(number), &format!("round {round}")).await;
        }
        let [when, who, how_long, ..] = *Uuid::new_v4().as_bytes();
        // A probe takes about a second here, and any time of it may be the wrong one.
        tokio::time::sleep(Duration::from_millis(u64::from(when) * 4)).await;
        let which = match who % 4 {
            0 => {
                self.pods[0].kill();
                "first receiver"
            }
            1 => {
                self.pods[1].kill();
                "second receiver"
            }
            // Whoever brings an answer finds nobody.
            2 => {
                self.pods.iter_mut().for_each(Operator::kill);
                "both receivers"
            }
            _ => {
                self.operator.kill();
                "operator"
            }
        };
        if which == "operator" {
            self.operator.start();
            self.cluster.until("it leads", async || self.operator.leads().await.then_some(())).await;
            return which;
        }
        tokio::time::sleep(Duration::from_millis(u64::from(how_long) * 8)).await;
        for (number, pod) in self.pods.iter_mut().enumerate() {
            if who % 4 == 2 || usize::from(who % 4) == number {
                pod.start();
            }
        }
        which
    }

    async fn look(&mut self) {
        for number in 0..self.policies {
            let status = self.cluster.policy_status(&name(number)).await;
            self.seen.extend(status.history.into_iter().map(|row| (row.id.parse().unwrap(), row.result)));
        }
    }

    /// A probe of each that nothing disturbs. Returns the probes whose answers were taken, all of which are told of by now.
    async fn clean(&mut self) -> BTreeSet<Uuid> {
        for number in 0..self.policies {
            let settled = |status: &RoundTripPolicyStatus| status.in_flight.is_none() && !status.history.is_empty();
            self.cluster.policy_within(PATIENCE, &name(number), "settled", settled).await;
            self.cluster.ask_policy(&name(number), "clean").await;
        }
        for number in 0..self.policies {
            let clean = |status: &RoundTripPolicyStatus| {
                let answered = status.last_handled_verify_request.as_deref() == Some("clean");
                answered && status.in_flight.is_none() && status.history[0].result == "Succeeded"
            };
            self.cluster.policy_within(PATIENCE, &name(number), "healthy by a clean probe", clean).await;
        }
        let answered = self.stack.answered(&domain(&self.receivers));
        let nothing = async || self.receivers.replies().await.is_empty().then_some(());
        self.cluster.until("what was taken is settled and gone", nothing).await;
        self.look().await;
        answered
    }

    /// No probe was submitted twice, and none whose answer was taken is told otherwise. Returns how many mails went.
    fn assert_once_and_none_lost(&self, answered: &BTreeSet<Uuid>) -> usize {
        let taken = self.stack.taken(TO);
        let mine: Vec<_> =
            self.seen.keys().filter_map(|id| taken.iter().find(|(mail, _)| mail.contains(&id.to_string()))).collect();
        for (id, count) in &mine {
            assert_eq!(**count, 1, "{id} was submitted {count} times");
        }
        for id in answered {
            let result = self.seen.get(id).map(String::as_str);
            assert!(matches!(result, Some("Succeeded" | "ReplyLate")), "{id} was answered and taken, and is told as {result:?}");
        }
        for (id, result) in self.seen.iter().filter(|(id, _)| !answered.contains(id)) {
            assert!(TOLD.contains(&result.as_str()), "{id}: {result}, and no answer was taken");
        }
        mine.len()
    }
}

#[tokio::test]
async fn killed_at_random_with_its_receivers_it_sends_no_probe_twice_and_loses_no_answer_that_was_taken() {
    // promises 1 and 2
    let (rounds, policies) = if std::env::var_os("MAILVERITY_SOAK").is_some() { (100, 10) } else { (10, 5) };
    let mut world = World::new(policies).await;
    let mut kills: HashMap<&str, usize> = HashMap::new();
    for round in 0..rounds {
        *kills.entry(world.round(round).await).or_default() += 1;
        world.look().await;
    }
    let answered = world.clean().await;
    let (mails, answers) = (world.assert_once_and_none_lost(&answered), answered.len());
    let late = world.seen.values().filter(|result| *result == "ReplyLate").count();
    println!(
        "kills: {kills:?}; {} probes, {mails} mails, each once; {answers} answers taken, {late} late, none lost",
        world.seen.len()
    );
    world.operator.shows_no_secret().await;
}
