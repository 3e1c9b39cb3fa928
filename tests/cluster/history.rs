//! Every version that an object had, as a watch saw them, and what must hold of each and from one to the next.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::TryStreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
};
use mailverity::api::v1alpha1::{MailServer, MailServerStatus};

use super::support::{cluster::Cluster, leaks};

/// The versions of all `MailServers` of a namespace, from now on.
pub struct History {
    seen: Arc<Mutex<Vec<MailServer>>>,
    watch: tokio::task::JoinHandle<()>,
}

impl History {
    pub async fn of(cluster: &Cluster) -> Self {
        let api = cluster.servers();
        let from = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap_or_default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            let events = api.watch(&WatchParams::default().timeout(290), &from).await.unwrap();
            let keep = |event| {
                if let WatchEvent::Added(server) | WatchEvent::Modified(server) = event {
                    kept.lock().unwrap().push(server);
                }
                std::future::ready(Ok(()))
            };
            events.try_for_each(keep).await.unwrap();
        });
        Self { seen, watch }
    }

    /// The versions of one object, once the watch has brought the one that is stored now.
    pub async fn versions(&self, cluster: &Cluster, name: &str) -> Vec<MailServer> {
        let last = cluster.servers().get(name).await.unwrap().resource_version();
        for _ in 0..200 {
            let all: Vec<MailServer> = self.seen.lock().unwrap().iter().filter(|s| s.name_any() == name).cloned().collect();
            if all.iter().any(|server| server.resource_version() == last) {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the watch never brought {name} {last:?}");
    }

    /// Asserts what must hold of every version; the steps in short, for a reader.
    pub async fn is_sound(&self, cluster: &Cluster, name: &str) -> Vec<String> {
        let versions = self.versions(cluster, name).await;
        for server in &versions {
            is_sound(server);
        }
        for pair in versions.windows(2) {
            follows(&pair[0], &pair[1]);
        }
        versions.iter().map(step).collect()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn status(server: &MailServer) -> MailServerStatus {
    server.status.clone().unwrap_or_default()
}

fn find<'a>(status: &'a MailServerStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|c| c.type_ == kind)
}

fn step(server: &MailServer) -> String {
    let status = status(server);
    let told = |kind| find(&status, kind).map(|c| format!(" {kind}={} {}", c.status, c.reason)).unwrap_or_default();
    let kinds: String = ["Ready", "Reconciling", "Stalled", "Suspended"].into_iter().map(told).collect();
    format!("{}/{}{kinds}", status.observed_generation.unwrap_or(-9), server.metadata.generation.unwrap_or(-9))
}

fn is_sound(server: &MailServer) {
    let (at, status) = (step(server), status(server));
    let text = serde_json::to_string(&status).unwrap();
    leaks::none_in("a version's status", &text);
    assert!(text.len() < 32 * 1024, "{at}: {} bytes", text.len());
    let generation = server.metadata.generation.unwrap();
    assert!(status.observed_generation.unwrap() <= generation, "{at}");
    let kinds: HashSet<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(kinds.len(), status.conditions.len(), "{at}: a type stands twice");
    for condition in &status.conditions {
        assert!(condition.observed_generation.unwrap() <= generation, "{at}: {condition:?}");
        assert!(["True", "False", "Unknown"].contains(&condition.status.as_str()), "{at}: {condition:?}");
        assert!(!condition.reason.is_empty() && condition.message.chars().count() <= 1024, "{at}: {condition:?}");
        assert!(!condition.message.chars().any(char::is_control), "{at}: {condition:?}");
    }
    let is = |kind, value| find(&status, kind).is_some_and(|c| c.status == value);
    assert!(!(kinds.contains("Reconciling") && kinds.contains("Stalled")), "{at}: kstatus takes the first in the list");
    assert!(!is("Stalled", "True") || is("Ready", "False"), "{at}: stalled and yet ready");
    assert!(!is("Suspended", "True") || !kinds.contains("Ready"), "{at}: kstatus would wait for ever");
    for passing in ["Reconciling", "Stalled", "Suspended", "Degraded", "CredentialHeld", "CertificateExpiring"] {
        assert!(!kinds.contains(passing) || is(passing, "True"), "{at}: {passing} stands there only while it is True");
    }
    let judged = find(&status, "Verified").and_then(|c| c.observed_generation) == Some(generation);
    let settled = is("Suspended", "True") || is("Stalled", "True") || is("Reconciling", "True");
    assert!(status.observed_generation != Some(generation) || judged || settled, "{at}: looks current and is not judged");
    assert!(status.used_by.is_none_or(|users| users >= 0) && status.actors.len() <= 32, "{at}");
}

fn follows(before: &MailServer, after: &MailServer) {
    let (at, old, new) = (format!("{} → {}", step(before), step(after)), status(before), status(after));
    if before.uid() != after.uid() {
        return;
    }
    assert!(old.observed_generation <= new.observed_generation, "{at}: observedGeneration went back");
    for condition in &new.conditions {
        let Some(was) = find(&old, &condition.type_) else { continue };
        let (then, now) = (was.last_transition_time.0, condition.last_transition_time.0);
        if was.status == condition.status {
            assert_eq!(then, now, "{at}: {} moved its time and not its value", condition.type_);
        } else {
            assert!(then <= now, "{at}: {} went back in time", condition.type_);
        }
    }
    if let (Some(was), Some(is)) = (&old.claim, &new.claim)
        && was.id == is.id
    {
        assert_eq!(was, is, "{at}: a claim changed");
    }
}
