//! The staged check of a mailbox, from here: connect, greet, protect, log in, open. Nothing in it is changed. Who watches
//! for a mail in it opens it the same way, in [`attend`](attend()); who waits for what comes of mails of ours does so at its
//! [`desk`].

pub mod attend;
pub mod desk;
mod imap;
mod pop3;
mod rest;

use std::time::{Duration, Instant as Clock};

use futures::FutureExt;
use tokio::time::Instant;

use super::{
    Endpoint, Gate, Login, Report,
    approach::Approach,
    login::{Granted, Offer},
    report::LoginOutcome,
};
use crate::{
    api::{
        Reason,
        v1alpha1::{Capabilities, Level},
    },
    mail::{
        Diagnosis, Stage, Stages, Vantage,
        diagnosis::printable,
        mailbox::{Mailbox, Shown},
        protocol::Protocol,
        stage::{Outcome, Record},
        tls::TlsPolicy,
        wire::Wire,
    },
};

pub use attend::attend;

impl Inputs {
    /// The login that is made; none where it goes no further than to connect.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref().filter(|_| self.level >= Level::Authenticate)
    }
}

/// The time that a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Everything that a check needs.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// IMAP, POP3, Microsoft Graph or the Gmail API.
    pub protocol: Protocol,
    /// The server.
    pub endpoint: Endpoint,
    /// What its certificate must be; over an API, what the source of access tokens has of it counts.
    pub tls: TlsPolicy,
    /// The account; none where no login is set.
    pub login: Option<Login>,
    /// The mailbox that is opened, such as `INBOX`; POP3 has one alone.
    pub mailbox: String,
    /// Folders for junk, beside those that the server tells of; POP3 shows none.
    pub junk: Vec<String>,
    /// Connect or Authenticate; no mailbox is sent to.
    pub level: Level,
    /// The time for all of it; for connecting and opening, where one stays to watch.
    pub timeout: Duration,
    /// The time that reading references took.
    pub resolving: Duration,
}

/// Checks a mailbox: as far as the level says, the login and the mailbox behind it.
pub async fn check(inputs: &Inputs, vantage: &Vantage, gate: &dyn Gate, watcher: Option<fn(&Record)>) -> Report {
    let until = Instant::now() + inputs.timeout;
    let mut visit = Visit::new(inputs, vantage, gate, watcher);
    let result = match visit.open(until, false).await {
        Ok(Some(mailbox)) => visit.leave(mailbox).await,
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    visit.finish(result)
}

/// A check under way.
struct Visit<'a> {
    inputs: &'a Inputs,
    approach: Approach<'a>,
    gate: &'a dyn Gate,
    stages: Stages,
    report: Report,
    begun: Clock,
}

impl<'a> Visit<'a> {
    fn new(inputs: &'a Inputs, vantage: &'a Vantage, gate: &'a dyn Gate, watcher: Option<fn(&Record)>) -> Self {
        let secrets = Record { stage: Stage::Secrets, outcome: Outcome::Passed, duration: inputs.resolving, detail: None };
        Self {
            inputs,
            approach: Approach { protocol: inputs.protocol, endpoint: &inputs.endpoint, tls: &inputs.tls, vantage },
            gate,
            stages: Stages::watched(watcher).with(secrets),
            report: Report::new(inputs.level, inputs.endpoint.to_string()),
            begun: Clock::now(),
        }
    }

    /// All stages up to the open mailbox; none, and goodbye is said, where this check does not log in. A session that fails
    /// where it can still be ended in order is.
    async fn open(&mut self, until: Instant, writable: bool) -> Result<Option<Box<dyn Mailbox>>, Diagnosis> {
        if let Some(login) = self.login() {
            login.prepare(self.gate, &mut self.stages, &mut self.report, until).await?;
        }
        match self.inputs.protocol {
            Protocol::Imap => imap::open(self, until, writable).await,
            Protocol::Pop3 => pop3::open(self, until).await,
            Protocol::Graph | Protocol::Gmail => rest::open(self, until).await,
            Protocol::Smtp => Err(Diagnosis::new(Reason::SpecInvalid).fact("fault", "SMTP has no mailbox")),
        }
    }

