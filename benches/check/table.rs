//! What was measured, as people read it.

use crate::{
    AT_ONCE, CHECKS, CHECKS_AT_ONCE, ROUNDS,
    measure::{Cost, median},
    others::{BARE, BLACKBOX, PRODUCT},
};

/// The rounds of each candidate.
pub type Column = Vec<(&'static str, Vec<Cost>)>;

/// The median check, in ms.
fn wall(rounds: &[Cost]) -> f64 {
    median(rounds.iter().flat_map(|cost| &cost.walls).map(|wall| wall.as_secs_f64() * 1e3))
}

/// CPU per check in the median round, in ms.
fn cpu(rounds: &[Cost]) -> f64 {
    median(rounds.iter().map(|cost| cost.cpu.as_secs_f64() * 1e3))
}

fn resident(rounds: &[Cost]) -> f64 {
    median(rounds.iter().map(|cost| cost.resident_kib as f64 / 1024.0))
}

fn find<'a>(column: &'a Column, name: &str) -> &'a [Cost] {
    column.iter().find(|(known, _)| *known == name).map_or(&[], |(_, rounds)| rounds)
}

/// One row a candidate; the columns are without and with a login.
pub fn costs(columns: &[Column]) {
    println!(
        "One STARTTLS check of a Postfix on loopback; medians of {ROUNDS} rounds; x is CPU as a multiple of the bare client's.\n"
    );
    println!("{:36}{:^36}{:^36}", "", "without a login", "with AUTH PLAIN");
    let head = format!("{:>9}{:>9}{:>8}{:>9}", "wall ms", "CPU ms", "x", "MiB");
    println!("{:36}{head} {head}", "");
    let names: Vec<&str> = columns.first().into_iter().flatten().map(|(name, _)| *name).collect();
    for name in names {
        print!("{name:36}");
        for column in columns {
            let (rounds, bare) = (find(column, name), find(column, BARE));
            print!("{:9.2}{:9.3}{:8.2}{:9.1} ", wall(rounds), cpu(rounds), cpu(rounds) / cpu(bare), resident(rounds));
        }
        println!();
    }
}

/// Many at once.
pub fn rates(bare: &[Cost], product: &[Cost]) {
    println!(
        "\n{AT_ONCE} checks at once with AUTH PLAIN on one core, {CHECKS_AT_ONCE} a round, against a responder on the other.\n"
    );
    println!("{:36}{:>9}{:>9}{:>9}", "", "checks/s", "CPU ms", "MiB");
    for (name, rounds) in [(BARE, bare), (PRODUCT, product)] {
        println!("{name:36}{:9.0}{:9.3}{:9.1}", median(rounds.iter().map(Cost::rate)), cpu(rounds), resident(rounds));
    }
}

/// The goals beside what was reached. Missing one fails nothing: machines differ, and ratios on a busy one too.
pub fn goals(columns: &[Column], bare: &[Cost], product: &[Cost]) {
    println!("\ngoals");
    for (what, column) in ["without a login", "with AUTH PLAIN"].into_iter().zip(columns) {
        let ours = find(column, PRODUCT);
        goal(&format!("CPU, multiple of the bare client's, {what}"), cpu(ours) / cpu(find(column, BARE)), "<= 1.3");
        goal(&format!("CPU, part of blackbox_exporter's, {what}"), cpu(ours) / cpu(find(column, BLACKBOX)), "< 0.33");
        goal(&format!("ms longer than the bare client, {what}"), wall(ours) - wall(find(column, BARE)), "< 2");
        let stalls = |rounds: &[Cost]| rounds.iter().flat_map(|cost| &cost.walls).filter(|wall| wall.as_millis() >= 40).count();
        let what = format!("checks of {} that took 40 ms, {what} (bare client: {})", CHECKS * ROUNDS, stalls(find(column, BARE)));
        goal(&what, stalls(ours) as f64, "no more than the bare client");
    }
    let ratio = median(product.iter().map(Cost::rate)) / median(bare.iter().map(Cost::rate));
    goal(&format!("rate at {AT_ONCE} at once, part of the bare client's"), ratio, ">= 0.6");
}

fn goal(what: &str, reached: f64, wanted: &str) {
    println!("  {what:68}{reached:8.2}   {wanted}");
}
