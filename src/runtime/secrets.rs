//! Notices that a Secret or `ConfigMap` changed, by its resourceVersion alone: content is read at the moment of use and
//! nowhere else. Two ways, by installation: a watch of metadata, or, where the right to list is not granted, a look at
//! the metadata of those in use once a minute.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;

use super::{Name, Parts, bounded, links::Links, lock};

/// How changes are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Access {
    /// A watch of metadata in the watched namespaces; needs the rights to list and watch.
    #[default]
    #[value(name = "Watch")]
    Watch,
    /// A look at the metadata of those in use every 60 s; needs only the right to get.
    #[value(name = "Get")]
    Get,
}

/// How often those in use are looked at with [`Access::Get`].
pub const LOOK: Duration = Duration::from_mins(1);

/// Helm keeps its releases in Secrets: large, many, and no credential of ours.
const NOT_HELM: &str = "type!=helm.sh/release.v1";

/// What may be referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A Secret.
    Secret,
    /// A `ConfigMap`.
    ConfigMap,
}

/// A Secret or `ConfigMap` that an object refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Which of the two.
    pub kind: Kind,
    /// Where it is.
    pub name: Name,
}

/// Who refers to what, and the resourceVersion that was last seen of it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Uses(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    links: Links<Name, Reference>,
    /// What was seen of each that is referred to.
    seen: HashMap<Reference, Seen>,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Seen {
    #[default]
    Never,
    Absent,
    Version(String),
}

impl Seen {
    fn of(version: Option<&str>) -> Self {
        version.map_or(Self::Absent, |version| Self::Version(version.to_owned()))
    }
}

impl Uses {
    /// `object` refers to these, and to nothing else any more. To be said before they are read, or a change in between
    /// would be missed.
    pub fn set(&self, object: &Name, references: impl IntoIterator<Item = Reference>) {
        let State { links, seen } = &mut *lock(&self.0);
        for reference in links.set(object, references) {
            if links.naming(&reference).next().is_some() {
                seen.entry(reference).or_default();
            } else {
                seen.remove(&reference);
            }
        }
    }

    /// `object` is gone.
    pub fn forget(&self, object: &Name) {
        self.set(object, []);
    }

    /// Everything that is referred to.
    #[must_use]
    pub fn all(&self) -> Vec<Reference> {
        lock(&self.0).seen.keys().cloned().collect()
    }

    /// This version of `reference` was read for its content (none: it is not there). It counts as seen only where none was:
    /// others may have read an earlier one, and a later one is news to them.
    pub fn read(&self, reference: &Reference, version: Option<&str>) {
        if let Some(seen) = lock(&self.0).seen.get_mut(reference).filter(|seen| **seen == Seen::Never) {
            *seen = Seen::of(version);
        }
    }

    /// `reference` was seen with this resourceVersion (none: it is not there). Returns who must look again: nobody where
    /// that is not news. The first sighting is news too, as the object may have read what was there before.
    #[must_use]
    pub fn seen(&self, reference: &Reference, version: Option<&str>) -> Vec<Name> {
        let (now, State { links, seen }) = (Seen::of(version), &mut *lock(&self.0));
        match seen.get_mut(reference).filter(|seen| **seen != now) {
            Some(seen) => *seen = now,
            None => return Vec::new(),
        }
        links.naming(reference).cloned().collect()
    }
}

/// The objects that must look again, as Secrets and `ConfigMaps` change: by a watch in `namespaces` (none: all).
pub fn watched(client: &Client, namespaces: &[String], uses: &Uses) -> impl Stream<Item = Name> + Send + 'static + use<> {
    let scopes: Vec<Option<&str>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().map(|n| Some(n.as_str())).collect() };
    let streams = scopes.into_iter().flat_map(|scope| {
        let secrets = follow::<Secret>(client, scope, Kind::Secret, watcher::Config::default().fields(NOT_HELM), uses.clone());
        let maps = follow::<ConfigMap>(client, scope, Kind::ConfigMap, watcher::Config::default(), uses.clone());
        [secrets.boxed(), maps.boxed()]
    });
    stream::select_all(streams.collect::<Vec<_>>())
}

