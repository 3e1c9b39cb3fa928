//! What specs name, as a person at a shell gives it: in files, from the current cluster, or by the sandbox. Secrets and
//! `ConfigMap`s, the objects of ours that others name (`named`), and the labels of namespaces.

mod named;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures::future::{BoxFuture, FutureExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{Api, Client};

use self::named::Named;
use crate::{
    api::{
        Reason,
        v1alpha1::{EmailProfile, EmailProfileSpec, MailReceiver, MailReceiverSpec, MailServer, MailServerSpec},
    },
    mail::Diagnosis,
    manifest::{Document, stored},
    verify::{References, Stored, tokens::Tokens},
};

/// What can be referred to. Files come first, then the cluster, object by object.
#[derive(Default)]
pub struct Given {
    secrets: HashMap<(String, String), Stored>,
    config_maps: HashMap<(String, String), Stored>,
    servers: Named<MailServerSpec>,
    profiles: Named<EmailProfileSpec>,
    receivers: Named<MailReceiverSpec>,
    /// The `MailServer` that is annotated as the default, by namespace: the first of several.
    defaults: HashMap<String, String>,
    labels: HashMap<String, BTreeMap<String, String>>,
    cluster: Option<Client>,
    fallback: Option<Fallback>,
    tokens: Option<Arc<Tokens>>,
}

/// What stands for all that is not given.
pub struct Fallback {
    /// For Secrets.
    pub secret: Stored,
    /// For `ConfigMap`s.
    pub config_map: Stored,
    /// For `MailServer`s.
    pub server: MailServerSpec,
}

impl Given {
    /// The Secrets and `ConfigMap`s among these documents; `namespace` is that of objects that name none. What cannot be
    /// decoded is left out: it was told as an error of the file before.
    #[must_use]
    pub fn files(documents: &[Document], namespace: &str) -> Self {
        let mut given = Self::default();
        for document in documents {
            if named::is_default(document) {
                let namespace = document.namespace(namespace).to_owned();
                given.defaults.entry(namespace).or_insert_with(|| document.name().to_owned());
            }
            if document.kind() == "Namespace" && document.text(&["apiVersion"]) == "v1" {
                given.labels.insert(document.name().to_owned(), labels(document));
            }
            let Ok(data) = stored::content(document) else { continue };
            let stored = Stored { annotations: stored::annotations(document), data, changed: None };
            let place = (document.namespace(namespace).to_owned(), document.name().to_owned());
            if stored::is_secret(document) {
                given.secrets.insert(place, stored);
            } else if stored::is_config_map(document) {
                given.config_maps.insert(place, stored);
            }
        }
        given
    }

    /// Adds a Secret.
    #[must_use]
    pub fn with_secret(mut self, namespace: &str, name: &str, secret: Stored) -> Self {
        self.secrets.insert((namespace.to_owned(), name.to_owned()), secret);
        self
    }

    /// Adds a `ConfigMap`.
    #[must_use]
    pub fn with_config_map(mut self, namespace: &str, name: &str, config_map: Stored) -> Self {
        self.config_maps.insert((namespace.to_owned(), name.to_owned()), config_map);
        self
    }

    /// Adds a `MailServer`; none where its manifest is bad.
    pub fn add_server(&mut self, namespace: &str, name: &str, server: Option<MailServerSpec>) {
        self.servers.add(namespace, name, server);
    }

    /// Adds an `EmailProfile`; none where its manifest is bad.
    pub fn add_profile(&mut self, namespace: &str, name: &str, profile: Option<EmailProfileSpec>) {
        self.profiles.add(namespace, name, profile);
    }

    /// Adds a `MailReceiver`; none where its manifest is bad.
    pub fn add_receiver(&mut self, namespace: &str, name: &str, receiver: Option<MailReceiverSpec>) {
        self.receivers.add(namespace, name, receiver);
    }

    /// Asks a cluster for what is not given.
    #[must_use]
    pub fn or_cluster(mut self, cluster: Option<Client>) -> Self {
        self.cluster = cluster;
        self
    }

    /// Asks for access tokens by these.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(Arc::new(tokens));
        self
    }

    /// Takes these in place of all that is not given.
    #[must_use]
    pub fn or_these(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }
}

