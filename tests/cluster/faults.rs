//! What befalls a fleet: rights that are missing, objects that change or go while they are checked, crowds, dead name
//! servers, a second installation. An API server that goes away is in `outage`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use mailverity::api::v1alpha1::{MailServer, MailServerStatus, VERIFY_REQUESTED_AT};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, UdpSocket},
};

use super::{
    account, auth,
    history::History,
    proxy::{Point, Proxy},
    sending::deliver,
    spec,
    support::{
        cluster::{Cluster, Operator, is, message},
        leaks,
        stack::Stack,
    },
};

const RUN: &str = "X-Mailverity-Run";

/// The rules of the product's role, without what `drop` names.
fn rules_without(drop: &str) -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/operator/30-clusterrole.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let mut role: Value = serde_yaml::from_str(text.split("\n---\n").next().unwrap()).unwrap();
    for rule in role["rules"].as_array_mut().unwrap() {
        rule["resources"].as_array_mut().unwrap().retain(|resource| resource != drop);
    }
    role["rules"].as_array_mut().unwrap().retain(|rule| !rule["resources"].as_array().unwrap().is_empty());
    role["rules"].take()
}

fn binding(role: &str, namespace: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "mailverity", "namespace": namespace}]})
}

/// Takes a right away from the operator: one such as `get` on `secrets`, or `patch` on `mailservers/status` in `mailverity.dev`.
async fn take_away(cluster: &Cluster, verb: &str, resource: &str, group: &str) {
    cluster.bind_instead("mailverity", &rules_without(resource)).await;
    let account = format!("system:serviceaccount:{}:mailverity", cluster.namespace);
    let (what, part) = resource.split_once('/').map_or((resource, String::new()), |(what, part)| (what, format!("/{part}")));
    let what = if group.is_empty() { resource.to_owned() } else { format!("{what}.{group}{part}") };
    // The authorizer hears of it over a watch of its own.
    let denied = async || (!cluster.may(&account, verb, &what, &cluster.namespace).await).then_some(());
    cluster.until("the right is gone", denied).await;
}

#[tokio::test]
async fn a_missing_right_is_told_by_name_and_its_grant_is_noticed() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rights").await);
    account(&cluster, &stack, "rights").await;
    let operator = cluster.operator(&[]).await;
    take_away(&cluster, "get", "secrets", "").await;

    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let status = cluster.condition("relay", "ResolvedRefs", "False", "RefUnreadable").await;
    let missing = format!("RBAC does not let the operator get secrets in namespace {}", cluster.namespace);
    assert!(message(&status, "Ready").contains(&missing), "{status:#?}");
    assert!(warns(&operator, "cannot get resource \"secrets\""), "nothing in the log");
    cluster.rights(true).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
}

#[tokio::test]
async fn a_status_and_an_event_that_may_not_be_written_are_told_in_the_log() {
    let stack = Stack::get();
    for (resource, verb, group) in [("mailservers/status", "patch", "mailverity.dev"), ("events", "create", "events.k8s.io")] {
        let cluster = Cluster::new("rights").await;
        account(&cluster, &stack, "rights").await;
        let operator = cluster.operator(&[]).await;
        take_away(&cluster, verb, resource, group).await;
        cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
        let refused = format!("cannot {verb} resource \"{resource}\" in API group \"{group}\"");
        cluster.until(&refused, async || warns(&operator, &refused).then_some(())).await;
        if resource == "events" {
            // The conditions say the same.
            cluster.condition("relay", "Ready", "True", "Succeeded").await;
            assert!(cluster.events().await.is_empty());
        } else {
            assert_eq!(cluster.status("relay").await.conditions, []);
        }
        cluster.rights(true).await;
        cluster.condition("relay", "Ready", "True", "Succeeded").await;
    }
}

/// Whether a warning has these words.
fn warns(operator: &Operator, words: &str) -> bool {
    let escaped = words.replace('"', "\\\"");
    operator.log().lines().any(|line| line.contains("WARN") && (line.contains(words) || line.contains(&escaped)))
}

#[tokio::test]
async fn an_object_that_changes_between_decision_and_claim_is_not_mailed_on_that_decision() {
    // promise 1
    let (stack, cluster) = (Stack::get(), Cluster::new("conflict").await);
    let user = account(&cluster, &stack, "conflict").await;
    let proxy = Proxy::to(stack.port("PLAIN_PORT")).await;
    let operator = cluster.operator(&[]).await;
    proxy.hold(Point::Auth);
    cluster.server("relay", deliver(&stack, proxy.port, &user)).await;
    proxy.reached().await;
    // Another client's write, of nothing that concerns us.
    cluster.annotate("relay", "example.com/seen", "yes").await;
    proxy.let_go();
    cluster.condition("relay", "DeliveryTested", "True", "TestMessageAccepted").await;
    assert!(operator.log().contains("the claim was not had"), "the claim was had on a version that was not decided on");
    stack.mail(&user, RUN).await;
    assert_eq!(stack.mails(&user, RUN).len(), 1);
}

