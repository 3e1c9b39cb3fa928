//! Other people's mail, over the whole product (promise 11).

use mailverity::api::v1alpha1::{EmailProfileStatus, ProfileActorState};
use serde_json::json;
use uuid::Uuid;

use super::{
    mailbox, mailboxes, relay,
    setting::{INBOX, JUNK},
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
        }
    }
    for ((name, user, _), before) in boxes.iter().zip(before) {
        assert_eq!(stack.taken(user).into_values().collect::<Vec<_>>(), [1, 1], "{name}");
        assert_eq!(lie(user), before, "{name}");
    }
}
