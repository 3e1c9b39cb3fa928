//! What is kept of each `MailReceiver`: who has a domain, who says that it listens, and how looks went. It knows no cluster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    api::v1alpha1::{ListenerStatus, MailReceiver},
    controllers::glance::Glance,
    mail::domain::canonical,
    runtime::Name,
    verify::mail_receiver::domains::{Age, owners},
};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Standings(BTreeMap<Name, Standing>);

#[derive(Debug)]
struct Standing {
    uid: String,
    age: Age,
    domains: Box<[Box<str>]>,
    listeners: Box<[ListenerStatus]>,
    /// When this process first looked at it.
    noticed: Option<Timestamp>,
    /// Looks in a row that came to nothing.
    failures: u32,
}

impl Standings {
    /// The watch brought this object. Returns who must look again: itself where its listeners changed, and those who name one of
    /// its domains where these changed.
    pub fn see(&mut self, object: &Glance<MailReceiver>) -> BTreeSet<Name> {
        let name = Name::of(object);
        let new = Standing {
            uid: object.uid().unwrap_or_default(),
            age: (object.creation_timestamp().map_or(Timestamp::MAX, |made| made.0), name.namespace.clone(), name.name.clone()),
            domains: object.domains().into(),
            listeners: object.status.listeners.clone(),
            noticed: None,
            failures: 0,
        };
        let mut again = BTreeSet::new();
        let before = self.0.remove(&name).filter(|before| before.uid == new.uid);
        if before.as_ref().is_none_or(|before| before.listeners != new.listeners) {
            again.insert(name.clone());
        }
        if before.as_ref().is_none_or(|before| before.domains != new.domains) {
            again.extend(self.sharing(before.iter().flat_map(|before| before.domains.iter()).chain(&new.domains)));
        }
        let kept = before.map_or((None, 0), |before| (before.noticed, before.failures));
        self.0.insert(name, Standing { noticed: kept.0, failures: kept.1, ..new });
        again
    }

    /// This object is gone. Returns those who name one of its domains.
    pub fn forget(&mut self, name: &Name) -> BTreeSet<Name> {
        let gone = self.0.remove(name);
        self.sharing(gone.iter().flat_map(|gone| gone.domains.iter()))
    }

    /// The domains of this object that an older one has, with that one's name.
    pub fn rivals(&self, name: &Name) -> Vec<(String, String)> {
        let Some(me) = self.0.get(name) else { return Vec::new() };
        let owners = owners(self.0.values().map(|one| (one.age.clone(), &*one.domains)));
        let lost = me.domains.iter().filter_map(|domain| {
            let (_, namespace, name) = owners.get(canonical(domain).as_ref()).filter(|owner| **owner != me.age)?;
            Some((domain.to_string(), format!("{namespace}/{name}")))
        });
        lost.collect()
    }

    /// When this process first looked at it: now, if it never did.
    pub fn noticed(&mut self, name: &Name, now: Timestamp) -> Timestamp {
        self.0.get_mut(name).map_or(now, |one| *one.noticed.get_or_insert(now))
    }

    /// A look has ended. Returns how many in a row came to nothing.
    pub fn looked(&mut self, name: &Name, to_nothing: bool) -> u32 {
        let Some(one) = self.0.get_mut(name) else { return 0 };
        one.failures = if to_nothing { one.failures.saturating_add(1) } else { 0 };
        one.failures
    }

    /// How many looks in a row came to nothing.
    pub fn failures(&self, name: &Name) -> u32 {
        self.0.get(name).map_or(0, |one| one.failures)
    }

    fn sharing<'a>(&self, domains: impl Iterator<Item = &'a Box<str>>) -> BTreeSet<Name> {
        let forms: BTreeSet<_> = domains.map(|domain| canonical(domain)).collect();
        let shares = |one: &Standing| one.domains.iter().any(|domain| forms.contains(&canonical(domain)));
        self.0.iter().filter(|(_, one)| shares(one)).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn glance(name: &str, second: i64, domains: &[&str], pods: &[&str]) -> Glance<MailReceiver> {
        let listener = |pod: &&str| json!({"pod": pod, "address": "0.0.0.0:2525", "generation": 1});
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "mail", "uid": name,
                "creationTimestamp": Timestamp::from_second(second).unwrap().to_string()},
            "spec": {"domains": domains},
            "status": {"listeners": pods.iter().map(listener).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    fn names(all: &BTreeSet<Name>) -> Vec<&str> {
        all.iter().map(|name| name.name.as_str()).collect()
    }

    #[test]
    fn who_has_a_domain_changes_with_those_who_come_and_go() {
        let mut standings = Standings::default();
        standings.see(&glance("b", 5, &["One.test"], &[]));
        assert_eq!(names(&standings.see(&glance("c", 6, &["one.TEST", "two.test"], &[]))), ["b", "c"]);
        assert_eq!(standings.rivals(&Name::new("mail", "c")), [("one.TEST".to_owned(), "mail/b".to_owned())]);
        assert!(standings.rivals(&Name::new("mail", "b")).is_empty());
        assert_eq!(names(&standings.forget(&Name::new("mail", "b"))), ["c"]);
        assert!(standings.rivals(&Name::new("mail", "c")).is_empty());
    }

    #[test]
    fn a_receiver_that_comes_or_goes_wakes_its_object_and_nothing_else_does() {
        let mut standings = Standings::default();
        standings.see(&glance("a", 5, &["one.test"], &[]));
        assert!(standings.see(&glance("a", 5, &["one.test"], &[])).is_empty());
        assert_eq!(names(&standings.see(&glance("a", 5, &["one.test"], &["pod-1"]))), ["a"]);
        let (name, now) = (Name::new("mail", "a"), Timestamp::UNIX_EPOCH);
        assert_eq!(standings.noticed(&name, now), now);
        standings.looked(&name, true);
        standings.see(&glance("a", 5, &["one.test"], &[]));
        assert_eq!((standings.noticed(&name, Timestamp::MAX), standings.failures(&name)), (now, 1), "it is remembered");
    }
}
