//! Servers that lie, flood, redirect or forget: each answer has a bound, no token goes elsewhere, and nothing is believed.

use std::time::{Duration, Instant};

use mailverity::api::{Class, Reason};
use serde_json::json;

use super::{Api, BOTH, Scene, foreign, ours};
use crate::support::cloud::{Answer, Fault, graph};

#[tokio::test]
async fn what_is_no_answer_is_told_as_none() {
    let says = Fault::Says;
    for api in BOTH {
        for (fault, words) in [
            (says(Answer::html(200)), "200 with HTML, where JSON belongs"),
            (says(Answer::html(403)), "403 with HTML"),
            (says(Answer::raw("application/json", b"{".to_vec())), "JSON that cannot be read"),
            (says(Answer::raw("application/json", b"[1]".to_vec())), "JSON that cannot be read"),
            (says(Answer::json(200, &json!({}))), "something is missing"),
            (says(Answer::json(200, &json!({"id": 7, "emailAddress": 7}))), "something is missing"),
            (says(Answer::raw("", b"hello".to_vec())), "no JSON"),
            (says(Answer::empty(302).with("Location", "https://elsewhere.test/")), "it redirects"),
            (Fault::Floods, "larger than 4096 KiB"),
        ] {
            let scene = Scene::of(api).await;
            scene.cloud.does("GET ", usize::MAX, fault);
            let begun = Instant::now();
            let report = scene.checks().await;
            let failure = report.failure.as_ref().unwrap();
            assert_eq!((failure.reason, failure.class), (Reason::ProtocolError, Class::Transient), "{words}: {}", failure.said());
            assert!(failure.said().contains(words), "{api:?} {words}: {}", failure.said());
            assert!(!failure.said().contains("script") && begun.elapsed() < Duration::from_secs(10), "{}", failure.said());
        }
    }
}

#[tokio::test]
async fn an_error_counts_whatever_the_status_says() {
    let scene = Scene::of(Api::Graph).await;
    scene.cloud.does("/mailFolders/inbox", 1, Fault::Says(graph::error(200, "ErrorAccessDenied", "Access is denied.")));
    let report = scene.checks().await;
    assert_eq!(report.failure.as_ref().unwrap().reason, Reason::MailboxAccessDenied, "{}", report.message());
}

#[tokio::test]
async fn a_link_to_the_next_page_is_followed_on_the_same_host_only() {
    for link in ["https://elsewhere.test/v1.0/next", "https://localhost/v1.0/next", "http://localhost/next", "not a link"] {
        let mut scene = Scene::of(Api::Graph).await;
        scene.timeout = Duration::from_secs(2);
        let page = json!({"value": [], "@odata.nextLink": link});
        scene.cloud.does(scene.list(), usize::MAX, Fault::Says(Answer::json(200, &page)));
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
        let failure = finding.report.failure.as_ref().unwrap();
        assert_eq!(failure.reason, Reason::ProtocolError, "{link}: {}", failure.said());
        assert!(failure.said().contains("link to the next page"), "{}", failure.said());
    }
}

#[tokio::test]
async fn pages_without_end_are_left() {
    for api in BOTH {
        let mut scene = Scene::of(api).await;
        scene.timeout = Duration::from_secs(2);
        let next = format!("https://localhost:{}/v1.0/users/x/mailFolders/inbox==/messages?again=1", scene.cloud.port);
        let page = json!({"value": [], "messages": [], "@odata.nextLink": next, "nextPageToken": "again"});
        scene.cloud.does(scene.list(), usize::MAX, Fault::Says(Answer::json(200, &page)));
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
        assert_eq!(finding.report.failure.as_ref().unwrap().reason, Reason::MessageNotReceived, "{api:?}");
        let lists = scene.cloud.asked(scene.list()).len();
        assert!(lists < 400, "{api:?}: {lists}");
    }
}

#[tokio::test]
async fn ids_that_lead_elsewhere_are_left_out() {
    let scene = Scene::of(Api::Gmail).await;
    let page = json!({"messages": [{"id": "../../labels/INBOX"}, {"id": ""}, {"id": "a?b"}, {"id": "a".repeat(500)}]});
    scene.cloud.does(scene.list(), 1, Fault::Says(Answer::json(200, &page)));
    let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
    assert!(finding.found.is_some(), "{}", finding.report.message());
    assert!(scene.cloud.asked("format=metadata").iter().all(|line| !line.contains("..") && line.len() < 500));
}

#[tokio::test]
async fn a_mail_that_is_listed_and_not_there_yet_is_found_by_a_later_look() {
    let scene = Scene::of(Api::Gmail).await;
    let gone = crate::support::cloud::gmail::error(404, "notFound", "NOT_FOUND", "Requested entity was not found.");
    scene.cloud.does("format=metadata", 2, Fault::Says(gone));
    let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
    assert!(finding.found.is_some() && finding.sessions == 1, "{}", finding.report.message());
}

#[tokio::test]
async fn a_mail_that_somebody_else_has_removed_meanwhile_is_found_and_not_counted() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        let part = if api == Api::Graph { "DELETE " } else { "/trash?" };
        let answer = match api {
            Api::Graph => graph::error(404, "ErrorItemNotFound", "gone"),
            Api::Gmail => crate::support::cloud::gmail::error(404, "notFound", "NOT_FOUND", "gone"),
        };
        scene.cloud.does(part, 1, Fault::Says(answer));
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
        assert!(finding.found.is_some() && finding.removed == 0, "{api:?}: {}", finding.report.message());
        assert!(finding.report.failure.is_none());
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        scene.cloud.is_late(2);
        scene.cloud.does(scene.list(), 1, Fault::HangsUp);
        let part = if api == Api::Graph { "DELETE " } else { "/trash?" };
        // It was done, and nobody said so: asked again it is gone, which is as well.
        scene.cloud.does(part, 1, Fault::Forgets);
        let mut id = String::new();
        let finding = scene.searches(|letters| id = letters.put("INBOX", 0, &ours())).await;
        assert!(finding.found.is_some() && finding.sessions == 1, "{api:?}: {}", finding.report.message());
        assert!(finding.report.failure.is_none());
        assert_ne!(scene.letters.find(&id).map(|found| found.0), Some("INBOX"));
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_loses_no_mail() {
    for api in BOTH {
        for date in ["Fri, 01 Jan 2999 00:00:00 GMT", "no date"] {
            let scene = Scene::of(api).await;
            let part = if api == Api::Graph { "/mailFolders/inbox?" } else { "/profile?" };
            let answer =
                json!({"id": "AAkALginbox==", "displayName": "Inbox", "totalItemCount": 0, "emailAddress": "box@corp.test"});
            scene.cloud.does(part, 1, Fault::Says(Answer::json(200, &answer).with("Date", date)));
            scene.letters.put("INBOX", 60, &foreign(1));
            let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
            assert!(finding.found.is_some(), "{api:?} {date}: {}", finding.report.message());
        }
    }
}
