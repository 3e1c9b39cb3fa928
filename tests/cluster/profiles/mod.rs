//! `EmailProfile` in a cluster, against Postfix and Dovecot: a mail with a code is sent, found and removed.

pub mod crashes;
pub mod kills;
pub mod scale;
pub mod setting;

mod apis;
mod halts;
mod late;
mod logins;
mod manual;
mod outcomes;
mod outgoing;
mod refusals;
mod safety;
mod secrets;
mod sessions;
mod sharing;

use serde_json::json;

use super::support::{cluster::Cluster, stack::Stack};
pub use setting::mailbox;
use setting::{RUN, mailboxes, relay};

#[tokio::test]
async fn a_mail_with_a_code_is_sent_found_and_removed_and_the_columns_say_so() {
    let (stack, cluster) = (Stack::get(), Cluster::new("profile").await);
    let [user] = mailboxes(&cluster, &stack, "profile").await;
    let operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    let status = cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    assert_eq!(status.summary.as_deref(), Some("1/1"));
    for kind in ["Accepted", "ResolvedRefs", "CredentialsReady", "Verified"] {
        assert!(status.conditions.iter().any(|c| c.type_ == kind && c.status == "True"), "{kind}: {status:#?}");
    }
    assert!(!status.conditions.iter().any(|c| ["Reconciling", "Stalled", "Suspended", "Degraded"].contains(&c.type_.as_str())));
    assert_eq!(status.actors[0].source_ip.as_deref(), Some("127.0.0.1"), "the address of our own socket");
    assert_eq!(stack.taken(&user).into_values().collect::<Vec<_>>(), [1], "one mail, once");
    cluster.removed(&stack, &user, RUN).await;
    let table = cluster.kubectl(&["get", "emailprofiles"]);
    let (head, row) = table.split_once('\n').unwrap();
    for column in ["ADDRESS", "PROTOCOL", "VERIFIED", "STATE", "REASON", "LAST-VERIFIED", "AGE"] {
        assert!(head.contains(column), "{table}");
    }
    for told in [user.as_str(), "IMAP", "1/1", "Active", "CodeReceived"] {
        assert!(row.contains(told), "{table}");
    }
    cluster.shows_no_secret().await;
    operator.shows_no_secret().await;
}
