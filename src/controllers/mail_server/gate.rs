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

use super::{context::Context, reconcile::Sight, server};
use crate::{
    api::{Class, Reason},
    mail::Diagnosis,
    runtime::{Name, lock, patch::Guard, pause},
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
    generation: i64,
    plan: Check,
    host: String,
    user: String,
    secret: Option<String>,
    stop: crate::runtime::stop::Stop,
    claimed: AtomicBool,
    unclaimed: AtomicBool,
}

impl OperatorGate {
    /// The gate of the check `plan` of `name`, which ends early when `stop` says so.
    #[must_use]
    pub fn new(
        ctx: Arc<Context>,
        name: Name,
        generation: i64,
        plan: Check,
        inputs: &Inputs,
        stop: crate::runtime::stop::Stop,
    ) -> Self {
        let login = inputs.login.as_ref();
        Self {
            ctx,
            name,
            generation,
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

    async fn claim(&self, now: Timestamp) -> Result<(), Diagnosis> {
        let ctx = &self.ctx;
        let object = ctx.known.get(&self.name).ok_or_else(|| ended("the object was deleted"))?;
        let sight = Sight::of(object, &self.name, ctx, now);
        let status = claim(&sight.seen().ok_or_else(|| ended("the object cannot be read"))?, &self.plan, now);
        match ctx.teller.apply(&*sight.object, &status, Guard::Version).await {
            Ok(written) => {
                ctx.known.wrote(written);
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
        let spec = self.ctx.known.get(&self.name);
        let interval = spec.as_deref().and_then(server).map_or(Duration::from_hours(1), |server| server.spec.interval().get());
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
        let object = self.ctx.known.get(&self.name).ok_or_else(|| ended("the object was deleted"))?;
        let server = server(&object).ok_or_else(|| ended("the object cannot be read"))?;
        if server.spec.suspend == Some(true) {
            return Err(Diagnosis::new(Reason::Suspended));
        }
        if server.metadata.generation.is_some_and(|generation| generation != self.generation) {
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
        .fact("refused", hold.since.map(told).unwrap_or_default())
        .fact("secret", secret.unwrap_or_default())
}

/// A time in whole seconds, as the status tells it.
fn told(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