#[tokio::test]
async fn an_object_that_never_rests_is_never_mailed_twice() {
    // promises 1 and 2
    let (stack, cluster) = (Stack::get(), Cluster::new("restless").await);
    let user = account(&cluster, &stack, "restless").await;
    let _operator = cluster.operator(&["--max-messages-per-recipient-per-hour", "1000", "--max-messages-per-hour", "1000"]).await;
    let mut spec = deliver(&stack, stack.port("PLAIN_PORT"), &user);
    spec["limits"] = json!({"messagesPerMinute": 1000});
    cluster.server("relay", spec).await;
    for n in 0..200 {
        cluster.annotate("relay", "example.com/seen", &n.to_string()).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    stack.mail(&user, RUN).await;
    assert_eq!(stack.mails(&user, RUN).len(), 1);
}

#[tokio::test]
async fn a_secret_that_is_rotated_during_a_check_is_verified_with_its_new_value() {
    let (stack, cluster) = (Stack::get(), Cluster::new("rotated").await);
    let user = account(&cluster, &stack, "rotated").await;
    cluster.account("account", &user, &leaks::password("outdated")).await;
    let proxy = Proxy::to(stack.port("PLAIN_PORT")).await;
    let operator = cluster.operator(&[]).await;
    proxy.hold(Point::Auth);
    let mut auth = auth();
    auth["allowPlaintext"] = json!(true);
    cluster.server("relay", spec(&stack, "PLAIN_PORT", "None", json!({"auth": auth, "port": proxy.port}))).await;
    proxy.reached().await;
    let looks = operator.reconciliations().await;
    cluster.account("account", &user, &leaks::password("rotated")).await;
    cluster.until("the change is noticed", async || (operator.reconciliations().await > looks).then_some(())).await;
    proxy.let_go();
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert!(status.credential_held_until.is_none(), "{status:#?}");
    assert!(stack.log("DOVECOT_LOG", &[&user, "Password mismatch"]) <= 1);
}

#[tokio::test]
async fn an_object_that_is_deleted_during_its_check_is_not_mailed_and_its_namesake_is() {
    let (stack, cluster) = (Stack::get(), Cluster::new("deleted").await);
    let user = account(&cluster, &stack, "deleted").await;
    let proxy = Proxy::to(stack.port("PLAIN_PORT")).await;
    let operator = cluster.operator(&[]).await;
    proxy.hold(Point::Data);
    cluster.server("relay", deliver(&stack, proxy.port, &user)).await;
    proxy.reached().await;
    cluster.servers().delete("relay", &DeleteParams::default()).await.unwrap();
    let gone = async || operator.get("/metrics").await.filter(|(_, text)| text.contains("\nmailverity_checks_in_flight 0"));
    cluster.until("the check ended", gone).await;
    proxy.let_go();
    cluster.server("relay", deliver(&stack, proxy.port, &user)).await;
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let claim = status.claim.unwrap().id;
    cluster.until("the namesake's mail", async || stack.mails(&user, &claim).pop()).await;
    assert_eq!(stack.mails(&user, RUN).len(), 1, "the deleted object's mail went all the same");
}

#[tokio::test]
async fn a_namespace_that_is_deleted_while_the_operator_is_down_is_gone() {
    let (stack, cluster) = (Stack::get(), Cluster::new("namespace").await);
    account(&cluster, &stack, "namespace").await;
    let mut operator = cluster.operator(&[]).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    operator.kill();
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete(&cluster.namespace, &DeleteParams::default()).await.unwrap();
    let gone = async || namespaces.get_opt(&cluster.namespace).await.unwrap().is_none().then_some(());
    cluster.until("the namespace is gone", gone).await;
}

/// A server that greets, takes any login and counts how many conversations it has at once.
struct Crowded {
    port: u16,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Crowded {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let crowded = Self { port, now: Arc::clone(&now), most: Arc::clone(&most) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let now = Arc::clone(&now);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    // Long enough for others to come, were they let.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let mut reply = "220 mx.test ESMTP\r\n";
                    while stream.get_mut().write_all(reply.as_bytes()).await.is_ok() && !reply.starts_with("221") {
                        let mut line = String::new();
                        if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                            break;
                        }
                        reply = match line.get(..4).unwrap_or_default() {
                            "EHLO" => "250-mx.test\r\n250 AUTH PLAIN\r\n",
                            "AUTH" => "235 2.7.0 ok\r\n",
                            "QUIT" => {
                                // It is over for the client as soon as it has sent this.
                                now.fetch_sub(1, Ordering::SeqCst);
                                stream.get_mut().write_all(b"221 bye\r\n").await.ok();
                                return;
                            }
                            _ => "500 what\r\n",
                        };
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        crowded
    }
}

#[tokio::test]
async fn a_crowd_at_one_host_or_account_keeps_to_its_bounds() {
    // promise 4
    let cluster = Cluster::new("crowd").await;
    cluster.account("account", "relay", &leaks::password("crowd")).await;
    let (host, account) = (Crowded::open().await, Crowded::open().await);
    let _operator = cluster.operator(&["--max-checks-per-host", "2"]).await;
    let mut auth = auth();
    auth["allowPlaintext"] = json!(true);
    let one = json!({"host": "localhost", "port": host.port, "security": "None", "sender": {"address": "probe@example.test"}});
    let mut other = one.clone();
    (other["host"], other["port"], other["auth"]) = (json!("127.0.0.1"), json!(account.port), auth);
    other["limits"] = json!({"connections": 1});
    for n in 0..25 {
        cluster.server(&format!("host-{n}"), one.clone()).await;
        cluster.server(&format!("account-{n}"), other.clone()).await;
    }
    let ready = async || {
        let all = cluster.servers().list(&ListParams::default()).await.unwrap().items;
        let ready = |status: &MailServerStatus| is(status, "Ready", "True", "Succeeded");
        all.iter().all(|server| server.status.as_ref().is_some_and(ready)).then_some(())
    };
    cluster.until("all are checked", ready).await;
    assert_eq!((host.most.load(Ordering::SeqCst), account.most.load(Ordering::SeqCst)), (2, 1));
    assert_eq!((host.now.load(Ordering::SeqCst), account.now.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test]
async fn every_version_of_a_status_is_sound() {
    // promises 14 and 15
    let (stack, cluster) = (Stack::get(), Cluster::new("versions").await);
    let user = account(&cluster, &stack, "versions").await;
    let history: History<MailServer> = History::of(&cluster).await;
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let fresh = cluster.status("relay").await;
    assert_eq!(fresh.observed_generation, Some(-1), "it would look current to kstatus");
    let operator = cluster.operator(&[]).await;
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert_eq!(status.actors[0].source_ip.as_deref(), Some("127.0.0.1"), "the address of our own socket");
    cluster.annotate("relay", VERIFY_REQUESTED_AT, "1").await;
    cluster.status_when("relay", "answered", |status| status.last_handled_verify_request.as_deref() == Some("1")).await;
    cluster.patch("relay", json!({"host": "nobody.invalid"})).await;
    cluster.condition("relay", "Ready", "False", "DNSLookupFailed").await;
    cluster.patch("relay", json!({"host": "localhost", "tls": null})).await;
    cluster.condition("relay", "Stalled", "True", "CertificateUntrusted").await;
    cluster.patch("relay", json!({"tls": {"caRef": {"kind": "ConfigMap", "name": "nowhere", "key": "ca.crt"}}})).await;
    cluster.condition("relay", "Stalled", "True", "CABundleNotFound").await;
    cluster.patch("relay", json!({"tls": {"caRef": {"name": "ca"}}, "suspend": true})).await;
    cluster.condition("relay", "Suspended", "True", "Suspended").await;
    cluster.patch("relay", json!({"suspend": false})).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    cluster.account("account", &user, &leaks::password("versions-wrong")).await;
    cluster.condition("relay", "Stalled", "True", "AuthenticationFailed").await;
    cluster.account("account", &user, &leaks::password("versions")).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let steps = history.is_sound(&cluster, "relay").await;
    println!("{} versions:\n{}", steps.len(), steps.join("\n"));
    assert!(steps[0].starts_with("-1/1"), "{steps:#?}");
    assert!(steps.iter().any(|step| step.contains("Reconciling=True")), "{steps:#?}");
    operator.shows_no_secret().await;
    cluster.shows_no_secret().await;
}

#[tokio::test]
async fn a_maintenance_window_that_is_open_is_told_and_closes() {
    let (stack, cluster) = (Stack::get(), Cluster::new("window").await);
    account(&cluster, &stack, "window").await;
    let operator = cluster.operator(&[]).await;
    cluster.until("it leads", async || operator.leads().await.then_some(())).await;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    // It began with this minute, and is open for 10 s more at least.
    let seconds = (i64::from(now.second()) + 10).max(60);
    let window = json!([{"start": format!("{} {} * * *", now.minute(), now.hour()), "duration": format!("{seconds}s"), "timeZone": "UTC"}]);
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth(), "maintenance": window}))).await;
    let status = cluster.condition("relay", "Suspended", "True", "Maintenance").await;
    assert!(status.last_check.is_none() && !status.conditions.iter().any(|c| c.type_ == "Ready"), "{status:#?}");
    let open = |status: &MailServerStatus| is(status, "Ready", "True", "Succeeded");
    let status = cluster.status_within(Duration::from_secs(90), "relay", "checked when it closes", open).await;
    assert!(!status.conditions.iter().any(|c| c.type_ == "Suspended"), "{status:#?}");
}

