//! What becomes of a probe, each with its reason, its Event, its metric and its row: right answers, wrong ones, late ones, none,
//! and mails that come back.

use std::time::Duration;

use kube::ResourceExt;
use mailverity::api::v1alpha1::{InFlight, RoundTripPolicyStatus};
use serde_json::{Value, json};

use super::{away, mailbox, policy, receiver};
use crate::support::{
    cluster::{Cluster, Operator},
    policies::results,
    stack::Stack,
};

/// A policy whose probes nobody answers: the test does.
fn silent(rest: Value) -> Value {
    let mut spec = policy(json!({"failureThreshold": 1}));
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

/// The probe under way, once its mail is sent.
async fn sent(cluster: &Cluster, name: &str) -> InFlight {
    let is_out = |status: &RoundTripPolicyStatus| status.in_flight.as_ref().is_some_and(|probe| probe.sent_at.is_some());
    cluster.policy_when(name, "sent", is_out).await.in_flight.unwrap()
}

/// Where answers to it go.
async fn back(cluster: &Cluster, name: &str, probe: &InFlight) -> String {
    let address = cluster.policy_status(name).await.return_address.unwrap();
    let id: uuid::Uuid = probe.id.parse().unwrap();
    address.replacen('@', &format!("+{}@", id.simple()), 1)
}

/// A report on a delivery.
fn report(probe: &InFlight, action: &str, status: &str, words: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.partner.test\nSubject: Delivery status\nMIME-Version: 1.0\nContent-Type: multipart/report; \
         report-type=delivery-status; boundary=b\n\n--b\n\nsorry\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; \
         mx.partner.test\nOriginal-Envelope-Id: {}\n\nFinal-Recipient: rfc822; alice@example.test\nAction: {action}\nStatus: {status}\n\
         Remote-MTA: dns; in.partner.test\nDiagnostic-Code: smtp; {words}\n\n--b--",
        probe.id
    )
}

/// That a result is told in each place where people look.
async fn is_told(cluster: &Cluster, operator: &Operator, name: &str, reason: &str) -> RoundTripPolicyStatus {
    let status = cluster.policy_condition(name, "RoundTripHealthy", "False", reason).await;
    assert_eq!(results(&status), [reason]);
    let told = async || {
        let events = cluster.events().await;
        let mine = |event: &&k8s_openapi::api::events::v1::Event| {
            event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name)
                && event.reason.as_deref() == Some(reason)
        };
        events.iter().any(|event| mine(&event)).then_some(())
    };
    cluster.until(&format!("{name}: an Event {reason}"), told).await;
    let series = format!(
        r#"mailverity_check_failures_total{{kind="RoundTripPolicy",reason="{reason}",namespace="{}",name="{name}"}} 1"#,
        cluster.namespace
    );
    let counted = async || operator.get("/metrics").await?.1.contains(&series).then_some(());
    cluster.until(&series, counted).await;
    status
}

fn message<'a>(status: &'a RoundTripPolicyStatus, kind: &str) -> &'a str {
    status.conditions.iter().find(|c| c.type_ == kind).map_or("", |c| c.message.as_str())
}

#[tokio::test]
async fn each_wrong_answer_is_told_with_what_was_missing_and_what_came() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-wrong").await);
    let receivers = cluster.receivers().await;
    let flags = ["--max-messages-per-recipient-per-hour", "1000"];
    let operator = cluster.operator_with(&receivers, &flags).await;
    let _receiver = receiver(&cluster, &stack, &receivers).await;
    let right = |probe: &InFlight| format!("From: alice@example.test\nSubject: Re: ({})\n\n> please answer this mail", probe.id);
    for (name, reason, words) in [
        ("from", "ReplyFromMismatch", "other@partner.test"),
        ("subject", "ReplySubjectMissing", "\"Thank you\""),
        ("body", "ReplyBodyMissing", "\"We got it\""),
        ("bounced", "MessageBounced", "550 5.1.1 no such user"),
        ("delayed", "MessageDelayed", "451 4.4.1 try later"),
        ("silent", "ReplyTimeout", "Nothing came to notify@"),
    ] {
        cluster.policy(name, silent(json!({"timeout": if name == "bounced" { "10m" } else { "5s" }}))).await;
        let probe = sent(&cluster, name).await;
        let right = right(&probe);
        let mail = match name {
            "from" => right.replace("From: alice@example.test", "From: other@partner.test"),
            "subject" => right.replace(&format!("Re: ({})", probe.id), "Thank you"),
            "body" => right.replace("> please answer this mail", "We got it"),
            "bounced" => report(&probe, "failed", "5.1.1", "550 5.1.1 no such user"),
            "delayed" => report(&probe, "delayed", "4.4.1", "451 4.4.1 try later"),
            _ => String::new(),
        };
        if !mail.is_empty() {
            let reply = receivers.bring("", &back(&cluster, name, &probe).await, &mail).await;
            assert!(reply.starts_with("250"), "{reply}");
        }
        let status = is_told(&cluster, &operator, name, reason).await;
        assert!(message(&status, "Ready").contains(words), "{}", message(&status, "Ready"));
    }
    let (_, metrics) = operator.get("/metrics").await.unwrap();
    assert!(metrics.contains("mailverity_bounces_total 1"), "{metrics}");
    assert!(receivers.replies().await.is_empty());
}

