//! The login breaker (promise 8): over all objects, keyed by account, so that one wrong password is tried once and not
//! by every object that names it. It knows neither the clock nor the cluster; the gate of the operator asks it.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use super::{gate::Account, report::LoginOutcome};

/// No login before a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The first moment of the next try.
    pub until: Timestamp,
    /// When the login was refused; unknown where only the status of an earlier process told.
    pub since: Option<Timestamp>,
    /// Refusals in a row; 0 where the server said that there were too many logins.
    pub refusals: u32,
}

/// Whether one may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes: the credentials were accepted before.
    Free,
    /// Yes, and all others wait until [`Breaker::tell`]: these credentials were not accepted yet.
    TryFirst,
    /// Ask again when the login under way has come to an end.
    Wait,
    /// No.
    Held(Hold),
}

/// The breaker over all accounts.
#[derive(Debug, Default)]
pub struct Breaker {
    accounts: HashMap<Account, ()>,
}

impl Breaker {
    /// May one log in to the account now? After `Free` and `TryFirst` the outcome is to be told.
    pub fn ask(&mut self, account: &Account, now: Timestamp) -> Answer {
        let _ = (account, now, &self.accounts);
        Answer::Free
    }

    /// What a login came to. `interval` is the object's time between two checks.
    pub fn tell(&mut self, account: &Account, outcome: LoginOutcome, interval: Duration, now: Timestamp) {
        let _ = (account, outcome, interval, now);
    }

    /// The hold on an account, if it is not over.
    #[must_use]
    pub fn held(&self, account: &Account, now: Timestamp) -> Option<Hold> {
        let _ = (account, now);
        None
    }

    /// Takes up a hold that a status remembers, at the start: `credentials` is its credentialsObserved, which is
    /// [`Account::secret`]. No Secret needs to be read for it.
    pub fn restore(&mut self, credentials: &str, hold: Hold) {
        let _ = (credentials, hold);
    }

    /// Forgets the accounts that no object uses any more.
    pub fn retain(&mut self, used: impl Fn(&Account) -> bool) {
        self.accounts.retain(|account, ()| used(account));
    }
}
