//! The schema on a real API server: taken within its cost budget, and each bound and rule enforced in its words.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use kube::{Client, api::PostParams, core::Request};
use serde_json::{Value, json};

use crate::support::{
    cases::{self, object},
    cluster::Cluster,
};

/// Creates an object as kubectl does, unknown fields refused; what came of it, or the words of the refusal.
async fn create(client: &Client, namespace: &str, object: &Value, dry_run: bool) -> Result<Value, String> {
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let plural = kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"));
    let place = if plural == "actors" { String::new() } else { format!("namespaces/{namespace}/") };
    let path = format!("/apis/mailverity.dev/v1alpha1/{place}{plural}");
    let body = serde_json::to_vec(object).unwrap();
    let mut request = Request::new(path).create(&PostParams { dry_run, ..PostParams::default() }, body).unwrap();
    *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse().unwrap();
    match client.request(request).await {
        Ok(kept) => Ok(kept),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => panic!("the API server did not judge: {error}"),
    }
}

#[tokio::test]
async fn the_api_server_takes_what_passes_and_refuses_the_rest_in_the_words_that_users_read() {
    let cluster = Cluster::new("schema").await;
    let (client, namespace) = (&cluster.client, &cluster.namespace);
    let mut wrong = Vec::new();
    for kind in cases::KINDS {
        for (index, case) in cases::of(kind).into_iter().enumerate() {
            let judge = async |spec| create(client, namespace, &object(kind, &format!("schema-{index}"), spec), true).await;
            if let Err(words) = judge(&case.passes).await {
                wrong.push(format!("{kind}: {} should pass: {words}", case.title));
            }
            match judge(&case.refused).await {
                Err(words) if words.contains(&case.says) => {}
                Err(words) => wrong.push(format!("{kind}: {} should say {:?}: {words}", case.title, case.says)),
                Ok(_) => wrong.push(format!("{kind}: {} should be refused", case.title)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_fresh_object_reads_as_in_progress_and_explicit_nulls_are_not_kept() {
    // kstatus takes no status at all for done
    let cluster = Cluster::new("fresh").await;
    let (client, namespace) = (&cluster.client, &cluster.namespace);
    let spec = json!({"host": "a.test", "port": null, "verification": {"level": null}});
    let kept = create(client, namespace, &object("MailServer", "fresh", &spec), false).await.unwrap();
    assert_eq!(kept["status"], json!({"observedGeneration": -1}));
    assert_eq!(kept["spec"], json!({"host": "a.test", "verification": {}}));

    let kept_as = json!({
        "address": "a@b.test", "protocol": "IMAP", "provider": "Zoho",
        "account": {"type": "Password", "secretRef": {"name": "box", "usernameKey": "username", "passwordKey": "password"}},
        "verification": {"mode": "Manual"},
    });
    let mut spec = kept_as.clone();
    spec["server"] = Value::Null;
    spec["verification"]["senderRef"] = Value::Null;
    let kept = create(client, namespace, &object("EmailProfile", "fresh", &spec), false).await.unwrap();
    assert_eq!(kept["status"], json!({"observedGeneration": -1}));
    assert_eq!(kept["spec"], kept_as);
}
