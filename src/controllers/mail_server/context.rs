//! What reconciliations and checks of one term as leader share. A term begins with nothing but what statuses tell; only
//! what must outlive it (refused logins, mails sent) is kept in [`Memory`].

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};
use tokio::sync::{Notify, OnceCell, mpsc};

use super::{Glance, Guarded, KIND, checks::Checks, known::Known};
use crate::{
    api::v1alpha1::MailServer,
    mail::Vantage,
    metrics::{Metrics, Object, Objects},
    runtime::{
        ApiError, Name, bounded, lease::Fence, limits::Limits, lock, patch::Teller, pause::Pause, references::Cluster,
        secrets::Access, secrets::Uses, stop::Stop,
    },
    verify::{
        breaker::{Breaker, Hold},
        budget::{Budgets, Exceeded, Mail},
        fingerprint::Key,
        gate::Account,
        mail_server::{Mode, inputs},
    },
};

/// How the operator was set up.
#[derive(Clone)]
pub struct Settings {
    /// The installation's name, in the header of each mail.
    pub installation: String,
    /// The operator's own namespace.
    pub namespace: String,
    /// The namespaces whose objects it looks after; all if empty.
    pub namespaces: Vec<String>,
    /// How changed Secrets are noticed.
    pub access: Access,
    /// Whether each Secret must name the hosts that it may go to.
    pub require_allowed_hosts: bool,
    /// Whether mails are sent.
    pub mode: Mode,
    /// Whom the reader of a mail may ask.
    pub contact: Option<String>,
    /// From where it checks.
    pub vantage: Vantage,
    /// Checks at once.
    pub max_checks: usize,
    /// Checks at once to one host.
    pub max_checks_per_host: usize,
    /// More fresh objects than this are spread over their interval, where they would send mail; 0: never.
    pub max_new_at_once: usize,
    /// This process, in Events and in the election.
    pub identity: String,
}

/// What outlives a term: which logins were refused, and which mails were sent. A term that ended without the API server could
/// not write it down.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The login breaker.
    pub breaker: Arc<Mutex<Breaker>>,
    budgets: Arc<Mutex<(Budgets, HashMap<String, Timestamp>)>>,
}

impl Memory {
    /// Nothing known yet.
    #[must_use]
    pub fn new(per_recipient: u32, per_hour: u32) -> Self {
        let budgets = (Budgets::new(per_recipient, per_hour), HashMap::new());
        Self { breaker: Arc::default(), budgets: Arc::new(Mutex::new(budgets)) }
    }

    /// Charges a mail to its budgets.
    ///
    /// # Errors
    /// The budget that is used up.
    pub fn send(&self, mail: &Mail<'_>, now: Timestamp) -> Result<(), Exceeded> {
        let (budgets, charged) = &mut *lock(&self.budgets);
        budgets.take(mail, now)?;
        charged.insert(mail.run.to_owned(), now);
        Ok(())
    }

    /// Takes up a mail that a status tells of, unless this process knows of it already: a second term reads the same
    /// statuses as the first.
    pub fn sent(&self, mail: &Mail<'_>, at: Timestamp, now: Timestamp) {
        let (budgets, charged) = &mut *lock(&self.budgets);
        charged.retain(|_, at| now.duration_since(*at) < HOUR);
        if at <= now && now.duration_since(at) < HOUR && charged.insert(mail.run.to_owned(), at).is_none() {
            budgets.restore(mail, at);
        }
    }

    fn with_budgets<T>(&self, use_them: impl FnOnce(&mut Budgets) -> T) -> T {
        use_them(&mut lock(&self.budgets).0)
    }
}

/// The longest time that a budget looks back.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What a term as leader stands on.
#[derive(Clone)]
pub struct Ground {
    /// How the operator was set up.
    pub settings: Arc<Settings>,
    /// The API server.
    pub client: Client,
    /// Whether we lead.
    pub fence: Fence,
    /// The installation's key.
    pub key: Key,
    /// What monitoring reads.
    pub metrics: Metrics,
    /// What the probes tell.
    pub health: crate::server::Health,
    /// What outlives the term.
    pub memory: Memory,
}

