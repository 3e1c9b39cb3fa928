//! The schema on a real API server: taken within its cost budget, and each bound and rule enforced in its words.

use kube::{
    Api, Client,
    api::{DynamicObject, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use mailverity::api::crd;
use serde_json::Value;

use crate::{
    cases::{self, object},
    support::cluster::Cluster,
};

fn servers(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(crd::GROUP, "v1alpha1", "MailServer"));
    Api::namespaced_with(client, namespace, &kind)
}

/// What the API server says to an object, without keeping it; none if it takes it.
async fn refusal(servers: &Api<DynamicObject>, name: &str, spec: &Value) -> Option<String> {
    let params = PatchParams::apply("mailverity-test").dry_run().validation_strict();
    match servers.patch(name, &params, &kube::api::Patch::Apply(object(name, spec))).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message.clone()),
        Err(error) => panic!("the API server did not judge: {error}"),
    }
}

#[tokio::test]
async fn the_api_server_takes_what_passes_and_refuses_the_rest_in_the_words_that_users_read() {
    let Cluster { client, .. } = Cluster::new("schema").await;
    let servers = servers(client, "default");
    let mut wrong = Vec::new();
    for (index, case) in cases::all().into_iter().enumerate() {
        let name = format!("schema-{index}");
        if let Some(words) = refusal(&servers, &name, &case.passes).await {
            wrong.push(format!("{} should pass: {words}", case.title));
        }
        match refusal(&servers, &name, &case.refused).await {
            // Unknown fields are refused before the object is looked at, in words without a path; kubectl's words too.
            Some(words)
                if words.contains(&case.says) || words.contains(&case.says.replace("unknown field \"", ".").replace('"', "")) => {
            }
            Some(words) => wrong.push(format!("{} should say {:?}: {words}", case.title, case.says)),
            None => wrong.push(format!("{} should be refused", case.title)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_fresh_object_reads_as_in_progress_and_explicit_nulls_are_not_kept() {
    // kstatus takes no status at all for done
    let Cluster { client, namespace } = Cluster::new("schema").await;
    let servers = servers(client, &namespace);
    let params = PatchParams::apply("mailverity-test").validation_strict();
    let spec = serde_json::json!({"host": "a.test", "port": null, "verification": {"level": null}});
    let kept = servers.patch("fresh", &params, &kube::api::Patch::Apply(object("fresh", &spec))).await.unwrap();
    assert_eq!(kept.data["status"], serde_json::json!({"observedGeneration": -1}));
    assert_eq!(kept.data["spec"], serde_json::json!({"host": "a.test", "verification": {}}));
}
