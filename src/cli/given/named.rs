//! Objects of ours that others name: in the files, else in the cluster. Without a status: what they are worth from here is proved
//! from here.

use std::{collections::HashMap, fmt::Debug};

use kube::{Api, Client, Resource, ResourceExt, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;

use super::unreadable;
use crate::{
    api::{
        Reason,
        v1alpha1::{EmailProfile, IS_DEFAULT_SERVER, MailReceiver, MailServer},
    },
    mail::Diagnosis,
    manifest::Document,
};

/// The objects of one kind in the files, by namespace and name; none where the manifest is bad.
#[derive(Debug)]
pub(super) struct Named<S>(HashMap<(String, String), Option<S>>);

impl<S> Default for Named<S> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// A kind whose spec is this.
pub(super) trait Of<S>:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
    /// The spec alone.
    fn spec(self) -> S;
}

impl Of<crate::api::v1alpha1::MailServerSpec> for MailServer {
    fn spec(self) -> crate::api::v1alpha1::MailServerSpec {
        self.spec
    }
}

impl Of<crate::api::v1alpha1::EmailProfileSpec> for EmailProfile {
    fn spec(self) -> crate::api::v1alpha1::EmailProfileSpec {
        self.spec
    }
}

impl Of<crate::api::v1alpha1::MailReceiverSpec> for MailReceiver {
    fn spec(self) -> crate::api::v1alpha1::MailReceiverSpec {
        self.spec
    }
}

impl<S: Clone> Named<S> {
    pub(super) fn add(&mut self, namespace: &str, name: &str, spec: Option<S>) {
        self.0.insert((namespace.to_owned(), name.to_owned()), spec);
    }

    /// The one of the files, or else of the cluster, if there is a cluster.
    ///
    /// # Errors
    /// That its manifest is bad, or that the cluster does not tell.
    pub(super) async fn find<K: Of<S>>(
        &self,
        cluster: Option<&Client>,
        namespace: &str,
        name: &str,
    ) -> Result<Option<S>, Diagnosis> {
        let kind = K::kind(&());
        if let Some(known) = self.0.get(&(namespace.to_owned(), name.to_owned())) {
            return known.clone().map(Some).ok_or_else(|| bad(&kind, namespace, name));
        }
        let Some(client) = cluster else { return Ok(None) };
        let found = Api::<K>::namespaced(client.clone(), namespace).get_opt(name).await;
        let found = found.map_err(|error| unreadable(&kind, namespace, name, &error))?;
        Ok(found.map(Of::spec))
    }
}

/// That an object of the files cannot be used as it is written.
fn bad(kind: &str, namespace: &str, name: &str) -> Diagnosis {
    let (name, why) = (format!("{namespace}/{name}"), "its manifest is not valid, see above");
    Diagnosis::new(Reason::DependencyNotReady)
        .detail(format!("{kind} {name}: {why}"))
        .fact("kind", kind)
        .fact("name", name)
        .fact("reason", why)
}

/// Whether a document is the `MailServer` that its namespace uses where none is named.
pub(super) fn is_default(document: &Document) -> bool {
    document.kind() == "MailServer" && document.text(&["metadata", "annotations", IS_DEFAULT_SERVER]) == "true"
}

/// The name of that of the cluster, the oldest of several.
///
/// # Errors
/// That the cluster does not tell.
pub(super) async fn default_of(client: &Client, namespace: &str) -> Result<Option<String>, Diagnosis> {
    let all = Api::<MailServer>::namespaced(client.clone(), namespace).list(&ListParams::default()).await;
    let all = all.map_err(|error| unreadable("MailServer", namespace, "*", &error))?;
    let defaults = all.items.iter().filter(|server| server.annotations().get(IS_DEFAULT_SERVER).is_some_and(|is| is == "true"));
    let oldest = defaults.min_by_key(|server| (server.creation_timestamp().map(|time| time.0), server.name_any()));
    Ok(oldest.map(ResourceExt::name_any))
}
