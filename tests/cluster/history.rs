//! Every version that an object had, as a watch saw them, and what must hold of each and from one to the next.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::TryStreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
};
use mailverity::api::v1alpha1::{EmailProfile, MailServer};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::support::{cluster::Cluster, leaks};

/// What the status of every kind has.
pub trait Told: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize + Send + 'static {
    /// status.observedGeneration.
    fn observed(&self) -> Option<i64>;
    /// status.conditions.
    fn conditions(&self) -> &[Condition];
    /// The objects of a test.
    fn all(cluster: &Cluster) -> Api<Self>;
    /// Its rights to send: the id of each, and all of it.
    fn claims(&self) -> Vec<(String, Value)>;
}

impl Told for MailServer {
    fn observed(&self) -> Option<i64> {
        self.status.as_ref()?.observed_generation
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    fn all(cluster: &Cluster) -> Api<Self> {
        cluster.servers()
    }

    fn claims(&self) -> Vec<(String, Value)> {
        let claim = self.status.as_ref().and_then(|status| status.claim.as_ref());
        claim.map(|claim| (claim.id.clone(), serde_json::to_value(claim).unwrap())).into_iter().collect()
    }
}

impl Told for EmailProfile {
    fn observed(&self) -> Option<i64> {
        self.status.as_ref()?.observed_generation
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    fn all(cluster: &Cluster) -> Api<Self> {
        cluster.profiles()
    }

    fn claims(&self) -> Vec<(String, Value)> {
        let claims = self.status.iter().flat_map(|status| &status.claims);
        claims
            .map(|claim| (format!("{}/{}/{}", claim.id, claim.actor, claim.attempt), serde_json::to_value(claim).unwrap()))
            .collect()
    }
}

/// The versions of all objects of a kind in a namespace, from now on.
pub struct History<K> {
    seen: Arc<Mutex<Vec<K>>>,
    watch: tokio::task::JoinHandle<()>,
}

impl<K: Told> History<K> {
    pub async fn of(cluster: &Cluster) -> Self {
        let api = K::all(cluster);
        let mut from = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap_or_default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            // A watch ends where kinds are installed anew; the next one begins where it ended.
            loop {
                let Ok(events) = api.watch(&WatchParams::default(), &from).await else { continue };
                let mut events = std::pin::pin!(events);
                while let Ok(Some(event)) = events.try_next().await {
                    assert!(!matches!(event, WatchEvent::Error(_)), "versions are missed: {event:?}");
                    if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                        from = object.resource_version().unwrap();
                        kept.lock().unwrap().push(object);
                    }
                }
            }
        });
        Self { seen, watch }
    }

    /// The versions of one object, once the watch has brought the one that is stored now.
    pub async fn versions(&self, cluster: &Cluster, name: &str) -> Vec<K> {
        let last = K::all(cluster).get(name).await.unwrap().resource_version();
        for _ in 0..200 {
            let all: Vec<K> = self.seen.lock().unwrap().iter().filter(|s| s.name_any() == name).cloned().collect();
            if all.iter().any(|object| object.resource_version() == last) {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the watch never brought {name} {last:?}");
    }

    /// Asserts what must hold of every version; the steps in short, for a reader.
    pub async fn is_sound(&self, cluster: &Cluster, name: &str) -> Vec<String> {
        let versions = self.versions(cluster, name).await;
        for object in &versions {
            is_sound(object);
        }
        for pair in versions.windows(2) {
            follows(&pair[0], &pair[1]);
        }
        versions.iter().map(|object| step(object)).collect()
    }
}

impl<K> Drop for History<K> {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn find<'a>(object: &'a impl Told, kind: &str) -> Option<&'a Condition> {
    object.conditions().iter().find(|c| c.type_ == kind)
}

fn step(object: &impl Told) -> String {
    let told = |kind| find(object, kind).map(|c| format!(" {kind}={} {}", c.status, c.reason)).unwrap_or_default();
    let kinds: String = ["Ready", "Reconciling", "Stalled", "Suspended"].into_iter().map(told).collect();
    format!("{}/{}{kinds}", object.observed().unwrap_or(-9), object.meta().generation.unwrap_or(-9))
}

fn is_sound(object: &impl Told) {
    let at = step(object);
    let status = serde_json::to_value(object).unwrap()["status"].take();
    let text = status.to_string();
    leaks::none_in("a version's status", &text);
    assert!(text.len() < 32 * 1024, "{at}: {} bytes", text.len());
    let (generation, observed, conditions) = (object.meta().generation.unwrap(), object.observed(), object.conditions());
    assert!(observed.unwrap() <= generation, "{at}");
    let kinds: HashSet<&str> = conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(kinds.len(), conditions.len(), "{at}: a type stands twice");
    for condition in conditions {
        assert!(condition.observed_generation.unwrap() <= generation, "{at}: {condition:?}");
        assert!(["True", "False", "Unknown"].contains(&condition.status.as_str()), "{at}: {condition:?}");
        assert!(!condition.reason.is_empty() && condition.message.chars().count() <= 1024, "{at}: {condition:?}");
        assert!(!condition.message.chars().any(char::is_control), "{at}: {condition:?}");
    }
    let is = |kind, value| find(object, kind).is_some_and(|c| c.status == value);
    assert!(!(kinds.contains("Reconciling") && kinds.contains("Stalled")), "{at}: kstatus takes the first in the list");
    assert!(!is("Stalled", "True") || is("Ready", "False"), "{at}: stalled and yet ready");
    assert!(!is("Suspended", "True") || !kinds.contains("Ready"), "{at}: kstatus would wait for ever");
    for passing in ["Reconciling", "Stalled", "Suspended", "Degraded", "CredentialHeld", "CertificateExpiring"] {
        assert!(!kinds.contains(passing) || is(passing, "True"), "{at}: {passing} stands there only while it is True");
    }
    let judged = find(object, "Verified").and_then(|c| c.observed_generation) == Some(generation);
    let settled = is("Suspended", "True") || is("Stalled", "True") || is("Reconciling", "True");
    assert!(observed != Some(generation) || judged || settled, "{at}: looks current and is not judged");
    assert!(status["usedBy"].as_i64().is_none_or(|users| users >= 0), "{at}");
    assert!(status["actors"].as_array().is_none_or(|actors| actors.len() <= 32), "{at}");
}

fn follows<K: Told>(before: &K, after: &K) {
    let at = format!("{} → {}", step(before), step(after));
    if before.uid() != after.uid() {
        return;
    }
    assert!(before.observed() <= after.observed(), "{at}: observedGeneration went back");
    for condition in after.conditions() {
        let Some(was) = find(before, &condition.type_) else { continue };
        let (then, now) = (was.last_transition_time.0, condition.last_transition_time.0);
        if was.status == condition.status {
            assert_eq!(then, now, "{at}: {} moved its time and not its value", condition.type_);
        } else {
            assert!(then <= now, "{at}: {} went back in time", condition.type_);
        }
    }
    for (id, is) in after.claims() {
        if let Some((_, was)) = before.claims().into_iter().find(|(known, _)| *known == id) {
            assert_eq!(was, is, "{at}: a claim changed");
        }
    }
}
