//! Profiles over Microsoft Graph and the Gmail API in a cluster: mail goes by Postfix into Dovecot's maildirs, which the played
//! APIs show.

use serde_json::json;

use super::setting::{INBOX, RUN, Way, mailboxes, message, relay, with};
use crate::support::{
    cloud::{Answer, Cloud, Fault, graph},
    cluster::Cluster,
    profiles::says,
    stack::Stack,
};

#[tokio::test]
async fn a_mail_with_a_code_is_found_and_removed_over_either_api_and_the_conditions_say_so() {
    let stack = Stack::get();
    for (test, way) in [("graph", Way::Graph(Cloud::over(&stack))), ("gmail", Way::Gmail(Cloud::over(&stack)))] {
        let cluster = Cluster::new(test).await;
        let users: [String; 1] = mailboxes(&cluster, &stack, test).await;
        stack.put(&users[0], INBOX, "Subject: hello\n\nyou\n", "");
        way.prepare(&cluster, &users).await;
        let operator = way.operator(&cluster, &[]).await;
        relay(&cluster, &stack, json!({})).await;
        cluster.profile("box", way.mailbox(&stack, &users, 0)).await;
        let status = cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
        for (kind, reason) in [("Accepted", ""), ("ResolvedRefs", ""), ("CredentialsReady", "TokenAcquired"), ("Verified", "")] {
            let holds = |c: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| c.type_ == kind && c.status == "True";
            let condition = status.conditions.iter().find(holds).unwrap_or_else(|| panic!("{kind}: {status:#?}"));
            assert!(reason.is_empty() || condition.reason == reason, "{status:#?}");
        }
        let stages: Vec<&str> = status.actors[0].checks.iter().map(|check| check.name.as_str()).collect();
        // That it was found is noted before it is removed.
        let told = ["Secrets", "Token", "DNS", "TCP", "TLS", "AUTH", "Select", "Fetch"];
        assert!(stages.starts_with(&told), "{status:#?}");
        assert!(status.tls.is_some() && status.oauth2.as_ref().is_some_and(|oauth2| oauth2.token_expires_at.is_some()));
        assert_eq!(stack.taken(&users[0]).into_values().collect::<Vec<_>>(), [1], "one mail, once");
        cluster.removed(&stack, &users[0], RUN).await;
        assert_eq!(stack.everywhere(&users[0], "Subject: hello").len(), 1, "nothing else is touched");
        cluster.shows_no_secret().await;
        operator.shows_no_secret().await;
    }
}

