//! kill -9 of the operator at each named point of a probe, and at random ones: no probe is submitted twice, each is settled, and
//! an answer that came is not lost.

use std::time::Duration;

use serde_json::json;

use super::setting::{away, mailbox_behind};
use crate::{
    proxy::{Point, Proxy},
    support::{
        api::{ApiProxy, Hold},
        cluster::{Cluster, Operator},
        policies::results,
        stack::Stack,
    },
};

/// What a probe that was interrupted may come to. `ProbeLost`: killed behind the claim, nobody knows whether its mail left, and it
/// is not sent again.
const TOLD: [&str; 3] = ["Succeeded", "ProbeLost", "DeliveryUncertain"];
/// Whom the probes go to.
const TO: &str = "vacation@remote.test";

/// Never two completed DATA with one id.
fn assert_once(stack: &Stack, ids: &[String]) -> usize {
    let taken = stack.taken(TO);
    let counts = ids.iter().filter_map(|id| taken.iter().find(|(known, _)| known.contains(id.as_str())));
    counts.inspect(|(id, count)| assert_eq!(**count, 1, "{id} was submitted {count} times")).count()
}

/// Where a probe is killed.
#[derive(Clone, Copy, Debug)]
enum At {
    Api(Hold),
    Mail(Point),
}

#[tokio::test]
async fn killed_at_any_point_of_a_probe_it_never_sends_twice_and_no_answer_is_lost() {
    // promises 1 and 2
    let points = [
        At::Mail(Point::Mail),
        At::Mail(Point::Rcpt),
        At::Mail(Point::Data),
        At::Mail(Point::Dot),
        At::Mail(Point::Taken),
        At::Api(Hold::Claimed),
        At::Api(Hold::Sending),
        At::Api(Hold::Sent),
        At::Api(Hold::Finding),
        At::Api(Hold::Found),
        At::Api(Hold::Claim),
    ];
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-kills").await);
    let mail = Proxy::to(stack.port("PLAIN_PORT")).await;
    let api = ApiProxy::to(&cluster.kubeconfig()).await;
    let flags = ["--max-checks-per-host", "8", "--max-messages-per-recipient-per-hour", "1000"];
    let mut operator = cluster.operator_behind(&api, &flags).await;
    mailbox_behind(&cluster, &stack, mail.port, "rtp-kills").await;
    for (number, point) in points.into_iter().enumerate() {
        let name = format!("echo-{number}");
        match point {
            At::Api(hold) => api.hold(hold, &format!("roundtrippolicies/{name}")),
            At::Mail(point) => mail.hold(point),
        }
        cluster.policy(&name, away("20s")).await;
        match point {
            At::Api(_) => api.reached().await,
            At::Mail(_) => mail.reached().await,
        }
        let status = cluster.policy_status(&name).await;
        let claimed = status.in_flight.is_some() || matches!(point, At::Api(Hold::Found));
        assert_eq!(claimed, !matches!(point, At::Api(Hold::Claim)), "{point:?}: the claim stands before MAIL");
        operator.kill();
        // What is on its way comes to its server now, from a process that is dead.
        api.let_go();
        mail.let_go();
        operator.start();
        if matches!(
            point,
            At::Mail(Point::Dot | Point::Taken) | At::Api(Hold::Sending | Hold::Sent | Hold::Finding | Hold::Found)
        ) {
            // The mail went: its answer came while nobody was there, and is found.
            let status = cluster.policy_condition(&name, "Ready", "True", "Succeeded").await;
            assert_eq!(results(&status), ["Succeeded"], "{point:?}");
        }
    }
    let (mut told, mut ids) = (Vec::new(), Vec::new());
    for number in 0..points.len() {
        let status = cluster.policy_when(&format!("echo-{number}"), "settled", |status| !status.history.is_empty()).await;
        ids.extend(status.history.iter().map(|row| row.id.clone()));
        told.extend(results(&status).into_iter().map(str::to_owned));
    }
    assert!(told.iter().all(|result| TOLD.contains(&result.as_str())), "{told:?}");
    let mails = assert_once(&stack, &ids);
    println!("{} kills at named points: {told:?}; {mails} mails, each once", points.len());
    operator.shows_no_secret().await;
}

/// Kills the operator again and again while probes are asked for.
async fn at_random(cluster: &Cluster, operator: &mut Operator, rounds: usize, policies: usize) {
    for round in 0..rounds {
        let name = format!("echo-{}", round % policies);
        if round < policies {
            cluster.policy(&name, away("20s")).await;
        } else {
            let asked = json!({"metadata": {"annotations": {"mailverity.dev/verify-requested-at": format!("round {round}")}}});
            cluster.patch_policy(&name, asked).await;
        }
        // Any time may be the wrong one.
        tokio::time::sleep(Duration::from_millis(u64::from(uuid::Uuid::new_v4().as_bytes()[0]) * 4)).await;
        operator.kill();
        operator.start();
        cluster.until("it leads", async || operator.leads().await.then_some(())).await;
    }
}

#[tokio::test]
async fn killed_at_random_no_probe_is_submitted_twice_and_each_is_settled() {
    // promises 1 and 2
    let (rounds, policies) = if std::env::var_os("MAILVERITY_SOAK").is_some() { (100, 10) } else { (10, 5) };
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-random").await);
    let flags =
        ["--max-messages-per-recipient-per-hour", "10000", "--max-messages-per-hour", "10000", "--max-checks-per-host", "8"];
    let mut operator = cluster.operator(&flags).await;
    mailbox_behind(&cluster, &stack, stack.port("PLAIN_PORT"), "rtp-random").await;
    at_random(&cluster, &mut operator, rounds, policies).await;
    let mut ids = Vec::new();
    for number in 0..policies {
        let name = format!("echo-{number}");
        cluster.policy_when(&name, "settled", |status| status.in_flight.is_none() && !status.history.is_empty()).await;
        let asked = json!({"metadata": {"annotations": {"mailverity.dev/verify-requested-at": "clean"}}});
        cluster.patch_policy(&name, asked).await;
        let clean = |status: &mailverity::api::v1alpha1::RoundTripPolicyStatus| {
            let answered = status.last_handled_verify_request.as_deref() == Some("clean");
            answered && status.in_flight.is_none() && results(status).first() == Some(&"Succeeded")
        };
        let status = cluster.policy_when(&name, "healthy by a clean probe", clean).await;
        assert!(results(&status).iter().all(|result| TOLD.contains(result)), "{status:#?}");
        ids.extend(status.history.into_iter().map(|row| row.id));
    }
    let mails = assert_once(&stack, &ids);
    println!("{rounds} kills: {mails} mails for {} probes, each once", ids.len());
}
