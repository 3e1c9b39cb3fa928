//! `kubectl mail pause` and `resume`: who may, what stops within 5 seconds, and that what fell due does not all run when it ends.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use mailverity::api::v1alpha1::State;
use serde_json::json;

use super::{mail, mail_as, user};
use crate::{
    proxy::Proxy,
    spec,
    support::{cluster::Cluster, stack::Stack},
};

/// A user who has the chart's role mail-pause in the operator's namespace, and mail-view.
async fn pauser(cluster: &Cluster) -> PathBuf {
    let config = user(cluster, "mail-view").await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "may-pause"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "mail-pause"},
        "subjects": [{"kind": "ServiceAccount", "name": "mail-view", "namespace": cluster.namespace}],
    });
    cluster.apply(binding).await;
    config
}

#[tokio::test]
async fn within_5_seconds_of_a_pause_nothing_leaves_operator_and_agents_and_nothing_comes_in() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-pause").await);
    let (place, actor) = (cluster.namespace.clone(), format!("{}-dmz", cluster.namespace));
    cluster.ca(&stack.ca()).await;
    cluster.actor(&actor, &actor).await;
    let receivers = cluster.receivers().await;
    let operator = cluster.operator_with(&receivers, &["--name", &place]).await;
    let _agent = cluster.agent(&actor, &actor, &[]).await;
    let _receiver = receivers.start(&cluster, "receiver-1", &[]);
    cluster.mail_receiver("inbound", receivers.spec("corp.test", json!({}))).await;
    let (near, far) = (Proxy::to(stack.port("SMTP_PORT")).await, Proxy::to(stack.port("SMTP_PORT")).await);
    for (name, proxy, actor) in [("near", &near, "default"), ("far", &far, &actor)] {
        let rest = json!({"port": proxy.port, "verification": {"level": "Connect", "actors": [{"name": actor}]}});
        cluster.server(name, spec(&stack, "SMTP_PORT", "StartTLS", rest)).await;
        cluster.condition(name, "Ready", "True", "Succeeded").await;
    }
    cluster.received("inbound", "Ready", "True", "Succeeded").await;

    // Somebody asks again and again, all the time.
    let ask = async |number: &mut u32| {
        *number += 1;
        for name in ["near", "far"] {
            cluster.annotate(name, "mailverity.dev/verify-requested-at", &number.to_string()).await;
        }
        let carried = (near.connections(), far.connections());
        let reply = receivers.bring("a@client.test", "notify@corp.test", "x").await;
        (carried, reply)
    };
    let (mut number, begun) = (0, Instant::now());
    while near.connections() < 4 || far.connections() < 3 {
        let (_, reply) = ask(&mut number).await;
        assert!(reply.starts_with("250"), "{reply}");
        assert!(begun.elapsed() < Duration::from_mins(1), "near {}, far {}", near.connections(), far.connections());
    }

    let config = pauser(&cluster).await;
    let paused = Instant::now();
    // Without -n, which goes with a namespace.
    let everything = |command: &str| {
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_kubectl-mail"));
        plugin.args([command, "--all", "--operator-namespace", &place, "--kubeconfig"]).arg(&config).stdout(Stdio::piped());
        plugin
    };
    let told = everything("pause").args(["--for", "1h"]).spawn().unwrap();
    let mut settled = None;
    while paused.elapsed() < Duration::from_secs(11) {
        let (carried, reply) = ask(&mut number).await;
        if paused.elapsed() >= Duration::from_secs(5) {
            assert_eq!(*settled.get_or_insert(carried), carried, "something left after 5 s");
            assert!(reply.starts_with("451 4.3.2"), "{reply}");
        }
    }
    let told = told.wait_with_output().unwrap();
    let out = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{out}");
    assert!(
        out.starts_with("Paused: everything, until 20") && out.contains(&format!(" (ConfigMap {place}/mailverity-pause)\n")),
        "{out}"
    );
    // A viewer of one namespace cannot see whether all others heed it.
    assert!(out.contains("Whether it is heeded could not be seen: "), "{out}");
    for name in ["near", "far"] {
        assert_eq!(cluster.status(name).await.state, Some(State::Paused));
    }
    let (_, metrics) = operator.get("/metrics").await.unwrap();
    assert!(metrics.contains("mailverity_paused{scope=\"all\"} 1"), "{metrics}");

    let ran = mail_as(&cluster, &config, &["resume", "--operator-namespace", &place]);
    let words = format!("Nothing to resume, as this was not paused: namespace {place}\nStill paused: everything\n");
    assert_eq!((ran.code, ran.out), (1, words), "{}", ran.err);
    assert_eq!(everything("resume").output().unwrap().stdout, b"Resumed: everything\n");
    let (near_before, far_before) = settled.unwrap();
    let again = async || (near.connections() > near_before && far.connections() > far_before).then_some(());
    cluster.until("what was asked for is done", again).await;
    cluster.condition("far", "Ready", "True", "Succeeded").await;
}

