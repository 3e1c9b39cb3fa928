//! `EmailProfile` in a cluster, against Postfix and Dovecot: a mail with a code is sent, found and removed.

use serde_json::{Value, json};

use super::{
    account, auth, spec,
    support::{cluster::Cluster, stack::Stack},
};

/// A profile of a mailbox of this test's own, read by IMAP within TLS, whose mails go through `relay`.
pub fn mailbox(stack: &Stack, user: &str, rest: Value) -> Value {
    let mut spec = json!({
        "address": user, "protocol": "IMAP",
        "server": {"host": "localhost", "port": stack.port("IMAPS_PORT"), "security": "TLS",
            "tls": {"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}}},
        "account": auth(),
        "verification": {"senderRef": {"name": "relay"}, "interval": "15m", "timeout": "30s"},
    });
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

#[tokio::test]
async fn a_mail_with_a_code_is_sent_found_and_removed() {
    let (stack, cluster) = (Stack::get(), Cluster::new("profile").await);
    let user = account(&cluster, &stack, "profile").await;
    let _operator = cluster.operator(&[]).await;
    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    let status = cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    println!("{}", cluster.kubectl(&["get", "mail"]));
    println!("{}", serde_yaml::to_string(&status).unwrap());
    assert_eq!(status.summary.as_deref(), Some("1/1"));
    assert!(stack.mails(&user, "X-Mailverity-Run").is_empty(), "our mail is removed");
    cluster.shows_no_secret().await;
}
