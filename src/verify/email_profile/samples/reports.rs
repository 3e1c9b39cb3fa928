//! How runs end.

use std::time::Duration;

use jiff::SignedDuration;

use super::Case;
use crate::{
    api::{
        Reason,
        v1alpha1::{AuthenticationResults, Level},
    },
    mail::{
        Diagnosis, Stage,
        stage::{Outcome, Record},
    },
    verify::{
        Report,
        email_profile::{ActorReport, Begin, Errand, Finding, Mail, Run, RunReport},
        report::LoginOutcome,
    },
};

/// How a run ends for one actor.
#[derive(Clone, Debug)]
pub enum Ends {
    /// Its code is found, so many seconds after it was sent; a visit goes well.
    Found(i64),
    /// It fails before it takes a claim; a visit or a search fails.
    Fails(Diagnosis),
    /// It fails behind its claim, and before its mail has left.
    Returns(Diagnosis),
    /// Its mail has left, and this is what became of it.
    Loses(Diagnosis),
    /// It is told to end, before its mail is sent.
    Stops,
    /// It is told to end when its mail has left.
    Awaits,
}

impl Ends {
    pub fn claims(&self) -> bool {
        !matches!(self, Self::Fails(_) | Self::Stops)
    }

    pub fn leaves(&self) -> bool {
        matches!(self, Self::Found(_) | Self::Loses(_) | Self::Awaits)
    }
}

pub fn timed_out() -> Diagnosis {
    Diagnosis::new(Reason::ConnectionTimedOut).at(Stage::Tcp).fact("address", "192.0.2.143:993")
}

pub fn refused_login() -> Diagnosis {
    Diagnosis::new(Reason::AuthenticationFailed).at(Stage::Auth).words("NO [AUTHENTICATIONFAILED] no")
}

pub fn missing() -> Diagnosis {
    Diagnosis::new(Reason::MessageNotReceived).fact("mailbox", "INBOX").fact("timeout", "900s")
}

pub fn in_junk() -> Diagnosis {
    Diagnosis::new(Reason::MessageInJunk).fact("folder", "Junk")
}

pub fn bounced() -> Diagnosis {
    Diagnosis::new(Reason::MessageBounced).words("550 5.1.1 no such user").fact("status", "5.1.1")
}

/// What a run finds whose actors end so; the login to the outgoing server goes well, where that is asked.
pub fn report(case: &Case, run: &Run, end: impl Fn(&str) -> Ends) -> RunReport {
    let actors: Vec<ActorReport> = run.errands.iter().map(|errand| actor(case, errand, end(&errand.actor))).collect();
    let outgoing = run.outgoing.then(|| outgoing(None));
    RunReport { cut: actors.iter().any(|actor| actor.awaits), outgoing, actors }
}

fn actor(case: &Case, errand: &Errand, end: Ends) -> ActorReport {
    let sends = errand.begin == Begin::Send;
    let took = if let Ends::Found(seconds) = end { seconds } else { 0 };
    let received = case.now + SignedDuration::from_secs(took);
    let mail = || Some(Mail { sent: case.now, dot_sent: true, uncertain: None });
    let mut report = Report::new(Level::Authenticate, "imap.corp.example:993".to_owned());
    report.source_ip = Some("10.0.0.7".to_owned());
    report.login = Some(LoginOutcome::Accepted);
    report.stages = vec![Record { stage: Stage::Tcp, outcome: Outcome::Passed, duration: Duration::ZERO, detail: None }];
    let mut told = ActorReport {
        name: errand.actor.clone(),
        attempt: errand.attempt,
        report,
        mail: None,
        awaits: false,
        found: None,
        mark: Some("imap:1:2".to_owned()),
    };
    match end {
        Ends::Found(_) if errand.begin == Begin::Visit => {}
        Ends::Found(_) => {
            told.mail = mail().filter(|_| sends);
            let results = AuthenticationResults { spf: Some("pass".to_owned()), ..AuthenticationResults::default() };
            told.found = Some(Finding { received, took: Duration::try_from(received.duration_since(case.now)).ok(), results });
        }
        Ends::Fails(failure) | Ends::Returns(failure) => {
            told.report.login = match failure.reason {
                Reason::AuthenticationFailed => Some(LoginOutcome::Refused),
                _ if failure.stage == Some(Stage::Tcp) => None,
                _ => told.report.login,
            };
            told.report.failure = Some(failure);
        }
        Ends::Loses(failure) => {
            let uncertain = Some(failure.clone()).filter(|failure| failure.reason == Reason::DeliveryUncertain);
            told.mail = mail().filter(|_| sends).map(|mail| Mail { uncertain, ..mail });
            told.report.failure = Some(failure);
        }
        Ends::Stops => told.awaits = true,
        Ends::Awaits => {
            told.mail = mail().filter(|_| sends);
            told.awaits = true;
        }
    }
    told
}

/// What the outgoing server said to the login.
pub fn outgoing(failure: Option<Diagnosis>) -> Report {
    let mut report = Report::new(Level::Authenticate, "smtp.corp.example:587".to_owned());
    report.login = if failure.is_none() { Some(LoginOutcome::Accepted) } else { None };
    report.failure = failure;
    report
}

/// All codes are found, and the outgoing server is not reached.
pub fn unreached_outgoing(case: &Case, run: &Run) -> RunReport {
    RunReport { outgoing: Some(outgoing(Some(timed_out()))), ..report(case, run, |_| Ends::Found(2)) }
}

/// All codes are found, and the outgoing server refuses the login.
pub fn refused_outgoing(case: &Case, run: &Run) -> RunReport {
    let refused = Diagnosis::new(Reason::AuthenticationFailed).at(Stage::Auth).words("535 5.7.8 no");
    RunReport { outgoing: Some(outgoing(Some(refused))), ..report(case, run, |_| Ends::Found(2)) }
}
