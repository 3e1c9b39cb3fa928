//! `kubectl mail init` and completion: what helps to write manifests and commands.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use serde_json::json;

use super::{mail, user};
use crate::{
    spec,
    support::{cluster::Cluster, stack::Stack},
};

/// Accounts with access tokens, and mailboxes by the APIs of Microsoft and Google: each way once.
const BY_TOKEN: [&str; 15] = [
    "ms --host smtp.office365.com --sender a@corp.example --login Microsoft365 --tenant-id t --client-id c --client-secret app",
    "ms --host smtp.office365.com --sender a@corp.example --login Microsoft365 --tenant-id t --client-id c --client-secret app \
     --client Certificate --cloud USGov --test-to b@corp.example",
    "ms --host smtp.office365.com --sender a@corp.example --login Microsoft365 --tenant-id t --client-id c --client WorkloadIdentity",
    "ms --host smtp.office365.com --sender a@corp.example --login Microsoft365 --tenant-id t --client-id c --grant DeviceCode \
     --token-secret kept",
    "ms --host smtp.gmail.com --sender a@corp.example --login Google --client-secret robot",
    "ms --host smtp.gmail.com --sender a@corp.example --login Google --client WorkloadIdentity \
     --client-id robot@p.iam.gserviceaccount.com --audience //iam.googleapis.com/projects/1",
    "ms --host smtp.corp.example --sender a@corp.example --login Custom --client-id c --token-url https://login.corp.example/token \
     --grant RefreshToken --auth-url https://login.corp.example/auth --token-secret kept --scope mail,offline_access",
    "emp --address box@corp.example --sender relay --login Microsoft365 --tenant-id t --client-id c --grant RefreshToken --token-secret kept",
    "emp --address box@corp.example --sender relay --host outlook.office365.us --login Microsoft365 --cloud USGov --tenant-id t \
     --client-id c --client-secret app",
    "emp --address box@corp.example --sender relay --protocol POP3 --login Google --grant RefreshToken --client-id c --client-secret app \
     --token-secret kept",
    "emp --address box@corp.example --sender relay --host imap.corp.example --login Custom --client-id c --client-secret app \
     --token-url https://login.corp.example/token --grant DeviceCode --device-url https://login.corp.example/device --client Secret \
     --token-secret kept --scope offline_access",
    "emp --address box@corp.example --sender relay --protocol MicrosoftGraph --tenant-id t --client-id c --client-secret app",
    "emp --address box@corp.example --manual --protocol MicrosoftGraph --tenant-id t --client-id c --client WorkloadIdentity --username u@corp.example",
    "emp --address box@corp.example --sender relay --protocol GmailAPI --client-id 112233445566778899000 --client-secret robot",
    "emp --address box@corp.example --sender relay --protocol GmailAPI --grant RefreshToken --client-id c --client-secret app --token-secret kept",
];

