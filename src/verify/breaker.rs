//! The login breaker (promise 8): over all objects, keyed by account, so that one wrong password is tried once and not
//! by every object that names it. It knows neither the clock nor the cluster; the gate of the operator asks it.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{gate::Account, report::LoginOutcome, schedule::later};

/// The shortest hold after a refusal, and the one after "too many logins".
const HOUR: Duration = Duration::from_hours(1);

/// The longest hold, unless the interval itself is longer.
const DAY: Duration = Duration::from_hours(24);

/// A login that is not told of for so long was dropped with its check; the longest check takes 5 minutes.
const LOST: SignedDuration = SignedDuration::from_mins(6);

/// With more accounts than this, those that nothing is remembered for are forgotten.
const MANY: usize = 16_384;

/// No login before a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The account that it is on, by [`Account::secret`].
    pub credentials: String,
    /// The first moment of the next try.
    pub until: Timestamp,
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
    accounts: HashMap<Account, Known>,
    /// Holds of an earlier process by [`Account::secret`], until the account is asked for.
    restored: HashMap<String, Hold>,
}

/// What is known of one account.
#[derive(Debug, Default)]
struct Known {
    accepted: bool,
    /// When the login began that all others wait for.
    trying: Option<Timestamp>,
    hold: Option<Hold>,
}

impl Breaker {
    /// May one log in to the account now? After `Free` and `TryFirst` the outcome is to be told.
    pub fn ask(&mut self, account: &Account, now: Timestamp) -> Answer {
        if let Some(hold) = self.held(account, now) {
            return Answer::Held(hold);
        }
        let known = self.known(account, now);
        if known.accepted {
            return Answer::Free;
        }
        if known.trying.is_some_and(|since| now.duration_since(since) < LOST) {
            return Answer::Wait;
        }
        known.trying = Some(now);
        Answer::TryFirst
    }

    /// What a login came to. `interval` is the object's time between two checks.
    pub fn tell(&mut self, account: &Account, outcome: LoginOutcome, interval: Duration, now: Timestamp) {
        // Logins that were under way together are refused together: that is one refusal.
        let held = self.held(account, now).is_some();
        let known = self.known(account, now);
        known.trying = None;
        match outcome {
            LoginOutcome::Accepted => {
                known.accepted = true;
                known.hold = None;
            }
            LoginOutcome::Refused => {
                known.accepted = false;
                if !held {
                    let refusals = known.hold.as_ref().map_or(0, |hold| hold.refusals).saturating_add(1);
                    let until = later(now, hold_after(refusals, interval));
                    known.hold = Some(Hold { credentials: account.secret.clone(), until, refusals });
                }
            }
            LoginOutcome::TooMany if !held => {
                let refusals = known.hold.as_ref().map_or(0, |hold| hold.refusals);
                known.hold = Some(Hold { credentials: account.secret.clone(), until: later(now, HOUR), refusals });
            }
            LoginOutcome::TooMany | LoginOutcome::Undecided => {}
        }
    }

    /// The hold on an account, if it is not over.
    #[must_use]
    pub fn held(&self, account: &Account, now: Timestamp) -> Option<Hold> {
        let known = self.accounts.get(account).map(|known| known.hold.as_ref());
        known.unwrap_or_else(|| self.restored.get(&account.secret)).filter(|hold| hold.until > now).cloned()
    }

    /// The longest hold on any of these accounts.
    #[must_use]
    pub fn longest(&self, accounts: &[Account], now: Timestamp) -> Option<Hold> {
        accounts.iter().filter_map(|account| self.held(account, now)).max_by_key(|hold| hold.until)
    }

    /// Takes up a hold that a status remembers, at the start: its credentialsObserved is the account's
    /// [`Account::secret`], host and all, so that no Secret needs to be read for it. Of several the longest counts.
    pub fn restore(&mut self, hold: Hold) {
        let longest = self.restored.entry(hold.credentials.clone()).or_insert_with(|| hold.clone());
        if hold.until > longest.until {
            *longest = hold;
        }
    }

    /// Forgets the accounts that no object uses any more.
    pub fn retain(&mut self, used: impl Fn(&Account) -> bool) {
        self.accounts.retain(|account, _| used(account));
    }