#[tokio::test]
async fn a_right_answer_behind_wrong_ones_counts_and_a_late_one_is_counted_and_no_success() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-late").await);
    let receivers = cluster.receivers().await;
    let _operator = cluster.operator_with(&receivers, &[]).await;
    let _receiver = receiver(&cluster, &stack, &receivers).await;
    cluster.policy("patient", silent(json!({"timeout": "1m"}))).await;
    let probe = sent(&cluster, "patient").await;
    let (to, right) = (
        back(&cluster, "patient", &probe).await,
        format!("From: alice@example.test\nSubject: Re: ({})\n\n> please answer this mail", probe.id),
    );
    receivers.bring("x@partner.test", &to, &right.replace("alice@example.test", "robot@partner.test")).await;
    cluster.policy_when("patient", "noted", |status| status.in_flight.as_ref().is_some_and(|probe| probe.noted.is_some())).await;
    receivers.bring("x@partner.test", &to, &right).await;
    let status = cluster.policy_condition("patient", "Ready", "True", "Succeeded").await;
    assert_eq!(results(&status), ["Succeeded"]);
    // Once more, as a relay may: nothing changes.
    receivers.bring("x@partner.test", &to, &right).await;
    cluster.until("it is forgotten", async || receivers.replies().await.is_empty().then_some(())).await;
    assert_eq!(cluster.policy_status("patient").await, status);

    cluster.policy("late", silent(json!({"timeout": "2s"}))).await;
    let probe = sent(&cluster, "late").await;
    cluster.policy_condition("late", "Ready", "False", "ReplyTimeout").await;
    let to = back(&cluster, "late", &probe).await;
    receivers.bring("x@partner.test", &to, &right.replace(&status.history[0].id, &probe.id)).await;
    let status = cluster.policy_when("late", "late", |status| results(status) == ["ReplyLate"]).await;
    assert!(status.last_success_time.is_none() && status.history[0].duration.is_some(), "{status:#?}");
    assert!(status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "False"), "{status:#?}");
}

#[tokio::test]
async fn events_are_told_of_what_a_policy_watches_over_and_a_missing_one_is_told() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-target").await);
    let receivers = cluster.receivers().await;
    let _operator = cluster.operator_with(&receivers, &[]).await;
    let _receiver = receiver(&cluster, &stack, &receivers).await;
    let target = |name: &str| json!({"targetRef": {"kind": "Service", "name": name}, "timeout": "2s"});
    cluster.policy("missing", silent(target("gateway"))).await;
    let status = cluster.policy_condition("missing", "ResolvedRefs", "False", "RefNotFound").await;
    assert!(message(&status, "Ready").contains("There is no Service gateway"), "{}", message(&status, "Ready"));
    cluster.policy("kind", silent(json!({"targetRef": {"kind": "Node", "name": "x"}}))).await;
    let status = cluster.policy_condition("kind", "ResolvedRefs", "False", "RefNotFound").await;
    assert!(message(&status, "Ready").contains("v1/Service, apps/v1/Deployment"), "{}", message(&status, "Ready"));
    let spec = json!({"ports": [{"port": 25}]});
    cluster.apply(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gateway"}, "spec": spec})).await;
    cluster.policy("watched", silent(target("gateway"))).await;
    let pods = json!({"metadata": {"labels": {"app": "mta"}}, "spec": {"containers": [{"name": "mta", "image": "mta"}]}});
    for kind in ["Deployment", "StatefulSet"] {
        let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": "mta"}}, "template": pods});
        cluster.apply(json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "mta"}, "spec": spec})).await;
        let target = json!({"targetRef": {"kind": kind, "name": "mta"}, "timeout": "2s"});
        cluster.policy(&kind.to_lowercase(), silent(target)).await;
    }
    cluster.policy_condition("watched", "Ready", "False", "ReplyTimeout").await;
    for (kind, policy) in [("Service", "watched"), ("Deployment", "deployment"), ("StatefulSet", "statefulset")] {
        let told = async || {
            let events = cluster.events().await;
            let of_target = events.into_iter().filter(|event| {
                let object = event.regarding.as_ref();
                object.is_some_and(|object| object.kind.as_deref() == Some(kind) && object.uid.is_some())
            });
            let mine = |note: &String| note.starts_with(&format!("RoundTripPolicy {policy}: "));
            let mut told = of_target.into_iter().filter(|event| event.note.as_ref().is_some_and(mine));
            told.any(|event| event.reason.as_deref() == Some("ReplyTimeout")).then_some(())
        };
        cluster.until(&format!("an Event on the {kind}"), told).await;
    }
    // A Service that comes later is found, though nobody tells of it.
    cluster.policy_condition("missing", "ResolvedRefs", "True", "Succeeded").await;
}

