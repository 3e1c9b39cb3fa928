//! `MailReceiver`: what it adds to what all kinds share. `reconcile` goes observe → decide → act → tell, `look` asks for MX
//! records beside it, `handing` gives certificates to the receivers and takes them away, `beside` watches for their signs of
//! life, `standings` knows who has a domain and who says that it listens.

mod beside;
mod handing;
mod look;
mod reconcile;
mod standings;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::{
    Kind, Memory,
    glance::Glance,
    kind::{self, Asks, Standing, Status},
    reconcile::Error,
};
use crate::{
    api::v1alpha1::MailReceiver,
    runtime::{Name, Who, lock},
    verify::mail_receiver::{Look, Records, presence::Pulses},
};
use handing::Handed;
use standings::Standings;

/// What reconciliations and looks of receivers share.
pub type Context = super::Context<MailReceivers>;

/// The kind `MailReceiver`.
pub struct MailReceivers {
    standings: Mutex<Standings>,
    /// Which receivers are at work.
    pulses: Mutex<Pulses>,
    /// Whether their Leases were listed.
    heard: watch::Sender<bool>,
    handed: Handed,
    /// Says that something that was handed over is perhaps not wanted any more.
    sweep: Notify,
}

impl Default for MailReceivers {
    fn default() -> Self {
        Self {
            standings: Mutex::default(),
            pulses: Mutex::default(),
            heard: watch::channel(false).0,
            handed: Handed::default(),
            sweep: Notify::new(),
        }
    }
}

impl Kind for MailReceivers {
    type Object = MailReceiver;
    type Check = Look;
    type Report = Records;

    const KIND: &'static str = "MailReceiver";
    const CONTROLLER: &'static str = "mailreceiver";

    fn go(object: MailReceiver, name: &Name, ctx: &Arc<Context>) -> impl Future<Output = Result<Option<Duration>, Error>> + Send {
        reconcile::go(object, name, ctx)
    }

    fn remember(_: &MailReceiver, _: &Memory) {}

    fn standing(status: &Status<Self>) -> Standing<'_> {
        let answered = status.last_handled_verify_request.as_deref();
        Standing { observed_generation: status.observed_generation, conditions: &status.conditions, answered }
    }

    fn asks(object: &Self::Object) -> Asks<'_> {
        Asks { suspend: object.spec.suspend, maintenance: None }
    }

    fn seen(&self, object: &Glance<MailReceiver>) -> Vec<Who> {
        lock(&self.standings).see(object).iter().map(|name| Who::new(Self::KIND, name.clone())).collect()
    }

    fn gone(&self, name: &Name) -> Vec<Who> {
        self.handed.forget(name);
        self.sweep.notify_one();
        lock(&self.standings).forget(name).iter().map(|name| Who::new(Self::KIND, name.clone())).collect()
    }

    fn beside(ctx: &Arc<Context>) -> impl Future<Output = ()> + Send {
        beside::follow(Arc::clone(ctx))
    }
}

impl kind::Check for Look {
    fn id(&self) -> &str {
        &self.id
    }
}
