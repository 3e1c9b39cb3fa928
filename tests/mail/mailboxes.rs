//! `probe` of mailboxes at a real Dovecot: each security and mechanism, what is shown of a mailbox, and what is refused.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

use serde_json::Value;
use uuid::Uuid;

use super::support::{
    command::{Folder, Ran, run},
    leaks,
    stack::{NTLM, Stack},
};

const WAYS: [(&str, &str, &str); 8] = [
    ("imap", "IMAP_PORT", "None"),
    ("imap", "IMAP_PORT", "StartTLS"),
    ("imap", "IMAPS_PORT", "TLS"),
    ("imaps", "IMAPS_PORT", "TLS"),
    ("pop3", "POP3_PORT", "None"),
    ("pop3", "POP3_PORT", "StartTLS"),
    ("pop3", "POP3S_PORT", "TLS"),
    ("pop3s", "POP3S_PORT", "TLS"),
];

fn probe(stack: &Stack, (scheme, port): (&str, &str), flags: &[&str], input: &str) -> Ran {
    let url = format!("{scheme}://localhost:{}", stack.port(port));
    run(&[&["probe", &url, "--ca-file", stack.var("CA_FILE"), "-o", "json"], flags].concat(), input)
}

fn detail<'a>(report: &'a Value, stage: &str) -> &'a str {
    let stages = report["stages"].as_array().unwrap();
    stages.iter().find(|found| found["name"] == stage).and_then(|found| found["detail"].as_str()).unwrap_or_default()
}

#[test]
fn a_probe_opens_a_mailbox_over_each_security_by_each_mechanism() {
    let (stack, folder) = (Stack::get(), Folder::new());
    let file = folder.file("password", "alice-secret\n");
    for (scheme, port, security) in WAYS {
        for mechanism in [None, Some("PLAIN"), Some("LOGIN"), Some("CRAM-MD5"), Some("NTLM"), Some("APOP")] {
            // A timestamp is not told inside STLS, and IMAP has no APOP.
            if mechanism == Some("APOP") && (scheme.starts_with("imap") || security == "StartTLS") {
                continue;
            }
            let user = if mechanism == Some("NTLM") { "EXAMPLE\\alice" } else { "alice@example.test" };
            let mut flags = vec!["--username", user, "--password-file", &file, "--security", security];
            flags.extend(mechanism.iter().flat_map(|mechanism| ["--mechanism", mechanism]));
            if security == "None" {
                flags.push("--allow-plaintext");
            }
            let _alone = (mechanism == Some("NTLM")).then(|| NTLM.blocking_lock());
            let ran = probe(&stack, (scheme, port), &flags, "");
            let report = ran.json();
            assert_eq!((ran.code, &report["reason"]), (0, &"Succeeded".into()), "{flags:?}: {report:#}");
            assert!(detail(&report, "AUTH").starts_with(mechanism.unwrap_or("PLAIN")), "{report:#}");
            assert_eq!(report["tls"].is_object(), security != "None", "{report:#}");
            assert!(report["mailbox"]["messages"].is_u64(), "{report:#}");
        }
    }
}

#[tokio::test]
async fn a_probe_shows_a_mailbox_and_changes_nothing_in_it() {
    let (stack, password) = (Stack::get(), leaks::password("shown"));
    let user = stack.user(&format!("shown-{}", Uuid::new_v4().simple()), &password).await;
    let flags = ["--username", &user, "--password-file", "-"];
    // The first login makes the mailbox.
    assert_eq!(probe(&stack, ("imaps", "IMAPS_PORT"), &flags, &password).json()["mailbox"]["messages"], 0);
    let new = Path::new(stack.var("MAIL_DIR")).join(&user).join("new");
    let (mail, owner) = (new.join("1.a.mail"), fs::metadata(&new).unwrap());
    fs::write(&mail, "Subject: hello\r\n\r\nyou\r\n").unwrap();
    chown(&mail, Some(owner.uid()), Some(owner.gid())).unwrap();
    for way in [("imaps", "IMAPS_PORT"), ("pop3s", "POP3S_PORT"), ("imaps", "IMAPS_PORT")] {
        let ran = probe(&stack, way, &flags, &password);
        let report = ran.json();
        assert_eq!((ran.code, &report["mailbox"]["messages"]), (0, &1.into()), "{report:#}");
        assert!(report["message"].as_str().unwrap().ends_with("holds 1 message"), "{report:#}");
    }
    let seen = fs::read_dir(new.with_file_name("cur")).into_iter().flatten().flatten();
    let flagged: Vec<_> = seen.map(|mail| mail.file_name()).filter(|name| name.to_string_lossy().ends_with('S')).collect();
    assert!(flagged.is_empty(), "marked as read: {flagged:?}");
}

#[tokio::test]
async fn a_mailbox_that_is_not_there_and_a_password_that_is_wrong_are_told() {
    let (stack, password) = (Stack::get(), leaks::password("refused"));
    let user = stack.user(&format!("refused-{}", Uuid::new_v4().simple()), &password).await;
    let flags = ["--username", &user, "--password-file", "-"];
    let ran = probe(&stack, ("imaps", "IMAPS_PORT"), &[&flags[..], &["--mailbox", "Nowhere"]].concat(), &password);
    let report = ran.json();
    assert_eq!((ran.code, &report["reason"], &report["stage"]), (1, &"MailboxNotFound".into(), &"Select".into()), "{report:#}");
    let wrong = leaks::password("wrong");
    for way in [("imap", "IMAP_PORT"), ("pop3", "POP3_PORT")] {
        let ran = probe(&stack, way, &flags, &wrong);
        let report = ran.json();
        assert_eq!((ran.code, &report["reason"], &report["stage"]), (1, &"AuthenticationFailed".into(), &"AUTH".into()));
        assert!(!format!("{report}{}", ran.err).contains(&wrong), "{report:#}");
        assert!(report["hint"].as_str().unwrap().contains("--password-file"), "{report:#}");
    }
}

#[test]
fn a_port_of_another_protocol_is_named() {
    let stack = Stack::get();
    for (way, reason) in [
        (("imap", "POP3_PORT"), "WrongProtocol"),
        (("pop3", "IMAP_PORT"), "WrongProtocol"),
        (("imap", "SMTP_PORT"), "WrongProtocol"),
        (("imaps", "IMAP_PORT"), "WrongTLSMode"),
    ] {
        let report = probe(&stack, way, &[], "").json();
        assert_eq!(report["reason"], reason, "{way:?}: {report:#}");
    }
}
