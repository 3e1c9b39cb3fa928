//! Level Deliver in a cluster: claims, budgets, and never a second mail.

use mailverity::api::v1alpha1::{MailServerStatus, VERIFY_REQUESTED_AT};
use serde_json::{Value, json};

use super::{
    account, auth,
    proxy::{Point, Proxy},
    spec,
    support::{
        cluster::{Cluster, is, message},
        stack::Stack,
    },
};

/// A server without TLS, so that a proxy can read along; the mail goes to a mailbox of this test's own.
pub fn deliver(stack: &Stack, port: u16, user: &str) -> Value {
    let mut auth = auth();
    auth["allowPlaintext"] = json!(true);
    spec(
        stack,
        "PLAIN_PORT",
        "None",
        json!({"port": port, "auth": auth, "sender": {"address": user},
        "test": {"to": user}, "verification": {"level": "Deliver", "interval": "15m", "timeout": "10s"}}),
    )
}

#[tokio::test]
async fn the_claim_is_written_before_the_mail_and_settled_after_it() {
    // promise 1
    let (stack, cluster) = (Stack::get(), Cluster::new("claim").await);
    let user = account(&cluster, &stack, "claim").await;
    let proxy = Proxy::to(stack.port("PLAIN_PORT")).await;
    proxy.hold(Point::Mail);
    let _operator = cluster.operator(&[]).await;
    cluster.server("relay", deliver(&stack, proxy.port, &user)).await;
    proxy.reached().await;
    let status = cluster.status("relay").await;
    let claim = status.claim.expect("a claim before MAIL");
    assert_eq!((claim.attempt, claim.purpose.as_str()), (1, "Test"));
    proxy.let_go();
    let status = cluster.condition("relay", "DeliveryTested", "True", "TestMessageAccepted").await;
    assert!(is(&status, "Ready", "True", "Succeeded"), "{status:#?}");
    assert_eq!(status.last_check.as_ref().unwrap().id, claim.id, "the check and its claim have one id");
    stack.mail(&user, &claim.id).await;
    assert_eq!(stack.mails(&user, "X-Mailverity-Run").len(), 1);
}

#[tokio::test]
async fn a_lost_connection_before_the_dot_may_be_tried_again_and_after_it_never() {
    // promises 2 and 3
    let (stack, cluster) = (Stack::get(), Cluster::new("uncertain").await);
    let user = account(&cluster, &stack, "uncertain").await;
    let proxy = Proxy::to(stack.port("PLAIN_PORT")).await;
    proxy.hold(Point::Taken);
    let _operator = cluster.operator(&[]).await;
    cluster.server("relay", deliver(&stack, proxy.port, &user)).await;
    proxy.reached().await;
    let status = cluster.condition("relay", "DeliveryTested", "False", "DeliveryUncertain").await;
    assert!(is(&status, "Ready", "False", "DeliveryUncertain"));
    proxy.let_go();
    let before = proxy.connections();
    // Back-off looks and connects again, and sends nothing.
    cluster.until("another connection", async || (proxy.connections() > before).then_some(())).await;
    stack.mail(&user, "X-Mailverity-Run").await;
    assert_eq!(stack.mails(&user, "X-Mailverity-Run").len(), 1);
    // A request is a new run, and one new mail.
    cluster.annotate("relay", VERIFY_REQUESTED_AT, "once more").await;
    cluster.condition("relay", "DeliveryTested", "True", "TestMessageAccepted").await;
    cluster.until("the second mail", async || (stack.mails(&user, "X-Mailverity-Run").len() == 2).then_some(())).await;
}