#[tokio::test]
async fn what_fell_due_in_a_pause_is_spread_when_it_ends() {
    const SERVERS: usize = 20;
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-resume").await);
    cluster.ca(&stack.ca()).await;
    let proxy = Proxy::to(stack.port("SMTP_PORT")).await;
    let _operator = cluster.operator(&["--max-checks-per-host", "20"]).await;
    let names: Vec<String> = (0..SERVERS).map(|number| format!("relay-{number}")).collect();
    for name in &names {
        let verification = json!({"level": "Connect", "interval": "1m"});
        let rest = json!({"port": proxy.port, "limits": {"connections": SERVERS}, "verification": verification});
        cluster.server(name, spec(&stack, "SMTP_PORT", "StartTLS", rest)).await;
    }
    for name in &names {
        cluster.condition(name, "Ready", "True", "Succeeded").await;
    }
    let ran = mail(&cluster, &["pause", "--operator-namespace", &cluster.namespace]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(&format!("Paused: namespace {}, until kubectl mail resume (", cluster.namespace)), "{}", ran.out);
    assert!(ran.out.ends_with("Heeded: 20 of 20 objects show it.\n"), "{}", ran.out);

    // All of them fall due: the last within one and a half intervals.
    let end = Instant::now() + Duration::from_mins(2);
    loop {
        let mut due = Vec::new();
        for name in &names {
            due.push(cluster.status(name).await.next_check_time.unwrap().0);
        }
        if due.iter().max().is_some_and(|last| *last < Timestamp::now()) {
            break;
        }
        assert!(Instant::now() < end, "{due:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let before = proxy.connections();
    let ran = mail(&cluster, &["resume", "--operator-namespace", &cluster.namespace]);
    assert_eq!((ran.code, ran.out), (0, format!("Resumed: namespace {}\n", cluster.namespace)));
    let resumed = Instant::now();
    for name in &names {
        cluster.status_when(name, "at work", |status| status.state == Some(State::Active)).await;
    }
    // Spread over a minute, of twenty two or three would begin in 8 seconds.
    while resumed.elapsed() < Duration::from_secs(8) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let begun = proxy.connections() - before;
    println!("{begun} of {SERVERS} began within 8 s");
    assert!(begun <= SERVERS / 2, "{begun} of {SERVERS} began within 8 s");
    cluster.until("they go on", async || (proxy.connections() > before).then_some(())).await;
}

#[tokio::test]
async fn a_pause_that_nobody_heeds_is_told_and_who_may_not_pause_does_not() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-unheeded").await);
    let _operator = cluster.operator(&[]).await;
    cluster.ca(&stack.ca()).await;
    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let (viewer, editor) = (pauser(&cluster).await, user(&cluster, "mail-edit").await);
    // It makes the map, by a right to create that is bound to its name, and no other.
    let ran = mail_as(&cluster, &viewer, &["pause", "--operator-namespace", &cluster.namespace]);
    assert!(ran.out.ends_with("Heeded: 1 of 1 objects show it.\n"), "{}{}", ran.out, ran.err);
    let other = mail_as(&cluster, &viewer, &["resume", "--operator-namespace", &cluster.namespace]);
    assert_eq!(other.code, 0, "{}", other.err);
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    for who in [&editor, &viewer] {
        let place = if who == &editor { &cluster.namespace } else { "default" };
        let ran = mail_as(&cluster, who, &["pause", "--operator-namespace", place]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains("configmaps \"mailverity-pause\" is forbidden"), "{}", ran.err);
    }

    // In a namespace that no operator reads it stops nothing, and says so.
    let elsewhere = Cluster::new("plugin-unheeded-else").await;
    let ran = mail(&cluster, &["pause", "--operator-namespace", &elsewhere.namespace]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("Not heeded: none of 1 objects shows it."), "{}", ran.out);
}

#[tokio::test]
async fn an_object_is_paused_until_a_time_and_no_command_undoes_a_manifest() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-suspend").await);
    let _operator = cluster.operator(&[]).await;
    cluster.ca(&stack.ca()).await;
    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    let editor = user(&cluster, "mail-edit").await;
    let ran = mail_as(&cluster, &editor, &["pause", "ms/relay", "--for", "1h"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with(&format!("MailServer {}/relay: suspended until 20", cluster.namespace)), "{}", ran.out);
    cluster.condition("relay", "Suspended", "True", "Suspended").await;
    let ran = mail_as(&cluster, &editor, &["resume", "ms/relay"]);
    assert_eq!((ran.code, ran.out), (0, format!("MailServer {}/relay: resumed\n", cluster.namespace)));
    cluster.condition("relay", "Ready", "True", "Succeeded").await;

    cluster.patch("relay", json!({"suspend": true})).await;
    let ran = mail_as(&cluster, &editor, &["resume", "ms/relay"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.ends_with("still suspended: spec.suspend is true in its manifest\n"), "{}", ran.out);

    let ran = mail_as(&cluster, &editor, &["pause", "ms/relay"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("objects are paused until a time: say --for"), "{}", ran.err);
    for args in [
        &["pause"][..],
        &["pause", "--all", "ms/relay"],
        &["pause", "--all", "-n", "mail"],
        &["pause", "-n", "all"],
        &["resume", "-n", "all"],
        &["resume"],
    ] {
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_kubectl-mail"));
        let output = plugin.args(args).arg("--kubeconfig").arg(&editor).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
