//! The operator's gate: asks the breaker before a login, takes budgets and the claim before a mail, and at each step of
//! sending whether we are still the one that may (promises 1, 2, 4 and 8).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use super::{context::Context, reconcile::Sight};
use crate::{
    api::{Class, Reason, v1alpha1::MailServer},
    mail::Diagnosis,
    runtime::{Name, lock, pause, stop::Stop},
    verify::{
        Gate, Report,
        breaker::{Answer, Hold},
        budget::Mail,
        gate::Account,
        mail_server::{Check, Inputs, Mode, claim},
        report::LoginOutcome,
    },
};

/// How long a check that was told to end may wait for the answer to a mail that it has begun to send. A process has 10 s to
/// end in all.
const GRACE: Duration = Duration::from_millis(5500);

/// How often one who waits for another's login asks again by himself.
const AGAIN: Duration = Duration::from_secs(5);

/// The gate of one check of one object.
pub struct OperatorGate {
    ctx: Arc<Context>,
    name: Name,
    sight: Sight,
    plan: Check,
    host: String,
    user: String,
    secret: Option<String>,
    stop: Stop,
    claimed: AtomicBool,
    unclaimed: AtomicBool,
}

impl OperatorGate {
    /// The gate of the check `plan` of `name`, decided on by `sight`, which ends early when `stop` says so.
    #[must_use]
    pub fn new(ctx: Arc<Context>, name: Name, sight: Sight, plan: Check, inputs: &Inputs, stop: Stop) -> Self {
        let login = inputs.login.as_ref();
        Self {
            ctx,
            name,
            sight,
            plan,
            host: inputs.endpoints.first().map(|endpoint| endpoint.host.to_ascii_lowercase()).unwrap_or_default(),
            user: login.map(|login| login.credential.user().to_owned()).unwrap_or_default(),
            secret: login.map(|login| login.secret.clone()),
            stop,
            claimed: AtomicBool::new(false),
            unclaimed: AtomicBool::new(false),
        }
    }

    /// Ends when the check is to be cut: at once where nothing can have been sent, else after [`GRACE`].
    pub async fn cut(&self) {
        tokio::select! {
            () = self.stop.stopped() => {}
            () = self.ctx.ends.stopped() => {}
        }
        if self.claimed.load(Ordering::SeqCst) {
            tokio::time::sleep(GRACE).await;
        }
    }

    /// Whether the report of this check is to be told. Not where it found nothing but that it was told to end, or that the
    /// object changed under its claim: the next decision begins anew.
    #[must_use]
    pub fn stands(&self, report: &Report) -> bool {
        let cut = self.stop.is_stopped() || self.ctx.ends.is_stopped() || !self.ctx.ground.fence.held();
        !self.unclaimed.load(Ordering::SeqCst) && (!cut || self.claimed.load(Ordering::SeqCst) || report.failure.is_none())
    }

    /// Writes the claim on the very version of the object that the decision rests on: whatever was written since, perhaps
    /// another's claim, gives a conflict (promise 1).
    async fn claim(&self, now: Timestamp) -> Result<(), Diagnosis> {
        let status = claim(&self.sight.seen(), &self.plan, now);
        let written: Result<MailServer, _> = self.ctx.teller.apply(&self.sight.object, &status).await;
        match written {
            Ok(_) => {
                self.claimed.store(true, Ordering::SeqCst);
                Ok(())
            }
            Err(error) => {
                tracing::info!(%error, "the claim was not had; nothing is sent");
                self.unclaimed.store(true, Ordering::SeqCst);
                Err(ended("the object changed while its claim was written"))
            }
        }
    }
}

impl Gate for OperatorGate {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            loop {
                let judged = self.ctx.judged.notified();
                let answer = lock(&self.ctx.ground.memory.breaker).ask(account, Timestamp::now());
                match answer {
                    Answer::Free | Answer::TryFirst => return Ok(()),
                    // A login whose check was cut short is not told of in every case: ask again now and then.
                    Answer::Wait => drop(tokio::time::timeout(AGAIN, judged).await),
                    Answer::Held(hold) => return Err(held(account, &hold, self.secret.as_deref())),
                }
            }
        }
        .boxed()
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        let interval = self.sight.object.spec.interval().get();
        lock(&self.ctx.ground.memory.breaker).tell(account, outcome, interval, Timestamp::now());
        self.ctx.ground.metrics.logged_in(outcome);
        self.ctx.judged.notify_waiters();
    }

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            self.still()?;
            if self.ctx.settings().mode == Mode::Observe {
                return Err(Diagnosis::new(Reason::ObserveOnly));
            }
            let now = Timestamp::now();
            let mail = Mail { host: &self.host, user: &self.user, recipient, run: &self.plan.id, borrower: None };
            self.ctx.ground.memory.send(&mail, now).map_err(|exceeded| exceeded.diagnosis())?;
            self.claim(now).await?;
            // The write may have taken seconds: the Lease may be lost by now.
            self.still()
        }
        .boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        if !self.ctx.ground.fence.held() {
            return Err(ended("another replica leads now"));
        }
        if let Some(paused) = self.ctx.pause.of(&self.name.namespace, Timestamp::now()) {
            let config_map = format!("{}/{}", self.ctx.settings().namespace, pause::CONFIG_MAP);
            let until = paused.until.map(told).unwrap_or_default();
            return Err(Diagnosis::new(Reason::Paused).fact("configmap", config_map).fact("until", until));
        }
        let now = self.ctx.known.get(&self.name).ok_or_else(|| ended("the object was deleted"))?;
        if now.is_suspended() {
            return Err(Diagnosis::new(Reason::Suspended));
        }
        // The watch may be a moment behind the version that was decided on.
        if now.metadata.generation > self.sight.object.metadata.generation {
            return Err(ended("the spec changed"));
        }
        if self.stop.is_stopped() || self.ctx.ends.is_stopped() {
            return Err(ended("the check was told to end"));
        }
        Ok(())
    }
}

/// That a check ends before its time, for no fault of the server. It is not told as a result.
fn ended(why: &str) -> Diagnosis {
    Diagnosis::new(Reason::Paused).class(Class::Transient).detail(why)
}

/// That the breaker holds an account.
fn held(account: &Account, hold: &Hold, secret: Option<&str>) -> Diagnosis {
    Diagnosis::new(Reason::CredentialHeld)
        .fact("user", account.user.as_str())
        .fact("until", told(hold.until))
        .fact("secret", secret.unwrap_or_default())
}

/// A time in whole seconds, as the status tells it.
fn told(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
