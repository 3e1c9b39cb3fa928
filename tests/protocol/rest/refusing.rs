//! What the APIs refuse, in the forms that their vendors describe: the reason, the stage, their words, and what to do.

use std::time::Duration;

use mailverity::{
    api::{Class, Reason},
    verify::report::LoginOutcome,
};

use super::{Api, BOTH, Scene, ours};
use crate::support::cloud::{Answer, Fault, gmail, graph};

/// The first request of a check.
fn first(api: Api) -> &'static str {
    if api == Api::Graph { "/mailFolders/inbox?" } else { "/profile?" }
}

#[tokio::test]
async fn each_refusal_is_told_with_its_words_and_what_to_do() {
    use Reason::{AuthenticationFailed, MailboxAccessDenied, MailboxNotFound, ProtocolError};
    let of_graph = |status, code, words| (Api::Graph, graph::error(status, code, words), code, words);
    let of_gmail = |status, reason, name, words| (Api::Gmail, gmail::error(status, reason, name, words), reason, words);
    for ((api, answer, code, words), reason, stage, hint) in [
        (
            of_graph(401, "InvalidAuthenticationToken", "IDX14100: JWT is not well formed."),
            AuthenticationFailed,
            "AUTH",
            "Check Secret mail/app",
        ),
        (
            of_graph(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."),
            MailboxAccessDenied,
            "Select",
            "RBAC for Applications",
        ),
        (
            of_graph(404, "MailboxNotEnabledForRESTAPI", "REST API is not yet supported for this mailbox."),
            MailboxNotFound,
            "Select",
            "licence with Exchange Online",
        ),
        (of_graph(404, "ErrorInvalidUser", "The requested user is invalid."), MailboxNotFound, "Select", "set graph.user"),
        (of_graph(404, "ErrorItemNotFound", "The object was not found."), MailboxNotFound, "Select", "check mailbox.name"),
        (of_graph(400, "ErrorInvalidRequest", "Your request can't be completed."), ProtocolError, "AUTH", "documented"),
        (
            of_gmail(401, "authError", "UNAUTHENTICATED", "Invalid Credentials"),
            AuthenticationFailed,
            "AUTH",
            "Check Secret mail/",
        ),
        (
            of_gmail(403, "insufficientPermissions", "PERMISSION_DENIED", "Request had insufficient authentication scopes."),
            MailboxAccessDenied,
            "Select",
            "grant gmail.modify",
        ),
        (
            of_gmail(403, "accessNotConfigured", "PERMISSION_DENIED", "Gmail API has not been used in project 1 before."),
            MailboxAccessDenied,
            "Select",
            "Enable the Gmail API",
        ),
        (
            of_gmail(403, "forbidden", "PERMISSION_DENIED", "Delegation denied for box@corp.test"),
            MailboxAccessDenied,
            "Select",
            "domain-wide",
        ),
        (of_gmail(403, "domainPolicy", "PERMISSION_DENIED", "Not by policy."), MailboxAccessDenied, "Select", "API controls"),
        (
            of_gmail(400, "failedPrecondition", "FAILED_PRECONDITION", "Mail service not enabled"),
            MailboxNotFound,
            "Select",
            "Turn on Gmail",
        ),
        (
            of_gmail(400, "failedPrecondition", "FAILED_PRECONDITION", "Precondition check failed."),
            MailboxNotFound,
            "Select",
            "set gmail.subject",
        ),
    ] {
        let scene = Scene::of(api).await;
        scene.cloud.does(first(api), usize::MAX, Fault::Says(answer));
        let report = scene.checks().await;
        let failure = report.failure.as_ref().unwrap_or_else(|| panic!("{code}: it is refused"));
        assert_eq!((failure.reason, failure.stage.unwrap().as_str()), (reason, stage), "{code}: {}", failure.said());
        assert!(failure.said().contains(words) && failure.said().contains(code), "{code}: {}", failure.said());
        assert!(failure.hint().contains(hint), "{code}: {}", failure.hint());
        let judged = match reason {
            AuthenticationFailed => LoginOutcome::Refused,
            ProtocolError => LoginOutcome::Undecided,
            _ => LoginOutcome::Accepted,
        };
        assert_eq!(report.login, Some(judged), "{code}");
        assert_eq!(scene.cloud.asked(first(api)).len(), 1, "{code}: what is refused is not asked again");
    }
}

#[tokio::test]
async fn a_user_that_the_directory_does_not_have_is_told() {
    let scene = Scene::written(Api::Graph, serde_json::json!({"graph": {"user": "nobody@corp.test"}}), |_| {
        mailverity::mail::https::Hosts::Any
    })
    .await;
    let report = scene.checks().await;
    let failure = report.failure.as_ref().unwrap();
    assert_eq!(failure.reason, Reason::MailboxNotFound);
    assert!(failure.hint().contains("no mailbox INBOX for nobody@corp.test"), "{}", failure.hint());
}

/// Searches where the first list is answered so, to be asked again in so many seconds: over how many sessions the mail is found, and
/// that it is not before.
async fn found_later(scene: &Scene, answer: Answer, seconds: u64) -> u32 {
    scene.cloud.does(scene.list(), 1, Fault::Says(answer.with("Retry-After", seconds.to_string())));
    let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
    let found = finding.found.unwrap_or_else(|| panic!("{:?}: {}", scene.api, finding.report.message()));
    let took = found.at - finding.dispatched.unwrap().at;
    assert!(took >= Duration::from_secs(seconds), "{:?}: {took:?}", scene.api);
    finding.sessions
}

#[tokio::test]
async fn who_is_throttled_waits_as_long_as_it_is_told_and_goes_on() {
    for (status, code) in [(429, "TooManyRequests"), (503, "serviceNotAvailable"), (504, "")] {
        let of_gmail = gmail::error(status, "rateLimitExceeded", "RESOURCE_EXHAUSTED", "throttled");
        for (api, answer) in [(Api::Graph, graph::error(status, code, "throttled")), (Api::Gmail, of_gmail)] {
            assert_eq!(found_later(&Scene::of(api).await, answer, 2).await, 1, "{api:?} {status}");
        }
    }
}

#[tokio::test]
async fn who_is_throttled_for_longer_than_an_answer_may_take_leaves_and_comes_back_then() {
    let words = "Application is over its MailboxConcurrency limit.";
    let of_gmail = gmail::error(403, "userRateLimitExceeded", "PERMISSION_DENIED", words);
    for (api, answer) in [(Api::Graph, graph::error(429, "ApplicationThrottled", words)), (Api::Gmail, of_gmail)] {
        let mut scene = Scene::of(api).await;
        scene.inputs.timeout = Duration::from_secs(3);
        assert_eq!(found_later(&scene, answer, 5).await, 2, "{api:?}");
    }
}

#[tokio::test]
async fn what_is_throttled_to_the_end_is_told_as_that_and_not_as_a_mail_that_did_not_come() {
    for api in BOTH {
        let mut scene = Scene::of(api).await;
        (scene.inputs.timeout, scene.timeout) = (Duration::from_secs(3), Duration::from_secs(3));
        scene.cloud.does(scene.list(), usize::MAX, Fault::Says(Answer::empty(429).with("Retry-After", "600")));
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
        let failure = finding.report.failure.as_ref().unwrap();
        assert_eq!((failure.reason, failure.class), (Reason::RateLimited, Class::Transient), "{api:?}: {}", failure.said());
        assert_eq!(failure.after, Some(Duration::from_mins(10)));
        assert!(scene.cloud.asked(scene.list()).len() <= 2, "{api:?}");
    }
}
