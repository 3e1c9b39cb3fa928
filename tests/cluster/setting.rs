//! What tests of the cluster begin with: a spec for the mail stack, and an account on it.

use super::support::{cluster::Cluster, leaks, stack::Stack};
use serde_json::{Value, json};

/// A spec for a port of the mail stack; what is in `rest` is added or replaced.
pub fn spec(stack: &Stack, port: &str, security: &str, rest: Value) -> Value {
    let mut spec = json!({
        "host": "localhost", "port": stack.port(port), "security": security,
        "tls": {"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}},
        "sender": {"address": "probe@example.test"},
    });
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

pub fn auth() -> Value {
    json!({"type": "Password", "secretRef": {"name": "account"}})
}

/// A user of the mail stack of this test's own, whose Secret is `account`.
pub async fn account(cluster: &Cluster, stack: &Stack, test: &str) -> String {
    let password = leaks::password(test);
    let user = stack.user(&format!("{test}-{}", uuid::Uuid::new_v4().simple()), &password).await;
    cluster.account("account", &user, &password).await;
    cluster.ca(&stack.ca()).await;
    user
}
