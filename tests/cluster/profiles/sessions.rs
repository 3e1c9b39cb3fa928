//! How many sessions there are at one mailbox at the same time.

use mailverity::api::v1alpha1::ProfileActorState;
use serde_json::json;

use super::{
    mailbox, mailboxes, relay,
    setting::{INBOX, RUN, logins},
};
use crate::support::{cluster::Cluster, stack::Stack};

const MANY: usize = 12;
/// As many as the operator allows itself; the stack's Dovecot grants ten.
const SESSIONS: usize = 5;

#[tokio::test]
async fn profiles_that_wait_in_one_mailbox_keep_to_the_sessions_that_servers_grant_to_an_account() {
    // promise 8: a session too many is refused as a login, and holds the account for an hour.
    let (stack, cluster) = (Stack::get(), Cluster::new("sessions").await);
    let [_, user, elsewhere] = mailboxes(&cluster, &stack, "sessions").await;
    stack.sieve(&user, &format!("redirect \"{elsewhere}\";"));
    let operator = cluster.operator(&["--max-messages-per-recipient-per-hour", "100", "--max-checks-per-host", "20"]).await;
    relay(&cluster, &stack, json!({"limits": {"messagesPerMinute": 1000, "connections": 8}})).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let verification = json!({"senderRef": {"name": "relay"}, "interval": "24h", "timeout": "5m"});
    for number in 0..MANY {
        cluster.profile(&format!("box-{number}"), mailbox(&stack, &user, json!({"verification": verification}))).await;
    }
    cluster.until("as many as may hold a session", async || (stack.taken(&user).len() >= SESSIONS).then_some(())).await;
    let queue = format!("\nworkqueue_depth{{name=\"checks\"}} {}\n", MANY - SESSIONS);
    let waits = async || operator.get("/metrics").await.filter(|(_, text)| text.contains(&queue));
    cluster.until("the others wait for their turn", waits).await;
    let held = || logins(&stack, &user) - stack.log("DOVECOT_LOG", &["imap(", &user, "Disconnected"]);
    assert_eq!((stack.taken(&user).len(), held()), (SESSIONS, SESSIONS));

    // The mails come: one run after the other ends, and makes room for the next.
    let all_verified = async || {
        for mail in stack.everywhere(&elsewhere, RUN) {
            if stack.everywhere(&user, mail.header(RUN)).is_empty() {
                stack.put(&user, INBOX, &mail.text, "");
            }
        }
        assert!(held() <= SESSIONS, "{} sessions", held());
        let all = cluster.profiles().list(&kube::api::ListParams::default()).await.unwrap().items;
        let actors = all.iter().filter_map(|profile| profile.status.as_ref()?.actors.first());
        (actors.filter(|actor| actor.state == ProfileActorState::Verified).count() == MANY).then_some(())
    };
    cluster.until("all are verified", all_verified).await;
    assert_eq!(stack.log("DOVECOT_LOG", &[&user, "Maximum number of connections"]), 0);
    assert_eq!(stack.taken(&user).into_values().collect::<Vec<_>>(), [1; MANY]);
}
