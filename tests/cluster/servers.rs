//! What a user sees: conditions, columns, Events, and what makes a check run.

use std::time::Instant;

use k8s_openapi::api::events::v1::Event;
use mailverity::api::v1alpha1::{SUSPEND_UNTIL, VERIFY_REQUESTED_AT};
use serde_json::json;

use super::{
    account, auth, spec,
    support::{
        cluster::{Cluster, is, message, noticed_within},
        leaks,
        stack::Stack,
    },
};

#[tokio::test]
async fn a_good_server_is_verified_and_says_so_in_its_columns() {
    let (stack, cluster) = (Stack::get(), Cluster::new("good").await);
    account(&cluster, &stack, "good").await;
    let operator = cluster.operator(&[]).await;
    let begun = Instant::now();
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    println!("verified after {:?}", begun.elapsed());
    for kind in ["Accepted", "Verified", "ResolvedRefs", "CredentialsReady", "Reachable", "TLSValid", "Authenticated"] {
        assert!(status.conditions.iter().any(|c| c.type_ == kind && c.status == "True"), "{kind}: {status:#?}");
    }
    assert!(!status.conditions.iter().any(|c| ["Reconciling", "Stalled", "Suspended", "Degraded"].contains(&c.type_.as_str())));
    assert_eq!(status.observed_generation, Some(1));
    let tls = status.tls.as_ref().unwrap();
    assert_eq!(tls.version.as_deref(), Some("TLSv1.3"));
    assert!(
        tls.dns_names.contains(&"localhost".to_owned()) && tls.not_after.is_some() && tls.sha256.as_ref().unwrap().len() == 64
    );
    let check = status.last_check.as_ref().unwrap();
    let stages: Vec<&str> = check.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["Secrets", "DNS", "TCP", "Banner", "EHLO", "STARTTLS", "TLS", "EHLO2", "AUTH", "QUIT"]);
    let table = cluster.kubectl(&["get", "mail"]);
    // Actors belong to no namespace: those of other tests may stand in a table of their own.
    let table = table.split("\n\n").find(|table| table.contains("ENDPOINT")).unwrap();
    let (head, row) = table.split_once('\n').unwrap();
    for column in ["ENDPOINT", "SECURITY", "STATE", "READY", "REASON", "CERT-EXPIRES", "LAST-CHECK", "AGE"] {
        assert!(head.contains(column), "{table}");
    }
    assert!(row.contains("StartTLS") && row.contains("Active") && row.contains("True") && row.contains("Succeeded"), "{table}");
    assert!(!table.contains("<invalid>"), "{table}");
    cluster.shows_no_secret().await;
    operator.shows_no_secret().await;
}

