//! The receivers of a cluster, `mailverity receiver`: which domains they take mail for, and what becomes of what came.
//!
//! Mail is taken in by [`crate::receiver`], which knows no Kubernetes. Here is what joins it to the cluster:
//!
//! - `draw`: from `MailReceivers`, certificates and pauses to the rules that mail is taken in by. Pure.
//! - `pairs`: the certificates that the operator hands over.
//! - `answers`: what becomes of a mail: a `ProbeReply`. It asks `probes` whose it is, and `fresh` before it says nobody's.
//! - `tell`: what a receiver says of itself in the status of each `MailReceiver`; `pulse`: its sign of life.
//! - `follow`: the watches.
//!
//! What is not known for the moment stays as it was: a receiver whose API server is away goes on, and never exits.

mod answers;
mod draw;
mod follow;
mod fresh;
mod pairs;
mod probes;
mod pulse;
mod tell;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, core::DeserializeGuard};
use tokio::sync::watch;

pub use answers::Answers;

use crate::{
    api::v1alpha1::{MailReceiver, RoundTripPolicy},
    receiver::{Rules, Running},
    runtime::{Name, pause::Pause, stop::Stop},
    server::Health,
    verify::mail_receiver::handing,
};
use draw::{Drawn, Ground, draw};
use follow::{Change, follow};
use pairs::Pairs;
use tell::Wanted;

/// What comes in a burst is acted on once.
const BURST: Duration = Duration::from_millis(20);
/// The most time for saying goodbye to the API server.
const FAREWELL: Duration = Duration::from_secs(5);
/// What readiness waits for.
const RECEIVERS: &str = "MailReceivers";
const CERTIFICATES: &str = "certificates";
const PAUSES: &str = "pauses";
const POLICIES: &str = "RoundTripPolicies";

/// How a receiver was set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespaces whose objects it works for; all if empty.
    pub namespaces: Vec<String>,
    /// Its own namespace: where it puts what it took, and reads certificates.
    pub namespace: String,
    /// The operator's, where pauses are told.
    pub operator_namespace: String,
    /// Its pod, or its host.
    pub pod: String,
    /// The UID of its pod, where it is one: its sign of life goes with it.
    pub pod_uid: Option<String>,
    /// How it greets; if absent by the first `MailReceiver`.
    pub hostname: Option<String>,
    /// For mails that are on their way in at the end.
    pub grace: Duration,
}

/// Works until `stop`: takes mail in by what the `MailReceivers` say. `running` are its listeners, whose mail goes to `answers`.
pub async fn run(client: Client, settings: Settings, running: Vec<Running>, answers: Arc<Answers>, health: Health, stop: Stop) {
    for what in [RECEIVERS, CERTIFICATES, PAUSES, POLICIES] {
        health.pending(what, "not read yet");
    }
    health.role("receiver");
    let (wanted, told) = watch::channel(Wanted::new());
    let (pulse, alive) = pulse::Pulse::new(&client, &settings, health.clone());
    let pulse = tokio::spawn(pulse.run(stop.clone()));
    let teller = tell::Teller::new(client.clone(), &settings.pod);
    let telling = tokio::spawn(teller.run(told, alive, stop.clone()));
    let policies = tokio::spawn(learn(client.clone(), settings.namespaces.clone(), answers, health.clone(), stop.clone()));

    let mut desk = Desk::new(&client, &settings, health);
    loop {
        tokio::select! {
            () = stop.stopped() => break,
            () = desk.hear() => {
                let drawn = desk.drawn(&running);
                for (listener, sites) in running.iter().zip(drawn.sites) {
                    listener.apply(Rules::new(&desk.hostname(), sites));
                }
                wanted.send_replace(drawn.told);
            }
        }
    }
    // The others are told at once that this one is gone; mails that are on their way in may still end.
    let stopping = futures::future::join_all(running.into_iter().map(|listener| listener.stop(settings.grace)));
    let farewell = async {
        let _ = tokio::time::timeout(FAREWELL, telling).await;
        let _ = tokio::time::timeout(FAREWELL, pulse).await;
    };
    tokio::join!(stopping, farewell);
    policies.abort();
}

/// Keeps `answers` in the picture of the probes there are.
async fn learn(client: Client, namespaces: Vec<String>, answers: Arc<Answers>, health: Health, stop: Stop) {
    let mut changes = follow::<DeserializeGuard<RoundTripPolicy>>(&client, &namespaces, None);
    let mut lists = namespaces.len().max(1);
    loop {
        let change = tokio::select! {
            () = stop.stopped() => return,
            change = changes.next() => change,
        };
        let Some(change) = change else { return };
        if matches!(change, Change::Listed(..)) {
            lists = lists.saturating_sub(1);
            if lists == 0 {
                health.done(POLICIES);
            }
        }
        answers.hear(change);
    }
}

