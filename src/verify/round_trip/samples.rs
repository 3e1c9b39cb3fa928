//! What tests of policies begin with: a policy that sends each quarter of an hour, whose answers come to a receiver.

use std::time::Duration;

use jiff::Timestamp;

use super::{Came, Observed, Plan, Probe, ProbeReport, Seen, What, claim, decide, matching::Answer, status};
use crate::{
    api::{
        Reason,
        v1alpha1::{Level, ProbeMessage, Receive, RoundTripPolicySpec, RoundTripPolicyStatus, State},
    },
    mail::Diagnosis,
    verify::{
        Report,
        gate::Account,
        halt::Mode,
        report::Delivery,
        schedule::{later, next_slot},
    },
};

/// The time of a test, and its object.
pub struct World {
    /// The id of the probe of now.
    pub id: String,
    pub spec: RoundTripPolicySpec,
    pub status: Option<RoundTripPolicyStatus>,
    pub observed: Result<Observed, Diagnosis>,
    pub came: Vec<Came>,
    pub running: Option<Probe>,
    pub pause: Option<crate::verify::halt::Pause>,
    pub request: Option<&'static str>,
    pub mode: Mode,
    pub crowded: bool,
    pub generation: i64,
    pub since: Timestamp,
    pub now: Timestamp,
}

pub const UID: &str = "5d7c8e6a-0000-4000-8000-000000000001";
pub const ID: &str = "7b4e1d3c-5a3c-8f10-9c1e-2b6f0a4d7e00";

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

pub fn world() -> World {
    let account = Account { host: "smtp.test".to_owned(), user: "probe".to_owned(), secret: "account".to_owned() };
    World {
        id: ID.to_owned(),
        spec: RoundTripPolicySpec {
            to: "echo@partner.test".to_owned(),
            message: ProbeMessage { subject: None, body: "please answer".to_owned() },
            receive: Receive::default(),
            ..RoundTripPolicySpec::default()
        },
        status: None,
        observed: Ok(Observed {
            inputs: "inputs".to_owned(),
            accounts: vec![account],
            from: "probe@corp.test".to_owned(),
            address: "notify@in.corp.test".to_owned(),
            ..Observed::default()
        }),
        came: Vec::new(),
        running: None,
        pause: None,
        request: None,
        mode: Mode::Enforce,
        crowded: false,
        generation: 1,
        since: at(-10_000),
        now: at(0),
    }
}

impl World {
    pub fn seen(&self) -> Seen<'_> {
        let status = self.status.as_ref();
        Seen {
            object: crate::verify::object::Object {
                uid: UID,
                generation: self.generation,
                created: Some(at(0)),
                deleted: false,
                suspend: self.spec.suspend == Some(true),
                maintenance: self.spec.maintenance.as_deref().unwrap_or_default(),
                suspend_until: None,
                verify_requested_at: self.request,
                answered: status.and_then(|status| status.last_handled_verify_request.as_deref()),
                observed_generation: status.and_then(|status| status.observed_generation),
                conditions: status.map(|status| status.conditions.as_slice()).unwrap_or_default(),
                pause: self.pause.clone(),
                mode: self.mode,
                crowded: self.crowded,
                since: self.since,
                now: self.now,
            },
            spec: &self.spec,
            status: self.status.as_ref(),
            observed: self.observed.clone(),
            held: None,
            running: self.running.clone(),
            came: self.came.clone(),
        }
    }

    pub fn decide(&self) -> Plan {
        decide(&self.seen())
    }

    /// The probe that is due now.
    pub fn probe(&self) -> Probe {
        match self.decide().what {
            What::Probe(probe) => probe,
            what => panic!("no probe is due: {what:?}"),
        }
    }

    pub fn told(&self) -> &RoundTripPolicyStatus {
        self.status.as_ref().unwrap()
    }

    /// Tells what is decided now.
    pub fn tell(&mut self) -> Plan {
        let plan = self.decide();
        self.status = Some(status(&self.seen(), &plan, None));
        plan
    }

    /// Tells what became of a probe's sending.
    pub fn tell_of(&mut self, probe: &Probe, report: &ProbeReport) {
        let plan = Plan { what: What::Probe(probe.clone()), next: None, state: State::Active };
        let report = ProbeReport { id: self.id.clone(), ..report.clone() };
        self.status = Some(status(&self.seen(), &plan, Some(&report)));
    }

    /// Takes the claim of a probe.
    pub fn claim(&mut self, probe: &Probe) {
        let settled = self.status.as_ref().map_or(0, |status| status.history.len());
        if probe.id.is_none() {
            self.id = format!("{}{settled:02x}", &ID[..34]);
        }
        let id = probe.id.clone().unwrap_or_else(|| self.id.clone());
        self.status = Some(claim(&self.seen(), probe, &id, None, self.now));
    }

    /// Sends the probe that is due: and taken by the server.
    pub fn send(&mut self) {
        let probe = self.probe();
        self.tell();
        self.claim(&probe);
        self.tell_of(&probe, &taken(self.now));
    }

    /// A mail comes, so many seconds after now, which then is.
    pub fn comes(&mut self, after: u64, failure: Option<Diagnosis>) {
        self.now = later(self.now, Duration::from_secs(after));
        let answer = Answer { failure, rewritten_from: None };
        self.came = vec![Came { probe: self.id.clone(), received: self.now, answer }];
    }

    /// Goes on until the next slot of the schedule.
    pub fn next_slot(&mut self) {
        self.came.clear();
        self.now = next_slot(self.now, UID, self.spec.interval().get());
    }

    pub fn passes(&mut self, seconds: u64) {
        self.now = later(self.now, Duration::from_secs(seconds));
    }

    /// The status and reason of a condition.
    pub fn condition(&self, kind: &str) -> (&str, &str) {
        let condition = self.told().conditions.iter().find(|c| c.type_ == kind);
        condition.map_or(("", ""), |c| (c.status.as_str(), c.reason.as_str()))
    }

    /// The results of the history, the newest first.
    pub fn results(&self) -> Vec<&str> {
        self.told().history.iter().map(|row| row.result.as_str()).collect()
    }
}

fn report(dot_sent: bool, accepted: Option<&str>, failure: Option<Diagnosis>) -> Report {
    let mut report = Report::new(Level::Deliver, "smtp.test:587".to_owned());
    let accepted = accepted.map(str::to_owned);
    report.delivery = (dot_sent || failure.is_none()).then(|| Delivery { message_id: String::new(), dot_sent, accepted });
    report.failure = failure;
    report
}

/// The server took the mail.
pub fn taken(sent: Timestamp) -> ProbeReport {
    let report = report(true, Some("250 2.0.0 queued"), None);
    ProbeReport { id: ID.to_owned(), report, sent: Some(sent), looked: false }
}

/// The mail may have gone.
pub fn uncertain() -> ProbeReport {
    let report = report(true, None, Some(Diagnosis::new(Reason::DeliveryUncertain)));
    ProbeReport { id: ID.to_owned(), report, sent: None, looked: false }
}

/// The mail did not go.
pub fn failed(reason: Reason) -> ProbeReport {
    let report = report(false, None, Some(Diagnosis::new(reason)));
    ProbeReport { id: ID.to_owned(), report, sent: None, looked: false }
}
