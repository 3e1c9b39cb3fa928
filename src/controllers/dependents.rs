//! Which objects of a kind name which objects of others: who must look again when one of those changes. It knows names and
//! nothing else; [`super::term::Term::changed`] asks it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Mutex,
};

use crate::runtime::{Name, Who, lock};

/// What each object of one kind names of other kinds.
#[derive(Debug, Default)]
pub struct Dependents(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    on: HashMap<Who, BTreeSet<Name>>,
    by: HashMap<Name, BTreeSet<Who>>,
}

impl Dependents {
    /// `object` names these, and nothing else any more. To be said before they are read, or a change in between would be
    /// missed. They need not exist: their coming is a change, too.
    /// Returns those who are named since now, or no more.
    pub fn set(&self, object: &Name, others: BTreeSet<Who>) -> Vec<Who> {
        let mut state = lock(&self.0);
        let known = state.by.get(object).cloned().unwrap_or_default();
        let news: Vec<Who> = known.symmetric_difference(&others).cloned().collect();
        if news.is_empty() {
            return news;
        }
        state.forget(object);
        for other in &others {
            state.on.entry(other.clone()).or_default().insert(object.clone());
        }
        if !others.is_empty() {
            state.by.insert(object.clone(), others);
        }
        news
    }

    /// `object` is gone. Returns those who were named by it.
    pub fn forget(&self, object: &Name) -> Vec<Who> {
        self.set(object, BTreeSet::new())
    }

    /// The objects that name `other`.
    #[must_use]
    pub fn of(&self, other: &Who) -> Vec<Name> {
        lock(&self.0).on.get(other).into_iter().flatten().cloned().collect()
    }
}

impl State {
    fn forget(&mut self, object: &Name) {
        for other in self.by.remove(object).unwrap_or_default() {
            if let Some(names) = self.on.get_mut(&other) {
                names.remove(object);
                if names.is_empty() {
                    self.on.remove(&other);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> Who {
        Who::new("MailServer", Name::new("mail", name))
    }

    fn profile(name: &str) -> Name {
        Name::new("team", name)
    }

    #[test]
    fn those_who_name_an_object_are_found_and_nobody_else() {
        let dependents = Dependents::default();
        dependents.set(&profile("a"), BTreeSet::from([server("relay")]));
        dependents.set(&profile("b"), BTreeSet::from([server("relay"), server("other")]));
        assert_eq!(dependents.of(&server("relay")), [profile("a"), profile("b")]);
        assert_eq!(dependents.of(&server("other")), [profile("b")]);
        assert!(dependents.of(&Who::new("Actor", Name::new("mail", "relay"))).is_empty(), "another kind is another thing");
    }

    #[test]
    fn what_is_no_longer_named_is_forgotten() {
        let dependents = Dependents::default();
        dependents.set(&profile("a"), BTreeSet::from([server("relay")]));
        dependents.set(&profile("a"), BTreeSet::from([server("other")]));
        assert!(dependents.of(&server("relay")).is_empty());
        dependents.forget(&profile("a"));
        let state = lock(&dependents.0);
        assert!(state.on.is_empty() && state.by.is_empty());
    }
}
