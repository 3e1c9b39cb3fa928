//! Whether a pause is heeded, by what the objects show: a `ConfigMap` in a namespace that no operator reads stops nothing.

use std::{fmt, time::Duration};

use futures::future::try_join_all;
use kube::Client;
use mailverity::runtime::ApiError;

use crate::{Kind, Patience, object::Object};

/// It takes 5 s at most until nothing is sent; statuses of a large fleet take longer to say so.
const PATIENCE: Duration = Duration::from_secs(15);
/// The time to the first look again; it doubles, as each look lists all objects.
const FIRST: Duration = Duration::from_secs(1);

/// What the objects show.
#[derive(Debug)]
pub enum Heeded {
    /// So many of so many show it; those that are suspended anyway do not count.
    By(usize, usize),
    /// One may not look, or cannot.
    Unknown(ApiError),
}

impl Heeded {
    /// Whether there is nothing that speaks against it.
    pub fn is_heeded(&self) -> bool {
        !matches!(self, Self::By(0, 1..))
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::By(shows, all) => shows == all,
            Self::Unknown(_) => true,
        }
    }
}

impl fmt::Display for Heeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(_, 0) => write!(f, "There is no object that it stops."),
            Self::By(0, all) => write!(
                f,
                "Not heeded: none of {all} objects shows it. Does the operator run, and is this its namespace (--operator-namespace)?"
            ),
            Self::By(shows, all) => write!(f, "Heeded: {shows} of {all} objects show it."),
            Self::Unknown(error) => write!(f, "Whether it is heeded could not be seen: {error}"),
        }
    }
}

/// Waits until all objects of a namespace, or of all, show that they are paused, or for as long as that may take.
pub async fn wait(client: &Client, namespace: Option<&str>) -> Heeded {
    let once = async || look(client, namespace).await;
    Patience::of(PATIENCE).slowing(FIRST).look(once, Heeded::is_whole).await.unwrap_or_else(Heeded::Unknown)
}

async fn look(client: &Client, namespace: Option<&str>) -> Result<Heeded, ApiError> {
    let all = try_join_all(Kind::NAMESPACED.map(|kind| Object::all(client, kind, namespace))).await?;
    Ok(count(all.iter().flatten()))
}

fn count<'a>(objects: impl Iterator<Item = &'a Object>) -> Heeded {
    let states = objects.map(|object| object.text("/status/state")).filter(|state| *state != "Suspended");
    let (mut shows, mut all) = (0, 0);
    for state in states {
        all += 1;
        shows += usize::from(state == "Paused");
    }
    Heeded::By(shows, all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::tests::object;

    fn heeded(states: &[&str]) -> (String, bool) {
        let objects: Vec<Object> =
            states.iter().map(|state| object(Kind::MailServer, "a", &json!({}), &json!({"state": state}))).collect();
        let heeded = count(objects.iter());
        (heeded.to_string(), heeded.is_heeded())
    }

    #[test]
    fn what_is_suspended_anyway_speaks_neither_for_it_nor_against_it() {
        assert_eq!(heeded(&["Paused", "Suspended", "Paused"]), ("Heeded: 2 of 2 objects show it.".to_owned(), true));
        assert_eq!(heeded(&["Paused", "Active"]), ("Heeded: 1 of 2 objects show it.".to_owned(), true));
        assert_eq!(heeded(&["Suspended"]), ("There is no object that it stops.".to_owned(), true));
        let (words, good) = heeded(&["Active", ""]);
        assert!(words.starts_with("Not heeded: none of 2 objects") && !good, "{words}");
    }
}
