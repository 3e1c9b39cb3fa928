//! What is known of one credential: its token, and how long the provider is left alone.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::Access;
use crate::{
    mail::{Diagnosis, oauth2},
    verify::schedule::later,
};

/// A token is renewed so long before its end, where it lives that long: a check that begins with it must come to its end.
const AHEAD: Duration = Duration::from_mins(5);

/// The first wait after a failure, and the longest; they double in between.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// A token that is revoked so soon behind another was not to blame.
const SOON: Duration = Duration::from_mins(10);

/// A provider that asks for more time than this is not believed.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// What is known of one credential.
#[derive(Default)]
pub(super) struct Entry {
    /// Held by who asks the provider.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Had>,
    /// The refresh token that took the place of the one in the Secret, where nobody keeps it.
    refresh: Option<SecretString>,
    failed: Option<Failed>,
    /// When a server revoked a token that it had taken.
    revoked: Option<Instant>,
}

struct Had {
    secret: SecretString,
    expires: Timestamp,
    renew: Instant,
    ends: Instant,
    /// The accounts whose servers have taken it.
    taken_by: HashSet<String>,
}

impl Had {
    fn is(&self, token: &SecretString) -> bool {
        self.secret.expose_secret() == token.expose_secret()
    }
}

struct Failed {
    diagnosis: Diagnosis,
    until: Instant,
    times: u32,
}

/// When a token was asked for: from then on its life counts.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    instant: Instant,
    pub time: Timestamp,
}

impl Begun {
    pub fn now() -> Self {
        Self { instant: Instant::now(), time: Timestamp::now() }
    }
}

/// How long a token is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Good {
    /// Until it should be renewed.
    Renewed,
    /// To its very end.
    ToItsEnd,
}

impl Entry {
    /// The token, while it is as good as that.
    pub fn take(&self, good: Good) -> Option<Access> {
        let state = lock(&self.state);
        let until = |had: &Had| if good == Good::Renewed { had.renew } else { had.ends };
        let had = state.token.as_ref().filter(|had| until(had) > Instant::now())?;
        Some(Access { secret: had.secret.clone(), expires: had.expires })
    }

    /// A token was had. `key` is the credential's.
    pub fn has(&self, token: oauth2::Token, begun: Begun, key: &str) {
        let ahead = ahead(token.lifetime, key);
        let mut state = lock(&self.state);
        state.token = Some(Had {
            secret: token.secret,
            expires: later(begun.time, token.lifetime),
            renew: begun.instant + token.lifetime.saturating_sub(ahead),
            ends: begun.instant + token.lifetime,
            taken_by: HashSet::new(),
        });
        state.failed = None;
    }

    /// A server took the token for this account.
    pub fn taken(&self, token: &SecretString, account: String) {
        let mut state = lock(&self.state);
        if let Some(had) = state.token.as_mut().filter(|had| had.is(token)) {
            had.taken_by.insert(account);
        }
    }

    /// A server refused the token for this account: whether it took it before. One that others are let in with stays.
    pub fn refused(&self, token: &SecretString, account: &str) -> bool {
        let mut state = lock(&self.state);
        let Some(had) = state.token.as_ref().filter(|had| had.is(token)) else { return false };
        let before = had.taken_by.contains(account);
        if before || had.taken_by.is_empty() {
            state.token = None;
        }
        before
    }

    /// A server that had taken the token does not take it any more: it is not shown again. Returns whether another may help.
    pub fn revoked(&self, token: &SecretString) -> bool {
        let mut state = lock(&self.state);
        if !state.token.as_ref().is_some_and(|had| had.is(token)) {
            // Somebody else has heard of it.
            return true;
        }
        state.token = None;
        let before = state.revoked.replace(Instant::now());
        before.is_none_or(|before| before.elapsed() > SOON)
    }

    /// The refresh token that is kept in memory alone.
    pub fn refresh(&self) -> Option<SecretString> {
        lock(&self.state).refresh.clone()
    }

    /// Nobody else keeps this refresh token.
    pub fn remember(&self, refresh: SecretString) {
        lock(&self.state).refresh = Some(refresh);
    }

    /// Whether something is lost where this is forgotten at `now`.
    pub fn is_needed(&self, now: Instant) -> bool {
        let state = lock(&self.state);
        state.refresh.is_some() || state.token.as_ref().is_some_and(|had| had.ends > now)
    }

    /// The last failure, while the provider is left alone for it.
    pub fn failure(&self) -> Option<Diagnosis> {
        let state = lock(&self.state);
        state.failed.as_ref().filter(|failed| failed.until > Instant::now()).map(|failed| failed.diagnosis.clone())
    }

    /// The provider is left alone for a while, longer than the last time.
    pub fn fails(&self, refusal: &oauth2::Refusal) {
        let mut state = lock(&self.state);
        let times = state.failed.as_ref().map_or(0, |failed| failed.times).saturating_add(1);
        let wait = (WAITS.0 * (1 << times.saturating_sub(1).min(10))).min(WAITS.1);
        let wait = wait.max(refusal.retry_after.unwrap_or_default().min(LONGEST_WAIT));
        state.failed = Some(Failed { diagnosis: refusal.diagnosis.clone(), until: Instant::now() + wait, times });
    }
}

/// How long before its end a token is renewed: five minutes or a fifth of its life, a quarter more or less for each credential, so
/// that those which were asked for together are not renewed together.
fn ahead(lifetime: Duration, key: &str) -> Duration {
    let seed = key.bytes().last().unwrap_or_default();
    AHEAD.min(lifetime / 5).mul_f64(0.75 + f64::from(seed % 16) / 32.0)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Class, Reason};

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
