//! What a person at a shell is permitted, and what is noted of the mail on its way.

use std::sync::{Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt};

use crate::{
    cli::{interrupt::Interrupt, live::Refused, output},
    verify::{Gate, Report, email_profile::Permits},
};

/// The permits of a person at a shell: everything is, but a login that was refused before.
pub struct Shell {
    refused: Refused,
    interrupt: Interrupt,
    noted: Mutex<Noted>,
}

/// What was seen of the mail.
#[derive(Default)]
struct Noted {
    mark: Option<String>,
    sending: Option<Report>,
}

impl Shell {
    /// Permits that end with `interrupt`.
    pub fn new(refused: &Refused, interrupt: &Interrupt) -> Self {
        Self { refused: refused.clone(), interrupt: interrupt.clone(), noted: Mutex::default() }
    }

    fn note(&self, work: impl FnOnce(&mut Noted)) {
        work(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the mailbox held before the mail.
    pub fn mark(&self) -> Option<String> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).mark.clone()
    }
}

impl Shell {
    /// How the mail was sent, if it was.
    pub fn sending(self) -> Option<Report> {
        self.noted.into_inner().unwrap_or_else(PoisonError::into_inner).sending
    }
}

impl Permits for Shell {
    fn logins(&self) -> &dyn Gate {
        &self.refused
    }

    fn sending<'a>(&'a self, _: &'a str, mark: &'a str) -> Box<dyn Gate + 'a> {
        self.note(|noted| noted.mark = Some(mark.to_owned()));
        Box::new(self.refused.clone())
    }

    fn turn(&self) -> BoxFuture<'_, Box<dyn Send>> {
        async { Box::new(()) as Box<dyn Send> }.boxed()
    }

    fn waits(&self) {
        output::progress_says("looking for the mail; Ctrl-C ends the search");
    }

    fn sent(&self, report: &Report) {
        self.note(|noted| noted.sending = Some(report.clone()));
    }

    fn ends(&self) -> BoxFuture<'_, ()> {
        self.interrupt.heard().boxed()
    }
}
