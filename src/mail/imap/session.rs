//! One IMAP conversation, a function a stage, in the order of RFC 9051: what is said, what is answered, and what a refusal
//! means. When the next stage runs is decided by who calls. The login is in `login`, all behind it in `mailbox`, and how a
//! command is said and answered in `conversation`.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    About, Capabilities, Said, Status, classify,
    folders::Selected,
    providers::recognise,
    response::{Reader, Response},
};
use crate::{
    api::Reason,
    mail::{
        Diagnosis, Stage,
        mailbox::Place,
        protocol::{self, Found, Protocol},
        sasl::Redaction,
        tls::{Examination, TlsPolicy},
        wire::{Wire, broke},
    },
};

/// The time for an answer that changes nothing.
pub(super) const COURTESY: Duration = Duration::from_secs(1);

/// A conversation with an IMAP server.
pub struct Session {
    pub(super) wire: Wire,
    pub(super) about: About,
    pub(super) capabilities: Option<Capabilities>,
    pub(super) selected: Selected,
    /// How long the last command took.
    pub(super) round_trip: Duration,
    pub(super) reader: Reader,
    pub(super) tags: u32,
    /// Reports on deliveries that were passed.
    pub(super) reports: Vec<Place>,
    /// Codes that are cut out of what the server says.
    hidden: Vec<Uuid>,
    /// The server greeted with PREAUTH.
    pub(super) greeted_as_known: bool,
}

impl Session {
    /// A conversation over a wire that has said nothing yet.
    #[must_use]
    pub fn new(wire: Wire, about: About) -> Self {
        Self {
            wire,
            about,
            capabilities: None,
            selected: Selected::default(),
            round_trip: Duration::ZERO,
            reader: Reader::default(),
            tags: 0,
            reports: Vec::new(),
            hidden: Vec::new(),
            greeted_as_known: false,
        }
    }

    /// The wire, for its addresses, its deadline and its silence.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Moves the deadline.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.wire.set_deadline(deadline);
    }

    /// From here on these are cut out of everything that the server says.
    pub fn scrub(&mut self, secrets: Redaction) {
        self.wire.scrub(secrets);
    }

    /// From here on this code is cut out as well: a server may echo a search for it (promise 14).
    pub(super) fn hide(&mut self, code: Uuid) {
        if !self.hidden.contains(&code) {
            self.hidden.push(code);
            self.wire.scrub_proof(code.to_string().as_bytes(), 0);
        }
    }

    /// Waits for the greeting, and gives its words. What it says of capabilities counts until TLS.
    ///
    /// # Errors
    /// As [`Wire::raw_line`]; what a BYE means; `WrongProtocol`; `StartTLSInjection` for PREAUTH where TLS is still to come:
    /// STARTTLS is not allowed any more behind it, so that who says it in the server's place keeps us from TLS (RFC 9051
    /// section 11.2).
    pub async fn greeting(&mut self, before_tls: bool) -> Result<String, Diagnosis> {
        let said = match self.read().await? {
            Response::Untagged(said) => said,
            Response::Unreadable(text) => {
                return Err(match protocol::of_line(&text, Protocol::Imap) {
                    Some(name) => Found::Other(name).diagnose(self.wire.peer(), Protocol::Imap).words(text),
                    None => broke("the rule that a greeting begins with * OK (RFC 9051 section 7.1)".to_owned()).words(text),
                });
            }
            _ => return Err(broke("the rule that a server greets first (RFC 9051 section 7.1)".to_owned())),
        };
        self.about.provider = recognise(&self.about.host, &said.text).or(self.about.provider);
        match said.status {
            Status::Ok => {}
            Status::PreAuth if before_tls => {
                return Err(Diagnosis::new(Reason::StartTLSInjection)
                    .detail("before TLS the server greeted as if we were logged in")
                    .words(said.words()));
            }
            Status::PreAuth => self.greeted_as_known = true,
            Status::No | Status::Bad | Status::Bye => return Err(classify(Stage::Greeting, &said, &self.about)),
        }
        self.learn(&said);
        Ok(said.text)
    }

    /// The capabilities, asked for where they are not known yet.
    ///
    /// # Errors
    /// What a refusal means, and `ProtocolError` where there are none.
    pub async fn capability(&mut self) -> Result<&Capabilities, Diagnosis> {
        if self.capabilities.is_none() {
            let answer = self.accepted(Stage::Capability, "CAPABILITY").await?;
            let told = answer.data.into_iter().find_map(|data| match data {
                Response::Capability(names) => Some(Capabilities::new(names)),
                _ => None,
            });
            let told = told.or_else(|| answer.said.argument("CAPABILITY").map(Capabilities::in_code));
            self.know(told);
        }
        let none = || broke("the rule that CAPABILITY tells capabilities (RFC 9051 section 6.1.1)".to_owned());
        self.capabilities.as_ref().ok_or_else(|| none().at(Stage::Capability))
    }

    /// Asks for TLS (RFC 9051 section 6.2.1). The step itself is [`Session::into_tls`].
    ///
    /// # Errors
    /// `StartTLSNotOffered`, or what the refusal means.
    pub async fn starttls(&mut self) -> Result<(), Diagnosis> {
        if !self.capability().await?.has("STARTTLS") {
            return Err(Diagnosis::new(Reason::StartTLSNotOffered)
                .detail("CAPABILITY did not offer STARTTLS")
                .fact("port", self.about.port.to_string())
                .fact("tlsPort", "993")
                .at(Stage::StartTls));
        }
        self.accepted(Stage::StartTls, "STARTTLS").await.map(|_| ())
    }

    /// Takes the step to TLS, by [`Stage::Tls`] after STARTTLS or [`Stage::ImplicitTls`] before the greeting. All that was
    /// known of the server is forgotten.
    ///
    /// # Errors
    /// As [`Wire::into_tls`].
    pub async fn into_tls(self, policy: &TlsPolicy, host: &str, stage: Stage) -> (Option<Examination>, Result<Self, Diagnosis>) {
        let Self { wire, mut about, tags, .. } = self;
        let (examined, wire) = wire.into_tls(policy, host, stage).await;
        about.tls = wire.is_ok();
        about.offered = Vec::new();
        (examined, wire.map(|wire| Self { tags, ..Self::new(wire, about) }))
    }

    /// Says goodbye, and waits a second at most. Nothing that a server answers here matters.
    ///
    /// # Errors
    /// None that a check minds.
    pub async fn logout(&mut self) -> Result<(), Diagnosis> {
        self.wire.set_deadline(self.wire.deadline().min(Instant::now() + COURTESY));
        self.command(Stage::Quit, "LOGOUT").await.map(|_| ())
    }

    /// Keeps the capabilities that stand in a response code.
    pub(super) fn learn(&mut self, said: &Said) {
        let told = said.argument("CAPABILITY").map(Capabilities::in_code);
        if told.is_some() {
            self.know(told);
        }
    }

    fn know(&mut self, capabilities: Option<Capabilities>) {
        self.about.offered = capabilities.as_ref().map(Capabilities::mechanisms).unwrap_or_default();
        self.capabilities = capabilities;
    }
}
