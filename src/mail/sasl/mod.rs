//! SASL (RFC 4422): logins by PLAIN, LOGIN, CRAM-MD5, NTLM, XOAUTH2 and OAUTHBEARER, as bytes in and bytes out.
//!
//! It does not know the protocol around it: SMTP, IMAP and POP3 carry the same bytes. Which mechanism is taken is
//! decided in [`choice`]; what must never be seen again is kept in [`redaction`].

mod bearer;
pub mod choice;
mod ntlm;
mod password;
pub mod redaction;

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
pub use choice::{Kind, Terms, choose};
pub use redaction::Redaction;
use secrecy::{ExposeSecret, SecretBox, SecretSlice, SecretString};
use thiserror::Error;

use super::Diagnosis;
use crate::api::{Reason, v1alpha1::Mechanism};

/// The most bytes of a challenge. Kerberos tickets would be longer; what we speak is not.
pub const CHALLENGE: usize = 12_288;

/// The most rounds that any of the mechanisms has, with one to spare for a server that asks twice.
const ROUNDS: u8 = 4;

/// What we answer to a challenge, not yet in base64.
pub type Response = SecretSlice<u8>;

/// Who logs in, and where.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// user@domain, DOMAIN\user or a bare login.
    pub user: &'a str,
    /// The password, or the access token.
    pub secret: &'a SecretString,
    /// The server's name, as OAUTHBEARER repeats it (RFC 7628 section 3.1).
    pub host: &'a str,
    /// The server's port, likewise.
    pub port: u16,
}

/// What trying one mechanism came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The server took the login.
    Accepted,
    /// No password was judged: the next mechanism may be tried (promise 7).
    NotJudged(Diagnosis),
    /// The server judged the password, and refused.
    Refused(Diagnosis),
    /// The server says that there were too many logins.
    TooMany(Diagnosis),
    /// It came to no judgement.
    Failed(Diagnosis),
}

/// Why a login cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SaslError {
    /// The user name or the secret holds what the mechanism cannot carry.
    #[error("{what} holds {character}, which {mechanism} cannot carry")]
    Unrepresentable {
        /// The mechanism's registered name.
        mechanism: &'static str,
        /// What it is: "the user name", "the password" or "the token".
        what: &'static str,
        /// What stands in it.
        character: &'static str,
    },
    /// A challenge that the mechanism does not have.
    #[error("a challenge of {mechanism} makes no sense: {fault}")]
    Challenge {
        /// The mechanism's registered name.
        mechanism: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Exchanges of this mechanism are not ours: Auto is a choice, APOP is a command of POP3.
    #[error("{0} is no SASL mechanism")]
    NoMechanism(&'static str),
}

impl SaslError {
    /// As a diagnosis: `SecretInvalid` for what cannot be carried (with the fact `fault`, read behind "Key x of Secret y"),
    /// `ProtocolError` for a server that errs.
    #[must_use]
    pub fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Unrepresentable { mechanism, character, .. } => Diagnosis::new(Reason::SecretInvalid)
                .detail(self.to_string())
                .fact("fault", format!("holds {character}, which {mechanism} cannot carry")),
            Self::Challenge { mechanism, .. } => {
                Diagnosis::new(Reason::ProtocolError).detail(self.to_string()).fact("rule", format!("the rules of {mechanism}"))
            }
            Self::NoMechanism(name) => {
                Diagnosis::new(Reason::AuthMechanismNotOffered).detail(self.to_string()).fact("allowed", *name)
            }
        }
    }
}

/// One login by one mechanism.
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
    rounds: u8,
}

enum State {
    Plain(password::Plain),
    Login(password::LoginSteps),
    CramMd5(password::CramMd5),
    Ntlm(ntlm::Ntlm),
    Bearer(bearer::Bearer),
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("mechanism", &self.mechanism).field("rounds", &self.rounds).finish_non_exhaustive()
    }
}

impl Exchange {
    /// Prepares a login.
    ///
    /// # Errors
    /// [`SaslError::Unrepresentable`] where user name or secret cannot be carried, [`SaslError::NoMechanism`] for Auto and
    /// APOP.
    pub fn new(mechanism: Mechanism, login: &Login<'_>) -> Result<Self, SaslError> {
        let state = match mechanism {
            Mechanism::Plain => State::Plain(password::Plain::new(login)?),
            Mechanism::Login => State::Login(password::LoginSteps::new(login)),
            Mechanism::CramMd5 => State::CramMd5(password::CramMd5::new(login)?),
            Mechanism::Ntlm => State::Ntlm(ntlm::Ntlm::new(login)?),
            Mechanism::XOAuth2 => State::Bearer(bearer::Bearer::xoauth2(login)?),
            Mechanism::OAuthBearer => State::Bearer(bearer::Bearer::oauthbearer(login)?),
            Mechanism::Auto | Mechanism::Apop => return Err(SaslError::NoMechanism(mechanism.as_str())),
        };
        Ok(Self { mechanism, state, rounds: 0 })
    }

    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The initial response, to be sent with the command; none where the server speaks first.
    #[must_use]
    pub fn initial(&self) -> Option<Response> {
        match &self.state {
            State::Plain(plain) => Some(plain.message()),
            State::Bearer(bearer) => Some(bearer.message()),
            State::Login(_) | State::CramMd5(_) | State::Ntlm(_) => None,
        }
    }

