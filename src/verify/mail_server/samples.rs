//! Objects and reports to test decisions with: a server that is fine, and what may befall it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Check, Mode, Observed, Pause, Plan, Seen, Trigger, Views, What, claim, decide, status};
use crate::{
    api::{
        Reason,
        v1alpha1::{DEFAULT_ACTOR, Level, MailServerSpec, MailServerStatus, State},
    },
    mail::{
        Diagnosis, Stage,
        stage::{Outcome, Record},
    },
    verify::{
        Chosen, Report,
        breaker::Hold,
        gate::Account,
        report::{Delivery, LoginOutcome},
    },
};

/// A moment: noon, and so many seconds.
pub fn at(seconds: i64) -> Timestamp {
    "2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// A server and what surrounds it; [`Case::seen`] lends it to a decision.
#[derive(Clone, Debug)]
pub struct Case {
    pub spec: MailServerSpec,
    pub status: Option<MailServerStatus>,
    pub generation: i64,
    pub observed: Result<Observed, Diagnosis>,
    pub request: Option<String>,
    pub suspend_until: Option<String>,
    pub held: Option<Hold>,
    pub pause: Option<Pause>,
    pub mode: Mode,
    pub crowded: bool,
    pub deleted: bool,
    pub uid: String,
    pub other_default: Option<String>,
    pub running: Option<Check>,
    pub since: Timestamp,
    pub now: Timestamp,
}

/// A server that was just created, with a password, at level Authenticate and every hour.
pub fn server() -> Case {
    let spec = serde_json::json!({
        "host": "smtp.corp.example",
        "auth": {"type": "Password", "secretRef": {"name": "relay"}},
        "sender": {"address": "mailer@corp.example"},
        "test": {"to": "ops@corp.example"},
    });
    Case {
        spec: serde_json::from_value(spec).unwrap(),
        status: None,
        generation: 1,
        observed: Ok(Observed {
            inputs: "inputs-1".to_owned(),
            accounts: vec![account("credentials-1")],
            secret: Some("mail/relay".to_owned()),
            secret_changed: None,
            credential_ends: None,
            actors: vec![Chosen::new(DEFAULT_ACTOR)],
        }),
        request: None,
        suspend_until: None,
        held: None,
        pause: None,
        mode: Mode::Enforce,
        crowded: false,
        deleted: false,
        uid: "0b8e0a4c".to_owned(),
        other_default: None,
        running: None,
        since: at(-10_000_000),
        now: at(0),
    }
}

pub fn account(secret: &str) -> Account {
    Account { host: "smtp.corp.example".to_owned(), user: "relay".to_owned(), secret: secret.to_owned() }
}

impl Case {
    /// With a part of the spec changed, by its JSON.
    pub fn with(mut self, key: &str, value: serde_json::Value) -> Self {
        let mut spec = serde_json::to_value(&self.spec).unwrap();
        spec[key] = value;
        self.spec = serde_json::from_value(spec).unwrap();
        self
    }

    pub fn verification(self, value: serde_json::Value) -> Self {
        self.with("verification", value)
    }

    pub fn deliver(self) -> Self {
        self.verification(serde_json::json!({"level": "Deliver"}))
    }

    pub fn inputs(mut self, inputs: &str) -> Self {
        self.observed.as_mut().unwrap().inputs = inputs.to_owned();
        self
    }

    pub fn edited(mut self) -> Self {
        self.generation += 1;
        let inputs = format!("inputs-{}", self.generation);
        self.inputs(&inputs)
    }

    pub fn refused(mut self, reason: Reason) -> Self {
        self.observed = Err(Diagnosis::new(reason).at(Stage::Secrets));
        self
    }

    pub fn asked(mut self, request: &str) -> Self {
        self.request = Some(request.to_owned());
        self
    }

    pub fn held_until(mut self, until: Timestamp) -> Self {
        self.held = Some(Hold { credentials: "credentials-1".to_owned(), until, refusals: 1 });
        self
    }

    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    pub fn later(self, seconds: i64) -> Self {
        let now = self.now + SignedDuration::from_secs(seconds);
        self.at(now)
    }

    /// Another process leads from now on.
    pub fn restarted(mut self) -> Self {
        self.since = self.now;
        self.running = None;
        self
    }

    pub fn seen(&self) -> Seen<'_> {
        let status = self.status.as_ref();
        Seen {
            object: crate::verify::object::Object {
                uid: &self.uid,
                generation: self.generation,
                created: Some(at(0)),
                deleted: self.deleted,
                suspend: self.spec.suspend == Some(true),
                maintenance: self.spec.maintenance.as_deref().unwrap_or_default(),
                suspend_until: self.suspend_until.as_deref(),
                verify_requested_at: self.request.as_deref(),
                answered: status.and_then(|status| status.last_handled_verify_request.as_deref()),
                observed_generation: status.and_then(|status| status.observed_generation),
                conditions: status.map(|status| status.conditions.as_slice()).unwrap_or_default(),
                pause: self.pause.clone(),
                mode: self.mode,
                crowded: self.crowded,
                since: self.since,
                now: self.now,
            },
            namespace: "mail",
            name: "relay",
            resource_version: "7",
            other_default: self.other_default.as_deref(),
            spec: &self.spec,
            status: self.status.as_ref(),
            observed: self.observed.clone(),
            held: self.held.clone(),
            used_by: 0,
            running: self.running.clone(),
        }
    }

    pub fn plan(&self) -> Plan {
        decide(&self.seen())
    }

    /// The check that is to be run now.
    #[track_caller]
    pub fn check(&self) -> Check {
        match self.plan().what {
            What::Check(check) => check,
            other => panic!("no check: {other:?}"),
        }
    }

    pub fn triggers(&self) -> Option<Trigger> {
        match self.plan().what {
            What::Check(check) => Some(check.trigger),
            _ => None,
        }
    }

    /// What is decided now is told, and nothing is found.
    pub fn told(mut self) -> Self {
        let new = status(&self.seen(), &self.plan(), None);
        self.status = Some(new);
        self
    }

    /// The check that is to be run now begins.
    #[track_caller]
    pub fn begun(mut self) -> Self {
        let check = self.check();
        self = self.told();
        self.running = Some(check);
        self
    }

    /// The check that is to be run now begins and takes its claim.
    #[track_caller]
    pub fn claimed(mut self) -> Self {
        self = self.begun();
        let check = self.running.clone().unwrap();
        self.status = Some(claim(&self.seen(), &check, self.now));
        self
    }

    /// The check that is to be run now, or runs, ends with a report.
    #[track_caller]
    pub fn finds(self, report: &Report) -> Self {
        self.finds_by(&report.clone().into())
    }

    /// The same by more actors than the operator itself.
    #[track_caller]
    pub fn finds_by(mut self, views: &Views) -> Self {
        let check = self.running.take().unwrap_or_else(|| self.check());
        let mut views = views.clone();
        for report in views.0.iter_mut().map(|view| &mut view.report) {
            report.level = check.level;
            if report.level < Level::Deliver {
                report.delivery = None;
            }
        }
        let plan = Plan { what: What::Check(check), next: None, state: State::Active };
        let new = status(&self.seen(), &plan, Some(&views));
        self.status = Some(new);
        self
    }

    /// The same at the moment at which the next check is due.
    #[track_caller]
    pub fn when_due(self) -> Self {
        let due = self.status.as_ref().unwrap().next_check_time.clone().unwrap().0;
        self.at(due)
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// A condition as `True Succeeded`; empty where it is absent.
    pub fn says(&self, kind: &str) -> String {
        self.condition(kind).map(|c| format!("{} {}", c.status, c.reason)).unwrap_or_default()
    }

    pub fn next_check(&self) -> Timestamp {
        self.status.as_ref().unwrap().next_check_time.clone().unwrap().0
    }
}

/// A check in which everything worked, the mail too where one was to be sent.
pub fn fine() -> Report {
    Report {
        level: Level::Authenticate,
        failure: None,
        stages: passed(&[
            Stage::Dns,
            Stage::Tcp,
            Stage::Banner,
            Stage::Ehlo,
            Stage::StartTls,
            Stage::Tls,
            Stage::Ehlo2,
            Stage::Auth,
        ]),
        endpoint: "smtp.corp.example:587".to_owned(),
        primary_failure: None,
        alternate_failures: Vec::new(),
        addresses: vec!["192.0.2.25".to_owned()],
        helo: Some("corp.example".to_owned()),
        capabilities: None,
        tls: serde_json::from_value(
            serde_json::json!({"version": "TLSv1.3", "notAfter": "2027-11-21T12:00:00Z", "subject": "CN=smtp"}),
        )
        .unwrap(),
        tls_verified: true,
        tls_hello: false,
        source_ip: Some("10.0.0.7".to_owned()),
        observed_ip: None,
        login: Some(LoginOutcome::Accepted),
        delivery: Some(Delivery {
            message_id: "x@corp.example".to_owned(),
            dot_sent: true,
            accepted: Some("250 2.0.0 queued".to_owned()),
        }),
        mailbox: None,
        token: None,
        duration: Duration::from_millis(12),
    }
}

/// A check that failed at a stage; what comes before it passed.
pub fn failed(diagnosis: Diagnosis) -> Report {
    let stage = diagnosis.stage.unwrap();
    let mut report = fine();
    report.stages.retain(|record| record.stage < stage);
    report.stages.push(Record { stage, outcome: Outcome::Failed, duration: Duration::ZERO, detail: None });
    if stage <= Stage::Tls {
        report.tls = None;
        report.tls_verified = false;
    }
    report.login = match diagnosis.reason {
        Reason::AuthenticationFailed => Some(LoginOutcome::Refused),
        _ if stage > Stage::Auth => Some(LoginOutcome::Accepted),
        _ => None,
    };
    report.delivery = None;
    report.failure = Some(diagnosis);
    report
}

/// Transient, before anything is sent.
pub fn timed_out() -> Report {
    failed(Diagnosis::new(Reason::ConnectionTimedOut).at(Stage::Tcp).fact("address", "192.0.2.25:587"))
}

pub fn refused_login() -> Report {
    failed(Diagnosis::new(Reason::AuthenticationFailed).at(Stage::Auth).words("535 5.7.8 authentication failed"))
}

/// The connection was lost behind the final dot.
pub fn uncertain() -> Report {
    let mut report = failed(Diagnosis::new(Reason::DeliveryUncertain).at(Stage::Data));
    report.delivery = Some(Delivery { message_id: "x@corp.example".to_owned(), dot_sent: true, accepted: None });
    report
}

fn passed(stages: &[Stage]) -> Vec<Record> {
    stages
        .iter()
        .map(|stage| Record { stage: *stage, outcome: Outcome::Passed, duration: Duration::from_millis(1), detail: None })
        .collect()
}
