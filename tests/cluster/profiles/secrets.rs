//! What nobody may see (promise 14): passwords, and in mode Automatic the codes.

use base64::{Engine, engine::general_purpose::STANDARD};
use mailverity::api::v1alpha1::{EmailProfileStatus, ProfileActorState};
use serde_json::json;
use uuid::Uuid;

use super::{
    mailbox, mailboxes, relay,
    setting::{RUN, message},
};
use crate::support::{cluster::Cluster, leaks, profiles::says, stack::Stack};

/// The code in a mail's subject.
fn code(subject: &str) -> Uuid {
    let code = subject.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(code, _)| code);
    code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no code in {subject:?}"))
}

#[tokio::test]
async fn neither_passwords_nor_codes_are_in_any_status_event_log_or_metric() {
    // promise 14
    let (stack, cluster) = (Stack::get(), Cluster::new("codes").await);
    let [_, kept, copied, junk, away, elsewhere] = mailboxes(&cluster, &stack, "codes").await;
    stack.sieve(&copied, &format!("require \"copy\"; redirect :copy \"{elsewhere}\";"));
    stack.sieve(&junk, "require [\"fileinto\", \"copy\"]; fileinto :copy \"Junk\";");
    stack.sieve(&away, &format!("redirect \"{elsewhere}\";"));
    let mut operator = cluster.operator(&["--max-checks-per-host", "8"]).await;
    relay(&cluster, &stack, json!({})).await;
    // The mail is kept, removed, found in two folders, and led elsewhere.
    cluster.profile("kept", mailbox(&stack, &kept, json!({"mailbox": {"cleanup": "Keep"}}))).await;
    cluster.profile("copied", mailbox(&stack, &copied, json!({}))).await;
    cluster.profile("junk", mailbox(&stack, &junk, json!({"mailbox": {"cleanup": "MarkSeen"}}))).await;
    cluster.profile("away", mailbox(&stack, &away, json!({}))).await;
    for name in ["kept", "copied", "junk"] {
        cluster.profile_condition(name, "Ready", "True", "CodeReceived").await;
    }
    let waits = |status: &EmailProfileStatus| status.actors.iter().any(|actor| actor.state == ProfileActorState::AwaitingMessage);
    let status = cluster.profile_when("away", "sent and not there", waits).await;
    assert!(!message(&status, "Ready").is_empty());
    // It is claimed before it is sent. What a Sieve script leads on is on its way for as long as Postfix likes.
    let sent = async || (stack.everywhere(&elsewhere, RUN).len() >= 2).then_some(());
    cluster.until("what was led elsewhere", sent).await;
    // A process that takes up what another has sent knows the code, too.
    operator.kill();
    operator.start();
    cluster.profile_condition("away", "Verified", "False", "MessageNotReceived").await;

    let mut codes = Vec::new();
    for (address, least) in [(&kept, 1), (&junk, 1), (&elsewhere, 2)] {
        let arrived = async || Some(stack.everywhere(address, RUN)).filter(|mails| mails.len() >= least);
        let mails = cluster.until(&format!("{least} mails for {address}"), arrived).await;
        codes.extend(mails.iter().map(|mail| code(mail.header("Subject"))));
    }
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 4, "a code for each run");

    let log = operator.log();
    assert!(log.contains("TRACE"), "the log is not at trace level");
    let (_, metrics) = operator.get("/metrics").await.unwrap();
    let mut seen = vec![("the log", log), ("the metrics", metrics)];
    for profile in cluster.profiles().list(&kube::api::ListParams::default()).await.unwrap() {
        seen.push(("a profile", serde_json::to_string(&profile).unwrap()));
    }
    for event in cluster.events().await {
        seen.push(("an Event", serde_json::to_string(&event).unwrap()));
    }
    assert!(seen.len() > 6, "no Events");
    for code in codes {
        let text = code.to_string();
        let forms = [
            text.clone(),
            code.simple().to_string(),
            text.to_uppercase(),
            STANDARD.encode(&text),
            STANDARD.encode(code.as_bytes()),
        ];
        for (what, hay) in &seen {
            for form in &forms {
                assert!(!hay.contains(form.as_str()), "{what} shows the code {form}: {}", around(hay, form));
            }
        }
    }
    for (what, hay) in &seen {
        leaks::none_in(what, hay);
    }
    operator.shows_no_secret().await;
    cluster.shows_no_secret().await;
    assert!(says(&cluster.profile_status("kept").await, "Verified", "True", "CodeReceived"));
}

fn around(hay: &str, needle: &str) -> String {
    let at = hay.find(needle).unwrap_or_default();
    hay.get(at.saturating_sub(200)..(at + 100).min(hay.len())).unwrap_or_default().to_owned()
}
