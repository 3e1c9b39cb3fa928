//! What a run of the operator asks before it acts: a mandate as all kinds have it, a turn at the server, and before each mail
//! its budgets and its claim.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use kube::ResourceExt;

use super::{
    Context, EmailProfiles, charge,
    reconcile::{Sight, tell_found},
};
use crate::{
    api::v1alpha1::VerificationMode,
    controllers::{
        actors::{Standpoint, Work},
        mandate::Mandate,
        reconcile::Error,
    },
    mail::{Diagnosis, protocol::Protocol},
    runtime::{
        Name,
        limits::{Place, Service, Target},
        lock,
        stop::Stop,
    },
    verify::{
        Gate,
        budget::{Borrower, Mail},
        email_profile::{ActorReport, Inputs, Permits, Run, RunReport, Stand, Trigger, claim},
        gate::Account,
        lending::Sender,
        report::LoginOutcome,
    },
};

/// The permits of one run of one object.
pub struct OperatorPermits {
    /// What the run may do, and until when.
    pub mandate: Mandate<EmailProfiles>,
    /// The object in its latest version: each claim rests on the one before.
    sight: tokio::sync::Mutex<Sight>,
    run: Run,
    sender: Option<Sender>,
    name: Name,
    uid: String,
    domain: String,
    secret: Option<String>,
    place: Mutex<Option<Place>>,
    /// The actors whose claims this run has taken.
    claimed: Mutex<BTreeSet<String>>,
    /// The actors whose finding is noted.
    noted: Mutex<BTreeSet<String>>,
    /// Whether it holds a session while it waits.
    stays: bool,
    stop: Stop,
}

impl OperatorPermits {
    /// The permits of `run`, decided on by `sight`, which ends early when `stop` says so and has a place until it only waits.
    #[must_use]
    pub fn new(ctx: &Arc<Context>, sight: Sight, run: Run, inputs: &Inputs, place: Place, stop: &Stop) -> Self {
        Self {
            mandate: Mandate::new(Arc::clone(ctx), &sight.object, sight.object.spec.interval().get(), stop.clone()),
            name: Name::of(&sight.object),
            uid: sight.object.uid().unwrap_or_default(),
            domain: inputs.address.rsplit_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default(),
            sight: tokio::sync::Mutex::new(sight),
            run,
            sender: inputs.sender.clone(),
            secret: inputs.mailbox.login.as_ref().map(|login| login.secret.clone()),
            place: Mutex::new(Some(place)),
            claimed: Mutex::default(),
            noted: Mutex::default(),
            stays: inputs.mailbox.protocol != Protocol::Pop3 && inputs.mode == VerificationMode::Automatic,
            stop: stop.clone(),
        }
    }

    /// Charges the mail to its budgets, and writes the claim on the latest version of the object (promise 1).
    async fn send(&self, actor: &str, mark: &str, sender: &Sender, recipient: &str) -> Result<(), Diagnosis> {
        let mut sight = self.sight.lock().await;
        let (now, (host, user)) = (Timestamp::now(), sender.server.payer());
        let borrower =
            sender.per_hour.map(|per_hour| Borrower { server: &sender.name, namespace: &self.name.namespace, per_hour });
        let mail = Mail { host: &host, user, recipient, run: &self.run.id, borrower };
        self.mandate.charge(&charge(&self.run.id, actor), &mail, now)?;
        let status = claim(&sight.seen(), &self.run, actor, mark, now);
        sight.object = self.mandate.claim(&sight.object, &status).await?;
        lock(&self.claimed).insert(actor.to_owned());
        // The write may have taken seconds: the Lease may be lost by now.
        self.mandate.still()
    }
}

impl OperatorPermits {
    /// Tells what an actor found on the latest version of the object: with the last of its actors, what the run comes to.
    async fn note(&self, report: &ActorReport) -> bool {
        let mut sight = self.sight.lock().await;
        if self.mandate.still().is_err() {
            return false;
        }
        lock(&self.noted).insert(report.name.clone());
        let noted = lock(&self.noted).clone();
        let cut = self.run.errands.iter().any(|errand| !noted.contains(&errand.actor));
        let found = RunReport { actors: vec![report.clone()], outgoing: None, cut };
        let told = match Box::pin(tell_found(&mut sight, &self.run, &found, self.mandate.ctx())).await {
            // Somebody has touched the object: a label, an annotation. A claim would be lost; that a mail was found stands.
            Err(Error::Api(error)) if error.is_conflict() && self.reread(&mut sight).await => {
                Box::pin(tell_found(&mut sight, &self.run, &found, self.mandate.ctx())).await
            }
            told => told,
        };
        told.inspect_err(|error| tracing::info!(%error, "what was found could not be noted; the mail stays")).is_ok()
    }

