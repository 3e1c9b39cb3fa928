//! The login: AUTHENTICATE (RFC 9051 section 6.2.2) by any mechanism, or the command LOGIN (section 6.2.3).

use secrecy::{ExposeSecret, SecretBox, SecretSlice, SecretString};
use tokio::time::Instant;

use super::{
    Said, Session, Status, classify,
    classify::{LoginJudgement, of_login},
    conversation::Turn,
    session::COURTESY,
};
use crate::{
    api::{Reason, v1alpha1::Mechanism},
    mail::{
        Diagnosis, Stage,
        sasl::{self, Attempt, Exchange, Login, SaslError},
        wire::broke,
    },
};

/// The most rounds of one login.
const ROUNDS: usize = 8;

/// How a login ended: what the server said, and whether it had been shown anything that it could judge.
type End = (Said, bool);

impl Session {
    /// Logs in by one mechanism. Where the server does not offer it as one of AUTHENTICATE's, PLAIN and LOGIN are the
    /// command LOGIN. What was known of the server is forgotten behind a login that it took.
    pub async fn authenticate(&mut self, mechanism: Mechanism, login: &Login<'_>) -> Attempt {
        if self.greeted_as_known {
            let rule = "the order of a login (it greeted with PREAUTH, so that no password can be judged)";
            return Attempt::Failed(broke(rule.to_owned()).at(Stage::Auth));
        }
        let mut detail = None;
        let end = if self.takes_by_command(mechanism) {
            match arguments(login) {
                Ok(arguments) => self.say_login(&arguments).await,
                Err(error) => return Attempt::NotJudged(error.diagnosis()),
            }
        } else {
            let mut exchange = match Exchange::new(mechanism, login) {
                Ok(exchange) => exchange,
                Err(error) => return Attempt::NotJudged(error.diagnosis()),
            };
            let end = self.exchange(&mut exchange).await;
            detail = exchange.error_detail().map(|said| self.wire.scrubbed(said));
            end
        };
        match end {
            Err(diagnosis) => Attempt::Failed(diagnosis.at(Stage::Auth)),
            Ok((said, _)) if said.status == Status::Ok => {
                self.capabilities = None;
                self.learn(&said);
                Attempt::Accepted
            }
            Ok((said, shown)) => {
                let mut diagnosis = classify(Stage::Auth, &said, &self.about);
                if let Some(detail) = detail {
                    diagnosis = diagnosis.detail(format!("the server said of the token: {detail}"));
                }
                match of_login(&said, &diagnosis, shown) {
                    LoginJudgement::NotJudged => Attempt::NotJudged(not_judged(diagnosis)),
                    LoginJudgement::TooMany => Attempt::TooMany(diagnosis),
                    LoginJudgement::Unavailable => Attempt::Failed(diagnosis),
                    LoginJudgement::Refused => Attempt::Refused(diagnosis),
                }
            }
        }
    }

    fn offers(&self, name: &str) -> bool {
        self.capabilities.as_ref().is_some_and(|capabilities| capabilities.has(name))
    }

    fn takes_by_command(&self, mechanism: Mechanism) -> bool {
        matches!(mechanism, Mechanism::Plain | Mechanism::Login)
            && !self.offers(&format!("AUTH={}", mechanism.as_str()))
            && self.capabilities.as_ref().is_some_and(super::Capabilities::allows_login_command)
    }

    /// Leads one exchange to its end.
    async fn exchange(&mut self, exchange: &mut Exchange) -> Result<End, Diagnosis> {
        let name = exchange.mechanism().as_str();
        let initial = exchange.initial().filter(|_| self.offers("SASL-IR"));
        let mut shown = initial.is_some();
        tracing::trace!(client = %format!("AUTHENTICATE {name}"), "command");
        let tag = match initial {
            // An empty initial response is written as "=" (RFC 4959 section 3).
            Some(initial) => match sasl::encode(&initial).expose_secret() {
                "" => self.begin(&format!("AUTHENTICATE {name} =")).await?,
                encoded => self.begin_secret(&[b"AUTHENTICATE ", name.as_bytes(), b" ", encoded.as_bytes()]).await?,
            },
            None => self.begin(&format!("AUTHENTICATE {name}")).await?,
        };
        let mut rounds = 0;
        loop {
            let challenge = match self.turn(&tag).await? {
                Turn::Done(said) => return Ok((said, shown)),
                Turn::Data(_) => continue,
                Turn::Asked(challenge) => challenge,
            };
            rounds += 1;
            if rounds > ROUNDS {
                return Err(broke(format!("the rules of AUTHENTICATE (over {ROUNDS} challenges)")));
            }
            match exchange.answer(&challenge) {
                Ok(response) => {
                    if let Some(from) = exchange.proof_in(&response) {
                        self.wire.scrub_proof(response.expose_secret(), from);
                    }
                    shown = true;
                    self.write_secret(&[sasl::encode(&response).expose_secret().as_bytes(), b"\r\n"]).await?;
                }
                Err(error) => {
                    // The exchange is left in order (RFC 9051 section 6.2.2); what the server says to it tells nothing.
                    self.wire.set_deadline(self.wire.deadline().min(Instant::now() + COURTESY));
                    if self.wire.write(b"*\r\n").await.is_ok() {
                        self.turn(&tag).await.ok();
                    }
                    return Err(error.diagnosis());
                }
            }
        }
    }