#[tokio::test]
async fn what_a_policy_names_must_be_there_be_shared_and_take_its_answers() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-refs").await);
    let receivers = cluster.receivers().await;
    let _operator = cluster.operator_with(&receivers, &[]).await;
    let _receiver = receiver(&cluster, &stack, &receivers).await;
    let none = json!({"receiverRef": {"name": "nobody"}});
    for (name, rest, kind, reason) in [
        ("server", json!({"serverRef": {"name": "nobody"}}), "ResolvedRefs", "MailServerNotFound"),
        ("receiver", json!({"receive": none}), "ResolvedRefs", "ReceiverNotFound"),
        ("profile", json!({"receive": {"profileRef": {"name": "nobody"}}}), "ResolvedRefs", "ProfileNotFound"),
        ("domain", json!({"envelopeFrom": "notify@elsewhere.test"}), "Accepted", "DomainNotAuthorized"),
        ("self", json!({"to": "probe@example.test"}), "Accepted", "SelfAddressed"),
    ] {
        let spec = if name == "self" {
            rest.clone()
        } else {
            crate::profiles::setting::with(json!({"to": "alice@example.test"}), &rest)
        };
        cluster.policy(name, silent(spec)).await;
        cluster.policy_condition(name, kind, "False", reason).await;
    }
    // No server is named, and then one becomes the default.
    let mut spec = silent(json!({"to": "alice@example.test"}));
    spec.as_object_mut().unwrap().remove("serverRef");
    cluster.policy("default", spec).await;
    cluster.policy_condition("default", "ResolvedRefs", "False", "NoDefaultServer").await;
    cluster.annotate("relay", "mailverity.dev/is-default-server", "true").await;
    sent(&cluster, "default").await;
    let of_server = cluster.servers().get("relay").await.unwrap();
    assert_eq!(of_server.name_any(), "relay");
    cluster.status_when("relay", "used by policies", |status| status.used_by.is_some_and(|count| count > 1)).await;
}

#[tokio::test]
async fn while_a_server_or_receiver_does_not_work_nothing_is_sent_and_it_goes_on_by_itself() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-waits").await);
    let receivers = cluster.receivers().await;
    let _operator = cluster.operator_with(&receivers, &[]).await;
    let mut first = receiver(&cluster, &stack, &receivers).await;
    first.stop();
    cluster.received("inbound", "Listening", "False", "NoListener").await;
    cluster.policy("echo", policy(json!({"to": "vacation@remote.test", "expect": "OutOfOffice"}))).await;
    let waits = |status: &RoundTripPolicyStatus| message(status, "Ready").contains("Waiting for MailReceiver");
    let status = cluster.policy_when("echo", "waits for its receiver", waits).await;
    assert!(status.in_flight.is_none() && status.history.is_empty(), "{status:#?}");
    first.start();
    cluster.policy_condition("echo", "Ready", "True", "Succeeded").await;
}

