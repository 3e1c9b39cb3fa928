//! The objects at a glance, as the watch brings them: which there are, which are new, which claims to be its namespace's
//! default, and what their coming and going means for others.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use kube::{
    ResourceExt,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::Event,
    },
};

use super::Glance;
use crate::{
    api::v1alpha1::{IS_DEFAULT_SERVER, MailServer},
    runtime::{Name, lock},
};

/// The objects of the watched namespaces.
pub struct Known {
    stores: Vec<Store<Glance>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashSet<Name>,
    fresh: HashSet<Name>,
    defaults: BTreeSet<Name>,
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
    pub fn new(stores: Vec<Store<Glance>>) -> Self {
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
    pub fn get(&self, name: &Name) -> Option<Arc<Glance>> {
        let key = ObjectRef::new(&name.name).within(&name.namespace);
        self.stores.iter().find_map(|store| store.get(&key))
    }

    /// All objects, as the watch last brought them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Glance>> {
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
    pub fn note(&self, event: &Event<Glance>, listed: &mut HashSet<Name>, scope: Option<&str>) -> News {
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
    fn see(&mut self, object: &Glance) -> News {
        let name = Name::of(object);
        self.names.insert(name.clone());
        if object.is_fresh() {
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

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::{self, store::Writer};
    use serde_json::json;

    use super::*;

    fn object(name: &str, looked_at: bool) -> Glance {
        let status = json!({"observedGeneration": if looked_at { 1 } else { -1 }});
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "mail"}, "status": status})).unwrap()
    }

    fn default(name: &str, created: i64) -> Glance {
        let mut object = object(name, true);
        object.metadata.annotations = Some([(IS_DEFAULT_SERVER.to_owned(), "true".to_owned())].into());
        let at = jiff::Timestamp::from_second(created).unwrap();
        object.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
        object
    }

    fn server(glance: &Glance) -> MailServer {
        let mut server = MailServer::new(&glance.name_any(), crate::api::v1alpha1::MailServerSpec::default());
        server.metadata = glance.metadata.clone();
        server
    }

    fn name(name: &str) -> Name {
        Name::new("mail", name)
    }

    fn known() -> (Known, Writer<Glance>) {
        let (store, writer) = reflector::store();
        (Known::new(vec![store]), writer)
    }

    fn feed(known: &Known, writer: &mut Writer<Glance>, event: &Event<Glance>) -> News {
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
        let news = feed(&known, &mut writer, &Event::Delete(object("a", false)));
        assert_eq!((news.gone, known.fresh()), (vec![name("a")], 0));
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
            assert_eq!(known.note(&event, &mut listed, None), News::default());
        }
        assert_eq!(known.note(&Event::InitDone, &mut listed, None).gone, [name("a")]);
    }

    #[test]
    fn of_two_defaults_the_younger_one_hears_of_the_older_and_of_its_end() {
        let (known, mut writer) = known();
        feed(&known, &mut writer, &Event::Apply(default("young", 100)));
        let news = feed(&known, &mut writer, &Event::Apply(default("old", 50)));
        assert_eq!(news.again, [name("young")]);
        assert_eq!(known.older_default(&server(&default("young", 100))).as_deref(), Some("old"));
        assert_eq!(known.older_default(&server(&default("old", 50))), None);
        let news = feed(&known, &mut writer, &Event::Delete(default("old", 50)));
        assert_eq!(news.again, [name("young")]);
        assert_eq!(known.older_default(&server(&default("young", 100))), None);
    }
}
