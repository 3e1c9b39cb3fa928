//! Mail that comes in to a cluster: `MailReceivers`, the processes that take mail for them, and what becomes of it.

use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{
    api::{ApiProxy, Hold},
    cluster::{Cluster, free_port, signal},
    receivers::{NameServer, Smtp},
};

/// An id as probes have them.
fn id() -> String {
    Uuid::new_v8(*Uuid::new_v4().as_bytes()).to_string()
}

fn answer(id: &str) -> String {
    format!("From: echo@partner.example\nSubject: Re: round trip ({id})\n\n> please send this back\nhere it is")
}

/// A chain and its key, in PEM.
fn pair(from: i32, to: i32) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["mx.corp.test".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_receiver_makes_a_mail_receiver_ready_and_what_it_takes_is_there_before_it_says_so() {
    let cluster = Cluster::new("reception").await;
    let receivers = cluster.receivers().await;
    let mut operator = cluster.operator_with(&receivers, &[]).await;
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({}))).await;
    let status = cluster.received("inbound", "Listening", "False", "NoListener").await;
    assert_eq!(status.conditions.iter().find(|c| c.type_ == "Ready").map(|c| c.reason.as_str()), Some("NoListener"));
    let receiver = receivers.start(&cluster, "receiver-1", &[]);
    let status = cluster.received("inbound", "Ready", "True", "Succeeded").await;
    operator.shows_no_secret().await;
    // It would settle what this test has claimed for it.
    operator.kill();
    assert_eq!(status.listeners.len(), 1);
    assert_eq!((status.listeners[0].pod.as_str(), status.listeners[0].generation), ("receiver-1", 1));
    let listening = status.conditions.iter().find(|c| c.type_ == "Listening").unwrap();
    assert_eq!(listening.message, format!("One receiver listens on port {}.", receivers.port));

    let (right, wrong, bounced, late) = (id(), id(), id(), id());
    cluster.claimed_policy("right", "inbound", json!({}), Some(&right), &[&late]).await;
    cluster.claimed_policy("wrong", "inbound", json!({}), Some(&wrong), &[]).await;
    cluster.claimed_policy("bounced", "inbound", json!({}), Some(&bounced), &[]).await;
    let at = |id: &str| format!("notify+{id}@corp.test");
    let from = "echo@partner.example";
    // The same mail twice, as of a client that did not hear the answer.
    for _ in 0..2 {
        let reply = receivers.bring(from, &at(&right), &answer(&right)).await;
        assert!(reply.starts_with("250 2.0.0 Ok:"), "{reply}");
        let told = receivers.reply(&format!("{right}-reply")).await.spec;
        assert_eq!((told.policy.name.as_str(), told.failure), ("right", None));
        assert_eq!((told.policy.namespace, told.probe), (cluster.namespace.clone(), right.clone()));
    }
    // Known by its subject alone.
    assert!(receivers.bring(from, "notify@corp.test", &answer(&late)).await.starts_with("250"));
    assert_eq!(receivers.reply(&format!("{late}-late")).await.spec.policy.name, "right");
    for (mail, kind, reason) in [
        (answer(&wrong).replace(from, "other@partner.example"), "from", "ReplyFromMismatch"),
        (answer(&wrong).replace(&wrong, ""), "subject", "ReplySubjectMissing"),
        (answer(&wrong).replace("send this back", "read"), "body", "ReplyBodyMissing"),
    ] {
        assert!(receivers.bring(from, &at(&wrong), &mail).await.starts_with("250"));
        let failure = receivers.reply(&format!("{wrong}-{kind}")).await.spec.failure.unwrap();
        assert_eq!(failure.reason, reason);
    }
    let report = "From: MAILER-DAEMON@relay.test\nSubject: Undelivered\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; \
         boundary=b\n\n--b\n\nsorry\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; relay.test\n\nFinal-Recipient: rfc822; \
         echo@partner.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n\n--b--";
    assert!(receivers.bring("", &at(&bounced), report).await.starts_with("250"));
    let failure = receivers.reply(&format!("{bounced}-bounced")).await.spec.failure.unwrap();
    assert_eq!(failure.reason, "MessageBounced");
    assert!(failure.words.unwrap().contains("no such user"));

    let before = receivers.replies().await.len();
    assert_eq!(before, 6);
    let unknown = id();
    assert!(receivers.bring(from, &at(&unknown), &answer(&unknown)).await.starts_with("250"), "without a trace");
    assert!(receivers.bring(from, "notify+42@corp.test", "Subject: hello\n\nyou").await.starts_with("250"));
    assert!(receivers.bring(from, "postmaster@corp.test", "Subject: hello\n\nyou").await.starts_with("550 5.1.1"));
    assert!(receivers.bring(from, "ops@corp.test", "x").await.starts_with("550 5.1.1"));
    assert!(receivers.bring(from, "ops@elsewhere.test", "x").await.starts_with("550 5.7.1"));
    assert_eq!(receivers.replies().await.len(), before);
    let (_, metrics) = receiver.get("/metrics").await.unwrap();
    assert!(metrics.contains("mailverity_received_total{outcome=\"taken\"} 7"), "{metrics}");
    assert!(metrics.contains("mailverity_received_total{outcome=\"unclaimed\"} 2"), "{metrics}");
    assert_eq!(receiver.get("/readyz").await.unwrap(), (200, "ok\nrole: receiver\n".to_owned()));
    receiver.shows_no_secret().await;
}

