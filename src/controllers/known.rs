//! The objects of a kind at a glance, as the watch brings them: which there are, which are new and which are gone.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::Event,
    },
};

use super::glance::Glance;
use crate::runtime::{Name, lock};

/// The objects of one kind in the watched namespaces.
pub struct Known<O: Resource<DynamicType = ()> + 'static> {
    stores: Vec<Store<Glance<O>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashSet<Name>,
    fresh: HashSet<Name>,
}

impl<O: Resource<DynamicType = ()> + Clone + 'static> Known<O> {
    /// What these stores hold.
    #[must_use]
    pub fn new(stores: Vec<Store<Glance<O>>>) -> Self {
        Self { stores, state: Mutex::default() }
    }

    /// Ends once each store has its first list.
    pub async fn listed(&self) {
        for store in &self.stores {
            // An error means that the watch has ended, and the term with it.
            let _ = store.wait_until_ready().await;
        }
    }

    /// An object as the watch last brought it.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<Arc<Glance<O>>> {
        let key = ObjectRef::new(&name.name).within(&name.namespace);
        self.stores.iter().find_map(|store| store.get(&key))
    }

    /// All objects, as the watch last brought them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Glance<O>>> {
        self.stores.iter().flat_map(Store::state).collect()
    }

    /// `name` was looked at, whether or not the watch knows already.
    pub fn looked_at(&self, name: &Name) {
        lock(&self.state).fresh.remove(name);
    }

    /// How many objects nobody has ever looked at.
    #[must_use]
    pub fn fresh(&self) -> usize {
        lock(&self.state).fresh.len()
    }

    /// Takes note of an event that the stores have taken already, and returns which objects are gone. `listed` holds the
    /// names of a list under way.
    pub fn note(&self, event: &Event<Glance<O>>, listed: &mut HashSet<Name>, scope: Option<&str>) -> Vec<Name> {
        let mut state = lock(&self.state);
        match event {
            Event::Init => {
                listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                listed.insert(Name::of(object));
                state.see(object);
                Vec::new()
            }
            Event::Apply(object) => {
                state.see(object);
                Vec::new()
            }
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
    fn see<O: Resource<DynamicType = ()>>(&mut self, object: &Glance<O>) {
        let name = Name::of(object);
        self.names.insert(name.clone());
        if object.is_fresh() {
            self.fresh.insert(name);
        } else {
            self.fresh.remove(&name);
        }
    }

    fn forget(&mut self, gone: Vec<Name>) -> Vec<Name> {
        for name in &gone {
            self.names.remove(name);
            self.fresh.remove(name);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::{self, store::Writer};
    use serde_json::json;

    use super::*;
    use crate::api::v1alpha1::MailServer;

    type Known = super::Known<MailServer>;
    type Glance = super::Glance<MailServer>;

    fn object(name: &str, looked_at: bool) -> Glance {
        let status = json!({"observedGeneration": if looked_at { 1 } else { -1 }});
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "mail"}, "status": status})).unwrap()
    }

    fn name(name: &str) -> Name {
        Name::new("mail", name)
    }

    fn known() -> (Known, Writer<Glance>) {
        let (store, writer) = reflector::store();
        (Known::new(vec![store]), writer)
    }

    fn feed(known: &Known, writer: &mut Writer<Glance>, event: &Event<Glance>) -> Vec<Name> {
        writer.apply_watcher_event(event);
        known.note(event, &mut HashSet::new(), None)
    }

    #[test]
    fn an_object_is_new_until_it_was_looked_at() {
        let (known, mut writer) = known();
        feed(&known, &mut writer, &Event::Apply(object("a", false)));
        feed(&known, &mut writer, &Event::Apply(object("b", false)));
        assert_eq!(known.fresh(), 2);
        known.looked_at(&name("a"));
        feed(&known, &mut writer, &Event::Apply(object("b", true)));
        assert_eq!(known.fresh(), 0);
    }

    #[test]
    fn nothing_is_kept_of_a_deleted_object() {
        let (known, mut writer) = known();
        feed(&known, &mut writer, &Event::Apply(object("a", false)));
        let gone = feed(&known, &mut writer, &Event::Delete(object("a", false)));
        assert_eq!((gone, known.fresh()), (vec![name("a")], 0));
        assert!(known.get(&name("a")).is_none());
        assert!(lock(&known.state).names.is_empty());
    }

    #[test]
    fn an_object_that_a_relist_lacks_is_gone() {
        let (known, mut writer) = known();
        feed(&known, &mut writer, &Event::Apply(object("a", true)));
        feed(&known, &mut writer, &Event::Apply(object("b", true)));
        let mut listed = HashSet::new();
        for event in [Event::Init, Event::InitApply(object("b", true))] {
            assert_eq!(known.note(&event, &mut listed, None), []);
        }
        assert_eq!(known.note(&Event::InitDone, &mut listed, None), [name("a")]);
    }
}
