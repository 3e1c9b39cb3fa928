//! Other people's mail, over the whole product (promise 11).

use mailverity::api::v1alpha1::{EmailProfileStatus, ProfileActorState};
use serde_json::json;
use uuid::Uuid;

use super::{
    mailbox, mailboxes, relay,
    setting::{INBOX, JUNK, RUN, logins},
};
use crate::support::{cluster::Cluster, profiles::says, stack::Stack};

#[tokio::test]
async fn other_peoples_mail_survives_every_run_as_it_was() {
    // promise 11
    let (stack, cluster) = (Stack::get(), Cluster::new("safety").await);
    let users: [String; 3] = mailboxes(&cluster, &stack, "safety").await;
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}});
    let pop3 = json!({"host": "localhost", "port": stack.port("POP3S_PORT"), "security": "TLS", "tls": tls});
    let boxes = [("imap", &users[1], json!({})), ("pop3", &users[2], json!({"protocol": "POP3", "server": pop3}))];
    for (name, user, rest) in &boxes {
        let suspended = super::setting::with(rest.clone(), &json!({"suspend": true}));
        cluster.profile(name, mailbox(&stack, user, suspended)).await;
        let uid = cluster.profiles().get(name).await.unwrap().metadata.uid.unwrap();
        let (code, run) = (Uuid::new_v4(), Uuid::new_v4());
        for (folder, subject, header, flags) in [
            (INBOX, "deleted by a person".to_owned(), String::new(), "ST"),
            (INBOX, format!("order ({code})"), String::new(), ""),
            (INBOX, format!("mailverity check ({code})"), String::new(), "S"),
            (INBOX, format!("mailverity check ({code})"), format!("X-Mailverity-Run: elsewhere/{uid}/{run}\r\n"), ""),
            (
                INBOX,
                format!("mailverity check ({code})"),
                format!("X-Mailverity-Run: mailverity/{}/{run}\r\n", Uuid::new_v4()),
                "S",
            ),
            // Ours by its header, and by no code of ours: somebody wrote it.
            (INBOX, format!("mailverity check ({code})"), format!("X-Mailverity-Run: mailverity/{uid}/{run}\r\n"), ""),
            (JUNK, format!("mailverity check ({code})"), format!("X-Mailverity-Run: elsewhere/{uid}/{run}\r\n"), "T"),
        ] {
            let text = format!(
                "From: <person@example.test>\r\nSubject: {subject}\r\n{header}Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nhello\r\n"
            );
            stack.put(user, folder, &text, flags);
        }
    }
    let lie = |user: &str| {
        let all = [INBOX, JUNK].into_iter().flat_map(|folder| stack.folder(user, folder));
        let mut all: Vec<(String, String)> = all.map(|mail| (mail.text, mail.flags)).collect();
        all.sort();
        all
    };
    let before: Vec<_> = boxes.iter().map(|(_, user, _)| lie(user)).collect();
    assert!(before.iter().all(|mails| mails.len() == 7));
    for (name, ..) in &boxes {
        cluster.patch_profile(name, json!({"spec": {"suspend": false}})).await;
    }
    for request in ["", "once more"] {
        for (name, ..) in &boxes {
            if !request.is_empty() {
                cluster.ask_profile(name, request).await;
            }
            let done = |status: &EmailProfileStatus| {
                status.last_handled_verify_request.as_deref().unwrap_or_default() == request
                    && says(status, "Ready", "True", "CodeReceived")
                    && status.actors[0].state == ProfileActorState::Verified
            };
            cluster.profile_when(name, "verified", done).await;
            cluster.profile_left(name).await;
        }
    }
    for ((name, user, _), before) in boxes.iter().zip(before) {
        assert_eq!(stack.taken(user).into_values().collect::<Vec<_>>(), [1, 1], "{name}");
        assert_eq!(lie(user), before, "{name}");
    }
}

#[tokio::test]
async fn a_mail_with_our_code_and_anothers_header_proves_nothing_and_survives() {
    // promise 11: an answer, a copy of another installation, a forgery
    let (stack, cluster) = (Stack::get(), Cluster::new("forged").await);
    let [_, user, elsewhere] = mailboxes(&cluster, &stack, "forged").await;
    stack.sieve(&user, &format!("redirect \"{elsewhere}\";"));
    let _operator = cluster.operator(&[]).await;
    relay(&cluster, &stack, json!({})).await;
    let verification = json!({"senderRef": {"name": "relay"}, "interval": "24h", "timeout": "5m"});
    cluster.profile("box", mailbox(&stack, &user, json!({"verification": verification}))).await;
    let ours = stack.mail(&elsewhere, RUN).await;
    let header = stack.folder(&elsewhere, INBOX)[0].header(RUN).to_owned();
    let forged = ours.replace(&header, &header.replace("mailverity/", "elsewhere/"));
    assert_ne!(ours, forged);
    stack.put(&user, INBOX, &forged, "");
    let seen = || stack.log("DOVECOT_LOG", &["imap(", &user, "Disconnected"]);
    cluster.patch_profile("box", json!({"spec": {"suspend": true}})).await;
    cluster.profile_condition("box", "Suspended", "True", "Suspended").await;
    cluster.until("the mailbox is left", async || (seen() == logins(&stack, &user)).then_some(())).await;
    cluster.patch_profile("box", json!({"spec": {"suspend": false}})).await;
    // It looks at once, and the forgery is there.
    let left = seen();
    cluster.until("it looks", async || (logins(&stack, &user) > left).then_some(())).await;
    cluster.patch_profile("box", json!({"spec": {"suspend": true}})).await;
    let status = cluster.profile_condition("box", "Suspended", "True", "Suspended").await;
    assert_eq!(status.actors[0].state, ProfileActorState::AwaitingMessage, "{status:#?}");
    stack.put(&user, INBOX, &ours, "");
    cluster.patch_profile("box", json!({"spec": {"suspend": false}})).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    cluster.profile_left("box").await;
    let left: Vec<String> = stack.folder(&user, INBOX).into_iter().map(|mail| mail.text).collect();
    assert_eq!(left, [forged]);
}