#[tokio::test]
async fn a_manifest_that_is_drafted_passes_the_check_and_the_api_server() {
    let cluster = Cluster::new("plugin-init").await;
    let by_token = BY_TOKEN.map(|line| line.split_whitespace().collect::<Vec<_>>());
    for (number, args) in [
        &["ms", "--host", "smtp.corp.example", "--sender", "alerts@corp.example"][..],
        &[
            "mailserver",
            "--host",
            "192.0.2.1",
            "--port",
            "2525",
            "--security",
            "none",
            "--sender",
            "a@corp.example",
            "--name",
            "relay",
        ],
        &[
            "ms",
            "--host",
            "smtp.corp.example",
            "--sender",
            "a@corp.example",
            "--secret",
            "s",
            "--ca",
            "c",
            "--test-to",
            "b@corp.example",
        ],
        &["emp", "--address", "box@corp.example", "--host", "imap.corp.example", "--secret", "box", "--sender", "relay"],
        &[
            "emp",
            "--address",
            "box@corp.example",
            "--host",
            "pop.corp.example",
            "--secret",
            "box",
            "--manual",
            "--protocol",
            "POP3",
        ],
        &[
            "rtp",
            "--to",
            "echo@partner.example",
            "--answers-to",
            "box",
            "--expect",
            "Redirect",
            "--interval",
            "30m",
            "--server",
            "relay",
        ],
        &["rtp", "--to", "echo@partner.example", "--answers-to", "mr/in", "--body", "Please answer."],
        &["mr", "--domain", "in.corp.example,in2.corp.example", "--expected-mx", "mx.corp.example", "--certificate", "tls"],
    ]
    .into_iter()
    .chain(by_token.iter().map(Vec::as_slice))
    .enumerate()
    {
        let ran = mail(&cluster, &[&["init"], args].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        let file = cluster.dir().join(format!("draft-{number}.yaml"));
        fs::write(&file, &ran.out).unwrap();
        let check = Command::new(env!("CARGO_BIN_EXE_mailverity")).args(["check", "-f"]).arg(&file).output().unwrap();
        assert!(check.status.success(), "{}\n{}", ran.out, String::from_utf8_lossy(&check.stdout));
        cluster.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", file.to_str().unwrap()]);
    }
    let ran = mail(&cluster, &["init", "ms", "--host", "smtp.corp.example"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (2, "", "kubectl-mail: there is nobody to ask: say --sender\n"));
    let ran = mail(&cluster, &["init", "emp", "--protocol", "MicrosoftGraph", "--manual"]);
    let words = "kubectl-mail: there is nobody to ask: say --address, --tenant-id, --client-secret, --client-id\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (2, "", words));
}

/// What kubectl itself offers for these words, with the directive last.
fn offered(cluster: &Cluster, path: &str, config: &Path, words: &[&str]) -> Vec<String> {
    let mut kubectl = Command::new(std::env::var("MAILVERITY_TEST_KUBECTL").unwrap());
    let said = ["-n", &cluster.namespace, "--kubeconfig", config.to_str().unwrap()];
    let words = [&["__complete", "mail"], &said[..], words].concat();
    let Output { stdout, .. } = kubectl.args(words).env("PATH", path).output().unwrap();
    String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn kubectl_completes_commands_flags_columns_and_names_of_the_cluster() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-complete").await);
    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    cluster.server("reserve", spec(&stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    // As its page says.
    let (folder, plugin) = (cluster.dir(), Path::new(env!("CARGO_BIN_EXE_kubectl-mail")).parent().unwrap());
    let program = folder.join("kubectl_complete-mail");
    fs::write(&program, mail(&cluster, &["completion"]).out).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}:{}", folder.display(), plugin.display(), std::env::var("PATH").unwrap());
    let config = user(&cluster, "mail-view").await;
    let offers = |words: &[&str]| offered(&cluster, &path, &config, words);

    let commands = offers(&["w"]);
    assert_eq!(commands.iter().map(|line| line.split('\t').next().unwrap()).collect::<Vec<_>>(), ["wait", "watch", ":4"]);
    assert_eq!(offers(&["list", "--sort", "re"]), ["ready", "reason", ":4"]);
    assert_eq!(offers(&["list", "--filter", "re"]), ["ready=", "reason=", ":6"]);
    assert_eq!(offers(&["list", "-o", "ya"]), ["yaml", ":4"]);
    assert!(offers(&["list", "--edited"])[0].starts_with("--edited-within\tShow only what was edited"));
    assert_eq!(offers(&["list", "mail"]), ["mailserver", "mailreceiver", ":4"]);
    assert_eq!(offers(&["describe", ""]), ["mailserver/relay", "mailserver/reserve", ":4"]);
    assert_eq!(offers(&["describe", "ms/rel"]), ["ms/relay", ":4"]);
    assert_eq!(offers(&["send", "res"]), ["reserve", ":4"]);
    assert_eq!(offers(&["code", ""]), [":4"]);
    assert_eq!(offers(&["probe", "--level", ""]), ["Connect", "Authenticate", "Deliver", ":4"]);
    assert_eq!(offers(&["probe", "--ca-file", ""]), [":0"], "the shell names files");
}
