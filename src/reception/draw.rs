//! From what is known of a cluster to the rules that mail is taken in by, and to what the receiver says of itself. Pure.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    pairs::Pairs,
    tell::{Item, Wanted},
};
use crate::{
    api::{
        Reason,
        v1alpha1::{ListenerStatus, MailReceiver, ReceiverTlsMode, SUSPEND_UNTIL},
    },
    mail::{diagnosis::printable, domain::canonical},
    receiver::{Site, TlsMode},
    runtime::{Name, pause::Pause},
    verify::{
        halt::Brakes,
        mail_receiver::{
            domains::{Age, owners},
            inputs,
        },
    },
};

/// The most characters of a message in `status.listeners`.
const MESSAGE: usize = 512;

/// What is known.
pub(super) struct Ground<'a> {
    /// The `MailReceivers`.
    pub receivers: &'a BTreeMap<Name, MailReceiver>,
    /// What is paused.
    pub pause: &'a Pause,
    /// Where this process listens.
    pub listening: &'a [SocketAddr],
    /// This process.
    pub pod: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// What follows.
pub(super) struct Drawn {
    /// The sites of each listener, in the order of these.
    pub sites: Vec<Vec<Site>>,
    /// What is told to each `MailReceiver`.
    pub told: Wanted,
    /// When a suspension or a pause ends by itself.
    pub until: Option<Timestamp>,
}

/// What decides who has a domain.
pub(super) fn age(receiver: &MailReceiver) -> Age {
    let name = Name::of(receiver);
    (receiver.creation_timestamp().map_or(Timestamp::MAX, |made| made.0), name.namespace.clone(), name.name.clone())
}

/// Makes the rules.
pub(super) fn draw(ground: &Ground<'_>, pairs: &mut Pairs) -> Drawn {
    let owners = owners(ground.receivers.values().map(|receiver| (age(receiver), receiver.spec.domains.as_slice())));
    let mut order: Vec<(&Name, &MailReceiver)> = ground.receivers.iter().collect();
    order.sort_by_key(|(_, receiver)| age(receiver));
    let mut drawn = Drawn { sites: ground.listening.iter().map(|_| Vec::new()).collect(), told: Wanted::new(), until: None };
    for (name, receiver) in order {
        let mine = age(receiver);
        let has = |domain: &&String| owners.get(canonical(domain).as_ref()) == Some(&mine);
        let domains: Vec<String> = receiver.spec.domains.iter().filter(has).cloned().collect();
        let one = One { ground, name, receiver };
        let place = ground.listening.iter().position(|address| address.port() == receiver.spec.port());
        let (site, item) = one.site(domains, place, pairs, &mut drawn.until);
        if let (Some(site), Some(place)) = (site, place) {
            drawn.sites[place].push(site);
        }
        let pod = |known: &&ListenerStatus| known.pod == ground.pod;
        let seen = receiver.status.iter().flat_map(|status| &status.listeners).find(pod).cloned();
        drawn.told.insert(name.clone(), Item { uid: receiver.uid().unwrap_or_default(), wanted: item, seen });
    }
    drawn
}

/// One `MailReceiver`.
struct One<'a> {
    ground: &'a Ground<'a>,
    name: &'a Name,
    receiver: &'a MailReceiver,
}

