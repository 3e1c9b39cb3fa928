//! A `MailReceiver` to test decisions with, and what may befall it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Certificate, Look, Pair, Records, Seen, status};
use crate::{
    api::v1alpha1::{ListenerStatus, MailReceiverSpec, MailReceiverStatus, TlsStatus},
    mail::dns::Exchange,
    verify::{halt::Pause, mail_receiver::mx::Found},
};

/// A moment: noon, and so many seconds.
pub fn at(seconds: i64) -> Timestamp {
    "2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// A receiver and what surrounds it; [`Case::seen`] lends it to a decision.
pub struct Case {
    pub spec: MailReceiverSpec,
    pub status: Option<MailReceiverStatus>,
    pub generation: i64,
    pub request: Option<String>,
    pub suspend_until: Option<String>,
    pub pause: Option<Pause>,
    pub rivals: Vec<(String, String)>,
    pub certificate: Certificate,
    pub listeners: Vec<ListenerStatus>,
    pub failures: u32,
    pub running: Option<Look>,
    pub noticed_by: Timestamp,
    pub now: Timestamp,
}

/// One that a receiver listens for; what is in `more` is added to its spec.
pub fn receiver(more: &Value) -> Case {
    let mut spec = json!({"domains": ["corp.example"]});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    Case {
        spec: serde_json::from_value(spec).unwrap(),
        status: None,
        generation: 1,
        request: None,
        suspend_until: None,
        pause: None,
        rivals: Vec::new(),
        certificate: Certificate::None,
        listeners: vec![listener("pod-1", 1)],
        failures: 0,
        running: None,
        noticed_by: at(10),
        now: at(0),
    }
}

pub fn listener(pod: &str, generation: i64) -> ListenerStatus {
    ListenerStatus { pod: pod.to_owned(), address: "0.0.0.0:2525".to_owned(), generation, ..ListenerStatus::default() }
}

/// A certificate that ends after so many seconds.
pub fn good(seconds: i64) -> Certificate {
    let status =
        TlsStatus { not_after: Some(at(seconds).to_string()), subject: Some("CN=mx".to_owned()), ..TlsStatus::default() };
    Certificate::Good(Box::new(Pair { chain: Vec::new(), key: Vec::new().into(), status, fingerprint: "f".to_owned() }))
}

/// What was found of corp.example.
pub fn found(records: &[(u16, &str)]) -> Records {
    let record = |(preference, name): &(u16, &str)| Exchange { preference: *preference, name: (*name).to_owned() };
    vec![Found { domain: "corp.example".to_owned(), records: Ok(records.iter().map(record).collect()) }]
}

impl Case {
    pub fn seen(&self) -> Seen<'_> {
        let status = self.status.as_ref();
        Seen {
            object: crate::verify::object::Object {
                uid: "uid",
                generation: self.generation,
                created: Some(at(0)),
                deleted: false,
                suspend: self.spec.suspend == Some(true),
                maintenance: &[],
                suspend_until: self.suspend_until.as_deref(),
                verify_requested_at: self.request.as_deref(),
                answered: status.and_then(|status| status.last_handled_verify_request.as_deref()),
                observed_generation: status.and_then(|status| status.observed_generation),
                conditions: status.map(|status| status.conditions.as_slice()).unwrap_or_default(),
                pause: self.pause.clone(),
                mode: crate::verify::halt::Mode::Enforce,
                crowded: false,
                since: at(-60),
                now: self.now,
            },
            spec: &self.spec,
            status: self.status.as_ref(),
            rivals: self.rivals.clone(),
            certificate: self.certificate.clone(),
            listeners: self.listeners.clone(),
            noticed_by: self.noticed_by,
            receiver_namespace: "mailverity-receiver",
            used_by: 0,
            failures: self.failures,
            running: self.running.clone(),
        }
    }

    /// Tells, and keeps what was told.
    pub fn tell(&mut self, found: Option<(&Look, &Records)>) -> &MailReceiverStatus {
        let told = status(&self.seen(), found);
        self.status.insert(told)
    }

    /// A condition as it was told: its status and its reason.
    pub fn told(&self, kind: &str) -> Option<(&str, &str)> {
        let conditions = &self.status.as_ref()?.conditions;
        conditions.iter().find(|c| c.type_ == kind).map(|c| (c.status.as_str(), c.reason.as_str()))
    }

    /// The message of a condition.
    pub fn message(&self, kind: &str) -> &str {
        let conditions = self.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().find(|c| c.type_ == kind).map_or("", |c| &c.message)
    }
}
