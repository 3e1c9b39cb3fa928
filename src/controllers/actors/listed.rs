//! The actors as the watch tells of them. No I/O.

use std::collections::HashMap;

use kube::{
    ResourceExt,
    core::DynamicObject,
    runtime::watcher::{self, Event},
};

use crate::api::v1alpha1::Actor;

/// The actors by their names. Half a list makes none go, and one that cannot be read stays as it was.
#[derive(Default)]
pub struct Listed {
    /// All of them.
    pub all: HashMap<String, Actor>,
    /// Those of a list under way.
    coming: HashMap<String, Actor>,
    /// Whether a list has come to its end.
    pub is_complete: bool,
    /// Those that cannot be read as they are.
    unread: HashMap<String, Unread>,
}

/// An actor of a schema that is not ours.
#[derive(Clone, Debug)]
pub struct Unread {
    /// As it is.
    pub actor: DynamicObject,
    /// What the reader stumbled over.
    pub error: String,
    /// Whether it was told so.
    is_told: bool,
}

impl Listed {
    /// Takes note of an event.
    pub fn hear(&mut self, event: watcher::Event<DynamicObject>) {
        match event {
            Event::Init => self.coming.clear(),
            Event::InitApply(actor) => {
                let read = self.read(actor);
                self.coming.extend(read);
            }
            Event::InitDone => {
                self.all = std::mem::take(&mut self.coming);
                self.is_complete = true;
            }
            Event::Apply(actor) => {
                let read = self.read(actor);
                self.all.extend(read);
            }
            Event::Delete(actor) => {
                self.all.remove(&actor.name_any());
                self.unread.remove(&actor.name_any());
            }
        }
    }

    /// Those that cannot be read and were not told so yet.
    pub fn untold(&self) -> Vec<Unread> {
        self.unread.values().filter(|unread| !unread.is_told).cloned().collect()
    }

    /// That this one was told so.
    pub fn told(&mut self, name: &str) {
        if let Some(unread) = self.unread.get_mut(name) {
            unread.is_told = true;
        }
    }

    fn read(&mut self, actor: DynamicObject) -> Option<(String, Actor)> {
        let name = actor.name_any();
        match actor.clone().try_parse::<Actor>() {
            Ok(actor) => {
                self.unread.remove(&name);
                Some((name, actor))
            }
            Err(error) => {
                let error = error.to_string();
                let same = |known: &Unread| known.error == error && known.actor.metadata.generation == actor.metadata.generation;
                // Our own telling comes back as an event.
                let is_told = self.unread.get(&name).is_some_and(|known| known.is_told && same(known));
                self.unread.insert(name.clone(), Unread { actor, error, is_told });
                self.all.get(&name).cloned().map(|before| (name, before))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn actor(name: &str, spec: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "Actor", "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap()
    }

    fn fine(name: &str) -> DynamicObject {
        actor(name, &json!({"zone": name}))
    }

    /// One of a version that is not ours.
    fn unreadable(name: &str) -> DynamicObject {
        let strange = actor(name, &json!({"mode": "Telepathy"}));
        assert!(strange.clone().try_parse::<Actor>().is_err());
        strange
    }

    fn names(listed: &Listed) -> Vec<&str> {
        let mut names: Vec<&str> = listed.all.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// `dmz` and `lan`, as the first list told of them.
    fn listed() -> Listed {
        let mut listed = Listed::default();
        for event in [Event::Init, Event::InitApply(fine("dmz")), Event::InitApply(fine("lan")), Event::InitDone] {
            assert!(!listed.is_complete && names(&listed).is_empty());
            listed.hear(event);
        }
        listed
    }

    #[test]
    fn half_a_list_makes_no_actor_go() {
        let mut listed = listed();
        // The connection is lost in the middle, and the list begins anew.
        for event in [Event::Init, Event::InitApply(fine("new")), Event::Init, Event::InitApply(fine("lan"))] {
            listed.hear(event);
            assert_eq!((names(&listed), listed.is_complete), (vec!["dmz", "lan"], true));
        }
        listed.hear(Event::InitDone);
        assert_eq!(names(&listed), ["lan"], "what only the half list named is not known");
    }

    #[test]
    fn one_that_cannot_be_read_stays_as_it_was_and_takes_no_other_with_it() {
        let mut listed = listed();
        for event in [Event::Init, Event::InitApply(unreadable("dmz")), Event::InitApply(fine("lan")), Event::InitDone] {
            listed.hear(event);
        }
        listed.hear(Event::Apply(unreadable("lan")));
        listed.hear(Event::Apply(unreadable("new")));
        assert_eq!(names(&listed), ["dmz", "lan"]);
        assert_eq!(listed.all["dmz"].spec.zone.as_deref(), Some("dmz"));
        listed.hear(Event::Delete(unreadable("dmz")));
        assert_eq!(names(&listed), ["lan"], "it is gone, whatever it was");
    }

    #[test]
    fn one_that_cannot_be_read_is_told_once_and_again_when_it_changes() {
        let mut listed = listed();
        let unread = |generation: i64| {
            let mut actor = unreadable("dmz");
            actor.metadata.generation = Some(generation);
            Event::Apply(actor)
        };
        listed.hear(unread(2));
        assert_eq!(listed.untold().len(), 1);
        assert_eq!(listed.untold().len(), 1, "the telling may have failed");
        listed.told("dmz");
        listed.hear(unread(2));
        assert!(listed.untold().is_empty(), "it was told");
        listed.hear(unread(3));
        assert_eq!(listed.untold().len(), 1, "it is another spec");
        listed.hear(unread(4));
        listed.hear(Event::Apply(fine("dmz")));
        assert!(listed.untold().is_empty(), "it can be read");
    }
}