/// What is known of the cluster, as far as rules follow from it.
struct Desk {
    settings: Settings,
    health: Health,
    receivers: BTreeMap<Name, MailReceiver>,
    pairs: Pairs,
    pause: Pause,
    /// Lists that are waited for: of each scope's receivers, of certificates, of pauses.
    missing: [usize; 3],
    of_receivers: BoxStream<'static, Change<DeserializeGuard<MailReceiver>>>,
    of_secrets: BoxStream<'static, Change<Secret>>,
    of_pauses: BoxStream<'static, ()>,
    /// When something changed that was not acted on yet.
    changed: Option<Instant>,
    /// When something ends by itself.
    until: Option<Timestamp>,
}

impl Desk {
    fn new(client: &Client, settings: &Settings, health: Health) -> Self {
        let pause = Pause::default();
        Self {
            receivers: BTreeMap::new(),
            pairs: Pairs::default(),
            missing: [settings.namespaces.len().max(1), 1, 1],
            of_receivers: follow(client, &settings.namespaces, None),
            of_secrets: follow(client, std::slice::from_ref(&settings.namespace), Some(&handing::selector())),
            of_pauses: pause.follow(client.clone(), &settings.operator_namespace).boxed(),
            pause,
            changed: None,
            until: None,
            settings: settings.clone(),
            health,
        }
    }

    /// Ends when the rules are to be made anew.
    async fn hear(&mut self) {
        loop {
            let known = self.pause.clone();
            let pauses_are_missing = self.missing[2] > 0;
            let due = self.changed.map_or(Duration::MAX, |changed| (changed + BURST).saturating_duration_since(Instant::now()));
            let end =
                self.until.map_or(Duration::MAX, |until| until.duration_since(Timestamp::now()).try_into().unwrap_or_default());
            tokio::select! {
                Some(change) = self.of_receivers.next() => self.receiver(change),
                Some(change) = self.of_secrets.next() => {
                    if matches!(change, Change::Listed(..)) {
                        self.listed(1, CERTIFICATES);
                    }
                    self.pairs.hear(change);
                }
                Some(()) = self.of_pauses.next() => {}
                () = known.known(), if pauses_are_missing => self.listed(2, PAUSES),
                () = tokio::time::sleep(due.min(end)) => {
                    if self.missing == [0; 3] {
                        self.changed = None;
                        return;
                    }
                    self.until = None;
                }
            }
            if self.missing == [0; 3] {
                self.changed.get_or_insert_with(Instant::now);
            }
        }
    }

    fn listed(&mut self, at: usize, what: &'static str) {
        self.missing[at] = self.missing[at].saturating_sub(1);
        if self.missing[at] == 0 {
            self.health.done(what);
        }
    }

    fn receiver(&mut self, change: Change<DeserializeGuard<MailReceiver>>) {
        match change {
            // One that this version cannot read stays as it was; the operator tells of it.
            Change::Is(object) => {
                if let Ok(mut receiver) = object.0 {
                    receiver.metadata.managed_fields = None;
                    self.receivers.insert(Name::of(&receiver), receiver);
                }
            }
            Change::Gone(name) => _ = self.receivers.remove(&name),
            Change::Listed(scope, names) => {
                self.receivers
                    .retain(|name, _| names.contains(name) || scope.as_ref().is_some_and(|scope| *scope != name.namespace));
                self.listed(0, RECEIVERS);
            }
        }
    }

    /// The rules as they follow now.
    fn drawn(&mut self, running: &[Running]) -> Drawn {
        let listening: Vec<SocketAddr> = running.iter().map(|listener| listener.address).collect();
        let ground = Ground {
            receivers: &self.receivers,
            pause: &self.pause,
            listening: &listening,
            pod: &self.settings.pod,
            now: Timestamp::now(),
        };
        let drawn = draw(&ground, &mut self.pairs);
        self.until = drawn.until;
        drawn
    }

    /// How it greets: as the first of the `MailReceivers` is called by others.
    fn hostname(&self) -> String {
        let first = self.receivers.values().min_by_key(|receiver| draw::age(receiver));
        let theirs = first.and_then(|first| first.spec.expected_mx.as_ref().or(first.spec.domains.first()));
        self.settings.hostname.as_ref().or(theirs).unwrap_or(&self.settings.pod).clone()
    }
}
