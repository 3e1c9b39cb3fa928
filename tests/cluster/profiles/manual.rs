//! Mode Manual: a person is asked for a mail, sends it, and keeps it.

use jiff::Timestamp;
use mailverity::api::v1alpha1::{EmailProfileStatus, ProfileActorState};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    mailbox, mailboxes,
    setting::{INBOX, logins, message},
};
use crate::support::{cluster::Cluster, profiles::says, stack::Stack};

fn by_hand(stack: &Stack, user: &str, timeout: &str) -> Value {
    mailbox(stack, user, json!({"verification": {"mode": "Manual", "interval": "15m", "timeout": timeout}}))
}

fn deadline(status: &EmailProfileStatus) -> Timestamp {
    status.verification.as_ref().unwrap().deadline.as_ref().unwrap().0
}

/// The run that waits for a person, and the subject that it shows.
async fn asked(cluster: &Cluster, name: &str) -> (EmailProfileStatus, String) {
    let status = cluster.profile_condition(name, "Verified", "Unknown", "AwaitingManualMessage").await;
    let subject = status.verification.as_ref().unwrap().subject.clone().expect("a subject to send");
    (status, subject)
}

#[tokio::test]
async fn the_status_asks_a_person_for_a_mail_which_is_found_and_kept() {
    let (stack, cluster) = (Stack::get(), Cluster::new("manual").await);
    let [user] = mailboxes(&cluster, &stack, "manual").await;
    let operator = cluster.operator(&[]).await;
    cluster.profile("box", by_hand(&stack, &user, "10m")).await;
    let (status, subject) = asked(&cluster, "box").await;
    assert!(subject.starts_with('(') && subject.ends_with(')') && Uuid::parse_str(&subject[1..subject.len() - 1]).is_ok());
    assert_eq!(status.verification.as_ref().unwrap().to.as_deref(), Some(user.as_str()));
    let text = message(&status, "Ready");
    assert!(text.contains(&user) && text.contains(&subject), "{text}");
    assert!(!says(&status, "Ready", "True", "CodeReceived"));

    // A reply with a prefix is a person's mail, too; so is one beside another with a wrong code.
    stack.send("person@example.test", &user, &format!("Subject: hello ({})", Uuid::new_v4())).await;
    stack.send("person@example.test", &user, &format!("Subject: Re: what you asked for {subject}")).await;
    // A look a minute; a request looks at once.
    cluster.until("both mails", async || (stack.folder(&user, INBOX).len() == 2).then_some(())).await;
    cluster.ask_profile("box", "I have sent it").await;
    let status = cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    assert_eq!(status.summary.as_deref(), Some("1/1"));
    let left = stack.folder(&user, INBOX);
    assert_eq!(left.len(), 2, "a person's mail is theirs");
    assert!(left.iter().all(|mail| !mail.flags.contains('T')), "{left:#?}");
    assert!(stack.taken(&user).len() == 2, "and none is ours");
    cluster.shows_no_secret().await;
    operator.shows_no_secret().await;
}

#[tokio::test]
async fn a_wrong_code_is_ignored_and_a_request_restarts_the_deadline_of_the_same_code() {
    let (stack, cluster) = (Stack::get(), Cluster::new("wrong-code").await);
    let [user] = mailboxes(&cluster, &stack, "wrong-code").await;
    let _operator = cluster.operator(&[]).await;
    cluster.profile("box", by_hand(&stack, &user, "10m")).await;
    let (first, subject) = asked(&cluster, "box").await;
    let wrong = format!("Subject: ({})", Uuid::new_v4());
    stack.send("person@example.test", &user, &wrong).await;
    cluster.until("the mail", async || stack.folder(&user, INBOX).pop()).await;
    // The deadline is told in whole seconds.
    let later = deadline(&first);
    cluster.until("a second", async || (Timestamp::now().as_second() + 599 > later.as_second()).then_some(())).await;

    let looks = logins(&stack, &user);
    cluster.ask_profile("box", "once more").await;
    let second = cluster
        .profile_when("box", "asked again", |status| status.last_handled_verify_request.as_deref() == Some("once more"))
        .await;
    assert!(deadline(&second) > deadline(&first), "{} {}", deadline(&second), deadline(&first));
    let verification = second.verification.as_ref().unwrap();
    assert_eq!(verification.subject.as_ref(), Some(&subject), "the code that was shown stays good");
    assert_eq!(verification.run_id, first.verification.as_ref().unwrap().run_id);
    cluster.until("a look", async || (logins(&stack, &user) > looks).then_some(())).await;
    cluster
        .until("it waits again", async || {
            let status = cluster.profile_status("box").await;
            (status.actors[0].state == ProfileActorState::AwaitingMessage).then_some(())
        })
        .await;
    assert!(says(&cluster.profile_status("box").await, "Verified", "Unknown", "AwaitingManualMessage"));

    stack.send("person@example.test", &user, &format!("Subject: {subject}")).await;
    cluster.until("the mail", async || (stack.folder(&user, INBOX).len() == 2).then_some(())).await;
    cluster.ask_profile("box", "and once more").await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
}

#[tokio::test]
async fn a_mail_that_nobody_sends_is_told_at_the_deadline_and_a_request_asks_anew() {
    let (stack, cluster) = (Stack::get(), Cluster::new("nobody").await);
    let [user] = mailboxes(&cluster, &stack, "nobody").await;
    let _operator = cluster.operator(&[]).await;
    cluster.profile("box", by_hand(&stack, &user, "30s")).await;
    asked(&cluster, "box").await;
    let status = cluster.profile_condition("box", "Verified", "False", "MessageNotReceived").await;
    assert_eq!(status.summary.as_deref(), Some("0/1"));
    cluster.ask_profile("box", "anew").await;
    let again = |status: &EmailProfileStatus| status.actors[0].state == ProfileActorState::AwaitingMessage;
    let status = cluster.profile_when("box", "asked again", again).await;
    let subject = status.verification.unwrap().subject.expect("a subject");
    stack.send("person@example.test", &user, &format!("Subject: {subject}")).await;
    cluster.until("the mail", async || stack.folder(&user, INBOX).pop()).await;
    cluster.ask_profile("box", "sent").await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
}