fn follow<K>(
    client: &Client,
    namespace: Option<&str>,
    kind: Kind,
    config: watcher::Config,
    uses: Uses,
) -> impl Stream<Item = Name> + Send + 'static + use<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let client = client.clone();
    let api: Api<PartialObjectMeta<K>> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let scope = namespace.map(ToOwned::to_owned);
    // Pages are small, as metadata can be large: kubectl apply keeps a whole Secret in an annotation.
    let events = watcher(api, config.page_size(100)).default_backoff();
    // Hashes of the names on the list, and not the names: a cluster may hold far more than is used.
    let (mut listed, hasher) = (HashSet::new(), RandomState::new());
    events
        .map(move |event| match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                Vec::new()
            }
            Ok(watcher::Event::InitApply(object)) => {
                let reference = Reference { kind, name: Name::of(&object) };
                listed.insert(hasher.hash_one(&reference.name));
                uses.seen(&reference, object.metadata.resource_version.as_deref())
            }
            // What is used and not on the list was deleted while nobody watched.
            Ok(watcher::Event::InitDone) => {
                let listed = std::mem::take(&mut listed);
                let here = |r: &Reference| r.kind == kind && scope.as_ref().is_none_or(|scope| *scope == r.name.namespace);
                let gone = uses.all().into_iter().filter(|r| here(r) && !listed.contains(&hasher.hash_one(&r.name)));
                gone.flat_map(|reference| uses.seen(&reference, None)).collect()
            }
            Ok(watcher::Event::Apply(object)) => {
                uses.seen(&Reference { kind, name: Name::of(&object) }, object.metadata.resource_version.as_deref())
            }
            Ok(watcher::Event::Delete(object)) => uses.seen(&Reference { kind, name: Name::of(&object) }, None),
            Err(error) => {
                tracing::warn!(?kind, %error, "changes are not seen for the moment");
                Vec::new()
            }
        })
        .flat_map(stream::iter)
}

/// The objects that must look again: by a look at the metadata of those in use, every [`LOOK`].
pub fn looked_at(client: &Client, uses: &Uses) -> impl Stream<Item = Name> + Send + 'static + use<> {
    let (client, uses) = (client.clone(), uses.clone());
    stream::unfold((client, uses), |(client, uses)| async {
        tokio::time::sleep(LOOK).await;
        let mut again = Vec::new();
        for reference in uses.all() {
            let Parts { namespace, name } = &*reference.name;
            let version = match reference.kind {
                Kind::Secret => version::<Secret>(&client, namespace, name).await,
                Kind::ConfigMap => version::<ConfigMap>(&client, namespace, name).await,
            };
            match version {
                Ok(version) => again.extend(uses.seen(&reference, version.as_deref())),
                // A right that is missing is told by the check, which names it.
                Err(error) => tracing::debug!(kind = ?reference.kind, name = %reference.name, %error, "not looked at"),
            }
        }
        Some((stream::iter(again), (client, uses)))
    })
    .flatten()
}

async fn version<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<String>, super::ApiError>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    Ok(bounded(api.get_metadata_opt(name)).await?.and_then(|object| object.resource_version()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str) -> Reference {
        Reference { kind: Kind::Secret, name: Name::new("mail", name) }
    }

    fn object(name: &str) -> Name {
        Name::new("mail", name)
    }

    #[test]
    fn those_who_refer_to_a_changed_secret_look_again_and_nobody_else() {
        let uses = Uses::default();
        uses.set(&object("a"), [secret("relay")]);
        uses.set(&object("b"), [secret("relay"), secret("other")]);
        assert_eq!(uses.seen(&secret("relay"), Some("1")), [object("a"), object("b")]);
        assert!(uses.seen(&secret("relay"), Some("1")).is_empty(), "a relist brings no news");
        assert_eq!(uses.seen(&secret("relay"), Some("2")).len(), 2);
        assert_eq!(uses.seen(&secret("relay"), None).len(), 2, "it was deleted");
        assert_eq!(uses.seen(&secret("other"), Some("1")), [object("b")]);
        assert!(uses.seen(&secret("unused"), Some("1")).is_empty());
    }

    #[test]
    fn seeing_the_version_that_was_read_is_no_news() {
        let uses = Uses::default();
        uses.set(&object("a"), [secret("relay")]);
        uses.read(&secret("relay"), Some("5"));
        assert!(uses.seen(&secret("relay"), Some("5")).is_empty());
        assert_eq!(uses.seen(&secret("relay"), Some("6")), [object("a")]);
    }

    #[test]
    fn a_version_that_one_object_read_is_still_news_to_another_that_read_the_one_before() {
        let uses = Uses::default();
        for name in ["a", "b"] {
            uses.set(&object(name), [secret("relay")]);
        }
        uses.read(&secret("relay"), Some("5"));
        uses.read(&secret("relay"), Some("6"));
        assert_eq!(uses.seen(&secret("relay"), Some("6")), [object("a"), object("b")]);
    }

    #[test]
    fn what_is_no_longer_referred_to_is_forgotten() {
        let uses = Uses::default();
        uses.set(&object("a"), [secret("relay"), secret("ca")]);
        uses.set(&object("a"), [secret("ca")]);
        assert_eq!(uses.all(), [secret("ca")]);
        assert!(uses.seen(&secret("relay"), Some("1")).is_empty());
        uses.forget(&object("a"));
        assert!(uses.all().is_empty());
    }

    #[test]
    fn a_config_map_of_the_same_name_is_another_thing() {
        let uses = Uses::default();
        uses.set(&object("a"), [secret("relay")]);
        assert!(uses.seen(&Reference { kind: Kind::ConfigMap, name: Name::new("mail", "relay") }, Some("1")).is_empty());
    }
}
