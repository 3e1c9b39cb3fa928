//! `check --live` of a `RoundTripPolicy` against the real stack: a probe goes to what answers at remote.test, its answer is found in
//! the mailbox of an `EmailProfile` and removed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    interrupted::{ended, tell},
    profiles::{Owner, object, stage},
    support::command::{Folder, Ran, run, start},
};

/// A policy whose answers come to the profile `box`; what is in `rest` is added or replaced.
fn policy(name: &str, to: &str, rest: Value) -> String {
    let mut spec = json!({
        "serverRef": {"name": "relay"}, "to": to, "message": {"body": "please answer this mail"},
        "interval": "15m", "timeout": "1m", "receive": {"profileRef": {"name": "box"}},
    });
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    object("RoundTripPolicy", name, &spec)
}

/// `check --live` of these policies beside the owner's server; the profile is named, and stands last.
fn check(owner: &Owner, policies: &str, profile: Value, flags: &[&str]) -> Ran {
    let manifests = owner.manifests(&(policies.to_owned() + &owner.profile("box", profile)));
    run(&[&["check", "--live", "-f", "-"], flags].concat(), &manifests)
}

fn trips(ran: &Ran) -> Vec<Value> {
    ran.lines().into_iter().filter(|line| line["kind"] == "RoundTripPolicy").collect()
}

/// What JSON tells of a round trip that works, and of one that only a cluster can prove.
pub async fn both(test: &str) -> Vec<Value> {
    let receiver = json!({"receive": {"receiverRef": {"name": "inbound"}}});
    let policies = policy("forward", "forward@remote.test", json!({"expect": "Redirect"}))
        + &policy("echo", "forward@remote.test", receiver);
    trips(&check(&Owner::new(test).await, &policies, json!({}), &["-o", "json"]))
}