/// What reconciliations and checks share.
pub struct Context {
    /// What the term stands on.
    pub ground: Ground,
    /// Where Secrets and `ConfigMaps` are read.
    pub references: Cluster,
    /// How statuses and Events are written.
    pub teller: Teller,
    /// What is paused.
    pub pause: Pause,
    /// Bounds on checks in flight.
    pub limits: Limits,
    /// Which objects refer to which Secrets and `ConfigMaps`.
    pub uses: Uses,
    /// The objects.
    pub known: Known,
    /// Checks that run, and reports that wait to be told.
    pub checks: Checks,
    /// Wakes those who wait for a login with their credentials to end.
    pub judged: Notify,
    /// When the term began.
    pub since: Timestamp,
    /// The end of the term.
    pub ends: Stop,
    draining: AtomicBool,
    rebuilt: OnceCell<()>,
    failures: Mutex<HashMap<Name, u32>>,
    accounts: Mutex<HashMap<Name, Vec<Account>>>,
    wakes: Vec<(Option<String>, mpsc::UnboundedSender<Name>)>,
}

impl Context {
    /// The context of a term that begins now. `wakes` reach the controller of each namespace (none: of all).
    #[must_use]
    pub fn new(
        ground: Ground,
        known: Known,
        limits: Limits,
        wakes: Vec<(Option<String>, mpsc::UnboundedSender<Name>)>,
        ends: Stop,
    ) -> Self {
        let uses = Uses::default();
        Self {
            references: Cluster::noting(ground.client.clone(), uses.clone()),
            teller: Teller::new(ground.client.clone(), &ground.settings.identity),
            pause: Pause::default(),
            limits,
            uses,
            known,
            checks: Checks::default(),
            judged: Notify::new(),
            since: Timestamp::now(),
            ends,
            draining: AtomicBool::new(false),
            rebuilt: OnceCell::new(),
            failures: Mutex::default(),
            accounts: Mutex::default(),
            wakes,
            ground,
        }
    }

