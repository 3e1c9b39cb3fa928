//! kill -9 at random moments of a run with two vantage points, of the operator or of the agent: no code is submitted twice, every
//! run ends in a told reason, and the next clean one leaves no task, no Secret and no mail behind.

use std::time::Duration;

use mailverity::{
    api::v1alpha1::{EmailProfileStatus, ProfileActorState},
    verify::task::LEASE,
};
use serde_json::json;

use super::{
    kills::assert_once,
    setting::{RUN, mailbox, many_mailboxes, open_relay},
};
use crate::proxy::{Point, Proxy};
use crate::support::{
    cluster::{Cluster, Operator},
    profiles::{found_by_all, says},
    stack::Stack,
};

/// What the mail of an actor may come to whose process, or whose operator, was killed. `MessageNotReceived`: killed behind the
/// claim and before the final dot, its mail never left, and is not sent again.
const TOLD: [&str; 5] = ["CodeReceived", "MessageNotReceived", "DeliveryUncertain", "TaskTimedOut", "ActorOffline"];
const PATIENCE: Duration = Duration::from_mins(3);

/// Numbers that are the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    /// By `MAILVERITY_TEST_SEED`, or another each time.
    fn new() -> Self {
        let given = std::env::var("MAILVERITY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        println!("MAILVERITY_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Two vantage points, each a process.
struct Two {
    stack: Stack,
    cluster: Cluster,
    users: Vec<String>,
    actor: String,
    operator: Operator,
    agent: Operator,
}

impl Two {
    async fn new(test: &str, boxes: usize) -> Self {
        let port = Stack::get().port("PLAIN_PORT");
        Self::sending_by(port, test, boxes).await
    }

    /// The same with a relay at another port.
    async fn sending_by(port: u16, test: &str, boxes: usize) -> Self {
        let (stack, cluster) = (Stack::get(), Cluster::new(test).await);
        let users = many_mailboxes(&cluster, &stack, test, boxes).await;
        let actor = format!("{}-agent", cluster.namespace);
        cluster.actor(&actor, &actor).await;
        let flags = [
            ["--name", &cluster.namespace],
            ["--max-messages-per-recipient-per-hour", "10000"],
            ["--max-messages-per-hour", "10000"],
            ["--max-checks-per-host", "8"],
        ];
        let operator = cluster.operator(flags.as_flattened()).await;
        let limits = json!({"limits": {"messagesPerMinute": 1000, "connections": 8}});
        open_relay(&cluster, &stack, port, limits).await;
        cluster.condition("relay", "Ready", "True", "Succeeded").await;
        let agent = cluster.agent(&actor, &actor, &[]).await;
        let two = Self { stack, cluster, users, actor, operator, agent };
        two.cluster.until("the agent is at work", async || two.cluster.holder(&two.actor, LEASE).await).await;
        two
    }

    fn name(number: usize) -> String {
        format!("box-{number}")
    }

    async fn begin(&self, round: usize) {
        let number = round % self.users.len();
        let actors = json!({"actors": [{"name": "default"}, {"name": self.actor}]});
        if round < self.users.len() {
            self.cluster.profile(&Self::name(number), mailbox(&self.stack, &self.users[number], actors)).await;
        } else {
            self.cluster.ask_profile(&Self::name(number), &format!("round {round}")).await;
        }
    }

    async fn crash_operator(&mut self) {
        self.operator.kill();
        self.cluster.outlived(&self.cluster.namespace, &self.cluster.namespace).await;
        self.operator.start();
        self.cluster.until("it leads", async || self.operator.leads().await.then_some(())).await;
    }

    async fn crash_agent(&mut self) {
        let before = self.cluster.holder(&self.actor, LEASE).await;
        self.agent.kill();
        self.cluster.outlived(&self.actor, LEASE).await;
        self.agent.start();
        let another = async || (self.cluster.holder(&self.actor, LEASE).await != before).then_some(());
        self.cluster.until("another process of the agent is at work", another).await;
    }

    /// Each run has ended in a told reason.
    async fn told(&self) {
        let ended = |status: &EmailProfileStatus| {
            // One that was not begun with yet awaits nothing, and has not ended either.
            let open = [ProfileActorState::Pending, ProfileActorState::AwaitingMessage];
            status.actors.len() == 2 && status.actors.iter().all(|actor| !open.contains(&actor.state))
        };
        let mut all = Vec::new();
        for number in 0..self.users.len() {
            let status = self.cluster.profile_within(PATIENCE, &Self::name(number), "ended", ended).await;
            let reasons = status.actors.iter().map(|actor| actor.reason.clone().unwrap_or_default());
            let reasons: Vec<String> = reasons.collect();
            assert!(reasons.iter().all(|reason| TOLD.contains(&reason.as_str())), "box-{number}: {status:#?}");
            all.push(reasons.join("+"));
        }
        println!("after the kills: {all:?}");
    }

    /// Nothing of ours is left after a clean run of each.
    async fn clean(&self) {
        for number in 0..self.users.len() {
            self.cluster.ask_profile(&Self::name(number), "clean").await;
        }
        for (number, user) in self.users.iter().enumerate() {
            let clean = |status: &EmailProfileStatus| {
                let answered = status.last_handled_verify_request.as_deref() == Some("clean");
                answered && status.actors.len() == 2 && found_by_all(status) && says(status, "Ready", "True", "AllActorsVerified")
            };
            self.cluster.profile_within(PATIENCE, &Self::name(number), "verified by a clean run", clean).await;
            self.cluster.removed(&self.stack, user, RUN).await;
        }
        let nothing = async || self.cluster.left_for_agents(&self.actor).await.is_empty().then_some(());
        self.cluster.until("no task and no Secret is left", nothing).await;
    }
}

#[tokio::test]
async fn an_agent_killed_at_any_point_of_its_mail_costs_no_second_one() {
    // promises 1 and 2
    let points = [Point::Mail, Point::Rcpt, Point::Data, Point::Dot, Point::Taken];
    let proxy = Proxy::to(Stack::get().port("PLAIN_PORT")).await;
    let mut two = Two::sending_by(proxy.port, "profile-agent-points", points.len()).await;
    for (number, point) in points.into_iter().enumerate() {
        proxy.hold(point);
        let actors = json!({"actors": [{"name": two.actor}]});
        two.cluster.profile(&Two::name(number), mailbox(&two.stack, &two.users[number], actors)).await;
        proxy.reached().await;
        two.agent.kill();
        proxy.let_go();
        two.cluster.outlived(&two.actor, LEASE).await;
        two.agent.start();
        let found = |status: &EmailProfileStatus| found_by_all(status) && says(status, "Ready", "True", "CodeReceived");
        two.cluster.profile_within(PATIENCE, &Two::name(number), &format!("found by another process: {point:?}"), found).await;
        two.cluster.removed(&two.stack, &two.users[number], RUN).await;
    }
    assert_eq!(assert_once(&two.stack, &two.users), points.len(), "one mail for each");
    let nothing = async || two.cluster.left_for_agents(&two.actor).await.is_empty().then_some(());
    two.cluster.until("no task and no Secret is left", nothing).await;
}

#[tokio::test]
async fn an_operator_or_an_agent_killed_at_random_costs_no_second_mail_and_leaves_nothing_behind() {
    // promises 1 and 2
    let (rounds, boxes) = if std::env::var_os("MAILVERITY_SOAK").is_some() { (200, 20) } else { (10, 5) };
    let mut dice = Dice::new();
    let mut two = Two::new("profile-crashes", boxes).await;
    let mut agents = 0;
    for round in 0..rounds {
        two.begin(round).await;
        // A run takes about half a second here; before it come the runs that the last kill cut short.
        tokio::time::sleep(Duration::from_millis(dice.below(1000))).await;
        if dice.below(2) == 0 {
            two.crash_operator().await;
        } else {
            two.crash_agent().await;
            agents += 1;
        }
    }
    two.told().await;
    two.clean().await;
    let (mails, most) = (assert_once(&two.stack, &two.users), 2 * (rounds + boxes));
    assert!(mails <= most, "{mails} mails for {most} codes");
    println!("{} kills of the operator, {agents} of the agent: {mails} mails for {most} codes, each once", rounds - agents);
    two.cluster.shows_no_secret().await;
    two.operator.shows_no_secret().await;
    two.agent.shows_no_secret().await;
}
