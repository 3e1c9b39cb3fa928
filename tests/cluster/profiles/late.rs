//! Runs whose mail was sent, and that are taken up behind their mail's time by an operator that was killed: where the mailbox is away
//! just then, nobody has looked, and it is tried again.

use std::time::Duration;

use jiff::Timestamp;
use mailverity::{
    api::v1alpha1::{EmailProfileStatus, ProfileActorState as Stand},
    verify::task::LEASE,
};
use serde_json::{Value, json};

use super::setting::{RUN, concluded, mailbox, mailboxes, open_relay, with};
use crate::{
    proxy::{Point, Proxy},
    support::{
        cloud::{self, Cloud},
        cluster::Cluster,
        profiles::says,
        stack::Stack,
    },
};

/// As long as a mailbox is tried again whose mail has a timeout of 30 s, and some.
const PATIENCE: Duration = Duration::from_secs(100);

#[tokio::test]
async fn a_mail_is_looked_for_behind_its_time_until_somebody_has_looked() {
    taken_up_late("profile-late", &By::Imap).await;
}

#[tokio::test]
async fn a_mail_is_looked_for_over_microsoft_graph_behind_its_time_until_somebody_has_looked() {
    let cloud = Cloud::over(&Stack::get());
    taken_up_late("profile-late-graph", &By::Graph(cloud)).await;
}

#[tokio::test]
async fn an_agent_looks_for_a_mail_behind_its_time_until_it_has_looked() {
    taken_up_late("profile-late-agent", &By::Agent).await;
}

/// How the mailbox is read.
enum By {
    Imap,
    Agent,
    Graph(Cloud),
}

impl By {
    fn port(&self, stack: &Stack) -> u16 {
        if let Self::Graph(cloud) = self { cloud.port } else { stack.port("IMAPS_PORT") }
    }

    fn flags(&self, mailboxes: &[Proxy]) -> Vec<String> {
        let Self::Graph(cloud) = self else { return Vec::new() };
        let ports = mailboxes.iter().map(|mailbox| mailbox.port).chain([cloud.port]);
        let hosts = ports.map(|port| format!("localhost:{port}")).collect::<Vec<_>>().join(",");
        vec!["--allowed-token-hosts".to_owned(), hosts, "--token-ca-file".to_owned(), cloud.ca_file()]
    }

    /// The profile of a user whose mailbox is behind this port.
    fn profile(&self, stack: &Stack, user: &str, actor: &str, port: u16) -> Value {
        let mut spec = mailbox(stack, user, json!({}));
        match self {
            Self::Imap => {}
            Self::Agent => spec["actors"] = json!([{"name": actor}]),
            Self::Graph(cloud) => {
                let graph = with(cloud.graph(), &json!({"endpoint": format!("https://localhost:{port}")}));
                return json!({"address": user, "protocol": "MicrosoftGraph", "graph": graph, "verification": spec["verification"]});
            }
        }
        spec["server"]["port"] = json!(port);
        spec
    }
}

async fn taken_up_late(test: &str, by: &By) {
    // promises 2 and 3
    let (stack, cluster) = (Stack::get(), Cluster::new(test).await);
    let users: [String; 2] = mailboxes(&cluster, &stack, test).await;
    let mail = Proxy::to(stack.port("PLAIN_PORT")).await;
    let boxes = [Proxy::to(by.port(&stack)).await, Proxy::to(by.port(&stack)).await];
    let more = by.flags(&boxes);
    let flags = ["--name", &cluster.namespace, "--max-checks-per-host", "8"].into_iter().chain(more.iter().map(String::as_str));
    let mut operator = cluster.operator(&flags.collect::<Vec<_>>()).await;
    cluster.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "stringData": {"clientSecret": cloud::secret()}})).await;
    open_relay(&cluster, &stack, mail.port, json!({"limits": {"messagesPerMinute": 1000, "connections": 8}})).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let actor = format!("{}-agent", cluster.namespace);
    let mut agent = None;
    if matches!(by, By::Agent) {
        cluster.actor(&actor, &actor).await;
        agent = Some(cluster.agent(&actor, &actor, &[]).await);
        cluster.until("the agent is at work", async || cluster.holder(&actor, LEASE).await).await;
    }
    let names = ["back", "gone"];
    for ((name, user), behind) in names.iter().zip(&users).zip(&boxes) {
        mail.hold(Point::Taken);
        cluster.profile(name, by.profile(&stack, user, &actor, behind.port)).await;
        mail.reached().await;
    }
    operator.kill();
    for one in &boxes {
        one.refuse(true);
    }
    mail.let_go();
    for name in names {
        let deadline = cluster.profile_status(name).await.verification.and_then(|run| run.deadline).unwrap().0;
        let left = Duration::try_from(deadline.duration_since(Timestamp::now())).unwrap_or_default();
        tokio::time::sleep(left + Duration::from_secs(2)).await;
    }
    operator.start();
    for (name, behind) in names.iter().zip(&boxes) {
        cluster.until("it was tried again", async || (behind.refused() >= 3).then_some(())).await;
        let status = cluster.profile_status(name).await;
        assert_eq!(concluded(&status), None, "{status:#?}");
        assert_eq!((status.actors[0].state, status.actors[0].reason.as_deref()), (Stand::AwaitingMessage, None));
    }
    boxes[0].refuse(false);
    let found = |status: &EmailProfileStatus| says(status, "Ready", "True", "CodeReceived");
    cluster.profile_within(PATIENCE, "back", "found", found).await;
    cluster.removed(&stack, &users[0], RUN).await;
    // What stays away is told as what it is.
    let told = |status: &EmailProfileStatus| concluded(status).is_some();
    let gone = cluster.profile_within(PATIENCE, "gone", "told", told).await;
    let reason = concluded(&gone).unwrap_or_default();
    println!("{test}: {} looks in vain: {reason}", boxes[1].refused());
    // What the proxy does not read when it closes makes it a reset.
    assert!(["ConnectionReset", "ConnectionClosed"].contains(&reason.as_str()), "{gone:#?}");
    assert!(says(&gone, "Verified", "False", &reason), "{gone:#?}");
    assert_eq!(gone.actors[0].state, Stand::Unverified);
    for user in &users {
        assert_eq!(stack.taken(user).into_values().collect::<Vec<_>>(), [1], "one mail, once");
    }
    operator.shows_no_secret().await;
    drop(agent);
}
