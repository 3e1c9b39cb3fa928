//! How many mails may go (promise 4): per account and minute, per recipient, installation and borrowing namespace and
//! hour. Sliding windows over what went; all budgets of a mail are charged, or none. No clock in here.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::{api::Reason, mail::Diagnosis};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// messagesPerMinute of an account that no object has joined yet: what an absent limit means.
const PER_MINUTE: u32 = 6;

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

/// What an object lets be sent through the account that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance<'a> {
    /// The host that takes it.
    pub host: &'a str,
    /// The account; empty where no login is set.
    pub user: &'a str,
    /// Mails in a minute.
    pub per_minute: u32,
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
    /// Whose, such as `account mailer@corp.example on smtp.corp.example`.
    pub scope: String,
    /// When there is room again; where nothing is ever let through, an hour later.
    pub next: Timestamp,
}

impl Exceeded {
    /// As `RateBudgetExceeded`; `status` reads the time of the next try from its fact `next`.
    #[must_use]
    pub fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(Reason::RateBudgetExceeded)
            .detail(format!("{} of {} used up", self.budget, self.scope))
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
    /// What each object (kind and name) says of the account that it uses.
    objects: HashMap<String, (Scope, u32)>,
    /// What went, by whose budget it was charged to, oldest first.
    sent: HashMap<Scope, VecDeque<(Timestamp, String)>>,
}

/// Whose budget it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Account { host: String, user: String },
    Recipient(String),
    Installation,
    Borrower { server: String, namespace: String },
}

impl Scope {
    fn account(host: &str, user: &str) -> Self {
        Self::Account { host: host.to_lowercase(), user: user.to_lowercase() }
    }

    fn window(&self) -> SignedDuration {
        if matches!(self, Self::Account { .. }) { MINUTE } else { HOUR }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account { host, user } if user.is_empty() => write!(f, "host {host}"),
            Self::Account { host, user } => write!(f, "account {user} on {host}"),
            Self::Recipient(to) => write!(f, "recipient {to}"),
            Self::Installation => f.write_str("this installation"),
            Self::Borrower { server, namespace } => write!(f, "namespace {namespace} on {server}"),
        }
    }
}

impl Budgets {
    /// Budgets with the installation's flags `--max-messages-per-recipient-per-hour` and `--max-messages-per-hour`.
    #[must_use]
    pub fn new(per_recipient: u32, per_installation: u32) -> Self {
        Self { per_recipient, per_installation, objects: HashMap::new(), sent: HashMap::new() }
    }

    /// An object (kind and name) lets an account send so much. The lowest over the objects counts.
    pub fn join(&mut self, object: &str, allowance: Allowance<'_>) {
        let Allowance { host, user, per_minute } = allowance;
        self.objects.insert(object.to_owned(), (Scope::account(host, user), per_minute));
    }

    /// An object is gone.
    pub fn leave(&mut self, object: &str) {
        self.objects.remove(object);
    }

    /// Charges one mail to all its budgets.
    ///
    /// # Errors
    /// The budget that is used up, of several the one that has room last; then none is charged.
    pub fn take(&mut self, mail: &Mail<'_>, now: Timestamp) -> Result<(), Exceeded> {
        self.forget(now);
        let scopes = self.scopes(mail);
        let exceeded = scopes.iter().filter_map(|(scope, most)| self.exceeded(scope, *most, mail.run, now));
        if let Some(exceeded) = exceeded.max_by_key(|exceeded| exceeded.next) {
            return Err(exceeded);
        }
        self.charge(scopes, mail.run, now);
        Ok(())
    }

    /// Takes up a mail that a claim in a status remembers, at the start.
    pub fn restore(&mut self, mail: &Mail<'_>, at: Timestamp) {
        let scopes = self.scopes(mail);
        self.charge(scopes, mail.run, at);
    }

