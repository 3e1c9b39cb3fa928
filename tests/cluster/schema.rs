//! The schema on a real API server: taken within its cost budget, and each bound and rule enforced in its words.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use kube::{Client, api::PostParams, core::Request};
use serde_json::Value;

use crate::support::{
    cases::{self, object},
    cluster::Cluster,
};

/// Creates an object as kubectl does, unknown fields refused; what came of it, or the words of the refusal.
async fn create(client: &Client, namespace: &str, name: &str, spec: &Value, dry_run: bool) -> Result<Value, String> {
    let path = format!("/apis/mailverity.dev/v1alpha1/namespaces/{namespace}/mailservers");
    let body = serde_json::to_vec(&object(name, spec)).unwrap();
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
    let Cluster { client, namespace, .. } = Cluster::new("schema").await;
    let mut wrong = Vec::new();
    for (index, case) in cases::all().into_iter().enumerate() {
        let name = format!("schema-{index}");
        if let Err(words) = create(&client, &namespace, &name, &case.passes, true).await {
            wrong.push(format!("{} should pass: {words}", case.title));
        }
        match create(&client, &namespace, &name, &case.refused, true).await {
            Err(words) if words.contains(&case.says) => {}
            Err(words) => wrong.push(format!("{} should say {:?}: {words}", case.title, case.says)),
            Ok(_) => wrong.push(format!("{} should be refused", case.title)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_fresh_object_reads_as_in_progress_and_explicit_nulls_are_not_kept() {
    // kstatus takes no status at all for done
    let Cluster { client, namespace, .. } = Cluster::new("fresh").await;
    let spec = serde_json::json!({"host": "a.test", "port": null, "verification": {"level": null}});
    let kept = create(&client, &namespace, "fresh", &spec, false).await.unwrap();
    assert_eq!(kept["status"], serde_json::json!({"observedGeneration": -1}));
    assert_eq!(kept["spec"], serde_json::json!({"host": "a.test", "verification": {}}));
}
