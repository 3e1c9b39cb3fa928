//! One fault a row: what the user wrote, the conversation, and the reason, the stage and the words that must come of it.

use std::{collections::BTreeSet, time::Duration};

use mailverity::{
    api::Reason,
    mail::{Diagnosis, Stage, diagnosis::WORDS},
};
use tokio::task::JoinSet;

use crate::world::World;

/// Far above the time that any row sets, and below that of one that should not run into its deadline.
const SWIFT: Duration = Duration::from_secs(12);

/// One fault.
#[derive(Clone, Copy)]
pub struct Row {
    pub reason: Reason,
    pub stage: Stage,
    /// A part of the message: the server's own words, or ours where it has none.
    pub words: &'static str,
    pub world: fn() -> World,
    pub talk: &'static str,
}

/// A row of a table.
pub const fn row(reason: Reason, stage: Stage, words: &'static str, world: fn() -> World, talk: &'static str) -> Row {
    Row { reason, stage, words, world, talk }
}

/// Plays all rows of a table at the same time, and tells all that are wrong.
pub async fn play(rows: &[Row]) {
    let mut playing = JoinSet::new();
    for row in rows.iter().copied() {
        playing.spawn(async move {
            let played = (row.world)().plays(row.talk).await;
            let name = format!("{}({}): {}", row.reason, row.stage, row.words);
            let Some(failure) = &played.report.failure else { return Some(format!("{name}\n    nothing failed")) };
            let mut wrong = complaints(failure);
            if (failure.reason, failure.stage) != (row.reason, Some(row.stage)) {
                wrong.push(format!("came out as {}({:?})", failure.reason, failure.stage));
            }
            if !failure.message().contains(row.words) {
                wrong.push("the words are not in the message".to_owned());
            }
            if played.took > SWIFT {
                wrong.push(format!("it took {:?}", played.took));
            }
            wrong.extend(played.heard.iter().flat_map(|heard| heard.faults.iter().cloned()));
            let told = format!("    message: {}\n    hint: {}", failure.message(), failure.hint());
            (!wrong.is_empty()).then(|| format!("{name}\n    {}\n{told}", wrong.join("\n    ")))
        });
    }
    let mut wrong = playing.join_all().await.into_iter().flatten().collect::<Vec<_>>();
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// What is wrong with any diagnosis that looks like this.
pub fn complaints(failure: &Diagnosis) -> Vec<String> {
    let hint = failure.hint();
    let mut wrong = Vec::new();
    if hint.is_empty() || hint.contains(['{', '}']) {
        wrong.push(format!("{} has the hint {hint:?}", failure.reason));
    }
    if failure.message().chars().any(char::is_control) {
        wrong.push("the message has control characters".to_owned());
    }
    if failure.words.as_ref().is_some_and(|words| words.is_empty() || words.chars().count() > WORDS) {
        wrong.push("the words are empty or too long".to_owned());
    }
    wrong
}

/// The reasons that stand in a table.
pub fn reasons(rows: &[Row]) -> BTreeSet<Reason> {
    rows.iter().map(|row| row.reason).collect()
}