#[tokio::test]
async fn a_probe_that_was_claimed_a_moment_ago_is_known() {
    // The claim is written before the mail is sent, and the answer may be faster than the watch.
    let cluster = Cluster::new("at_once").await;
    let receivers = cluster.receivers().await;
    let mut operator = cluster.operator_with(&receivers, &[]).await;
    let _receiver = receivers.start(&cluster, "receiver-1", &[]);
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({}))).await;
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
    // It would settle what this test has claimed for it.
    operator.kill();
    for round in 0..10 {
        let id = id();
        let mut smtp = Smtp::connect(receivers.port).await;
        for line in ["EHLO client.test", "MAIL FROM:<echo@partner.example>", &format!("RCPT TO:<notify+{id}@corp.test>"), "DATA"]
        {
            smtp.say(line).await;
        }
        cluster.claimed_policy("fast", "inbound", json!({}), Some(&id), &[]).await;
        let reply = smtp.say(&format!("{}\r\n.", answer(&id).replace('\n', "\r\n"))).await;
        assert!(reply.starts_with("250"), "{reply}");
        assert_eq!(receivers.reply(&format!("{id}-reply")).await.spec.policy.name, "fast", "round {round}");
    }
}

#[tokio::test]
async fn a_receiver_that_was_killed_is_taken_off_the_list_and_the_other_goes_on() {
    let cluster = Cluster::new("killed_receiver").await;
    let receivers = cluster.receivers().await;
    let _operator = cluster.operator_with(&receivers, &[]).await;
    let mut first = receivers.start(&cluster, "receiver-1", &[]);
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({}))).await;
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
    let mut second = receivers.start_at(&cluster, "receiver-2", free_port());
    let both = async || {
        let status = cluster.mail_receivers().get("inbound").await.ok()?.status?;
        (status.listeners.len() == 2).then_some(status)
    };
    let status = cluster.until("both are told", both).await;
    let other = status.listeners.iter().find(|one| one.pod == "receiver-2").unwrap();
    assert_eq!(other.reason.as_deref(), Some("PortUnavailable"));
    cluster.received("inbound", "Ready", "True", "Succeeded").await;

    let dead = Instant::now();
    first.kill();
    let status = cluster.received("inbound", "Listening", "False", "PortUnavailable").await;
    assert!(dead.elapsed() > Duration::from_secs(25), "it was not waited for");
    assert_eq!(status.listeners.iter().map(|one| one.pod.as_str()).collect::<Vec<_>>(), ["receiver-2"]);
    assert!(status.conditions.iter().any(|c| c.type_ == "Stalled"), "only a person can mend it");
    // One that ends in order is gone at once.
    let ended = Instant::now();
    second.stop();
    let status = cluster.received("inbound", "Listening", "False", "NoListener").await;
    assert!(ended.elapsed() < Duration::from_secs(15) && status.listeners.is_empty());
    first.start();
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
}

