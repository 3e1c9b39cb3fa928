//! Leader election: the requests around [`super::lease`]'s judgement. Every write carries the resourceVersion that the
//! judgement rests on, so that of two candidates one gets 409.

use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::sync::watch;

use super::{
    ApiError,
    lease::{Fence, Pace, Sighting, Step, evaluate},
    stop::Stop,
    within,
};

/// What this process is in the election.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// No answer from the API server yet.
    #[default]
    Unknown,
    /// Another leads.
    Follower {
        /// Its identity.
        leader: String,
    },
    /// This process leads.
    Leader,
}

/// A candidate in the election.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    me: String,
    pace: Pace,
    fence: Fence,
    role: watch::Sender<Role>,
    seen: Option<Sighting>,
    lease: Option<Lease>,
    failing: u32,
}

impl Election {
    /// A candidate called `me` for the Lease `name` in `namespace`, with the fence that it holds while it leads and the
    /// role as it changes. `me` must be another in each process, also after a restart.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, me: String, pace: Pace) -> (Self, Fence, watch::Receiver<Role>) {
        let fence = Fence::new();
        let (role, roles) = watch::channel(Role::Unknown);
        let leases = Api::namespaced(client, namespace);
        let election =
            Self { leases, name: name.to_owned(), me, pace, fence: fence.clone(), role, seen: None, lease: None, failing: 0 };
        (election, fence, roles)
    }

    /// Takes part until `stop`, then gives the Lease back, so that another need not wait for its end.
    pub async fn run(mut self, stop: Stop) {
        loop {
            let pause = match self.timely_round().await {
                Ok(pause) => pause,
                Err(error) => {
                    self.complain(&error);
                    self.pace.retry()
                }
            };
            self.tell();
            let pause = self.fence.left().map_or(pause, |left| left.min(pause));
            tokio::select! {
                () = stop.stopped() => break,
                () = tokio::time::sleep(pause) => {}
            }
            // A term ends with the trust in the Lease, not with the next answer of the API server.
            self.tell();
        }
        self.release().await;
    }

    /// A round that is given up when the Lease is ours no more: an API server that does not answer must not make a leader of us.
    async fn timely_round(&mut self) -> Result<Duration, ApiError> {
        match self.fence.left() {
            Some(left) => tokio::time::timeout(left, self.round()).await.unwrap_or(Ok(Duration::ZERO)),
            None => self.round().await,
        }
    }

    /// One look and at most one write. Says when the next is due.
    async fn round(&mut self) -> Result<Duration, ApiError> {
        // The renewal of a Lease that nobody touched needs no read: the resourceVersion of our last write guards it.
        if !self.fence.held() || self.lease.is_none() {
            self.lease = within(self.pace.request(), self.leases.get_opt(&self.name)).await?;
        }
        let now = Instant::now();
        self.seen = self.lease.as_ref().map(|lease| Sighting::of(lease, self.seen.as_ref(), now));
        let step = evaluate(self.seen.as_ref(), &self.me, now);
        let sent = (now, SystemTime::now());
        let written = match &step {
            Step::Follow(_) => {
                self.failing = 0;
                self.fence.give_up();
                return Ok(self.pace.retry());
            }
            Step::Create => within(self.pace.request(), self.leases.create(&PostParams::default(), &self.fresh(None))).await,
            Step::Renew | Step::Take => {
                let lease = self.fresh(self.lease.as_ref());
                within(self.pace.request(), self.leases.replace(&self.name, &PostParams::default(), &lease)).await
            }
        };
        match written {
            Ok(lease) => {
                self.failing = 0;
                self.lease = Some(lease);
                self.fence.hold(self.pace, sent.0, sent.1);
                Ok(self.pace.renew())
            }
            Err(error) => {
                // Read it again before the next write, whether or not this one arrived.
                self.lease = None;
                if error.is_conflict() || error.is_gone() { Ok(Duration::ZERO) } else { Err(error) }
            }
        }
    }

    /// The Lease as ours: a new one, or `old` with its resourceVersion.
    fn fresh(&self, old: Option<&Lease>) -> Lease {
        let now = MicroTime(jiff::Timestamp::now());
        let before = old.and_then(|lease| lease.spec.as_ref());
        let ours = before.and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.me);
        let terms = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        Lease {
            metadata: old.map_or_else(
                || ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.me.clone()),
                lease_duration_seconds: i32::try_from(self.pace.duration.as_secs()).ok(),
                acquire_time: before.filter(|_| ours).and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(if ours || old.is_none() { terms } else { terms.saturating_add(1) }),
                ..LeaseSpec::default()
            }),
        }
    }

    /// An API server that is away is told once and then once a minute, not every second.
    fn complain(&mut self, error: &ApiError) {
        let a_minute = (60_000 / self.pace.retry().as_millis().max(1)).max(1);
        if u128::from(self.failing).is_multiple_of(a_minute) {
            tracing::warn!(lease = self.name, %error, "the lease could not be read or written");
        }
        self.failing += 1;
    }

    fn tell(&self) {
        let role = if self.fence.held() {
            Role::Leader
        } else {
            let other = self.lease.as_ref().and_then(|l| l.spec.as_ref()).and_then(|s| s.holder_identity.clone());
            match other.filter(|holder| *holder != self.me) {
                Some(leader) => Role::Follower { leader },
                None if *self.role.borrow() == Role::Unknown => Role::Unknown,
                None => Role::Follower { leader: String::new() },
            }
        };
        self.role.send_if_modified(|current| {
            let changed = *current != role;
            if changed {
                tracing::info!(lease = self.name, me = self.me, role = ?role, "election");
                *current = role;
            }
            changed
        });
    }

    async fn release(mut self) {
        let held = self.fence.held();
        self.fence.give_up();
        self.tell();
        let Some(lease) = self.lease.take().filter(|_| held) else { return };
        let mut lease = self.fresh(Some(&lease));
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        if let Err(error) = within(self.pace.request(), self.leases.replace(&self.name, &PostParams::default(), &lease)).await {
            tracing::warn!(lease = self.name, %error, "the lease was not given back; it ends by itself");
        }
    }
}
