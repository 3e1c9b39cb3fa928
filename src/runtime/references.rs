//! Secrets and `ConfigMaps` over the API server: read at the moment of use, and never kept.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use futures::future::{BoxFuture, FutureExt};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, NamespaceResourceScope},
};
use serde::de::DeserializeOwned;

use super::{
    ApiError, Name, bounded,
    identity::Account,
    roster::Roster,
    secrets::{Kind, Reference, Uses},
};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{EmailProfile, IS_DEFAULT_SERVER, MailReceiver, MailServer},
    },
    mail::{Diagnosis, oauth2::Identity},
    verify::{
        References, Stored,
        select::Known,
        tokens::{Tokens, keep::Keeper},
    },
};

/// The cluster that the client speaks to.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    uses: Uses,
    roster: Option<Arc<Roster>>,
    tokens: Option<Arc<Tokens>>,
    keeper: Option<Arc<dyn Keeper>>,
    /// The name of the accounts that vouch.
    federated: Option<String>,
}

impl Cluster {
    /// Reads with `client`'s rights.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::noting(client, Uses::default())
    }

    /// The same, and notes in `uses` which version was read: seeing that version later is no news.
    #[must_use]
    pub fn noting(client: Client, uses: Uses) -> Self {
        Self { client, uses, roster: None, tokens: None, keeper: None, federated: None }
    }

    /// The same, and knows these actors.
    #[must_use]
    pub fn with_actors(mut self, roster: Arc<Roster>) -> Self {
        self.roster = Some(roster);
        self
    }

    /// The same, and asks for access tokens by these.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Arc<Tokens>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// The same, and has refresh tokens kept by this.
    #[must_use]
    pub fn with_keeper(mut self, keeper: Option<Arc<dyn Keeper>>) -> Self {
        self.keeper = keeper;
        self
    }

    /// The same, and lets the `ServiceAccounts` of this name vouch for the objects of their namespaces.
    #[must_use]
    pub fn with_federated(mut self, name: Option<String>) -> Self {
        self.federated = name;
        self
    }

    fn note(&self, kind: Kind, namespace: &str, name: &str, found: Option<&ObjectMeta>) {
        let reference = Reference { kind, name: Name::new(namespace, name) };
        self.uses.read(&reference, found.map(|meta| meta.resource_version.as_deref().unwrap_or_default()));
    }
}

impl Cluster {
    /// An object of ours. One that cannot be read is told so itself; whoever names it waits.
    async fn object<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, Diagnosis>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let api: Api<DeserializeGuard<K>> = Api::namespaced(self.client.clone(), namespace);
        let found = bounded(api.get_opt(name)).await.map_err(|error| unreadable(&K::kind(&()), namespace, name, &error))?;
        Ok(found.and_then(|object| object.0.ok()))
    }
}

/// Whether a `MailServer` is annotated as the default of its namespace.
#[must_use]
pub fn is_default(object: &impl ResourceExt) -> bool {
    object.annotations().get(IS_DEFAULT_SERVER).is_some_and(|value| value == "true")
}

