//! One term as leader, over all kinds: what is written with, what is paused, how much runs at once, which accounts are in use
//! and when the term ends. A term begins with nothing but what statuses tell and what [`super::Memory`] kept.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::{BoxFuture, join_all};
use jiff::Timestamp;
use tokio::sync::{Notify, OnceCell, watch};

use super::{
    desks::Desks,
    ground::{Ground, Settings},
};
use crate::{
    metrics::{Object, Objects},
    runtime::{Name, Who, limits::Limits, lock, patch::Teller, pause, roster::Roster, stop::Stop},
    verify::{
        budget::Allowance,
        gate::Account,
        mail_server::{Pause, PauseScope},
        tokens::keep::Place,
    },
};

/// What the kinds share while this process leads.
pub struct Term {
    /// What the term stands on.
    pub ground: Ground,
    /// How statuses and Events are written.
    pub teller: Teller,
    /// What is paused.
    pub pause: pause::Pause,
    /// Which actors there are.
    pub roster: Arc<Roster>,
    /// Bounds on checks in flight.
    pub limits: Limits,
    /// Where mails are waited for.
    pub desks: Desks,
    /// Wakes those who wait for a login with their credentials to end.
    pub judged: Notify,
    /// When the term began.
    pub since: Timestamp,
    /// The end of the term.
    pub ends: Stop,
    /// Sent to when every object of every kind must look again.
    pub all: watch::Sender<()>,
    draining: AtomicBool,
    ready: OnceCell<()>,
    held: Mutex<HashMap<Who, Held>>,
    // The kinds hold the term: it must not hold them, or none of them would ever be freed.
    kinds: OnceLock<Vec<Weak<dyn Looked>>>,
}

/// What a term keeps of an object.
#[derive(Default)]
struct Held {
    /// What it logs in to.
    accounts: Box<[Account]>,
    /// Whether nothing stopped it when it was looked at last.
    is_awake: bool,
}

