//! The objects as they are known: the watch's stores, and on top of them what we wrote ourselves and the watch has not
//! brought back yet, or a decision would rest on a status that is not the latest.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex},
};

use kube::{
    ResourceExt,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::Event,
    },
};

use super::{Guarded, server};
use crate::{
    api::v1alpha1::{IS_DEFAULT_SERVER, MailServer},
    runtime::{Name, lock},
};

/// The objects of the watched namespaces.
pub struct Known {
    stores: Vec<Store<Guarded>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashSet<Name>,
    fresh: HashSet<Name>,
    defaults: BTreeSet<Name>,
    written: HashMap<Name, Arc<Guarded>>,
}

/// What an event of the watch means for others than the object itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Objects that are gone.
    pub gone: Vec<Name>,
    /// Objects that must look again, because another became or ceased to be their namespace's default.
    pub again: Vec<Name>,
}

impl Known {
    /// What these stores hold.
    #[must_use]
    pub fn new(stores: Vec<Store<Guarded>>) -> Self {
        Self { stores, state: Mutex::default() }
    }

    /// Ends once each store has its first list.
    pub async fn listed(&self) {
        for store in &self.stores {
            // An error means that the watch has ended, and the term with it.
            let _ = store.wait_until_ready().await;
        }
    }

    /// The latest version of an object.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<Arc<Guarded>> {
        let key = ObjectRef::new(&name.name).within(&name.namespace);
        let stored = self.stores.iter().find_map(|store| store.get(&key))?;
        let written = lock(&self.state).written.get(name).cloned();
        Some(written.filter(|written| is_newer(written, &stored)).unwrap_or(stored))
    }

    /// All objects, as the watch last brought them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Guarded>> {
        self.stores.iter().flat_map(Store::state).collect()
    }

    /// We wrote this version.
    pub fn wrote(&self, mut object: MailServer) {
        super::slim(&mut object);
        let name = Name::of(&object);
        let mut state = lock(&self.state);
        state.fresh.remove(&name);
        if state.names.contains(&name) {
            state.written.insert(name, Arc::new(kube::core::DeserializeGuard(Ok(object))));
        }
    }

    /// How many objects nobody has ever looked at.
    #[must_use]
    pub fn fresh(&self) -> usize {
        lock(&self.state).fresh.len()
    }

    /// An older object of the namespace that is annotated as its default; of two with one age the first by name.
    #[must_use]
    pub fn older_default(&self, object: &MailServer) -> Option<String> {
        let (me, mine) = (Name::of(object), (object.creation_timestamp(), object.name_any()));
        let rivals: Vec<Name> = lock(&self.state).defaults.iter().filter(|n| n.namespace == me.namespace).cloned().collect();
        let ages = rivals.iter().filter(|name| **name != me).filter_map(|name| self.get(name));
        let eldest = ages.map(|object| (object.creation_timestamp(), object.name_any())).min();
        eldest.filter(|eldest| *eldest < mine).map(|(_, name)| name)
    }

    /// Takes note of an event that the stores have taken already. `listed` holds the names of a list under way.
    pub fn note(&self, event: &Event<Guarded>, listed: &mut HashSet<Name>, scope: Option<&str>) -> News {
        let mut state = lock(&self.state);
        match event {
            Event::Init => {
                listed.clear();
                News::default()
            }
            Event::InitApply(object) => {
                listed.insert(Name::of(object));
                state.see(object)
            }
            Event::Apply(object) => state.see(object),
            Event::Delete(object) => state.forget(vec![Name::of(object)]),
            // What is known and not on the list was deleted while nobody watched.
            Event::InitDone => {
                let here = |name: &&Name| scope.is_none_or(|scope| scope == name.namespace);
                let gone = state.names.iter().filter(here).filter(|name| !listed.contains(name)).cloned().collect();
                *listed = HashSet::new();
                state.forget(gone)
            }
        }
    }
}

impl State {
    fn see(&mut self, object: &Guarded) -> News {
        let name = Name::of(object);
        self.names.insert(name.clone());
        if self.written.get(&name).is_some_and(|written| !is_newer(written, object)) {
            self.written.remove(&name);
        }
        let status = server(object).and_then(|server| server.status.as_ref());
        let fresh = status.and_then(|status| status.observed_generation).is_none_or(|generation| generation == -1);
        if fresh && !self.written.contains_key(&name) {
            self.fresh.insert(name.clone());
        } else {
            self.fresh.remove(&name);
        }
        let default = object.annotations().get(IS_DEFAULT_SERVER).is_some_and(|value| value == "true");
        let changed = if default { self.defaults.insert(name.clone()) } else { self.defaults.remove(&name) };
        let again = if changed { self.rivals(&name) } else { Vec::new() };
        News { gone: Vec::new(), again }
    }

    fn forget(&mut self, gone: Vec<Name>) -> News {
        let mut again = Vec::new();
        for name in &gone {
            self.names.remove(name);
            self.fresh.remove(name);
            self.written.remove(name);
            if self.defaults.remove(name) {
                again.extend(self.rivals(name));
            }
        }
        News { gone, again }
    }

    fn rivals(&self, of: &Name) -> Vec<Name> {
        self.defaults.iter().filter(|name| name.namespace == of.namespace && *name != of).cloned().collect()
    }
}

