//! The gate of a probe: a mandate as all kinds have it, and before the mail its budgets and its claim.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use super::{Context, RoundTripPolicies, reconcile::Sight};
use crate::{
    controllers::mandate::Mandate,
    mail::Diagnosis,
    runtime::{Name, stop::Stop},
    verify::{
        Gate,
        budget::{Borrower, Mail},
        gate::Account,
        report::LoginOutcome,
        round_trip::{Inputs, Probe, claim},
    },
};

/// The name under which an attempt to send a probe is charged.
pub fn charged(probe: &str, attempt: i32) -> String {
    format!("{probe}/{attempt}")
}

/// The gate of one probe of one object.
pub struct ProbeGate {
    /// What it may do, and until when.
    pub mandate: Mandate<RoundTripPolicies>,
    /// The object, in the version that the decision rests on.
    sight: tokio::sync::Mutex<Sight>,
    probe: Probe,
    id: String,
    namespace: String,
    inputs: Arc<Inputs>,
    mark: Option<String>,
    claimed: AtomicBool,
}

impl ProbeGate {
    /// The gate of `probe`, whose id this is, decided on by `sight`, which ends early when `stop` says so. `mark`: what the mailbox
    /// held before, where answers come to one.
    #[must_use]
    pub fn new(
        ctx: &Arc<Context>,
        sight: Sight,
        probe: Probe,
        id: &str,
        inputs: Arc<Inputs>,
        mark: Option<String>,
        stop: Stop,
    ) -> Self {
        let interval = sight.object.spec.interval().get();
        Self {
            mandate: Mandate::new(Arc::clone(ctx), &sight.object, interval, stop),
            namespace: Name::of(&sight.object).namespace,
            sight: tokio::sync::Mutex::new(sight),
            probe,
            id: id.to_owned(),
            inputs,
            mark,
            claimed: AtomicBool::new(false),
        }
    }

    /// Whether the right to send was taken: the mail may have gone.
    #[must_use]
    pub fn has_claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }
}

impl Gate for ProbeGate {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        let secret = self.inputs.sender.server.login.as_ref().map(|login| login.secret.as_str());
        self.mandate.login(account, secret).boxed()
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        self.mandate.logged_in(account, outcome);
    }

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            let mut sight = self.sight.lock().await;
            let (now, sender) = (Timestamp::now(), &self.inputs.sender);
            let (host, user) = sender.server.payer();
            let borrower =
                sender.per_hour.map(|per_hour| Borrower { server: &sender.name, namespace: &self.namespace, per_hour });
            let mail = Mail { host: &host, user, recipient, run: &self.id, borrower };
            self.mandate.charge(&charged(&self.id, self.probe.attempt), &mail, now)?;
            let status = claim(&sight.seen(), &self.probe, &self.id, self.mark.as_deref(), now);
            sight.object = self.mandate.claim(&sight.object, &status).await?;
            self.claimed.store(true, Ordering::Relaxed);
            // The write may have taken seconds: the Lease may be lost by now.
            self.still()
        }
        .boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.mandate.still()
    }
}