/// A kind that is looked after, as the term knows it.
pub trait Looked: Send + Sync {
    /// The kind.
    fn kind(&self) -> &'static str;
    /// An object of it is to be reconciled now.
    fn wake(&self, name: &Name);
    /// An object of any kind has changed: those who name it are to look again.
    fn changed(&self, other: &Who);
    /// How many of its objects name `other`.
    fn users(&self, other: &Who) -> usize;
    /// Ends once what its statuses tell is taken up, or it is known that the kind is not installed.
    fn settled(&self) -> BoxFuture<'_, ()>;
    /// Its checks are told to end; what is returned ends once they have and, if `told`, their reports are written.
    fn end(&self, told: bool) -> BoxFuture<'_, ()>;
    /// Calls `each` with what the status of each object tells of its credentials ([`Account::secret`]).
    fn credentials(&self, each: &mut dyn FnMut(&str));
    /// Calls `each` with each object, for metrics.
    fn objects(&self, each: &mut dyn FnMut(Object<'_>));
}

impl Term {
    /// A term that begins now.
    #[must_use]
    pub fn new(ground: Ground, limits: Limits, ends: Stop) -> Self {
        Self {
            teller: Teller::new(ground.client.clone(), &ground.settings.identity),
            pause: pause::Pause::default(),
            roster: Arc::default(),
            limits,
            desks: Desks::default(),
            judged: Notify::new(),
            since: Timestamp::now(),
            ends,
            all: watch::channel(()).0,
            draining: AtomicBool::new(false),
            ready: OnceCell::new(),
            held: Mutex::default(),
            kinds: OnceLock::new(),
            ground,
        }
    }

    /// The kinds that are looked after in this term; said once, before any of them begins.
    pub(super) fn meet(&self, kinds: &[Arc<dyn Looked>]) {
        let _ = self.kinds.set(kinds.iter().map(Arc::downgrade).collect());
    }

    fn kinds(&self) -> impl Iterator<Item = Arc<dyn Looked>> {
        self.kinds.get().into_iter().flatten().filter_map(Weak::upgrade)
    }

    /// How the operator was set up.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.ground.settings
    }

    /// Ends once everything is known that a decision rests on: what is paused, and, from the statuses of all kinds, which
    /// logins were refused and which mails were sent. A kind that is not installed has none.
    pub async fn ready(&self) {
        let known = async {
            self.pause.known().await;
            self.roster.known().await;
            let kinds: Vec<_> = self.kinds().collect();
            join_all(kinds.iter().map(|kind| kind.settled())).await;
        };
        self.ready.get_or_init(|| known).await;
    }

    /// `who` is to be reconciled now; what is no object of a kind here, such as the default of a namespace, has changed for those
    /// who name it.
    pub fn wake(&self, who: &Who) {
        match self.kinds().find(|kind| kind.kind() == who.kind) {
            Some(kind) => kind.wake(&who.name),
            None => self.changed(who),
        }
    }

    /// `who` changed in what other objects rest on, or is gone: those of any kind that name it look again.
    pub fn changed(&self, who: &Who) {
        self.kinds().for_each(|kind| kind.changed(who));
    }

    /// How many objects of any kind name `who`.
    #[must_use]
    pub fn used_by(&self, who: &Who) -> usize {
        self.kinds().map(|kind| kind.users(who)).sum()
    }

    /// The pause that holds for a namespace.
    #[must_use]
    pub fn paused(&self, namespace: &str, now: Timestamp) -> Option<Pause> {
        self.pause.of(namespace, now).map(|paused| Pause {
            until: paused.until,
            config_map: format!("{}/{}", self.settings().namespace, pause::CONFIG_MAP),
            scope: if paused.scope == pause::ALL { PauseScope::All } else { PauseScope::Namespace },
        })
    }

    /// `who` was looked at: whether it is suspended, paused or in maintenance.
    pub(super) fn looked_at(&self, who: &Who, halted: bool) {
        self.keep(who, |held| held.is_awake = !halted);
    }

    fn keep<T>(&self, who: &Who, change: impl FnOnce(&mut Held) -> T) -> T {
        let mut all = lock(&self.held);
        let mut held = all.remove(who).unwrap_or_default();
        let changed = change(&mut held);
        if held.is_awake || !held.accounts.is_empty() {
            all.insert(who.clone(), held);
        }
        changed
    }

    /// Whether the object that a refresh token is kept for is to be left alone: it is paused, suspended or gone, was not looked
    /// at yet, or the term is over.
    #[must_use]
    pub fn rests(&self, kept: &Place) -> bool {
        let name = Name::new(&kept.namespace, &kept.owner.name);
        let kind = self.kinds().map(|kind| kind.kind()).find(|kind| *kind == kept.owner.kind);
        let is_awake = kind.is_some_and(|kind| lock(&self.held).get(&Who::new(kind, name)).is_some_and(|held| held.is_awake));
        !is_awake || self.ends.is_stopped() || self.paused(&kept.namespace, Timestamp::now()).is_some()
    }

    /// From here on no check begins, and those that run are told to end. Ends once they have: with their reports told, or,
    /// without the Lease, when none of them can have a mail on its way any more.
    pub(super) async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        let (kinds, told) = (self.kinds().collect::<Vec<_>>(), self.ground.fence.held());
        join_all(kinds.iter().map(|kind| kind.end(told))).await;
    }

    /// Whether no check may begin any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed) || self.ends.is_stopped()
    }

    /// `who` logs in to `accounts` (none: it does not log in), and lets so much be sent, if it sends.
    pub fn join(&self, who: &Who, accounts: Vec<Account>, allowance: Option<Allowance<'_>>) {
        let object = who.to_string();
        self.ground.memory.with_budgets(|budgets| match allowance {
            Some(allowance) => budgets.join(&object, allowance),
            None => budgets.leave(&object),
        });
        let is_one_unused = self.keep(who, |held| {
            let known = std::mem::replace(&mut held.accounts, accounts.into());
            known.iter().any(|account| !held.accounts.contains(account))
        });
        if is_one_unused {
            self.forget_unused_accounts();
        }
    }

    /// `who` is gone, and everything that the term kept for it.
    pub(super) fn forget(&self, who: &Who) {
        self.limits.forget(who);
        self.ground.metrics.forget(who.kind, &who.name);
        self.ground.memory.with_budgets(|budgets| budgets.leave(&who.to_string()));
        let held = lock(&self.held).remove(who);
        if held.is_some_and(|held| !held.accounts.is_empty()) {
            self.forget_unused_accounts();
        }
        self.changed(who);
    }

    /// Refused logins are remembered for accounts that an object of any kind uses, and for those that a status names: its
    /// object may not have been looked at yet.
    fn forget_unused_accounts(&self) {
        let all = lock(&self.held);
        let mut used: HashSet<String> =
            all.values().flat_map(|held| &held.accounts).map(|account| account.secret.clone()).collect();
        drop(all);
        for kind in self.kinds() {
            kind.credentials(&mut |secret| used.extend([secret.to_owned()]));
        }
        lock(&self.ground.memory.breaker).retain(|account| used.contains(&account.secret));
    }
}

