//! Every way into a mailbox: protocol, security, mechanism.

use serde_json::json;

use super::{
    mailbox, mailboxes, relay,
    setting::{RUN, account_of, many_mailboxes, with},
};
use crate::support::{cluster::Cluster, leaks, profiles::says, stack::Stack};

/// Protocol, port, security, mechanism that is allowed, mechanism that is told, whether the password may be shown.
type Way = (&'static str, &'static str, &'static str, &'static str, &'static str, bool);

const WAYS: [Way; 24] = [
    ("IMAP", "IMAP_PORT", "None", "PLAIN", "PLAIN", true),
    ("IMAP", "IMAP_PORT", "None", "LOGIN", "LOGIN", true),
    ("IMAP", "IMAP_PORT", "None", "CRAM-MD5", "CRAM-MD5", false),
    ("IMAP", "IMAP_PORT", "None", "NTLM", "NTLM", false),
    ("IMAP", "IMAP_PORT", "StartTLS", "PLAIN", "PLAIN", false),
    ("IMAP", "IMAP_PORT", "StartTLS", "LOGIN", "LOGIN", false),
    ("IMAP", "IMAP_PORT", "StartTLS", "CRAM-MD5", "CRAM-MD5", false),
    ("IMAP", "IMAP_PORT", "StartTLS", "NTLM", "NTLM", false),
    ("IMAP", "IMAPS_PORT", "TLS", "Auto", "PLAIN", false),
    ("IMAP", "IMAPS_PORT", "TLS", "LOGIN", "LOGIN", false),
    ("IMAP", "IMAPS_PORT", "TLS", "CRAM-MD5", "CRAM-MD5", false),
    ("IMAP", "IMAPS_PORT", "TLS", "NTLM", "NTLM", false),
    ("POP3", "POP3_PORT", "None", "LOGIN", "LOGIN", true),
    ("POP3", "POP3_PORT", "None", "PLAIN", "PLAIN", true),
    ("POP3", "POP3_PORT", "None", "APOP", "APOP", false),
    ("POP3", "POP3_PORT", "None", "CRAM-MD5", "CRAM-MD5", false),
    ("POP3", "POP3_PORT", "None", "NTLM", "NTLM", false),
    ("POP3", "POP3_PORT", "StartTLS", "LOGIN", "LOGIN", false),
    ("POP3", "POP3_PORT", "StartTLS", "PLAIN", "PLAIN", false),
    ("POP3", "POP3_PORT", "StartTLS", "NTLM", "NTLM", false),
    ("POP3", "POP3S_PORT", "TLS", "Auto", "PLAIN", false),
    ("POP3", "POP3S_PORT", "TLS", "LOGIN", "LOGIN", false),
    ("POP3", "POP3S_PORT", "TLS", "APOP", "APOP", false),
    ("POP3", "POP3S_PORT", "TLS", "NTLM", "NTLM", false),
];

fn is_judged(status: &mailverity::api::v1alpha1::EmailProfileStatus) -> bool {
    status.conditions.iter().any(|c| c.type_ == "Ready" && c.status != "Unknown")
}

#[tokio::test]
async fn each_protocol_security_and_mechanism_verifies_a_mailbox_and_cleans_it_up() {
    let (stack, cluster) = (Stack::get(), Cluster::new("ways").await);
    let users = many_mailboxes(&cluster, &stack, "ways", WAYS.len()).await;
    // The one user whom the stack's NTLM knows.
    cluster.account("ntlm", "EXAMPLE\\alice", "alice-secret").await;
    let operator = cluster.operator(&["--max-checks-per-host", "8"]).await;
    relay(&cluster, &stack, json!({"limits": {"messagesPerMinute": 1000, "connections": 4}})).await;
    let mut rows = Vec::new();
    for (number, (way, user)) in WAYS.into_iter().zip(&users).enumerate() {
        let (protocol, port, security, mechanism, _, shown) = way;
        let is_ntlm = mechanism == "NTLM";
        let address = if is_ntlm { "alice@example.test" } else { user };
        let base = if is_ntlm { json!({"type": "Password", "secretRef": {"name": "ntlm"}}) } else { account_of(user) };
        let account = with(base, &json!({"mechanisms": [mechanism], "allowPlaintext": shown}));
        let mut server = json!({"host": "localhost", "port": stack.port(port), "security": security});
        if security != "None" {
            server["tls"] = json!({"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}});
        }
        let name = format!("box-{number:02}");
        let rest = json!({"address": address, "protocol": protocol, "server": server, "account": account});
        cluster.profile(&name, mailbox(&stack, address, rest)).await;
        if is_ntlm {
            // Dovecot has one helper for all logins by NTLM, which cannot tell two at once apart.
            cluster.profile_when(&name, "judged", is_judged).await;
        }
        rows.push((name, address.to_owned(), way));
    }
    for (name, address, way) in rows {
        cluster.profile_when(&name, "judged", is_judged).await;
        let status = cluster.profile_left(&name).await;
        assert!(says(&status, "Ready", "True", "CodeReceived"), "{way:?}: {status:#?}");
        let stage = |name: &str| status.actors[0].checks.iter().find(|stage| stage.name == name);
        let told = stage("AUTH").and_then(|stage| stage.detail.clone()).unwrap_or_default();
        assert!(told.starts_with(way.4), "{way:?}: {told}");
        assert_eq!(status.tls.is_some(), way.2 != "None", "{way:?}: {status:#?}");
        assert_eq!(stage("Cleanup").and_then(|stage| stage.detail.as_deref()), Some("removed: 1, of earlier runs: 0"), "{way:?}");
        let run = &status.verification.as_ref().unwrap().run_id;
        cluster.removed(&stack, &address, run).await;
    }
    operator.shows_no_secret().await;
    cluster.shows_no_secret().await;
}

#[tokio::test]
async fn one_wrong_password_of_mailbox_and_servers_is_one_failed_login_also_after_a_restart() {
    // promises 7 and 8
    let (stack, cluster) = (Stack::get(), Cluster::new("one-login").await);
    let [sender, user] = mailboxes(&cluster, &stack, "one-login").await;
    cluster.account("mine", &user, &leaks::password("expired")).await;
    let mut operator = cluster.operator(&["--max-checks-per-host", "8"]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;

    // The same account in a mailbox, on its outgoing server and in a MailServer, all on one host.
    let mine = json!({"type": "Password", "secretRef": {"name": "mine"}});
    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}});
    let outgoing = json!({"host": "localhost", "port": stack.port("SUBMISSION_PORT"), "security": "StartTLS", "tls": tls});
    for name in ["one", "two", "three"] {
        cluster.profile(name, mailbox(&stack, &user, json!({"account": mine, "outgoing": outgoing}))).await;
    }
    cluster.server("other", crate::spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": mine}))).await;
    let mut refused = 0;
    for name in ["one", "two", "three"] {
        let status = cluster.profile_condition(name, "CredentialHeld", "True", "CredentialHeld").await;
        assert!(status.credential_held_until.is_some(), "{status:#?}");
        let status = cluster.profile_when(name, "judged", |s| s.conditions.iter().any(|c| c.type_ == "Ready")).await;
        refused += usize::from(says(&status, "Verified", "False", "AuthenticationFailed"));
    }
    let other = cluster.condition("other", "CredentialHeld", "True", "CredentialHeld").await;
    refused += usize::from(crate::support::cluster::is(&other, "Ready", "False", "AuthenticationFailed"));
    assert_eq!(refused, 1, "one saw the refusal, the others hear of it");
    let failures = || stack.log("DOVECOT_LOG", &[&user, "Password mismatch"]);
    assert_eq!(failures(), 1);

    operator.kill();
    operator.start();
    cluster.profile("late", mailbox(&stack, &user, json!({"account": mine, "outgoing": outgoing}))).await;
    cluster.profile_condition("late", "Ready", "False", "CredentialHeld").await;
    let looked = operator.reconciliations().await;
    for name in ["one", "two"] {
        cluster.ask_profile(name, "please").await;
    }
    cluster.until("two more looks", async || (operator.reconciliations().await >= looked + 2).then_some(())).await;
    assert_eq!(failures(), 1);
    assert!(stack.taken(&user).is_empty(), "a mail was sent to a mailbox that cannot be opened");

    // The Secret changes: all are good within seconds.
    cluster.account("mine", &user, &leaks::password("one-login")).await;
    let begun = std::time::Instant::now();
    for name in ["one", "two", "three", "late"] {
        cluster.profile_condition(name, "Ready", "True", "CodeReceived").await;
    }
    cluster.condition("other", "Ready", "True", "Succeeded").await;
    println!("all verified {:?} after the Secret was mended", begun.elapsed());
    assert_eq!(failures(), 1);
    assert_eq!(stack.log("DOVECOT_LOG", &[&sender, "Password mismatch"]), 0);
    cluster.removed(&stack, &user, RUN).await;
    operator.shows_no_secret().await;
    cluster.shows_no_secret().await;
}