#[tokio::test]
async fn a_certificate_is_renewed_without_a_restart_and_a_bad_one_is_kept_out() {
    let cluster = Cluster::new("inbound_tls").await;
    let receivers = cluster.receivers().await;
    let operator = cluster.operator_with(&receivers, &[]).await;
    let receiver = receivers.start(&cluster, "receiver-1", &[]);
    let (first, second, old) = (pair(2020, 2999), pair(2021, 2998), pair(2019, 2020));
    let tls = json!({"tls": {"mode": "Required", "certificateRef": {"name": "mx"}}});
    cluster.mail_receiver("inbound", receivers.spec("corp.test", tls)).await;
    cluster.received("inbound", "Listening", "False", "SecretNotFound").await;
    cluster.received("inbound", "ResolvedRefs", "False", "SecretNotFound").await;
    let refused = receivers.bring("a@client.test", "notify@corp.test", "x").await;
    assert!(refused.starts_with("454 4.7.0"), "{refused}");

    cluster.certificate("mx", &first).await;
    let status = cluster.received("inbound", "Ready", "True", "Succeeded").await;
    assert_eq!(status.tls.as_ref().and_then(|tls| tls.not_after.as_deref()), Some("2999-01-01T00:00:00Z"));
    let shown = status.listeners[0].certificate.clone().unwrap();
    assert_eq!(status.tls.unwrap().sha256, Some(shown.clone()));
    let refused = receivers.bring("a@client.test", "notify@corp.test", "x").await;
    assert!(refused.starts_with("530 5.7.0"), "{refused}");

    for (bad, reason) in [
        ((second.0.clone(), first.1.clone()), "CertificateKeyMismatch"),
        (("no certificate".to_owned(), second.1.clone()), "CertificateInvalid"),
        (old, "CertificateExpired"),
    ] {
        cluster.certificate("mx", &bad).await;
        let status = cluster.received("inbound", "Degraded", "True", reason).await;
        assert!(status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"), "{status:?}");
        assert_eq!(status.listeners[0].certificate.as_ref(), Some(&shown), "the one before is in use");
    }
    cluster.certificate("mx", &second).await;
    let renewed = async || {
        let status = cluster.mail_receivers().get("inbound").await.ok()?.status?;
        let degraded = status.conditions.iter().any(|c| c.type_ == "Degraded");
        (!degraded && status.listeners.first()?.certificate.as_ref()? != &shown).then_some(status)
    };
    let status = cluster.until("the new one is in use", renewed).await;
    assert_eq!(status.tls.unwrap().not_after.as_deref(), Some("2998-01-01T00:00:00Z"));
    assert_eq!(receiver.log().matches("mailverity receiver").count(), 1, "it was started again");

    // Nothing of a key is anywhere to be seen.
    let told = serde_json::to_string(&cluster.mail_receivers().get("inbound").await.unwrap()).unwrap();
    let events = serde_json::to_string(&cluster.events().await).unwrap();
    for key in [&first.1, &second.1] {
        let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
        for (what, text) in
            [("operator", operator.log()), ("receiver", receiver.log()), ("status", told.clone()), ("events", events.clone())]
        {
            assert!(!text.contains(&body[20..60]), "the {what} shows a key");
        }
    }
    assert_eq!(receivers.secrets().await.len(), 1);
    cluster.mail_receivers().delete("inbound", &DeleteParams::default()).await.unwrap();
    cluster.until("the certificate is taken away", async || receivers.secrets().await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn of_two_mail_receivers_with_one_domain_the_older_has_it() {
    let cluster = Cluster::new("one_domain").await;
    let receivers = cluster.receivers().await;
    let _operator = cluster.operator_with(&receivers, &[]).await;
    let _receiver = receivers.start(&cluster, "receiver-1", &[]);
    cluster.mail_receiver("z-old", receivers.spec("Corp.test", json!({"notifyLocalPart": "old"}))).await;
    cluster.received("z-old", "Ready", "True", "Succeeded").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    cluster.mail_receiver("a-new", receivers.spec("corp.TEST", json!({"notifyLocalPart": "new"}))).await;
    let status = cluster.received("a-new", "Ready", "False", "Conflict").await;
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert!(ready.message.contains(&format!("MailReceiver {}/z-old", cluster.namespace)), "{}", ready.message);
    assert!(receivers.bring("a@client.test", "old@corp.test", "x").await.starts_with("250"));
    assert!(receivers.bring("a@client.test", "new@corp.test", "x").await.starts_with("550 5.1.1"));
    cluster.mail_receivers().delete("z-old", &DeleteParams::default()).await.unwrap();
    cluster.received("a-new", "Ready", "True", "Succeeded").await;
    assert!(receivers.bring("a@client.test", "new@corp.test", "x").await.starts_with("250"));
}

#[tokio::test]
async fn mx_records_are_looked_at_on_change_and_on_request() {
    let cluster = Cluster::new("mx").await;
    let receivers = cluster.receivers().await;
    let mut names = NameServer::start(&cluster, "corp.test.", &["corp.test. MX 10 mx.corp.test."]).await;
    let _operator = cluster.operator_with(&receivers, &["--nameservers", &names.address.clone()]).await;
    let _receiver = receivers.start(&cluster, "receiver-1", &[]);
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({"expectedMX": "MX.corp.test"}))).await;
    let status = cluster.received("inbound", "MXRecordsValid", "True", "Succeeded").await;
    assert_eq!((status.mx[0].records[0].as_str(), status.mx[0].result.as_str()), ("10 mx.corp.test", "Succeeded"));
    assert!(status.next_check_time.is_some());
    cluster.received("inbound", "Ready", "True", "Succeeded").await;

    let ask = async |value: &str| {
        let patch = json!({"metadata": {"annotations": {"mailverity.dev/verify-requested-at": value}}});
        cluster.mail_receivers().patch("inbound", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    };
    names.now(&["corp.test. MX 10 old.corp.test.", "corp.test. MX 20 mx.corp.test."]).await;
    ask("1").await;
    let status = cluster.received("inbound", "Ready", "False", "MXPointsElsewhere").await;
    let told = status.conditions.iter().find(|c| c.type_ == "MXRecordsValid").unwrap();
    assert!(
        told.message.contains("Create: corp.test. MX 10 mx.corp.test. Found: 10 old.corp.test, 20 mx.corp.test."),
        "{}",
        told.message
    );
    assert_eq!(status.last_handled_verify_request.as_deref(), Some("1"));
    names.now(&["www.corp.test. A 127.0.0.1"]).await;
    ask("2").await;
    cluster.received("inbound", "MXRecordsValid", "False", "MXRecordMissing").await;
    names.stop();
    ask("3").await;
    let status = cluster.received("inbound", "MXRecordsValid", "Unknown", "DNSLookupFailed").await;
    let next = status.next_check_time.unwrap().0.duration_since(jiff::Timestamp::now());
    assert!(next < jiff::SignedDuration::from_secs(31), "it is tried again soon: {next}");
    names.now(&["corp.test. MX 10 mx.corp.test."]).await;
    // By its back-off, without a request.
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
}

#[tokio::test]
async fn mail_waits_while_its_receiver_is_suspended_or_paused() {
    let cluster = Cluster::new("waits").await;
    let receivers = cluster.receivers().await;
    let _operator = cluster.operator_with(&receivers, &[]).await;
    let _receiver = receivers.start(&cluster, "receiver-1", &[]);
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({}))).await;
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
    let reply = async |begin: &'static str| {
        let is = async || {
            let reply = receivers.bring("a@client.test", "notify@corp.test", "x").await;
            reply.starts_with(begin).then_some(())
        };
        cluster.until(begin, is).await;
    };
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({"suspend": true}))).await;
    let status = cluster.received("inbound", "Suspended", "True", "Suspended").await;
    assert!(status.conditions.iter().all(|c| c.type_ != "Ready"));
    reply("451 4.3.2").await;
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({}))).await;
    reply("250").await;
    let pause: Value =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mailverity-pause"}, "data": {"all": ""}});
    cluster.apply(pause).await;
    cluster.received("inbound", "Suspended", "True", "Paused").await;
    reply("451 4.3.2").await;
}