    /// Answers a challenge, given as the bytes that its base64 stood for.
    ///
    /// # Errors
    /// [`SaslError::Challenge`] where the mechanism has no such challenge, or the server asks without end.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Response, SaslError> {
        let fault = |fault| SaslError::Challenge { mechanism: self.mechanism.as_str(), fault };
        if challenge.len() > CHALLENGE {
            return Err(fault("it is too long"));
        }
        if self.rounds >= ROUNDS {
            return Err(fault("the server asks without end"));
        }
        self.rounds += 1;
        match &mut self.state {
            // A server that does not know initial responses asks for what it has been told.
            State::Plain(plain) if self.rounds == 1 => Ok(plain.message()),
            State::Plain(_) => Err(fault("the server asks again")),
            State::Login(steps) => steps.respond().ok_or_else(|| fault("the server asks for more than user name and password")),
            State::CramMd5(cram) => cram.respond(challenge),
            State::Ntlm(ntlm) => ntlm.respond(challenge),
            State::Bearer(bearer) => Ok(bearer.respond(challenge)),
        }
    }

    /// Answers a challenge as it stands in the protocol: the text behind `334 ` or `+ `, in base64. Where the mechanism
    /// does not read the challenge, text that is no base64 is forgiven: Exchange says `334 NTLM supported`
    /// ([MS-SMTPNTLM] section 2.2.1), and some servers prompt for LOGIN in plain words.
    ///
    /// # Errors
    /// As [`Exchange::respond`].
    pub fn answer(&mut self, text: &str) -> Result<Response, SaslError> {
        match decode(text) {
            Some(challenge) => self.respond(&challenge),
            None if self.is_deaf() => self.respond(&[]),
            None => Err(SaslError::Challenge { mechanism: self.mechanism.as_str(), fault: "it is no base64" }),
        }
    }

    /// Whether the next challenge is not read at all.
    fn is_deaf(&self) -> bool {
        match &self.state {
            State::Login(_) => true,
            State::Plain(_) | State::Ntlm(_) => self.rounds == 0,
            State::CramMd5(_) | State::Bearer(_) => false,
        }
    }

    /// Where in a response begins what only who knows the password can make, and who reads it could try passwords against;
    /// none where the response is no such proof.
    #[must_use]
    pub fn proof_in(&self, response: &Response) -> Option<usize> {
        match &self.state {
            // A space stands before the digest.
            State::CramMd5(_) => response.expose_secret().len().checked_sub(password::DIGEST),
            // Type 1 holds nothing.
            State::Ntlm(_) => response.expose_secret().starts_with(ntlm::AUTHENTICATE).then_some(ntlm::AUTHENTICATE.len()),
            State::Plain(_) | State::Login(_) | State::Bearer(_) => None,
        }
    }

    /// What a server said of a refused token, as printable text (RFC 7628 section 3.2.2 and Google's XOAUTH2).
    #[must_use]
    pub fn error_detail(&self) -> Option<&str> {
        match &self.state {
            State::Bearer(bearer) => bearer.error(),
            _ => None,
        }
    }
}

/// A response in base64, as all three protocols carry it. An empty one is an empty line.
#[must_use]
pub fn encode(response: &Response) -> SecretString {
    SecretString::from(STANDARD.encode(response.expose_secret()))
}

/// A challenge out of base64, with or without padding; none if it is none, or longer than [`CHALLENGE`].
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let text = text.trim();
    if text.len() > CHALLENGE.div_ceil(3) * 4 {
        return None;
    }
    LENIENT.decode(text).ok()
}

fn response(bytes: Vec<u8>) -> Response {
    SecretBox::new(bytes.into_boxed_slice())
}

/// Refuses a character that a mechanism uses between its parts.
fn without(mechanism: Mechanism, what: &'static str, text: &str, characters: &[(char, &'static str)]) -> Result<(), SaslError> {
    match characters.iter().find(|(character, _)| text.contains(*character)) {
        Some((_, name)) => Err(SaslError::Unrepresentable { mechanism: mechanism.as_str(), what, character: name }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
