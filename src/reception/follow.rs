//! A watch of all objects of one kind, in all namespaces or in some: what is there, what is gone, and what a list lacks.

use std::{collections::BTreeSet, fmt::Debug};

use futures::{
    StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;

use crate::runtime::Name;

/// What a watch brought.
#[derive(Debug)]
pub(super) enum Change<K> {
    /// An object as it is now.
    Is(Box<K>),
    /// An object is gone.
    Gone(Name),
    /// These are all objects of a namespace (none: of all).
    Listed(Option<String>, BTreeSet<Name>),
}

/// Follows the objects in `namespaces` (all, if there are none) that match the label selector. A watch that fails is taken up
/// again, however long that takes.
pub(super) fn follow<K>(client: &Client, namespaces: &[String], labels: Option<&str>) -> BoxStream<'static, Change<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let scopes: Vec<Option<String>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
    let streams = scopes.into_iter().map(|scope| {
        let api: Api<K> = match &scope {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let config = watcher::Config { label_selector: labels.map(str::to_owned), ..watcher::Config::default() };
        let mut listed = BTreeSet::new();
        // A connection that died without a word is noticed after the watch's own end.
        let events = watcher(api, config.page_size(50).timeout(60)).default_backoff();
        events
            .filter_map(move |event| {
                ready(match event {
                    Ok(watcher::Event::Init) => {
                        listed.clear();
                        None
                    }
                    Ok(watcher::Event::InitApply(object)) => {
                        listed.insert(Name::of(&object));
                        Some(Change::Is(Box::new(object)))
                    }
                    Ok(watcher::Event::InitDone) => Some(Change::Listed(scope.clone(), std::mem::take(&mut listed))),
                    Ok(watcher::Event::Apply(object)) => Some(Change::Is(Box::new(object))),
                    Ok(watcher::Event::Delete(object)) => Some(Change::Gone(Name::of(&object))),
                    Err(error) => {
                        tracing::warn!(%error, kind = %K::kind(&()), "cannot be watched for the moment; what was last read holds");
                        None
                    }
                })
            })
            .boxed()
    });
    stream::select_all(streams.collect::<Vec<_>>()).boxed()
}
