//! `kubectl mail describe`, `test`, `wait` and `watch`: what is told of objects, once or as it changes.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{administrator, command, mail, mail_as, profile, read, user};
use crate::{
    auth,
    policies::policy,
    spec,
    support::{cluster::Cluster, connect::Connect, stack::Stack},
};

#[tokio::test]
async fn an_object_is_described_with_what_it_rests_on_and_who_rests_on_it() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-describe").await);
    profile(&cluster, &stack, "plugin-describe", json!({})).await;
    let _operator = cluster.operator(&[]).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    cluster.policy("echo", policy(json!({"receive": {"profileRef": {"name": "box"}}, "suspend": true}))).await;

    // Who may view it sees as much as an administrator, and no Secret is needed for it.
    let viewer = user(&cluster, "mail-view").await;
    let ran = mail_as(&cluster, &viewer, &["describe", "box", "ms/relay"]);
    println!("{}", ran.out);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let (of_box, of_relay) = ran.out.split_once("\n\nMailServer ").unwrap();
    for words in [
        &format!("EmailProfile {}/box\n", cluster.namespace),
        "\n  Verified        1/1 actors, mode Automatic, every ",
        "\n  Ready               True    CodeReceived  for ",
        "\n  default    Verified  CodeReceived  The code was found ",
        "\nStages of the last session of default\n  ok   Secrets ",
        "   the mail for default was accepted\n",
        "   default found its mail, ",
        "   the right to send the mail for default was taken, attempt 1\n",
        "   the next look",
        "\nUses\n  ConfigMap ca\n  MailServer relay\n  Secret account",
        "\nUsed by\n  RoundTripPolicy echo",
    ] {
        assert!(of_box.contains(words), "{words}");
    }
    for words in
        ["\n  Checked         Authenticate, every 1h", "\n  ok   TCP ", "\nUsed by\n  EmailProfile box\n  RoundTripPolicy echo"]
    {
        assert!(of_relay.contains(words), "{words}");
    }
    let ran = mail(&cluster, &["describe", "ms/nobody"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("\"nobody\" not found"), "{}", ran.err);
}

#[tokio::test]
async fn a_test_is_followed_stage_by_stage_and_sends_what_the_spec_says() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-test").await);
    profile(&cluster, &stack, "plugin-test", json!({})).await;
    let _operator = cluster.operator(&[]).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let editor = user(&cluster, "mail-edit").await;
    let ran = mail_as(&cluster, &editor, &["test", "box"]);
    println!("{}", ran.out);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for words in [": asked for at 2", "Stages of the last session of default\n  ok   Secrets ", "\nVerified  EmailProfile "] {
        assert!(ran.out.contains(words), "{words}");
    }
    let ran = mail_as(&cluster, &editor, &["test", "ms/relay"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("\n  ok   EHLO ") && ran.out.contains("No mail was sent: it is checked at level Authenticate.\n"),
        "{}",
        ran.out
    );

    cluster.patch("relay", json!({"port": 1})).await;
    let ran = mail_as(&cluster, &editor, &["test", "ms/relay", "--timeout", "1m"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("\n  FAIL TCP ") && ran.out.contains("\nUnverified  MailServer "), "{}", ran.out);

    // Who may view may not ask.
    let ran = mail_as(&cluster, &user(&cluster, "mail-view").await, &["test", "ms/relay"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("cannot patch resource"), "{}", ran.err);
}

#[tokio::test]
async fn what_is_waited_for_ends_the_wait_and_time_does() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-wait").await);
    cluster.ca(&stack.ca()).await;
    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    let ran = mail(&cluster, &["wait", "ms/relay", "--timeout", "1s"]);
    assert_eq!((ran.code, ran.out), (1, format!("Pending  MailServer {}/relay  not in time;\n", cluster.namespace)));
    let _operator = cluster.operator(&[]).await;
    let viewer = user(&cluster, "mail-view").await;
    let ran = mail_as(&cluster, &viewer, &["wait", "ms/relay", "--timeout", "1m"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with(&format!("Verified  MailServer {}/relay  Succeeded: ", cluster.namespace)), "{}", ran.out);
    // What is known of the spec as it was does not count.
    cluster.patch("relay", json!({"port": 1})).await;
    let ran = mail_as(&cluster, &viewer, &["wait", "ms/relay", "--for", "unverified", "--timeout", "1m"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("  ConnectionRefused: TCP: "), "{}", ran.out);
    assert_eq!(mail(&cluster, &["wait", "ms/nobody", "--timeout", "1s"]).code, 2);
    assert_eq!(mail(&cluster, &["wait", "ms/relay", "--for", "ever"]).code, 2);
}

#[tokio::test]
async fn each_change_is_a_line_until_nobody_reads_any_more() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-watch").await);
    let user_name = crate::account(&cluster, &stack, "plugin-watch").await;
    assert!(!user_name.is_empty());
    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({"auth": auth()}))).await;
    let config = user(&cluster, "mail-view").await;
    let mut child = command(&cluster, Path::new(&config), &["watch", "ms/relay", "emp"]).stdout(Stdio::piped()).spawn().unwrap();
    let (send, heard) = mpsc::channel();
    let out = child.stdout.take().unwrap();
    let reader =
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let next = |words: &str| {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            let line = heard.recv_timeout(end.saturating_duration_since(Instant::now())).expect(words);
            println!("{line}");
            if line.contains(words) {
                return line;
            }
        }
    };
    let first = next("Pending  MailServer ");
    assert!(first.ends_with(&format!("Z  Pending  MailServer {}/relay", cluster.namespace)), "{first}");
    let _operator = cluster.operator(&[]).await;
    next("Verified  MailServer ");
    cluster.patch("relay", json!({"port": 1})).await;
    next("  ConnectionRefused: TCP: ");
    cluster.servers().delete("relay", &kube::api::DeleteParams::default()).await.unwrap();
    next(&format!("Deleted  MailServer {}/relay", cluster.namespace));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(heard);
    let _ = reader.join().unwrap();

    let ran = mail_as(&cluster, &config, &["watch", "-A", "ms"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("cannot list resource"), "{}", ran.err);
}

#[tokio::test]
async fn the_api_server_is_reached_by_the_proxy_that_the_kubeconfig_names() {
    let (cluster, proxy) = (Cluster::new("plugin-proxy").await, Connect::start().await);
    let config = fs::read_to_string(administrator(&cluster)).unwrap();
    let config = config.replace("cluster: {server:", &format!("cluster: {{proxy-url: \"{}\", server:", proxy.url()));
    let (file, dir) = (cluster.dir().join("proxied"), cluster.dir());
    fs::create_dir_all(dir).unwrap();
    fs::write(&file, config).unwrap();
    let mut command = command(&cluster, &file, &["list"]);
    let ran = read(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|place| place.starts_with("127.0.0.1:")), "{asked:?}");
}
