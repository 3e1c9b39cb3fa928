//! What the chart's dashboard and alerts make of real failures, in a real Prometheus.

use std::{collections::BTreeSet, time::Duration};

use kube::api::DeleteParams;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    auth,
    policies::setting::{away, policy, receiver},
    profiles::setting::{mailbox, many_mailboxes, open_relay, with},
    proxy::Proxy,
    spec,
    support::{
        cluster::{Cluster, free_port, root},
        profiles::says,
        prometheus::Prometheus,
        stack::Stack,
    },
};

/// Values of the chart as they are where nobody says otherwise, but in seconds.
const VALUES: [(&str, &str); 6] = [
    ("installation", "mailverity"),
    ("unverifiedFor", "1s"),
    ("certificateDays", "14"),
    ("credentialDays", "14"),
    ("overdueFor", "30m"),
    ("pausedFor", "1s"),
];

/// The titles of the dashboard's panels, each with a query.
fn panels() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("charts/mailverity/dashboards/mailverity.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let query = |panel: &Value, target: &Value| {
        let expr = target["expr"].as_str().unwrap().replace("$__rate_interval", "20s");
        (panel["title"].as_str().unwrap().to_owned(), expr.replace("$job", ".+").replace("$namespace", ".+"))
    };
    panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten().map(|target| query(panel, target))).collect()
}

#[tokio::test]
async fn every_panel_of_the_dashboard_has_data() {
    let (stack, cluster) = (Stack::get(), Cluster::new("panels").await);
    let receivers = cluster.receivers().await;
    let flags =
        ["--max-messages-per-recipient-per-hour", "10000", "--max-messages-per-hour", "10000", "--max-checks-per-host", "8"];
    let operator = cluster.operator_with(&receivers, &flags).await;
    let inbound = receiver(&cluster, &stack, &receivers).await;
    let prometheus = Prometheus::start(&cluster.dir(), &[&operator.metrics, &inbound.metrics], &VALUES);
    let [user] = <[String; 1]>::try_from(many_mailboxes(&cluster, &stack, "panels", 1).await).unwrap();
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    cluster.server("dead", json!({"host": "localhost", "port": free_port(), "sender": {"address": "probe@example.test"}})).await;
    cluster.policy("answered", policy(json!({"to": "vacation@remote.test", "expect": "OutOfOffice"}))).await;
    let paused =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mailverity-pause"}, "data": {"elsewhere": ""}});
    cluster.apply(paused).await;
    let to = format!("bounced-{}@example.test", Uuid::new_v4().simple());
    cluster.policy("bounced", policy(json!({"to": to, "timeout": "10m"}))).await;
    cluster.policy_condition("answered", "Ready", "True", "Succeeded").await;
    let panels = panels();
    assert!(panels.len() > 20);
    let mut round = 0;
    let mut missing = panels.clone();
    let all = async || {
        // A rate wants something that goes on.
        round += 1;
        for name in ["answered", "bounced"] {
            cluster.ask_policy(name, &format!("round {round}")).await;
        }
        cluster.annotate("relay", "mailverity.dev/verify-requested-at", &format!("round {round}")).await;
        let mut still = Vec::new();
        for (title, query) in missing.drain(..) {
            if prometheus.values(&query).await.iter().all(|value| value.is_nan()) {
                still.push((title, query));
            }
        }
        missing = still;
        tokio::time::sleep(Duration::from_millis(500)).await;
        missing.is_empty()
    };
    within(Duration::from_mins(3), all).await;
    assert!(missing.is_empty(), "no data: {missing:#?}");
}

/// Asks until it is so, or the time is over.
async fn within(patience: Duration, mut is_so: impl AsyncFnMut() -> bool) -> bool {
    let end = std::time::Instant::now() + patience;
    while std::time::Instant::now() < end {
        if is_so().await {
            return true;
        }
    }
    false
}

/// Waits until all of these fire.
async fn fire(cluster: &Cluster, prometheus: &Prometheus, wanted: &[(&str, &str)]) {
    let wanted: BTreeSet<_> = wanted.iter().map(|(alert, name)| ((*alert).to_owned(), (*name).to_owned())).collect();
    let all = async || wanted.is_subset(&prometheus.firing().await).then_some(());
    cluster.until(&format!("{wanted:?} fire"), all).await;
}

