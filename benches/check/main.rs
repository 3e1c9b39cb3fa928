//! What one check of a mail server costs, beside what a user would take instead. Prints ratios, asserts nothing.
//!
//! Started by `benches/run.sh`, which also starts the Postfix that is checked and says where it is. The clients under
//! measurement run in processes of their own: this program again ([`client`]), or somebody else's ([`others`]).

#![allow(clippy::cast_precision_loss, reason = "figures are for people, who read three digits of them")]

mod bare;
mod client;
mod measure;
mod others;
mod product;
mod responder;
mod table;

use std::{
    env,
    io::{self, IsTerminal},
    path::PathBuf,
};

use client::{Job, Target, Who};
use measure::Cost;

/// Whatever went wrong: a benchmark can only say so and end.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How often everything is measured, in turn, so that a busy moment of the machine meets all alike.
const ROUNDS: usize = 5;
/// Checks in a round, of clients that stay.
const CHECKS: usize = 200;
/// Checks in a round with many at once.
const CHECKS_AT_ONCE: usize = 4000;
/// How many at once then.
const AT_ONCE: usize = 64;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        Some("client") => client::run(),
        Some("once") => client::once(),
        Some("responder") => responder::run(),
        _ => compare(),
    }
}

fn compare() -> Result<()> {
    let Ok(dir) = env::var("MAILVERITY_BENCH_MAILSTACK") else {
        eprintln!("start this by benches/run.sh (make bench), which starts the mail server that is checked");
        return Ok(());
    };
    let postfix = postfix(&PathBuf::from(dir))?;
    let anonymous = Target { login: None, ..postfix.clone() };

    let mut columns = Vec::new();
    for target in [&anonymous, &postfix] {
        let mut candidates = others::all(target)?;
        let mut costs: Vec<(&'static str, Vec<Cost>)> = candidates.iter().map(|one| (one.name(), Vec::new())).collect();
        for round in 1..=ROUNDS {
            for (candidate, (name, rounds)) in candidates.iter_mut().zip(&mut costs) {
                progress(&format!("round {round} of {ROUNDS}: {name}"));
                rounds.push(candidate.round()?);
            }
        }
        columns.push(costs);
    }
    progress("");
    table::costs(&columns);

    let responder = responder::Running::start()?;
    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        for (who, rates) in [Who::Bare, Who::Mailverity].into_iter().zip(&mut rates) {
            progress(&format!("{AT_ONCE} at once, round {round} of {ROUNDS}"));
            let job = Job { who, target: responder.target.clone(), checks: CHECKS_AT_ONCE, at_once: AT_ONCE };
            rates.push(client::spawn(&job)?);
        }
    }
    progress("");
    table::rates(&rates[0], &rates[1]);
    table::goals(&columns, &rates[0], &rates[1]);
    Ok(())
}

/// What is being measured, on one line that is overwritten, for whoever waits at a terminal.
fn progress(words: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{words}");
    }
}

/// The submission port of the mail stack whose folder this is.
fn postfix(dir: &std::path::Path) -> Result<Target> {
    let text = std::fs::read_to_string(dir.join("env"))?;
    let value = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.ok_or_else(|| io::Error::other(format!("the mail stack does not say {name}")))
    };
    Ok(Target {
        port: value("SUBMISSION_PORT")?.parse()?,
        ca_file: value("CA_FILE")?.into(),
        login: Some(("alice@example.test".to_owned(), "alice-secret".to_owned())),
    })
}
