//! Access tokens, shared by all objects: one request under way for each credential, kept in memory alone, renewed before they end,
//! and a provider that cannot answer is left alone for a while. A provider that judged a credential and refused it is asked again
//! as the login breaker allows, like any server (promise 8): the [`Gate`] is asked first.
//!
//! `entry` is what is known of one credential, `renew` one request to its end, `device` how a person signs in, `keep` where a
//! refresh token is kept.

pub mod device;
mod entry;
pub mod keep;
mod renew;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::{
    sync::{OwnedMutexGuard, watch},
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use super::{Gate, gate::Account, report::LoginOutcome, warnings::Ends};
use crate::{
    api::{Class, Reason},
    mail::{
        Diagnosis,
        https::Https,
        oauth2::{Grant, Request},
    },
};
use entry::{Entry, Good, lock};
use keep::Safe;
use renew::{Undone, Unkept, Work};

/// What the answer and the keeping of it may take beyond the time of the check.
const GRACE: Duration = Duration::from_millis(500);

/// With more credentials than this, those whose token has ended are forgotten.
const MANY: usize = 4096;

/// Held by who asks by what is kept in a place, with what could not be kept there yet.
type Place = Arc<tokio::sync::Mutex<Option<Unkept>>>;
type Turn = OwnedMutexGuard<Option<Unkept>>;

/// All tokens, and how they are asked for.
pub struct Tokens {
    https: Https,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    /// Requests under way, each a receiver.
    under_way: watch::Sender<()>,
    places: Mutex<HashMap<String, Place>>,
    /// The device codes that are asked about here, with their places, and by whom.
    followed: Mutex<HashMap<String, Safe>>,
    closed: AtomicBool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// A token that can be shown to a mail server.
#[derive(Clone, Debug)]
pub struct Access {
    /// The token.
    pub secret: SecretString,
    /// When it ends.
    pub expires: Timestamp,
}

/// Where the tokens of one credential come from.
pub struct Source {
    tokens: Arc<Tokens>,
    request: Request,
    account: Account,
    /// What its token is known by here.
    key: String,
    safe: Option<Safe>,
    ends: Option<Ends>,
    /// The Secret with the refresh token that a user has put there.
    seed: Option<String>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("provider", &self.account.host).finish_non_exhaustive()
    }
}

impl Tokens {
    /// No token is known yet.
    #[must_use]
    pub fn new(https: Https) -> Self {
        Self {
            https,
            entries: Mutex::default(),
            under_way: watch::Sender::new(()),
            places: Mutex::default(),
            followed: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    fn begin(&self) -> watch::Receiver<()> {
        self.under_way.subscribe()
    }

    /// Waits until no request is under way: what a provider gave in place of a refresh token is kept then.
    pub async fn settled(&self) {
        self.under_way.closed().await;
    }

    /// The same at the end of the process: device codes are asked about no more.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.settled().await;
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn place(&self, safe: &Safe) -> Place {
        let mut places = lock(&self.places);
        if places.len() >= MANY {
            places.retain(|_, place| Arc::strong_count(place) > 1 || place.try_lock().is_ok_and(|unkept| unkept.is_some()));
        }
        Arc::clone(places.entry(safe.place.to_string()).or_default())
    }

    /// Whether a device code is asked about by nobody here who may. From now on it is, for this safe.
    fn follows(&self, user_code: &str, safe: &Safe) -> bool {
        let mut followed = lock(&self.followed);
        let code = format!("{} {user_code}", safe.place);
        // Who followed it in another term has not noticed yet that it is over.
        let is_new = followed.get(&code).is_none_or(|by| !by.is_awake());
        if is_new {
            followed.insert(code, safe.clone());
        }
        is_new
    }

    /// Whether this is the safe for which a code is asked about.
    fn is_followed(&self, user_code: &str, safe: &Safe) -> bool {
        let code = format!("{} {user_code}", safe.place);
        lock(&self.followed).get(&code).is_some_and(|by| Arc::ptr_eq(&by.keeper, &safe.keeper))
    }

    fn leave(&self, user_code: &str, safe: &Safe) {
        if self.is_followed(user_code, safe) {
            lock(&self.followed).remove(&format!("{} {user_code}", safe.place));
        }
    }

    fn entry(&self, key: &str) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        if entries.len() >= MANY && !entries.contains_key(key) {
            let now = Instant::now();
            entries.retain(|_, entry| Arc::strong_count(entry) > 1 || entry.is_needed(now));
        }
        Arc::clone(entries.entry(key.to_owned()).or_default())
    }
}

impl Source {
    /// The source of a credential whose keyed hash is `key`.
    #[must_use]
    pub fn new(tokens: Arc<Tokens>, request: Request, key: String) -> Self {
        let user = match &request.grant {
            Grant::ServiceAccount { issuer, .. } => issuer.clone(),
            _ => request.client_id.clone(),
        };
        let account = Account { host: request.endpoint.host.clone(), user, secret: key.clone() };
        Self { tokens, request, account, key, safe: None, ends: None, seed: None }
    }

