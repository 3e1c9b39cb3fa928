//! Which objects of a kind name which objects of others: who must look again when one of those changes. It knows names and
//! nothing else; [`super::term::Term::changed`] asks it.

use std::sync::Mutex;

use crate::runtime::{Name, Who, links::Links, lock};

/// What each object of one kind names of other kinds.
#[derive(Debug, Default)]
pub struct Dependents(Mutex<Links<Name, Who>>);

impl Dependents {
    /// `object` names these, and nothing else any more. To be said before they are read, or a change in between would be
    /// missed. They need not exist: their coming is a change, too.
    /// Returns those who are named since now, or no more.
    pub fn set(&self, object: &Name, others: impl IntoIterator<Item = Who>) -> Vec<Who> {
        lock(&self.0).set(object, others)
    }

    /// `object` is gone. Returns those who were named by it.
    pub fn forget(&self, object: &Name) -> Vec<Who> {
        self.set(object, [])
    }

    /// The objects that name `other`.
    #[must_use]
    pub fn of(&self, other: &Who) -> Vec<Name> {
        lock(&self.0).naming(other).cloned().collect()
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
        dependents.set(&profile("a"), [server("relay")]);
        dependents.set(&profile("b"), [server("relay"), server("other")]);
        assert_eq!(dependents.of(&server("relay")), [profile("a"), profile("b")]);
        assert_eq!(dependents.of(&server("other")), [profile("b")]);
        assert!(dependents.of(&Who::new("Actor", Name::new("mail", "relay"))).is_empty(), "another kind is another thing");
    }

    #[test]
    fn what_is_no_longer_named_is_forgotten() {
        let dependents = Dependents::default();
        dependents.set(&profile("a"), [server("relay")]);
        dependents.set(&profile("a"), [server("other")]);
        assert!(dependents.of(&server("relay")).is_empty());
        assert_eq!(dependents.forget(&profile("a")), [server("other")]);
        assert!(dependents.of(&server("other")).is_empty());
    }
}
