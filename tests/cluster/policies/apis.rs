//! Round trips whose answers come to a mailbox that is read over Microsoft Graph or the Gmail API.

use serde_json::json;

use super::away;
use crate::{
    profiles::setting::{INBOX, Way, mailboxes, relay},
    support::{cloud::Cloud, cluster::Cluster, policies::results, stack::Stack},
};

#[tokio::test]
async fn answers_and_mails_that_come_back_are_read_over_either_api_once_and_removed() {
    // promises 6 and 11
    let stack = Stack::get();
    for (test, way) in [("rtp-graph", Way::Graph(Cloud::over(&stack))), ("rtp-gmail", Way::Gmail(Cloud::over(&stack)))] {
        let cluster = Cluster::new(test).await;
        let users: [String; 1] = mailboxes(&cluster, &stack, test).await;
        stack.put(&users[0], INBOX, "Subject: hello\n\nyou\n", "");
        way.prepare(&cluster, &users).await;
        let operator = way.operator(&cluster, &[]).await;
        relay(&cluster, &stack, json!({"sender": {"address": users[0]}})).await;
        cluster.profile("box", way.mailbox(&stack, &users, 0)).await;
        cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;

        cluster.policy("away", away("30s")).await;
        let status = cluster.policy_condition("away", "Ready", "True", "Succeeded").await;
        assert_eq!((results(&status), status.return_address.as_deref()), (vec!["Succeeded"], Some(users[0].as_str())));
        // The stack sends back what comes to such an address.
        let mut gone = away("10m");
        gone["to"] = json!(format!("bounced-{}@example.test", uuid::Uuid::new_v4().simple()));
        cluster.policy("gone", gone).await;
        let status = cluster.policy_condition("gone", "Ready", "False", "MessageBounced").await;
        let told = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert!(told.message.contains("this mailbox sends back what comes"), "{status:#?}");

        let cleaned = async || (stack.folder(&users[0], INBOX).len() == 1).then_some(());
        cluster.until("the answer and the report are removed", cleaned).await;
        assert_eq!(stack.everywhere(&users[0], "Subject: hello").len(), 1, "nothing else is touched");
        let cloud = way.cloud().unwrap();
        let whole = cloud.asked(if matches!(way, Way::Graph(_)) { "/$value" } else { "format=raw" }).len();
        assert_eq!(whole, 2, "the answer and the report, once each");
        cluster.shows_no_secret().await;
        operator.shows_no_secret().await;
    }
}
