//! `kubectl mail`, by the real API server and beside a real operator: it runs as kubectl runs its plugins, and as a user with no more
//! rights than a role of the chart grants where the role is what matters.

mod list;
mod pause;
mod send;
mod show;
mod write;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use super::{
    account,
    policies::policy,
    profiles::mailbox,
    spec,
    support::{
        cluster::{Cluster, documents, root},
        leaks,
        policies::results,
        stack::Stack,
    },
};

/// What a plugin printed, and its exit code.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// `kubectl mail` in the cluster's namespace: kubectl finds plugins on PATH, and hands everything on.
pub fn command(cluster: &Cluster, config: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("MAILVERITY_TEST_KUBECTL").unwrap());
    let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-mail")).parent().unwrap();
    command.env("PATH", format!("{}:{}", plugin.display(), std::env::var("PATH").unwrap()));
    command.arg("mail").args(args).args(["-n", &cluster.namespace, "--kubeconfig"]).arg(config);
    command
}

pub fn administrator(cluster: &Cluster) -> PathBuf {
    cluster.kubeconfig().into()
}

/// Runs it as administrator.
pub fn mail(cluster: &Cluster, args: &[&str]) -> Ran {
    mail_as(cluster, &administrator(cluster), args)
}

/// Runs it as somebody, to its end.
pub fn mail_as(cluster: &Cluster, who: &Path, args: &[&str]) -> Ran {
    read(command(cluster, who, args).output().unwrap())
}

/// Runs it as administrator, while something else goes on.
pub async fn mail_beside<T>(cluster: &Cluster, args: &[&str], meanwhile: impl Future<Output = T>) -> (Ran, T) {
    let mut command = command(cluster, &administrator(cluster), args);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    let (ran, value) = tokio::join!(ran, meanwhile);
    (read(ran.unwrap()), value)
}

fn read(Output { status, stdout, stderr }: Output) -> Ran {
    let ran =
        Ran { code: status.code().unwrap(), out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() };
    leaks::none_in("kubectl mail", &(ran.out.clone() + &ran.err));
    ran
}

/// A user of the namespace who has this role of the chart, mail-view or mail-edit, and no other.
pub async fn user(cluster: &Cluster, role: &str) -> PathBuf {
    let roles = fs::read_to_string(root().join("deploy/operator/35-clusterrole-users.yaml")).unwrap();
    for role in documents(&roles) {
        cluster.apply_at(&role, None).await;
    }
    cluster.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": role}})).await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": role, "namespace": cluster.namespace}],
    });
    cluster.apply(binding).await;
    cluster.config_of(role, &cluster.namespace).await
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
fn that_nobody_reads_on_is_no_failure() {
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_kubectl-mail"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = plugin.args(["init", "mr", "--domain", "in.corp.example"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn bad_usage_is_2() {
    for args in [&["verify"][..], &["verify", "service/a"], &["verify", "ms/"], &["verify", "a", "--wait=soon"], &["code"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-mail")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