    /// How the operator was set up.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.ground.settings
    }

    /// `name` is to be reconciled now.
    pub fn wake(&self, name: &Name) {
        let reaches = |scope: &Option<String>| scope.as_ref().is_none_or(|scope| *scope == name.namespace);
        if let Some((_, sender)) = self.wakes.iter().find(|(scope, _)| reaches(scope)) {
            // Where nobody listens the term is over.
            let _ = sender.send(name.clone());
        }
    }

    /// From here on no check begins.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether no check may begin any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed) || self.ends.is_stopped()
    }

    /// Ends once everything is known that a decision rests on: all objects, what is paused, and, from the statuses, which
    /// logins were refused and which mails were sent.
    pub async fn ready(&self) {
        let rebuild = async {
            self.known.listed().await;
            self.pause.known().await;
            let objects = self.known.all();
            for object in &objects {
                self.remember(object).await;
            }
            self.ground.health.done(super::FIRST_LIST);
            tracing::info!(objects = objects.len(), "all objects are known");
        };
        self.rebuilt.get_or_init(|| rebuild).await;
    }

    /// Takes up what the status of an object tells: a refused login, a mail that was sent.
    async fn remember(&self, object: &Glance) {
        let told = &object.status;
        if let (Some(until), Some(credentials)) = (&told.credential_held_until, &told.credentials_observed) {
            let refusals = told.credential_refusals.unwrap_or_default();
            lock(&self.ground.memory.breaker).restore(Hold { credentials: credentials.to_string(), until: until.0, refusals });
        }
        if !told.claimed {
            return;
        }
        // Without it a budget would not know of the mail: it is worth every attempt.
        let name = Name::of(object);
        let server = loop {
            match self.read(&name).await {
                Ok(object) => break object.and_then(|object| object.0.ok()),
                Err(error) => tracing::warn!(object = %name, %error, "its claim could not be read; tried again"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        if let Some(server) = server {
            self.remember_mail(&server);
        }
    }

    fn remember_mail(&self, server: &MailServer) {
        let claim = server.status.as_ref().and_then(|status| status.claim.as_ref());
        let (Some(claim), Some(test)) = (claim, &server.spec.test) else { return };
        let Ok(endpoints) = inputs::endpoints(&server.spec) else { return };
        let host = endpoints.first().map(|endpoint| endpoint.host.to_ascii_lowercase()).unwrap_or_default();
        // A user name that only the Secret holds is not read for this: the other budgets remember the mail all the same.
        let user = server.spec.auth.as_ref().and_then(|auth| auth.username.as_deref()).unwrap_or_default();
        let mail = Mail { host: &host, user, recipient: &test.to, run: &claim.id, borrower: None };
        self.ground.memory.sent(&mail, claim.started_at.0, Timestamp::now());
    }

    /// The object as it is now; none if it is gone.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn read(&self, name: &Name) -> Result<Option<Guarded>, ApiError> {
        let api: Api<Guarded> = Api::namespaced(self.ground.client.clone(), &name.namespace);
        bounded(api.get_opt(&name.name)).await
    }

    /// `name` logs in to the first of `accounts` or, where that cannot be used, to another (none: it does not log in), and
    /// so many mails a minute may be sent through it.
    pub fn join(&self, name: &Name, accounts: Vec<Account>, per_minute: u32) {
        let mut all = lock(&self.accounts);
        let changed = all.get(name).map_or(&[][..], Vec::as_slice) != accounts;
        if let Some(primary) = accounts.first() {
            let object = name.to_string();
            self.ground.memory.with_budgets(|budgets| budgets.join(&object, &primary.host, &primary.user, per_minute));
            all.insert(name.clone(), accounts);
        } else {
            self.ground.memory.with_budgets(|budgets| budgets.leave(&name.to_string()));
            all.remove(name);
        }
        drop(all);
        if changed {
            self.forget_unused_accounts();
        }
    }

    /// `name` is gone, and everything that was kept for it.
    pub fn forget(&self, name: &Name) {
        self.checks.forget(name);
        self.limits.forget(name);
        self.uses.forget(name);
        self.ground.metrics.forget(KIND, name);
        self.ground.memory.with_budgets(|budgets| budgets.leave(&name.to_string()));
        lock(&self.failures).remove(name);
        let used = lock(&self.accounts).remove(name).is_some();
        if used {
            self.forget_unused_accounts();
        }
    }

    /// Refused logins are remembered for accounts in use, and for those that a status names: its object may not have been
    /// looked at yet.
    fn forget_unused_accounts(&self) {
        let mut used: HashSet<String> = lock(&self.accounts).values().flatten().map(|account| account.secret.clone()).collect();
        for object in self.known.all() {
            used.extend(object.status.credentials_observed.as_deref().map(str::to_owned));
        }
        lock(&self.ground.memory.breaker).retain(|account| used.contains(&account.secret));
    }

    /// The wait after one more failure in a row: 1 s, 2 s, 4 s ... a minute, a little more or less for each object, so
    /// that they do not all come back at once.
    #[must_use]
    pub fn back_off(&self, name: &Name) -> Duration {
        let mut failures = lock(&self.failures);
        let count = failures.entry(name.clone()).or_default();
        *count = count.saturating_add(1);
        back_off(*count, self.ground.key.hash(&[name.namespace.as_bytes(), name.name.as_bytes()]).as_bytes()[0])
    }

    /// A reconciliation went well.
    pub fn went_well(&self, name: &Name) {
        lock(&self.failures).remove(name);
    }
}

/// The wait after `count` failures; `seed` moves it by up to a quarter.
fn back_off(count: u32, seed: u8) -> Duration {
    let seconds = 1_u64 << count.saturating_sub(1).min(6);
    let base = Duration::from_secs(seconds.min(60));
    base.mul_f64(0.75 + f64::from(seed % 16) / 32.0)
}

impl Objects for Context {
    fn each(&self, each: &mut dyn FnMut(Object<'_>)) {
        for object in self.known.all() {
            each(Object {
                kind: KIND,
                namespace: object.metadata.namespace.as_deref().unwrap_or_default(),
                name: object.metadata.name.as_deref().unwrap_or_default(),
                conditions: object.conditions().collect(),
                not_after: object.not_after(),
            });
        }
    }

    fn budget_remaining(&self) -> u32 {
        self.ground.memory.with_budgets(|budgets| budgets.remaining(Timestamp::now()))
    }

    fn paused(&self) -> Vec<String> {
        self.pause.scopes(Timestamp::now())
    }

    fn waiting(&self) -> usize {
        self.limits.waiting()
    }

    fn in_flight(&self) -> usize {
        self.limits.in_flight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_that_a_second_term_reads_of_again_is_charged_once() {
        let (memory, now) = (Memory::new(12, 3), Timestamp::from_second(10_000).unwrap());
        let mail = |run| Mail { host: "smtp", user: "", recipient: "a@b.example", run, borrower: None };
        memory.send(&mail("own"), now).unwrap();
        for _ in 0..2 {
            memory.sent(&mail("own"), now, now);
            memory.sent(&mail("other"), now, now);
            memory.sent(&mail("old"), Timestamp::from_second(1).unwrap(), now);
        }
        assert_eq!(memory.with_budgets(|budgets| budgets.remaining(now)), 1);
    }

    #[test]
    fn back_off_doubles_to_a_minute_and_differs_a_little_between_objects() {
        assert_eq!(back_off(1, 8), Duration::from_secs(1));
        assert_eq!(back_off(3, 8), Duration::from_secs(4));
        assert_eq!(back_off(99, 8), Duration::from_mins(1));
        for seed in 0..=255 {
            let wait = back_off(9, seed).as_secs();
            assert!((45..=75).contains(&wait), "{wait}");
        }
    }
}