/// All kinds in one, so that what they share is counted once.
impl Objects for Term {
    fn each(&self, each: &mut dyn FnMut(Object<'_>)) {
        self.kinds().for_each(|kind| kind.objects(each));
    }

    fn installation(&self) -> &str {
        &self.ground.settings.installation
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
pub(super) mod tests {
    use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

    use kube::Client;

    use super::*;
    use crate::{
        api::v1alpha1::DEFAULT_ACTOR,
        controllers::Memory,
        mail::{
            Vantage,
            dns::Resolver,
            guard::Guard,
            https::{Hosts, Https},
        },
        metrics::Metrics,
        runtime::{
            lease::{Fence, Pace},
            secrets::Access,
            stop::Stopper,
        },
        server::Health,
        verify::{breaker::Answer, fingerprint::Key, mail_server::Mode, report::LoginOutcome, tokens::Tokens},
    };

    /// A kind of one object, which notes what it is told.
    struct Fake {
        kind: &'static str,
        credentials: &'static str,
        settled: watch::Sender<bool>,
        heard: Mutex<Vec<String>>,
    }

    impl Fake {
        fn new(kind: &'static str, credentials: &'static str) -> Arc<Self> {
            Arc::new(Self { kind, credentials, settled: watch::channel(false).0, heard: Mutex::default() })
        }

        fn heard(&self) -> Vec<String> {
            std::mem::take(&mut lock(&self.heard))
        }
    }

    impl Looked for Fake {
        fn kind(&self) -> &'static str {
            self.kind
        }

        fn wake(&self, name: &Name) {
            lock(&self.heard).push(format!("wake {name}"));
        }

        fn changed(&self, other: &Who) {
            lock(&self.heard).push(format!("changed {other}"));
        }

        fn users(&self, _: &Who) -> usize {
            1
        }

        fn settled(&self) -> BoxFuture<'_, ()> {
            Box::pin(async {
                self.settled.subscribe().wait_for(|settled| *settled).await.unwrap();
            })
        }

        fn end(&self, told: bool) -> BoxFuture<'_, ()> {
            lock(&self.heard).push(format!("end {told}"));
            Box::pin(std::future::ready(()))
        }

        fn credentials(&self, each: &mut dyn FnMut(&str)) {
            each(self.credentials);
        }

        fn objects(&self, each: &mut dyn FnMut(Object<'_>)) {
            each(Object {
                kind: self.kind,
                namespace: "mail",
                name: "one",
                conditions: Vec::new(),
                next_check: None,
                not_after: Some(1),
                credential_ends: None,
                last_success: None,
            });
        }
    }

    fn term(kinds: &[&Arc<Fake>]) -> (Stopper, Term) {
        let (stopper, term) = lonely();
        let kinds: Vec<Arc<dyn Looked>> = kinds.iter().map(|kind| Arc::<Fake>::clone(kind) as Arc<dyn Looked>).collect();
        term.meet(&kinds);
        (stopper, term)
    }

    /// A term that has met no kind. Its API server does not answer.
    pub fn lonely() -> (Stopper, Term) {
        let vantage = Vantage {
            actor: DEFAULT_ACTOR.to_owned(),
            resolver: Resolver::new(&[SocketAddr::from(([127, 0, 0, 1], 9))]),
            guard: Guard::open(),
            proxy: None,
        };
        let https = Https::new(vantage.clone(), &[], Hosts::These(Vec::new()));
        let settings = Settings {
            https: https.clone(),
            installation: "mailverity".to_owned(),
            namespace: "mailverity-system".to_owned(),
            receiver_namespace: "mailverity-receiver".to_owned(),
            namespaces: Vec::new(),
            access: Access::Watch,
            require_allowed_hosts: false,
            mode: Mode::Enforce,
            contact: None,
            vantage,
            token_secrets: false,
            federated_account: None,
            max_checks: 1,
            max_checks_per_host: 1,
            max_new_at_once: 0,
            target_kinds: Vec::new(),
            identity: "test".to_owned(),
            pace: Pace { duration: Duration::from_secs(10) },
        };
        let ground = Ground {
            settings: Arc::new(settings),
            client: Client::try_from(kube::Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap(),
            fence: Fence::new(),
            key: Key::new(&[1; 32]),
            metrics: Metrics::default(),
            health: Health::default(),
            memory: Memory::new(12, 200),
            tokens: Arc::new(Tokens::new(https)),
        };
        let (stopper, ends) = Stop::new();
        (stopper, Term::new(ground, Limits::new(1, 1).0, ends))
    }

    fn account(secret: &str) -> Account {
        Account { host: "mail.example".to_owned(), user: "relay".to_owned(), secret: secret.to_owned() }
    }

    fn one(kind: &'static str) -> Who {
        Who::new(kind, Name::new("mail", "one"))
    }

    #[tokio::test]
    async fn a_refused_login_is_remembered_while_an_object_of_any_kind_uses_the_account() {
        // promise 8
        let (servers, profiles) = (Fake::new("MailServer", "told"), Fake::new("EmailProfile", "told too"));
        let (_stopper, term) = term(&[&servers, &profiles]);
        let now = Timestamp::now();
        let held = |secret| matches!(lock(&term.ground.memory.breaker).ask(&account(secret), now), Answer::Held(_));
        for secret in ["used", "told", "told too", "unused"] {
            let interval = Duration::from_hours(1);
            lock(&term.ground.memory.breaker).tell(&account(secret), LoginOutcome::Refused, interval, now);
        }
        // Two objects of one name.
        term.join(&one("MailServer"), vec![account("used")], None);
        term.join(&one("EmailProfile"), vec![account("used")], None);
        term.forget(&one("MailServer"));
        assert!(held("used") && held("told") && held("told too") && !held("unused"));
        term.forget(&one("EmailProfile"));
        assert!(!held("used"));
    }

    #[tokio::test]
    async fn no_check_begins_before_every_kind_is_known() {
        // promise 4
        let (servers, profiles) = (Fake::new("MailServer", ""), Fake::new("EmailProfile", ""));
        let (_stopper, term) = term(&[&servers, &profiles]);
        term.pause.set(BTreeMap::new());
        term.roster.set(Vec::new());
        term.roster.looked();
        servers.settled.send_replace(true);
        assert!(tokio::time::timeout(Duration::from_millis(20), term.ready()).await.is_err());
        profiles.settled.send_replace(true);
        term.ready().await;
    }

    #[tokio::test]
    async fn each_is_told_what_is_meant_for_it_and_what_they_share_is_counted_once() {
        let (servers, profiles) = (Fake::new("MailServer", ""), Fake::new("EmailProfile", ""));
        let (_stopper, term) = term(&[&servers, &profiles]);
        let term = Arc::new(term);
        term.wake(&one("EmailProfile"));
        assert_eq!((servers.heard(), profiles.heard()), (vec![], vec!["wake mail/one".to_owned()]));
        term.forget(&one("MailServer"));
        assert_eq!(profiles.heard(), ["changed MailServer mail/one"], "who is gone has changed");
        let objects: Arc<dyn Objects> = Arc::<Term>::clone(&term);
        term.ground.metrics.observe(Arc::downgrade(&objects));
        let text = term.ground.metrics.text();
        assert_eq!(text.matches("\nmailverity_budget_remaining{").count(), 1, "{text}");
        for kind in ["MailServer", "EmailProfile"] {
            assert!(text.contains(&format!("not_after_seconds{{kind=\"{kind}\"")), "{text}");
        }
        servers.heard();
        assert!(!term.is_draining());
        term.drain().await;
        assert!(term.is_draining());
        assert_eq!((servers.heard(), profiles.heard()), (vec!["end false".to_owned()], vec!["end false".to_owned()]));
    }
}
