//! What a probe asks before it acts: a mandate as all kinds have it, before its mail its budgets and its claim; and whom it tells
//! of what came to a mailbox.

use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    Context, RoundTripPolicies,
    reconcile::{Sight, tell},
};
use crate::{
    api::v1alpha1::State,
    controllers::{Kind, mandate::Mandate, reconcile::Error},
    mail::Diagnosis,
    runtime::{Name, limits::Place, lock, stop::Stop},
    verify::{
        Gate, Report,
        budget::{Borrower, Mail},
        gate::Account,
        report::LoginOutcome,
        round_trip::{
            Back, Came, Inputs, Outcome, Plan, Probe, ProbeReport, What, claim,
            exchange::{Noted, Permits},
        },
    },
};

/// The name under which an attempt to send a probe is charged.
pub fn charged(probe: &str, attempt: i32) -> String {
    format!("{probe}/{attempt}")
}

/// What one probe of one object may do, and until when.
pub struct OperatorPermits {
    /// As all kinds have it.
    pub mandate: Mandate<RoundTripPolicies>,
    /// The object in its latest version: each write rests on the one before.
    sight: tokio::sync::Mutex<Sight>,
    probe: Probe,
    id: String,
    name: Name,
    uid: String,
    inputs: Arc<Inputs>,
    /// Held until nothing more is to be sent.
    place: Mutex<Option<Place>>,
    /// What became of the sending, while no status holds it.
    untold: Mutex<Option<ProbeReport>>,
    stop: Stop,
}

impl OperatorPermits {
    /// The permits of `probe`, whose id this is, decided on by `sight`, which ends early when `stop` says so and has a place until
    /// its mail is sent.
    #[must_use]
    pub fn new(
        ctx: &Arc<Context>,
        sight: Sight,
        probe: Probe,
        id: String,
        inputs: Arc<Inputs>,
        place: Option<Place>,
        stop: Stop,
    ) -> Self {
        let interval = sight.object.spec.interval().get();
        Self {
            mandate: Mandate::new(Arc::clone(ctx), &sight.object, interval, stop.clone()),
            name: Name::of(&sight.object),
            uid: sight.object.uid().unwrap_or_default(),
            sight: tokio::sync::Mutex::new(sight),
            probe,
            id,
            inputs,
            place: Mutex::new(place),
            untold: Mutex::default(),
            stop,
        }
    }

    /// The gate of the mail. `mark`: what the mailbox held before, where answers come to one.
    #[must_use]
    pub fn gate<'a>(&'a self, mark: Option<&'a str>) -> Sending<'a> {
        Sending { permits: self, mark }
    }

    /// Tells, and reads the object again where somebody has touched it: a label, an annotation. A claim would be lost then; that a
    /// mail was taken, or came, stands.
    async fn tell(&self, sight: &mut Sight, report: Option<&ProbeReport>, plan: impl Fn(&Sight) -> Option<What>) -> Option<What> {
        for _ in 0..2 {
            sight.around.now = Timestamp::now();
            let what = plan(sight)?;
            let told = Plan { what: what.clone(), next: None, state: State::Active };
            match tell(sight, &told, report, self.mandate.ctx()).await {
                Ok(()) => return Some(what),
                Err(Error::Api(error)) if error.is_conflict() && self.reread(sight).await => {}
                Err(error) => {
                    tracing::info!(%error, "what was found could not be told");
                    return None;
                }
            }
        }
        None
    }

    /// Tells that the server took the mail, unless that is told.
    async fn tell_of_the_sending(&self, sight: &mut Sight) {
        let untold = lock(&self.untold).clone();
        let Some(report) = untold else { return };
        if self.tell(sight, Some(&report), |_| Some(What::Probe(self.probe.clone()))).await.is_some() {
            lock(&self.untold).take();
        }
    }

    /// The end: what could not be told before is told now, if it can be.
    pub async fn ends_here(&self) {
        let mut sight = self.sight.lock().await;
        Box::pin(self.tell_of_the_sending(&mut sight)).await;
    }

    /// Reads the object again. Whether it is still the one of this probe.
    async fn reread(&self, sight: &mut Sight) -> bool {
        let Ok(Some(found)) = self.mandate.ctx().read(&self.name).await else { return false };
        let Ok(object) = found.0 else { return false };
        let status = object.status.as_ref();
        let probe = status.and_then(|status| status.in_flight.as_ref()).map(|probe| probe.id.as_str());
        // A changed spec is to be looked at first: it may ask for something else.
        let known = object.metadata.generation == sight.object.metadata.generation
            || object.metadata.generation == status.and_then(|status| status.observed_generation);
        let same = known && object.uid().as_deref() == Some(self.uid.as_str()) && probe == Some(self.id.as_str());
        if same {
            sight.object = object;
        }
        same
    }
}

