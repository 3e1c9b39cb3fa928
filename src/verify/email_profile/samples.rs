//! Objects and reports to test decisions with: a profile that is fine, walked through decide → claim → status by a fake clock as
//! the operator walks it, and what may befall it.

mod reports;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::{Because, Begin, Observed, Plan, Run, Seen, Trigger, What, claim, decide, differs, status};
use crate::{
    api::{
        Reason,
        v1alpha1::{EmailProfileSpec, EmailProfileStatus, ProfileActorState, ProfileActorStatus, State},
    },
    mail::{Diagnosis, Stage},
    verify::{
        Chosen,
        breaker::Hold,
        gate::Account,
        halt::{Mode, Pause, PauseScope},
    },
};
pub use reports::{Ends, bounced, in_junk, missing, refused_login, refused_outgoing, report, timed_out, unreached_outgoing};

pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 3600;
pub const DAY: i64 = 24 * HOUR;

/// A moment: noon, and so many seconds.
pub fn at(seconds: i64) -> Timestamp {
    "2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// A mail that left: whose, in which run, which try, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub actor: String,
    pub run: String,
    pub attempt: i32,
    pub at: Timestamp,
}

/// A profile and what surrounds it; [`Case::seen`] lends it to a decision.
#[derive(Clone, Debug)]
pub struct Case {
    pub spec: EmailProfileSpec,
    pub status: Option<EmailProfileStatus>,
    pub generation: i64,
    pub observed: Result<Observed, Diagnosis>,
    pub request: Option<String>,
    pub suspend_until: Option<String>,
    pub held: Option<Hold>,
    pub outgoing_held: Option<Hold>,
    pub pause: Option<Pause>,
    pub mode: Mode,
    pub crowded: bool,
    pub deleted: bool,
    pub uid: String,
    pub running: Option<Run>,
    pub since: Timestamp,
    pub now: Timestamp,
    /// Every mail that left.
    pub mails: Vec<Left>,
    /// How often its status was written.
    pub writes: usize,
}

/// A profile that was just created: one actor, every day, 15 minutes for a mail.
pub fn profile() -> Case {
    let spec = json!({
        "address": "box@corp.example",
        "protocol": "IMAP",
        "server": {"host": "imap.corp.example"},
        "account": {"type": "Password", "secretRef": {"name": "box"}},
        "verification": {"senderRef": {"name": "relay"}},
    });
    Case {
        spec: serde_json::from_value(spec).unwrap(),
        status: None,
        generation: 1,
        observed: Ok(Observed {
            inputs: "inputs-1".to_owned(),
            accounts: vec![account("credentials-1")],
            secret: Some("mail/box".to_owned()),
            actors: vec![Chosen::new("default")],
            from: Some("mailer@corp.example".to_owned()),
            ..Observed::default()
        }),
        request: None,
        suspend_until: None,
        held: None,
        outgoing_held: None,
        pause: None,
        mode: Mode::Enforce,
        crowded: false,
        deleted: false,
        uid: "0b8e0a4c".to_owned(),
        running: None,
        since: at(-10_000_000),
        now: at(0),
        mails: Vec::new(),
        writes: 0,
    }
}

/// The same, where a person sends the mail.
pub fn manual() -> Case {
    profile().verification(json!({"mode": "Manual", "timeout": "1h"}))
}

pub fn account(secret: &str) -> Account {
    Account { host: "imap.corp.example".to_owned(), user: "box@corp.example".to_owned(), secret: secret.to_owned() }
}

