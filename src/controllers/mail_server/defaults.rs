//! Which servers claim to be their namespace's default, and who must look again when one begins or ceases to.

use std::{collections::BTreeSet, sync::Mutex};

use kube::ResourceExt;

use crate::{
    api::v1alpha1::{IS_DEFAULT_SERVER, MailServer},
    controllers::{glance::Glance, known::Known},
    runtime::{Name, lock},
};

/// The servers that are annotated as the default of their namespace.
#[derive(Debug, Default)]
pub struct Defaults(Mutex<BTreeSet<Name>>);

/// Whether an object is annotated as the default of its namespace.
#[must_use]
pub fn is_default(object: &impl ResourceExt) -> bool {
    object.annotations().get(IS_DEFAULT_SERVER).is_some_and(|value| value == "true")
}

impl Defaults {
    /// Takes note of a server. Returns who must look again, as it became or ceased to be a default.
    pub fn see(&self, object: &Glance<MailServer>) -> Vec<Name> {
        let (name, mut all) = (Name::of(object), lock(&self.0));
        let changed = if is_default(object) { all.insert(name.clone()) } else { all.remove(&name) };
        if changed { rivals(&all, &name) } else { Vec::new() }
    }

    /// A server is gone. Returns who must look again.
    pub fn forget(&self, name: &Name) -> Vec<Name> {
        let mut all = lock(&self.0);
        if all.remove(name) { rivals(&all, name) } else { Vec::new() }
    }

    /// An older server of the namespace that is annotated as its default, where `object` is too; of two with one age the
    /// first by name.
    #[must_use]
    pub fn older(&self, object: &MailServer, known: &Known<MailServer>) -> Option<String> {
        if !is_default(object) {
            return None;
        }
        let mine = (object.creation_timestamp(), object.name_any());
        let rivals = rivals(&lock(&self.0), &Name::of(object));
        let ages = rivals.iter().filter_map(|name| known.get(name));
        let eldest = ages.map(|object| (object.creation_timestamp(), object.name_any())).min();
        eldest.filter(|eldest| *eldest < mine).map(|(_, name)| name)
    }
}

/// The other defaults of the namespace.
fn rivals(all: &BTreeSet<Name>, of: &Name) -> Vec<Name> {
    all.iter().filter(|name| name.namespace == of.namespace && *name != of).cloned().collect()
}

#[cfg(test)]
mod tests {
    use kube::runtime::{
        reflector::{self, store::Writer},
        watcher::Event,
    };
    use serde_json::json;

    use super::*;

    fn default(name: &str, created: i64) -> Glance<MailServer> {
        let at = jiff::Timestamp::from_second(created).unwrap().to_string();
        let annotations = json!({IS_DEFAULT_SERVER: "true"});
        let metadata = json!({"name": name, "namespace": "mail", "creationTimestamp": at, "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata, "status": {"observedGeneration": 1}})).unwrap()
    }

    fn server(glance: &Glance<MailServer>) -> MailServer {
        let mut server = MailServer::new(&glance.name_any(), crate::api::v1alpha1::MailServerSpec::default());
        server.metadata = glance.metadata.clone();
        server
    }

    fn apply(defaults: &Defaults, writer: &mut Writer<Glance<MailServer>>, object: Glance<MailServer>) -> Vec<Name> {
        let again = defaults.see(&object);
        writer.apply_watcher_event(&Event::Apply(object));
        again
    }

    #[test]
    fn of_two_defaults_the_younger_one_hears_of_the_older_and_of_its_end() {
        let (store, mut writer) = reflector::store();
        let (known, defaults) = (Known::new(vec![store]), Defaults::default());
        assert!(apply(&defaults, &mut writer, default("young", 100)).is_empty());
        assert_eq!(apply(&defaults, &mut writer, default("old", 50)), [Name::new("mail", "young")]);
        assert_eq!(defaults.older(&server(&default("young", 100)), &known).as_deref(), Some("old"));
        assert_eq!(defaults.older(&server(&default("old", 50)), &known), None);
        writer.apply_watcher_event(&Event::Delete(default("old", 50)));
        assert_eq!(defaults.forget(&Name::new("mail", "old")), [Name::new("mail", "young")]);
        assert_eq!(defaults.older(&server(&default("young", 100)), &known), None);
    }
}
