//! `check --live --secrets-from-cluster`: the servers of the files, the Secrets of a cluster, the rights of whoever asks.

use serde_json::{Value, json};

use super::{
    account, auth,
    profiles::mailbox,
    spec,
    support::{
        cluster::Cluster,
        command::{Folder, Ran, run_in},
        leaks,
        stack::Stack,
    },
};

fn server(cluster: &Cluster, spec: &Value) -> String {
    let (kind, meta) = ("MailServer", json!({"name": "relay", "namespace": cluster.namespace}));
    json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}).to_string()
}

fn check(kubeconfig: &str, manifests: &str) -> Ran {
    run_in(kubeconfig, &["check", "--live", "--secrets-from-cluster", "-f", "-", "-o", "json"], manifests)
}

#[tokio::test]
async fn secrets_and_bundles_that_are_not_in_the_files_come_from_the_current_cluster() {
    let (stack, cluster) = (Stack::get(), Cluster::new("from-cluster").await);
    let user = account(&cluster, &stack, "from-cluster").await;
    let kubeconfig = cluster.kubeconfig();
    let server = server(&cluster, &spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()})));
    let ran = check(&kubeconfig, &server);
    assert_eq!((ran.code, &ran.lines()[0]["result"]), (0, &"Verified".into()), "{}{}", ran.out, ran.err);

    // What is in the files stands over the cluster.
    let meta = json!({"name": "account", "namespace": cluster.namespace});
    let data = json!({"username": user, "password": leaks::password("of-the-file")});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data});
    let ran = check(&kubeconfig, &format!("{server}\n---\n{secret}"));
    assert_eq!((ran.code, &ran.lines()[0]["reason"]), (1, &"AuthenticationFailed".into()), "{}{}", ran.out, ran.err);

    // What is in neither is missing.
    cluster.secrets().delete("account", &kube::api::DeleteParams::default()).await.unwrap();
    let ran = check(&kubeconfig, &server);
    assert_eq!((ran.code, &ran.lines()[0]["reason"]), (1, &"SecretNotFound".into()), "{}{}", ran.out, ran.err);
}

#[tokio::test]
async fn a_person_without_the_right_to_read_secrets_is_told_so() {
    let (stack, cluster) = (Stack::get(), Cluster::new("no-right").await);
    account(&cluster, &stack, "no-right").await;
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let mut config: Value = serde_yaml::from_str(&text).unwrap();
    let server = server(&cluster, &spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth()})));
    let folder = Folder::new();
    // Somebody whom the API server knows, and who may do nothing.
    config["users"][0]["user"]["as"] = "somebody".into();
    let ran = check(&folder.file("config", serde_yaml::to_string(&config).unwrap()), &server);
    let report = ran.lines().swap_remove(0);
    assert_eq!((ran.code, &report["reason"], &report["stage"]), (1, &"RefUnreadable".into(), &"Secrets".into()), "{report:#}");
    assert!(report["message"].as_str().unwrap().contains("\"somebody\" cannot get resource"), "{report:#}");
    assert!(report["hint"].as_str().unwrap().contains(&format!("{}/", cluster.namespace)), "{report:#}");
}

#[tokio::test]
async fn without_a_cluster_there_is_a_word_and_no_check() {
    let server = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer", "metadata": {"name": "relay"},
        "spec": {"host": "localhost"}});
    let ran = check("/dev/null", &server.to_string());
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.starts_with("mailverity: --secrets-from-cluster: "), "{}", ran.err);
}

#[tokio::test]
async fn a_profile_of_the_files_sends_through_a_server_of_the_cluster_whatever_its_status_says() {
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-here").await);
    let user = account(&cluster, &stack, "profile-here").await;
    let kubeconfig = cluster.kubeconfig();
    let meta = json!({"name": "box", "namespace": cluster.namespace});
    let profile = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "EmailProfile", "metadata": meta,
        "spec": mailbox(&stack, &user, json!({}))})
    .to_string();
    let ran = check(&kubeconfig, &profile);
    assert_eq!((ran.code, &ran.lines()[0]["reason"]), (1, &"MailServerNotFound".into()), "{}{}", ran.out, ran.err);

    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    let failed = json!({"status": {"conditions": [{"type": "Verified", "status": "False", "reason": "ConnectionRefused",
        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let params = kube::api::PatchParams::default();
    cluster.servers().patch_status("relay", &params, &kube::api::Patch::Merge(failed)).await.unwrap();
    let ran = check(&kubeconfig, &profile);
    let proof = ran.lines().swap_remove(0);
    assert_eq!((ran.code, &proof["result"]), (0, &"Verified".into()), "{}{}", ran.out, ran.err);
    assert_eq!(stack.mails(&user, "X-Mailverity-Run").len(), 0, "our mail is removed");
}