    /// The same, whose refresh tokens are kept there. A device code that waits there is asked about from now on. Of one credential that is kept in two places each has tokens of its own: what
    /// a provider gave for one is not kept in the other.
    #[must_use]
    pub fn kept_in(mut self, safe: Safe) -> Self {
        if let Some(pending) = &safe.pending {
            // Whoever asked for it may have been another process.
            device::follow(&self.tokens, &self.request, &safe, pending);
        }
        self.key = format!("{} {}", safe.place, self.account.secret);
        self.safe = Some(safe);
        self
    }

    /// The same, by the refresh token that a user has put into this Secret, `namespace/name`.
    #[must_use]
    pub fn seeded_by(mut self, secret: Option<String>) -> Self {
        self.seed = secret;
        self
    }

    /// The same, by an application whose secret or certificate ends then.
    #[must_use]
    pub fn ending(mut self, ends: Option<Ends>) -> Self {
        self.ends = ends;
        self
    }

    /// Where its refresh tokens are kept, where they are.
    #[must_use]
    pub fn safe(&self) -> Option<&Safe> {
        self.safe.as_ref()
    }

    /// When the application's secret or certificate ends, where that is known.
    #[must_use]
    pub fn ends(&self) -> Option<&Ends> {
        self.ends.as_ref()
    }

    /// The credential as the breaker knows it: at the provider.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The provider's host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.account.host
    }

    /// How requests are made, to the provider and to an API that takes its tokens.
    #[must_use]
    pub fn https(&self) -> &Https {
        &self.tokens.https
    }

    /// A token, asked for if there is none.
    ///
    /// # Errors
    /// Those of [`fetch`](crate::mail::oauth2::fetch) and of [`Gate::login`].
    pub async fn token(&self, gate: &dyn Gate, deadline: Instant) -> Result<Access, Diagnosis> {
        let entry = self.tokens.entry(&self.key);
        if let Some(access) = entry.take(Good::Renewed) {
            return Ok(access);
        }
        let busy = |_| self.failed("another check was asking for the same token all the time");
        let turn = timeout_at(deadline, Arc::clone(&entry.turn).lock_owned()).await.map_err(busy)?;
        if let Some(access) = entry.take(Good::Renewed) {
            return Ok(access);
        }
        if let Some(diagnosis) = entry.failure() {
            return entry.take(Good::ToItsEnd).ok_or(diagnosis);
        }
        match Box::pin(self.ask(&entry, turn, gate, deadline)).await {
            // What is good for a while yet is used where the provider is merely away.
            Err(diagnosis) if diagnosis.class == Class::Transient => entry.take(Good::ToItsEnd).ok_or(diagnosis),
            Err(diagnosis) => Err(diagnosis),
            Ok(()) => entry.take(Good::ToItsEnd).ok_or_else(|| self.failed("it gave a token that ends at once")),
        }
    }

    /// What a mail server's verdict on a token says of the account there. One that took the token before and refuses it now may have
    /// heard that it was revoked, which says nothing of what it was had with: the next check shows another.
    #[must_use]
    pub fn judged(&self, token: &SecretString, by: &Account, verdict: LoginOutcome) -> LoginOutcome {
        let (entry, account) = (self.tokens.entry(&self.key), format!("{} {}", by.host, by.secret));
        match verdict {
            LoginOutcome::Accepted => entry.taken(token, account),
            LoginOutcome::Refused if entry.refused(token, &account) => return LoginOutcome::Undecided,
            _ => {}
        }
        verdict
    }

