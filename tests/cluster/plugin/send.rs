//! `kubectl mail send`, `plan` and `reset`: a mail by the operator, what specs come to, and their end.

use serde_json::json;

use super::{mail, mail_as, profile, user};
use crate::{
    account,
    policies::policy,
    spec,
    support::{cluster::Cluster, stack::Stack},
};

#[tokio::test]
async fn a_mail_is_sent_by_the_operator_once_and_nothing_is_left_of_it() {
    // promises 1, 4
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-send").await);
    let recipient = account(&cluster, &stack, "plugin-send").await;
    let _operator = cluster.operator(&["--max-messages-per-hour", "2"]).await;
    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let editor = user(&cluster, "mail-edit").await;
    let send = |to: &str, rest: &[&str]| mail_as(&cluster, &editor, &[&["send", "relay", "--to", to], rest].concat());
    let servers = || cluster.kubectl(&["get", "mailservers", "-o", "name"]);

    let refused = send("nobody@example.test", &[]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.out.contains("\n  FAIL RCPT ") && refused.out.contains("\nNot sent  MailServer "), "{}", refused.out);

    let ran = send(&recipient, &["--subject", "Hello from here"]);
    println!("{}", ran.out);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(ran.out.contains("\n  ok   DATA "), "{}", ran.out);
    let verdict = format!("\nSent  MailServer {}/relay to {recipient}  TestMessageAccepted: ", cluster.namespace);
    assert!(ran.out.contains(&verdict), "{}", ran.out);
    let mail = stack.mail(&recipient, "X-Mailverity-Run").await;
    assert!(mail.contains("Subject: Hello from here ("), "{mail}");
    assert_eq!(servers(), "mailserver.mailverity.dev/relay\n");

    // The installation's budget holds for it; the refused one counts.
    let ran = send(&recipient, &["--timeout", "5s"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("  not in time; RateBudgetExceeded: "), "{}", ran.out);
    assert_eq!(stack.mails(&recipient, "X-Mailverity-Run").len(), 1);

    let ran = send("two@a.test, three@a.test", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("test.to must be one e-mail address"), "{}", ran.err);
    let ran = mail_as(&cluster, &user(&cluster, "mail-view").await, &["send", "relay", "--to", &recipient]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("cannot create resource"), "{}", ran.err);
    assert_eq!(servers(), "mailserver.mailverity.dev/relay\n");
}

#[tokio::test]
async fn nothing_is_sent_through_what_is_paused_or_suspended() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-send-not").await);
    let recipient = account(&cluster, &stack, "plugin-send-not").await;
    let _operator = cluster.operator(&[]).await;
    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({"suspend": true}))).await;
    let not_sent = |why: &str| {
        let ran = mail(&cluster, &["send", "ms/relay", "--to", &recipient]);
        assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
        assert!(ran.out.starts_with("Not sent  MailServer ") && ran.out.contains(why), "{}", ran.out);
    };
    not_sent("  Suspended: ");
    cluster.patch("relay", json!({"suspend": false})).await;
    mail(&cluster, &["pause", "ms/relay", "--for", "1h"]);
    not_sent("  Suspended: ");
    mail(&cluster, &["resume", "ms/relay"]);
    mail(&cluster, &["pause", "--operator-namespace", &cluster.namespace]);
    not_sent("  Paused: ");
    assert!(stack.mails(&recipient, "X-Mailverity-Run").is_empty());
}

#[tokio::test]
async fn mails_and_logins_of_a_day_are_told_beside_the_budgets() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-plan").await);
    profile(&cluster, &stack, "plugin-plan", json!({})).await;
    let receive = json!({"profileRef": {"name": "box"}});
    cluster
        .policy("echo", policy(json!({"to": "echo@remote.test", "interval": "3m", "timeout": "1m", "receive": receive})))
        .await;
    cluster.policy("off", policy(json!({"to": "off@remote.test", "receive": receive, "suspend": true}))).await;
    let viewer = user(&cluster, "mail-view").await;
    let ran = mail_as(&cluster, &viewer, &["plan"]);
    println!("{}", ran.out);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = ran.out.lines().map(words).collect();
    let user = cluster.profiles().get("box").await.unwrap().spec.address;
    for line in [
        // A day has 96 runs of the profile and 480 probes; each looks into the mailbox once.
        format!("localhost:{} {user} 576 0 -", stack.port("IMAPS_PORT")),
        format!("localhost:{} - 0 576 6 mails a minute", stack.port("SMTP_PORT")),
        "echo@remote.test 480 20 12 an hour NOT ENOUGH".to_owned(),
        "Altogether 576 logins and 576 mails a day; at most 24 mails an hour of 200".to_owned(),
        "Left out, as suspended: 1".to_owned(),
    ] {
        assert!(lines.contains(&line), "{line}\n{}", ran.out);
    }
    let ran = mail_as(&cluster, &viewer, &["plan", "--max-messages-per-recipient-per-hour", "20"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
}

#[tokio::test]
async fn settings_are_cleared_after_a_question_and_who_used_them_says_so() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-reset").await);
    profile(&cluster, &stack, "plugin-reset", json!({})).await;
    let _operator = cluster.operator(&[]).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let editor = user(&cluster, "mail-edit").await;
    let ran = mail_as(&cluster, &editor, &["reset", "ms/relay"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    let relay = format!("MailServer {}/relay", cluster.namespace);
    let words = format!(
        "{relay} is used by EmailProfile box, which will wait for it.\nkubectl-mail: there is nobody to ask: say --yes\n"
    );
    assert_eq!(ran.err, words);
    let ran = mail_as(&cluster, &editor, &["reset", "ms/relay", "--yes"]);
    assert_eq!((ran.code, ran.out), (0, format!("{relay}: deleted\n")));
    cluster.profile_condition("box", "ResolvedRefs", "False", "MailServerNotFound").await;
    assert_eq!(mail_as(&cluster, &editor, &["reset", "ms/relay", "--yes"]).code, 2);
}
