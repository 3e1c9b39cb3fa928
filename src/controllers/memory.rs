//! What outlives a term as leader: which logins were refused, and which mails were sent. A term that ended without the API
//! server could not write it down.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    runtime::lock,
    verify::{
        breaker::Breaker,
        budget::{Budgets, Exceeded, Mail},
    },
};

/// The longest time that a budget looks back.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Refused logins and sent mails of all kinds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The login breaker.
    pub breaker: Arc<Mutex<Breaker>>,
    /// With the claims whose mails are charged, and when they were taken.
    budgets: Arc<Mutex<(Budgets, HashMap<String, Timestamp>)>>,
}

impl Memory {
    /// Nothing known yet.
    #[must_use]
    pub fn new(per_recipient: u32, per_hour: u32) -> Self {
        let budgets = (Budgets::new(per_recipient, per_hour), HashMap::new());
        Self { breaker: Arc::default(), budgets: Arc::new(Mutex::new(budgets)) }
    }

    /// Charges a mail to its budgets. `claim` names the claim that is taken for it, which is the run's own name where a run
    /// sends one mail.
    ///
    /// # Errors
    /// The budget that is used up.
    pub fn send(&self, claim: &str, mail: &Mail<'_>, now: Timestamp) -> Result<(), Exceeded> {
        let (budgets, charged) = &mut *lock(&self.budgets);
        budgets.take(mail, now)?;
        charged.insert(claim.to_owned(), now);
        Ok(())
    }

    /// Takes up a mail that a claim in a status tells of, unless this process knows of it already: a second term reads the
    /// same statuses as the first.
    pub fn sent(&self, claim: &str, mail: &Mail<'_>, at: Timestamp, now: Timestamp) {
        let (budgets, charged) = &mut *lock(&self.budgets);
        charged.retain(|_, at| now.duration_since(*at) < HOUR);
        if at <= now && now.duration_since(at) < HOUR && charged.insert(claim.to_owned(), at).is_none() {
            budgets.restore(mail, at);
        }
    }

    /// Uses the budgets.
    pub(super) fn with_budgets<T>(&self, use_them: impl FnOnce(&mut Budgets) -> T) -> T {
        use_them(&mut lock(&self.budgets).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_that_a_second_term_reads_of_again_is_charged_once() {
        let (memory, now) = (Memory::new(12, 3), Timestamp::from_second(10_000).unwrap());
        let mail = |run| Mail { host: "smtp", user: "", recipient: "a@b.example", run, borrower: None };
        memory.send("own", &mail("own"), now).unwrap();
        for _ in 0..2 {
            memory.sent("own", &mail("own"), now, now);
            memory.sent("other", &mail("other"), now, now);
            memory.sent("old", &mail("old"), Timestamp::from_second(1).unwrap(), now);
        }
        assert_eq!(memory.with_budgets(|budgets| budgets.remaining(now)), 1);
    }

    #[test]
    fn each_mail_of_a_run_that_sends_several_is_taken_up() {
        // promise 4
        let (memory, now) = (Memory::new(1, 3), Timestamp::from_second(10_000).unwrap());
        let mail = Mail { host: "smtp", user: "", recipient: "a@b.example", run: "run", borrower: None };
        for claim in ["run/default", "run/branch"] {
            memory.sent(claim, &mail, now, now);
        }
        assert_eq!(memory.with_budgets(|budgets| budgets.remaining(now)), 1);
    }
}
