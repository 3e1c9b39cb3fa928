//! kill -9 at each named point of a run, and at random ones: no mail is submitted twice, every run ends in a told reason, and
//! the next clean one leaves nothing behind.

use std::time::Duration;

use mailverity::api::v1alpha1::EmailProfileStatus;
use serde_json::json;

use super::setting::{RUN, Way, concluded, many_mailboxes, open_relay};
use crate::{
    proxy::{Point, Proxy},
    support::{
        api::{ApiProxy, Hold},
        cloud::Cloud,
        cluster::{Cluster, Operator},
        profiles::says,
        stack::Stack,
    },
};

/// What a run that was interrupted may come to. `MessageNotReceived`: killed behind the claim and before the final dot, its mail
/// never left, and is not sent again.
const TOLD: [&str; 3] = ["CodeReceived", "MessageNotReceived", "DeliveryUncertain"];

/// Never two completed DATA with one code: a run's mail has its own Message-ID.
pub(super) fn assert_once(stack: &Stack, users: &[String]) -> usize {
    let mut all = 0;
    for user in users {
        for (id, count) in stack.taken(user) {
            assert_eq!(count, 1, "{id} was submitted {count} times to {user}");
            all += 1;
        }
    }
    all
}

/// Each profile's runs have ended in a told reason; then a clean run of each leaves nothing of ours.
async fn settle(cluster: &Cluster, stack: &Stack, users: &[String], patience: Duration) {
    let mut reasons = Vec::new();
    for number in 0..users.len() {
        let name = format!("box-{number}");
        let status = cluster.profile_within(patience, &name, "settled", |status| concluded(status).is_some()).await;
        let reason = concluded(&status).unwrap_or_default();
        assert!(TOLD.contains(&reason.as_str()), "{name}: {status:#?}");
        reasons.push(reason);
    }
    println!("after the kills: {reasons:?}");
    for number in 0..users.len() {
        cluster.ask_profile(&format!("box-{number}"), "clean").await;
    }
    for (number, user) in users.iter().enumerate() {
        let name = format!("box-{number}");
        let clean = |status: &EmailProfileStatus| {
            let answered = status.last_handled_verify_request.as_deref() == Some("clean");
            answered && concluded(status).is_some() && says(status, "Ready", "True", "CodeReceived")
        };
        cluster.profile_within(patience, &name, "verified by a clean run", clean).await;
        cluster.removed(stack, user, RUN).await;
    }
}

/// Where a run is killed.
#[derive(Clone, Copy, Debug)]
enum At {
    Api(Hold),
    Mail(Point),
}

#[tokio::test]
async fn killed_at_any_point_of_a_run_it_never_sends_twice_and_tells_what_became_of_it() {
    killed_at_points("profile-kills", |_| Way::Imap).await;
}

#[tokio::test]
async fn killed_at_any_point_of_a_run_over_microsoft_graph_it_never_sends_twice() {
    killed_at_points("graph-kills", |stack| Way::Graph(Cloud::over(stack))).await;
}

#[tokio::test]
async fn killed_at_any_point_of_a_run_over_the_gmail_api_it_never_sends_twice() {
    killed_at_points("gmail-kills", |stack| Way::Gmail(Cloud::over(stack))).await;
}

