//! `RoundTripPolicy` in a cluster: probes that are claimed, sent, answered and settled.

mod kills;

use serde_json::{Value, json};

use super::{
    auth,
    profiles::setting::{mailbox as profile, mailboxes, open_relay, relay},
    spec,
    support::{cluster::Cluster, policies::results, stack::Stack},
};

/// A policy that sends through `relay`.
pub fn policy(rest: Value) -> Value {
    let mut spec = json!({
        "serverRef": {"name": "relay"}, "to": "probe@example.test",
        "message": {"body": "please answer this mail"},
        "interval": "15m", "timeout": "30s",
        "receive": {"receiverRef": {"name": "inbound"}},
    });
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

#[tokio::test]
async fn a_probe_is_claimed_sent_and_settled_by_what_a_receiver_took() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp").await);
    let user = super::account(&cluster, &stack, "rtp").await;
    cluster.receivers().await;
    let operator = cluster.operator(&["--receiver-namespace", &cluster.namespace]).await;
    cluster
        .server(
            "relay",
            spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth(), "limits": {"messagesPerMinute": 1000}})),
        )
        .await;
    cluster.apply(json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailReceiver", "metadata": {"name": "inbound"}, "spec": {"domains": ["plain.receiver.test"]}})).await;
    let cond = json!({"type": "Listening", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    cluster.kubectl(&[
        "patch",
        "mailreceiver",
        "inbound",
        "--subresource=status",
        "--type=merge",
        "-p",
        &json!({"status": {"conditions": [cond]}}).to_string(),
    ]);
    cluster.policy("echo", policy(json!({"to": user}))).await;
    let status = cluster
        .policy_when("echo", "sent", |status| status.in_flight.as_ref().is_some_and(|probe| probe.sent_at.is_some()))
        .await;
    let probe = status.in_flight.unwrap();
    let uid = cluster.policies().get("echo").await.unwrap().metadata.uid.unwrap();
    let now = jiff::Timestamp::now().to_string();
    cluster
        .reply(
            "r1",
            json!({"policy": {"namespace": cluster.namespace, "name": "echo", "uid": uid}, "probe": probe.id, "receivedAt": now}),
        )
        .await;
    let status = cluster.policy_condition("echo", "Ready", "True", "Succeeded").await;
    assert_eq!(results(&status), ["Succeeded"]);
    assert_eq!(stack.mails(&user, "mailverity round trip").len(), 1);
    assert!(cluster.replies().await.is_empty());
    let (_, metrics) = operator.get("/metrics").await.unwrap();
    assert!(metrics.contains("mailverity_roundtrip_duration_seconds_count 1"), "{metrics}");
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
