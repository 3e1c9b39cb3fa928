//! Which probes there are, by their ids: what is kept of each `RoundTripPolicy`. Pure.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use kube::ResourceExt;
use uuid::Uuid;

use crate::{
    api::v1alpha1::{PolicyRef, ProbeMessage, RoundTripPolicy, RoundTripPolicySpec},
    runtime::Name,
    verify::round_trip::matching::Expectation,
};

/// What is kept of a policy.
#[derive(Debug)]
pub(super) struct Policy {
    /// Which it is.
    pub reference: PolicyRef,
    /// Where its answers come to.
    pub receiver: Name,
    /// What an answer must be like.
    spec: RoundTripPolicySpec,
    /// The probe under way, and the From that it was sent with.
    in_flight: Option<(Uuid, String)>,
    /// Those that were settled.
    history: Vec<Uuid>,
}

/// A probe that a mail may be about.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    /// Whose it is.
    pub policy: Arc<Policy>,
    /// Its id.
    pub id: Uuid,
    /// It was settled already.
    pub is_late: bool,
}

impl Policy {
    /// What is to be kept; nothing of one whose answers come to a mailbox, or that has sent nothing.
    fn of(policy: &RoundTripPolicy) -> Option<Self> {
        let own = Name::of(policy);
        let receiver = policy.spec.receive.receiver_ref.as_ref()?;
        let status = policy.status.as_ref()?;
        let in_flight = status.in_flight.as_ref().and_then(|probe| Some((probe.id.parse().ok()?, probe.from.clone())));
        let history: Vec<Uuid> = status.history.iter().filter_map(|row| row.id.parse().ok()).collect();
        if in_flight.is_none() && history.is_empty() {
            return None;
        }
        let spec = &policy.spec;
        Some(Self {
            receiver: Name::new(receiver.namespace.as_deref().unwrap_or(&own.namespace), &receiver.name),
            reference: PolicyRef {
                uid: policy.uid().unwrap_or_default(),
                namespace: own.namespace.clone(),
                name: own.name.clone(),
            },
            spec: RoundTripPolicySpec {
                to: spec.to.clone(),
                from: spec.from.clone(),
                message: ProbeMessage { subject: None, body: spec.message.body.clone() },
                expect: spec.expect,
                matching: spec.matching.clone(),
                ..RoundTripPolicySpec::default()
            },
            in_flight,
            history,
        })
    }

    fn ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.in_flight.iter().map(|(id, _)| *id).chain(self.history.iter().copied())
    }
}

impl Probe {
    /// What an answer to it must be like. Of one that was settled it is not known any more what its From was, unless the spec
    /// says so.
    pub fn expectation(&self) -> Expectation {
        let policy = &self.policy;
        let sent = policy.in_flight.as_ref().filter(|(id, _)| *id == self.id).map(|(_, from)| from.as_str());
        Expectation::new(&policy.spec, self.id, sent.or(policy.spec.from.as_deref()).unwrap_or_default())
    }
}

/// All policies whose answers come to a receiver, and their probes.
#[derive(Debug, Default)]
pub(super) struct Probes {
    policies: HashMap<Name, Arc<Policy>>,
    by_id: HashMap<Uuid, Vec<Name>>,
}

impl Probes {
    /// A policy as it is now.
    pub fn set(&mut self, policy: &RoundTripPolicy) {
        let name = Name::of(policy);
        self.forget(&name);
        let Some(kept) = Policy::of(policy) else { return };
        for id in kept.ids() {
            let names = self.by_id.entry(id).or_default();
            if !names.contains(&name) {
                names.push(name.clone());
            }
        }
        self.policies.insert(name, Arc::new(kept));
    }

    /// A policy is gone.
    pub fn forget(&mut self, name: &Name) {
        let Some(policy) = self.policies.remove(name) else { return };
        for id in policy.ids() {
            if let Some(names) = self.by_id.get_mut(&id) {
                names.retain(|known| known != name);
                if names.is_empty() {
                    self.by_id.remove(&id);
                }
            }
        }
    }

    /// These are all policies of a namespace (none: of all).
    pub fn keep(&mut self, scope: Option<&str>, names: &BTreeSet<Name>) {
        let here = |name: &Name| scope.is_none_or(|scope| scope == name.namespace);
        let gone: Vec<Name> = self.policies.keys().filter(|name| here(name) && !names.contains(name)).cloned().collect();
        for name in &gone {
            self.forget(name);
        }
    }

    /// The first of these ids that is a probe's whose answers come to one of these receivers.
    pub fn find(&self, ids: &[Uuid], receivers: &BTreeSet<String>) -> Option<Probe> {
        ids.iter().find_map(|id| {
            let policies = self.by_id.get(id)?.iter().filter_map(|name| self.policies.get(name));
            let policy = policies.into_iter().find(|policy| receivers.contains(&policy.receiver.to_string()))?;
            let is_late = policy.in_flight.as_ref().is_none_or(|(flying, _)| flying != id);
            Some(Probe { policy: Arc::clone(policy), id: *id, is_late })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn uuid(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    fn policy(name: &str, receiver: &str, in_flight: Option<u8>, history: &[u8]) -> RoundTripPolicy {
        let row = |n: &u8| json!({"id": uuid(*n).to_string(), "sentAt": "2026-01-01T00:00:00Z", "result": "Succeeded"});
        let time = "2026-01-01T00:00:00.000000Z";
        let flying = in_flight
            .map(|n| json!({"id": uuid(n).to_string(), "attempt": 1, "claimedAt": time, "deadline": time, "from": "probe@corp.example"}));
        serde_json::from_value(json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "RoundTripPolicy",
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"to": "echo@partner.example", "message": {"body": "x"},
                "receive": {"receiverRef": {"name": receiver, "namespace": "mail"}}},
            "status": {"inFlight": flying, "history": history.iter().map(row).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    fn at(receiver: &str) -> BTreeSet<String> {
        BTreeSet::from([format!("mail/{receiver}")])
    }

    #[test]
    fn a_probe_is_found_by_its_id_where_its_answers_come_to() {
        let mut probes = Probes::default();
        probes.set(&policy("a", "inbound", Some(1), &[2]));
        let found = probes.find(&[uuid(9), uuid(1), uuid(2)], &at("inbound")).unwrap();
        assert_eq!((found.id, found.is_late, found.policy.reference.name.as_str()), (uuid(1), false, "a"));
        assert!(probes.find(&[uuid(2)], &at("inbound")).unwrap().is_late);
        assert!(probes.find(&[uuid(1)], &at("other")).is_none(), "another's receiver took it");
    }

    #[test]
    fn what_a_policy_was_is_forgotten_when_it_changes_or_goes() {
        let mut probes = Probes::default();
        probes.set(&policy("a", "inbound", Some(1), &[]));
        probes.set(&policy("a", "inbound", Some(3), &[1]));
        assert!(probes.find(&[uuid(1)], &at("inbound")).unwrap().is_late);
        probes.set(&policy("a", "inbound", Some(4), &[3]));
        assert!(probes.find(&[uuid(1)], &at("inbound")).is_none());
        probes.keep(Some("elsewhere"), &BTreeSet::new());
        assert!(probes.find(&[uuid(4)], &at("inbound")).is_some());
        probes.keep(Some("shop"), &BTreeSet::new());
        assert!(probes.policies.is_empty() && probes.by_id.is_empty());
    }
}
