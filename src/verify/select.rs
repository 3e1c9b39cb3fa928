//! Which actors a spec means: by name, by their labels, or the operator itself. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;

use crate::{
    api::{
        Reason,
        v1alpha1::{Actor, ActorRef, DEFAULT_ACTOR, NamespacesFrom},
    },
    mail::Diagnosis,
    verify::{
        References,
        sharing::{admits, selects},
    },
};

/// An actor of the installation.
#[derive(Clone, Debug)]
pub struct Known {
    /// The object.
    pub actor: Actor,
    /// Why it can be given no work now, if it cannot.
    pub away: Option<Diagnosis>,
}

/// An actor that an object means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: Option<String>,
    /// Why it can be given no work now, if it cannot.
    pub away: Option<Diagnosis>,
}

impl Chosen {
    /// An actor that is there, of no zone.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), zone: None, away: None }
    }
}

/// The actors that a spec means.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// By their names.
    pub named: Option<&'a [ActorRef]>,
    /// By their labels; instead of names.
    pub selector: Option<&'a LabelSelector>,
}

impl Wanted<'_> {
    /// The actors that are meant by an object of this namespace.
    ///
    /// # Errors
    /// `ActorNotFound`, `ActorNotPermitted`, `NoActorSelected`, or that they are not known.
    pub async fn find(self, namespace: &str, references: &dyn References) -> Result<Vec<Chosen>, Diagnosis> {
        if self.selector.is_none() && self.named.into_iter().flatten().all(|actor| actor.name == DEFAULT_ACTOR) {
            return self.among(&[], namespace, &BTreeMap::new());
        }
        let known = references.actors().await?;
        let labels = references.namespace_labels(namespace).await?;
        self.among(&known, namespace, &labels)
    }

    /// The same for namespace `me`, whose labels are `labels`, where these are known.
    fn among(self, known: &[Known], me: &str, labels: &BTreeMap<String, String>) -> Result<Vec<Chosen>, Diagnosis> {
        let find = |name: &str| known.iter().find(|known| known.actor.name_any() == name);
        // The built-in one needs no object, and nobody's leave: an object of its name only adds labels.
        let built_in = || {
            let zone = find(DEFAULT_ACTOR).and_then(|known| known.actor.spec.zone.clone());
            Chosen { zone, ..Chosen::new(DEFAULT_ACTOR) }
        };
        let permitted = |known: &Known| {
            let allowed = known.actor.spec.allowed_namespaces.as_ref();
            // An Actor is in no namespace: Same admits none.
            allowed.is_some_and(|allowed| allowed.from != NamespacesFrom::Same) && admits(allowed, "", me, labels)
        };
        let chosen = |known: &Known| Chosen {
            name: known.actor.name_any(),
            zone: known.actor.spec.zone.clone(),
            away: known.away.clone(),
        };
        if let Some(selector) = self.selector {
            let none = BTreeMap::new();
            let mut all: Vec<Chosen> = Vec::new();
            let own = find(DEFAULT_ACTOR).map_or(&none, |known| known.actor.labels());
            if selects(selector, own) {
                all.push(built_in());
            }
            let others = known.iter().filter(|known| known.actor.name_any() != DEFAULT_ACTOR);
            all.extend(others.filter(|known| selects(selector, known.actor.labels()) && permitted(known)).map(chosen));
            all.truncate(MOST);
            return if all.is_empty() { Err(Diagnosis::new(Reason::NoActorSelected)) } else { Ok(all) };
        }
        let Some(named) = self.named.filter(|named| !named.is_empty()) else { return Ok(vec![built_in()]) };
        named
            .iter()
            .map(|named| match find(&named.name) {
                _ if named.name == DEFAULT_ACTOR => Ok(built_in()),
                Some(known) if permitted(known) => Ok(chosen(known)),
                Some(_) => Err(Diagnosis::new(Reason::ActorNotPermitted)
                    .fact("name", named.name.as_str())
                    .fact("me", me)
                    .detail(format!("Actor {} is not for namespace {me}", named.name))),
                None => Err(Diagnosis::new(Reason::ActorNotFound)
                    .fact("name", named.name.as_str())
                    .detail(format!("there is no Actor {}", named.name))),
            })
            .collect()
    }
}

/// As many actors as a status has room for.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::v1alpha1::EmailProfileSpec;

    fn known(name: &str, labels: &Value, allowed: &Value) -> Known {
        let actor = json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "Actor", "metadata": {"name": name, "labels": labels},
            "spec": {"zone": name, "mode": "Agent", "taskNamespace": name, "allowedNamespaces": allowed},
        });
        Known { actor: serde_json::from_value(actor).unwrap(), away: None }
    }

    fn all() -> Vec<Known> {
        vec![
            known("dmz", &json!({"mailverity.dev/zone": "dmz"}), &json!({"from": "All"})),
            known("lan", &json!({"mailverity.dev/zone": "lan"}), &json!({"from": "Same"})),
        ]
    }

    fn chosen(rest: &Value) -> Result<Vec<String>, Reason> {
        let mut spec = json!({"address": "a@b.test", "protocol": "IMAP"});
        for (key, value) in rest.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let spec: EmailProfileSpec = serde_json::from_value(spec).unwrap();
        let wanted = Wanted { named: spec.actors.as_deref(), selector: spec.actor_selector.as_ref() };
        let chosen = wanted.among(&all(), "team", &BTreeMap::new());
        chosen.map(|all| all.into_iter().map(|one| one.name).collect()).map_err(|refused| refused.reason)
    }

    #[test]
    fn without_a_word_it_is_the_operator_itself() {
        assert_eq!(chosen(&json!({})).unwrap(), ["default"]);
        assert_eq!(chosen(&json!({"actors": [{"name": "default"}, {"name": "dmz"}]})).unwrap(), ["default", "dmz"]);
    }

    #[test]
    fn an_actor_that_is_not_there_or_not_for_this_namespace_is_named() {
        assert_eq!(chosen(&json!({"actors": [{"name": "moon"}]})), Err(Reason::ActorNotFound));
        assert_eq!(chosen(&json!({"actors": [{"name": "lan"}]})), Err(Reason::ActorNotPermitted));
    }

    #[test]
    fn a_selector_chooses_among_those_that_may_be_used() {
        let zone = |zone: &str| json!({"actorSelector": {"matchLabels": {"mailverity.dev/zone": zone}}});
        assert_eq!(chosen(&zone("dmz")).unwrap(), ["dmz"]);
        assert_eq!(chosen(&zone("lan")), Err(Reason::NoActorSelected));
        assert_eq!(chosen(&json!({"actorSelector": {}})).unwrap(), ["default", "dmz"]);
    }
}