impl References for Cluster {
    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async move {
            let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            let found = bounded(secrets.get_opt(name)).await.map_err(|error| unreadable("Secret", namespace, name, &error))?;
            self.note(Kind::Secret, namespace, name, found.as_ref().map(|secret| &secret.metadata));
            Ok(found.map(|secret| stored(&secret.metadata, None, secret.data.unwrap_or_default())))
        }
        .boxed()
    }

    fn config_map<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async move {
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
            let found = bounded(maps.get_opt(name)).await.map_err(|error| unreadable("ConfigMap", namespace, name, &error))?;
            self.note(Kind::ConfigMap, namespace, name, found.as_ref().map(|map| &map.metadata));
            Ok(found.map(|map| stored(&map.metadata, map.data, map.binary_data.unwrap_or_default())))
        }
        .boxed()
    }

    fn mail_server<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<MailServer>, Diagnosis>> {
        self.object(namespace, name).boxed()
    }

    fn mail_receiver<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<MailReceiver>, Diagnosis>> {
        self.object(namespace, name).boxed()
    }

    fn email_profile<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<EmailProfile>, Diagnosis>> {
        self.object(namespace, name).boxed()
    }

    fn default_server<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Option<String>, Diagnosis>> {
        async move {
            let servers: Api<MailServer> = Api::namespaced(self.client.clone(), namespace);
            let found = bounded(servers.list_metadata(&ListParams::default())).await;
            let found = found.map_err(|error| unreadable("MailServer", namespace, "", &error))?;
            let defaults = found.items.iter().filter(|server| is_default(*server));
            let oldest = defaults.min_by_key(|server| (server.creation_timestamp(), server.name_any()));
            Ok(oldest.map(ResourceExt::name_any))
        }
        .boxed()
    }

    fn actors(&self) -> BoxFuture<'_, Result<Vec<Known>, Diagnosis>> {
        async {
            let Some(roster) = &self.roster else { return Ok(Vec::new()) };
            let (actors, now) = (roster.actors(), Instant::now());
            Ok(actors.into_iter().map(|actor| Known { away: roster.away(&actor.name_any(), now), actor }).collect())
        }
        .boxed()
    }

    fn tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.clone()
    }

    fn identity(&self, namespace: &str, audience: &str) -> Option<(String, Arc<dyn Identity>)> {
        let name = self.federated.as_ref()?;
        let account = Account::new(self.client.clone(), namespace, name, audience);
        Some((format!("system:serviceaccount:{namespace}:{name}"), Arc::new(account)))
    }

    fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        self.keeper.clone()
    }

    fn namespace_labels<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<BTreeMap<String, String>, Diagnosis>> {
        async move {
            let namespaces: Api<Namespace> = Api::all(self.client.clone());
            let found = bounded(namespaces.get_metadata_opt(namespace)).await;
            let found = found.map_err(|error| unreadable("Namespace", "", namespace, &error))?;
            Ok(found.and_then(|found| found.metadata.labels).unwrap_or_default())
        }
        .boxed()
    }
}

fn stored(meta: &ObjectMeta, text: Option<BTreeMap<String, String>>, bytes: BTreeMap<String, ByteString>) -> Stored {
    let text = text.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    // kubectl apply puts the whole Secret in there.
    annotations.remove(LAST_APPLIED);
    Stored {
        annotations,
        data: text.chain(bytes.into_iter().map(|(key, value)| (key, value.0))).collect(),
        changed: changed(meta),
    }
}

/// The annotation in which `kubectl apply` keeps the whole object as it was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The time of the last write, as managedFields tell it; else of the creation.
fn changed(meta: &ObjectMeta) -> Option<String> {
    let written = meta.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max();
    written.or_else(|| meta.creation_timestamp.as_ref().map(|time| time.0)).map(|time| time.to_string())
}

/// Why an object could not be read. RBAC is named, as only the installation's administrator can mend it.
fn unreadable(kind: &str, namespace: &str, name: &str, error: &ApiError) -> Diagnosis {
    let object = format!("{namespace}/{name}");
    let diagnosis = Diagnosis::new(Reason::RefUnreadable).fact("kind", kind).fact("name", &object);
    if error.is_forbidden() {
        let fault = format!("RBAC does not let the operator get {}s in namespace {namespace}", kind.to_lowercase());
        return diagnosis.class(Class::User).detail(format!("{kind} {object}: {error}")).fact("fault", fault);
    }
    diagnosis.detail(format!("{kind} {object}: {error}")).fact("fault", error.to_string())
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_refusal_by_rbac_names_it_and_waits_for_somebody() {
        let refused = Status { code: 403, message: "secrets \"relay\" is forbidden".to_owned(), ..Status::success() };
        let diagnosis = unreadable("Secret", "mail", "relay", &ApiError::Failed(kube::Error::Api(Box::new(refused))));
        assert_eq!((diagnosis.reason, diagnosis.class), (Reason::RefUnreadable, Class::User));
        assert!(
            diagnosis.hint().contains("RBAC does not let the operator get secrets in namespace mail"),
            "{}",
            diagnosis.hint()
        );
        assert!(diagnosis.said().contains("is forbidden"));
    }

    #[test]
    fn an_api_server_that_is_away_is_no_fault_of_the_object() {
        let diagnosis = unreadable("Secret", "mail", "relay", &ApiError::TimedOut(crate::runtime::API_TIMEOUT));
        assert_eq!(diagnosis.class, Class::Transient);
    }

    #[test]
    fn what_kubectl_keeps_in_an_annotation_is_not_passed_on() {
        let annotations = BTreeMap::from([(LAST_APPLIED.to_owned(), "secret".to_owned()), ("a".to_owned(), "b".to_owned())]);
        let meta = ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() };
        assert_eq!(stored(&meta, None, BTreeMap::new()).annotations.into_keys().collect::<Vec<_>>(), ["a"]);
    }
}