    /// Reads the object again. Whether it is still the one of this run.
    async fn reread(&self, sight: &mut Sight) -> bool {
        let Ok(Some(found)) = self.mandate.ctx().read(&self.name).await else { return false };
        let Ok(object) = found.0 else { return false };
        let run = object.status.as_ref().and_then(|status| status.verification.as_ref()).map(|run| run.run_id.as_str());
        let same = object.uid().as_deref() == Some(self.uid.as_str()) && run == Some(self.run.id.as_str());
        if same {
            sight.object = object;
        }
        same && self.mandate.still().is_ok()
    }
}

impl Permits for OperatorPermits {
    fn logins(&self) -> &dyn Gate {
        self
    }

    fn sending<'a>(&'a self, actor: &'a str, mark: &'a str) -> Box<dyn Gate + 'a> {
        Box::new(Sending { permits: self, actor, mark })
    }

    fn turn(&self) -> BoxFuture<'_, Box<dyn Send>> {
        async {
            let Some(sender) = &self.sender else { return Box::new(()) as Box<dyn Send> };
            let server = &sender.server;
            let target = Target {
                service: Service::Sending,
                host: server.endpoints.first().map(|endpoint| endpoint.host.to_ascii_lowercase()).unwrap_or_default(),
                user: server.login.as_ref().map(|login| login.credential.user().to_owned()),
                connections: sender.connections,
            };
            Box::new(self.mandate.ctx().term.limits.place(&target).await)
        }
        .boxed()
    }

    fn stand<'a>(&'a self, actor: &'a str) -> Stand<'a> {
        let work = Work {
            object: format!("EmailProfile {}", self.name),
            uid: self.uid.clone(),
            run: self.run.id.clone(),
            part: self.run.part.clone(),
            domain: self.domain.clone(),
            probe: false,
        };
        match Standpoint::of(actor, &self.mandate.ctx().term, work) {
            Standpoint::Here(vantage) => Stand::Here(vantage),
            Standpoint::There(agent) => Stand::There(agent),
            Standpoint::Away(away) => Stand::Away(away),
        }
    }

    fn found<'a>(&'a self, report: &'a ActorReport) -> BoxFuture<'a, bool> {
        self.note(report).boxed()
    }

    fn has_claimed(&self, actor: &str) -> bool {
        lock(&self.claimed).contains(actor)
    }

    fn waits(&self) {
        let mut place = lock(&self.place);
        *place = place.take().filter(|_| self.stays).map(Place::into_session);
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

impl Gate for OperatorPermits {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.mandate.login(account, self.secret.as_deref()).boxed()
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        self.mandate.logged_in(account, outcome);
    }

    fn send<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        // Mails go through the gate of their actor alone.
        async { Err(Diagnosis::new(crate::api::Reason::ObserveOnly)) }.boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.mandate.still()
    }
    fn is_asked_for(&self) -> bool {
        self.run.trigger == Trigger::Requested
    }
}

/// The gate of one actor's mail.
struct Sending<'a> {
    permits: &'a OperatorPermits,
    actor: &'a str,
    mark: &'a str,
}

impl Gate for Sending<'_> {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        let secret =
            self.permits.sender.as_ref().and_then(|sender| sender.server.login.as_ref()).map(|login| login.secret.as_str());
        self.permits.mandate.login(account, secret).boxed()
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        self.permits.mandate.logged_in(account, outcome);
    }

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            match &self.permits.sender {
                Some(sender) => self.permits.send(self.actor, self.mark, sender, recipient).await,
                None => Err(Diagnosis::new(crate::api::Reason::ObserveOnly)),
            }
        }
        .boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.permits.mandate.still()
    }
    fn is_asked_for(&self) -> bool {
        self.permits.is_asked_for()
    }
}