impl One<'_> {
    /// Its site, where it has any, and what is told of it. `place`: which listener is its own.
    fn site(
        &self,
        domains: Vec<String>,
        place: Option<usize>,
        pairs: &mut Pairs,
        until: &mut Option<Timestamp>,
    ) -> (Option<Site>, ListenerStatus) {
        let (spec, ground) = (&self.receiver.spec, self.ground);
        let address = place.or(Some(0)).and_then(|at| ground.listening.get(at)).map(ToString::to_string).unwrap_or_default();
        let generation = self.receiver.metadata.generation.unwrap_or_default();
        let mut item = ListenerStatus { pod: ground.pod.to_owned(), address, generation, ..ListenerStatus::default() };
        let mut refuse = |reason: Reason, message: String| {
            item.reason.get_or_insert_with(|| reason.as_str().to_owned());
            item.message.get_or_insert_with(|| printable(&message, MESSAGE));
        };
        let sources = inputs::allowed_sources(spec);
        if place.is_none() {
            let ports: Vec<String> = ground.listening.iter().map(|address| address.port().to_string()).collect();
            refuse(Reason::PortUnavailable, format!("listens on {}", ports.join(", ")));
        } else if let Err(fault) = &sources {
            refuse(Reason::SpecInvalid, fault.said());
        } else if domains.is_empty() {
            refuse(Reason::Conflict, "an older MailReceiver has each of its domains".to_owned());
        }
        let identity = inputs::certificate(spec).map(|_| {
            let uid = self.receiver.uid().unwrap_or_default();
            pairs.identity(&uid, inputs::min_version(spec), ground.now.into())
        });
        let identity = identity.and_then(|found| match found {
            Ok(identity) => {
                item.certificate.clone_from(&identity.status.sha256);
                Some(identity)
            }
            Err(why) => {
                item.message.get_or_insert_with(|| printable(&why, MESSAGE));
                None
            }
        });
        let site = Site {
            name: self.name.to_string(),
            domains,
            notify_local_part: spec.notify_local_part().to_owned(),
            max_message_bytes: spec.max_message_bytes(),
            tls: match spec.tls_mode() {
                ReceiverTlsMode::None => TlsMode::None,
                ReceiverTlsMode::Opportunistic => TlsMode::Opportunistic,
                ReceiverTlsMode::Required => TlsMode::Required,
            },
            identity,
            // Where it is not known who may send, mail has to wait.
            is_suspended: self.is_halted(until) || sources.is_err(),
            allowed_sources: sources.unwrap_or_default(),
        };
        ((!site.domains.is_empty()).then_some(site), item)
    }

    /// Whether mail has to wait; notes when that ends by itself.
    fn is_halted(&self, until: &mut Option<Timestamp>) -> bool {
        let now = self.ground.now;
        let brakes = Brakes {
            suspend: self.receiver.spec.suspend == Some(true),
            suspend_until: self.receiver.annotations().get(SUSPEND_UNTIL).map(String::as_str),
            pause: None,
            maintenance: &[],
            now,
        };
        let (halt, pause) = (brakes.halt(), self.ground.pause.of(&self.name.namespace, now));
        let ends = [halt.as_ref().and_then(|halt| halt.until), pause.as_ref().and_then(|pause| pause.until)];
        *until = ends.into_iter().chain([*until]).flatten().min();
        halt.is_some() || pause.is_some() || brakes.unacceptable().is_some()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn receiver(name: &str, second: i64, spec: &Value) -> (Name, MailReceiver) {
        let made = Timestamp::from_second(second).unwrap().to_string();
        let object = json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "MailReceiver",
            "metadata": {"name": name, "namespace": "mail", "uid": name, "generation": 3, "creationTimestamp": made},
            "spec": spec,
        });
        (Name::new("mail", name), serde_json::from_value(object).unwrap())
    }

    fn drawn(receivers: Vec<(Name, MailReceiver)>, pause: &Pause) -> Drawn {
        let receivers = receivers.into_iter().collect();
        let listening = ["0.0.0.0:2525".parse().unwrap(), "0.0.0.0:25".parse().unwrap()];
        let now = Timestamp::from_second(1000).unwrap();
        draw(&Ground { receivers: &receivers, pause, listening: &listening, pod: "pod-1", now }, &mut Pairs::default())
    }

    fn told(drawn: &Drawn, name: &str) -> (Option<String>, String) {
        let item = &drawn.told[&Name::new("mail", name)].wanted;
        (item.reason.clone(), item.message.clone().unwrap_or_default())
    }

    #[test]
    fn each_port_has_the_sites_that_name_it_and_the_oldest_has_a_domain() {
        let drawn = drawn(
            vec![
                receiver("a-new", 9, &json!({"domains": ["one.test", "two.test"], "listener": {"port": 25}})),
                receiver("b-old", 5, &json!({"domains": ["ONE.test"]})),
                receiver("c-lost", 9, &json!({"domains": ["one.TEST"]})),
                receiver("d-else", 9, &json!({"domains": ["three.test"], "listener": {"port": 26}})),
            ],
            &Pause::default(),
        );
        let domains = |at: usize| drawn.sites[at].iter().flat_map(|site| site.domains.clone()).collect::<Vec<_>>();
        assert_eq!((domains(0), domains(1)), (vec!["ONE.test".to_owned()], vec!["two.test".to_owned()]));
        assert_eq!(told(&drawn, "a-new"), (None, String::new()));
        assert_eq!(told(&drawn, "c-lost").0.as_deref(), Some("Conflict"));
        assert_eq!(told(&drawn, "d-else"), (Some("PortUnavailable".to_owned()), "listens on 2525, 25".to_owned()));
        let item = &drawn.told[&Name::new("mail", "a-new")].wanted;
        assert_eq!((item.address.as_str(), item.generation, item.pod.as_str()), ("0.0.0.0:25", 3, "pod-1"));
    }

    #[test]
    fn mail_waits_while_a_receiver_is_suspended_paused_or_cannot_be_read() {
        let waits = |mut one: (Name, MailReceiver), annotation: Option<&str>, pause: &Pause| {
            if let Some(until) = annotation {
                one.1.annotations_mut().insert(SUSPEND_UNTIL.to_owned(), until.to_owned());
            }
            let drawn = drawn(vec![one], pause);
            (drawn.sites[0][0].is_suspended, drawn.until.map(jiff::Timestamp::as_second))
        };
        let plain = || receiver("r", 5, &json!({"domains": ["one.test"]}));
        assert_eq!(waits(plain(), None, &Pause::default()), (false, None));
        assert_eq!(
            waits(receiver("r", 5, &json!({"domains": ["one.test"], "suspend": true})), None, &Pause::default()),
            (true, None)
        );
        assert_eq!(waits(plain(), Some("1970-01-01T01:00:00Z"), &Pause::default()), (true, Some(3600)));
        assert_eq!(waits(plain(), Some("tomorrow"), &Pause::default()), (true, None));
        let paused = Pause::default();
        paused.set(BTreeMap::from([("mail".to_owned(), Timestamp::from_second(2000).ok())]));
        assert_eq!(waits(plain(), None, &paused), (true, Some(2000)));
        let unread = receiver("r", 5, &json!({"domains": ["one.test"], "listener": {"allowedSources": ["1.2.3"]}}));
        assert_eq!(waits(unread, None, &Pause::default()), (true, None));
    }

    #[test]
    fn a_certificate_that_is_not_there_is_told_and_mail_that_needs_it_waits() {
        let spec = json!({"domains": ["one.test"], "tls": {"mode": "Required", "certificateRef": {"name": "mx"}}});
        let drawn = drawn(vec![receiver("r", 5, &spec)], &Pause::default());
        assert_eq!(drawn.sites[0][0].tls, TlsMode::Required);
        assert!(drawn.sites[0][0].identity.is_none());
        assert_eq!(told(&drawn, "r"), (None, "the operator has not handed over its certificate".to_owned()));
    }
}