impl References for Given {
    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async move {
            let known = self.secrets.get(&(namespace.to_owned(), name.to_owned())).cloned();
            let known = known.or_else(|| self.fallback.as_ref().map(|fallback| fallback.secret.clone()));
            let (None, Some(client)) = (&known, &self.cluster) else { return Ok(known) };
            let secret = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await;
            let secret = secret.map_err(|error| unreadable("Secret", namespace, name, &error))?;
            Ok(secret.map(|secret| {
                let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
                let changed = last_change(&secret.metadata);
                Stored { annotations: secret.metadata.annotations.unwrap_or_default(), data, changed }
            }))
        }
        .boxed()
    }

    fn config_map<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async move {
            let known = self.config_maps.get(&(namespace.to_owned(), name.to_owned())).cloned();
            let known = known.or_else(|| self.fallback.as_ref().map(|fallback| fallback.config_map.clone()));
            let (None, Some(client)) = (&known, &self.cluster) else { return Ok(known) };
            let map = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(name).await;
            let map = map.map_err(|error| unreadable("ConfigMap", namespace, name, &error))?;
            Ok(map.map(|map| {
                let texts = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
                let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
                let changed = last_change(&map.metadata);
                Stored { annotations: map.metadata.annotations.unwrap_or_default(), data: texts.chain(bytes).collect(), changed }
            }))
        }
        .boxed()
    }

    /// Without a status, from wherever it comes: what it is worth from here is proved from here.
    fn mail_server<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<MailServer>, Diagnosis>> {
        async move {
            let found = self.servers.find::<MailServer>(self.cluster.as_ref(), namespace, name).await?;
            let found = found.or_else(|| self.fallback.as_ref().map(|fallback| fallback.server.clone()));
            Ok(found.map(|spec| MailServer::new(name, spec)))
        }
        .boxed()
    }

    fn default_server<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Option<String>, Diagnosis>> {
        async move {
            let known = self.defaults.get(namespace).cloned();
            let known = known.or_else(|| self.fallback.as_ref().map(|_| "(default)".to_owned()));
            let (None, Some(client)) = (&known, &self.cluster) else { return Ok(known) };
            named::default_of(client, namespace).await
        }
        .boxed()
    }

    /// The same.
    fn mail_receiver<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<MailReceiver>, Diagnosis>> {
        async move {
            let found = self.receivers.find::<MailReceiver>(self.cluster.as_ref(), namespace, name).await?;
            Ok(found.map(|spec| MailReceiver::new(name, spec)))
        }
        .boxed()
    }

    /// The same.
    fn email_profile<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<EmailProfile>, Diagnosis>> {
        async move {
            let found = self.profiles.find::<EmailProfile>(self.cluster.as_ref(), namespace, name).await?;
            Ok(found.map(|spec| EmailProfile::new(name, spec)))
        }
        .boxed()
    }

    fn tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.clone()
    }

    fn namespace_labels<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<BTreeMap<String, String>, Diagnosis>> {
        async move {
            let known = self.labels.get(namespace);
            let (None, Some(client)) = (known, &self.cluster) else { return Ok(known.cloned().unwrap_or_default()) };
            let found = Api::<Namespace>::all(client.clone()).get_opt(namespace).await;
            let found = found.map_err(|error| unreadable("Namespace", namespace, namespace, &error))?;
            Ok(found.and_then(|found| found.metadata.labels).unwrap_or_default())
        }
        .boxed()
    }
}

fn labels(document: &Document) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), document.name().to_owned())]);
    let written = document.value["metadata"]["labels"].as_object().into_iter().flatten();
    labels.extend(written.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))));
    labels
}

fn last_change(metadata: &kube::api::ObjectMeta) -> Option<String> {
    let times = metadata.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref());
    times.max_by_key(|time| time.0).map(|time| time.0.to_string())
}

fn unreadable(kind: &str, namespace: &str, name: &str, error: &kube::Error) -> Diagnosis {
    // The cluster's own words, such as that we may not read Secrets there.
    let fault = error.to_string();
    let name = format!("{namespace}/{name}");
    Diagnosis::new(Reason::RefUnreadable).detail(fault.clone()).fact("kind", kind).fact("name", name).fact("fault", fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::read::read;

    #[tokio::test]
    async fn secrets_of_the_files_are_found_in_their_namespace_only() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: x}\n";
        let given = Given::files(&read("f", text).0, "mail");
        assert_eq!(given.secret("mail", "a").await.unwrap().unwrap().data["password"], b"x");
        assert!(given.secret("other", "a").await.unwrap().is_none());
        assert!(given.config_map("mail", "a").await.unwrap().is_none());
    }
}
