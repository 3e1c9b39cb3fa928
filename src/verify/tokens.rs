//! Access tokens, shared by all objects: one request under way for each credential, kept in memory alone, renewed before they end,
//! and a provider that cannot answer is left alone for a while. A provider that judged a credential and refused it is asked again
//! as the login breaker allows, like any server (promise 8): the [`Gate`] is asked first.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};

use super::{Gate, gate::Account, report::LoginOutcome, schedule::later};
use crate::{
    api::{Class, Reason},
    mail::{
        Diagnosis,
        https::Https,
        oauth2::{self, Grant, Request},
    },
};

/// The longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A token is renewed so long before its end, where it lives that long: a check that begins with it must come to its end.
const AHEAD: Duration = Duration::from_mins(5);

/// The first wait after a failure, and the longest; they double in between.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// A provider that asks for more time than this is not believed.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// With more credentials than this, those whose token has ended are forgotten.
const MANY: usize = 4096;

/// All tokens, and how they are asked for.
pub struct Tokens {
    https: Https,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// What is known of one credential.
#[derive(Default)]
struct Entry {
    /// Held by who asks the provider.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Had>,
    /// The refresh token that took the place of the one in the Secret.
    refresh: Option<SecretString>,
    failed: Option<Failed>,
}

#[derive(Clone)]
struct Had {
    secret: SecretString,
    expires: Timestamp,
    renew: Instant,
    ends: Instant,
    shown: bool,
}

struct Failed {
    diagnosis: Diagnosis,
    until: Instant,
    times: u32,
}

/// A token that can be shown to a mail server.
#[derive(Clone, Debug)]
pub struct Access {
    /// The token.
    pub secret: SecretString,
    /// When it ends.
    pub expires: Timestamp,
    /// Whether it was shown to a server before: a refusal of it then says nothing of the credential behind it.
    pub shown: bool,
}

/// Where the tokens of one credential come from.
pub struct Source {
    tokens: Arc<Tokens>,
    request: Request,
    account: Account,
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
        Self { https, entries: Mutex::default() }
    }

