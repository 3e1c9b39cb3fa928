//! A mail is found by when it came, its subject and its header; however full the mailbox is, and however late it is shown.

use std::time::Duration;

use mailverity::{api::Reason, mail::mailbox::Mark, verify::mailbox::attend::Finding};

use super::{Api, BOTH, RUN, Scene, foreign, of_run, ours, stages};
use crate::{
    support::cloud::{Fault, gmail, graph},
    world::CODE,
};

fn reason(finding: &Finding) -> Option<Reason> {
    finding.report.failure.as_ref().map(|failure| failure.reason)
}

#[tokio::test]
async fn a_mail_that_comes_is_found_and_removed_and_what_others_wrote_of_its_sender_is_kept() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        let before = scene.letters.put("INBOX", 60, &foreign(1));
        let mut id = String::new();
        let finding = scene.searches(|letters| id = letters.put("INBOX", 0, &ours())).await;
        let found = finding.found.as_ref().unwrap_or_else(|| panic!("{api:?}: {}", finding.report.message()));
        assert_eq!((found.sighting.code, found.sighting.run.as_deref(), found.copies), (CODE, Some(RUN), 1));
        assert!(found.sighting.authentication_results[0].contains("spf=pass"), "{:?}", found.sighting);
        assert!(matches!(finding.mark, Some(Mark::Time { .. })), "{:?}", finding.mark);
        assert_eq!((finding.removed, finding.sessions), (1, 1));
        let told = ["Secrets", "Token", "DNS", "TCP", "TLS", "AUTH", "Select", "Fetch", "Cleanup", "QUIT"];
        assert_eq!(stages(&finding.report), told);
        // Graph leaves it to the owner to recover, Gmail shows it in the trash.
        assert_eq!(scene.letters.find(&id), (api == Api::Gmail).then_some(("TRASH", false)));
        assert_eq!(scene.letters.find(&before), Some(("INBOX", false)), "nothing else is touched");
    }
}

#[tokio::test]
async fn a_mail_is_found_behind_many_others_and_over_many_pages() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        scene.cloud.pages_of(7);
        let finding = scene
            .searches(|letters| {
                letters.put("INBOX", 30, &ours());
                for number in 0..60 {
                    letters.put("INBOX", 0, &foreign(number));
                }
            })
            .await;
        assert!(finding.found.is_some(), "{api:?}: {}", finding.report.message());
        let lists = scene.cloud.asked(scene.list()).len();
        // The sweep behind it looks at the newest 50.
        assert!((9..=18).contains(&lists), "{api:?}: {lists}");
    }
}

#[tokio::test]
async fn a_header_of_any_length_hides_nothing_that_counts() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        let long = format!("Received: {}\r\nTo: {}\r\n{}", "r".repeat(40_000), "t".repeat(65_500), ours());
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &long))).await;
        assert!(finding.found.is_some() && finding.removed == 1, "{api:?}: {}", finding.report.message());
    }
}

#[tokio::test]
async fn a_mail_that_is_shown_late_is_found_all_the_same() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        scene.cloud.is_late(3);
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
        assert!(finding.found.is_some() && finding.sessions == 1, "{api:?}: {}", finding.report.message());
        assert!(finding.found.unwrap().at.duration_since(finding.dispatched.unwrap().at) >= Duration::from_secs(2), "{api:?}");
    }
}

#[tokio::test]
async fn a_mail_that_was_stamped_by_a_slow_clock_is_found() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 240, &ours()))).await;
        assert!(finding.found.is_some(), "{api:?}: {}", finding.report.message());
    }
}

#[tokio::test]
async fn a_mail_of_another_run_or_installation_is_not_ours() {
    for api in BOTH {
        let mut scene = Scene::of(api).await;
        scene.timeout = Duration::from_secs(3);
        let mut theirs = String::new();
        let finding = scene.searches(|letters| theirs = letters.put("INBOX", 0, &of_run("there/uid/7", &CODE.to_string()))).await;
        assert_eq!(reason(&finding), Some(Reason::MessageNotReceived), "{api:?}: {}", finding.report.message());
        assert_eq!(scene.letters.find(&theirs), Some(("INBOX", false)));
    }
}

