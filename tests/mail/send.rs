//! Level Deliver: the mail that arrives, and the refusals of a real server.

use mailverity::{
    api::{Class, Reason},
    mail::Stage,
};
use serde_json::json;

use super::{check_spec, given, password, spec, support::stack::Stack, told};

fn deliver(from: &str, to: &str) -> serde_json::Value {
    json!({"auth": password("Auto"), "sender": {"address": from, "displayName": "Prüfer"},
        "test": {"to": to, "subject": "relay test"}, "verification": {"level": "Deliver"}})
}

#[tokio::test]
async fn the_test_mail_arrives_in_its_promised_shape() {
    // promise 5
    let stack = Stack::get();
    let spec = spec(&stack, "SUBMISSION_PORT", "StartTLS", deliver("probe@example.test", "inbound@example.test"));
    let report = check_spec(&spec, &given(&stack, "probe@example.test", "probe-secret")).await;
    assert!(report.failure.is_none(), "{}", told(&report));
    let delivery = report.delivery.as_ref().unwrap();
    assert!(delivery.accepted.as_deref().unwrap().starts_with("250 2.0.0 Ok: queued"), "{delivery:?}");
    let mail = stack.mail("inbound@example.test", &delivery.message_id).await;
    let has = |line: &str| mail.lines().any(|found| found == line);
    assert!(has("Auto-Submitted: auto-generated") && has("X-Auto-Response-Suppress: All"), "{mail}");
    assert!(mail.contains("X-Mailverity-Run: test/uid-1/"), "{mail}");
    assert!(mail.lines().any(|line| line.starts_with("Subject: relay test (") && line.ends_with(')')), "{mail}");
    assert!(delivery.message_id.ends_with("@example.test>"));
    assert!(mail.contains("mail/relay") && mail.contains("postmaster@example.test"), "{mail}");
    assert_eq!(report.stages.last().unwrap().stage, Stage::Quit);
}

#[tokio::test]
async fn what_the_server_refuses_is_told_by_its_reason() {
    let stack = Stack::get();
    let rows = [
        ("probe@example.test", "greylisted@example.test", Reason::Greylisted, Class::Transient),
        ("probe@example.test", "full@example.test", Reason::MailboxFull, Class::User),
        ("probe@example.test", "busy@example.test", Reason::ServerBusy, Class::Transient),
        ("boss@example.test", "inbound@example.test", Reason::SendAsDenied, Class::User),
        ("probe@example.test", "nobody@example.test", Reason::RecipientRejected, Class::User),
    ];
    for (from, to, reason, class) in rows {
        let spec = spec(&stack, "SUBMISSION_PORT", "StartTLS", deliver(from, to));
        let report = check_spec(&spec, &given(&stack, "probe@example.test", "probe-secret")).await;
        let failure = report.failure.as_ref().unwrap_or_else(|| panic!("{to}: {}", told(&report)));
        assert_eq!((failure.reason, failure.class, failure.stage), (reason, class, Some(Stage::Rcpt)), "{}", told(&report));
        assert!(!failure.hint().is_empty() && !failure.hint().contains('{'), "{}", failure.hint());
    }
}

#[tokio::test]
async fn a_server_that_wants_a_login_says_so_at_deliver() {
    let stack = Stack::get();
    let mut rest = deliver("probe@example.test", "inbound@example.test");
    rest.as_object_mut().unwrap().remove("auth");
    let report = check_spec(&spec(&stack, "SUBMISSION_PORT", "StartTLS", rest), &given(&stack, "x", "y")).await;
    let failure = report.failure.as_ref().unwrap();
    assert_eq!((failure.reason, failure.stage), (Reason::AuthenticationRequired, Some(Stage::Rcpt)), "{}", told(&report));
}