    /// Says goodbye.
    async fn leave(&mut self, mailbox: Box<dyn Mailbox>) -> Result<(), Diagnosis> {
        self.quit(mailbox.close()).await
    }

    /// Nothing that a server answers to a goodbye matters.
    async fn quit(&mut self, goodbye: impl Future<Output = ()>) -> Result<(), Diagnosis> {
        self.stages.run(Stage::Quit, goodbye.map(Ok)).await
    }

    /// What was found so far.
    fn so_far(&self) -> Report {
        let duration = self.inputs.resolving + self.begun.elapsed();
        Report { stages: self.stages.records().to_vec(), duration, ..self.report.clone() }
    }

    /// What was found, with what holds for every failure at this mailbox.
    fn finish(self, result: Result<(), Diagnosis>) -> Report {
        let Self { inputs, approach, stages, mut report, begun, .. } = self;
        report.failure = result.err().map(|failure| {
            let failure = approach.with_facts(failure, inputs.timeout, inputs.login.as_ref());
            let egress = report.source_ip.as_deref().unwrap_or_default();
            let tls_port = if inputs.protocol == Protocol::Imap { "993" } else { "995" };
            failure.fact("mailbox", inputs.mailbox.as_str()).fact("tlsPort", tls_port).fact("egressIP", egress)
        });
        report.stages = stages.take();
        report.duration = inputs.resolving + begun.elapsed();
        report
    }

    /// DNS, TCP and, where the port speaks it from the first byte, TLS.
    async fn connect(&mut self, until: Instant) -> Result<Wire, Diagnosis> {
        let wire = self.approach.connect(&mut self.stages, &mut self.report, until, until).await?;
        if self.inputs.endpoint.security != crate::api::v1alpha1::Security::TLS {
            return Ok(wire);
        }
        let step = wire.into_tls(self.approach.tls, &self.inputs.endpoint.host, Stage::ImplicitTls);
        self.approach.protect(Stage::ImplicitTls, &mut self.stages, &mut self.report, step).await
    }

    /// The account, if this check logs in.
    fn login(&self) -> Option<&'a Login> {
        self.inputs.login.as_ref().filter(|_| self.inputs.level >= Level::Authenticate)
    }

    fn offer(&self, mechanisms: &'a [String], encrypted: bool) -> Offer<'a> {
        let Endpoint { host, port, .. } = &self.inputs.endpoint;
        Offer { host, port: *port, mechanisms, verified_tls: encrypted && self.report.tls_verified }
    }

    /// What the server says of itself.
    fn learn(&mut self, greeting: &str, capabilities: &[String], mechanisms: &[String]) {
        self.stages.note(capabilities.join(", "));
        self.report.capabilities = Some(Capabilities {
            banner: Some(greeting.to_owned()).filter(|greeting| !greeting.is_empty()),
            extensions: capabilities.iter().take(32).map(|capability| printable(capability, 64)).collect(),
            auth_mechanisms: mechanisms.iter().take(16).map(|mechanism| printable(mechanism, 32)).collect(),
            max_size: None,
        });
    }

    fn opened(&mut self, shown: &Shown) {
        let junk = if shown.junk.is_empty() { String::new() } else { format!("; junk: {}", shown.junk.join(", ")) };
        self.stages.note(format!("{}, {}{junk}", shown.name, shown.count()));
        self.report.mailbox = Some(shown.clone());
    }
}

/// A refusal in words leaves a conversation that can be ended in order.
fn leaves_in_order(failure: &Diagnosis) -> bool {
    let broken = matches!(
        failure.reason,
        Reason::ConnectionClosed
            | Reason::ConnectionReset
            | Reason::ProtocolError
            | Reason::ResponseTimedOut
            | Reason::StartTLSInjection
    );
    !broken && failure.stage > Some(Stage::Greeting)
}
