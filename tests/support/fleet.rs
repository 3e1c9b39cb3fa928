//! Many `MailServers` at once.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use kube::api::{ListParams, PostParams};
use mailverity::api::v1alpha1::{CheckPhase, MailServer};
use serde_json::{Value, json};

use super::cluster::{Cluster, is};

/// The ids of the last checks, in the order of names.
pub type Ids = Vec<String>;

impl Cluster {
    /// Makes `count` `MailServers`, all alike.
    pub async fn fleet(&self, count: usize, spec: &Value) {
        let api = self.servers();
        let make = |number: usize| {
            let object = json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer",
                "metadata": {"name": format!("relay-{number:05}"), "namespace": self.namespace}, "spec": spec});
            let (api, object): (_, MailServer) = (api.clone(), serde_json::from_value(object).unwrap());
            async move { api.create(&PostParams::default(), &object).await.map(|_| ()) }
        };
        let results: Vec<_> = stream::iter(0..count).map(make).buffer_unordered(16).collect().await;
        for result in results {
            result.unwrap();
        }
    }

    /// Waits until all of them are Ready; the ids of their checks.
    pub async fn fleet_ready(&self, count: usize, patience: Duration) -> Ids {
        let end = Instant::now() + patience;
        loop {
            let servers = self.servers().list(&ListParams::default()).await.unwrap().items;
            let ready = |server: &&MailServer| {
                server.status.as_ref().is_some_and(|status| {
                    let finished = status.last_check.as_ref().is_some_and(|check| check.phase == CheckPhase::Finished);
                    finished && is(status, "Ready", "True", "Succeeded")
                })
            };
            let good = servers.iter().filter(ready).count();
            if good == count {
                return ids(servers);
            }
            assert!(Instant::now() < end, "{good} of {count} are ready");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The ids of all last checks.
    pub async fn fleet_ids(&self) -> Ids {
        ids(self.servers().list(&ListParams::default()).await.unwrap().items)
    }
}

fn ids(mut servers: Vec<MailServer>) -> Ids {
    servers.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    servers
        .into_iter()
        .map(|server| server.status.and_then(|status| status.last_check).map(|check| check.id).unwrap_or_default())
        .collect()
}
