//! `RoundTripPolicy` in a cluster: probes that are claimed, sent, answered and settled.

mod apis;
mod crashes;
mod kills;
mod late;
mod outcomes;
pub mod setting;

use serde_json::json;

use super::support::{cluster::Cluster, policies::results, stack::Stack};
pub use setting::policy;
use setting::{away, domain, mailbox, receiver};

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
