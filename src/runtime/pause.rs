//! `kubectl mail pause`: one `ConfigMap` in the operator's namespace stops everything, or one namespace, at once.
//!
//! Its keys are `all` and names of namespaces; a value is empty (until it is removed) or an RFC 3339 time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::watch;

use super::lock;

/// The `ConfigMap`'s name.
pub const CONFIG_MAP: &str = "mailverity-pause";
/// The key that stops every namespace.
pub const ALL: &str = "all";

/// A pause that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// When it ends by itself; none if it must be removed.
    pub until: Option<Timestamp>,
    /// `all`, or the namespace that it is for.
    pub scope: String,
}

/// What is paused, as it was last read. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Pause {
    entries: Arc<Mutex<BTreeMap<String, Option<Timestamp>>>>,
    known: watch::Sender<bool>,
}

impl Default for Pause {
    fn default() -> Self {
        Self { entries: Arc::default(), known: watch::channel(false).0 }
    }
}

impl Pause {
    /// The pause that holds for `namespace` at `now`; the one that lasts longest, where there are two.
    #[must_use]
    pub fn of(&self, namespace: &str, now: Timestamp) -> Option<Paused> {
        let entries = lock(&self.entries);
        let holds = |scope: &str| {
            let until = *entries.get(scope)?;
            until.is_none_or(|until| until > now).then(|| Paused { until, scope: scope.to_owned() })
        };
        match (holds(ALL), holds(namespace)) {
            (Some(all), Some(own)) if own.until.is_none() || (all.until.is_some() && own.until > all.until) => Some(own),
            (all, own) => all.or(own),
        }
    }

    /// The scopes that are paused at `now`: `all` and names of namespaces.
    #[must_use]
    pub fn scopes(&self, now: Timestamp) -> Vec<String> {
        let entries = lock(&self.entries);
        entries.iter().filter(|(_, until)| until.is_none_or(|until| until > now)).map(|(scope, _)| scope.clone()).collect()
    }

    /// Ends once the `ConfigMap` was looked for a first time: nothing may be sent before.
    pub async fn known(&self) {
        // It cannot fail: we hold the sender.
        let _ = self.known.subscribe().wait_for(|known| *known).await;
    }

    /// Follows the `ConfigMap` in `namespace`; an item each time that what is paused has changed.
    pub fn follow(&self, client: Client, namespace: &str) -> impl Stream<Item = ()> + Send + 'static + use<> {
        let pause = self.clone();
        let api: Api<ConfigMap> = Api::namespaced(client, namespace);
        // A connection that died without a word is noticed after the watch's own end: half a minute, not five.
        let config = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}")).timeout(30);
        let mut listed = BTreeMap::new();
        watcher(api, config).default_backoff().filter_map(move |event| {
            let changed = match event {
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    false
                }
                Ok(watcher::Event::InitApply(map)) => {
                    listed = entries(&map);
                    false
                }
                Ok(watcher::Event::InitDone) => pause.set(std::mem::take(&mut listed)),
                Ok(watcher::Event::Apply(map)) => pause.set(entries(&map)),
                Ok(watcher::Event::Delete(_)) => pause.set(BTreeMap::new()),
                Err(error) => {
                    tracing::debug!(%error, "the pause is not known for the moment; what was last read holds");
                    false
                }
            };
            std::future::ready(changed.then_some(()))
        })
    }

    /// Takes over what was read; says whether it differs.
    pub(crate) fn set(&self, new: BTreeMap<String, Option<Timestamp>>) -> bool {
        let mut entries = lock(&self.entries);
        let changed = *entries != new;
        if changed {
            tracing::info!(scopes = ?new.keys().collect::<Vec<_>>(), "what is paused has changed");
        }
        *entries = new;
        drop(entries);
        self.known.send_replace(true);
        changed
    }
}

/// The scopes that a map pauses at `now`.
#[must_use]
pub fn in_force(map: &ConfigMap, now: Timestamp) -> Vec<String> {
    let holds = |until: &Option<Timestamp>| until.is_none_or(|until| until > now);
    entries(map).into_iter().filter(|(_, until)| holds(until)).map(|(scope, _)| scope).collect()
}

fn entries(map: &ConfigMap) -> BTreeMap<String, Option<Timestamp>> {
    let entry = |(scope, value): (&String, &String)| {
        let until = match value.trim() {
            "" => None,
            time => time.parse().map_or_else(
                |_| {
                    // Whoever wrote it wanted a pause: an end that cannot be read is no end.
                    tracing::warn!(scope, "ConfigMap {CONFIG_MAP}: the time is not RFC 3339; paused until it is removed");
                    None
                },
                Some,
            ),
        };
        (scope.clone(), until)
    };
    map.data.iter().flatten().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pause(data: &[(&str, &str)]) -> Pause {
        let data = data.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let pause = Pause::default();
        pause.set(entries(&ConfigMap { data: Some(data), ..ConfigMap::default() }));
        pause
    }

    #[test]
    fn a_pause_holds_for_its_namespace_or_for_all() {
        let one = pause(&[("shop", "")]);
        assert_eq!(one.of("shop", at(0)), Some(Paused { until: None, scope: "shop".to_owned() }));
        assert_eq!(one.of("other", at(0)), None);
        assert!(pause(&[("all", "")]).of("other", at(0)).is_some());
        assert!(pause(&[]).of("other", at(0)).is_none());
    }

    #[test]
    fn a_pause_with_an_end_ends() {
        let pause = pause(&[("all", "1970-01-01T00:01:00Z")]);
        assert_eq!(pause.of("shop", at(59)).unwrap().until, Some(at(60)));
        assert_eq!(pause.of("shop", at(60)), None);
        assert_eq!(pause.scopes(at(59)), ["all"]);
        assert!(pause.scopes(at(60)).is_empty());
    }

    #[test]
    fn of_two_pauses_the_longer_one_is_told() {
        let two = pause(&[("all", "1970-01-01T00:01:00Z"), ("shop", "1970-01-01T00:02:00Z")]);
        assert_eq!(two.of("shop", at(0)).unwrap().until, Some(at(120)));
        let two = pause(&[("all", "1970-01-01T00:01:00Z"), ("shop", "")]);
        assert_eq!(two.of("shop", at(0)).unwrap().until, None);
        let two = pause(&[("all", ""), ("shop", "1970-01-01T00:02:00Z")]);
        assert_eq!(two.of("shop", at(0)).unwrap().scope, "all");
    }

    #[test]
    fn an_end_that_cannot_be_read_is_no_end() {
        assert_eq!(pause(&[("all", "tomorrow")]).of("shop", at(0)).unwrap().until, None);
    }
}
