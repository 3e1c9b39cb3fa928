//! What is removed is ours, and nothing else (promise 11).

use mailverity::mail::https::Hosts;
use serde_json::json;

use super::{Api, BOTH, EARLIER, Scene, foreign, of_run, ours};
use crate::world::CODE;

#[tokio::test]
async fn only_our_mail_is_removed_and_what_earlier_runs_of_ours_have_left() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        let left = scene.letters.put("INBOX", 4000, &of_run("here/uid/6", EARLIER));
        let theirs: Vec<String> = [
            of_run("there/uid/6", EARLIER),
            of_run("here/other/6", EARLIER),
            of_run("here/uid/5", EARLIER),
            foreign(1),
            format!("Subject: ({CODE})\r\nX-Mailverity-Run: there/uid/7\r\n\r\nx\r\n"),
        ]
        .iter()
        .map(|text| scene.letters.put("INBOX", 10, text))
        .collect();
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
        assert_eq!((finding.removed, finding.swept), (1, 1), "{api:?}: {}", finding.report.message());
        assert_ne!(scene.letters.find(&left).map(|found| found.0), Some("INBOX"));
        for id in &theirs {
            assert_eq!(scene.letters.find(id), Some(("INBOX", false)), "{api:?}");
        }
        let changes: Vec<String> =
            scene.cloud.asked("").into_iter().filter(|line| !line.starts_with("GET ") && !line.contains("/token")).collect();
        assert_eq!(changes.len(), 2, "{changes:?}");
    }
}

#[tokio::test]
async fn a_mail_without_our_header_is_found_and_stays() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        let mut id = String::new();
        let finding =
            scene.searches(|letters| id = letters.put("INBOX", 0, &format!("Subject: Re: ({CODE})\r\n\r\nx\r\n"))).await;
        assert!(finding.found.is_some() && finding.removed == 0, "{api:?}: {}", finding.report.message());
        assert_eq!(scene.letters.find(&id), Some(("INBOX", false)));
    }
}

#[tokio::test]
async fn a_mail_is_marked_as_read_or_kept_where_that_is_wanted() {
    for api in BOTH {
        for (cleanup, seen, changes) in [("MarkSeen", true, 1), ("Keep", false, 0)] {
            let scene = Scene::written(api, json!({"mailbox": {"cleanup": cleanup}}), |_| Hosts::Any).await;
            let mut id = String::new();
            let finding = scene.searches(|letters| id = letters.put("INBOX", 0, &ours())).await;
            assert!(finding.found.is_some(), "{api:?}: {}", finding.report.message());
            assert_eq!(scene.letters.find(&id), Some(("INBOX", seen)), "{api:?} {cleanup}");
            let changed =
                scene.cloud.asked("").iter().filter(|line| !line.starts_with("GET ") && !line.contains("/token")).count();
            assert_eq!(changed, changes, "{api:?} {cleanup}");
        }
    }
}

#[tokio::test]
async fn a_scope_that_lets_only_read_finds_and_says_why_nothing_was_removed() {
    let scene = Scene::of(Api::Gmail).await;
    scene.cloud.consents("https://www.googleapis.com/auth/gmail.readonly");
    let mut id = String::new();
    let finding = scene.searches(|letters| id = letters.put("INBOX", 0, &ours())).await;
    assert!(finding.found.is_some() && finding.report.failure.is_none(), "{}", finding.report.message());
    let cleanup = finding.report.stages.iter().find(|record| record.stage.as_str() == "Cleanup").unwrap();
    assert!(cleanup.detail.as_ref().unwrap().contains("insufficientPermissions"), "{cleanup:?}");
    assert_eq!(scene.letters.find(&id), Some(("INBOX", false)));
}