#[tokio::test]
async fn budgets_hold_over_all_objects() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("budget").await);
    let user = account(&cluster, &stack, "budget").await;
    let _operator = cluster.operator(&["--max-messages-per-recipient-per-hour", "2"]).await;
    for name in ["one", "two", "three", "four"] {
        let mut spec = deliver(&stack, stack.port("PLAIN_PORT"), &user);
        spec["limits"] = json!({"messagesPerMinute": 60});
        cluster.server(name, spec).await;
    }
    let over = async || {
        let mut over = 0;
        for name in ["one", "two", "three", "four"] {
            let status = cluster.status(name).await;
            over += usize::from(status.conditions.iter().any(|c| c.reason == "RateBudgetExceeded" && c.status != "True"));
        }
        (over == 2).then_some(())
    };
    cluster.until("two over the budget", over).await;
    cluster.until("two mails", async || (stack.mails(&user, "X-Mailverity-Run").len() == 2).then_some(())).await;
    assert_eq!(stack.mails(&user, "X-Mailverity-Run").len(), 2);
}

#[tokio::test]
async fn a_server_without_a_login_has_the_limit_that_it_names() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("budget-open").await);
    let user = account(&cluster, &stack, "budget-open").await;
    let _operator = cluster.operator(&[]).await;
    let open = json!({"test": {"to": user}, "limits": {"messagesPerMinute": 8},
        "verification": {"level": "Deliver", "interval": "15m", "timeout": "10s"}});
    cluster.server("relay", spec(&stack, "SMTP_PORT", "None", open)).await;
    cluster.condition("relay", "DeliveryTested", "True", "TestMessageAccepted").await;
    let request = async |number: &str, reason: &str| {
        cluster.annotate("relay", VERIFY_REQUESTED_AT, number).await;
        let answered = |status: &MailServerStatus| {
            let told = status.conditions.iter().any(|c| c.type_ == "DeliveryTested" && c.reason == reason);
            status.last_handled_verify_request.as_deref() == Some(number) && told
        };
        cluster.status_when("relay", &format!("{reason} to request {number}"), answered).await
    };
    for number in 2..=8 {
        request(&number.to_string(), "TestMessageAccepted").await;
    }
    let status = request("9", "RateBudgetExceeded").await;
    let told = message(&status, "DeliveryTested");
    assert!(told.contains("8 mails a minute of host localhost used up"), "{told}");
}

#[tokio::test]
async fn mode_observe_logs_in_and_sends_nothing() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("observe").await);
    let user = account(&cluster, &stack, "observe").await;
    let _operator = cluster.operator(&["--mode", "Observe"]).await;
    cluster.server("relay", deliver(&stack, stack.port("PLAIN_PORT"), &user)).await;
    let status = cluster.condition("relay", "DeliveryTested", "Unknown", "ObserveOnly").await;
    assert!(status.conditions.iter().any(|c| c.type_ == "Authenticated" && c.status == "True"), "{status:#?}");
    assert!(stack.mails(&user, "X-Mailverity-Run").is_empty());
}

#[tokio::test]
async fn pause_stops_a_mail_that_has_not_had_its_dot() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("pause").await);
    let user = account(&cluster, &stack, "pause").await;
    let proxy = Proxy::to(stack.port("PLAIN_PORT")).await;
    proxy.hold(Point::Data);
    let _operator = cluster.operator(&[]).await;
    cluster.server("relay", deliver(&stack, proxy.port, &user)).await;
    proxy.reached().await;
    cluster
        .apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mailverity-pause"}, "data": {"all": ""}}))
        .await;
    cluster.condition("relay", "Suspended", "True", "Paused").await;
    proxy.let_go();
    let status =
        cluster.status_when("relay", "Paused", |status| status.state == Some(mailverity::api::v1alpha1::State::Paused)).await;
    assert!(!status.conditions.iter().any(|c| c.type_ == "Ready"), "{status:#?}");
    assert!(stack.mails(&user, "X-Mailverity-Run").is_empty());
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(cluster.client.clone(), &cluster.namespace);
    maps.delete("mailverity-pause", &kube::api::DeleteParams::default()).await.unwrap();
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    stack.mail(&user, "X-Mailverity-Run").await;
    assert_eq!(stack.mails(&user, "X-Mailverity-Run").len(), 1);
}
