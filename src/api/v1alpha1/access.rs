//! Who, in other namespaces, may refer to an object: the owner's decision.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The namespaces whose objects may refer to this one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.from == 'Selector') == has(self.selector)").message("selector goes with from: Selector, and only with it").field_path(".selector"))]
pub struct AllowedNamespaces {
    /// Same: only the object's own namespace. All: every namespace. Selector: namespaces whose labels match selector.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels that a namespace must carry; goes with from: Selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Which namespaces an [`AllowedNamespaces`] admits.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    #[default]
    Same,
    All,
    Selector,
}