#[tokio::test]
async fn a_mail_in_the_folder_for_junk_is_told_with_its_name() {
    for api in BOTH {
        let mut scene = Scene::of(api).await;
        scene.timeout = Duration::from_secs(4);
        let finding = scene.searches(|letters| drop(letters.put("SPAM", 0, &ours()))).await;
        assert_eq!(reason(&finding), Some(Reason::MessageInJunk), "{api:?}: {}", finding.report.message());
        let name = if api == Api::Graph { "Junk Email" } else { "SPAM" };
        assert!(finding.report.message().contains(name) && finding.removed == 1, "{}", finding.report.message());
    }
}

#[tokio::test]
async fn a_report_that_the_mail_came_back_ends_the_search() {
    // promise 6
    let report = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\nFrom: mailer-daemon@corp.test\r\n\
                  Subject: Undeliverable\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.corp.test\r\n\
                  Original-Envelope-Id: env-7\r\n\r\nFinal-Recipient: rfc822; box@corp.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\
                  Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n--b--\r\n";
    for api in BOTH {
        let scene = Scene::of(api).await;
        let mut id = String::new();
        let finding = scene.searches(|letters| id = letters.put("INBOX", 0, report)).await;
        assert_eq!(reason(&finding), Some(Reason::MessageBounced), "{api:?}: {}", finding.report.message());
        assert!(finding.report.message().contains("no such user"), "{}", finding.report.message());
        assert_ne!(scene.letters.find(&id).map(|found| found.0), Some("INBOX"), "it names our mail: it is ours");
    }
}

#[tokio::test]
async fn a_search_asks_no_more_than_it_said_and_over_one_connection() {
    // promise 10
    for api in BOTH {
        let mut scene = Scene::of(api).await;
        scene.timeout = Duration::from_secs(6);
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &foreign(1)))).await;
        assert_eq!(reason(&finding), Some(Reason::MessageNotReceived), "{api:?}");
        let lists = scene.cloud.asked(scene.list()).len();
        assert!((5..=11).contains(&lists), "{api:?}: {lists}");
        let gets = scene.cloud.asked("format=metadata").len();
        assert!(gets <= 1, "{api:?}: a header is read once: {gets}");
        let all = scene.cloud.asked("").len();
        assert!(all <= 20, "{api:?}: {all}");
    }
}

#[tokio::test]
async fn one_goes_on_looking_with_a_new_token_where_the_old_one_has_ended() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        scene.cloud.is_late(1);
        let finding = scene
            .searches(|letters| {
                letters.put("INBOX", 0, &ours());
                scene.cloud.revokes();
            })
            .await;
        assert!(finding.found.is_some() && finding.sessions == 2, "{api:?}: {}", finding.report.message());
        assert_eq!(scene.cloud.asked("/token").len(), 2, "{api:?}: another is had once");
        assert_eq!(scene.cloud.refusals(), 1, "{api:?}: what was refused is not shown again");
    }
}

#[tokio::test]
async fn where_the_token_in_place_of_a_refused_one_is_refused_as_well_it_is_not_the_token() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        let refused = if api == Api::Graph {
            graph::error(401, "InvalidAuthenticationToken", "Continuous access evaluation resulted in claims challenge.")
        } else {
            gmail::error(401, "authError", "UNAUTHENTICATED", "Invalid Credentials")
        };
        scene.cloud.does(scene.list(), usize::MAX, Fault::Says(refused));
        let finding = scene.searches(|letters| drop(letters.put("INBOX", 0, &ours()))).await;
        assert_eq!(reason(&finding), Some(Reason::AuthenticationFailed), "{api:?}: {}", finding.report.message());
        assert_eq!((finding.sessions, scene.cloud.asked("/token").len()), (2, 2), "{api:?}");
    }
}