    /// What is left in this hour for the whole installation.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> u32 {
        let sent = self.sent.get(&Scope::Installation).into_iter().flatten();
        let sent = sent.filter(|(at, _)| now.duration_since(*at) < HOUR).count();
        self.per_installation.saturating_sub(u32::try_from(sent).unwrap_or(u32::MAX))
    }

    fn scopes(&self, mail: &Mail<'_>) -> Vec<(Scope, u32)> {
        let account = Scope::account(mail.host, mail.user);
        let lowest = self.objects.values().filter(|(scope, _)| *scope == account).map(|(_, most)| *most).min();
        let mut scopes = vec![
            (account, lowest.unwrap_or(PER_MINUTE)),
            (Scope::Recipient(mail.recipient.to_lowercase()), self.per_recipient),
            (Scope::Installation, self.per_installation),
        ];
        if let Some(Borrower { server, namespace, per_hour }) = mail.borrower {
            scopes.push((Scope::Borrower { server: server.to_owned(), namespace: namespace.to_owned() }, per_hour));
        }
        scopes
    }

    fn exceeded(&self, scope: &Scope, most: u32, run: &str, now: Timestamp) -> Option<Exceeded> {
        let window = scope.window();
        let sent = self.sent.get(scope);
        if self.is_charged(scope, run) {
            return None;
        }
        let sent = sent.map_or(0, VecDeque::len);
        let room = usize::try_from(most).unwrap_or(usize::MAX);
        let over = (sent + 1).checked_sub(room).filter(|over| *over > 0)?;
        // There is room when as many as are over have left the window.
        let leaves = self.sent.get(scope).and_then(|sent| sent.get(over - 1)).map_or(now, |(at, _)| *at);
        let per = if window == MINUTE { "a minute" } else { "an hour" };
        let next = leaves.checked_add(window).unwrap_or(Timestamp::MAX);
        Some(Exceeded { budget: format!("{most} mails {per}"), scope: scope.to_string(), next })
    }

    /// A run that sends to one mailbox from several vantage points counts as one for its recipient.
    fn is_charged(&self, scope: &Scope, run: &str) -> bool {
        matches!(scope, Scope::Recipient(_))
            && self.sent.get(scope).is_some_and(|sent| sent.iter().any(|(_, known)| known == run))
    }

    fn charge(&mut self, scopes: Vec<(Scope, u32)>, run: &str, at: Timestamp) {
        for (scope, _) in scopes {
            if self.is_charged(&scope, run) {
                continue;
            }
            let sent = self.sent.entry(scope).or_default();
            // What is restored comes in any order.
            let place = sent.partition_point(|(earlier, _)| *earlier <= at);
            sent.insert(place, (at, run.to_owned()));
        }
    }

    /// Drops what has left its window: so no more is kept than may be sent in an hour.
    fn forget(&mut self, now: Timestamp) {
        self.sent.retain(|scope, sent| {
            while sent.front().is_some_and(|(at, _)| now.duration_since(*at) >= scope.window()) {
                sent.pop_front();
            }
            !sent.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn mail<'a>(recipient: &'a str, run: &'a str) -> Mail<'a> {
        Mail { host: "smtp.corp.example", user: "relay", recipient, run, borrower: None }
    }

    #[test]
    fn an_account_sends_six_mails_a_minute_if_nothing_else_is_said() {
        // promise 4
        let mut budgets = Budgets::new(100, 200);
        for n in 0..6 {
            assert_eq!(budgets.take(&mail("ops@corp.example", &format!("{n}")), at(n)), Ok(()));
        }
        let exceeded = budgets.take(&mail("ops@corp.example", "7"), at(30)).unwrap_err();
        assert_eq!(
            exceeded,
            Exceeded {
                budget: "6 mails a minute".to_owned(),
                scope: "account relay on smtp.corp.example".to_owned(),
                next: at(60)
            }
        );
        assert_eq!(budgets.take(&mail("ops@corp.example", "7"), exceeded.next), Ok(()));
    }

    #[test]
    fn the_lowest_limit_of_the_objects_that_share_an_account_counts() {
        // promise 4
        let mut budgets = Budgets::new(100, 200);
        budgets.join("a/one", Allowance { host: "SMTP.corp.example", user: "relay", per_minute: 30 });
        budgets.join("b/two", Allowance { host: "smtp.corp.example", user: "Relay", per_minute: 1 });
        budgets.join("b/other", Allowance { host: "smtp.corp.example", user: "someone", per_minute: 10 });
        assert_eq!(budgets.take(&mail("x@corp.example", "1"), at(0)), Ok(()));
        assert!(budgets.take(&mail("x@corp.example", "2"), at(1)).is_err());
        budgets.leave("b/two");
        assert_eq!(budgets.take(&mail("x@corp.example", "2"), at(1)), Ok(()));
    }

    #[test]
    fn a_recipient_gets_twelve_mails_an_hour_however_it_is_written() {
        // promise 4
        let mut budgets = Budgets::new(12, 200);
        for n in 0..12 {
            assert_eq!(budgets.take(&mail("Ops@Corp.example", &format!("{n}")), at(n * 60)), Ok(()));
        }
        let exceeded = budgets.take(&mail("ops@corp.example", "13"), at(720)).unwrap_err();
        assert_eq!((exceeded.scope.as_str(), exceeded.next), ("recipient ops@corp.example", at(3600)));
        assert_eq!(budgets.take(&mail("other@corp.example", "13"), at(720)), Ok(()));
    }

    #[test]
    fn a_run_counts_as_one_for_its_recipient_and_as_each_mail_for_the_installation() {
        // promise 4
        let mut budgets = Budgets::new(1, 3);
        for _ in 0..3 {
            assert_eq!(budgets.take(&mail("ops@corp.example", "run"), at(0)), Ok(()));
        }
        assert_eq!(budgets.take(&mail("ops@corp.example", "run"), at(0)).unwrap_err().scope, "this installation");
        assert_eq!(budgets.remaining(at(0)), 0);
        assert_eq!(budgets.remaining(at(3600)), 3);
    }

    #[test]
    fn a_borrowing_namespace_has_a_budget_of_its_own() {
        // promise 4
        let mut budgets = Budgets::new(100, 200);
        let from = |namespace| Borrower { server: "mail/relay", namespace, per_hour: 1 };
        let mail = |namespace| Mail { borrower: Some(from(namespace)), ..mail("ops@corp.example", "run") };
        assert_eq!(budgets.take(&mail("team-a"), at(0)), Ok(()));
        assert_eq!(budgets.take(&mail("team-a"), at(1)).unwrap_err().scope, "namespace team-a on mail/relay");
        assert_eq!(budgets.take(&mail("team-b"), at(1)), Ok(()));
    }

    #[test]
    fn where_one_budget_is_used_up_no_other_is_charged() {
        let mut budgets = Budgets::new(1, 2);
        assert_eq!(budgets.take(&mail("a@corp.example", "1"), at(0)), Ok(()));
        for n in 0..10 {
            assert!(budgets.take(&mail("a@corp.example", &format!("again {n}")), at(1)).is_err());
        }
        assert_eq!(budgets.take(&mail("b@corp.example", "2"), at(1)), Ok(()));
    }

    #[test]
    fn of_several_used_up_budgets_the_one_with_room_last_is_told() {
        let mut budgets = Budgets::new(1, 200);
        budgets.join("a/one", Allowance { host: "smtp.corp.example", user: "relay", per_minute: 1 });
        assert_eq!(budgets.take(&mail("a@corp.example", "1"), at(0)), Ok(()));
        assert_eq!(budgets.take(&mail("a@corp.example", "2"), at(1)).unwrap_err().next, at(3600));
    }

    #[test]
    fn budgets_are_taken_up_again_after_a_restart() {
        // promise 4
        let mut budgets = Budgets::new(2, 200);
        budgets.restore(&mail("a@corp.example", "2"), at(600));
        budgets.restore(&mail("a@corp.example", "1"), at(0));
        assert_eq!(budgets.take(&mail("a@corp.example", "3"), at(700)).unwrap_err().next, at(3600));
    }

    #[test]
    fn a_budget_of_nothing_lets_nothing_through() {
        let mut budgets = Budgets::new(12, 0);
        assert_eq!(budgets.take(&mail("a@corp.example", "1"), at(0)).unwrap_err().next, at(3600));
    }

    #[test]
    fn an_exceeded_budget_says_which_whose_and_until_when() {
        let exceeded = Exceeded { budget: "12 mails an hour".to_owned(), scope: "recipient a@b.example".to_owned(), next: at(0) };
        let diagnosis = exceeded.diagnosis();
        assert_eq!(diagnosis.reason, Reason::RateBudgetExceeded);
        assert_eq!(diagnosis.hint(), "12 mails an hour of recipient a@b.example is used up; next at 2023-11-14T22:13:20Z.");
    }

    #[test]
    fn nothing_is_kept_beyond_its_window() {
        let mut budgets = Budgets::new(1, 100_000);
        for n in 0..500 {
            let _ = budgets.take(&mail(&format!("{n}@corp.example"), &format!("{n}")), at(n * 61));
        }
        assert!(budgets.sent.values().map(VecDeque::len).sum::<usize>() < 200);
    }

    proptest! {
        #[test]
        fn no_hour_ever_sees_more_mails_than_the_budget(gaps in prop::collection::vec(0_i64..900, 1..80), most in 1_u32..6) {
            let mut budgets = Budgets::new(most, 1000);
            let (mut now, mut sent) = (0, Vec::new());
            for (n, gap) in gaps.into_iter().enumerate() {
                now += gap;
                match budgets.take(&mail("a@corp.example", &n.to_string()), at(now)) {
                    Ok(()) => sent.push(now),
                    Err(exceeded) => prop_assert!(exceeded.next > at(now)),
                }
            }
            for start in &sent {
                let within = sent.iter().filter(|time| (*start..*start + 3600).contains(*time)).count();
                prop_assert!(within <= most as usize, "{within}");
            }
        }
    }
}
