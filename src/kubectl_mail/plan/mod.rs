//! `kubectl mail plan`: mails and logins of a day, computed from specs before any of it happens. Next: `demand`.

mod demand;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::Value;

use self::demand::{Account, Borrower, Demand};
use super::{Connect, Error, Exit, Kind, object::Object, out, table};

/// Tell how many mails and logins the specs come to in a day, by server and account, by recipient and by who borrows a server, beside the
/// budgets.
///
/// Nothing is asked of a server: it is the most that intervals, levels and actors come to. Suspended objects are left out.
///
/// Exit codes: 0 told; 1 a budget would not suffice; 2 bad usage, or the API server refuses.
#[derive(Args, Debug)]
pub struct Plan {
    /// Look into all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// The operator's own flag, if it was set.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    max_messages_per_hour: u32,
    /// The operator's own flag, if it was set.
    #[arg(long, value_name = "COUNT", default_value_t = 12)]
    max_messages_per_recipient_per_hour: u32,
}

/// All that is asked of one account.
#[derive(Default)]
struct Sum {
    logins: f64,
    mails: f64,
    hourly: f64,
    per_minute: Option<u32>,
}

impl Plan {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let space = Some(namespace.as_str()).filter(|_| !self.all_namespaces);
        let kinds = Kind::NAMESPACED.map(|kind| Object::all(&client, kind, space));
        let mut all: Vec<Object> = futures::future::try_join_all(kinds).await?.into_iter().flatten().collect();
        if !self.all_namespaces {
            all.extend(lent(&client, &all, &namespace).await);
        }
        let mine = |object: &&Object| self.all_namespaces || object.namespace() == namespace;
        let suspended = |object: &&Object| object.at("/spec/suspend").and_then(Value::as_bool).unwrap_or(false);
        let (left, used): (Vec<&Object>, Vec<&Object>) = all.iter().filter(mine).partition(suspended);
        let demands: Vec<Demand> = used.iter().flat_map(|object| demand::of(object, &all)).collect();
        let (mut lines, exit) = self.told(&demands);
        if !left.is_empty() {
            lines.push(format!("Left out, as suspended: {}", left.len()));
        }
        out::lines(&lines)?;
        Ok(exit)
    }

    fn told(&self, demands: &[Demand]) -> (Vec<String>, Exit) {
        let (mut accounts, mut recipients) = (BTreeMap::<_, (&Account, Sum)>::new(), BTreeMap::<String, (f64, f64)>::new());
        let mut borrowers = BTreeMap::<&Borrower, f64>::new();
        for demand in demands {
            // Budgets know no case, neither of a host, a user nor a recipient.
            let Account { server, login } = &demand.account;
            let (_, sum) =
                accounts.entry((server.to_lowercase(), login.to_lowercase())).or_insert((&demand.account, Sum::default()));
            sum.logins += demand.logins;
            sum.mails += demand.mails;
            sum.hourly += demand.hourly;
            // The lowest of those who name the account counts.
            sum.per_minute = [sum.per_minute, demand.per_minute].into_iter().flatten().min();
            if let Some(recipient) = &demand.recipient {
                let (mails, runs) = recipients.entry(recipient.to_lowercase()).or_default();
                *mails += demand.mails;
                *runs += demand.runs;
            }
            if let Some(borrower) = &demand.borrower {
                *borrowers.entry(borrower).or_default() += demand.hourly;
            }
        }
        let mut over = 0;
        let mut mark = |is: bool| {
            over += usize::from(is);
            if is { "  NOT ENOUGH" } else { "" }
        };
        let mut rows = vec![["SERVER", "ACCOUNT", "LOGINS A DAY", "MAILS A DAY", "BUDGET"].map(str::to_owned).to_vec()];
        rows.extend(accounts.values().map(|(account, sum)| {
            let budget = |most: u32| format!("{most} mails a minute{}", mark(sum.hourly > f64::from(most) * 60.0));
            let budget = sum.per_minute.filter(|_| sum.mails > 0.0).map(budget).unwrap_or_default();
            vec![account.server.clone(), account.login.clone(), figure(sum.logins), figure(sum.mails), budget]
        }));
        let mut lines = table::lines(&rows);
        if !recipients.is_empty() {
            let most = self.max_messages_per_recipient_per_hour;
            let mut rows = vec![["RECIPIENT", "MAILS A DAY", "RUNS AN HOUR", "BUDGET"].map(str::to_owned).to_vec()];
            rows.extend(recipients.iter().map(|(to, (mails, runs))| {
                let budget = format!("{most} an hour{}", mark(*runs > f64::from(most)));
                vec![to.clone(), figure(*mails), figure(*runs), budget]
            }));
            lines.push(String::new());
            lines.extend(table::lines(&rows));
        }
        if !borrowers.is_empty() {
            let mut rows = vec![["LENT SERVER", "TO NAMESPACE", "MAILS AN HOUR", "BUDGET"].map(str::to_owned).to_vec()];
            rows.extend(borrowers.iter().map(|(Borrower { server, namespace, per_hour }, hourly)| {
                let budget = format!("{per_hour} an hour{}", mark(*hourly > f64::from(*per_hour)));
                vec![server.clone(), namespace.clone(), figure(*hourly), budget]
            }));
            lines.push(String::new());
            lines.extend(table::lines(&rows));
        }
        let total = |each: fn(&Sum) -> f64| accounts.values().map(|(_, sum)| each(sum)).sum::<f64>();
        let (hourly, most) = (total(|sum| sum.hourly), self.max_messages_per_hour);
        let marked = mark(hourly > f64::from(most));
        lines.push(String::new());
        let (logins, mails) = (figure(total(|sum| sum.logins)), figure(total(|sum| sum.mails)));
        lines.push(format!(
            "Altogether {logins} logins and {mails} mails a day; at most {} mails an hour of {most}{marked}",
            figure(hourly)
        ));
        (lines, if over > 0 { Exit::Unverified } else { Exit::Good })
    }
}

