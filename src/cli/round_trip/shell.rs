//! What a person at a shell is permitted, and what is noted of a probe under way.

use std::sync::{Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use crate::{
    api::Reason,
    cli::{interrupt::Interrupt, live::Refused, output},
    mail::Diagnosis,
    verify::{
        Gate, Report,
        gate::Account,
        report::LoginOutcome,
        round_trip::{
            Came,
            exchange::{self, Permits},
            matching::Answer,
            settle::weight,
        },
    },
};

/// The permits of a person at a shell: everything is, but a login that was refused before.
pub struct Shell {
    gate: Ends,
    noted: Mutex<Noted>,
}

/// What was seen of a probe.
#[derive(Default)]
pub struct Noted {
    mark: Option<String>,
    /// How the mail was sent, if it was tried.
    pub sending: Option<Report>,
    /// When the server took it.
    pub sent: Option<Timestamp>,
    /// What settled it, and when that came: a right answer, or that the mail came back.
    pub settled: Option<(Timestamp, Answer)>,
    /// What else came: told if nothing better does.
    pub worst: Option<Diagnosis>,
}

impl Shell {
    /// Permits that end with `interrupt`.
    pub fn new(refused: &Refused, interrupt: &Interrupt) -> Self {
        Self { gate: Ends { refused: refused.clone(), interrupt: interrupt.clone() }, noted: Mutex::default() }
    }

    /// The same, with what was noted, that end with another interrupt.
    #[must_use]
    pub fn with(mut self, interrupt: &Interrupt) -> Self {
        self.gate.interrupt = interrupt.clone();
        self
    }

    /// What the mailbox held before the mail, where one may be on its way of which nothing came yet.
    pub fn awaits(&self) -> Option<String> {
        self.note(|noted| {
            let delivery = noted.sending.as_ref().and_then(|report| report.delivery.as_ref());
            let open = delivery.is_some_and(|delivery| delivery.dot_sent) && noted.settled.is_none();
            noted.mark.clone().filter(|_| open)
        })
    }

    /// What was noted.
    pub fn noted(self) -> Noted {
        self.noted.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, work: impl FnOnce(&mut Noted) -> T) -> T {
        work(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Permits for Shell {
    fn logins(&self) -> &dyn Gate {
        &self.gate
    }

    fn sending<'a>(&'a self, mark: &'a str) -> Box<dyn Gate + 'a> {
        self.note(|noted| noted.mark = Some(mark.to_owned()));
        Box::new(self.gate.refused.clone())
    }

    fn sent<'a>(&'a self, report: &'a Report, sent: Option<Timestamp>) -> BoxFuture<'a, ()> {
        self.note(|noted| (noted.sending, noted.sent) = (Some(report.clone()), sent));
        if sent.is_some() {
            output::progress_says("waiting for the answer; Ctrl-C ends the search");
        }
        async {}.boxed()
    }

    fn came(&self, came: Came) -> BoxFuture<'_, exchange::Noted> {
        let reason = came.answer.failure.as_ref().map(|failure| failure.reason);
        let settles = matches!(reason, None | Some(Reason::MessageBounced));
        self.note(|noted| {
            let known = noted.worst.as_ref().map_or(0, |known| weight(known.reason.as_str()));
            if settles {
                noted.settled = Some((came.received, came.answer));
            } else if reason.is_some_and(|reason| weight(reason.as_str()) > known) {
                noted.worst = came.answer.failure;
            }
        });
        async move { if settles { exchange::Noted::Settled } else { exchange::Noted::Yes } }.boxed()
    }
}

/// Lets everything through but credentials that were refused in this run, until it is told to end.
struct Ends {
    refused: Refused,
    interrupt: Interrupt,
}

impl Gate for Ends {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.refused.login(account)
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        self.refused.logged_in(account, outcome);
    }

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.refused.send(recipient)
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.refused.still()
    }

    fn ends(&self) -> BoxFuture<'_, ()> {
        self.interrupt.heard().boxed()
    }
}
