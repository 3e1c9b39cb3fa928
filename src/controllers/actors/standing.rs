//! The status of an Actor, from what was found of it. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::{
    api::{
        Reason,
        v1alpha1::{Actor, ActorMode, ActorObjectStatus, State, condition as c},
    },
    mail::Diagnosis,
    runtime::roster::Addresses,
    verify::{
        conditions::{Conditions, Truth},
        halt::{Halt, whole_seconds},
        task::Presence,
    },
};

/// What was found of an actor.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The value of its task namespace's label, empty if it has none; none where there is no such namespace.
    pub label: Option<String>,
    /// An older actor with the same task namespace.
    pub rival: Option<String>,
    /// Why it can be given no work.
    pub away: Option<Diagnosis>,
    /// What its agent says of itself.
    pub about: Presence,
    /// The addresses that it connects from, as far as they are known since this process leads.
    pub addresses: Addresses,
}

impl Found {
    /// Whether the task namespace is this actor's.
    #[must_use]
    pub fn fits(&self, actor: &str) -> bool {
        self.label.as_deref() == Some(actor) && self.rival.is_none()
    }
}

/// The status that follows.
#[must_use]
pub fn status(actor: &Actor, found: &Found, now: Timestamp) -> ActorObjectStatus {
    let old = actor.status.clone().unwrap_or_default();
    let generation = actor.metadata.generation.unwrap_or_default();
    let mut conditions = Conditions::new(&old.conditions, generation, whole_seconds(now));
    let (name, namespace) = (actor.name_any(), actor.spec.task_namespace.clone().unwrap_or_default());
    let fault = (actor.spec.mode == ActorMode::Agent).then(|| match (&found.rival, found.label.as_deref()) {
        (Some(rival), _) => Some(
            Diagnosis::new(Reason::Conflict)
                .fact("other", format!("Actor {rival}"))
                .fact("value", format!("taskNamespace {namespace}")),
        ),
        (None, None) => Some(missing(format!("there is no namespace {namespace}"))),
        (None, Some(label)) if label != name => Some(missing(format!(
            "namespace {namespace} lacks the label mailverity.dev/actor={name}, by which it is given to this Actor"
        ))),
        _ => None,
    });
    let before = conditions.get(c::READY).map(|ready| (ready.status.clone(), ready.reason.clone()));
    let unfit = fault.flatten().or_else(|| found.away.clone());
    if let Some(diagnosis) = &unfit {
        conditions.tell(c::READY, Truth::False, diagnosis);
    } else {
        let agent = actor.spec.mode == ActorMode::Agent;
        conditions.holds(c::READY, if agent { "Its agent shows signs of life." } else { "It is the operator itself." });
    }
    let suspended = unfit.as_ref().is_some_and(|unfit| unfit.reason == Reason::ActorSuspended);
    conditions.kstatus(before.clone(), unfit.map(|diagnosis| diagnosis.class), false);
    let halt = Halt { diagnosis: Diagnosis::new(Reason::Suspended), until: None, state: State::Suspended };
    conditions.halted(suspended.then_some(&halt));
    match found.about.in_one_subnet() {
        Some(interfaces) => {
            let shared = Diagnosis::new(Reason::MultiHomedSameSubnet).fact("interfaces", interfaces);
            conditions.tell(c::DEGRADED, Truth::True, &shared);
        }
        None => conditions.drop(c::DEGRADED),
    }
    // Told only where it could not be read.
    conditions.drop(c::ACCEPTED);
    let conditions = conditions.finish();
    let turned = before.map(|(status, _)| status) != conditions.iter().find(|c| c.type_ == "Ready").map(|c| c.status.clone());
    let last_seen_time = if turned { Some(Time(whole_seconds(now))) } else { old.last_seen_time };
    let told = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    ActorObjectStatus {
        observed_generation: Some(generation),
        conditions,
        version: told(&found.about.version),
        pod_name: told(&found.about.pod),
        node_name: found.about.node.clone(),
        interfaces: found.about.interfaces.clone(),
        source_ips: known(&found.addresses.sources).unwrap_or(old.source_ips),
        observed_ips: known(&found.addresses.observed).unwrap_or(old.observed_ips),
        last_seen_time,
    }
}

