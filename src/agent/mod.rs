//! An agent: shows that it is alive, and does the tasks that the operator puts into its namespace. It decides nothing: when a
//! mailbox is opened, how often and with what is the operator's business, and so is the breaker of refused logins.
//!
//! The sign of life is in `heartbeat`, which tasks are taken in `board`, how they are claimed and told in `hand`, what is done
//! in `work`.

mod board;
mod hand;
mod heartbeat;
mod orders;
mod place;
mod tasks;
mod work;

use std::{sync::Arc, time::Duration};

use kube::Client;

use crate::{mail::Vantage, runtime::stop::Stop, server::Health};

/// The field manager of everything that an agent writes.
const FIELD_MANAGER: &str = "mailverity-agent";
/// The time for leaving mailboxes in order once the agent is to end.
const FAREWELL: Duration = Duration::from_secs(7);

/// Who an agent is, and from where it looks.
#[derive(Clone)]
pub struct Settings {
    /// The Actor's name.
    pub actor: String,
    /// Its task namespace.
    pub namespace: String,
    /// This process: no other has the same, nor has this one after a restart.
    pub identity: String,
    /// Its pod, or its host's name.
    pub host: String,
    /// The node that its pod runs on, where that is known.
    pub node: Option<String>,
    /// From where it looks.
    pub vantage: Vantage,
}

/// Does tasks until `stop`, then leaves every mailbox in order and gives its Lease back.
pub async fn run(client: Client, settings: Settings, health: &Health, stop: Stop) {
    let settings = Arc::new(settings);
    let (heartbeat, active) = heartbeat::Heartbeat::new(&client, &settings, health.clone());
    // It goes on beating while sessions are left.
    let (heart_stopper, heart_stop) = Stop::new();
    let heartbeat = tokio::spawn(heartbeat.run(heart_stop));
    tasks::look_after(&client, &settings, active, stop).await;
    heart_stopper.stop();
    let _ = tokio::time::timeout(Duration::from_secs(2), heartbeat).await;
}
