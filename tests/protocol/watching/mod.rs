//! Watching a mailbox for a mail, from the note before it is sent to the sweep behind it (promises 6, 9, 10 and 11), on a clock
//! that leaps from event to event: a search of fifteen minutes takes none.

mod answering;
pub mod bouncing;
mod finding;
mod losing;
mod office;
mod pacing;
mod removing;
mod returning;

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use mailverity::{
    api::v1alpha1::{Level, Mechanism, Security},
    mail::{
        Diagnosis, Vantage,
        dns::Resolver,
        guard::Guard,
        mailbox::{Cleanup, Mark},
        protocol::Protocol,
        tls::{MinVersion, TlsPolicy, certificates},
    },
    verify::{
        Credential, Endpoint, Login, Open,
        mailbox::{
            Inputs, attend,
            attend::{Begin, Dispatch, Dispatched, Finding, Patience, Search},
        },
    },
};
use tokio::time::Instant;
use uuid::Uuid;

use self::office::Office;
use crate::{
    certificates::trusted_pem,
    world::{CODE, PASSWORD, USER},
};

const RUN: &str = "here/uid/7";
const MINUTES: Duration = Duration::from_mins(5);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Our mail.
fn ours() -> String {
    of_run(RUN, CODE)
}

fn of_run(run: &str, code: Uuid) -> String {
    format!("Subject: mailverity check ({code})\r\nX-Mailverity-Run: {run}\r\n\r\nyou\r\n")
}

fn foreign() -> String {
    "Subject: hello\r\n\r\nyou\r\n".to_owned()
}

/// A mailbox, and a search in it.
struct Scene<'a> {
    office: Office,
    inputs: Inputs,
    search: Search<'a>,
    /// What comes into which folder, and when, counted from the mail that is sent.
    comes: Vec<(Duration, &'static str, String)>,
    refused: Option<Diagnosis>,
    /// What was noted when the mail was sent, and what was the last to be said to the mailbox's server by then.
    sent: Vec<(Mark, String)>,
}

impl Scene<'_> {
    async fn new(protocol: Protocol) -> Self {
        let office = Office::open(protocol == Protocol::Pop3).await;
        let credential = Credential::Password { user: USER.to_owned(), password: PASSWORD.to_owned().into() };
        let login = Login {
            credential,
            mechanisms: vec![Mechanism::Plain],
            allow_plaintext: true,
            secret: "mail/account".to_owned(),
            changed: None,
            fingerprint: "f".to_owned(),
        };
        let inputs = Inputs {
            protocol,
            endpoint: Endpoint { host: "127.0.0.1".to_owned(), port: office.address.port(), security: Security::None },
            tls: TlsPolicy::new(&certificates(trusted_pem().as_bytes()).unwrap(), MinVersion::default()),
            login: Some(login),
            mailbox: "INBOX".to_owned(),
            junk: Vec::new(),
            level: Level::Authenticate,
            timeout: seconds(30),
            resolving: Duration::ZERO,
        };
        let search = Search {
            code: CODE,
            run: Some(RUN),
            cleanup: Cleanup::Delete,
            timeout: MINUTES,
            patience: Patience::Stay,
            earlier: None,
            witness: None,
        };
        Self { office, inputs, search, comes: Vec::new(), refused: None, sent: Vec::new() }
    }

    async fn imap() -> Self {
        Self::new(Protocol::Imap).await
    }

    async fn pop3() -> Self {
        Self::new(Protocol::Pop3).await
    }

    fn with(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    fn comes(mut self, after: Duration, folder: &'static str, mail: impl Into<String>) -> Self {
        self.comes.push((after, folder, mail.into()));
        self
    }

    /// Searches for a mail that is sent.
    async fn plays(&mut self) -> Finding {
        let Self { office, inputs, search, comes, refused, sent } = self;
        let mut sends = Sends { office: office.clone(), comes: std::mem::take(comes), refused: refused.take(), sent };
        watch(inputs, search, Begin::Send(&mut sends)).await
    }

    /// Goes on searching for a mail that was sent, of which so much time is left.
    async fn resumes(&mut self, mark: Option<Mark>, left: Duration) -> Finding {
        let until = Instant::now() + left;
        for (after, folder, mail) in std::mem::take(&mut self.comes) {
            later(&self.office, after, folder, mail);
        }
        watch(&self.inputs, &self.search, Begin::Resume { mark, until, message_id: None, envelope_id: None }).await
    }
}

async fn watch(inputs: &Inputs, search: &Search<'_>, begin: Begin<'_>) -> Finding {
    let vantage = Vantage { actor: "default".to_owned(), resolver: Resolver::new(&[]), guard: Guard::open(), proxy: None };
    on_any_thread(attend(inputs, &vantage, &Open, search, begin, None)).await
}

fn on_any_thread<T: Future + Send>(future: T) -> T {
    future
}

fn later(office: &Office, after: Duration, folder: &'static str, mail: String) {
    if after.is_zero() {
        return office.put(folder, &mail);
    }
    let office = office.clone();
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        office.put(folder, &mail);
    });
}

/// Sends by putting mail into the mailbox.
struct Sends<'s> {
    office: Office,
    comes: Vec<(Duration, &'static str, String)>,
    refused: Option<Diagnosis>,
    sent: &'s mut Vec<(Mark, String)>,
}

impl Dispatch for Sends<'_> {
    fn dispatch<'a>(&'a mut self, noted: &'a Mark) -> BoxFuture<'a, Result<Dispatched, Diagnosis>> {
        async move {
            if let Some(refused) = self.refused.take() {
                return Err(refused);
            }
            let last = self.office.state().said.last().unwrap().1.clone();
            self.sent.push((noted.clone(), last));
            for (after, folder, mail) in std::mem::take(&mut self.comes) {
                later(&self.office, after, folder, mail);
            }
            let (message_id, envelope_id) = (Some("<sent@sender.test>".to_owned()), Some("env-7".to_owned()));
            Ok(Dispatched { at: Instant::now(), message_id, envelope_id })
        }
        .boxed()
    }
}

/// Reason and stage of a failure.
fn failed(finding: &Finding) -> Option<(mailverity::api::Reason, Option<mailverity::mail::Stage>)> {
    finding.report.failure.as_ref().map(|failure| (failure.reason, failure.stage))
}
