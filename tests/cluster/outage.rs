//! An API server that is not there, or does not know the kinds yet: each test has one of its own to take away.

use std::time::Duration;

use jiff::Timestamp;
use mailverity::api::v1alpha1::MailServerStatus;
use serde_json::json;

use super::{
    account, auth,
    proxy::{Point, Proxy},
    sending::deliver,
    spec,
    support::{
        cluster::{Cluster, is},
        plane::Plane,
        stack::Stack,
    },
};

fn next(status: &MailServerStatus) -> Timestamp {
    status.next_check_time.clone().unwrap().0
}

/// Waits in real time: what is waited for is a date, which nobody tells of.
async fn sleep_until(time: Timestamp) {
    tokio::time::sleep(time.duration_since(Timestamp::now()).try_into().unwrap_or_default()).await;
}

#[tokio::test]
async fn an_api_server_that_is_away_costs_no_mail_and_no_restart() {
    // promises 1 and 2
    let away = if std::env::var_os("MAILVERITY_SOAK").is_some() { Duration::from_mins(10) } else { Duration::from_secs(30) };
    let (stack, plane) = (Stack::get(), Plane::up("away").await);
    let cluster = Cluster::bare(plane.dir.clone(), "away").await;
    cluster.kinds().await;
    let user = account(&cluster, &stack, "away").await;
    let operator = cluster.operator(&[]).await;
    let often = json!({"auth": auth(), "verification": {"interval": "1m"}});
    cluster.server("due", spec(&stack, "SUBMISSION_PORT", "StartTLS", often)).await;
    let before = cluster.condition("due", "Ready", "True", "Succeeded").await;

    // A mail that the server has taken, and the operator has not heard of; and a check that falls due while all is dark.
    sleep_until(next(&before) - jiff::SignedDuration::from_secs(10)).await;
    let proxy = Proxy::to(stack.port("PLAIN_PORT")).await;
    proxy.hold(Point::Taken);
    let mut mailing = deliver(&stack, proxy.port, &user);
    mailing["verification"]["timeout"] = json!("2m");
    cluster.server("mailing", mailing).await;
    proxy.reached().await;
    let claim = cluster.status("mailing").await.claim.expect("a claim before MAIL");
    let pid = operator.pid();
    plane.away();
    let dark = Timestamp::now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    proxy.let_go();
    tokio::time::sleep(away.saturating_sub(Duration::from_secs(5))).await;
    plane.back();
    cluster.until("the API server is back", async || cluster.servers().get("due").await.ok()).await;

    let patience = Duration::from_mins(3);
    let settled = |status: &MailServerStatus| {
        is(status, "DeliveryTested", "True", "TestMessageAccepted") || is(status, "DeliveryTested", "False", "DeliveryUncertain")
    };
    let status = cluster.status_within(patience, "mailing", "settled", settled).await;
    assert_eq!(status.claim.as_ref().map(|claim| &claim.id), Some(&claim.id), "another claim was taken");
    let looked = |status: &MailServerStatus| {
        status.last_check.as_ref().is_some_and(|check| check.started_at.as_ref().is_some_and(|at| at.0 >= dark))
            && is(status, "Ready", "True", "Succeeded")
    };
    cluster.status_within(patience, "due", "checked again", looked).await;
    stack.mail(&user, "X-Mailverity-Run").await;
    assert_eq!(stack.mails(&user, "X-Mailverity-Run").len(), 1);
    assert_eq!(operator.pid(), pid);
    assert_eq!(operator.log().matches("mailverity operator").count(), 1, "it was started again");
    assert!(operator.get("/livez").await.is_some_and(|(code, _)| code == 200));
    println!("the mail that was under way: {:?}", status.last_check.and_then(|check| check.result));
}

#[tokio::test]
async fn kinds_that_are_installed_after_the_operator_started_are_waited_for() {
    let (stack, plane) = (Stack::get(), Plane::up("late").await);
    let cluster = Cluster::bare(plane.dir.clone(), "late").await;
    account(&cluster, &stack, "late").await;
    let operator = cluster.operator(&[]).await;
    let waits = async || operator.get("/readyz").await.filter(|(code, text)| *code == 503 && text.contains("is not installed"));
    cluster.until("readiness says what is waited for", waits).await;
    assert_eq!(operator.get("/livez").await.unwrap().0, 200);
    cluster.kinds().await;
    cluster.until("ready", async || operator.get("/readyz").await.filter(|(code, _)| *code == 200)).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert_eq!(operator.log().matches("mailverity operator").count(), 1, "it was started again");
}
