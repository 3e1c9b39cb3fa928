//! Logins over all objects (promises 7 and 8), and who may send which Secret where.

use mailverity::api::v1alpha1::ALLOWED_HOSTS;
use serde_json::json;

use super::{
    account, auth, spec,
    support::{
        cluster::{Cluster, is},
        leaks,
        stack::Stack,
    },
};

const MANY: usize = 20;

#[tokio::test]
async fn one_wrong_password_in_twenty_objects_is_one_failed_login_also_after_a_restart() {
    // promise 8
    let (stack, cluster) = (Stack::get(), Cluster::new("breaker").await);
    let user = account(&cluster, &stack, "breaker").await;
    cluster.account("account", &user, &leaks::password("expired")).await;
    let mut operator = cluster.operator(&["--max-checks-per-host", "20"]).await;
    for number in 0..MANY {
        let rest = json!({"auth": auth(), "limits": {"connections": 20}});
        cluster.server(&format!("relay-{number}"), spec(&stack, "SUBMISSION_PORT", "StartTLS", rest)).await;
    }
    let mut refused = 0;
    for number in 0..MANY {
        let held =
            |status: &mailverity::api::v1alpha1::MailServerStatus| status.conditions.iter().any(|c| c.type_ == "CredentialHeld");
        let status = cluster.status_when(&format!("relay-{number}"), "held", held).await;
        assert!(status.credential_held_until.is_some(), "{status:#?}");
        refused += usize::from(is(&status, "Ready", "False", "AuthenticationFailed"));
    }
    assert_eq!(refused, 1, "one saw the refusal, the others hear of it");
    let failures = || stack.log("DOVECOT_LOG", &[&user, "Password mismatch"]);
    assert_eq!(failures(), 1);

    operator.kill();
    operator.start();
    cluster.server("late", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    cluster.condition("late", "Ready", "False", "CredentialHeld").await;
    let looked = operator.reconciliations().await;
    for number in 0..3 {
        cluster.annotate(&format!("relay-{number}"), mailverity::api::v1alpha1::VERIFY_REQUESTED_AT, "please").await;
    }
    // A request does not break the hold: it waits until the hold ends.
    cluster.until("three more looks", async || (operator.reconciliations().await >= looked + 3).then_some(())).await;
    assert_eq!(failures(), 1);

    // The Secret changes: all are good again.
    cluster.account("account", &user, &leaks::password("breaker")).await;
    for number in 0..MANY {
        cluster.condition(&format!("relay-{number}"), "Ready", "True", "Succeeded").await;
    }
    assert_eq!(failures(), 1);
    operator.shows_no_secret().await;
    cluster.shows_no_secret().await;
}

#[tokio::test]
async fn a_pinned_secret_goes_to_its_hosts_and_nowhere_else() {
    let (stack, cluster) = (Stack::get(), Cluster::new("pinned").await);
    let user = account(&cluster, &stack, "pinned").await;
    let _operator = cluster.operator(&[]).await;
    cluster.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "account", "annotations": {ALLOWED_HOSTS: "smtp.corp.example"}},
        "stringData": {"username": user, "password": leaks::password("pinned")}, "type": "kubernetes.io/basic-auth"})).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let status = cluster.condition("relay", "Ready", "False", "SecretHostNotAllowed").await;
    assert!(is(&status, "ResolvedRefs", "False", "SecretHostNotAllowed"));
    let patch = json!({"metadata": {"annotations": {ALLOWED_HOSTS: "smtp.corp.example, localhost"}}});
    cluster.secrets().patch("account", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch)).await.unwrap();
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
}

#[tokio::test]
async fn with_access_get_a_rotated_secret_is_noticed_without_the_right_to_list() {
    let (stack, cluster) = (Stack::get(), Cluster::new("get").await);
    let user = account(&cluster, &stack, "get").await;
    let operator = cluster.operator(&["--secrets-access", "Get"]).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    cluster.account("account", &user, &leaks::password("rotated")).await;
    let begun = std::time::Instant::now();
    let failed = |status: &mailverity::api::v1alpha1::MailServerStatus| is(status, "Ready", "False", "AuthenticationFailed");
    // 60 s between two looks, and 10 s for the rest.
    let end = begun + std::time::Duration::from_secs(70);
    while !failed(&cluster.status("relay").await) {
        assert!(std::time::Instant::now() < end, "not noticed in 70 s");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    operator.shows_no_secret().await;
}
