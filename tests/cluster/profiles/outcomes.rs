//! What can become of a mail that was sent: it lies in junk, it comes back, it never comes, it comes late, twice, or with what
//! the receiving server holds of its sender.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use mailverity::api::v1alpha1::{EmailProfileStatus, ProfileActorState};
use serde_json::json;

use super::{
    mailbox, mailboxes, relay,
    setting::{INBOX, RUN, message, open_relay},
};
use crate::{
    proxy::Proxy,
    support::{
        api::{ApiProxy, Hold},
        cluster::Cluster,
        leaks,
        profiles::says,
        stack::Stack,
    },
};

#[tokio::test]
async fn a_mail_in_junk_is_told_so_never_verified_and_removed_from_there() {
    let (stack, cluster) = (Stack::get(), Cluster::new("junk").await);
    let [_, user] = mailboxes(&cluster, &stack, "junk").await;
    stack.sieve(&user, "require \"fileinto\"; fileinto \"Junk\";");
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    let status = cluster.profile_condition("box", "Verified", "False", "MessageInJunk").await;
    let text = message(&status, "Ready");
    assert!(text.contains("Junk") && text.contains("probe@example.test"), "{text}");
    assert!(status.last_verified_time.is_none() && status.actors[0].received_time.is_none(), "{status:#?}");
    assert_eq!((status.summary.as_deref(), status.actors[0].state), (Some("0/1"), ProfileActorState::Unverified));
    assert!(stack.everywhere(&user, RUN).is_empty(), "our mail is still there");
    let warned = |event: &Event| {
        let about = event.regarding.as_ref().and_then(|about| about.kind.as_deref());
        event.type_.as_deref() == Some("Warning")
            && event.reason.as_deref() == Some("MessageInJunk")
            && about == Some("EmailProfile")
    };
    cluster.until("an Event of it", async || cluster.events().await.iter().any(warned).then_some(())).await;
    assert_eq!(stack.taken(&user).into_values().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_mail_that_never_comes_is_told_with_what_the_server_said_and_no_second_one_is_sent() {
    // promise 3
    let (stack, cluster) = (Stack::get(), Cluster::new("never").await);
    let [_, user, elsewhere] = mailboxes(&cluster, &stack, "never").await;
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", mailbox(&stack, &user, json!({"address": elsewhere}))).await;
    let status = cluster.profile_condition("box", "Verified", "False", "MessageNotReceived").await;
    let taken = stack.taken(&elsewhere);
    let id = taken.keys().next().expect("a mail").clone();
    let text = message(&status, "Verified");
    assert!(text.contains(&id) && text.contains("250 2.0.0") && text.contains("30s") && text.contains("INBOX"), "{text}");
    let took = status.actors[0].sent_time.as_ref().map(|sent| jiff::Timestamp::now().duration_since(sent.0)).unwrap();
    assert!((28..50).contains(&took.as_secs()), "told {took:?} after the mail");
    // What comes next is the next run.
    let next = status.next_run_time.expect("a next run").0.duration_since(jiff::Timestamp::now());
    assert!(next.as_secs() > 300, "{next:?}");
    let mail = stack.mail(&elsewhere, RUN).await;
    assert!(mail.contains(id.trim_matches(['<', '>'])) && mail.contains("Auto-Submitted: auto-generated"), "{mail}");
    assert_eq!(stack.taken(&elsewhere), [(id, 1)].into());
}

#[tokio::test]
async fn a_mail_that_comes_after_its_time_proves_nothing_and_is_swept_by_the_next_run() {
    let (stack, cluster) = (Stack::get(), Cluster::new("late-mail").await);
    let [_, user, elsewhere] = mailboxes(&cluster, &stack, "late-mail").await;
    stack.sieve(&user, &format!("redirect \"{elsewhere}\";"));
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    cluster.profile_condition("box", "Verified", "False", "MessageNotReceived").await;
    stack.put(&user, INBOX, &stack.mail(&elsewhere, RUN).await, "");
    stack.sieve(&user, "keep;");
    cluster.ask_profile("box", "again").await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let status = cluster.profile_left("box").await;
    let cleanup = status.actors[0].checks.iter().find(|stage| stage.name == "Cleanup").unwrap();
    assert_eq!(cleanup.detail.as_deref(), Some("removed: 1, of earlier runs: 1"));
    cluster.removed(&stack, &user, RUN).await;
}

#[tokio::test]
async fn a_mail_that_takes_more_than_half_its_time_is_verified_and_told_as_slow() {
    let (stack, cluster) = (Stack::get(), Cluster::new("slow").await);
    let [_, user, elsewhere] = mailboxes(&cluster, &stack, "slow").await;
    stack.sieve(&user, &format!("redirect \"{elsewhere}\";"));
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    let mail = stack.mail(&elsewhere, RUN).await;
    // Real time is what is measured here.
    tokio::time::sleep(Duration::from_secs(17)).await;
    stack.put(&user, INBOX, &mail, "");
    let status = cluster.profile_condition("box", "Degraded", "True", "SlowMail").await;
    assert!(says(&status, "Ready", "True", "CodeReceived"), "{status:#?}");
    assert!(message(&status, "Degraded").contains("of 30s"), "{status:#?}");
}

#[tokio::test]
async fn a_mail_that_comes_back_is_told_with_the_servers_words_minutes_before_its_time() {
    // promise 6
    let (stack, cluster) = (Stack::get(), Cluster::new("bounced").await);
    // The stack sends back what comes to such an address.
    let [user] = mailboxes(&cluster, &stack, "bounced").await;
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({"sender": {"address": user}})).await;
    let verification = json!({"senderRef": {"name": "relay"}, "timeout": "15m"});
    cluster.profile("box", mailbox(&stack, &user, json!({"verification": verification}))).await;
    let status = cluster.profile_condition("box", "Verified", "False", "MessageBounced").await;
    let text = message(&status, "Ready");
    assert!(text.contains(&user) && text.contains("5.1.1") && text.contains("sends back what comes"), "{text}");
    // The report names our mail, so it is ours.
    cluster.until("the report is removed", async || stack.folder(&user, INBOX).is_empty().then_some(())).await;
    assert_eq!(stack.taken(&user).values().filter(|count| **count > 1).count(), 0);
}

#[tokio::test]
async fn a_mail_that_comes_back_to_the_senders_own_mailbox_is_told_where_a_profile_reads_that() {
    // promise 6
    let (stack, cluster) = (Stack::get(), Cluster::new("returns").await);
    let [alerts] = mailboxes(&cluster, &stack, "returns").await;
    let password = leaks::password("returns");
    // The stack sends back what comes to such addresses.
    let names: Vec<String> = (0..3).map(|_| format!("bounced-{}", uuid::Uuid::new_v4().simple())).collect();
    let gone = stack.users(&names, &password).await;
    let operator = cluster.operator(&["--max-checks-per-host", "8"]).await;
    relay(&cluster, &stack, json!({"sender": {"address": alerts}})).await;
    cluster.profile("alerts", mailbox(&stack, &alerts, json!({}))).await;
    cluster.profile_condition("alerts", "Verified", "True", "CodeReceived").await;

    let verification = json!({"senderRef": {"name": "relay"}, "timeout": "15m"});
    for user in &gone {
        let name = user.split('@').next().unwrap();
        cluster.account(name, user, &password).await;
        let account = json!({"type": "Password", "username": user, "secretRef": {"name": name}});
        cluster.profile(name, mailbox(&stack, user, json!({"verification": verification, "account": account}))).await;
    }
    for user in &gone {
        let status = cluster.profile_condition(user.split('@').next().unwrap(), "Verified", "False", "MessageBounced").await;
        let text = message(&status, "Ready");
        assert!(text.contains(user) && text.contains("5.1.1") && text.contains("sends back what comes"), "{text}");
        assert_eq!(stack.taken(user).into_values().collect::<Vec<_>>(), [1]);
    }
    cluster.until("the reports are removed", async || stack.folder(&alerts, INBOX).is_empty().then_some(())).await;
    cluster.shows_no_secret().await;
    operator.shows_no_secret().await;
}

#[tokio::test]
async fn what_was_found_is_noted_and_its_mail_removed_though_somebody_touches_the_object_meanwhile() {
    let (stack, cluster) = (Stack::get(), Cluster::new("touched").await);
    let [user] = mailboxes(&cluster, &stack, "touched").await;
    let api = ApiProxy::to(&cluster.kubeconfig()).await;
    let _operator = cluster.operator_behind(&api, &[]).await;
    relay(&cluster, &stack, json!({})).await;
    api.hold(Hold::Finding, "emailprofiles/box");
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    api.reached().await;
    cluster.patch_profile("box", json!({"metadata": {"annotations": {"team": "mail"}}})).await;
    api.let_go();
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    cluster.profile_left("box").await;
    cluster.removed(&stack, &user, RUN).await;
    assert_eq!(stack.taken(&user).into_values().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_relay_that_delivers_each_mail_twice_changes_nothing() {
    // promise 2
    let (stack, cluster) = (Stack::get(), Cluster::new("twice").await);
    let [_, user, other] = mailboxes(&cluster, &stack, "twice").await;
    // A copy goes once around.
    stack.sieve(&user, &format!("require \"copy\"; if not exists \"X-Around\" {{ redirect :copy \"{other}\"; }}"));
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    let first = cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let copy = stack.mail(&other, RUN).await;
    stack.put(&user, INBOX, &copy, "");
    // A second copy, seen by a person already.
    stack.put(&user, INBOX, &copy, "S");
    stack.sieve(&user, "keep;");
    let still = cluster.profile_status("box").await;
    assert_eq!((still.last_verified_time, still.summary), (first.last_verified_time.clone(), first.summary.clone()));
    cluster.ask_profile("box", "again").await;
    let again = |status: &EmailProfileStatus| {
        status.last_handled_verify_request.as_deref() == Some("again")
            && says(status, "Ready", "True", "CodeReceived")
            && status.actors[0].state == ProfileActorState::Verified
    };
    let status = cluster.profile_when("box", "verified again", again).await;
    assert_ne!(status.verification.unwrap().run_id, first.verification.unwrap().run_id);
    cluster.removed(&stack, &user, RUN).await;
    assert_eq!(stack.taken(&user).into_values().collect::<Vec<_>>(), [1, 1], "two runs, two mails");
}

#[tokio::test]
async fn copies_that_come_together_are_one_code_and_all_of_them_go() {
    let (stack, cluster) = (Stack::get(), Cluster::new("copies").await);
    let [_, user, other] = mailboxes(&cluster, &stack, "copies").await;
    stack.sieve(&user, &format!("redirect \"{other}\";"));
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    let pop3 = json!({"host": "localhost", "port": stack.port("POP3S_PORT"), "security": "TLS",
        "tls": {"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}}});
    cluster.profile("box", mailbox(&stack, &user, json!({"protocol": "POP3", "server": pop3}))).await;
    // Nobody looks while the copies come.
    let copy = stack.mail(&other, RUN).await;
    cluster.patch_profile("box", json!({"spec": {"suspend": true}})).await;
    cluster.profile_condition("box", "Suspended", "True", "Suspended").await;
    for _ in 0..3 {
        stack.put(&user, INBOX, &copy, "");
    }
    cluster.patch_profile("box", json!({"spec": {"suspend": false}})).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let status = cluster.profile_left("box").await;
    let cleanup = status.actors[0].checks.iter().find(|stage| stage.name == "Cleanup").unwrap();
    assert_eq!(cleanup.detail.as_deref(), Some("removed: 3, of earlier runs: 0"));
    cluster.removed(&stack, &user, RUN).await;
}

#[tokio::test]
async fn the_senders_own_mailbox_is_verified_and_told_as_shared() {
    let (stack, cluster) = (Stack::get(), Cluster::new("shared").await);
    let [user] = mailboxes(&cluster, &stack, "shared").await;
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({"sender": {"address": user}})).await;
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    let status = cluster.profile_condition("box", "Degraded", "True", "SharedMailbox").await;
    assert!(says(&status, "Ready", "True", "CodeReceived"), "{status:#?}");
}

#[tokio::test]
async fn what_the_receiving_server_wrote_of_the_sender_is_told_and_what_others_wrote_is_not() {
    let (stack, cluster) = (Stack::get(), Cluster::new("aligned").await);
    let [_, user] = mailboxes(&cluster, &stack, "aligned").await;
    let proxy = Proxy::to(stack.port("PLAIN_PORT")).await;
    proxy.adds("Authentication-Results: example.test; spf=fail smtp.mailfrom=probe@example.test; dkim=none; dmarc=fail\r\n");
    let _operator = cluster.operator(&[]).await;
    open_relay(&cluster, &stack, proxy.port, json!({})).await;
    cluster.profile("box", mailbox(&stack, &user, json!({}))).await;
    let status = cluster.profile_condition("box", "SenderAligned", "False", "SenderNotAligned").await;
    assert!(says(&status, "Ready", "True", "CodeReceived"), "a mail that came is a mail that came: {status:#?}");
    let text = message(&status, "SenderAligned");
    assert!(text.contains("spf=fail") && text.contains("dmarc=fail") && text.contains("example.test"), "{text}");

    proxy.adds("Authentication-Results: example.test; spf=pass smtp.mailfrom=probe@example.test; dkim=pass header.d=example.test; dmarc=pass\r\n");
    cluster.ask_profile("box", "passes").await;
    let aligned =
        |status: &EmailProfileStatus| status.conditions.iter().any(|c| c.type_ == "SenderAligned" && c.status == "True");
    cluster.profile_when("box", "aligned", aligned).await;

    // Anyone can write such a header.
    proxy.adds("Authentication-Results: somebody.example; spf=fail; dkim=none; dmarc=fail\r\n");
    cluster.ask_profile("box", "a stranger's").await;
    let silent = |status: &EmailProfileStatus| {
        status.last_handled_verify_request.as_deref() == Some("a stranger's")
            && status.actors[0].state == ProfileActorState::Verified
            && !status.conditions.iter().any(|c| c.type_ == "SenderAligned")
    };
    cluster.profile_when("box", "silent", silent).await;
}
