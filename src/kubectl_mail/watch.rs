//! `kubectl mail watch`: what changes, a line a change, until it is told to end.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    str::FromStr,
};

use clap::Args;
use futures::{StreamExt, stream::select_all};
use jiff::Timestamp;
use kube::{
    Client,
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};

use super::{Connect, Error, Exit, Kind, Target, object::Object, seen};

/// Show how objects stand and then each change, a line each: when, which, how it stands, why.
///
/// It ends with Ctrl-C. Exit codes: 0 nobody reads any more; 2 bad usage, or the API server refuses.
#[derive(Args, Debug)]
pub struct Watch {
    /// Kinds, or objects as KIND/NAME; all but actors if absent.
    #[arg(value_name = "KIND[/NAME]")]
    what: Vec<What>,
    /// Look into all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

/// A kind, or one object of it.
#[derive(Clone, Debug)]
struct What {
    kind: Kind,
    name: Option<String>,
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            let Target { kind, name } = text.parse()?;
            return Ok(Self { kind, name: Some(name) });
        }
        Ok(Self { kind: text.parse()?, name: None })
    }
}

/// An object in a watch: which watch, its namespace and its name.
type Key = (usize, String, String);

/// How each object stood when it was last told.
#[derive(Default)]
struct Told {
    standings: BTreeMap<Key, (Kind, String)>,
    /// Those that a list in progress has named, by watch: the lists of several come in one another's midst.
    listed: BTreeMap<usize, BTreeSet<Key>>,
}

impl Watch {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let space = Some(namespace.as_str()).filter(|_| !self.all_namespaces);
        let mut what = self.what;
        if what.is_empty() {
            what = Kind::NAMESPACED.map(|kind| What { kind, name: None }).to_vec();
        }
        let streams = what.iter().enumerate().map(|(number, what)| {
            let kind = what.kind;
            what.stream(&client, space).map(move |event| (number, kind, event)).boxed_local()
        });
        let (mut events, mut told) = (select_all(streams), Told::default());
        while let Some((number, kind, event)) = events.next().await {
            for line in told.hear(number, kind, event?) {
                // Whoever read it has ended, as head does.
                if writeln!(io::stdout(), "{:.0}  {line}", Timestamp::now()).is_err() {
                    return Ok(Exit::Good);
                }
            }
        }
        Ok(Exit::Good)
    }
}

impl What {
    /// Its events. An API server that is away is waited for; one that refuses ends it.
    fn stream(
        &self,
        client: &Client,
        namespace: Option<&str>,
    ) -> impl futures::Stream<Item = Result<watcher::Event<DynamicObject>, Error>> {
        let config = watcher::Config::default();
        let config = match &self.name {
            Some(name) => config.fields(&format!("metadata.name={name}")),
            None => config,
        };
        let events = watcher(self.kind.api(client, namespace), config).default_backoff();
        events.filter_map(|event| {
            let event = match event {
                Ok(event) => Some(Ok(event)),
                Err(watcher::Error::InitialListFailed(error @ kube::Error::Api(_))) => Some(Err(error.into())),
                Err(error) => {
                    eprintln!("kubectl-mail: {error}; tried again");
                    None
                }
            };
            std::future::ready(event)
        })
    }
}

impl Told {
    /// What an event brings that is new, in words.
    fn hear(&mut self, number: usize, kind: Kind, event: watcher::Event<DynamicObject>) -> Vec<String> {
        match event {
            watcher::Event::Init => {
                self.listed.remove(&number);
            }
            watcher::Event::InitApply(raw) => {
                let object = Object::new(kind, raw);
                self.listed.entry(number).or_default().insert((number, object.namespace(), object.name()));
                return self.see(number, &object);
            }
            watcher::Event::InitDone => {
                let (listed, of_this) = (self.listed.remove(&number).unwrap_or_default(), |key: &&Key| key.0 == number);
                let gone: Vec<Key> =
                    self.standings.keys().filter(of_this).filter(|key| !listed.contains(*key)).cloned().collect();
                return gone.into_iter().filter_map(|key| self.forget(&key)).collect();
            }
            watcher::Event::Apply(raw) => return self.see(number, &Object::new(kind, raw)),
            watcher::Event::Delete(raw) => {
                let object = Object::new(kind, raw);
                return self.forget(&(number, object.namespace(), object.name())).into_iter().collect();
            }
        }
        Vec::new()
    }