impl Case {
    /// With a part of the spec changed, by its JSON.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        let mut spec = serde_json::to_value(&self.spec).unwrap();
        spec[key] = value;
        self.spec = serde_json::from_value(spec).unwrap();
        self
    }

    pub fn verification(self, value: Value) -> Self {
        self.with("verification", value)
    }

    pub fn seeing(mut self, change: impl FnOnce(&mut Observed)) -> Self {
        change(self.observed.as_mut().unwrap());
        self
    }

    pub fn actors(self, names: &[&str]) -> Self {
        self.seeing(|observed| observed.actors = names.iter().copied().map(Chosen::new).collect())
    }

    pub fn with_outgoing(self) -> Self {
        self.seeing(|observed| {
            observed.outgoing = Some("smtp.corp.example:587".to_owned());
            observed.accounts.push(Account { host: "smtp.corp.example".to_owned(), ..account("credentials-out") });
        })
    }

    pub fn inputs(self, inputs: &str) -> Self {
        self.seeing(|observed| observed.inputs = inputs.to_owned())
    }

    pub fn edited(mut self) -> Self {
        self.generation += 1;
        let inputs = format!("inputs-{}", self.generation);
        self.inputs(&inputs)
    }

    /// A new generation that changes nothing that is proved.
    pub fn renamed(mut self) -> Self {
        self.generation += 1;
        self
    }

    pub fn refused(mut self, reason: Reason) -> Self {
        self.observed = Err(Diagnosis::new(reason).at(Stage::Secrets));
        self
    }

    pub fn waiting(self) -> Self {
        let waits = Diagnosis::new(Reason::DependencyNotReady).fact("kind", "MailServer").fact("name", "mail/relay");
        self.seeing(|observed| observed.waits = Some(waits.fact("reason", "ConnectionRefused")))
    }

    pub fn ready(self) -> Self {
        self.seeing(|observed| observed.waits = None)
    }

    pub fn asked(mut self, request: &str) -> Self {
        self.request = Some(request.to_owned());
        self
    }

    pub fn held_until(mut self, until: Timestamp) -> Self {
        self.held = Some(Hold { credentials: "credentials-1".to_owned(), until, refusals: 1 });
        self
    }

    pub fn paused(mut self, until: Option<Timestamp>) -> Self {
        self.pause = Some(Pause { until, config_map: "mailverity/pause".to_owned(), scope: PauseScope::All });
        self
    }

    pub fn suspended(self, suspend: bool) -> Self {
        self.with("suspend", json!(suspend)).renamed()
    }

    pub fn observing(mut self, observes: bool) -> Self {
        self.mode = if observes { Mode::Observe } else { Mode::Enforce };
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

    /// Another process leads from now on; what ran is gone without a word.
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
            spec: &self.spec,
            status: self.status.as_ref(),
            observed: self.observed.clone(),
            held: self.held.clone(),
            outgoing_held: self.outgoing_held.clone(),
            running: self.running.clone(),
        }
    }

    pub fn plan(&self) -> Plan {
        let mut plan = decide(&self.seen());
        if let What::Run(run) = &mut plan.what
            && self.seen().is_manual()
        {
            run.subject = Some(format!("(code of {})", run.id));
        }
        plan
    }

    /// The run that is to begin now, or to go on.
    #[track_caller]
    pub fn run(&self) -> Run {
        match self.plan().what {
            What::Run(run) => run,
            other => panic!("no run: {other:?}"),
        }
    }

    pub fn triggers(&self) -> Option<Trigger> {
        match self.plan().what {
            What::Run(run) => Some(run.trigger),
            _ => None,
        }
    }

    /// What each actor has to do now.
    #[track_caller]
    pub fn errands(&self) -> Vec<(String, Begin, i32)> {
        self.run().errands.into_iter().map(|errand| (errand.actor, errand.begin, errand.attempt)).collect()
    }

    pub fn is_not_due(&self) -> bool {
        self.plan().what == What::Rest(Because::NotDue)
    }

    fn write(&mut self, new: EmailProfileStatus) {
        if differs(self.status.as_ref(), &new) {
            self.status = Some(new);
            self.writes += 1;
        }
    }

    /// What is decided now is told, and nothing is found.
    pub fn told(mut self) -> Self {
        let new = status(&self.seen(), &self.plan(), None);
        self.write(new);
        self
    }

    /// The run that is due begins.
    #[track_caller]
    pub fn begun(mut self) -> Self {
        let run = self.run();
        self = self.told();
        self.running = Some(run);
        self
    }

    /// An actor of the run that is under way takes its claim.
    #[track_caller]
    pub fn claims(mut self, actor: &str) -> Self {
        if self.running.is_none() {
            self = self.begun();
        }
        let run = self.running.clone().unwrap();
        let errand = run.errands.iter().find(|errand| errand.actor == actor).expect("it has an errand");
        assert_eq!(errand.begin, Begin::Send, "{actor} may not send");
        self.status = Some(claim(&self.seen(), &run, actor, "imap:1:2", self.now));
        self.writes += 1;
        self
    }

    /// The same, and its mail leaves.
    #[track_caller]
    pub fn sends(mut self, actor: &str) -> Self {
        self = self.claims(actor);
        let run = self.running.clone().unwrap();
        let attempt = run.errands.iter().find(|errand| errand.actor == actor).unwrap().attempt;
        self.mails.push(Left { actor: actor.to_owned(), run: run.id, attempt, at: self.now });
        self
    }

    /// The run that is due, or under way, ends for every actor in the same way.
    #[track_caller]
    pub fn ends(self, ends: &Ends) -> Self {
        self.ends_for(&[], ends)
    }

    /// The same, with other ends for some actors.
    #[track_caller]
    pub fn ends_for(mut self, some: &[(&str, Ends)], others: &Ends) -> Self {
        if self.running.is_none() {
            self = self.begun();
        }
        let run = self.running.clone().unwrap();
        let end = |actor: &str| some.iter().find(|(name, _)| *name == actor).map_or(others, |(_, end)| end).clone();
        for errand in run.errands.iter().filter(|errand| errand.begin == Begin::Send) {
            let claimed =
                self.status.as_ref().is_some_and(|s| s.claims.iter().any(|c| c.actor == errand.actor && c.id == run.id));
            self = match end(&errand.actor) {
                end if claimed || !end.claims() => self,
                end if end.leaves() => self.sends(&errand.actor),
                _ => self.claims(&errand.actor),
            };
        }
        let report = reports::report(&self, &run, end);
        self.finds(&report)
    }

    /// The run that is under way ends with a report.
    #[track_caller]
    pub fn finds(mut self, report: &super::RunReport) -> Self {
        let run = self.running.take().expect("a run is under way");
        let plan = Plan { what: What::Run(run), next: None, state: State::Active };
        let new = status(&self.seen(), &plan, Some(report));
        self.write(new);
        self
    }

    /// The same at the moment at which the next run is due.
    #[track_caller]
    pub fn when_due(self) -> Self {
        let due = self.next_run();
        self.at(due)
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// A condition as `True Succeeded`; empty where it is absent.
    pub fn says(&self, kind: &str) -> String {
        self.condition(kind).map(|c| format!("{} {}", c.status, c.reason)).unwrap_or_default()
    }

    pub fn message(&self, kind: &str) -> String {
        self.condition(kind).map(|c| c.message.clone()).unwrap_or_default()
    }

    /// Each condition as `Ready=True Succeeded`, in order.
    pub fn all(&self) -> Vec<String> {
        let list = self.status.iter().flat_map(|status| &status.conditions);
        list.map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect()
    }

    #[track_caller]
    pub fn next_run(&self) -> Timestamp {
        self.told_status().next_run_time.clone().unwrap().0
    }

    /// The id of the run that the status tells of.
    #[track_caller]
    pub fn run_id(&self) -> String {
        self.told_status().verification.as_ref().map(|run| run.run_id.clone()).unwrap_or_default()
    }

    #[track_caller]
    pub fn told_status(&self) -> &EmailProfileStatus {
        self.status.as_ref().unwrap()
    }

    #[track_caller]
    pub fn actor(&self, name: &str) -> &ProfileActorStatus {
        self.told_status().actors.iter().find(|actor| actor.name == name).unwrap()
    }

    /// Where an actor stands, and why.
    #[track_caller]
    pub fn stands(&self, name: &str) -> (ProfileActorState, &str) {
        let actor = self.actor(name);
        (actor.state, actor.reason.as_deref().unwrap_or_default())
    }
}
