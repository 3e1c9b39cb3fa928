//! The gate of a check of a server: a mandate as all kinds have it, and before a mail its budgets and its claim.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use super::{Context, MailServers, reconcile::Sight};
use crate::{
    controllers::mandate::Mandate,
    mail::Diagnosis,
    runtime::stop::Stop,
    verify::{
        Gate,
        budget::Mail,
        gate::Account,
        mail_server::{Check, Inputs, Trigger, claim},
        report::LoginOutcome,
    },
};

/// The gate of one check of one object.
pub struct OperatorGate {
    /// What the check may do, and until when.
    pub mandate: Mandate<MailServers>,
    /// The object in its latest version: each claim rests on the one before.
    sight: tokio::sync::Mutex<Sight>,
    plan: Check,
    host: String,
    user: String,
    secret: Option<String>,
    /// The claims that were taken so far: one for each actor's mail.
    claims: AtomicU32,
}

impl OperatorGate {
    /// The gate of the check `plan`, decided on by `sight`, which ends early when `stop` says so.
    #[must_use]
    pub fn new(ctx: Arc<Context>, sight: Sight, plan: Check, inputs: &Inputs, stop: Stop) -> Self {
        let (host, user) = inputs.payer();
        Self {
            mandate: Mandate::new(ctx, &sight.object, sight.object.spec.interval().get(), stop),
            sight: tokio::sync::Mutex::new(sight),
            plan,
            host,
            user: user.to_owned(),
            secret: inputs.login.as_ref().map(|login| login.secret.clone()),
            claims: AtomicU32::new(0),
        }
    }
}

impl OperatorGate {
    /// How many claims were taken: as many mails may have gone.
    pub fn claims(&self) -> u32 {
        self.claims.load(Ordering::Relaxed)
    }

    /// What the next mail is charged by: the check, where one actor sends, and one more for each mail before it.
    fn charged(&self) -> String {
        match self.claims() {
            0 => self.plan.id.clone(),
            before => format!("{}/{before}", self.plan.id),
        }
    }
}

impl Gate for OperatorGate {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.mandate.login(account, self.secret.as_deref()).boxed()
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        self.mandate.logged_in(account, outcome);
    }

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            let mut sight = self.sight.lock().await;
            let now = Timestamp::now();
            let mail = Mail { host: &self.host, user: &self.user, recipient, run: &self.plan.id, borrower: None };
            self.mandate.charge(&self.charged(), &mail, now)?;
            let status = claim(&sight.seen(), &self.plan, now);
            sight.object = self.mandate.claim(&sight.object, &status).await?;
            self.claims.fetch_add(1, Ordering::Relaxed);
            // The write may have taken seconds: the Lease may be lost by now.
            self.still()
        }
        .boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.mandate.still()
    }

    fn is_asked_for(&self) -> bool {
        self.plan.trigger == Trigger::Requested
    }
}