#[tokio::test]
async fn a_wrong_password_is_told_with_the_servers_words_and_what_to_do() {
    let (stack, cluster) = (Stack::get(), Cluster::new("wrong").await);
    let user = account(&cluster, &stack, "wrong").await;
    cluster.account("account", &user, &leaks::password("not-this-one")).await;
    let operator = cluster.operator(&[]).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let status = cluster.condition("relay", "Ready", "False", "AuthenticationFailed").await;
    assert!(
        is(&status, "Authenticated", "False", "AuthenticationFailed") && is(&status, "Verified", "False", "AuthenticationFailed")
    );
    assert!(is(&status, "CredentialHeld", "True", "CredentialHeld") && status.credential_held_until.is_some(), "{status:#?}");
    assert!(status.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True"));
    let text = message(&status, "Ready");
    assert!(text.contains("535 5.7.8") && text.contains(&format!("{}/account", cluster.namespace)), "{text}");
    let warned = |e: &Event| e.type_.as_deref() == Some("Warning") && e.reason.as_deref() == Some("AuthenticationFailed");
    cluster.until("an Event of the refusal", async || cluster.events().await.iter().any(warned).then_some(())).await;

    // The right one: verified again within seconds, and the credential is held no more.
    cluster.account("account", &user, &leaks::password("wrong")).await;
    let begun = Instant::now();
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert!(begun.elapsed().as_secs() < noticed_within(), "{:?}", begun.elapsed());
    assert!(!status.conditions.iter().any(|c| c.type_ == "CredentialHeld" || c.type_ == "Stalled"), "{status:#?}");
    cluster.shows_no_secret().await;
    operator.shows_no_secret().await;
}

#[tokio::test]
async fn what_is_missing_is_named_and_appears_without_a_restart() {
    let (stack, cluster) = (Stack::get(), Cluster::new("missing").await);
    let _operator = cluster.operator(&[]).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let status = cluster.condition("relay", "Ready", "False", "CABundleNotFound").await;
    assert!(is(&status, "ResolvedRefs", "False", "CABundleNotFound"));
    cluster.ca(&stack.ca()).await;
    cluster.condition("relay", "Ready", "False", "SecretNotFound").await;
    account(&cluster, &stack, "missing").await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    // And away again.
    cluster.secrets().delete("account", &kube::api::DeleteParams::default()).await.unwrap();
    cluster.condition("relay", "Ready", "False", "SecretNotFound").await;
}

#[tokio::test]
async fn a_request_a_change_and_nothing_else_make_a_check_run() {
    let (stack, cluster) = (Stack::get(), Cluster::new("triggers").await);
    account(&cluster, &stack, "triggers").await;
    let _operator = cluster.operator(&[]).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let first = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let id = |status: &mailverity::api::v1alpha1::MailServerStatus| status.last_check.as_ref().unwrap().id.clone();

    // A label and an interval change no check.
    cluster.annotate("relay", "example.test/note", "x").await;
    cluster.patch("relay", json!({"verification": {"interval": "2h"}})).await;
    let second = cluster.status_when("relay", "generation 2 judged", |status| status.observed_generation == Some(2)).await;
    assert_eq!(id(&first), id(&second));

    cluster.annotate("relay", VERIFY_REQUESTED_AT, "2026-01-01T00:00:00Z").await;
    let handled = |status: &mailverity::api::v1alpha1::MailServerStatus| {
        status.last_handled_verify_request.as_deref() == Some("2026-01-01T00:00:00Z")
    };
    let third = cluster.status_when("relay", "the request answered", handled).await;
    assert_ne!(id(&first), id(&third));

    cluster.patch("relay", json!({"port": stack.port("SMTPS_PORT"), "security": "TLS"})).await;
    let fourth = cluster
        .status_when("relay", "generation 3 judged", |status| {
            status.observed_generation == Some(3) && is(status, "Ready", "True", "Succeeded")
        })
        .await;
    assert_ne!(id(&third), id(&fourth));
    assert_eq!(fourth.endpoint.unwrap().port, i32::from(stack.port("SMTPS_PORT")));
}

#[tokio::test]
async fn suspended_nothing_goes_out_and_verified_keeps_its_value() {
    let (stack, cluster) = (Stack::get(), Cluster::new("suspend").await);
    account(&cluster, &stack, "suspend").await;
    let _operator = cluster.operator(&[]).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let before = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    cluster.patch("relay", json!({"suspend": true})).await;
    let status = cluster.condition("relay", "Suspended", "True", "Suspended").await;
    assert!(is(&status, "Verified", "True", "Succeeded") && !status.conditions.iter().any(|c| c.type_ == "Ready"), "{status:#?}");
    assert_eq!(status.observed_generation, Some(2));
    cluster.annotate("relay", VERIFY_REQUESTED_AT, "now").await;
    cluster.patch("relay", json!({"port": stack.port("SMTPS_PORT"), "security": "TLS"})).await;
    let status = cluster.status_when("relay", "generation 3 seen", |status| status.observed_generation == Some(3)).await;
    assert_eq!(status.last_check.unwrap().id, before.last_check.unwrap().id);
    cluster.patch("relay", json!({"suspend": false})).await;
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert!(!status.conditions.iter().any(|c| c.type_ == "Suspended"));

    // For a while only, with no change of spec.
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    cluster.annotate("relay", SUSPEND_UNTIL, &soon.to_string()).await;
    cluster.condition("relay", "Suspended", "True", "Suspended").await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert!(jiff::Timestamp::now() >= soon);
}

#[tokio::test]
async fn a_malformed_object_gets_a_condition_and_stops_nothing_else() {
    let (stack, cluster) = (Stack::get(), Cluster::new("malformed").await);
    account(&cluster, &stack, "malformed").await;
    let _operator = cluster.operator(&[]).await;
    // The schema takes a time zone that is none, and a cron line that is none.
    let windows = json!([{"start": "61 25 * * *", "duration": "1h", "timeZone": "Europe/Nowhere"}]);
    cluster.server("bad", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth(), "maintenance": windows}))).await;
    cluster.server("good", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    cluster.condition("good", "Ready", "True", "Succeeded").await;
    let status = cluster.condition("bad", "Ready", "False", "ScheduleInvalid").await;
    assert!(is(&status, "Accepted", "False", "ScheduleInvalid"), "{status:#?}");
}

