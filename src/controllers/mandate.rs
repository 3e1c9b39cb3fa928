//! What the gates of all kinds have in common: the breaker before a login, and at each step whether the check is still the
//! one that may go on (promises 1, 2, 4 and 8). What a kind's mails cost, and how its claims look, is for its own gate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use kube::Resource;
use serde::Serialize;

use super::{context::Context, kind::Kind};
use crate::{
    api::{Class, Reason},
    mail::Diagnosis,
    runtime::{Name, lock, stop::Stop},
    verify::{
        breaker::{Answer, Hold},
        budget::Mail,
        gate::Account,
        mail_server::Mode,
        report::LoginOutcome,
    },
};

/// How long a check that was told to end may wait for the answer to a mail that it has begun to send. A process has 10 s to
/// end in all.
const GRACE: Duration = Duration::from_millis(5500);

/// How often one who waits for another's login asks again by himself.
const AGAIN: Duration = Duration::from_secs(5);

/// What one check of one object may do, and until when.
pub struct Mandate<K: Kind> {
    ctx: Arc<Context<K>>,
    name: Name,
    generation: Option<i64>,
    interval: Duration,
    stop: Stop,
    claimed: AtomicBool,
    unclaimed: AtomicBool,
}

impl<K: Kind> Mandate<K> {
    /// The mandate of a check that was decided on with this version of the object, whose checks come at this interval, and
    /// which ends early when `stop` says so.
    #[must_use]
    pub fn new(ctx: Arc<Context<K>>, object: &K::Object, interval: Duration, stop: Stop) -> Self {
        let (name, generation) = (Name::of(object), object.meta().generation);
        let (claimed, unclaimed) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { ctx, name, generation, interval, stop, claimed, unclaimed }
    }

    /// What the kind shares.
    #[must_use]
    pub fn ctx(&self) -> &Arc<Context<K>> {
        &self.ctx
    }

    /// May one log in to `account`, whose password is in `secret` (namespace/name)? Waits while another check tries the same
    /// credentials for the first time.
    ///
    /// # Errors
    /// `CredentialHeld` while the breaker is open.
    pub async fn login(&self, account: &Account, secret: Option<&str>) -> Result<(), Diagnosis> {
        let term = &self.ctx.term;
        loop {
            let judged = term.judged.notified();
            let answer = lock(&term.ground.memory.breaker).ask(account, Timestamp::now());
            match answer {
                Answer::Free | Answer::TryFirst => return Ok(()),
                // A login whose check was cut short is not told of in every case: ask again now and then.
                Answer::Wait => drop(tokio::time::timeout(AGAIN, judged).await),
                Answer::Held(hold) => return Err(held(account, &hold, secret)),
            }
        }
    }

    /// What a login that was granted came to.
    pub fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        let term = &self.ctx.term;
        lock(&term.ground.memory.breaker).tell(account, outcome, self.interval, Timestamp::now());
        term.ground.metrics.logged_in(outcome);
        term.judged.notify_waiters();
    }

    /// Charges a mail to its budgets, where one may be sent at all. The claim of this name is to follow.
    ///
    /// # Errors
    /// `RateBudgetExceeded`, `ObserveOnly`, and those of [`Mandate::still`].
    pub fn charge(&self, claim: &str, mail: &Mail<'_>, now: Timestamp) -> Result<(), Diagnosis> {
        self.still()?;
        if self.ctx.settings().mode == Mode::Observe {
            return Err(Diagnosis::new(Reason::ObserveOnly));
        }
        self.ctx.term.ground.memory.send(claim, mail, now).map_err(|exceeded| exceeded.diagnosis())
    }

    /// Writes a claim, as part of a whole status, on the very version of the object that the decision rests on, and returns
    /// the object as it then is, for the next claim. Whatever was written since, perhaps another's claim, gives a conflict
    /// (promise 1). [`Mandate::still`] is to be asked after it: the write may have taken seconds.
    ///
    /// # Errors
    /// That the claim was not had: the check then ends without a result.
    pub async fn claim(&self, seen: &K::Object, status: &(impl Serialize + Sync)) -> Result<K::Object, Diagnosis> {
        match self.ctx.term.teller.apply(seen, status).await {
            Ok(written) => {
                self.claimed.store(true, Ordering::SeqCst);
                Ok(written)
            }
            Err(error) => {
                tracing::info!(%error, "the claim was not had; nothing is sent");
                self.unclaimed.store(true, Ordering::SeqCst);
                Err(ended("the object changed while its claim was written"))
            }
        }
    }

    /// Are we still the one that may go on? Asked before each write of a mail.
    ///
    /// # Errors
    /// `Paused`, `Suspended`, or that the check is to end for no fault of the server.
    pub fn still(&self) -> Result<(), Diagnosis> {
        let term = &self.ctx.term;
        if !term.ground.fence.held() {
            return Err(ended("another replica leads now"));
        }
        if let Some(paused) = term.paused(&self.name.namespace, Timestamp::now()) {
            let until = paused.until.map(told).unwrap_or_default();
            return Err(Diagnosis::new(Reason::Paused).fact("configmap", paused.config_map).fact("until", until));
        }
        let now = self.ctx.known.get(&self.name).ok_or_else(|| ended("the object was deleted"))?;
        if now.is_suspended() {
            return Err(Diagnosis::new(Reason::Suspended));
        }
        // The watch may be a moment behind the version that was decided on.
        if now.metadata.generation > self.generation {
            return Err(ended("the spec changed"));
        }
        if self.is_told_to_end() {
            return Err(ended("the check was told to end"));
        }
        Ok(())
    }

    /// Ends when the check is to be cut: at once where nothing can have been sent, else after the seconds that the
    /// answer to a mail may take.
    pub async fn cut(&self) {
        tokio::select! {
            () = self.stop.stopped() => {}
            () = self.ctx.term.ends.stopped() => {}
        }
        if self.claimed.load(Ordering::SeqCst) {
            tokio::time::sleep(GRACE).await;
        }
    }

    /// Whether the report of this check is to be told; `failed`: it found a fault. Not where it found nothing but that it
    /// was told to end, or that the object changed under its claim: the next decision begins anew.
    #[must_use]
    pub fn stands(&self, failed: bool) -> bool {
        let cut = self.is_told_to_end() || !self.ctx.term.ground.fence.held();
        !self.unclaimed.load(Ordering::SeqCst) && (!cut || self.claimed.load(Ordering::SeqCst) || !failed)
    }

    fn is_told_to_end(&self) -> bool {
        self.stop.is_stopped() || self.ctx.term.ends.is_stopped()
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