    fn known(&mut self, account: &Account, now: Timestamp) -> &mut Known {
        if self.accounts.len() >= MANY && !self.accounts.contains_key(account) {
            // A hold that ended is remembered for a day, so that the next refusal doubles it.
            let worth = |hold: &Hold| later(hold.until, DAY) > now;
            self.accounts.retain(|_, known| known.trying.is_some() || known.hold.as_ref().is_some_and(worth));
            self.restored.retain(|_, hold| worth(hold));
        }
        let restored = &self.restored;
        self.accounts
            .entry(account.clone())
            .or_insert_with(|| Known { hold: restored.get(&account.secret).cloned(), ..Known::default() })
    }
}

/// How long the hold lasts after so many refusals: max(interval, 1 h), doubling to 24 h.
fn hold_after(refusals: u32, interval: Duration) -> Duration {
    let first = interval.max(HOUR);
    first.saturating_mul(1 << refusals.saturating_sub(1).min(10)).min(DAY).max(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(secret: &str) -> Account {
        Account { host: "smtp.corp.example".to_owned(), user: "relay".to_owned(), secret: secret.to_owned() }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + minute * 60).unwrap()
    }

    fn refused_at(breaker: &mut Breaker, minute: i64, interval: Duration) {
        assert_eq!(breaker.ask(&account("a"), at(minute)), Answer::TryFirst);
        breaker.tell(&account("a"), LoginOutcome::Refused, interval, at(minute));
    }

    #[test]
    fn of_twenty_objects_with_one_wrong_password_one_logs_in() {
        // promise 8
        let mut breaker = Breaker::default();
        let answers: Vec<_> = (0..20).map(|_| breaker.ask(&account("a"), at(0))).collect();
        assert_eq!(answers.iter().filter(|answer| **answer == Answer::TryFirst).count(), 1);
        assert_eq!(answers.iter().filter(|answer| **answer == Answer::Wait).count(), 19);
        breaker.tell(&account("a"), LoginOutcome::Refused, HOUR, at(0));
        assert!((0..20).all(|_| matches!(breaker.ask(&account("a"), at(1)), Answer::Held(_))));
    }

    #[test]
    fn a_password_that_was_accepted_once_makes_nobody_wait() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.ask(&account("a"), at(0)), Answer::TryFirst);
        breaker.tell(&account("a"), LoginOutcome::Accepted, HOUR, at(0));
        assert!((0..20).all(|_| breaker.ask(&account("a"), at(0)) == Answer::Free));
    }

    #[test]
    fn the_hold_doubles_from_an_hour_to_a_day_and_no_try_goes_before_its_end() {
        // promise 8
        let mut breaker = Breaker::default();
        let mut minute = 0;
        for hours in [1, 2, 4, 8, 16, 24, 24] {
            refused_at(&mut breaker, minute, Duration::from_mins(1));
            minute += hours * 60;
            assert!(matches!(breaker.ask(&account("a"), at(minute - 1)), Answer::Held(_)), "{hours}");
            assert_eq!(breaker.held(&account("a"), at(minute)), None, "{hours}");
        }
    }

    #[test]
    fn the_first_hold_is_no_shorter_than_the_interval() {
        for (interval, hours) in [(Duration::from_hours(6), 6), (DAY * 2, 48)] {
            let mut breaker = Breaker::default();
            refused_at(&mut breaker, 0, interval);
            assert_eq!(breaker.held(&account("a"), at(1)).unwrap().until, at(hours * 60));
        }
    }

    #[test]
    fn an_accepted_login_begins_anew() {
        let mut breaker = Breaker::default();
        refused_at(&mut breaker, 0, HOUR);
        assert_eq!(breaker.ask(&account("a"), at(60)), Answer::TryFirst);
        breaker.tell(&account("a"), LoginOutcome::Accepted, HOUR, at(60));
        breaker.tell(&account("a"), LoginOutcome::Refused, HOUR, at(90));
        let hold = breaker.held(&account("a"), at(91)).unwrap();
        assert_eq!((hold.refusals, hold.until), (1, at(150)));
    }

    #[test]
    fn another_secret_is_tried_at_once() {
        // promise 8
        let mut breaker = Breaker::default();
        refused_at(&mut breaker, 0, HOUR);
        assert_eq!(breaker.ask(&account("b"), at(1)), Answer::TryFirst);
    }

    #[test]
    fn too_many_logins_hold_for_an_hour_and_do_not_double() {
        // promise 8
        let mut breaker = Breaker::default();
        for start in [0, 60, 120] {
            breaker.tell(&account("a"), LoginOutcome::TooMany, Duration::from_mins(1), at(start));
            let hold = breaker.held(&account("a"), at(start)).unwrap();
            assert_eq!((hold.until, hold.refusals), (at(start + 60), 0));
        }
    }

    #[test]
    fn logins_that_were_refused_together_count_as_one_refusal() {
        let mut breaker = Breaker::default();
        breaker.ask(&account("a"), at(0));
        breaker.tell(&account("a"), LoginOutcome::Accepted, HOUR, at(0));
        for _ in 0..5 {
            breaker.tell(&account("a"), LoginOutcome::Refused, HOUR, at(5));
        }
        assert_eq!(breaker.held(&account("a"), at(5)).unwrap().refusals, 1);
    }

    #[test]
    fn a_login_without_a_judgement_lets_the_next_one_try() {
        let mut breaker = Breaker::default();
        breaker.ask(&account("a"), at(0));
        breaker.tell(&account("a"), LoginOutcome::Undecided, HOUR, at(0));
        assert_eq!(breaker.ask(&account("a"), at(0)), Answer::TryFirst);
    }

    #[test]
    fn a_login_that_is_never_told_of_does_not_block_for_ever() {
        let mut breaker = Breaker::default();
        breaker.ask(&account("a"), at(0));
        assert_eq!(breaker.ask(&account("a"), at(5)), Answer::Wait);
        assert_eq!(breaker.ask(&account("a"), at(6)), Answer::TryFirst);
    }

    #[test]
    fn a_hold_survives_a_restart_and_doubles_after_it() {
        // promise 8
        let mut breaker = Breaker::default();
        breaker.restore(Hold { credentials: "a".to_owned(), until: at(30), refusals: 1 });
        breaker.restore(Hold { credentials: "a".to_owned(), until: at(60), refusals: 2 });
        breaker.restore(Hold { credentials: "a".to_owned(), until: at(45), refusals: 1 });
        assert!(matches!(breaker.ask(&account("a"), at(59)), Answer::Held(Hold { refusals: 2, .. })));
        refused_at(&mut breaker, 60, HOUR);
        assert_eq!(breaker.held(&account("a"), at(61)).unwrap().until, at(60 + 240));
    }

    #[test]
    fn of_the_holds_on_an_objects_accounts_the_longest_counts() {
        let mut breaker = Breaker::default();
        for (secret, hours) in [("a", 1), ("b", 6)] {
            breaker.tell(&account(secret), LoginOutcome::Refused, HOUR * hours, at(0));
        }
        let longest = breaker.longest(&[account("a"), account("b"), account("c")], at(1)).unwrap();
        assert_eq!((longest.credentials.as_str(), longest.until), ("b", at(360)));
        assert_eq!(breaker.longest(&[account("a"), account("c")], at(60)), None);
    }

    #[test]
    fn an_accepted_login_ends_what_was_restored() {
        let mut breaker = Breaker::default();
        breaker.restore(Hold { credentials: "a".to_owned(), until: at(30), refusals: 1 });
        breaker.tell(&account("a"), LoginOutcome::Accepted, HOUR, at(1));
        assert_eq!(breaker.ask(&account("a"), at(2)), Answer::Free);
    }

    #[test]
    fn accounts_that_nobody_uses_are_forgotten_and_memory_is_bounded() {
        let mut breaker = Breaker::default();
        refused_at(&mut breaker, 0, HOUR);
        for n in 0..MANY + 10 {
            breaker.tell(&account(&format!("n{n}")), LoginOutcome::Accepted, HOUR, at(0));
        }
        assert!(breaker.accounts.len() <= MANY);
        assert!(breaker.held(&account("a"), at(1)).is_some());
        breaker.retain(|account| account.secret != "a");
        assert!(breaker.held(&account("a"), at(1)).is_none());
    }

    proptest! {
        #[test]
        fn a_hold_is_never_shorter_than_an_hour_nor_longer_than_a_day_or_the_interval(refusals in 1_u32.., seconds in 60_u64..1_000_000) {
            let hold = hold_after(refusals, Duration::from_secs(seconds)).as_secs();
            prop_assert!(hold >= seconds.max(3600) && hold <= seconds.max(86_400));
        }
    }
}
