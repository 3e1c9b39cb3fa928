//! Asking an API: one request at a time, with the waits that it asks for, and a diagnosis where it refuses.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};

use crate::{
    api::{Class, Reason},
    mail::{
        Diagnosis, authority,
        diagnosis::printable,
        https::{Answer, Ask, Bound, Session},
        sasl::Redaction,
    },
};

/// The most bytes of an answer. A page of 25 headers has rarely a hundred thousand.
pub(in crate::mail) const PAGE: usize = 4 * 1024 * 1024;
/// How often a request is made that is answered with "later".
const TRIES: u32 = 3;
/// A wait that is asked for and longer than this is not believed.
const LONGEST: Duration = Duration::from_hours(1);
/// The time that is left for what follows a wait.
const COURTESY: Duration = Duration::from_secs(1);

/// What an API said where it refused.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    /// HTTP's status.
    pub status: u16,
    /// Its names for the fault, the main one first; none where it gave none.
    pub names: &'a [String],
    /// Its words, scrubbed and printable.
    pub words: &'a str,
}

impl Said<'_> {
    /// Whether it has one of these names.
    #[must_use]
    pub fn is_one_of(&self, names: &[&str]) -> bool {
        self.names.iter().any(|name| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
    }
}

/// What a refusal means for what is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for is not there, or not there yet.
    Gone,
    /// It is to be asked later.
    Later,
    /// The access token was judged, and refused.
    Token,
    /// It will be refused again.
    No,
}

/// What a refusal means.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// For what is asked next.
    pub kind: Kind,
    /// For people.
    pub reason: Reason,
    /// What to do; empty where the reason's hint says enough.
    pub cure: String,
}

impl Verdict {
    /// A verdict.
    #[must_use]
    pub fn new(kind: Kind, reason: Reason, cure: impl Into<String>) -> Self {
        Self { kind, reason, cure: cure.into() }
    }
}

/// Why a request came to nothing.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// For what is asked next.
    pub kind: Kind,
    /// For people.
    pub diagnosis: Diagnosis,
}

impl Refusal {
    /// Whether the API itself has said so, and the token was taken then: everything else broke the conversation.
    #[must_use]
    pub fn is_of_the_api(&self) -> bool {
        matches!(self.diagnosis.reason, Reason::MailboxAccessDenied | Reason::MailboxNotFound)
    }

    /// None where it is merely gone.
    ///
    /// # Errors
    /// The diagnosis of any other refusal.
    pub fn gone<T>(self) -> Result<Option<T>, Diagnosis> {
        if self.kind == Kind::Gone { Ok(None) } else { Err(self.diagnosis) }
    }
}

impl From<Refusal> for Diagnosis {
    fn from(refusal: Refusal) -> Self {
        refusal.diagnosis
    }
}

impl From<Diagnosis> for Refusal {
    fn from(diagnosis: Diagnosis) -> Self {
        Self { kind: Kind::No, diagnosis }
    }
}

/// What asks.
pub struct Client {
    session: Session,
    judge: fn(&Said<'_>) -> Verdict,
    secrets: Redaction,
    /// The server's clock, and when it was read.
    clock: Option<(Timestamp, Instant)>,
    requests: u32,
    /// Whether the token was taken once.
    taken: bool,
    /// Told where it is not taken any more; says whether another may be.
    revoked: Box<dyn Fn() -> bool + Send>,
}

impl Client {
    /// Asks over `session`; `judge` says what the API's refusals mean.
    #[must_use]
    pub fn new(session: Session, judge: fn(&Said<'_>) -> Verdict) -> Self {
        Self {
            session,
            judge,
            secrets: Redaction::default(),
            clock: None,
            requests: 0,
            taken: false,
            revoked: Box::new(|| false),
        }
    }

    /// From here on this token is shown, and `secrets` are cut out of what the API says. `revoked` is told where it was taken and
    /// then is not any more, and says whether another may be taken.
    pub fn show(&mut self, token: &SecretString, secrets: Redaction, revoked: Box<dyn Fn() -> bool + Send>) {
        self.session.show(token);
        (self.secrets, self.revoked) = (secrets, revoked);
    }

    /// Moves the moment after which nothing is said or heard.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.session.set_deadline(deadline);
    }

    /// The moment after which nothing is said or heard.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.session.deadline()
    }

