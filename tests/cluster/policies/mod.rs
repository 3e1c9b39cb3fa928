//! `RoundTripPolicy` in a cluster: probes that are claimed, sent, answered and settled.

mod kills;
mod outcomes;

use serde_json::{Value, json};

use super::{
    profiles::setting::{mailbox as profile, mailboxes, open_relay, relay},
    support::{
        cluster::{Cluster, Operator},
        policies::results,
        receivers::Receivers,
        stack::Stack,
    },
};

/// A policy that sends through `relay`.
pub fn policy(rest: Value) -> Value {
    let mut spec = json!({
        "serverRef": {"name": "relay"}, "to": "alice@example.test",
        "message": {"body": "please answer this mail"},
        "interval": "15m", "timeout": "30s",
        "receive": {"receiverRef": {"name": "inbound"}},
    });
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

/// The domain of receivers, by which Postfix knows where they listen.
fn domain(receivers: &Receivers) -> String {
    format!("p{}.receiver.test", receivers.port)
}

/// A relay, and a receiver that takes the answers.
async fn receiver(cluster: &Cluster, stack: &Stack, receivers: &Receivers) -> Operator {
    cluster.account("account", "probe", "probe-secret").await;
    cluster.ca(&stack.ca()).await;
    relay(cluster, stack, json!({})).await;
    let started = receivers.start(cluster, "receiver-1", &[]);
    cluster.mail_receiver("inbound", receivers.spec(&domain(receivers), json!({}))).await;
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
    started
}

#[tokio::test]
async fn answers_come_through_a_receiver() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp").await);
    let receivers = cluster.receivers().await;
    let operator = cluster.operator_with(&receivers, &[]).await;
    let receiver = receiver(&cluster, &stack, &receivers).await;
    for (name, to, expect) in [("away", "vacation@remote.test", "OutOfOffice"), ("forward", "forward@remote.test", "Redirect")] {
        cluster.policy(name, policy(json!({"to": to, "expect": expect}))).await;
    }
    let address = format!("notify@{}", domain(&receivers));
    for name in ["away", "forward"] {
        let status = cluster.policy_condition(name, "Ready", "True", "Succeeded").await;
        assert_eq!((results(&status), status.return_address.as_deref()), (vec!["Succeeded"], Some(address.as_str())));
    }
    cluster.until("what was taken is settled and gone", async || receivers.replies().await.is_empty().then_some(())).await;
    let (_, metrics) = operator.get("/metrics").await.unwrap();
    assert!(metrics.contains("mailverity_roundtrip_duration_seconds_count 2"), "{metrics}");
    assert!(metrics.contains("mailverity_messages_sent_total{purpose=\"RoundTrip\"} 2"), "{metrics}");
    operator.shows_no_secret().await;
    receiver.shows_no_secret().await;
}

/// The relay, and a verified profile whose mailbox is read: that of a user of this test's own.
async fn mailbox(cluster: &Cluster, stack: &Stack, test: &str) -> String {
    let [user] = mailboxes(cluster, stack, test).await;
    relay(cluster, stack, json!({"sender": {"address": user}})).await;
    cluster.profile("box", profile(stack, &user, json!({}))).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    user
}

/// The same, where a proxy reads along at the relay's port.
async fn mailbox_behind(cluster: &Cluster, stack: &Stack, port: u16, test: &str) -> String {
    let [user] = mailboxes(cluster, stack, test).await;
    let limits = json!({"messagesPerMinute": 1000, "connections": 8});
    open_relay(cluster, stack, port, json!({"sender": {"address": user}, "limits": limits})).await;
    cluster.profile("box", profile(stack, &user, json!({}))).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    user
}

/// A policy whose answers are out-of-office replies to the mailbox, within so long.
fn away(timeout: &str) -> Value {
    let receive = json!({"profileRef": {"name": "box"}});
    policy(json!({"to": "vacation@remote.test", "expect": "OutOfOffice", "timeout": timeout, "receive": receive}))
}

#[tokio::test]
async fn an_out_of_office_reply_and_a_redirect_come_to_a_mailbox() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-box").await);
    let operator = cluster.operator(&[]).await;
    let user = mailbox(&cluster, &stack, "rtp-box").await;
    let receive = json!({"profileRef": {"name": "box"}});
    for (name, to, expect) in [("away", "vacation@remote.test", "OutOfOffice"), ("forward", "forward@remote.test", "Redirect")] {
        cluster.policy(name, policy(json!({"to": to, "expect": expect, "receive": receive}))).await;
    }
    for name in ["away", "forward"] {
        let status = cluster.policy_condition(name, "Ready", "True", "Succeeded").await;
        assert_eq!((results(&status), status.return_address.as_deref()), (vec!["Succeeded"], Some(user.as_str())));
    }
    operator.shows_no_secret().await;
}
