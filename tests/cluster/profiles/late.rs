//! Runs whose mail was sent, and that are taken up behind their mail's time by an operator that was killed: where the mailbox is away
//! just then, nobody has looked, and it is tried again.

use std::time::Duration;

use jiff::Timestamp;
use mailverity::{
    api::v1alpha1::{EmailProfileStatus, ProfileActorState as Stand},
    verify::task::LEASE,
};
use serde_json::json;

use super::setting::{RUN, concluded, mailbox, mailboxes, open_relay};
use crate::{
    proxy::{Point, Proxy},
    support::{cluster::Cluster, profiles::says, stack::Stack},
};

/// As long as a mailbox is tried again whose mail has a timeout of 30 s, and some.
const PATIENCE: Duration = Duration::from_secs(100);

#[tokio::test]
async fn a_mail_is_looked_for_behind_its_time_until_somebody_has_looked() {
    taken_up_late("profile-late", false).await;
}

#[tokio::test]
async fn an_agent_looks_for_a_mail_behind_its_time_until_it_has_looked() {
    taken_up_late("profile-late-agent", true).await;
}

async fn taken_up_late(test: &str, by_agent: bool) {
    // promises 2 and 3
    let (stack, cluster) = (Stack::get(), Cluster::new(test).await);
    let users: [String; 2] = mailboxes(&cluster, &stack, test).await;
    let mail = Proxy::to(stack.port("PLAIN_PORT")).await;
    let imap = [Proxy::to(stack.port("IMAPS_PORT")).await, Proxy::to(stack.port("IMAPS_PORT")).await];
    let mut operator = cluster.operator(&["--name", &cluster.namespace, "--max-checks-per-host", "8"]).await;
    open_relay(&cluster, &stack, mail.port, json!({"limits": {"messagesPerMinute": 1000, "connections": 8}})).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let actor = format!("{}-agent", cluster.namespace);
    let mut agent = None;
    if by_agent {
        cluster.actor(&actor, &actor).await;
        agent = Some(cluster.agent(&actor, &actor, &[]).await);
        cluster.until("the agent is at work", async || cluster.holder(&actor, LEASE).await).await;
    }
    let names = ["back", "gone"];
    for ((name, user), imap) in names.iter().zip(&users).zip(&imap) {
        let actors = if by_agent { json!({"actors": [{"name": actor}]}) } else { json!({}) };
        let mut spec = mailbox(&stack, user, actors);
        spec["server"]["port"] = json!(imap.port);
        mail.hold(Point::Taken);
        cluster.profile(name, spec).await;
        mail.reached().await;
    }
    operator.kill();
    for imap in &imap {
        imap.refuse(true);
    }
    mail.let_go();
    for name in names {
        let deadline = cluster.profile_status(name).await.verification.and_then(|run| run.deadline).unwrap().0;
        let left = Duration::try_from(deadline.duration_since(Timestamp::now())).unwrap_or_default();
        tokio::time::sleep(left + Duration::from_secs(2)).await;
    }
    operator.start();
    for (name, imap) in names.iter().zip(&imap) {
        cluster.until("it was tried again", async || (imap.refused() >= 3).then_some(())).await;
        let status = cluster.profile_status(name).await;
        assert_eq!(concluded(&status), None, "{status:#?}");
        assert_eq!((status.actors[0].state, status.actors[0].reason.as_deref()), (Stand::AwaitingMessage, None));
    }
    imap[0].refuse(false);
    let found = |status: &EmailProfileStatus| says(status, "Ready", "True", "CodeReceived");
    cluster.profile_within(PATIENCE, "back", "found", found).await;
    cluster.removed(&stack, &users[0], RUN).await;
    // What stays away is told as what it is.
    let told = |status: &EmailProfileStatus| concluded(status).is_some();
    let gone = cluster.profile_within(PATIENCE, "gone", "told", told).await;
    println!("{test}: {} looks in vain: {:?}", imap[1].refused(), concluded(&gone));
    assert!(says(&gone, "Verified", "False", "ConnectionClosed"), "{gone:#?}");
    assert_eq!(gone.actors[0].state, Stand::Unverified);
    for user in &users {
        assert_eq!(stack.taken(user).into_values().collect::<Vec<_>>(), [1], "one mail, once");
    }
    operator.shows_no_secret().await;
    drop(agent);
}