    /// How many requests were made.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// The time by the earlier of two clocks, the server's and ours: what comes from now on is not before it by either.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let ours = Timestamp::now();
        let theirs = self.clock.and_then(|(then, at)| then.checked_add(at.elapsed()).ok());
        theirs.map_or(ours, |theirs| theirs.min(ours))
    }

    /// Whether a URL leads to the same host, where the token may be shown.
    #[must_use]
    pub fn is_here(&self, host: &str, port: u16) -> bool {
        self.session.place() == (host, port)
    }

    /// Reads something.
    ///
    /// # Errors
    /// What a refusal means; `ProtocolError` where the answer is not what it should be.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str, prefer: Option<&'static str>) -> Result<T, Refusal> {
        let ask = Ask { method: hyper::Method::GET, path, prefer, json: None, bound: Bound::Whole(PAGE) };
        let answer = self.ask(&ask).await?;
        serde_json::from_slice(&answer.body).map_err(|_| {
            let fault = "with JSON in which something is missing or is of another kind than is documented";
            Refusal::from(self.broke(&answer, fault))
        })
    }

    /// Asks; where it is answered with "later", again once the time is over that the server names, if the deadline leaves so
    /// much.
    ///
    /// # Errors
    /// What a refusal means; what broke the conversation; `ProtocolError` where JSON belongs and something else came.
    pub async fn ask(&mut self, ask: &Ask<'_>) -> Result<Answer, Refusal> {
        let mut tries = 1;
        loop {
            self.requests += 1;
            let answer = self.session.ask(ask).await?;
            if let Some(date) = answer.date {
                self.clock = Some((date, Instant::now()));
            }
            let Some(refusal) = self.refused(ask, &answer) else {
                self.taken = true;
                return Ok(answer);
            };
            let wait = refusal.diagnosis.after.unwrap_or(Duration::from_secs(1) * tries);
            let leaves = Instant::now() + wait + COURTESY < self.session.deadline();
            if refusal.kind != Kind::Later || tries == TRIES || !leaves {
                return Err(refusal);
            }
            tries += 1;
            sleep(wait).await;
        }
    }

    /// Why an answer is none.
    fn refused(&self, ask: &Ask<'_>, answer: &Answer) -> Option<Refusal> {
        let is_fine = (200..300).contains(&answer.status);
        let raw = matches!(ask.bound, Bound::Start(_));
        if is_fine && (answer.status == 204 || answer.body.is_empty() && ask.method != hyper::Method::GET) {
            return None;
        }
        // The start of a mail may be anything, but for a page of some proxy's.
        if is_fine && raw && !answer.media.contains("html") {
            return None;
        }
        let is_object = answer.body.trim_ascii_start().starts_with(b"{");
        let body: Option<Body> = serde_json::from_slice(&answer.body).ok().filter(|_| is_object);
        let fault = match body {
            Some(Body { error: Some(error) }) => error.into_fault(),
            Some(Body { error: None }) if is_fine => return None,
            // A 401 and what stands for "later" need no words; anything else that is no JSON was not said by the API.
            None if is_fine || !matches!(answer.status, 401 | 429 | 500..) => {
                return Some(Refusal::from(self.broke(answer, &nonsense(answer))));
            }
            _ => Fault::default(),
        };
        let words = printable(&self.secrets.scrub(&without_time(&fault.message)), crate::mail::diagnosis::WORDS);
        let names: Vec<String> = fault.names.iter().take(8).map(|name| printable(&self.secrets.scrub(name), 64)).collect();
        let said = Said { status: answer.status, names: &names, words: &words };
        let verdict = (self.judge)(&said);
        let name = names.first().map(|name| format!(" {name}")).unwrap_or_default();
        let (host, port) = self.session.place();
        let mut diagnosis = Diagnosis::new(verdict.reason)
            .words(&words)
            .detail(format!("{host} answered {}{name}", answer.status))
            .fact("address", authority(host, port))
            .fact("rule", "what is documented of it")
            .fact("cure", verdict.cure);
        let mut kind = verdict.kind;
        if kind == Kind::Later {
            diagnosis = diagnosis.class(Class::Transient).after(answer.retry_after.map(|wait| wait.min(LONGEST)));
        }
        if kind == Kind::Token && self.taken {
            kind = Kind::No;
            // It has ended, or was revoked: who opens the mailbox again shows another.
            if (self.revoked)() {
                diagnosis = Diagnosis::new(Reason::ConnectionClosed)
                    .detail(format!("{host} does not take the access token any more: another is shown in the next session"));
            }
        }
        Some(Refusal { kind, diagnosis })
    }

    /// An answer that the API does not give.
    pub(in crate::mail) fn broke(&self, answer: &Answer, fault: &str) -> Diagnosis {
        let (host, port) = self.session.place();
        Diagnosis::new(Reason::ProtocolError)
            .detail(format!("{host} answered {} {fault}", answer.status))
            .fact("address", authority(host, port))
            .fact("rule", "what is documented of it")
    }

    /// The same of something that stands in an answer.
    pub(in crate::mail) fn lies(&self, fault: &str) -> Diagnosis {
        Diagnosis::new(Reason::ProtocolError)
            .detail(format!("{}: {fault}", self.session.place().0))
            .fact("rule", "what is documented of it")
    }
}

/// What came instead of JSON.
fn nonsense(answer: &Answer) -> String {
    match answer.media.as_str() {
        "text/html" | "application/xhtml+xml" => "with HTML, where JSON belongs: is a proxy in between?".to_owned(),
        "application/json" => "with JSON that cannot be read".to_owned(),
        "" => "with something that is no JSON".to_owned(),
        other => format!("with something that is no JSON ({})", printable(other, 64)),
    }
}

/// Google's words on a rate name the time at which it may be asked again, which would change from check to check.
fn without_time(words: &str) -> String {
    words.split("Retry after").next().unwrap_or_default().trim().to_owned()
}

#[derive(Deserialize)]
struct Body {
    error: Option<Told>,
}

/// Microsoft's and Google's errors differ, and both are objects; RFC 6749's are texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Object {
        code: Option<serde_json::Value>,
        status: Option<String>,
        message: Option<String>,
        #[serde(default)]
        errors: Vec<Named>,
        #[serde(default)]
        details: Vec<Named>,
    },
    Other(serde_json::Value),
}

#[derive(Deserialize)]
struct Named {
    reason: Option<String>,
}

#[derive(Default)]
struct Fault {
    names: Vec<String>,
    message: String,
}

impl Told {
    fn into_fault(self) -> Fault {
        match self {
            Self::Object { code, status, message, errors, details } => {
                let code = code.and_then(|code| code.as_str().map(str::to_owned));
                let reasons = errors.into_iter().chain(details).filter_map(|named| named.reason);
                let names = code.into_iter().chain(reasons).chain(status).filter(|name| !name.is_empty()).collect();
                Fault { names, message: message.unwrap_or_default() }
            }
            Self::Other(other) => Fault { names: Vec::new(), message: other.as_str().unwrap_or_default().to_owned() },
        }
    }
}