#[tokio::test]
async fn a_responder_that_answers_once_in_days_is_told_so_where_its_asker_is_always_the_same() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-once").await);
    let receivers = cluster.receivers().await;
    let _operator = cluster.operator_with(&receivers, &[]).await;
    let _receiver = receiver(&cluster, &stack, &receivers).await;
    mailbox(&cluster, &stack, "rtp-once").await;
    let to = json!("away@remote.test");
    let mut boxed = away("3s");
    (boxed["to"], boxed["failureThreshold"]) = (to.clone(), json!(1));
    cluster.policy("boxed", boxed).await;
    // At a receiver each probe has an address of its own, and is answered each time.
    cluster.policy("received", policy(json!({"to": to, "expect": "OutOfOffice"}))).await;
    let mut wanted = vec!["Succeeded"];
    for round in 1..=3 {
        for name in ["boxed", "received"] {
            let settled = |status: &RoundTripPolicyStatus| status.history.len() == round && status.in_flight.is_none();
            let status = cluster.policy_when(name, "settled", settled).await;
            let wanted = if name == "boxed" { wanted.clone() } else { vec!["Succeeded"; round] };
            assert_eq!(results(&status), wanted, "{name}");
            if name == "boxed" && round > 1 {
                assert!(message(&status, "Ready").contains("once in days to each sender"), "{status:#?}");
            }
            let asked = json!({"metadata": {"annotations": {"mailverity.dev/verify-requested-at": format!("{round}")}}});
            cluster.patch_policy(name, asked).await;
        }
        wanted.insert(0, "ReplyTimeout");
    }
}

#[tokio::test]
async fn a_mail_that_comes_back_is_told_in_the_words_of_the_server_that_sent_it_back() {
    // promise 6
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-bounce").await);
    let receivers = cluster.receivers().await;
    let _operator = cluster.operator_with(&receivers, &[]).await;
    let _receiver = receiver(&cluster, &stack, &receivers).await;
    mailbox(&cluster, &stack, "rtp-bounce").await;
    // The stack sends back what comes to such an address.
    let to = json!(format!("bounced-{}@example.test", uuid::Uuid::new_v4().simple()));
    let mut boxed = away("10m");
    boxed["to"] = to.clone();
    cluster.policy("boxed", boxed).await;
    cluster.policy("received", policy(json!({"to": to, "timeout": "10m"}))).await;
    for name in ["boxed", "received"] {
        let status = cluster.policy_condition(name, "Ready", "False", "MessageBounced").await;
        assert!(message(&status, "Ready").contains("this mailbox sends back what comes"), "{}", message(&status, "Ready"));
    }
}

#[tokio::test]
async fn a_suspended_policy_sends_nothing_until_it_is_not_suspended_any_more() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-suspend").await);
    let operator = cluster.operator(&[]).await;
    mailbox(&cluster, &stack, "rtp-suspend").await;
    let mut spec = away("30s");
    spec["suspend"] = json!(true);
    cluster.policy("away", spec).await;
    let status = cluster.policy_when("away", "suspended", |status| {
        status.conditions.iter().any(|c| c.type_ == "Suspended" && c.status == "True")
    });
    let status = status.await;
    assert!(status.in_flight.is_none() && !status.conditions.iter().any(|c| c.type_ == "Ready"), "{status:#?}");
    cluster.patch_policy("away", json!({"spec": {"suspend": false}})).await;
    cluster.policy_condition("away", "Ready", "True", "Succeeded").await;
    // Idle costs nothing.
    let idle = async || operator.get("/metrics").await?.1.contains("mailverity_checks_in_flight 0").then_some(());
    cluster.until("nothing is under way", idle).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, reconciliations) = (cluster.writes().len(), operator.reconciliations().await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((cluster.writes().len(), operator.reconciliations().await), (before, reconciliations));
}

#[tokio::test]
async fn a_sender_that_is_refused_and_one_that_is_rewritten_on_the_way_are_told() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rtp-from").await);
    let _operator = cluster.operator(&[]).await;
    mailbox(&cluster, &stack, "rtp-from").await;
    // Postfix lets nobody but its owner send as this address.
    let mut refused = away("30s");
    (refused["envelopeFrom"], refused["failureThreshold"]) = (json!("boss@example.test"), json!(1));
    cluster.policy("refused", refused).await;
    let status = cluster.policy_condition("refused", "Ready", "False", "SendAsDenied").await;
    assert!(message(&status, "Ready").contains("553 5.7.1"), "{}", message(&status, "Ready"));
    assert!(status.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True"), "{status:#?}");
    let mut rewritten = away("30s");
    (rewritten["to"], rewritten["expect"], rewritten["from"]) =
        (json!("rewrite@remote.test"), json!("Redirect"), json!("alerts@example.test"));
    cluster.policy("rewritten", rewritten).await;
    let status = cluster.policy_condition("rewritten", "Ready", "True", "Succeeded").await;
    let told = message(&status, "FromRewritten");
    assert!(told.contains("From alerts@example.test") && told.contains("account@remote.test"), "{status:#?}");
}
