//! Certificate authorities that are trusted for all servers, as the chart's `extraCABundle` has them: files in a folder.

use std::{fs, os::unix::fs::symlink, path::Path};

use mailverity::api::v1alpha1::VERIFY_REQUESTED_AT;
use serde_json::json;
use uuid::Uuid;

use super::{
    spec,
    support::{
        cluster::{Cluster, is},
        stack::Stack,
    },
};

/// As the kubelet writes a `ConfigMap` into a mounted folder: all of it behind one link, which another replaces at one stroke.
fn mount(folder: &Path, pem: &[u8]) {
    let version = Uuid::new_v4().to_string();
    fs::create_dir_all(folder.join(&version)).unwrap();
    fs::write(folder.join(&version).join("ca.crt"), pem).unwrap();
    symlink(&version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    symlink("..data/ca.crt", folder.join("ca.crt")).ok();
}

#[tokio::test]
async fn a_renewed_bundle_of_authorities_is_trusted_without_a_restart() {
    let (stack, cluster) = (Stack::get(), Cluster::new("authorities").await);
    let folder = std::env::temp_dir().join(format!("mailverity-test-{}", Uuid::new_v4()));
    let key = rcgen::KeyPair::generate().unwrap();
    let foreign = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    mount(&folder, foreign.as_bytes());
    let env = vec![("SSL_CERT_DIR".to_owned(), folder.to_str().unwrap().to_owned())];
    let operator = cluster.operator_in(env, &[]).await;
    let spec = spec(&stack, "SMTPS_PORT", "TLS", json!({"tls": {}, "verification": {"level": "Connect"}}));
    cluster.server("relay", spec.clone()).await;
    cluster.condition("relay", "Ready", "False", "CertificateUntrusted").await;
    // Files are looked at once in some seconds.
    let ask = async || cluster.annotate("relay", VERIFY_REQUESTED_AT, &Uuid::new_v4().to_string()).await;

    mount(&folder, &stack.ca());
    let renewed = async || {
        ask().await;
        is(&cluster.status("relay").await, "Ready", "True", "Succeeded").then_some(())
    };
    cluster.until("the renewed bundle is trusted", renewed).await;

    mount(&folder, b"");
    let told = async || {
        ask().await;
        operator.log().contains("it holds no certificate in PEM").then_some(())
    };
    cluster.until("the empty bundle is told", told).await;
    cluster.server("later", spec).await;
    cluster.condition("later", "Ready", "True", "Succeeded").await;
    assert_eq!(operator.log().matches("it holds no certificate in PEM").count(), 1);
    fs::remove_dir_all(&folder).unwrap();
}
