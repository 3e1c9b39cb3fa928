//! What a receiver says of itself: one item in `status.listeners` of each `MailReceiver`, written by server-side apply under a
//! name of its own, when something changed; taken away at a clean end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    api::v1alpha1::{ListenerStatus, MailReceiver},
    runtime::{ApiError, Name, bounded, stop::Stop},
};

/// What failed is tried again after this time.
const RETRY: Duration = Duration::from_secs(5);
/// The most characters of a field manager's name that the API server takes.
const MANAGER: usize = 128;

/// What is to be told to each `MailReceiver`.
pub(super) type Wanted = BTreeMap<Name, Item>;

/// What is to be told to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The object's UID: another of its name is another.
    pub uid: String,
    /// What holds.
    pub wanted: ListenerStatus,
    /// What its status says, as far as the watch has brought it.
    pub seen: Option<ListenerStatus>,
}

/// Writes them.
pub(super) struct Teller {
    client: Client,
    manager: String,
    /// What was written, and not seen yet.
    written: BTreeMap<Name, (ListenerStatus, Instant)>,
    /// Those that may hold an item of ours, and their UIDs.
    holding: BTreeMap<Name, String>,
}

impl Teller {
    pub fn new(client: Client, pod: &str) -> Self {
        let manager = format!("mailverity-receiver-{pod}").chars().take(MANAGER).collect();
        Self { client, manager, written: BTreeMap::new(), holding: BTreeMap::new() }
    }

    /// Tells what changes until `stop`, while `alive`; then takes back what was told.
    pub async fn run(mut self, mut wanted: watch::Receiver<Wanted>, mut alive: watch::Receiver<bool>, stop: Stop) {
        loop {
            let now = wanted.borrow_and_update().clone();
            // Who shows no sign of life would be taken out of the list again at once.
            let whole = !*alive.borrow_and_update() || self.tell(&now, &stop).await;
            let retry = if whole { Duration::MAX } else { RETRY };
            tokio::select! {
                () = stop.stopped() => break,
                changed = wanted.changed() => if changed.is_err() { break },
                changed = alive.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(retry) => {}
            }
        }
        self.take_back().await;
    }

    /// Writes what differs. Returns whether all of it was written.
    async fn tell(&mut self, all: &Wanted, stop: &Stop) -> bool {
        self.written.retain(|name, _| all.contains_key(name));
        self.holding.retain(|name, _| all.contains_key(name));
        let mut whole = true;
        for (name, item) in all {
            if item.seen.is_some() {
                self.holding.insert(name.clone(), item.uid.clone());
            }
            if item.seen.as_ref() == Some(&item.wanted) {
                self.written.remove(name);
                continue;
            }
            // The watch shows it in a moment, or it was taken out again.
            if self.written.get(name).is_some_and(|(told, at)| *told == item.wanted && at.elapsed() < RETRY) {
                whole = false;
                continue;
            }
            if stop.is_stopped() {
                return false;
            }
            match self.apply(name, &item.uid, &[&item.wanted]).await {
                Ok(()) => {
                    self.written.insert(name.clone(), (item.wanted.clone(), Instant::now()));
                    self.holding.insert(name.clone(), item.uid.clone());
                }
                // Deleted, or made anew: the watch tells.
                Err(error) if error.is_gone() || error.is_conflict() => {}
                Err(error) => {
                    tracing::warn!(object = %name, %error, "that mail is taken for it was not told; tried again");
                    whole = false;
                }
            }
        }
        whole
    }

    async fn take_back(&self) {
        for (name, uid) in &self.holding {
            match self.apply(name, uid, &[]).await {
                Err(error) if !error.is_gone() && !error.is_conflict() => {
                    tracing::warn!(object = %name, %error, "that this receiver has ended was not told; the operator will notice");
                }
                _ => {}
            }
        }
    }

    async fn apply(&self, name: &Name, uid: &str, listeners: &[&ListenerStatus]) -> Result<(), ApiError> {
        let api: Api<MailReceiver> = Api::namespaced(self.client.clone(), &name.namespace);
        let body = json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "MailReceiver",
            "metadata": {"name": name.name, "uid": uid},
            "status": if listeners.is_empty() { json!({}) } else { json!({"listeners": listeners}) },
        });
        let params = PatchParams::apply(&self.manager).force();
        bounded(api.patch_status(&name.name, &params, &Patch::Apply(&body))).await.map(|_| ())
    }
}
