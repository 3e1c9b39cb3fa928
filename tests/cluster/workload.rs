//! Workload identity: a `ServiceAccount` of the object's namespace vouches for it, by tokens that the API server signs and the
//! provider checks by the API server's own keys.

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::{
    profiles::setting::{self, Way, mailboxes, relay, with},
    spec,
    support::{
        cloud::Cloud,
        cluster::{Cluster, Operator, is, message},
        identity::Identity,
        profiles::says,
        stack::Stack,
    },
};

const ACCOUNT: &str = "mailverity-mail";
const AUDIENCE: &str = "urn:test:identity";

async fn published(cluster: &Cluster, path: &str) -> Value {
    cluster.client.request(hyper::Request::get(path).body(Vec::new()).unwrap()).await.unwrap()
}

/// Has the provider believe the account of this namespace, and nobody else.
async fn trusted(cluster: &Cluster, identity: &Identity) {
    let issuer = published(cluster, "/.well-known/openid-configuration").await["issuer"].take();
    let subject = format!("system:serviceaccount:{}:{ACCOUNT}", cluster.namespace);
    let trust =
        json!({"jwks": published(cluster, "/openid/v1/jwks").await, "issuer": issuer, "subject": subject, "audience": AUDIENCE});
    let file = cluster.dir().join("trust.json");
    std::fs::write(&file, trust.to_string()).unwrap();
    assert_eq!(identity.ask(&format!("trust?file={}", file.display()))["trusts"], subject);
}

async fn account(cluster: &Cluster) {
    cluster.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}})).await;
}

fn server(stack: &Stack, identity: &Identity) -> Value {
    let auth = identity.auth("alice-federated", json!({"workloadIdentity": {"audience": AUDIENCE}}));
    spec(stack, "SUBMISSION_PORT", "StartTLS", json!({ "auth": auth }))
}

async fn operator(cluster: &Cluster, identity: &Identity) -> Operator {
    let mut flags = identity.flags();
    flags.extend(["--federated-service-account", ACCOUNT].map(str::to_owned));
    cluster.operator(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn a_server_logs_in_without_any_secret_as_its_namespaces_own_account() {
    let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new("workload").await);
    cluster.ca(&stack.ca()).await;
    let operator = operator(&cluster, &identity).await;
    cluster.server("relay", server(&stack, &identity)).await;
    let status = cluster.condition("relay", "Ready", "False", "OAuthTokenFailed").await;
    let told = format!("there is no ServiceAccount {}/{ACCOUNT}", cluster.namespace);
    assert!(message(&status, "CredentialsReady").contains(&told), "{status:#?}");

    account(&cluster).await;
    trusted(&cluster, &identity).await;
    cluster
        .until("the provider is asked again", async || {
            cluster.annotate("relay", mailverity::api::v1alpha1::VERIFY_REQUESTED_AT, &jiff::Timestamp::now().to_string()).await;
            is(&cluster.status("relay").await, "Ready", "True", "Succeeded").then_some(())
        })
        .await;
    let status = cluster.status("relay").await;
    assert!(is(&status, "CredentialsReady", "True", "TokenAcquired"), "{status:#?}");

    // The same words in another namespace are another account, which the provider does not know.
    let other = Cluster::new("workload-other").await;
    other.ca(&stack.ca()).await;
    account(&other).await;
    let _theirs = self::operator(&other, &identity).await;
    other.server("relay", server(&stack, &identity)).await;
    let status = other.condition("relay", "Ready", "False", "OAuthTokenFailed").await;
    assert!(message(&status, "CredentialsReady").contains("unexpected \"sub\" claim value"), "{status:#?}");

    for (what, text) in [("the log", operator.log()), ("a status", serde_json::to_string(&status).unwrap())] {
        assert!(!text.contains("eyJhbGciOi"), "{what} shows a token");
    }
    operator.shows_no_secret().await;
}

#[tokio::test]
async fn a_mailbox_over_graph_is_read_without_any_secret() {
    let (stack, cluster) = (Stack::get(), Cluster::new("workload-graph").await);
    let users: [String; 1] = mailboxes(&cluster, &stack, "workload-graph").await;
    let way = Way::Graph(Cloud::over(&stack));
    let cloud = way.cloud().unwrap();
    let operator = way.operator(&cluster, &["--federated-service-account", ACCOUNT]).await;
    relay(&cluster, &stack, json!({})).await;
    let graph = with(cloud.graph(), &json!({"client": {"workloadIdentity": {}}}));
    cluster.profile("box", with(way.mailbox(&stack, &users, 0), &json!({ "graph": graph }))).await;
    let status = cluster.profile_condition("box", "Ready", "False", "OAuthTokenFailed").await;
    let told = setting::message(&status, "CredentialsReady");
    assert!(told.contains(&format!("there is no ServiceAccount {}/{ACCOUNT}", cluster.namespace)), "{told}");

    account(&cluster).await;
    cloud.trusts(&format!("system:serviceaccount:{}:{ACCOUNT}", cluster.namespace));
    let asked_again = async || {
        let status = cluster.profile_status("box").await;
        if says(&status, "Ready", "False", "OAuthTokenFailed") {
            let handled = status.last_handled_verify_request.clone().unwrap_or_default();
            cluster.ask_profile("box", &format!("{handled}.")).await;
        }
        says(&status, "Ready", "True", "CodeReceived").then_some(())
    };
    cluster.until("it is read with a token of the account", asked_again).await;
    assert!(says(&cluster.profile_status("box").await, "CredentialsReady", "True", "TokenAcquired"));
    operator.shows_no_secret().await;
}

#[tokio::test]
async fn no_token_can_be_made_of_an_account_of_another_name() {
    let cluster = Cluster::new("workload-rights").await;
    account(&cluster).await;
    let flags = ["--federated-service-account", ACCOUNT];
    let _operator = cluster.operator(&flags).await;
    let config = Kubeconfig::read_from(cluster.config_of("mailverity", &cluster.namespace).await).unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    let reviews: Api<SelfSubjectAccessReview> = Api::all(Client::try_from(config).unwrap());
    let may = async |name: &str, verb: &str| {
        let attributes = json!({"namespace": cluster.namespace, "resource": "serviceaccounts", "subresource": "token", "name": name, "verb": verb});
        let review = serde_json::from_value(json!({"spec": {"resourceAttributes": attributes}})).unwrap();
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    assert!(may(ACCOUNT, "create").await);
    assert!(!may("mailverity", "create").await && !may("default", "create").await && !may("", "create").await);
}

#[tokio::test]
async fn without_the_flag_nobody_vouches() {
    let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new("workload-off").await);
    cluster.ca(&stack.ca()).await;
    let flags = identity.flags();
    let _operator = cluster.operator(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    cluster.server("relay", server(&stack, &identity)).await;
    let status = cluster.condition("relay", "Ready", "False", "OAuthTokenFailed").await;
    assert!(message(&status, "CredentialsReady").contains("--federated-service-account"), "{status:#?}");
}
