//! Opening a mailbox: the stages, the account, the hosts that a token may be shown to.

use mailverity::{
    api::{Reason, v1alpha1::Level},
    mail::https::Hosts,
    verify::report::LoginOutcome,
};
use serde_json::json;

use super::{Api, BOTH, Scene, USER, foreign, stages};
use crate::world;

#[tokio::test]
async fn a_mailbox_is_opened_by_the_stages_of_every_check_and_tells_what_is_in_it() {
    for api in BOTH {
        let scene = Scene::of(api).await;
        for number in 0..3 {
            scene.letters.put("INBOX", 60, &foreign(number));
        }
        let report = scene.checks().await;
        assert!(report.failure.is_none(), "{api:?}: {}", report.message());
        assert_eq!(stages(&report), ["Secrets", "Token", "DNS", "TCP", "TLS", "AUTH", "Select", "QUIT"]);
        assert_eq!((report.login, report.tls_verified), (Some(LoginOutcome::Accepted), true));
        let shown = report.mailbox.as_ref().unwrap();
        let (inbox, junk) = if api == Api::Graph { ("Inbox", "Junk Email") } else { ("INBOX", "SPAM") };
        assert_eq!((shown.name.as_str(), shown.messages, shown.junk.as_slice()), (inbox, 3, [junk.to_owned()].as_slice()));
        assert_eq!(report.token.as_ref().unwrap().0, "localhost");
        let told = format!("{report:?}");
        crate::support::leaks::none_in("the report", &told);
    }
}

#[tokio::test]
async fn without_a_login_nothing_is_asked_and_no_token_is_had() {
    for api in BOTH {
        let mut scene = Scene::of(api).await;
        scene.inputs.level = Level::Connect;
        let report = scene.checks().await;
        assert!(report.failure.is_none(), "{api:?}: {}", report.message());
        assert_eq!(stages(&report), ["Secrets", "DNS", "TCP", "TLS", "QUIT"]);
        assert!(scene.cloud.asked("").is_empty());
    }
}

#[tokio::test]
async fn the_login_is_asked_for_at_the_gate_and_its_outcome_told() {
    // promises 7 and 8
    for api in BOTH {
        let scene = Scene::of(api).await;
        let gate = world::login().gate;
        scene.checks_at(&gate).await;
        let asked: Vec<String> = gate.log.lines().into_iter().filter(|line| line.starts_with("gate: ")).collect();
        let us = format!("gate: may {USER} log in at localhost?");
        let at_provider = ["gate: may us log in at localhost?", "gate: still?", "gate: Accepted"];
        assert_eq!(asked, [&at_provider[..], &[&us, "gate: Accepted"]].concat(), "{api:?}");
    }
}

#[tokio::test]
async fn a_folder_by_another_name_is_opened_and_one_that_is_not_there_is_told() {
    for (api, name) in [(Api::Graph, "Junk Email"), (Api::Gmail, "Spam")] {
        let scene = Scene::written(api, json!({"mailbox": {"name": name}}), |_| Hosts::Any).await;
        scene.letters.put("SPAM", 60, &foreign(1));
        let report = scene.checks().await;
        assert_eq!(report.mailbox.as_ref().unwrap_or_else(|| panic!("{}", report.message())).messages, 1);
        let scene = Scene::written(api, json!({"mailbox": {"name": "O'Brien/Nowhere"}}), |_| Hosts::Any).await;
        let report = scene.checks().await;
        let failure = report.failure.as_ref().unwrap();
        assert_eq!((failure.reason, failure.stage.unwrap().as_str()), (Reason::MailboxNotFound, "Select"), "{api:?}");
        assert!(failure.said().contains("O'Brien/Nowhere"), "{}", failure.said());
    }
}

#[tokio::test]
async fn a_host_that_the_installation_does_not_name_is_shown_no_token() {
    for api in BOTH {
        let block = if api == Api::Graph { "graph" } else { "gmail" };
        let elsewhere = json!({block: {"endpoint": "https://localhost:1"}});
        let named = |port| Hosts::These(vec![format!("localhost:{port}").parse().unwrap()]);
        let report = Scene::written(api, elsewhere, named).await.checks().await;
        let failure = report.failure.as_ref().unwrap();
        assert_eq!(
            (failure.reason, failure.condition()),
            (Reason::DestinationDenied, "Reachable"),
            "{api:?}: {}",
            failure.said()
        );
        assert!(failure.said().contains("--allowed-token-hosts does not name localhost:1"), "{}", failure.said());
        assert_eq!(stages(&report), ["Secrets", "Token", "DNS"]);
        let denied = Scene::written(api, json!({}), |_| Hosts::These(Vec::new())).await;
        let report = denied.checks().await;
        assert_eq!(report.failure.as_ref().unwrap().reason, Reason::OAuthTokenFailed, "{api:?}");
        assert!(denied.cloud.asked("").is_empty());
    }
}
