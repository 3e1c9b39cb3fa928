//! `kubectl mail pause` and `resume`: everything, a namespace, or some objects. Next: `map`, what a pause is; `heeded`, who heeds it.

mod heeded;
mod map;

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use kube::Client;
use mailverity::{
    api::v1alpha1::{SUSPEND_UNTIL, condition},
    mail::diagnosis::printable,
    runtime::pause::{ALL, CONFIG_MAP},
};

use self::{heeded::Heeded, map::Map};
use super::{Connect, Error, Exit, Patience, Target, object::Object};

/// How long an operator may take to show that nothing stops an object any more.
const NOTICED: Duration = Duration::from_secs(5);

/// What is stopped or goes on.
#[derive(Args, Debug)]
struct What {
    /// Objects, as KIND/NAME, in the namespace; without any, the namespace that -n names.
    #[arg(value_name = "KIND/NAME", value_parser = Target::namespaced, conflicts_with = "all")]
    targets: Vec<Target>,
    /// Everything, in all namespaces that the operator looks after.
    #[arg(long)]
    all: bool,
    /// The operator's namespace, where its ConfigMap mailverity-pause is.
    #[arg(long, value_name = "NAMESPACE", default_value = "mailverity-system")]
    operator_namespace: String,
}

/// Stop everything, a namespace or some objects: nothing is sent, checked or taken, and mail that is about to go is held back.
///
/// --all and a namespace are stopped for as long as you say or until `kubectl mail resume`, within 5 seconds; then it is told
/// which objects show it. Objects are stopped until a time (--for) by an annotation that no GitOps tool takes away; for longer set
/// spec.suspend.
///
/// Exit codes: 0 stopped; 1 nobody heeds it; 2 bad usage, no such object, or no right.
#[derive(Args, Debug)]
pub struct Pause {
    #[command(flatten)]
    what: What,
    /// For how long, such as 30m, 2h or 1d.
    #[arg(long = "for", value_name = "DURATION", value_parser = crate::time::duration)]
    duration: Option<Duration>,
}

/// Let go on what `kubectl mail pause` stopped. What fell due meanwhile is spread over ten minutes, or its interval where that is shorter.
///
/// Exit codes: 0 it goes on; 1 something else stops it still; 2 bad usage, no such object, or no right.
#[derive(Args, Debug)]
pub struct Resume {
    #[command(flatten)]
    what: What,
}

/// What a command speaks of.
enum Scope {
    /// A key of the `ConfigMap`: all, or a namespace.
    Key(String),
    /// Objects, and their namespace.
    Objects(Vec<Target>, String),
}

impl What {
    async fn scope(self, connect: &Connect) -> Result<(Client, Map, Scope), Error> {
        let (client, namespace) = connect.client().await?;
        let scope = match (self.all, self.targets.is_empty(), connect.named()) {
            (true, _, None) => Scope::Key(ALL.to_owned()),
            (true, _, Some(_)) => return Err("say --all or -n NAMESPACE, not both".into()),
            (false, false, _) => Scope::Objects(self.targets, namespace),
            // Never the context's namespace by chance.
            (false, true, Some(named)) => Scope::Key(key(named)?.to_owned()),
            (false, true, None) => return Err("say what: --all, -n NAMESPACE, or KIND/NAME".into()),
        };
        Ok((client.clone(), Map::new(client, &self.operator_namespace), scope))
    }
}

/// The key of a namespace.
fn key(namespace: &str) -> Result<&str, &'static str> {
    if namespace == ALL {
        return Err(
            "-n all: a namespace of this name cannot be paused or resumed by itself, as the pause's key all stands for every \
                    namespace. Say --all for everything; for this namespace name its objects (KIND/NAME... -n all --for DURATION), or set \
                    spec.suspend in their manifests",
        );
    }
    Ok(namespace)
}

/// Everything, or a namespace, in words.
fn told(key: &str) -> String {
    if key == ALL { "everything".to_owned() } else { format!("namespace {key}") }
}

