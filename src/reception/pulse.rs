//! A receiver's sign of life: a Lease of its pod's name in the receivers' namespace, which the operator watches. Nobody else
//! wants it, so there is no election: whoever has the name writes it.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference},
};
use kube::{Api, Client, api::PostParams};
use tokio::sync::watch;
use uuid::Uuid;

use super::Settings;
use crate::{
    runtime::{ApiError, stop::Stop, within},
    server::Health,
    verify::mail_receiver::presence::{LABEL, RECEIVER, RENEW, SILENCE, lease_name},
};

/// The most time for one request.
const REQUEST: Duration = Duration::from_secs(5);
/// How soon a failed renewal is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// What readiness waits for.
const PENDING: &str = "lease";

/// The sign of life of this process.
pub(super) struct Pulse {
    leases: Api<Lease>,
    name: String,
    identity: String,
    pod: Option<OwnerReference>,
    lease: Option<Lease>,
    renewed: Option<Instant>,
    failing: u32,
    alive: watch::Sender<bool>,
    health: Health,
}

impl Pulse {
    /// A sign of life, and whether the operator can have seen it lately.
    pub fn new(client: &Client, settings: &Settings, health: Health) -> (Self, watch::Receiver<bool>) {
        health.pending(PENDING, "the API server was not asked yet");
        let (alive, is_alive) = watch::channel(false);
        let pod = settings.pod_uid.as_ref().map(|uid| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: settings.pod.clone(),
            uid: uid.clone(),
            ..OwnerReference::default()
        });
        let pulse = Self {
            leases: Api::namespaced(client.clone(), &settings.namespace),
            name: lease_name(&settings.pod),
            identity: format!("{}_{}", settings.pod, Uuid::new_v4()),
            pod,
            lease: None,
            renewed: None,
            failing: 0,
            alive,
            health,
        };
        (pulse, is_alive)
    }

    /// Beats until `stop`, then says that it has ended.
    pub async fn run(mut self, stop: Stop) {
        loop {
            let wait = match self.beat(&self.identity.clone()).await {
                Ok(()) => {
                    (self.failing, self.renewed) = (0, Some(Instant::now()));
                    self.health.done(PENDING);
                    RENEW
                }
                Err(error) => {
                    self.complain(&error);
                    RETRY
                }
            };
            let alive = self.renewed.is_some_and(|renewed| renewed.elapsed() + RENEW < SILENCE);
            self.alive.send_if_modified(|known| std::mem::replace(known, alive) != alive);
            tokio::select! {
                () = stop.stopped() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        if let Err(error) = self.beat("").await {
            tracing::warn!(lease = self.name, %error, "that this receiver has ended was not told; the operator will notice");
        }
    }

    async fn beat(&mut self, holder: &str) -> Result<(), ApiError> {
        // A Lease that nobody touched needs no read: the resourceVersion of our last write guards it.
        let known = match self.lease.take() {
            Some(lease) => Some(lease),
            None => within(REQUEST, self.leases.get_opt(&self.name)).await?,
        };
        let params = PostParams::default();
        let written = match known {
            Some(lease) => within(REQUEST, self.leases.replace(&self.name, &params, &self.of(lease.metadata, holder))).await,
            None => within(REQUEST, self.leases.create(&params, &self.of(ObjectMeta::default(), holder))).await,
        };
        self.lease = Some(written?);
        Ok(())
    }

    fn of(&self, metadata: ObjectMeta, holder: &str) -> Lease {
        let mut labels = metadata.labels.unwrap_or_default();
        labels.insert(LABEL.to_owned(), RECEIVER.to_owned());
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(labels),
                // It goes with its pod.
                owner_references: self.pod.clone().map(|pod| vec![pod]),
                ..metadata
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: i32::try_from(SILENCE.as_secs()).ok(),
                renew_time: Some(MicroTime(jiff::Timestamp::now())),
                ..LeaseSpec::default()
            }),
        }
    }

    /// An API server that is away is told once and then once a minute.
    fn complain(&mut self, error: &ApiError) {
        if self.failing.is_multiple_of(30) {
            tracing::warn!(lease = self.name, %error, "the lease could not be written; mail is taken in as before");
        }
        self.failing += 1;
        // Once at work it stays ready: an API server that is away must not close the door to all mail.
        if self.renewed.is_none() {
            self.health.pending(PENDING, error.to_string());
        }
    }
}
