//! `kubectl mail`, by the real API server and beside a real operator: it runs as kubectl runs its plugins.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

use super::{
    account,
    policies::policy,
    profiles::mailbox,
    spec,
    support::{cluster::Cluster, leaks, policies::results, stack::Stack},
};

/// What a plugin printed, and its exit code.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs `kubectl mail` in the cluster's namespace: kubectl finds plugins on PATH, and hands everything on.
pub fn mail(cluster: &Cluster, args: &[&str]) -> Ran {
    read(command(cluster, args).output().unwrap())
}

/// The same, while something else goes on.
pub async fn mail_beside<T>(cluster: &Cluster, args: &[&str], meanwhile: impl Future<Output = T>) -> (Ran, T) {
    let mut command = command(cluster, args);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    let (ran, value) = tokio::join!(ran, meanwhile);
    (read(ran.unwrap()), value)
}

fn command(cluster: &Cluster, args: &[&str]) -> Command {
    let kubectl = std::env::var("MAILVERITY_TEST_KUBECTL").unwrap();
    let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-mail")).parent().unwrap();
    let path = format!("{}:{}", plugin.display(), std::env::var("PATH").unwrap());
    let config = std::env::var("MAILVERITY_TEST_KUBECONFIG").unwrap();
    let mut command = Command::new(kubectl);
    command.args([&["mail"], args, &["-n", &cluster.namespace, "--kubeconfig", &config]].concat()).env("PATH", path);
    command
}

fn read(Output { status, stdout, stderr }: Output) -> Ran {
    let ran =
        Ran { code: status.code().unwrap(), out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() };
    leaks::none_in("kubectl mail", &(ran.out.clone() + &ran.err));
    ran
}

async fn profile(cluster: &Cluster, stack: &Stack, test: &str, rest: Value) {
    let user = account(cluster, stack, test).await;
    cluster.server("relay", spec(stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    cluster.profile("box", mailbox(stack, &user, rest)).await;
}

#[tokio::test]
async fn the_code_is_printed_in_mode_manual_and_never_in_mode_automatic() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-code").await);
    profile(&cluster, &stack, "plugin-code", json!({})).await;
    let ran = mail(&cluster, &["code", "box"]);
    let words = "box is in mode Automatic; set verification.mode: Manual to send the code yourself\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (2, "", words));

    // Nobody has asked for it yet.
    let manual = json!({"verification": {"mode": "Manual", "interval": "15m", "timeout": "10m"}});
    cluster.patch_profile("box", json!({"spec": manual})).await;
    let ran = mail(&cluster, &["code", "box"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
    assert!(ran.err.starts_with("box: no mail is asked for at the moment"), "{}", ran.err);

    let _operator = cluster.operator(&[]).await;
    let asked = |status: &mailverity::api::v1alpha1::EmailProfileStatus| {
        status.verification.as_ref().is_some_and(|asked| asked.subject.is_some() && asked.deadline.is_some())
    };
    let status = cluster.profile_when("box", "asking", asked).await;
    let verification = status.verification.unwrap();
    let (to, subject) = (verification.to.unwrap(), verification.subject.unwrap());
    let ran = mail(&cluster, &["code", "box"]);
    let text = format!("To:       {to}\nSubject:  {subject}\nDeadline: {}\n", verification.deadline.unwrap().0);
    assert_eq!((ran.code, ran.out), (0, text), "{}", ran.err);
    let ran = mail(&cluster, &["code", "box", "-o", "json"]);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&json["to"], &json["subject"]), (&to.into(), &subject.into()));
    assert!(json["deadline"].is_string());

    let ran = mail(&cluster, &["code", "nobody"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("\"nobody\" not found"), "{}", ran.err);
}

#[tokio::test]
async fn a_verification_is_asked_for_and_waited_for() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-verify").await);
    profile(&cluster, &stack, "plugin-verify", json!({})).await;
    // Without an operator: it is asked, and nobody answers.
    let ran = mail(&cluster, &["verify", "box"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let asked =
        cluster.profiles().get("box").await.unwrap().metadata.annotations.unwrap()["mailverity.dev/verify-requested-at"].clone();
    assert_eq!(ran.out, format!("EmailProfile {}/box: verification requested at {asked}\n", cluster.namespace));
    assert!(asked.contains('.') && asked.parse::<jiff::Timestamp>().is_ok(), "{asked}");
    let ran = mail(&cluster, &["verify", "box", "--wait=1s"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("the request is not answered yet"), "{}", ran.out);

    let _operator = cluster.operator(&[]).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let ran = mail(&cluster, &["verify", "emp/box", "ms/relay", "--wait"]);
    println!("{}", ran.out);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    for words in ["  default    Verified  CodeReceived  The code was found", "Verified  EmailProfile ", "Verified  MailServer "] {
        assert!(ran.out.contains(words), "{}", ran.out);
    }

    // What does not work is told with what to do, and what cannot begin is not waited for.
    cluster.patch("relay", json!({"port": 1})).await;
    cluster.condition("relay", "Ready", "False", "ConnectionRefused").await;
    let ran = mail(&cluster, &["verify", "ms/relay", "--wait=1m"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("ConnectionRefused: TCP: "), "{}", ran.out);
    cluster.profile_condition("box", "Ready", "Unknown", "DependencyNotReady").await;
    let begun = std::time::Instant::now();
    let ran = mail(&cluster, &["verify", "box", "--wait=5m"]);
    assert!(begun.elapsed() < std::time::Duration::from_mins(1), "it waited for what will not come");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("not answered yet; DependencyNotReady: "), "{}", ran.out);
}

#[tokio::test]
async fn a_probe_is_asked_for_and_followed_to_its_end() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-probe").await);
    profile(&cluster, &stack, "plugin-probe", json!({})).await;
    let _operator = cluster.operator(&[]).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    let receive = json!({"profileRef": {"name": "box"}});
    let forward = json!({"to": "forward@remote.test", "expect": "Redirect", "timeout": "1m", "receive": receive});
    cluster.policy("forward", policy(forward)).await;
    cluster.policy_condition("forward", "Ready", "True", "Succeeded").await;
    let ran = mail(&cluster, &["verify", "rtp/forward", "--wait=1m"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let (row, verdict) = ran.out.split_once('\n').unwrap();
    assert!(row.starts_with("  probe      Succeeded  sent 2") && row.contains(", answered after "), "{row}");
    assert!(verdict.starts_with(&format!("Verified  RoundTripPolicy {}/forward  Succeeded: ", cluster.namespace)), "{verdict}");
    assert_eq!(results(&cluster.policy_status("forward").await), ["Succeeded", "Succeeded"]);

    // One that is not answered as asked is told with what came.
    let vacation =
        json!({"to": "vacation@remote.test", "expect": "OutOfOffice", "timeout": "5s", "match": {"containsBody": true}});
    cluster.patch_policy("forward", json!({"spec": vacation})).await;
    cluster.policy_condition("forward", "Ready", "False", "ReplyBodyMissing").await;
    let ran = mail(&cluster, &["verify", "roundtrippolicy/forward", "--wait=1m"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with("  probe      ReplyBodyMissing  sent 2"), "{}", ran.out);
    assert!(ran.out.contains("/forward  ReplyBodyMissing: "), "{}", ran.out);
}

#[test]
fn bad_usage_is_2() {
    for args in [&["verify"][..], &["verify", "service/a"], &["verify", "ms/"], &["verify", "a", "--wait=soon"], &["code"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-mail")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
