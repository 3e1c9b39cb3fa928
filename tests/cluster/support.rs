//! A real API server: whoever runs these tests starts one, and names it in `MAILVERITY_TEST_KUBECONFIG`.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait::{await_condition, conditions},
};
use mailverity::api::crd;

/// An administrator's client.
pub async fn client() -> Client {
    let Ok(path) = std::env::var("MAILVERITY_TEST_KUBECONFIG") else {
        panic!("no API server to test against: run `make test`, which starts a control plane");
    };
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()).unwrap()
}

/// Installs the CRDs as `mailverity crds` prints them and waits until they are served; any number of tests may.
pub async fn install_crds(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crd::all().unwrap() {
        let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
        crds.patch(&name, &PatchParams::apply("mailverity-test").force(), &Patch::Apply(crd)).await.unwrap();
        let served = await_condition(crds.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(Duration::from_secs(30), served).await.expect("the CRD is served in time").unwrap();
    }
}

/// A namespace of the test's own; it goes with the control plane.
pub async fn namespace(client: &Client, prefix: &str) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut namespace = Namespace::default();
    namespace.metadata.generate_name = Some(format!("{prefix}-"));
    namespaces.create(&PostParams::default(), &namespace).await.unwrap().metadata.name.unwrap()
}
