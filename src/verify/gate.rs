//! Who may log in and send, and when: asked by a check at the moment before it does. And when to leave.
//!
//! The operator's gate keeps the login breaker, the budgets and the claims; a person at a shell has none of them.

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::watch as channel;

use super::report::LoginOutcome;
use crate::mail::Diagnosis;

/// The account that a login is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The host as it is written in the spec, lower case.
    pub host: String,
    /// The user name.
    pub user: String,
    /// A keyed hash of host, user name and secret, of which a status keeps nothing else: another password is another
    /// account here, and the same password on another host too.
    pub secret: String,
}

/// Asked before a login and before a mail.
pub trait Gate: Send + Sync {
    /// May we log in? Waits while another check tries the same credentials for the first time.
    ///
    /// # Errors
    /// `CredentialHeld` while the breaker is open.
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>>;

    /// What the login came to. Called once after each [`Gate::login`] that was granted, also where the check is cut short.
    fn logged_in(&self, account: &Account, outcome: LoginOutcome);

    /// May we send one mail now? Takes the claim: it is written before this returns `Ok` (promise 1).
    ///
    /// # Errors
    /// `RateBudgetExceeded`, `Paused`, `ObserveOnly`, or that the claim was not had.
    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>>;

    /// Asked before each write of the mail, the final dot included: are we still the one that may send?
    ///
    /// # Errors
    /// `Paused`, or that the lease is lost.
    fn still(&self) -> Result<(), Diagnosis>;

    /// Whether somebody has asked for this check, and may be there to sign in: then a new device code may be asked for.
    fn is_asked_for(&self) -> bool {
        false
    }

    /// Ends when a search is not wanted any more: it leaves the mailbox in order, and comes to nothing.
    fn ends(&self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }
}

/// A gate that ends what goes through it once something is over.
pub struct Until<'a> {
    /// Through which it goes.
    pub gate: &'a dyn Gate,
    /// Says when it is over.
    pub over: channel::Receiver<bool>,
}

impl Gate for Until<'_> {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.gate.login(account)
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        self.gate.logged_in(account, outcome);
    }

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.gate.send(recipient)
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.gate.still()
    }

    fn is_asked_for(&self) -> bool {
        self.gate.is_asked_for()
    }

    fn ends(&self) -> BoxFuture<'_, ()> {
        let mut over = self.over.clone();
        async move {
            tokio::select! {
                // An error means that nobody is left to say so.
                _ = over.wait_for(|over| *over) => {}
                () = self.gate.ends() => {}
            }
        }
        .boxed()
    }
}

/// The gate of a person at a shell: open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Gate for Open {
    fn login<'a>(&'a self, _: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async { Ok(()) }.boxed()
    }

    fn logged_in(&self, _: &Account, _: LoginOutcome) {}

    fn send<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async { Ok(()) }.boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        Ok(())
    }
}