#[tokio::test]
async fn a_dead_name_server_is_told_within_the_timeout_and_bothers_nobody_else() {
    let (stack, cluster) = (Stack::get(), Cluster::new("names").await);
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let _operator = cluster.operator(&["--nameservers", &server]).await;
    let check = json!({"level": "Connect", "timeout": "3s"});
    for n in 0..10 {
        let rest = json!({"host": format!("mx{n}.example.test"), "verification": check});
        cluster.server(&format!("named-{n}"), spec(&stack, "PLAIN_PORT", "None", rest)).await;
    }
    cluster.ca(&stack.ca()).await;
    cluster.server("numbered", spec(&stack, "PLAIN_PORT", "None", json!({"host": "127.0.0.1", "verification": check}))).await;
    cluster.condition("numbered", "Ready", "True", "Succeeded").await;
    for n in 0..10 {
        let status = cluster.condition(&format!("named-{n}"), "Reachable", "False", "DNSLookupFailed").await;
        let took = status.last_check.unwrap().duration.unwrap();
        let seconds: f64 = took.trim_end_matches("ms").trim_end_matches('s').parse().unwrap();
        assert!(took.ends_with("ms") || seconds < 4.0, "a check of 3 s took {took}");
    }
}

#[tokio::test]
async fn two_installations_on_one_namespace_never_send_one_claim_twice() {
    // promise 1: each believes that it leads, and the claim alone stands between them. Nobody should install it so.
    let (stack, cluster) = (Stack::get(), Cluster::new("two").await);
    let user = account(&cluster, &stack, "two").await;
    cluster
        .apply(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "second"},
            "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}]}))
        .await;
    cluster.apply(binding("second", &cluster.namespace)).await;
    let first = cluster.operator(&[]).await;
    let second = cluster.operator(&["--name", "second"]).await;
    for operator in [&first, &second] {
        cluster.until("it leads", async || operator.leads().await.then_some(())).await;
    }
    let names: Vec<String> = (0..8).map(|n| format!("relay-{n}")).collect();
    let mut spec = deliver(&stack, stack.port("PLAIN_PORT"), &user);
    spec["limits"] = json!({"messagesPerMinute": 1000, "connections": 8});
    for name in &names {
        cluster.server(name, spec.clone()).await;
    }
    let settled =
        |status: &MailServerStatus| status.conditions.iter().any(|c| c.type_ == "DeliveryTested" && c.status != "Unknown");
    for name in &names {
        cluster.status_when(name, "settled", settled).await;
    }
    // What one of them has begun ends within its timeout of 10 s.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let mails = stack.mails(&user, RUN);
    assert_eq!(mails.len(), names.len(), "mails for {} objects", names.len());
}