/// `MailServer`s and profiles of other namespaces that those of this one name, as far as one may see them.
async fn lent(client: &kube::Client, all: &[Object], namespace: &str) -> Vec<Object> {
    let links = all.iter().flat_map(|object| super::links::uses(object, all)).filter(|link| link.namespace != namespace);
    let named: BTreeSet<_> =
        links.filter_map(|link| Some((link.kind.parse::<Kind>().ok()?, link.namespace, link.name))).collect();
    let found = named
        .into_iter()
        .filter(|(kind, ..)| *kind != Kind::Actor)
        .map(|(kind, namespace, name)| async move { super::Target { kind, name }.get(client, &namespace).await.ok() });
    futures::future::join_all(found).await.into_iter().flatten().collect()
}

/// A whole number where it is one, else with one digit behind the point.
fn figure(number: f64) -> String {
    if number.fract().abs() < 0.05 { format!("{number:.0}") } else { format!("{number:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(login: &str, mails: f64, recipient: Option<&str>) -> Demand {
        let account = Account { server: "smtp.a.example:587".to_owned(), login: login.to_owned() };
        let (hourly, recipient) = (mails / 24.0, recipient.map(str::to_owned));
        Demand { account, logins: 24.0, mails, hourly, recipient, runs: hourly, per_minute: Some(6), borrower: None }
    }

    fn plan(hour: u32, recipient: u32) -> Plan {
        Plan { all_namespaces: false, max_messages_per_hour: hour, max_messages_per_recipient_per_hour: recipient }
    }

    #[test]
    fn what_goes_through_an_account_and_to_a_recipient_is_added_up_beside_its_budget() {
        let demands = [demand("relay", 96.0, Some("x@b")), demand("relay", 24.0, Some("y@b")), demand("", 0.0, None)];
        let (lines, exit) = plan(200, 12).told(&demands);
        assert_eq!(
            lines,
            [
                "SERVER               ACCOUNT   LOGINS A DAY   MAILS A DAY   BUDGET",
                "smtp.a.example:587   -         24             0             -",
                "smtp.a.example:587   relay     48             120           6 mails a minute",
                "",
                "RECIPIENT   MAILS A DAY   RUNS AN HOUR   BUDGET",
                "x@b         96            4              12 an hour",
                "y@b         24            1              12 an hour",
                "",
                "Altogether 72 logins and 120 mails a day; at most 5 mails an hour of 200",
            ]
        );
        assert_eq!(exit, Exit::Good);
    }

    #[test]
    fn a_budget_that_would_not_suffice_is_told() {
        let demands = [demand("relay", 96.0, Some("x@b"))];
        for (plan, line) in [
            (plan(3, 12), "Altogether 24 logins and 96 mails a day; at most 4 mails an hour of 3  NOT ENOUGH"),
            (plan(200, 3), "x@b         96            4              3 an hour NOT ENOUGH"),
        ] {
            let (lines, exit) = plan.told(&demands);
            assert!(lines.iter().any(|told| told == line) && exit == Exit::Unverified, "{lines:#?}");
        }
        let (lines, _) = plan(100_000, 100_000).told(&[demand("relay", 24.0 * 361.0, None)]);
        assert!(lines[1].ends_with("6 mails a minute NOT ENOUGH"), "{lines:#?}");
    }

    #[test]
    fn what_a_namespace_sends_through_a_server_that_is_lent_to_it_is_added_up() {
        let borrowed = |namespace: &str, mails| {
            let borrower = Borrower { server: "platform/relay".to_owned(), namespace: namespace.to_owned(), per_hour: 5 };
            Demand { borrower: Some(borrower), ..demand("relay", mails, None) }
        };
        let (lines, exit) = plan(200, 12).told(&[borrowed("team-a", 96.0), borrowed("team-a", 24.0), borrowed("team-b", 120.0)]);
        assert_eq!(
            lines[3..6],
            [
                "LENT SERVER      TO NAMESPACE   MAILS AN HOUR   BUDGET",
                "platform/relay   team-a         5               5 an hour",
                "platform/relay   team-b         5               5 an hour",
            ]
        );
        assert_eq!(exit, Exit::Good);
        let (lines, exit) = plan(200, 12).told(&[borrowed("team-a", 120.0), borrowed("team-a", 24.0), borrowed("team-b", 24.0)]);
        assert_eq!(lines[4], "platform/relay   team-a         6               5 an hour NOT ENOUGH");
        assert_eq!(exit, Exit::Unverified);
    }

    #[test]
    fn budgets_know_no_case() {
        let mut demands = [demand("relay", 96.0, Some("x@b")), demand("Relay", 96.0, Some("X@B"))];
        demands[1].account.server = "SMTP.A.example:587".to_owned();
        let (lines, exit) = plan(200, 7).told(&demands);
        assert_eq!(lines[1], "smtp.a.example:587   relay     48             192           6 mails a minute");
        assert_eq!(lines[4], "x@b         192           8              7 an hour NOT ENOUGH");
        assert_eq!(exit, Exit::Unverified);
    }
}
