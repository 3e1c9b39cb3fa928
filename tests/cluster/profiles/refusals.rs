//! Specs and references that no run can begin with, and what each version of a status must hold to.

use mailverity::api::v1alpha1::{EmailProfile, EmailProfileStatus};
use serde_json::json;

use super::{mailbox, mailboxes, relay, setting::message};
use crate::{
    history::History,
    support::{cluster::Cluster, leaks, profiles::says, stack::Stack},
};

#[tokio::test]
async fn what_keeps_a_run_from_beginning_is_told_by_its_reason_and_no_mail_is_sent() {
    let (stack, cluster) = (Stack::get(), Cluster::new("refusals").await);
    let [_, user] = mailboxes(&cluster, &stack, "refusals").await;
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    let server = |tls| json!({"host": "localhost", "port": stack.port("IMAPS_PORT"), "security": "TLS", "tls": tls});
    let absent = json!({"type": "Password", "username": user, "secretRef": {"name": "absent"}});
    for (name, rest, kind, reason, word) in [
        ("server", json!({"verification": super::setting::sent_by("absent")}), "ResolvedRefs", "MailServerNotFound", "absent"),
        ("secret", json!({"account": absent}), "ResolvedRefs", "SecretNotFound", "absent"),
        ("bundle", json!({"server": server(json!({"caRef": {"name": "absent"}}))}), "ResolvedRefs", "CABundleNotFound", "absent"),
        ("actor", json!({"actors": [{"name": "branch-office"}]}), "ResolvedRefs", "ActorNotFound", "branch-office"),
        ("untrusted", json!({"server": server(json!({}))}), "Verified", "CertificateUntrusted", "CN=mailstack test CA"),
    ] {
        cluster.profile(name, mailbox(&stack, &user, rest)).await;
        let status = cluster.profile_condition(name, "Ready", "False", reason).await;
        assert!(says(&status, kind, "False", reason), "{name}: {status:#?}");
        assert!(message(&status, "Ready").contains(word), "{name}: {status:#?}");
    }
    assert!(stack.taken(&user).is_empty());
}

#[tokio::test]
async fn every_version_of_a_profiles_status_is_sound() {
    // promises 14 and 15
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-versions").await);
    let [_, user, elsewhere] = mailboxes(&cluster, &stack, "profile-versions").await;
    cluster.account("mine", &user, &leaks::password("profile-versions")).await;
    let mine = json!({"type": "Password", "secretRef": {"name": "mine"}});
    let history: History<EmailProfile> = History::of(&cluster).await;
    cluster.profile("box", mailbox(&stack, &user, json!({"account": mine}))).await;
    assert_eq!(cluster.profile_status("box").await.observed_generation, Some(-1), "it would look current to kstatus");
    let operator = cluster.operator(&[]).await;
    cluster.profile_condition("box", "Stalled", "True", "MailServerNotFound").await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    cluster.ask_profile("box", "1").await;
    cluster.profile_when("box", "answered", |status| status.last_handled_verify_request.as_deref() == Some("1")).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let change = async |spec| cluster.patch_profile("box", json!({"spec": spec})).await;
    change(json!({"server": {"host": "nobody.invalid"}})).await;
    cluster.profile_condition("box", "Ready", "False", "DNSLookupFailed").await;
    change(json!({"server": {"host": "localhost", "tls": null}})).await;
    cluster.profile_condition("box", "Stalled", "True", "CertificateUntrusted").await;
    change(json!({"server": {"tls": {"caRef": {"kind": "ConfigMap", "name": "nowhere", "key": "ca.crt"}}}})).await;
    cluster.profile_condition("box", "Stalled", "True", "CABundleNotFound").await;
    change(json!({"server": {"tls": {"caRef": {"name": "ca"}}}, "suspend": true})).await;
    cluster.profile_condition("box", "Suspended", "True", "Suspended").await;
    change(json!({"suspend": false})).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    cluster.account("mine", &user, &leaks::password("wrong")).await;
    cluster.profile_condition("box", "Stalled", "True", "AuthenticationFailed").await;
    cluster.account("mine", &user, &leaks::password("profile-versions")).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    change(json!({"address": elsewhere})).await;
    cluster.profile_condition("box", "Ready", "False", "MessageNotReceived").await;
    change(json!({"verification": {"mode": "Manual", "senderRef": null}})).await;
    let asked = |status: &EmailProfileStatus| status.verification.as_ref().is_some_and(|run| run.subject.is_some());
    cluster.profile_when("box", "asking for a mail", asked).await;
    change(json!({"address": user, "verification": {"mode": null, "senderRef": {"name": "relay"}}})).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let steps = history.is_sound(&cluster, "box").await;
    println!("{} versions:\n{}", steps.len(), steps.join("\n"));
    assert!(steps[0].starts_with("-1/1"), "{steps:#?}");
    assert!(steps.iter().any(|step| step.contains("Reconciling=True")), "{steps:#?}");
    operator.shows_no_secret().await;
    cluster.shows_no_secret().await;
}
