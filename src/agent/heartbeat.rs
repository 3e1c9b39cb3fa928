//! The sign of life: one Lease in the task namespace, which the installer makes and whoever works renews. A second agent of
//! the same actor waits until the first was silent for as long as its Lease holds, by its own clock.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, api::PostParams};
use tokio::sync::watch;

use super::{Settings, place};
use crate::{
    runtime::{
        ApiError,
        lease::{Sighting, Step, evaluate},
        stop::Stop,
        within,
    },
    server::Health,
    verify::task::{LEASE, PRESENCE},
};

/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How long it holds.
const DURATION: Duration = Duration::from_secs(30);
/// How often who waits looks again.
const RETRY: Duration = Duration::from_secs(2);
/// The most time for one request.
const REQUEST: Duration = Duration::from_secs(5);
/// What readiness waits for.
const PENDING: &str = "lease";

/// The sign of life of one agent.
pub struct Heartbeat {
    leases: Api<Lease>,
    settings: Arc<Settings>,
    active: watch::Sender<bool>,
    health: Health,
    seen: Option<Sighting>,
    lease: Option<Lease>,
    renewed: Option<Instant>,
    failing: u32,
}

impl Heartbeat {
    /// A sign of life, and whether this agent is the one that works.
    pub fn new(client: &Client, settings: &Arc<Settings>, health: Health) -> (Self, watch::Receiver<bool>) {
        let (active, is_active) = watch::channel(false);
        health.pending(PENDING, "the API server was not asked yet");
        let leases = Api::namespaced(client.clone(), &settings.namespace);
        let settings = Arc::clone(settings);
        (Self { leases, settings, active, health, seen: None, lease: None, renewed: None, failing: 0 }, is_active)
    }

    /// Beats until `stop`, then gives the Lease back, so that another need not wait for its end.
    pub async fn run(mut self, stop: Stop) {
        loop {
            let pause = match self.round().await {
                Ok(pause) => pause,
                Err(error) => {
                    self.complain(&error);
                    RETRY
                }
            };
            if self.renewed.is_none_or(|renewed| renewed.elapsed() >= DURATION) {
                self.is_active(false);
            }
            tokio::select! {
                () = stop.stopped() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.give_back().await;
    }

    /// One look and at most one write. Says when the next is due.
    async fn round(&mut self) -> Result<Duration, ApiError> {
        // The renewal of a Lease that nobody touched needs no read: the resourceVersion of our last write guards it.
        if self.lease.is_none() {
            self.lease = within(REQUEST, self.leases.get_opt(LEASE)).await?;
        }
        let Some(lease) = &self.lease else {
            let why = format!("there is no Lease {LEASE} in namespace {}: apply deploy/agent", self.settings.namespace);
            self.wait_for(&why);
            return Ok(RETRY);
        };
        let now = Instant::now();
        let seen = Sighting::of(lease, self.seen.as_ref(), now);
        let step = evaluate(Some(&seen), &self.settings.identity, now);
        self.seen = Some(seen);
        match step {
            Step::Follow(other) => {
                self.lease = None;
                self.wait_for(&format!("{other} is at work"));
                Ok(RETRY)
            }
            Step::Create | Step::Renew | Step::Take => {
                let ours = self.ours(lease);
                let written = within(REQUEST, self.leases.replace(LEASE, &PostParams::default(), &ours)).await;
                // Where that failed it is read again before the next write, whether or not this one arrived.
                self.lease = None;
                match written {
                    Ok(lease) => {
                        self.lease = Some(lease);
                        self.renewed = Some(now);
                        self.failing = 0;
                        self.is_active(true);
                        self.health.done(PENDING);
                        self.health.role("at work");
                        Ok(RENEW)
                    }
                    Err(error) if error.is_conflict() => Ok(Duration::ZERO),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// The Lease as ours, with what we tell of ourselves.
    fn ours(&self, old: &Lease) -> Lease {
        let now = MicroTime(jiff::Timestamp::now());
        let before = old.spec.as_ref();
        let mine = before.and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.settings.identity);
        let terms = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        let mut metadata = old.metadata.clone();
        metadata.annotations.get_or_insert_default().insert(PRESENCE.to_owned(), place::presence(&self.settings).written());
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.settings.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: before.filter(|_| mine).and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(if mine { terms } else { terms.saturating_add(1) }),
                ..LeaseSpec::default()
            }),
        }
    }

    fn wait_for(&mut self, why: &str) {
        if self.failing == 0 || *self.active.borrow() {
            tracing::info!(lease = LEASE, "waits: {why}");
        }
        self.failing += 1;
        self.renewed = None;
        self.is_active(false);
        self.health.pending(PENDING, why);
        self.health.role("standby");
    }

    /// An API server that is away is told once and then once a minute.
    fn complain(&mut self, error: &ApiError) {
        if self.failing.is_multiple_of(30) {
            tracing::warn!(lease = LEASE, %error, "the lease could not be read or written");
        }
        self.failing += 1;
        self.health.pending(PENDING, error.to_string());
    }

    fn is_active(&self, now: bool) {
        self.active.send_if_modified(|active| {
            if *active != now {
                tracing::info!(active = now, "{}", if now { "takes tasks" } else { "takes no tasks" });
            }
            std::mem::replace(active, now) != now
        });
    }

    async fn give_back(self) {
        let held = *self.active.borrow();
        self.is_active(false);
        let Some(lease) = self.lease.as_ref().filter(|_| held) else { return };
        let mut lease = self.ours(lease);
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = None;
        }
        if let Err(error) = within(REQUEST, self.leases.replace(LEASE, &PostParams::default(), &lease)).await {
            tracing::warn!(lease = LEASE, %error, "the lease was not given back; it ends by itself");
        }
    }
}