/// As statuses tell times.
fn whole(time: Timestamp) -> String {
    format!("{time:.0}")
}

impl Pause {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let until = self.duration.map(|duration| Timestamp::now().checked_add(duration)).transpose()?;
        let (client, map, scope) = self.what.scope(connect).await?;
        let key = match scope {
            Scope::Key(key) => key,
            Scope::Objects(targets, namespace) => {
                let until =
                    until.ok_or("objects are paused until a time: say --for; for longer set spec.suspend in the manifest")?;
                for target in targets {
                    target.annotate(&client, &namespace, SUSPEND_UNTIL, Some(&whole(until))).await?;
                    println!("{}: suspended until {}", target.title(&namespace), whole(until));
                }
                return Ok(Exit::Good);
            }
        };
        let space = Some(key.as_str()).filter(|key| *key != ALL);
        let before = heeded::before(&client, space).await;
        map.set(&key, until.map(whole).unwrap_or_default()).await?;
        let end = until.map_or_else(|| "until kubectl mail resume".to_owned(), |until| format!("until {}", whole(until)));
        println!("Paused: {}, {end} (ConfigMap {})", told(&key), map.title());
        let heeded = match before {
            Ok(before) => heeded::wait(&client, space, &before).await,
            Err(error) => Heeded::Unknown(error),
        };
        println!("{heeded}");
        Ok(if heeded.is_heeded() { Exit::Good } else { Exit::Unverified })
    }
}

impl Resume {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, map, scope) = self.what.scope(connect).await?;
        match scope {
            Scope::Key(key) => {
                let left = map.remove(&key).await?;
                let words = if left.was_paused { "Resumed: " } else { "Nothing to resume, as this was not paused: " };
                println!("{words}{}", told(&key));
                let still: Vec<String> =
                    left.keys.iter().filter(|other| key == ALL || *other == ALL).map(|key| told(key)).collect();
                if !still.is_empty() {
                    println!("Still paused: {}", still.join(", "));
                }
                Ok(if still.is_empty() { Exit::Good } else { Exit::Unverified })
            }
            Scope::Objects(targets, namespace) => {
                let mut exit = Exit::Good;
                for target in targets {
                    target.annotate(&client, &namespace, SUSPEND_UNTIL, None).await?;
                    let still = stopped(&target, &client, &namespace).await?;
                    println!("{}: {}", target.title(&namespace), still.as_deref().unwrap_or("resumed"));
                    exit = exit.max(if still.is_none() { Exit::Good } else { Exit::Unverified });
                }
                Ok(exit)
            }
        }
    }
}

/// What stops an object beside its annotation: its manifest, or, if it shows so once the operator has had time to look, anything
/// else, such as a pause of its namespace.
async fn stopped(target: &Target, client: &Client, namespace: &str) -> Result<Option<String>, Error> {
    let is_set = |object: &Object| object.at("/spec/suspend").and_then(serde_json::Value::as_bool).unwrap_or(false);
    let shown = |object: &Object| {
        let conditions = object.conditions();
        conditions.into_iter().find(|shown| shown.type_ == condition::SUSPENDED && shown.status == "True")
    };
    let once = async || target.get(client, namespace).await;
    let object = Patience::of(NOTICED).look(once, |object| is_set(object) || shown(object).is_none()).await?;
    if is_set(&object) {
        return Ok(Some("still suspended: spec.suspend is true in its manifest".to_owned()));
    }
    Ok(shown(&object).map(|shown| format!("still suspended: {}: {}", shown.reason, printable(&shown.message, 1200))))
}

impl Map {
    /// Its name as people read it.
    fn title(&self) -> String {
        format!("{}/{CONFIG_MAP}", self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_whose_name_is_the_key_of_all_stops_nothing_by_chance() {
        assert_eq!(key("team-a"), Ok("team-a"));
        let words = key("all").unwrap_err();
        assert!(words.contains("--all") && words.contains("KIND/NAME") && words.contains("spec.suspend"), "{words}");
    }
}