    /// Says LOGIN; a literal is sent once the server asks for it, or at once where it takes that (RFC 7888).
    async fn say_login(&mut self, arguments: &[Argument]) -> Result<End, Diagnosis> {
        tracing::trace!(client = "LOGIN [redacted]", "command");
        let at_once = self.offers("LITERAL+");
        // Large enough, or what grows leaves copies of the password behind that nobody wipes.
        let room = 64 + arguments.iter().map(Argument::length).sum::<usize>();
        let mut line = Vec::with_capacity(room);
        line.extend_from_slice(b"LOGIN");
        let mut tag = None;
        for argument in arguments {
            line.push(b' ');
            match argument {
                Argument::Quoted(text) => line.extend_from_slice(text.expose_secret().as_bytes()),
                Argument::Literal(octets) => {
                    let count = octets.expose_secret().len();
                    line.extend_from_slice(format!("{{{count}{}}}\r\n", if at_once { "+" } else { "" }).as_bytes());
                    if !at_once {
                        let piece = std::mem::replace(&mut line, Vec::with_capacity(room));
                        let tag = self.carry_on(&mut tag, piece).await?;
                        // Who refuses here has seen no more than the user name.
                        loop {
                            match self.turn(&tag).await? {
                                Turn::Done(said) => return Ok((said, false)),
                                Turn::Asked(_) => break,
                                Turn::Data(_) => {}
                            }
                        }
                    }
                    line.extend_from_slice(octets.expose_secret());
                }
            }
        }
        line.extend_from_slice(b"\r\n");
        let tag = self.carry_on(&mut tag, line).await?;
        loop {
            match self.turn(&tag).await? {
                Turn::Done(said) => return Ok((said, true)),
                Turn::Asked(_) => return Err(broke("the order of commands and answers (it asked for more)".to_owned())),
                Turn::Data(_) => {}
            }
        }
    }

    /// Sends what is written so far of a command, which begins with its tag.
    async fn carry_on(&mut self, tag: &mut Option<String>, piece: Vec<u8>) -> Result<String, Diagnosis> {
        // Boxed as it is, not copied into a smaller allocation.
        let piece = SecretBox::new(Box::new(piece));
        if let Some(tag) = tag {
            self.wire.write(piece.expose_secret()).await?;
            return Ok(tag.clone());
        }
        let new = self.next_tag();
        self.write_secret(&[new.as_bytes(), b" ", piece.expose_secret()]).await?;
        Ok(tag.insert(new).clone())
    }

    async fn begin_secret(&mut self, parts: &[&[u8]]) -> Result<String, Diagnosis> {
        let tag = self.next_tag();
        self.write_secret(&[&[tag.as_bytes(), b" "], parts, &[b"\r\n"]].concat()).await?;
        Ok(tag)
    }

    /// Writes parts as one, through memory that is wiped.
    async fn write_secret(&mut self, parts: &[&[u8]]) -> Result<(), Diagnosis> {
        let whole = SecretSlice::from(parts.concat());
        self.wire.write(whole.expose_secret()).await
    }
}

/// What was not judged is no wrong password.
fn not_judged(mut diagnosis: Diagnosis) -> Diagnosis {
    if diagnosis.reason == Reason::AuthenticationFailed {
        diagnosis.reason = Reason::AuthMechanismNotOffered;
    }
    diagnosis
}

/// An argument of LOGIN.
enum Argument {
    Quoted(SecretString),
    Literal(SecretSlice<u8>),
}

impl Argument {
    fn length(&self) -> usize {
        match self {
            Self::Quoted(text) => text.expose_secret().len(),
            Self::Literal(octets) => octets.expose_secret().len(),
        }
    }
}

fn arguments(login: &Login<'_>) -> Result<[Argument; 2], SaslError> {
    Ok([argument("the user name", login.user)?, argument("the password", login.secret.expose_secret())?])
}

/// Quoted where that needs no escapes: an echo of one that has some would not be known for the secret.
fn argument(what: &'static str, text: &str) -> Result<Argument, SaslError> {
    if text.contains('\0') {
        return Err(SaslError::Unrepresentable { mechanism: "LOGIN", what, character: "a NUL" });
    }
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if text.bytes().all(plain) {
        return Ok(Argument::Quoted(SecretString::from(format!("\"{text}\""))));
    }
    Ok(Argument::Literal(SecretSlice::from(text.as_bytes().to_vec())))
}
