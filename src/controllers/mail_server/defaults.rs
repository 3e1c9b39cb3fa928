//! Which servers claim to be their namespace's default, and who must look again when one begins or ceases to.

use std::{collections::BTreeSet, sync::Mutex};

use kube::ResourceExt;

use crate::{
    api::v1alpha1::MailServer,
    controllers::{glance::Glance, known::Known},
    runtime::{Name, lock, references::is_default},
};

/// The servers that are annotated as the default of their namespace.
#[derive(Debug, Default)]
pub struct Defaults(Mutex<BTreeSet<Name>>);

impl Defaults {
    /// Takes note of a server. Returns its rivals, if it became or ceased to be a default.
    pub fn see(&self, object: &Glance<MailServer>) -> Option<Vec<Name>> {
        let (name, mut all) = (Name::of(object), lock(&self.0));
        let changed = if is_default(object) { all.insert(name.clone()) } else { all.remove(&name) };
        changed.then(|| rivals(&all, &name))
    }

    /// A server is gone. Returns its rivals, if it was a default.
    pub fn forget(&self, name: &Name) -> Option<Vec<Name>> {
        let mut all = lock(&self.0);
        all.remove(name).then(|| rivals(&all, name))
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
    use crate::api::v1alpha1::IS_DEFAULT_SERVER;

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

    fn apply(defaults: &Defaults, writer: &mut Writer<Glance<MailServer>>, object: Glance<MailServer>) -> Option<Vec<Name>> {
        let again = defaults.see(&object);
        writer.apply_watcher_event(&Event::Apply(object));
        again
    }

    #[test]
    fn of_two_defaults_the_younger_one_hears_of_the_older_and_of_its_end() {
        let (store, mut writer) = reflector::store();
        let (known, defaults) = (Known::new(vec![store]), Defaults::default());
        assert_eq!(apply(&defaults, &mut writer, default("young", 100)), Some(Vec::new()));
        assert_eq!(apply(&defaults, &mut writer, default("young", 100)), None, "nothing changed");
        assert_eq!(apply(&defaults, &mut writer, default("old", 50)), Some(vec![Name::new("mail", "young")]));
        assert_eq!(defaults.older(&server(&default("young", 100)), &known).as_deref(), Some("old"));
        assert_eq!(defaults.older(&server(&default("old", 50)), &known), None);
        writer.apply_watcher_event(&Event::Delete(default("old", 50)));
        assert_eq!(defaults.forget(&Name::new("mail", "old")), Some(vec![Name::new("mail", "young")]));
        assert_eq!(defaults.older(&server(&default("young", 100)), &known), None);
    }
}