async fn killed_at_points(test: &str, way: impl FnOnce(&Stack) -> Way) {
    // promises 1 and 2
    let points = [
        At::Mail(Point::Mail),
        At::Mail(Point::Rcpt),
        At::Mail(Point::Data),
        At::Mail(Point::Dot),
        At::Mail(Point::Taken),
        At::Api(Hold::Claimed),
        At::Api(Hold::Finding),
        At::Api(Hold::Found),
        // The last: such a run may claim again, which no other point is to see.
        At::Api(Hold::Claim),
    ];
    let (stack, cluster) = (Stack::get(), Cluster::new(test).await);
    let users = many_mailboxes(&cluster, &stack, test, points.len()).await;
    let way = way(&stack);
    way.prepare(&cluster, &users).await;
    let mail = Proxy::to(stack.port("PLAIN_PORT")).await;
    let api = ApiProxy::to(&cluster.kubeconfig()).await;
    let flags = way.flags();
    let flags: Vec<&str> = ["--max-checks-per-host", "8"].into_iter().chain(flags.iter().map(String::as_str)).collect();
    let mut operator = cluster.operator_behind(&api, &flags).await;
    open_relay(&cluster, &stack, mail.port, json!({"limits": {"messagesPerMinute": 1000, "connections": 8}})).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    for (number, point) in points.into_iter().enumerate() {
        let name = format!("box-{number}");
        match point {
            At::Api(hold) => api.hold(hold, &format!("emailprofiles/{name}")),
            At::Mail(point) => mail.hold(point),
        }
        cluster.profile(&name, way.mailbox(&stack, &users, number)).await;
        match point {
            At::Api(_) => api.reached().await,
            At::Mail(_) => mail.reached().await,
        }
        let claims = cluster.profile_status(&name).await.claims.len();
        assert_eq!(claims, usize::from(!matches!(point, At::Api(Hold::Claim))), "{point:?}: the claim stands before MAIL");
        if matches!(point, At::Api(Hold::Finding | Hold::Found)) {
            assert!(!stack.everywhere(&users[number], RUN).is_empty(), "{point:?}: that it was found is noted first");
        }
        operator.kill();
        // What is on its way comes to its server now, from a process that is dead.
        api.let_go();
        mail.let_go();
        operator.start();
        if matches!(point, At::Mail(Point::Dot | Point::Taken) | At::Api(Hold::Finding | Hold::Found)) {
            let verified = cluster.profile_condition(&name, "Ready", "True", "CodeReceived").await;
            assert_eq!(verified.actors[0].attempt, Some(1), "{point:?}: {verified:#?}");
        }
    }
    settle(&cluster, &stack, &users, Duration::from_mins(2)).await;
    let mails = assert_once(&stack, &users);
    println!("{} kills at named points: {mails} mails for {} runs, each once", points.len(), 2 * points.len());
    operator.shows_no_secret().await;
}

/// Kills the operator again and again while runs of `boxes` profiles are asked for.
async fn killed_again((stack, cluster, way): (&Stack, &Cluster, &Way), operator: &mut Operator, rounds: usize, users: &[String]) {
    for round in 0..rounds {
        let name = format!("box-{}", round % users.len());
        if round < users.len() {
            cluster.profile(&name, way.mailbox(stack, users, round)).await;
        } else {
            cluster.ask_profile(&name, &format!("round {round}")).await;
        }
        // Any time may be the wrong one. A run takes about 150 ms here; before it come what the new leader has to list, and the
        // runs that the last kill cut short.
        tokio::time::sleep(Duration::from_millis(u64::from(uuid::Uuid::new_v4().as_bytes()[0]) * 4)).await;
        operator.kill();
        operator.start();
        cluster.until("it leads", async || operator.leads().await.then_some(())).await;
    }
}

#[tokio::test]
async fn killed_at_random_in_a_run_it_never_sends_twice() {
    killed_at_random("profile-random", |_| Way::Imap).await;
}

#[tokio::test]
async fn killed_at_random_in_a_run_over_microsoft_graph_it_never_sends_twice() {
    killed_at_random("graph-random", |stack| Way::Graph(Cloud::over(stack))).await;
}

#[tokio::test]
async fn killed_at_random_in_a_run_over_the_gmail_api_it_never_sends_twice() {
    killed_at_random("gmail-random", |stack| Way::Gmail(Cloud::over(stack))).await;
}

async fn killed_at_random(test: &str, way: impl FnOnce(&Stack) -> Way) {
    // promises 1 and 2
    let (rounds, boxes) = if std::env::var_os("MAILVERITY_SOAK").is_some() { (200, 20) } else { (10, 5) };
    let (stack, cluster) = (Stack::get(), Cluster::new(test).await);
    let users = many_mailboxes(&cluster, &stack, test, boxes).await;
    let way = way(&stack);
    way.prepare(&cluster, &users).await;
    let flags =
        ["--max-messages-per-recipient-per-hour", "10000", "--max-messages-per-hour", "10000", "--max-checks-per-host", "8"];
    let more = way.flags();
    let flags: Vec<&str> = flags.into_iter().chain(more.iter().map(String::as_str)).collect();
    let mut operator = cluster.operator(&flags).await;
    let limits = json!({"limits": {"messagesPerMinute": 1000, "connections": 8}});
    open_relay(&cluster, &stack, stack.port("PLAIN_PORT"), limits).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    killed_again((&stack, &cluster, &way), &mut operator, rounds, &users).await;
    settle(&cluster, &stack, &users, Duration::from_mins(3)).await;
    let mails = assert_once(&stack, &users);
    assert!(mails <= rounds + boxes, "{mails} mails for {} runs", rounds + boxes);
    println!("{rounds} kills: {mails} mails for {} runs, each once", rounds + boxes);
}