/// Whether `one` is a later version than `other`. Versions of one resource can be compared as numbers (Kubernetes API
/// concepts, "Resource versions"); where they are none, what the watch brought counts.
fn is_newer(one: &Guarded, other: &Guarded) -> bool {
    let version = |object: &Guarded| object.resource_version().and_then(|version| version.parse::<u128>().ok());
    one.uid() == other.uid() && version(one).zip(version(other)).is_some_and(|(one, other)| one > other)
}

#[cfg(test)]
mod tests {
    use kube::{
        core::DeserializeGuard,
        runtime::reflector::{self, store::Writer},
    };

    use super::*;
    use crate::api::v1alpha1::MailServerStatus;

    fn object(name: &str, version: u32, looked_at: bool) -> MailServer {
        let mut object = MailServer::new(name, crate::api::v1alpha1::MailServerSpec::default());
        object.metadata.namespace = Some("mail".to_owned());
        object.metadata.uid = Some(format!("uid of {name}"));
        object.metadata.resource_version = Some(version.to_string());
        object.status =
            Some(MailServerStatus { observed_generation: Some(if looked_at { 1 } else { -1 }), ..Default::default() });
        object
    }

    fn default(name: &str, version: u32, created: i64) -> MailServer {
        let mut object = object(name, version, true);
        object.metadata.annotations = Some([(IS_DEFAULT_SERVER.to_owned(), "true".to_owned())].into());
        let at = jiff::Timestamp::from_second(created).unwrap();
        object.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
        object
    }

    fn name(name: &str) -> Name {
        Name::new("mail", name)
    }

    fn known() -> (Known, Writer<Guarded>) {
        let (store, writer) = reflector::store();
        (Known::new(vec![store]), writer)
    }

    fn feed(known: &Known, writer: &mut Writer<Guarded>, event: Event<MailServer>) -> News {
        let guard = |object| DeserializeGuard(Ok(object));
        let event = match event {
            Event::Apply(object) => Event::Apply(guard(object)),
            Event::InitApply(object) => Event::InitApply(guard(object)),
            Event::Delete(object) => Event::Delete(guard(object)),
            Event::Init => Event::Init,
            Event::InitDone => Event::InitDone,
        };
        writer.apply_watcher_event(&event);
        known.note(&event, &mut HashSet::new(), None)
    }

    #[test]
    fn what_we_wrote_counts_until_the_watch_brings_it_or_something_newer() {
        let (known, mut writer) = known();
        feed(&known, &mut writer, Event::Apply(object("a", 5, false)));
        assert_eq!(known.fresh(), 1);
        known.wrote(object("a", 7, true));
        assert_eq!(known.fresh(), 0);
        assert_eq!(known.get(&name("a")).unwrap().resource_version().unwrap(), "7");
        feed(&known, &mut writer, Event::Apply(object("a", 6, false)));
        assert_eq!(known.get(&name("a")).unwrap().resource_version().unwrap(), "7", "6 is someone else's older write");
        feed(&known, &mut writer, Event::Apply(object("a", 7, true)));
        assert!(lock(&known.state).written.is_empty());
        known.wrote(object("a", 8, true));
        feed(&known, &mut writer, Event::Apply(object("a", 9, true)));
        assert_eq!(known.get(&name("a")).unwrap().resource_version().unwrap(), "9");
    }

    #[test]
    fn nothing_is_kept_of_a_deleted_object_also_if_a_write_comes_late() {
        let (known, mut writer) = known();
        feed(&known, &mut writer, Event::Apply(object("a", 1, true)));
        let news = feed(&known, &mut writer, Event::Delete(object("a", 2, true)));
        assert_eq!(news.gone, [name("a")]);
        known.wrote(object("a", 3, true));
        assert!(known.get(&name("a")).is_none());
        assert!(lock(&known.state).written.is_empty());
    }

    #[test]
    fn an_object_that_a_relist_lacks_is_gone() {
        let (known, mut writer) = known();
        feed(&known, &mut writer, Event::Apply(object("a", 1, true)));
        feed(&known, &mut writer, Event::Apply(object("b", 1, true)));
        let mut listed = HashSet::new();
        for event in [Event::Init, Event::InitApply(DeserializeGuard(Ok(object("b", 1, true))))] {
            assert_eq!(known.note(&event, &mut listed, None), News::default());
        }
        assert_eq!(known.note(&Event::InitDone, &mut listed, None).gone, [name("a")]);
    }

    #[test]
    fn of_two_defaults_the_younger_one_hears_of_the_older_and_of_its_end() {
        let (known, mut writer) = known();
        feed(&known, &mut writer, Event::Apply(default("young", 1, 100)));
        let news = feed(&known, &mut writer, Event::Apply(default("old", 1, 50)));
        assert_eq!(news.again, [name("young")]);
        assert_eq!(known.older_default(&default("young", 1, 100)).as_deref(), Some("old"));
        assert_eq!(known.older_default(&default("old", 1, 50)), None);
        let news = feed(&known, &mut writer, Event::Delete(default("old", 1, 50)));
        assert_eq!(news.again, [name("young")]);
        assert_eq!(known.older_default(&default("young", 1, 100)), None);
    }
}