/// SIGTERM while a mail is at this point; the server goes on a second later. How many mails came before it was started again.
async fn terminated_at(point: Point, test: &str) -> (usize, MailServerStatus) {
    let (stack, cluster) = (Stack::get(), Cluster::new(test).await);
    let user = account(&cluster, &stack, test).await;
    let proxy = Arc::new(Proxy::to(stack.port("PLAIN_PORT")).await);
    let mut operator = cluster.operator(&[]).await;
    proxy.hold(point);
    cluster.server("relay", deliver(&stack, proxy.port, &user)).await;
    proxy.reached().await;
    let later = Arc::clone(&proxy);
    let lets_go = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        later.let_go();
    });
    let took = operator.stop();
    assert!(took < Duration::from_secs(10), "it took {took:?} to end");
    lets_go.await.unwrap();
    // What the proxy still carried comes to the server now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mails, status) = (stack.mails(&user, RUN).len(), cluster.status("relay").await);
    operator.start();
    cluster.status_when("relay", "settled", |status| is(status, "DeliveryTested", "True", "TestMessageAccepted")).await;
    stack.mail(&user, RUN).await;
    assert_eq!(stack.mails(&user, RUN).len(), 1);
    (mails, status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_before_the_dot_it_sends_none_and_the_next_process_sends_the_mail() {
    // promise 2
    let (mails, status) = terminated_at(Point::Data, "term-data").await;
    assert_eq!(mails, 0);
    assert!(!is(&status, "DeliveryTested", "True", "TestMessageAccepted"), "{status:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_behind_the_dot_it_waits_for_the_answer_and_settles_it() {
    // promise 2
    let (mails, status) = terminated_at(Point::Dot, "term-dot").await;
    assert_eq!(mails, 1);
    assert!(is(&status, "DeliveryTested", "True", "TestMessageAccepted"), "{status:#?}");
}
