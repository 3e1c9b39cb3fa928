//! A probe that is taken up behind its time by an operator that was killed: where the mailbox is away just then, nobody has looked for
//! the answer, and it is tried again.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::setting::away;
use crate::{
    profiles::setting::{mailbox, mailboxes, open_relay},
    proxy::{Point, Proxy},
    support::{cluster::Cluster, policies::results, stack::Stack},
};

#[tokio::test]
async fn an_answer_is_looked_for_behind_its_time_until_somebody_has_looked() {
    // promises 2 and 3
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-late").await);
    let [user] = mailboxes(&cluster, &stack, "rtp-late").await;
    let mail = Proxy::to(stack.port("PLAIN_PORT")).await;
    let imap = Proxy::to(stack.port("IMAPS_PORT")).await;
    let mut operator = cluster.operator(&["--max-messages-per-recipient-per-hour", "1000"]).await;
    open_relay(&cluster, &stack, mail.port, json!({"sender": {"address": user}})).await;
    let mut spec = mailbox(&stack, &user, json!({}));
    spec["server"]["port"] = json!(imap.port);
    cluster.profile("box", spec).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    mail.hold(Point::Taken);
    cluster.policy("echo", away("20s")).await;
    mail.reached().await;
    operator.kill();
    imap.refuse(true);
    mail.let_go();
    let probe = cluster.policy_status("echo").await.in_flight.unwrap();
    let left = Duration::try_from(probe.deadline.0.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::sleep(left + Duration::from_secs(2)).await;
    operator.start();
    cluster.until("it was tried again", async || (imap.refused() >= 5).then_some(())).await;
    let status = cluster.policy_status("echo").await;
    assert_eq!(status.in_flight.map(|waits| waits.id), Some(probe.id.clone()), "no verdict where nobody has looked");
    imap.refuse(false);
    let status = cluster.policy_condition("echo", "Ready", "True", "Succeeded").await;
    assert_eq!(results(&status), ["Succeeded"], "it came in time, as its own server says");
    let sent = stack.taken("vacation@remote.test").into_iter().filter(|(id, _)| id.contains(&probe.id));
    assert_eq!(sent.map(|(_, count)| count).collect::<Vec<_>>(), [1], "one mail, once");
    operator.shows_no_secret().await;
}