    fn entry(&self, key: &str) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        if entries.len() >= MANY && !entries.contains_key(key) {
            let now = Instant::now();
            entries.retain(|_, entry| {
                let state = lock(&entry.state);
                Arc::strong_count(entry) > 1 || state.refresh.is_some() || state.token.as_ref().is_some_and(|had| had.ends > now)
            });
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
        let account = Account { host: request.endpoint.host.clone(), user, secret: key };
        Self { tokens, request, account }
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
    /// Those of [`oauth2::fetch`] and of [`Gate::login`].
    pub async fn token(&self, gate: &dyn Gate, deadline: Instant) -> Result<Access, Diagnosis> {
        self.had(gate, deadline, false).await
    }

    /// The same, and it will be shown to a mail server.
    ///
    /// # Errors
    /// As [`Source::token`].
    pub async fn show(&self, gate: &dyn Gate, deadline: Instant) -> Result<Access, Diagnosis> {
        self.had(gate, deadline, true).await
    }

    /// A mail server refused the token: the next one is asked for anew.
    pub fn refused(&self) {
        lock(&self.tokens.entry(&self.account.secret).state).token = None;
    }

    async fn had(&self, gate: &dyn Gate, deadline: Instant, shows: bool) -> Result<Access, Diagnosis> {
        let entry = self.tokens.entry(&self.account.secret);
        if let Some(access) = entry.take(shows, |had| had.renew) {
            return Ok(access);
        }
        let busy = |_| self.failed("another check was asking for the same token all the time");
        let turn = timeout_at(deadline, entry.turn.lock()).await.map_err(busy)?;
        if let Some(access) = entry.take(shows, |had| had.renew) {
            return Ok(access);
        }
        if let Some(diagnosis) = entry.failure() {
            return entry.take(shows, |had| had.ends).ok_or(diagnosis);
        }
        let outcome = Box::pin(self.ask(&entry, gate, deadline)).await;
        drop(turn);
        match outcome {
            // What is good for a while yet is used where the provider is merely away.
            Err(diagnosis) if diagnosis.class == Class::Transient => entry.take(shows, |had| had.ends).ok_or(diagnosis),
            Err(diagnosis) => Err(diagnosis),
            Ok(()) => entry.take(shows, |had| had.ends).ok_or_else(|| self.failed("it gave a token that ends at once")),
        }
    }

    async fn ask(&self, entry: &Entry, gate: &dyn Gate, deadline: Instant) -> Result<(), Diagnosis> {
        gate.login(&self.account).await?;
        let mut asked = Asked { gate, account: &self.account, outcome: LoginOutcome::Undecided };
        let mut request = self.request.clone();
        if let (Grant::RefreshToken(_), Some(newer)) = (&request.grant, lock(&entry.state).refresh.clone()) {
            request.grant = Grant::RefreshToken(newer);
        }
        let (begun, now) = (Instant::now(), Timestamp::now());
        match oauth2::fetch(&self.tokens.https, &request, now, deadline.min(begun + PATIENCE)).await {
            Ok(token) => {
                asked.outcome = LoginOutcome::Accepted;
                let ahead = ahead(token.lifetime, &self.account.secret);
                let mut state = lock(&entry.state);
                state.token = Some(Had {
                    secret: token.secret,
                    expires: later(now, token.lifetime),
                    renew: begun + token.lifetime.saturating_sub(ahead),
                    ends: begun + token.lifetime,
                    shown: false,
                });
                state.refresh = token.refresh.or(state.refresh.take());
                state.failed = None;
                Ok(())
            }
            Err(refusal) => {
                if refusal.judged {
                    asked.outcome = LoginOutcome::Refused;
                } else {
                    entry.fails(&refusal);
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

impl Entry {
    /// The token, unless the time that `until` names is over.
    fn take(&self, shows: bool, until: impl Fn(&Had) -> Instant) -> Option<Access> {
        let mut state = lock(&self.state);
        let had = state.token.as_mut().filter(|had| until(had) > Instant::now())?;
        let access = Access { secret: had.secret.clone(), expires: had.expires, shown: had.shown };
        had.shown |= shows;
        Some(access)
    }

    /// The last failure, while the provider is left alone for it.
    fn failure(&self) -> Option<Diagnosis> {
        let state = lock(&self.state);
        state.failed.as_ref().filter(|failed| failed.until > Instant::now()).map(|failed| failed.diagnosis.clone())
    }

    fn fails(&self, refusal: &oauth2::Refusal) {
        let mut state = lock(&self.state);
        let times = state.failed.as_ref().map_or(0, |failed| failed.times).saturating_add(1);
        let wait = (WAITS.0 * (1 << times.saturating_sub(1).min(10))).min(WAITS.1);
        let wait = wait.max(refusal.retry_after.unwrap_or_default().min(LONGEST_WAIT));
        state.failed = Some(Failed { diagnosis: refusal.diagnosis.clone(), until: Instant::now() + wait, times });
    }
}

/// A request that the gate granted: its outcome is told once, also where the check is cut short.
struct Asked<'a> {
    gate: &'a dyn Gate,
    account: &'a Account,
    outcome: LoginOutcome,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.gate.logged_in(self.account, self.outcome);
    }
}

/// How long before its end a token is renewed: five minutes or a fifth of its life, a quarter more or less for each credential, so
/// that those which were asked for together are not renewed together.
fn ahead(lifetime: Duration, key: &str) -> Duration {
    let seed = key.bytes().last().unwrap_or_default();
    AHEAD.min(lifetime / 5).mul_f64(0.75 + f64::from(seed % 16) / 32.0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_its_end_at_times_that_differ() {
        for (lifetime, least, most) in [(3600, 225, 370), (60, 9, 15), (0, 0, 0)] {
            for key in ["a", "b", "c", "0", "9", ""] {
                let ahead = ahead(Duration::from_secs(lifetime), key).as_secs();
                assert!((least..=most).contains(&ahead), "{lifetime} {key}: {ahead}");
            }
        }
        assert_ne!(ahead(Duration::from_hours(1), "1"), ahead(Duration::from_hours(1), "2"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_cannot_answer_is_left_alone_longer_and_longer() {
        let entry = Entry::default();
        let refusal = |retry_after| oauth2::Refusal {
            diagnosis: Diagnosis::new(Reason::OAuthTokenFailed).class(Class::Transient),
            judged: false,
            retry_after,
        };
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            entry.fails(&refusal(None));
            tokio::time::advance(Duration::from_secs(seconds - 1)).await;
            assert!(entry.failure().is_some(), "{seconds}");
            tokio::time::advance(Duration::from_secs(2)).await;
            assert!(entry.failure().is_none(), "{seconds}");
        }
        entry.fails(&refusal(Some(Duration::from_hours(250))));
        tokio::time::advance(Duration::from_secs(3599)).await;
        assert!(entry.failure().is_some());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(entry.failure().is_none());
    }
}
