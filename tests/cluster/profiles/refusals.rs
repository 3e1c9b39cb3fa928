//! Specs and references that no run can begin with.

use serde_json::json;

use super::{mailbox, mailboxes, relay, setting::message};
use crate::support::{cluster::Cluster, profiles::says, stack::Stack};

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
