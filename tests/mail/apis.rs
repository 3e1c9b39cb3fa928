//! `check --live` of profiles over Microsoft Graph and the Gmail API: mail goes by Postfix into Dovecot's maildirs, which the
//! played APIs show.

use std::process::Command;

use serde_json::{Value, json};

use super::{
    profiles::{Owner, check, object, profiles, stage},
    support::{
        cloud::{Cloud, Fault, gmail, graph, secret},
        command::Folder,
    },
};

/// A Secret in the manifests.
fn kept(name: &str, key: &str, value: &str) -> String {
    let meta = json!({"name": name, "namespace": "team"});
    format!("---\n{}\n", json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {key: value}}))
}

fn spec(owner: &Owner, protocol: &str, block: (&str, Value)) -> Value {
    json!({"address": owner.address, "protocol": protocol, block.0: block.1,
        "verification": {"senderRef": {"name": "relay"}, "timeout": "30s"}})
}

/// The manifests of a profile over each API.
fn both(owner: &Owner, cloud: &Cloud) -> [(&'static str, String); 2] {
    let secrets = kept("app", "clientSecret", &secret()) + &kept("consent", "refresh_token", &Cloud::consent_of(&owner.address));
    [("MicrosoftGraph", "graph", cloud.graph()), ("GmailAPI", "gmail", cloud.gmail())].map(|(protocol, block, written)| {
        let profile = object("EmailProfile", "box", &spec(owner, protocol, (block, written)));
        (protocol, owner.manifests(&(secrets.clone() + &profile)))
    })
}

#[tokio::test]
async fn the_mail_goes_is_found_over_either_api_and_is_removed() {
    let owner = Owner::new("apis").await;
    let cloud = Cloud::over(&owner.stack);
    for (number, (protocol, manifests)) in both(&owner, &cloud).into_iter().enumerate() {
        let ran = check(&manifests, &["--token-ca-file", &cloud.ca_file(), "-o", "json"]);
        let proof = profiles(&ran).swap_remove(0);
        assert_eq!((ran.code, &proof["reason"]), (0, &"CodeReceived".into()), "{protocol}: {}{}", ran.out, ran.err);
        for name in ["Token", "TLS", "AUTH", "Select", "Fetch", "Cleanup"] {
            assert_eq!(stage(&proof, name).unwrap()["result"], "Passed", "{protocol} {name}: {proof:#}");
        }
        assert!(proof["sent"].is_string() && proof["received"].is_string(), "{proof:#}");
        assert_eq!((owner.sent(), owner.mails().len()), (number + 1, 0), "{protocol}");
        let text = check(&manifests, &["--token-ca-file", &cloud.ca_file(), "--level", "Authenticate"]);
        assert!(text.code == 0 && text.out.contains("took the login"), "{}{}", text.out, text.err);
    }
}

#[tokio::test]
async fn a_mail_that_is_sorted_into_junk_is_told_over_either_api() {
    let owner = Owner::new("apis-junk").await;
    owner.stack.sieve(&owner.address, "require [\"fileinto\", \"mailbox\"];\nfileinto :create \"Junk\";\n");
    let cloud = Cloud::over(&owner.stack);
    for (protocol, manifests) in both(&owner, &cloud) {
        let ran = check(&manifests, &["--token-ca-file", &cloud.ca_file(), "-o", "json"]);
        let proof = profiles(&ran).swap_remove(0);
        assert_eq!((ran.code, &proof["reason"]), (1, &"MessageInJunk".into()), "{protocol}: {proof:#}");
    }
}

#[tokio::test]
async fn what_is_refused_is_told_with_the_cure_before_anything_is_sent() {
    let owner = Owner::new("apis-denied").await;
    for at in 0..2 {
        let cloud = Cloud::over(&owner.stack);
        let (protocol, manifests) = both(&owner, &cloud)[at].clone();
        let (answer, cure) = if at == 0 {
            (graph::error(404, "MailboxNotEnabledForRESTAPI", "REST API is not yet supported for this mailbox."), "licence")
        } else {
            (gmail::error(400, "failedPrecondition", "FAILED_PRECONDITION", "Mail service not enabled"), "Turn on Gmail")
        };
        cloud.does(if at == 0 { "/mailFolders/" } else { "/profile" }, usize::MAX, Fault::Says(answer));
        let ran = check(&manifests, &["--token-ca-file", &cloud.ca_file(), "-o", "json"]);
        let proof = profiles(&ran).swap_remove(0);
        assert_eq!((ran.code, &proof["reason"], &proof["stage"]), (1, &"MailboxNotFound".into(), &"Select".into()), "{proof:#}");
        assert!(proof["hint"].as_str().unwrap().contains(cure), "{protocol}: {proof:#}");
    }
    assert_eq!(owner.sent(), 0);
}

#[tokio::test]
async fn a_service_account_reads_the_mailbox_of_the_user_that_it_acts_for() {
    let owner = Owner::new("apis-service").await;
    let (cloud, folder) = (Cloud::over(&owner.stack), Folder::new());
    let file = folder.file("key.pem", "");
    let args = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &file];
    let made = Command::new("openssl").args(args).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = json!({"type": "service_account", "client_email": "probe@project.iam.gserviceaccount.com", "private_key_id": "1",
        "private_key": std::fs::read_to_string(&file).unwrap(), "client_id": "112233"});
    let mut block = cloud.gmail();
    block["client"] = json!({"serviceAccountKeyRef": {"name": "robot"}});
    block.as_object_mut().unwrap().remove("tokenSecretName");
    let profile = object("EmailProfile", "box", &spec(&owner, "GmailAPI", ("gmail", block)));
    let manifests = owner.manifests(&(kept("robot", "key.json", &key.to_string()) + &profile));
    let ran = check(&manifests, &["--token-ca-file", &cloud.ca_file(), "-o", "json"]);
    let proof = profiles(&ran).swap_remove(0);
    assert_eq!((ran.code, &proof["reason"]), (0, &"CodeReceived".into()), "{}{}", ran.out, ran.err);
    assert!(owner.mails().is_empty());
}