#[tokio::test]
async fn mail_comes_again_while_the_api_server_is_away() {
    let cluster = Cluster::new("dark").await;
    let receivers = cluster.receivers().await;
    let api = ApiProxy::to(cluster.plane().join("kubeconfig").to_str().unwrap()).await;
    let mut operator = cluster.operator_with(&receivers, &[]).await;
    let receiver = receivers.start_behind(&cluster, "receiver-1", api.port);
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({}))).await;
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
    // It would settle what this test has claimed for it.
    operator.kill();
    let (known, other) = (id(), id());
    cluster.claimed_policy("known", "inbound", json!({}), Some(&known), &[]).await;
    assert!(receivers.bring("a@b.test", &format!("notify+{other}@corp.test"), &answer(&other)).await.starts_with("250"));
    api.dark(true);
    for id in [&known, &other] {
        let begun = Instant::now();
        let reply = receivers.bring("echo@partner.example", &format!("notify+{id}@corp.test"), &answer(id)).await;
        assert!(reply.starts_with("451 4.3.0"), "{reply}");
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
    assert!(
        receivers.bring("a@b.test", "notify@corp.test", "Subject: hello\n\nyou").await.starts_with("250"),
        "it needs no API server"
    );
    assert_eq!(receiver.get("/readyz").await.unwrap().0, 200);
    api.dark(false);
    let again = async || {
        let reply = receivers.bring("echo@partner.example", &format!("notify+{known}@corp.test"), &answer(&known)).await;
        reply.starts_with("250").then_some(())
    };
    cluster.until("it is taken when it comes again", again).await;
    receivers.reply(&format!("{known}-reply")).await;
    assert_eq!(receiver.log().matches("mailverity receiver").count(), 1, "it was started again");
}