#[tokio::test]
async fn an_application_that_is_not_let_in_sends_nothing_and_says_who_has_to_do_what() {
    let (stack, cluster) = (Stack::get(), Cluster::new("graph-denied").await);
    let users: [String; 1] = mailboxes(&cluster, &stack, "graph-denied").await;
    let cloud = Cloud::over(&stack);
    let denied = graph::error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.");
    cloud.does("/mailFolders/inbox", usize::MAX, Fault::Says(denied));
    let way = Way::Graph(cloud);
    way.prepare(&cluster, &users).await;
    let _operator = way.operator(&cluster, &[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", way.mailbox(&stack, &users, 0)).await;
    let status = cluster.profile_condition("box", "Ready", "False", "MailboxAccessDenied").await;
    assert!(says(&status, "Verified", "False", "MailboxAccessDenied"), "{status:#?}");
    assert!(message(&status, "Verified").contains("ErrorAccessDenied: Access is denied."), "{status:#?}");
    assert!(status.actors[0].hint.as_ref().unwrap().contains("RBAC for Applications"), "{status:#?}");
    assert!(stack.taken(&users[0]).is_empty(), "no mail goes to a mailbox that does not open");
}

#[tokio::test]
async fn a_token_that_is_refused_is_held_like_a_password_and_not_shown_again() {
    // promise 8
    let (stack, cluster) = (Stack::get(), Cluster::new("graph-refused").await);
    let users: [String; 1] = mailboxes(&cluster, &stack, "graph-refused").await;
    let cloud = Cloud::over(&stack);
    let refused = graph::error(401, "InvalidAuthenticationToken", "Signature is invalid.");
    cloud.does("/mailFolders/inbox", usize::MAX, Fault::Says(refused));
    let way = Way::Graph(cloud);
    way.prepare(&cluster, &users).await;
    let _operator = way.operator(&cluster, &[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", way.mailbox(&stack, &users, 0)).await;
    let status = cluster.profile_condition("box", "Verified", "False", "AuthenticationFailed").await;
    assert!(status.credential_held_until.is_some(), "{status:#?}");
    // Another object with the same credentials waits with it.
    cluster.profile("two", way.mailbox(&stack, &users, 0)).await;
    cluster.profile_condition("two", "Ready", "False", "CredentialHeld").await;
    let Way::Graph(cloud) = &way else { unreachable!() };
    assert_eq!(cloud.asked("/mailFolders/inbox").len(), 1);
}

#[tokio::test]
async fn a_provider_that_throttles_delays_the_run_and_no_second_mail_is_sent() {
    // promise 3
    let (stack, cluster) = (Stack::get(), Cluster::new("graph-slow").await);
    let users: [String; 1] = mailboxes(&cluster, &stack, "graph-slow").await;
    let cloud = Cloud::over(&stack);
    cloud.does("/messages?", 3, Fault::Says(Answer::empty(429).with("Retry-After", "1")));
    cloud.does("/messages?", 2, Fault::Says(Answer::html(503)));
    let way = Way::Graph(cloud);
    way.prepare(&cluster, &users).await;
    let _operator = way.operator(&cluster, &[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", way.mailbox(&stack, &users, 0)).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    assert_eq!(stack.taken(&users[0]).into_values().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_spec_that_names_no_secret_of_its_client_is_told_before_anything_is_asked() {
    let (stack, cluster) = (Stack::get(), Cluster::new("graph-secret").await);
    let users: [String; 1] = mailboxes(&cluster, &stack, "graph-secret").await;
    let way = Way::Graph(Cloud::over(&stack));
    let _operator = way.operator(&cluster, &[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", way.mailbox(&stack, &users, 0)).await;
    cluster.profile_condition("box", "ResolvedRefs", "False", "SecretNotFound").await;
    let Way::Graph(cloud) = &way else { unreachable!() };
    assert!(cloud.asked("").is_empty());
    // Once it is there, it is noticed.
    way.prepare(&cluster, &users).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let wrong = with(
        way.mailbox(&stack, &users, 0),
        &json!({"graph": with(cloud.graph(), &json!({"client": {"serviceAccountKeyRef": {"name": "app"}}}))}),
    );
    cluster.profile("other", wrong).await;
    cluster.profile_condition("other", "Accepted", "False", "SpecInvalid").await;
}

#[tokio::test]
async fn a_mail_that_comes_back_is_told_over_either_api_and_the_report_removed() {
    // promise 6
    let stack = Stack::get();
    for way in [Way::Graph(Cloud::over(&stack)), Way::Gmail(Cloud::over(&stack))] {
        // The stack sends back what comes to such an address.
        let cluster = Cluster::new("bounced").await;
        let users: [String; 1] = mailboxes(&cluster, &stack, "bounced").await;
        way.prepare(&cluster, &users).await;
        let _operator = way.operator(&cluster, &[]).await;
        relay(&cluster, &stack, json!({"sender": {"address": users[0]}})).await;
        let verification = json!({"verification": {"senderRef": {"name": "relay"}, "timeout": "15m"}});
        cluster.profile("box", with(way.mailbox(&stack, &users, 0), &verification)).await;
        let status = cluster.profile_condition("box", "Verified", "False", "MessageBounced").await;
        let text = message(&status, "Ready");
        assert!(text.contains(&users[0]) && text.contains("5.1.1") && text.contains("sends back what comes"), "{text}");
        cluster.until("the report is removed", async || stack.folder(&users[0], INBOX).is_empty().then_some(())).await;
    }
}
