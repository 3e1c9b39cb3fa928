//! kill -9 at each named point, and at random ones: no mail is submitted twice, and every run ends in a told reason.

use std::time::Duration;

use mailverity::api::v1alpha1::{MailServerStatus, VERIFY_REQUESTED_AT};

use super::{
    account,
    proxy::{Point, Proxy},
    sending::deliver,
    support::{cluster::Cluster, stack::Stack},
};

/// A run has ended: what became of its mail is told, and no claim is left open.
fn settled(status: &MailServerStatus) -> bool {
    status
        .conditions
        .iter()
        .any(|c| c.type_ == "DeliveryTested" && matches!(c.reason.as_str(), "TestMessageAccepted" | "DeliveryUncertain"))
}

#[tokio::test]
async fn killed_at_any_point_of_sending_it_never_sends_twice() {
    // promises 1 and 2
    let (stack, cluster) = (Stack::get(), Cluster::new("kills").await);
    let user = account(&cluster, &stack, "kills").await;
    let proxy = Proxy::to(stack.port("PLAIN_PORT")).await;
    let mut operator = cluster.operator(&[]).await;
    for (number, point) in [Point::Mail, Point::Rcpt, Point::Data, Point::Dot, Point::Taken].into_iter().enumerate() {
        let name = format!("relay-{number}");
        proxy.hold(point);
        cluster.server(&name, deliver(&stack, proxy.port, &user)).await;
        proxy.reached().await;
        let claim = cluster.status(&name).await.claim.expect("a claim before MAIL").id;
        operator.kill();
        proxy.let_go();
        operator.start();
        let status = cluster.status_when(&name, "settled", settled).await;
        // What the proxy let through after the kill is counted too: at most the one mail that was under way.
        let mails = stack.mails(&user, &claim).len();
        assert!(mails <= 1, "{point:?}: {mails} mails of one claim");
        if matches!(point, Point::Dot | Point::Taken) {
            stack.mail(&user, &claim).await;
        }
        println!(
            "{point:?}: {mails} mails, {:?}",
            status.conditions.iter().find(|c| c.type_ == "DeliveryTested").map(|c| &c.reason)
        );
    }
    // All of them together: not one more mail than claims.
    let all = stack.mails(&user, "X-Mailverity-Run").len();
    assert!(all <= 5, "{all} mails of five objects");
}

#[tokio::test]
async fn killed_at_random_it_never_sends_twice() {
    // promises 1 and 2
    let rounds = if std::env::var_os("MAILVERITY_SOAK").is_some() { 200 } else { 10 };
    let (stack, cluster) = (Stack::get(), Cluster::new("random").await);
    let user = account(&cluster, &stack, "random").await;
    let flags = ["--max-messages-per-recipient-per-hour", "10000", "--max-messages-per-hour", "10000"];
    let mut operator = cluster.operator(&flags).await;
    let mut spec = deliver(&stack, stack.port("PLAIN_PORT"), &user);
    spec["limits"] = serde_json::json!({"messagesPerMinute": 1000});
    cluster.server("relay", spec).await;
    cluster.status_when("relay", "settled", settled).await;
    for round in 0..rounds {
        let asked = format!("round {round}");
        cluster.annotate("relay", VERIFY_REQUESTED_AT, &asked).await;
        // Any time may be the wrong one: the whole way from the request to the settled claim takes about 50 ms here.
        tokio::time::sleep(Duration::from_millis(u64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 3)).await;
        operator.kill();
        operator.start();
        let answered =
            |status: &MailServerStatus| status.last_handled_verify_request.as_deref() == Some(&asked) && settled(status);
        cluster.status_when("relay", "answered", answered).await;
    }
    let mails = stack.mails(&user, "X-Mailverity-Run");
    let mut runs: Vec<&str> =
        mails.iter().filter_map(|mail| mail.lines().find(|line| line.starts_with("X-Mailverity-Run"))).collect();
    let all = runs.len();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len(), all, "a run was mailed twice");
    assert!(all <= rounds + 1, "{all} mails for {} runs", rounds + 1);
    println!("{rounds} kills: {all} mails for {} runs, each once", rounds + 1);
}