/// Addresses, where any are known.
fn known(addresses: &BTreeSet<String>) -> Option<Vec<String>> {
    Some(addresses.iter().cloned().collect()).filter(|addresses: &Vec<String>| !addresses.is_empty())
}

/// Whether the status of an actor speaks of its spec as it is.
#[must_use]
pub fn is_told(actor: &Actor) -> bool {
    let status = actor.status.as_ref();
    status.is_some_and(|status| status.observed_generation == actor.metadata.generation && !status.conditions.is_empty())
}

/// Whether a status is worth writing.
#[must_use]
pub fn differs(old: &ActorObjectStatus, new: &ActorObjectStatus) -> bool {
    old != new
}

fn missing(fault: String) -> Diagnosis {
    Diagnosis::new(Reason::SpecInvalid).detail(fault.clone()).fact("fault", fault)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ready(found: &Found) -> (String, String) {
        let actor: Actor = serde_json::from_value(json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "Actor", "metadata": {"name": "dmz", "generation": 3},
            "spec": {"mode": "Agent", "taskNamespace": "mail-actor-dmz"},
        }))
        .unwrap();
        let status = status(&actor, found, Timestamp::UNIX_EPOCH);
        assert_eq!(status.observed_generation, Some(3));
        let ready = status.conditions.iter().find(|c| c.type_ == c::READY).unwrap().clone();
        (ready.status, ready.reason)
    }

    #[test]
    fn two_interfaces_in_one_subnet_are_told_as_long_as_they_are_there() {
        let mut actor: Actor = serde_json::from_value(json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "Actor", "metadata": {"name": "dmz"}, "spec": {},
        }))
        .unwrap();
        let mut degraded = |interfaces: &[&str]| {
            let about = Presence { interfaces: interfaces.iter().map(|&line| line.to_owned()).collect(), ..Presence::default() };
            let status = status(&actor, &Found { about, ..Found::default() }, Timestamp::UNIX_EPOCH);
            let degraded =
                status.conditions.iter().find(|c| c.type_ == c::DEGRADED).map(|c| (c.reason.clone(), c.message.clone()));
            actor.status = Some(status);
            degraded
        };
        let (reason, message) = degraded(&["eth0 10.0.0.7/24", "eth1 10.0.0.8/24"]).unwrap();
        assert_eq!(reason, "MultiHomedSameSubnet");
        assert!(message.contains("eth0 10.0.0.7/24 and eth1 10.0.0.8/24"), "{message}");
        assert_eq!(degraded(&["eth0 10.0.0.7/24"]), None);
    }

    #[test]
    fn a_suspended_actor_is_not_waited_for() {
        let mut actor: Actor = serde_json::from_value(json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "Actor", "metadata": {"name": "dmz"}, "spec": {},
        }))
        .unwrap();
        let mut told = |away: Option<Reason>| {
            let status = status(&actor, &Found { away: away.map(Diagnosis::new), ..Found::default() }, Timestamp::UNIX_EPOCH);
            let told: Vec<_> = status.conditions.iter().map(|c| format!("{}={}", c.type_, c.status)).collect();
            actor.status = Some(status);
            told.join(" ")
        };
        assert_eq!(told(None), "Ready=True");
        assert_eq!(told(Some(Reason::ActorSuspended)), "Suspended=True");
        assert_eq!(told(None), "Ready=True");
    }

    #[test]
    fn a_task_namespace_must_say_whose_it_is() {
        let fine = Found { label: Some("dmz".to_owned()), ..Found::default() };
        assert_eq!(ready(&fine), ("True".to_owned(), "Succeeded".to_owned()));
        for (found, reason) in [
            (Found { label: None, ..fine.clone() }, "SpecInvalid"),
            (Found { label: Some("other".to_owned()), ..fine.clone() }, "SpecInvalid"),
            (Found { rival: Some("older".to_owned()), ..fine.clone() }, "Conflict"),
            (Found { away: Some(Diagnosis::new(Reason::ActorOffline)), ..fine.clone() }, "ActorOffline"),
        ] {
            assert_eq!(ready(&found), ("False".to_owned(), reason.to_owned()));
        }
    }
}
