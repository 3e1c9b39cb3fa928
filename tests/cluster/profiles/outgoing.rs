//! The other direction of a mailbox: its outgoing server, with the same account.

use mailverity::api::v1alpha1::{EmailProfileStatus, ProfileActorState};
use serde_json::{Value, json};

use super::{
    mailbox, mailboxes, relay,
    setting::{message, sent_by, with},
};
use crate::{
    spec,
    support::{cluster::Cluster, profiles::says, stack::Stack},
};

fn submission(stack: &Stack, rest: &Value) -> Value {
    let outgoing = json!({"host": "localhost", "port": stack.port("SUBMISSION_PORT"), "security": "StartTLS",
        "tls": {"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}}});
    with(outgoing, rest)
}

#[tokio::test]
async fn the_login_to_the_outgoing_server_is_proved_and_nothing_is_sent_through_it() {
    let (stack, cluster) = (Stack::get(), Cluster::new("outgoing").await);
    let [_, user] = mailboxes(&cluster, &stack, "outgoing").await;
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    let outgoing = submission(&stack, &json!({"auth": {"required": true, "mechanisms": ["CRAM-MD5"]}}));
    cluster.profile("box", mailbox(&stack, &user, json!({"outgoing": outgoing}))).await;
    let status = cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let told = status.outgoing.expect("what the outgoing server said");
    assert_eq!(told.address, format!("localhost:{}", stack.port("SUBMISSION_PORT")));
    assert_eq!((told.state, told.reason.as_deref()), (ProfileActorState::Verified, Some("Succeeded")));
    assert_eq!(stack.log("POSTFIX_LOG", &["sasl_username", &user]), 0, "a mail went through it");
}

#[tokio::test]
async fn an_outgoing_server_that_cannot_be_logged_in_to_is_told_with_its_address() {
    let (stack, cluster) = (Stack::get(), Cluster::new("outgoing-bad").await);
    let [_, user] = mailboxes(&cluster, &stack, "outgoing-bad").await;
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    let outgoing = submission(&stack, &json!({"auth": {"required": true, "mechanisms": ["APOP"]}}));
    cluster.profile("box", mailbox(&stack, &user, json!({"outgoing": outgoing}))).await;
    let status = cluster.profile_condition("box", "Ready", "False", "AuthMechanismNotOffered").await;
    let address = format!("localhost:{}", stack.port("SUBMISSION_PORT"));
    let text = message(&status, "Ready");
    assert!(text.contains(&address) && text.contains("CRAM-MD5"), "{text}");
    assert_eq!(status.summary.as_deref(), Some("1/1"), "the mailbox itself works");
    let told = status.outgoing.as_ref().expect("what the outgoing server said");
    assert_eq!((told.state, told.address.as_str()), (ProfileActorState::Unverified, address.as_str()));

    // Where the login is not to be proved, it is not.
    let verification = with(sent_by("relay"), &json!({"checkOutgoing": false}));
    cluster.profile("box", mailbox(&stack, &user, json!({"outgoing": outgoing, "verification": verification}))).await;
    let status = cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    assert!(status.outgoing.is_none(), "{status:#?}");
}

#[tokio::test]
async fn an_outgoing_mail_server_with_another_account_is_a_mismatch_and_with_the_same_it_is_not() {
    let (stack, cluster) = (Stack::get(), Cluster::new("mismatch").await);
    let [other, user] = mailboxes(&cluster, &stack, "mismatch").await;
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", mailbox(&stack, &user, json!({"outgoing": {"serverRef": {"name": "relay"}}}))).await;
    let status = cluster.profile_condition("box", "ResolvedRefs", "False", "AccountMismatch").await;
    let text = message(&status, "Ready");
    assert!(says(&status, "Ready", "False", "AccountMismatch") && text.contains(&other) && text.contains(&user), "{text}");
    assert!(stack.taken(&user).is_empty());

    // A server that is not there.
    cluster.profile("gone", mailbox(&stack, &user, json!({"outgoing": {"serverRef": {"name": "same"}}}))).await;
    cluster.profile_condition("gone", "ResolvedRefs", "False", "MailServerNotFound").await;
    let auth = super::setting::account_of(&user);
    cluster.server("same", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth}))).await;
    cluster.profile_condition("gone", "Ready", "True", "CodeReceived").await;
    let patch = json!({"spec": {"outgoing": {"serverRef": {"name": "same"}}}});
    cluster.patch_profile("box", patch).await;
    let fine = |status: &EmailProfileStatus| says(status, "Ready", "True", "CodeReceived");
    cluster.profile_when("box", "verified", fine).await;
}