impl Permits for OperatorPermits {
    fn logins(&self) -> &dyn Gate {
        self
    }

    fn sending<'a>(&'a self, mark: &'a str) -> Box<dyn Gate + 'a> {
        Box::new(self.gate(Some(mark)))
    }

    fn sent<'a>(&'a self, report: &'a Report, sent: Option<Timestamp>) -> BoxFuture<'a, ()> {
        async move {
            drop(lock(&self.place).take());
            let metrics = &self.mandate.ctx().term.ground.metrics;
            if sent.is_some() {
                metrics.checked(RoundTripPolicies::KIND, &self.name, &report.stages, None);
                metrics.sent("RoundTrip");
            }
            let dot_sent = report.delivery.as_ref().is_some_and(|delivery| delivery.dot_sent);
            if dot_sent {
                *lock(&self.untold) = Some(ProbeReport { id: self.id.clone(), report: report.clone(), sent, looked: false });
                let mut sight = self.sight.lock().await;
                Box::pin(self.tell_of_the_sending(&mut sight)).await;
            }
        }
        .boxed()
    }

    fn came(&self, came: Came) -> BoxFuture<'_, Noted> {
        async move {
            let mut sight = self.sight.lock().await;
            Box::pin(self.tell_of_the_sending(&mut sight)).await;
            sight.came = vec![(None, came)];
            let told = self
                .tell(&mut sight, None, |sight| {
                    let seen = sight.seen();
                    let probe = seen.in_flight().filter(|probe| probe.id == self.id)?;
                    let settled = Outcome::of_what_came(&seen, probe).map(What::Settle);
                    settled
                        .or_else(|| Outcome::note_of_what_came(&seen, probe).map(What::Note))
                        .or(Some(What::Rest(crate::verify::round_trip::Because::AwaitsAnswer)))
                })
                .await;
            match told {
                None => Noted::No,
                Some(What::Settle(_)) => Noted::Settled,
                Some(_) => Noted::Yes,
            }
        }
        .boxed()
    }
}

/// The gate of logins to the mailbox.
impl Gate for OperatorPermits {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        let secret = match &self.inputs.back {
            Back::Mailbox { mailbox, .. } => mailbox.login.as_ref().map(|login| login.secret.as_str()),
            Back::Receiver { .. } => None,
        };
        self.mandate.login(account, secret).boxed()
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        self.mandate.logged_in(account, outcome);
    }

    fn send<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        // The mail goes through its own gate alone.
        async { Err(Diagnosis::new(crate::api::Reason::ObserveOnly)) }.boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.mandate.still()
    }

    fn ends(&self) -> BoxFuture<'_, ()> {
        async {
            tokio::select! {
                () = self.stop.stopped() => {}
                () = self.mandate.ctx().term.ends.stopped() => {}
            }
        }
        .boxed()
    }
}

/// The gate of a probe's mail.
pub struct Sending<'a> {
    permits: &'a OperatorPermits,
    mark: Option<&'a str>,
}

impl Gate for Sending<'_> {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        let secret = self.permits.inputs.sender.server.login.as_ref().map(|login| login.secret.as_str());
        self.permits.mandate.login(account, secret).boxed()
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        self.permits.mandate.logged_in(account, outcome);
    }

    /// Charges the mail to its budgets, and writes the claim on the very version that the decision rests on (promise 1).
    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            let OperatorPermits { mandate, probe, id, inputs, .. } = self.permits;
            let mut sight = self.permits.sight.lock().await;
            let (now, sender) = (Timestamp::now(), &inputs.sender);
            let (host, user) = sender.server.payer();
            let namespace = &self.permits.name.namespace;
            let borrower = sender.per_hour.map(|per_hour| Borrower { server: &sender.name, namespace, per_hour });
            let mail = Mail { host: &host, user, recipient, run: id, borrower };
            mandate.charge(&charged(id, probe.attempt), &mail, now)?;
            let status = claim(&sight.seen(), probe, id, self.mark, now);
            sight.object = mandate.claim(&sight.object, &status).await?;
            // The write may have taken seconds: the Lease may be lost by now.
            self.still()
        }
        .boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.permits.mandate.still()
    }
}