#[tokio::test]
async fn a_probe_is_sent_and_its_answer_found_and_removed_over_imap_and_over_pop3() {
    for (protocol, port, look) in [("IMAP", "IMAPS_PORT", "Fetch"), ("POP3", "POP3S_PORT", "Top")] {
        let owner = Owner::new("trip").await;
        let profile = json!({"protocol": protocol, "server": owner.server(port, "TLS")});
        let quoting = json!({"expect": "Reply", "match": {"containsBody": false}});
        let policies = policy("handed-on", "forward@remote.test", json!({"expect": "Redirect"}))
            + &policy("answered", "vacation@remote.test", quoting);
        let ran = check(&owner, &policies, profile, &["-o", "json"]);
        let trips = trips(&ran);
        assert_eq!((ran.code, trips.len()), (0, 2), "{}{}", ran.out, ran.err);
        for trip in &trips {
            assert_eq!((&trip["result"], &trip["reason"]), (&"Verified".into(), &"Succeeded".into()), "{trip:#}");
            let took = trip["took"].as_str().unwrap();
            assert_eq!(trip["message"], format!("answer found {took} after it was sent"));
            assert!(trip["sent"].as_str().unwrap() <= trip["received"].as_str().unwrap(), "{trip:#}");
            assert_eq!(stage(&trip["sending"], "DATA").unwrap()["result"], "Passed", "{trip:#}");
            let found = stage(trip, look).unwrap();
            assert_eq!((&found["result"], &found["detail"]), (&"Passed".into(), &"answer found".into()), "{trip:#}");
        }
        assert_eq!(owner.mails(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_answer_that_lacks_something_a_mail_that_comes_back_and_silence_are_told_apart() {
    let owner = Owner::new("trips").await;
    let nobody = format!("nobody-{}@example.test", Uuid::new_v4().simple());
    let short = json!({"timeout": "8s"});
    let from = json!({"expect": "Redirect", "timeout": "8s"});
    let policies = policy("no-text", "vacation@remote.test", short.clone())
        + &policy("bounced", &nobody, json!({}))
        + &policy("silent", "slow@remote.test", short)
        + &policy("stranger", "vacation@remote.test", from);
    let ran = check(&owner, &policies, json!({}), &["-o", "json"]);
    let trips = trips(&ran);
    let told: Vec<_> = trips.iter().map(|trip| (trip["result"].as_str().unwrap(), trip["reason"].as_str().unwrap())).collect();
    let reasons = ["ReplyBodyMissing", "MessageBounced", "ReplyTimeout", "ReplyFromMismatch"];
    assert_eq!((ran.code, told), (1, reasons.map(|reason| ("Unverified", reason)).to_vec()), "{}{}", ran.out, ran.err);
    for trip in &trips {
        assert_eq!((&trip["stage"], &trip["sending"]["result"]), (&"Fetch".into(), &"Verified".into()), "{trip:#}");
        assert_eq!(stage(trip, "Fetch").unwrap()["result"], "Failed", "{trip:#}");
    }
    assert!(trips[0]["hint"].as_str().unwrap().contains("set match.containsBody: false"), "{:#}", trips[0]);
    assert!(trips[1]["message"].as_str().unwrap().contains("550 5.1.1"), "{:#}", trips[1]);
    let hint = trips[2]["hint"].as_str().unwrap();
    assert!(hint.starts_with(&format!("Nothing came to {} within 8s; sent at 2", owner.address)), "{hint}");
}

#[tokio::test]
async fn no_mail_goes_where_the_mailbox_does_not_open_or_the_level_forbids_it() {
    let owner = Owner::new("no-trip").await;
    let to = owner.stack.user(&format!("nobody-{}", Uuid::new_v4().simple()), "x").await;
    let policies = policy("echo", &to, json!({}));
    let closed = json!({"server": {"host": "localhost", "port": 1}});
    let ran = check(&owner, &policies, closed, &["-o", "json"]);
    let trip = &trips(&ran)[0];
    assert_eq!((ran.code, &trip["reason"], &trip["stage"]), (1, &"ConnectionRefused".into(), &"TCP".into()), "{trip:#}");
    let ran = check(&owner, &policies, json!({}), &["-o", "json", "--level", "Authenticate"]);
    let trip = &trips(&ran)[0];
    assert_eq!((ran.code, &trip["result"], &trip["sending"]["result"]), (0, &"Verified".into(), &"Verified".into()), "{trip:#}");
    assert!(trip["message"].as_str().unwrap().ends_with("no mail was sent (--level Authenticate)"), "{trip:#}");
    assert_eq!(owner.stack.log("POSTFIX_LOG", &[&format!("to=<{to}>")]), 0);
}

#[tokio::test]
async fn a_policy_whose_answers_come_to_a_receiver_is_skipped_and_its_server_checked() {
    let owner = Owner::new("received").await;
    let receiver = json!({"receive": {"receiverRef": {"name": "inbound"}}});
    let policies = policy("echo", "echo@remote.test", receiver.clone());
    for forms in ["json", "text", "junit"] {
        let ran = check(&owner, &policies, json!({}), &["-o", forms, "--level", "Authenticate"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        let why = "its answers come to a MailReceiver, so only a cluster can prove it; the server that sends is checked: ";
        assert!(ran.out.contains(why), "{}", ran.out);
    }
    // A server that cannot send is a failure, also here.
    let wrong = policy("echo", "echo@remote.test", receiver).replace("\"relay\"", "\"nobody\"");
    let ran = check(&owner, &wrong, json!({}), &["-o", "json", "--level", "Authenticate"]);
    let trip = &trips(&ran)[0];
    assert_eq!((ran.code, &trip["reason"]), (1, &"MailServerNotFound".into()), "{trip:#}");
}

#[tokio::test]
async fn a_wait_that_is_interrupted_looks_once_more_and_says_what_it_waited_for() {
    let owner = Owner::new("trip-cut").await;
    let to = owner.stack.user(&format!("silent-{}", Uuid::new_v4().simple()), "x").await;
    let folder = Folder::new();
    let policies = policy("silent", &to, json!({"timeout": "5m"})) + &policy("next", &to, json!({}));
    let file = folder.file("trip.yaml", owner.manifests(&(policies + &owner.profile("box", json!({})))));
    let child = start(&["check", "--live", "-f", &file, "-o", "json"], "/dev/null");
    let end = Instant::now() + Duration::from_secs(20);
    while owner.stack.log("POSTFIX_LOG", &[&format!("to=<{to}>"), "status=sent"]) == 0 {
        assert!(Instant::now() < end, "nothing was sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = Instant::now();
    tell(&child, "-INT");
    let ran = ended(child);
    assert!(before.elapsed() < Duration::from_secs(15), "it waits for the answer all the same");
    let trips = trips(&ran);
    assert_eq!((ran.code, &trips[0]["reason"]), (1, &"ReplyTimeout".into()), "{}{}", ran.out, ran.err);
    assert!(trips[0]["message"].as_str().unwrap().contains("the search was ended"), "{}", ran.out);
    assert_eq!(trips[1]["result"], "Valid", "it was not begun");
    assert!(ran.err.contains("interrupted; not checked: RoundTripPolicy team/next, EmailProfile team/box"), "{}", ran.err);
}
