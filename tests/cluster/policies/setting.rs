//! What tests of policies begin with: a server that sends, a receiver or a mailbox that answers come to, and the spec between them.

use serde_json::{Value, json};

use crate::{
    profiles::setting::{mailbox as profile, mailboxes, open_relay, relay},
    support::{
        cluster::{Cluster, Operator},
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
pub fn domain(receivers: &Receivers) -> String {
    format!("p{}.receiver.test", receivers.port)
}

/// A relay, and a receiver that takes the answers.
pub async fn receiver(cluster: &Cluster, stack: &Stack, receivers: &Receivers) -> Operator {
    receiver_and(cluster, stack, receivers, json!({}), &[]).await
}

/// The same with a relay that differs, and with more flags for the receiver.
pub async fn receiver_and(cluster: &Cluster, stack: &Stack, receivers: &Receivers, rest: Value, flags: &[&str]) -> Operator {
    cluster.account("account", "probe", "probe-secret").await;
    cluster.ca(&stack.ca()).await;
    relay(cluster, stack, rest).await;
    let started = receivers.start(cluster, "receiver-1", flags);
    cluster.mail_receiver("inbound", receivers.spec(&domain(receivers), json!({}))).await;
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
    started
}

/// The relay, and a verified profile whose mailbox is read: that of a user of this test's own.
pub async fn mailbox(cluster: &Cluster, stack: &Stack, test: &str) -> String {
    let [user] = mailboxes(cluster, stack, test).await;
    relay(cluster, stack, json!({"sender": {"address": user}})).await;
    cluster.profile("box", profile(stack, &user, json!({}))).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    user
}

/// The same, where a proxy reads along at the relay's port.
pub async fn mailbox_behind(cluster: &Cluster, stack: &Stack, port: u16, test: &str) -> String {
    let [user] = mailboxes(cluster, stack, test).await;
    let limits = json!({"messagesPerMinute": 1000, "connections": 8});
    open_relay(cluster, stack, port, json!({"sender": {"address": user}, "limits": limits})).await;
    cluster.profile("box", profile(stack, &user, json!({}))).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    user
}

/// A policy whose answers are out-of-office replies to the mailbox, within so long.
pub fn away(timeout: &str) -> Value {
    let receive = json!({"profileRef": {"name": "box"}});
    policy(json!({"to": "vacation@remote.test", "expect": "OutOfOffice", "timeout": timeout, "receive": receive}))
}