    /// A server that had taken this token refuses it in the same session. Returns whether another may help: where the one that came
    /// in place of the last is refused as well, it is not the token.
    #[must_use]
    pub fn revoked(&self, token: &SecretString) -> bool {
        self.tokens.entry(&self.key).revoked(token)
    }

    async fn ask(
        &self,
        entry: &Arc<Entry>,
        turn: OwnedMutexGuard<()>,
        gate: &dyn Gate,
        deadline: Instant,
    ) -> Result<(), Diagnosis> {
        gate.login(&self.account).await?;
        let wanted = Arc::new(AtomicBool::new(true));
        let mut asked =
            Asked { gate, account: &self.account, outcome: LoginOutcome::Undecided, wanted: Arc::clone(&wanted), request: None };
        let place = self.safe.as_ref().map(|safe| self.tokens.place(safe));
        let place = match place {
            // Who asks for something else by the same refresh token waits for the next one.
            Some(place) => {
                let busy = |_| self.failed("another check was asking by the same refresh token all the time");
                Some(timeout_at(deadline, place.lock_owned()).await.map_err(busy)?)
            }
            None => None,
        };
        // Nothing leaves for an object that is paused; and two processes with one refresh token may lose it: the provider takes
        // the second for a thief.
        gate.still()?;
        let keeper = self.safe.as_ref().map(|safe| Arc::clone(&safe.keeper));
        let may = move || wanted.load(Ordering::SeqCst) && keeper.as_ref().is_none_or(|keeper| keeper.leads());
        let work = Work {
            https: self.tokens.https.clone().only_while(may),
            request: self.request.clone(),
            safe: self.safe.clone(),
            entry: Arc::clone(entry),
            tokens: Arc::clone(&self.tokens),
            asked_for: gate.is_asked_for(),
            key: self.account.secret.clone(),
        };
        // A task of its own: a check that is cut short asks nothing any more, and must not cut off what is kept.
        let under_way = self.tokens.begin();
        let work = tokio::spawn(async move {
            let done = Box::pin(work.go(place, deadline)).await;
            drop((turn, under_way));
            done
        });
        // What brings no refresh token may be cut off at any time.
        asked.request =
            (self.safe.is_none() && !matches!(self.request.grant, Grant::RefreshToken(_))).then(|| work.abort_handle());
        let done = match timeout_at(deadline + GRACE, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => return Err(self.failed("the request for it was cut short")),
            Err(_) => return Err(self.failed("it took longer than the check may")),
        };
        match done {
            Ok(()) => {
                asked.outcome = LoginOutcome::Accepted;
                Ok(())
            }
            Err(Undone::Waits(diagnosis)) => Err(diagnosis),
            Err(Undone::Refused(refusal)) => {
                if refusal.judged {
                    asked.outcome = LoginOutcome::Refused;
                } else {
                    entry.fails(&refusal);
                }
                if refusal.diagnosis.reason == Reason::RefreshTokenExpired {
                    // Beside it may be the Secret of the application, in which nothing is wrong.
                    return Err(refusal.diagnosis.fact("secret", self.seed.as_deref().unwrap_or_default()));
                }
                Err(refusal.diagnosis)
            }
        }
    }

    fn failed(&self, fault: &str) -> Diagnosis {
        let fault = format!("no token was had from {}: {fault}", self.account.host);
        Diagnosis::new(Reason::OAuthTokenFailed).class(Class::Transient).detail(fault.clone()).fact("fault", fault)
    }
}

/// A request that the gate granted: its outcome is told once, also where the check is cut short.
struct Asked<'a> {
    gate: &'a dyn Gate,
    account: &'a Account,
    outcome: LoginOutcome,
    /// Whether somebody waits for the answer.
    wanted: Arc<AtomicBool>,
    /// The request, where nothing is lost with it.
    request: Option<AbortHandle>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::SeqCst);
        if let Some(request) = &self.request {
            request.abort();
        }
        self.gate.logged_in(self.account, self.outcome);
    }
}
