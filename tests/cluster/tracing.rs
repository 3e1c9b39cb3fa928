//! Traces over OTLP: what is in them, and that nothing waits for whoever collects them.

use std::time::{Duration, Instant};

use mailverity::api::v1alpha1::StageResult;
use serde_json::json;
use tokio::net::TcpListener;

use super::{
    account, auth, spec,
    support::{
        cluster::{Cluster, is},
        collector::{Collector, attributes},
        leaks,
        stack::Stack,
    },
};

type Told = std::collections::BTreeMap<String, String>;

fn env() -> Vec<(String, String)> {
    vec![("OTEL_EXPORTER_OTLP_HEADERS".to_owned(), "x-team=mail".to_owned())]
}

#[tokio::test]
async fn a_check_is_a_trace_with_its_stages_in_order_and_nothing_secret_in_it() {
    let (stack, cluster, collector) = (Stack::get(), Cluster::new("traces").await, Collector::new().await);
    account(&cluster, &stack, "traces").await;
    let operator = cluster.operator_in(env(), &["--otlp-endpoint", &collector.url()]).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let status = cluster.status_when("relay", "it works", |status| is(status, "Ready", "True", "Succeeded")).await;
    let is_it = |told: &Told| told.get("mailverity.name").is_some_and(|name| name == "relay");
    let (root, stages) = collector.trace("the check", is_it).await;
    let told = attributes(&root);
    assert_eq!((root.name.as_str(), told["mailverity.kind"].as_str()), ("MailServer", "MailServer"));
    assert_eq!(told["k8s.namespace.name"], cluster.namespace);
    assert!(told["mailverity.check"].len() >= 32 && !told.contains_key("mailverity.reason"), "{told:?}");
    let known = &status.last_check.as_ref().unwrap().stages;
    let passed = known.iter().filter(|stage| stage.result == StageResult::Passed).map(|stage| stage.name.as_str());
    let (passed, traced): (Vec<_>, Vec<_>) = (passed.collect(), stages.iter().map(|stage| stage.name.as_str()).collect());
    // What is read of Secrets and policies before is no work of the check.
    assert_eq!(traced, passed.iter().filter(|name| **name != "Secrets").copied().collect::<Vec<_>>());
    assert!(traced.starts_with(&["DNS", "TCP", "Banner"]) && traced.contains(&"AUTH"), "{traced:?}");
    assert!(stages.iter().all(|stage| stage.trace_id == root.trace_id && stage.end_time_unix_nano <= root.end_time_unix_nano));

    // A wrong password: its stage and the check have the reason, and nobody has the server's words.
    let wrong = leaks::password("traces-wrong");
    let user = cluster.secrets().get("account").await.unwrap().data.unwrap()["username"].clone();
    cluster.account("account", &String::from_utf8(user.0).unwrap(), &wrong).await;
    cluster.condition("relay", "Ready", "False", "AuthenticationFailed").await;
    let failed = |told: &Told| told.get("mailverity.reason").is_some_and(|reason| reason == "AuthenticationFailed");
    let (root, stages) = collector.trace("the failed check", failed).await;
    let auth = stages.iter().find(|stage| stage.name == "AUTH").unwrap();
    assert_eq!(attributes(auth)["mailverity.reason"], "AuthenticationFailed");
    assert_eq!([&root, auth].map(|span| span.status.as_ref().unwrap().code), [2, 2], "errors");
    for head in collector.heads() {
        assert!(
            head.starts_with("post /v1/traces http/1.1\r\n") && head.contains("content-type: application/x-protobuf"),
            "{head}"
        );
        assert!(head.contains("x-team: mail"), "{head}");
    }
    let all = String::from_utf8_lossy(&collector.bytes()).into_owned();
    leaks::none_in("the traces", &all);
    assert!(!all.contains("535") && !all.contains("localhost"), "more than names, ids and reasons");
    assert!(!operator.log().contains("mailverity::trace") && !operator.log().contains("otel."), "no log shows them");
}

#[tokio::test]
async fn the_work_of_an_agent_is_a_trace_that_names_its_object() {
    let (stack, cluster, collector) = (Stack::get(), Cluster::new("traces-agent").await, Collector::new().await);
    account(&cluster, &stack, "traces-agent").await;
    let actor = format!("{}-far", cluster.namespace);
    cluster.actor(&actor, &actor).await;
    let _operator = cluster.operator(&["--name", &cluster.namespace]).await;
    let agent = cluster.agent(&actor, &actor, &["--otlp-endpoint", &collector.url()]).await;
    let rest = json!({"auth": auth(), "verification": {"actors": [{"name": actor}]}});
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", rest)).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let of_task = |told: &Told| told.get("mailverity.kind").is_some_and(|kind| kind == "ActorTask");
    let (root, stages) = collector.trace("the task", of_task).await;
    assert_eq!(attributes(&root)["mailverity.object"], format!("MailServer {}/relay", cluster.namespace));
    let traced: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert!(traced.contains(&"TCP") && traced.ends_with(&["AUTH", "QUIT"]), "{traced:?}");
    leaks::none_in("the traces", &String::from_utf8_lossy(&collector.bytes()));
    agent.shows_no_secret().await;
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_is_silent_and_it_is_told_of_once() {
    let (stack, cluster) = (Stack::get(), Cluster::new("traces-silent").await);
    account(&cluster, &stack, "traces-silent").await;
    // It takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let mut operator = cluster.operator_in(env(), &["--otlp-endpoint", &url]).await;
    for name in ["one", "two"] {
        cluster.server(name, spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
        cluster.condition(name, "Ready", "True", "Succeeded").await;
    }
    let lost = || operator.log().matches("traces are lost").count();
    cluster.until("it is told of", async || (lost() > 0).then_some(())).await;
    let begun = Instant::now();
    cluster.server("three", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    cluster.condition("three", "Ready", "True", "Succeeded").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(lost(), 1);
    let took = tokio::task::spawn_blocking(move || operator.stop()).await.unwrap();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