#[tokio::test]
async fn each_alert_fires_at_its_failure() {
    let (stack, cluster) = (Stack::get(), Cluster::new("alerts").await);
    let mut operator = cluster.operator(&["--max-messages-per-hour", "1"]).await;
    // The certificate of the mail stack holds for twenty days.
    let values = VALUES.map(|(name, value)| match name {
        "certificateDays" => (name, "30"),
        "overdueFor" => (name, "5s"),
        _ => (name, value),
    });
    let prometheus = Prometheus::start(&cluster.dir(), &[&operator.metrics], &values);
    let users = many_mailboxes(&cluster, &stack, "alerts", 2).await;
    open_relay(&cluster, &stack, stack.port("PLAIN_PORT"), json!({"sender": {"address": users[0]}})).await;
    cluster.server("tls", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    cluster.server("dead", json!({"host": "localhost", "port": free_port(), "sender": {"address": "probe@example.test"}})).await;
    // Its one mail is all that may be sent in this hour.
    cluster.profile("box", mailbox(&stack, &users[0], json!({}))).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let wrong = json!({"host": "localhost", "port": free_port(), "security": "TLS"});
    cluster.profile("lost", mailbox(&stack, &users[1], json!({"server": wrong}))).await;
    cluster.ask_profile("lost", "again").await;
    let ends = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(240)).to_string()[..10].to_owned();
    cluster
        .apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "stringData": {"clientSecret": "x"}}))
        .await;
    let app = json!({"type": "OAuth2", "username": "probe@example.test", "oauth2": {"provider": "Custom", "grant": "ClientCredentials",
        "clientID": "app", "tokenURL": "https://localhost/token", "scopes": ["mail"], "clientSecretExpires": ends,
        "client": {"secretRef": {"name": "app"}}}});
    cluster.server("by-app", json!({"host": "localhost", "port": free_port(), "auth": app})).await;
    cluster.mail_receiver("inbound", json!({"domains": ["reply.example.test"], "tls": {"mode": "None"}})).await;
    fire(
        &cluster,
        &prometheus,
        &[
            ("MailServerUnverified", "dead"),
            ("MailProfileUnverified", "lost"),
            ("MailCertificateExpiring", "tls"),
            ("MailCredentialExpiring", "by-app"),
            ("MailReceiverNotListening", "inbound"),
            ("MailverityBudgetExhausted", ""),
        ],
    )
    .await;
    // A check that is due and does not end: this server never says a word.
    let silent = std::net::TcpListener::bind("localhost:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    cluster.server("silent", json!({"host": "localhost", "port": port, "verification": {"timeout": "5m"}})).await;
    fire(&cluster, &prometheus, &[("MailverityNoChecks", "")]).await;
    cluster.servers().delete("silent", &DeleteParams::default()).await.unwrap();

    cluster.pause().await;
    fire(&cluster, &prometheus, &[("MailverityPaused", "")]).await;
    // What is paused is no failure.
    let quiet = async || prometheus.firing().await.iter().all(|(_, name)| name.is_empty()).then_some(());
    cluster.until("no alert of an object fires", quiet).await;
    cluster.goes_on().await;
    fire(&cluster, &prometheus, &[("MailServerUnverified", "dead")]).await;

    operator.kill();
    fire(&cluster, &prometheus, &[("MailverityNoLeader", "")]).await;
}

#[tokio::test]
async fn a_round_trip_that_is_not_answered_fires_its_alert() {
    let (stack, cluster) = (Stack::get(), Cluster::new("alert-trip").await);
    let operator = cluster.operator(&[]).await;
    let prometheus = Prometheus::start(&cluster.dir(), &[&operator.metrics], &VALUES);
    let users = many_mailboxes(&cluster, &stack, "alert-trip", 1).await;
    open_relay(&cluster, &stack, stack.port("PLAIN_PORT"), json!({"sender": {"address": users[0]}})).await;
    cluster.profile("box", mailbox(&stack, &users[0], json!({}))).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let silent = with(away("2s"), &json!({"to": "alice@example.test", "failureThreshold": 1}));
    cluster.policy("silent", silent).await;
    fire(&cluster, &prometheus, &[("MailRoundTripFailing", "silent")]).await;
}

#[tokio::test]
async fn a_dead_relay_with_two_hundred_dependents_is_one_alert_and_a_handful_of_events() {
    const MANY: usize = 200;
    let (stack, cluster) = (Stack::get(), Cluster::new("dependents").await);
    let users = many_mailboxes(&cluster, &stack, "dependents", MANY).await;
    let flags = ["--max-new-at-once", "0", "--max-messages-per-hour", "10000", "--max-checks-per-host", "32"];
    let operator = cluster.operator_at("info", &flags).await;
    let prometheus = Prometheus::start(&cluster.dir(), &[&operator.metrics], &VALUES);
    let relay = Proxy::to(stack.port("PLAIN_PORT")).await;
    open_relay(&cluster, &stack, relay.port, json!({"limits": {"messagesPerMinute": 1000, "connections": 16}})).await;
    let name = |number: usize| format!("box-{number}");
    for (number, user) in users.iter().enumerate() {
        cluster.profile(&name(number), mailbox(&stack, user, json!({}))).await;
    }
    for number in 0..MANY {
        let verified = |status: &_| says(status, "Ready", "True", "CodeReceived");
        cluster.profile_within(Duration::from_mins(3), &name(number), "verified", verified).await;
    }
    relay.refuse(true);
    cluster.annotate("relay", "mailverity.dev/verify-requested-at", "now").await;
    cluster
        .status_when("relay", "unverified", |status| {
            status.conditions.iter().any(|c| c.type_ == "Verified" && c.status == "False")
        })
        .await;
    for number in 0..MANY {
        cluster.ask_profile(&name(number), "now").await;
    }
    for number in 0..MANY {
        cluster.profile_condition(&name(number), "Ready", "Unknown", "DependencyNotReady").await;
    }
    fire(&cluster, &prometheus, &[("MailServerUnverified", "relay")]).await;
    // All of it has been scraped by now, and judged.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let firing: Vec<_> = prometheus.firing().await.into_iter().collect();
    assert_eq!(firing, [("MailServerUnverified".to_owned(), "relay".to_owned())]);
    let warnings = cluster.events().await.into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
    let warnings: Vec<_> = warnings.map(|event| event.note.unwrap_or_default()).collect();
    assert!((1..=5).contains(&warnings.len()), "{warnings:#?}");
}
