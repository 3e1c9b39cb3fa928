//! How a server's certificate is judged.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// What TLS must look like to be trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.insecureSkipVerify) && self.insecureSkipVerify && has(self.caRef))").message("caRef has no effect with insecureSkipVerify: true; remove one").field_path(".caRef"))]
pub struct Tls {
    /// A bundle of PEM certificates that are trusted beside the public roots. A trust-manager Bundle's target works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,
    /// The name that the certificate must carry, if not the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// The lowest version of TLS that is taken: "1.2" (the default) or "1.3".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["1.2", "1.3"]))]
    pub min_version: Option<String>,
    /// Take any certificate. The password is then as safe as the network is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
    /// A Secret of type kubernetes.io/tls in the same namespace, shown to servers that ask for a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<ClientCertificateRef>,
    /// How long before the certificate's end the condition CertificateExpiring appears; 336h (two weeks) if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_warning: Option<Span>,
}

/// Where a bundle of CA certificates is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaRef {
    /// ConfigMap or Secret.
    #[serde(default)]
    pub kind: CaKind,
    /// Its name, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key that holds the PEM certificates; ca.crt if absent.
    #[serde(default = "ca_crt")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn ca_crt() -> String {
    "ca.crt".to_owned()
}

/// What holds a CA bundle.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaKind {
    #[default]
    ConfigMap,
    Secret,
}

/// A Secret of type kubernetes.io/tls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateRef {
    /// Its name, in the same namespace; keys tls.crt and tls.key.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