#[tokio::test]
async fn a_receiver_that_is_killed_over_a_mail_loses_none_and_makes_no_second_reply() {
    let cluster = Cluster::new("over_a_mail").await;
    let receivers = cluster.receivers().await;
    let api = ApiProxy::to(cluster.plane().join("kubeconfig").to_str().unwrap()).await;
    let mut operator = cluster.operator_with(&receivers, &[]).await;
    let mut receiver = receivers.start_behind(&cluster, "receiver-1", api.port);
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({}))).await;
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
    // It would settle what this test has claimed for it.
    operator.kill();
    // Before the API server has seen it; and behind that, before the client has heard of it.
    for point in [Hold::Reply, Hold::Replied] {
        let id = id();
        cluster.claimed_policy("probe", "inbound", json!({}), Some(&id), &[]).await;
        let to = format!("notify+{id}@corp.test");
        api.hold_reply(point);
        let mut smtp = Smtp::connect(receivers.port).await;
        for line in ["EHLO client.test", "MAIL FROM:<echo@partner.example>", &format!("RCPT TO:<{to}>"), "DATA"] {
            smtp.say(line).await;
        }
        smtp.send(&format!("{}\r\n.", answer(&id).replace('\n', "\r\n"))).await;
        api.reached().await;
        receiver.kill();
        assert_eq!(smtp.hear().await, "", "nothing was promised");
        api.let_go();
        if point == Hold::Replied {
            receivers.reply(&format!("{id}-reply")).await;
        }
        receiver.start();
        let again = async || {
            tokio::net::TcpStream::connect(("127.0.0.1", receivers.port)).await.ok()?;
            let reply = receivers.bring("echo@partner.example", &to, &answer(&id)).await;
            reply.starts_with("250").then_some(())
        };
        cluster.until("it is taken when it comes again", again).await;
        let there = receivers.replies().await.iter().filter(|reply| reply.spec.probe == id).count();
        assert_eq!(there, 1);
    }
    assert!(signal("0", &receiver.pid().to_string()));
}

