//! Whether a pause is heeded, by what the objects show: a `ConfigMap` in a namespace that no operator reads stops nothing.

use std::{collections::BTreeSet, fmt, time::Duration};

use futures::future::try_join_all;
use kube::Client;
use mailverity::runtime::ApiError;
use tokio::time::timeout;

use crate::{Kind, Patience, object::Object};

/// It takes 5 s at most until nothing is sent; statuses of a large fleet take longer to say so.
const PATIENCE: Duration = Duration::from_secs(15);
/// The time to the first look again; it doubles, as each look lists all objects.
const FIRST: Duration = Duration::from_secs(1);

/// How long is waited for what shows a pause already: whoever stops everything is in a hurry.
const BEFORE: Duration = Duration::from_secs(3);

/// An object.
type Key = (Kind, String, String);

/// What the objects show.
#[derive(Debug)]
pub enum Heeded {
    /// So many of so many show it; those that are suspended anyway do not count.
    By {
        shows: usize,
        all: usize,
        /// Those that showed a pause before this one: they tell nothing of it.
        before: usize,
    },
    /// One may not look, or cannot.
    Unknown(ApiError),
}

impl Heeded {
    /// Whether there is nothing that speaks against it.
    pub fn is_heeded(&self) -> bool {
        !matches!(self, Self::By { shows: 0, all: 1.., .. })
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::By { shows, all, .. } => shows == all,
            Self::Unknown(_) => true,
        }
    }
}

impl fmt::Display for Heeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By { all: 0, before: 0, .. } => write!(f, "There is no object that it stops."),
            Self::By { all: 0, before, .. } => {
                write!(f, "Whether it is heeded could not be seen: all objects ({before}) showed a pause before.")
            }
            Self::By { shows: 0, all, .. } => write!(
                f,
                "Not heeded: none of {all} objects shows it. Does the operator run, and is this its namespace (--operator-namespace)?"
            ),
            Self::By { shows, all, before: 0 } => write!(f, "Heeded: {shows} of {all} objects show it."),
            Self::By { shows, all, before } => {
                write!(f, "Heeded: {shows} of {all} objects show it; {before} more showed a pause before.")
            }
            Self::Unknown(error) => write!(f, "Whether it is heeded could not be seen: {error}"),
        }
    }
}

/// The objects of a namespace, or of all, that show a pause: to be asked before another is set.
pub async fn before(client: &Client, namespace: Option<&str>) -> Result<BTreeSet<Key>, ApiError> {
    let all = timeout(BEFORE, look(client, namespace)).await.map_err(|_| ApiError::TimedOut(BEFORE))??;
    Ok(all.iter().filter(|object| is_paused(object)).map(key).collect())
}

/// Waits until all objects that did not show a pause `before` show that they are paused, or for as long as that may take.
pub async fn wait(client: &Client, namespace: Option<&str>, before: &BTreeSet<Key>) -> Heeded {
    let once = async || Ok(count(&look(client, namespace).await?, before));
    Patience::of(PATIENCE).slowing(FIRST).look(once, Heeded::is_whole).await.unwrap_or_else(Heeded::Unknown)
}

async fn look(client: &Client, namespace: Option<&str>) -> Result<Vec<Object>, ApiError> {
    let all = try_join_all(Kind::NAMESPACED.map(|kind| Object::all(client, kind, namespace))).await?;
    Ok(all.into_iter().flatten().collect())
}

fn key(object: &Object) -> Key {
    (object.kind, object.namespace(), object.name())
}

fn is_paused(object: &Object) -> bool {
    object.text("/status/state") == "Paused"
}

fn count(objects: &[Object], before: &BTreeSet<Key>) -> Heeded {
    let stopped = objects.iter().filter(|object| object.text("/status/state") != "Suspended");
    let (old, new): (Vec<&Object>, Vec<&Object>) = stopped.partition(|object| before.contains(&key(object)));
    Heeded::By { shows: new.iter().filter(|object| is_paused(object)).count(), all: new.len(), before: old.len() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::tests::object;

    /// How objects with these states are told, where those with these numbers showed a pause before.
    fn heeded(states: &[&str], before: &[usize]) -> (String, bool) {
        let object =
            |(number, state): (usize, &&str)| object(Kind::MailServer, &number.to_string(), &json!({}), &json!({"state": state}));
        let objects: Vec<Object> = states.iter().enumerate().map(object).collect();
        let heeded = count(&objects, &before.iter().map(|number| key(&objects[*number])).collect());
        (heeded.to_string(), heeded.is_heeded())
    }

    #[test]
    fn what_is_suspended_anyway_speaks_neither_for_it_nor_against_it() {
        assert_eq!(heeded(&["Paused", "Suspended", "Paused"], &[]), ("Heeded: 2 of 2 objects show it.".to_owned(), true));
        assert_eq!(heeded(&["Paused", "Active"], &[]), ("Heeded: 1 of 2 objects show it.".to_owned(), true));
        assert_eq!(heeded(&["Suspended"], &[]), ("There is no object that it stops.".to_owned(), true));
        let (words, good) = heeded(&["Active", ""], &[]);
        assert!(words.starts_with("Not heeded: none of 2 objects") && !good, "{words}");
    }

    #[test]
    fn what_showed_a_pause_before_does_not_speak_for_this_one() {
        // The operator died in an earlier pause.
        let (words, good) = heeded(&["Paused", "Active"], &[0]);
        assert!(words.starts_with("Not heeded: none of 1 objects") && !good, "{words}");
        let words = "Heeded: 1 of 1 objects show it; 1 more showed a pause before.";
        assert_eq!(heeded(&["Paused", "Paused"], &[0]), (words.to_owned(), true));
        let words = "Whether it is heeded could not be seen: all objects (2) showed a pause before.";
        assert_eq!(heeded(&["Paused", "Paused", "Suspended"], &[0, 1]), (words.to_owned(), true));
    }
}
