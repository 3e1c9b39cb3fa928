//! The server that sends: in what state it must be, whose it is, and what its owner lets others do with it.

use mailverity::api::v1alpha1::EmailProfileStatus;
use serde_json::{Value, json};

use super::{
    mailbox, mailboxes, relay,
    setting::{many_mailboxes, message, with},
};
use crate::{
    auth, spec,
    support::{
        cluster::{Cluster, Operator},
        profiles::says,
        stack::Stack,
    },
};

#[tokio::test]
async fn a_server_that_does_not_work_is_waited_for_and_the_profile_runs_by_itself_when_it_does() {
    let (stack, cluster) = (Stack::get(), Cluster::new("dependency").await);
    let [_, user] = mailboxes(&cluster, &stack, "dependency").await;
    let _operator = cluster.operator(&[]).await;
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    let status = cluster.profile_condition("box", "ResolvedRefs", "False", "MailServerNotFound").await;
    assert!(message(&status, "Ready").contains(&format!("{}/relay", cluster.namespace)), "{status:#?}");

    relay(&cluster, &stack, json!({"host": "nobody.invalid"})).await;
    cluster.condition("relay", "Ready", "False", "DNSLookupFailed").await;
    let waits = |status: &EmailProfileStatus| {
        says(status, "Ready", "Unknown", "DependencyNotReady") && message(status, "Ready").contains("DNSLookupFailed")
    };
    let status = cluster.profile_when("box", "waiting for the server", waits).await;
    assert!(!status.conditions.iter().any(|c| c.type_ == "Stalled"), "one dead relay is one alert: {status:#?}");
    assert!(stack.taken(&user).is_empty() && super::setting::logins(&stack, &user) == 0, "{status:#?}");

    relay(&cluster, &stack, json!({})).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    assert_eq!(stack.taken(&user).len(), 1);

    // It breaks later: what was proved stays proved, and nothing is sent.
    relay(&cluster, &stack, json!({"host": "nobody.invalid"})).await;
    let status = cluster.profile_condition("box", "Ready", "Unknown", "DependencyNotReady").await;
    assert!(status.conditions.iter().any(|c| c.type_ == "Verified" && c.status != "False"), "{status:#?}");
    cluster.patch("relay", json!({"host": "localhost", "suspend": true})).await;
    let suspended = |status: &EmailProfileStatus| message(status, "Ready").contains("Suspended");
    cluster.profile_when("box", "waiting for a suspended server", suspended).await;
    assert_eq!(stack.taken(&user).len(), 1);
}

/// A namespace that lends its server, and one whose profiles borrow it, under one operator.
struct Two {
    stack: Stack,
    lender: Cluster,
    borrower: Cluster,
    users: Vec<String>,
    _operator: Operator,
}

impl Two {
    async fn new(test: &str, mailboxes: usize) -> Self {
        let stack = Stack::get();
        let (lender, borrower) = (Cluster::new("lender").await, Cluster::new("borrower").await);
        let users = many_mailboxes(&borrower, &stack, test, mailboxes).await;
        crate::account(&lender, &stack, &format!("{test}-lender")).await;
        let operator = lender.operator_for_both(&borrower).await;
        Self { stack, lender, borrower, users, _operator: operator }
    }

    async fn lends(&self, rest: Value) {
        let rest = with(json!({"auth": auth(), "limits": {"messagesPerMinute": 1000}}), &rest);
        self.lender.server("relay-one", spec(&self.stack, "SUBMISSION_PORT", "StartTLS", rest)).await;
    }

    async fn borrows(&self, name: &str, number: usize, server: &str) {
        let sender =
            json!({"senderRef": {"name": server, "namespace": self.lender.namespace}, "interval": "15m", "timeout": "30s"});
        let user = &self.users[number];
        self.borrower.profile(name, mailbox(&self.stack, user, json!({"verification": sender}))).await;
    }
}

#[tokio::test]
async fn a_server_of_another_namespace_is_refused_in_the_same_words_whether_it_is_there_or_not() {
    let two = Two::new("refused", 1).await;
    two.lends(json!({})).await;
    two.lender.condition("relay-one", "Ready", "True", "Succeeded").await;
    let mut told = Vec::new();
    for server in ["relay-one", "relay-two"] {
        two.borrows(server, 0, server).await;
        let status = two.borrower.profile_condition(server, "ResolvedRefs", "False", "RefNotPermitted").await;
        assert!(says(&status, "Ready", "False", "RefNotPermitted"), "{status:#?}");
        told.push(message(&status, "Ready").replace(server, "SERVER"));
    }
    assert_eq!(told[0], told[1]);
    assert!(two.stack.taken(&two.users[0]).is_empty());
}

#[tokio::test]
async fn a_namespace_that_the_owner_selects_by_label_is_admitted_and_no_other() {
    let two = Two::new("selected", 1).await;
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"mail": "yes"}}});
    two.lends(json!({"allowedNamespaces": selector})).await;
    two.lender.condition("relay-one", "Ready", "True", "Succeeded").await;
    two.borrows("box", 0, "relay-one").await;
    two.borrower.profile_condition("box", "Ready", "False", "RefNotPermitted").await;

    two.borrower.label(&json!({"mail": "yes"})).await;
    // Labels of a namespace are watched by nobody: an object that is looked at anew reads them.
    two.borrower.ask_profile("box", "once more").await;
    two.borrower.profile_condition("box", "Ready", "True", "CodeReceived").await;
    assert_eq!(two.stack.taken(&two.users[0]).len(), 1);
}

#[tokio::test]
async fn a_borrower_mails_whom_the_owner_lets_it_and_nobody_else() {
    let two = Two::new("usage", 1).await;
    two.lends(json!({"allowedNamespaces": {"from": "All"}, "usage": {"recipientDomains": ["partner.example"]}})).await;
    two.lender.condition("relay-one", "Ready", "True", "Succeeded").await;
    two.borrows("box", 0, "relay-one").await;
    let status = two.borrower.profile_condition("box", "ResolvedRefs", "False", "UsageNotPermitted").await;
    assert!(message(&status, "Ready").contains("partner.example"), "{status:#?}");
    assert!(two.stack.taken(&two.users[0]).is_empty());
    two.lends(json!({"allowedNamespaces": {"from": "All"}, "usage": {"recipientDomains": ["example.test"]}})).await;
    two.borrower.profile_condition("box", "Ready", "True", "CodeReceived").await;
}

#[tokio::test]
async fn a_borrower_has_the_mails_of_an_hour_that_the_owner_grants_it() {
    // promise 4
    let two = Two::new("borrower", 3).await;
    two.lends(json!({"allowedNamespaces": {"from": "All"}, "usage": {"messagesPerHourPerNamespace": 2}})).await;
    two.lender.condition("relay-one", "Ready", "True", "Succeeded").await;
    for number in 0..3 {
        two.borrows(&format!("box-{number}"), number, "relay-one").await;
    }
    let over = |status: &EmailProfileStatus| status.conditions.iter().any(|c| c.reason == "RateBudgetExceeded");
    let fine = |status: &EmailProfileStatus| says(status, "Ready", "True", "CodeReceived");
    let (mut verified, mut waiting) = (0, 0);
    for number in 0..3 {
        let name = format!("box-{number}");
        let status = two.borrower.profile_when(&name, "judged", |status| over(status) || fine(status)).await;
        verified += usize::from(fine(&status));
        waiting += usize::from(over(&status));
    }
    assert_eq!((verified, waiting), (2, 1));
    let mails: usize = two.users.iter().map(|user| two.stack.taken(user).len()).sum();
    assert_eq!(mails, 2);
}