#[tokio::test]
async fn what_somebody_else_made_among_the_receivers_secrets_is_left_alone_and_what_is_left_over_is_swept() {
    let cluster = Cluster::new("handing").await;
    let receivers = cluster.receivers().await;
    let _receiver = receivers.start(&cluster, "receiver-1", &[]);
    let tls = json!({"tls": {"mode": "Opportunistic", "certificateRef": {"name": "mx"}}});
    cluster.certificate("mx", &pair(2020, 2999)).await;
    cluster.mail_receiver("inbound", receivers.spec("corp.test", tls.clone())).await;
    cluster.mail_receiver("other", receivers.spec("other.test", tls)).await;
    let uid = async |name: &str| cluster.mail_receivers().get(name).await.unwrap().metadata.uid.unwrap();
    let name = format!("mailverity-tls-{}", uid("inbound").await);
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": "theirs", "tls.key": "theirs"}});
    cluster.apply_at(&theirs, Some(&receivers.namespace)).await;
    let mut operator = cluster.operator_with(&receivers, &[]).await;
    let status = cluster.received("inbound", "Listening", "False", "RefUnreadable").await;
    let told = status.conditions.iter().find(|c| c.type_ == "Listening").unwrap();
    assert!(told.message.contains("somebody else has made it; delete it"), "{}", told.message);
    cluster.received("other", "Ready", "True", "Succeeded").await;
    let secret = receivers.secret(&name).await.unwrap();
    assert_eq!(secret.data.unwrap()["tls.crt"].0, b"theirs");
    // It is deleted, as was asked for.
    receivers.delete_secret(&name).await;
    cluster.received("inbound", "Ready", "True", "Succeeded").await;

    // What goes while no operator runs is swept when one comes. What was deleted among the receivers comes back.
    operator.kill();
    cluster.mail_receivers().delete("other", &DeleteParams::default()).await.unwrap();
    operator.start();
    cluster.until("swept", async || (receivers.secrets().await == [name.clone()]).then_some(())).await;
    receivers.delete_secret(&name).await;
    cluster.until("handed over again", async || receivers.secret(&name).await).await;
    cluster.received("inbound", "Ready", "True", "Succeeded").await;
}

#[tokio::test]
async fn a_receiver_may_read_no_secret_but_those_that_were_handed_over() {
    let cluster = Cluster::new("rights").await;
    let receivers = cluster.receivers().await;
    let account = format!("system:serviceaccount:{}:mailverity-receiver", receivers.namespace);
    let (own, theirs) = (receivers.namespace.as_str(), cluster.namespace.as_str());
    for (verb, what, namespace, granted) in [
        ("list", "secrets", own, true),
        ("create", "probereplies.mailverity.dev", own, true),
        ("list", "mailreceivers.mailverity.dev", theirs, true),
        ("patch", "mailreceivers.mailverity.dev/status", theirs, true),
        ("watch", "configmaps/mailverity-pause", theirs, true),
        ("get", "secrets", theirs, false),
        ("list", "secrets", theirs, false),
        ("create", "secrets", own, false),
        ("delete", "probereplies.mailverity.dev", own, false),
        ("get", "probereplies.mailverity.dev", own, false),
        ("patch", "mailreceivers.mailverity.dev", theirs, false),
        ("patch", "roundtrippolicies.mailverity.dev/status", theirs, false),
        ("get", "mailservers.mailverity.dev", theirs, false),
        ("get", "configmaps", theirs, false),
    ] {
        assert_eq!(cluster.may(&account, verb, what, namespace).await, granted, "{verb} {what} in {namespace}");
    }
}