#[tokio::test]
async fn an_alternate_takes_over_and_the_primary_comes_back_by_itself() {
    let (stack, cluster) = (Stack::get(), Cluster::new("alternate").await);
    account(&cluster, &stack, "alternate").await;
    let primary = super::proxy::Proxy::to(stack.port("SUBMISSION_PORT")).await;
    primary.refuse(true);
    let _operator = cluster.operator(&[]).await;
    let rest = json!({"auth": auth(), "port": primary.port, "verification": {"interval": "1m"},
        "alternates": [{"host": "localhost", "port": stack.port("SMTPS_PORT"), "security": "TLS"}]});
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", rest)).await;
    let status = cluster.condition("relay", "Degraded", "True", "UsingAlternate").await;
    assert!(is(&status, "Ready", "True", "Succeeded") || is(&status, "Ready", "True", "UsingAlternate"), "{status:#?}");
    assert_eq!(
        status.endpoint.as_ref().unwrap().active.as_deref(),
        Some(format!("localhost:{}", stack.port("SMTPS_PORT")).as_str())
    );
    primary.refuse(false);
    cluster.annotate("relay", VERIFY_REQUESTED_AT, "again").await;
    let back = |status: &mailverity::api::v1alpha1::MailServerStatus| !status.conditions.iter().any(|c| c.type_ == "Degraded");
    let status = cluster.status_when("relay", "back on the primary", back).await;
    assert_eq!(status.endpoint.unwrap().active.as_deref(), Some(format!("localhost:{}", primary.port).as_str()));
}

#[tokio::test]
async fn loopback_is_denied_by_default_also_behind_a_name() {
    let (stack, cluster) = (Stack::get(), Cluster::new("denied").await);
    account(&cluster, &stack, "denied").await;
    let denied = "127.0.0.0/8,::1/128";
    let _operator = cluster.operator(&["--deny-cidrs", denied]).await;
    for (name, host) in [("name", "localhost"), ("address", "127.0.0.1"), ("mapped", "::ffff:127.0.0.1")] {
        cluster.server(name, spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"host": host, "auth": auth()}))).await;
        let status = cluster.condition(name, "Ready", "False", "DestinationDenied").await;
        assert!(is(&status, "Reachable", "False", "DestinationDenied"));
    }
}

#[tokio::test]
async fn a_second_default_server_of_a_namespace_is_a_conflict() {
    let (stack, cluster) = (Stack::get(), Cluster::new("default").await);
    account(&cluster, &stack, "default").await;
    let _operator = cluster.operator(&[]).await;
    for name in ["first", "second"] {
        cluster.server(name, spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
        cluster.condition(name, "Ready", "True", "Succeeded").await;
        cluster.annotate(name, mailverity::api::v1alpha1::IS_DEFAULT_SERVER, "true").await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await; // creation times are whole seconds
    }
    let status = cluster.condition("second", "Ready", "False", "Conflict").await;
    assert!(message(&status, "Ready").contains("first"), "{status:#?}");
    assert!(is(&cluster.status("first").await, "Ready", "True", "Succeeded"));
}