    fn see(&mut self, number: usize, object: &Object) -> Vec<String> {
        let title = Target { kind: object.kind, name: object.name() }.title(&object.namespace());
        let standing = seen::standing(&title, object);
        let known = self.standings.insert((number, object.namespace(), object.name()), (object.kind, standing.clone()));
        if known.is_some_and(|(_, known)| known == standing) { Vec::new() } else { vec![standing] }
    }

    fn forget(&mut self, key: &Key) -> Option<String> {
        let (kind, _) = self.standings.remove(key)?;
        Some(format!("Deleted  {}", Target { kind, name: key.2.clone() }.title(&key.1)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use watcher::Event;

    use super::*;
    use crate::object::tests::object;

    fn server(name: &str, status: &str, reason: &str) -> DynamicObject {
        let ready = json!({"type": "Ready", "status": status, "reason": reason, "message": "So.", "lastTransitionTime": "2026-11-22T10:00:00Z"});
        object(Kind::MailServer, name, &json!({}), &json!({"conditions": [ready]})).raw
    }

    #[test]
    fn what_has_not_changed_is_not_told_again() {
        let mut told = Told::default();
        let mut hear = |event| told.hear(0, Kind::MailServer, event);
        assert!(hear(Event::Init).is_empty());
        assert_eq!(hear(Event::InitApply(server("a", "True", "Succeeded"))), ["Verified  MailServer mail/a  Succeeded: So."]);
        assert!(hear(Event::InitApply(server("b", "True", "Succeeded"))).len() == 1 && hear(Event::InitDone).is_empty());
        assert!(hear(Event::Apply(server("a", "True", "Succeeded"))).is_empty());
        let changed = hear(Event::Apply(server("a", "False", "ConnectionRefused")));
        assert_eq!(changed, ["Unverified  MailServer mail/a  ConnectionRefused: So."]);
        assert_eq!(hear(Event::Delete(server("a", "True", "Succeeded"))), ["Deleted  MailServer mail/a"]);
    }

    #[test]
    fn what_went_while_the_api_server_was_away_is_told_after_it() {
        let mut told = Told::default();
        for event in
            [Event::Init, Event::InitApply(server("a", "True", "S")), Event::InitApply(server("b", "True", "S")), Event::InitDone]
        {
            told.hear(0, Kind::MailServer, event);
        }
        told.hear(1, Kind::EmailProfile, Event::InitApply(object(Kind::EmailProfile, "box", &json!({}), &json!({})).raw));
        told.hear(1, Kind::EmailProfile, Event::InitDone);
        told.hear(0, Kind::MailServer, Event::Init);
        assert!(told.hear(0, Kind::MailServer, Event::InitApply(server("b", "True", "S"))).is_empty());
        assert_eq!(told.hear(0, Kind::MailServer, Event::InitDone), ["Deleted  MailServer mail/a"]);
    }

    #[test]
    fn lists_that_come_in_one_anothers_midst_delete_nothing() {
        let mut told = Told::default();
        let mailbox = || object(Kind::EmailProfile, "box", &json!({}), &json!({})).raw;
        // Once at the start, and once more after the API server was away.
        for _ in 0..2 {
            for (number, kind, event) in [
                (0, Kind::MailServer, Event::Init),
                (1, Kind::EmailProfile, Event::Init),
                (0, Kind::MailServer, Event::InitApply(server("relay", "True", "S"))),
                (1, Kind::EmailProfile, Event::InitApply(mailbox())),
                (0, Kind::MailServer, Event::InitDone),
                (1, Kind::EmailProfile, Event::InitDone),
            ] {
                let lines = told.hear(number, kind, event);
                assert!(lines.iter().all(|line| !line.starts_with("Deleted")), "{lines:?}");
            }
        }
        assert!(
            told.hear(0, Kind::MailServer, Event::Init).is_empty() && told.hear(1, Kind::EmailProfile, Event::Init).is_empty()
        );
        assert!(told.hear(1, Kind::EmailProfile, Event::InitApply(mailbox())).is_empty());
        assert_eq!(told.hear(0, Kind::MailServer, Event::InitDone), ["Deleted  MailServer mail/relay"]);
        assert!(told.hear(1, Kind::EmailProfile, Event::InitDone).is_empty());
    }
}
