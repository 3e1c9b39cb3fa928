//! The stage Auth: SASL (RFC 5034), USER and PASS, and APOP (RFC 1939 section 7).

use std::time::Duration;

use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::{About, Answer, Code, Reply, Session, classify, reply};
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
/// The time for an answer that changes nothing.
const COURTESY: Duration = Duration::from_secs(1);
/// The longest line of a command, with its end (RFC 2449 section 4); what is longer goes behind `+ `.
const LINE: usize = 255;

/// How far a login had come when it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Only the mechanism was named.
    Nothing,
    /// A name or a secret stood on the line of the command: a server that does not know the command has not read it.
    WithTheCommand,
    /// The server asked, and was answered: it has looked at it.
    OnRequest,
}

impl Session {
    /// Logs in by one mechanism of [`Session::offered`]; `PLAIN` is USER and PASS where SASL does not offer it.
    ///
    /// A maildrop that another session holds is no refusal: the password was right.
    pub async fn authenticate(&mut self, mechanism: Mechanism, login: &Login<'_>, about: &About<'_>) -> Attempt {
        let by_token = matches!(mechanism, Mechanism::XOAuth2 | Mechanism::OAuthBearer);
        // Exchange Online has refused passwords here since 2023, and counts the attempts.
        if !by_token && about.host.eq_ignore_ascii_case("outlook.office365.com") {
            let provider = crate::mail::smtp::providers::Provider::Microsoft365.name();
            let diagnosis = Diagnosis::new(Reason::BasicAuthDisabled).fact("provider", provider);
            return Attempt::Failed(diagnosis.detail("this server takes no passwords over POP3; none was sent"));
        }
        let by_sasl = self.capabilities.as_ref().is_some_and(|known| known.sasl.iter().any(|name| name == mechanism.as_str()));
        let result = match mechanism {
            Mechanism::Apop => self.apop(login).await,
            Mechanism::Plain if !by_sasl && self.takes_user() => self.user_and_pass(login).await,
            _ => match Exchange::new(mechanism, login) {
                Ok(exchange) => return self.by_sasl(exchange, by_sasl, about).await,
                Err(error) => return Attempt::NotJudged(error.diagnosis()),
            },
        };
        match result {
            Ok((reply, shown)) => self.judge(mechanism, &reply, shown, None, about),
            Err(End::Unfit(error)) => Attempt::NotJudged(error.diagnosis()),
            Err(End::Broken(diagnosis)) => Attempt::Failed(diagnosis),
        }
    }

    async fn by_sasl(&mut self, mut exchange: Exchange, initial: bool, about: &About<'_>) -> Attempt {
        match self.converse(&mut exchange, initial).await {
            Ok((reply, shown)) => {
                let said = exchange.error_detail().map(|said| self.wire.scrubbed(said));
                self.judge(exchange.mechanism(), &reply, shown, said, about)
            }
            Err(diagnosis) => Attempt::Failed(diagnosis),
        }
    }

    /// Leads one exchange to its end: the last reply, and what had been shown before it.
    async fn converse(&mut self, exchange: &mut Exchange, may_begin: bool) -> Result<(Reply, Shown), Diagnosis> {
        let name = exchange.mechanism().as_str();
        // RFC 5034 section 4; an empty initial response is written as "=".
        let initial = exchange.initial().filter(|_| may_begin).map(|initial| sasl::encode(&initial));
        let command = initial.map(|initial| match initial.expose_secret() {
            "" => SecretString::from(format!("AUTH {name} =")),
            encoded => SecretString::from(format!("AUTH {name} {encoded}")),
        });
        let command = command.filter(|command| command.expose_secret().len() + 2 <= LINE);
        let mut shown = if command.is_some() { Shown::WithTheCommand } else { Shown::Nothing };
        tracing::trace!(client = %format!("AUTH {name}"), "command");
        match command {
            Some(command) => reply::say(&mut self.wire, command.expose_secret()).await?,
            None => reply::say(&mut self.wire, &format!("AUTH {name}")).await?,
        }
        for _ in 0..ROUNDS {
            let challenge = match reply::answer(&mut self.wire).await? {
                Answer::Reply(reply) => return Ok((reply, shown)),
                Answer::Challenge(challenge) => challenge,
            };
            // A server that speaks first may be told what would have stood with the command.
            match exchange.answer(&challenge) {
                Ok(response) => {
                    if let Some(from) = exchange.proof_in(&response) {
                        self.wire.scrub_proof(response.expose_secret(), from);
                    }
                    shown = Shown::OnRequest;
                    reply::say(&mut self.wire, sasl::encode(&response).expose_secret()).await?;
                }
                Err(error) => {
                    // The exchange is left in order (RFC 5034 section 4); what the server says to it tells nothing.
                    self.wire.set_deadline(self.wire.deadline().min(Instant::now() + COURTESY));
                    reply::command(&mut self.wire, "*").await.ok();
                    return Err(error.diagnosis());
                }
            }
        }
        Err(broke(format!("the rules of AUTH (over {ROUNDS} challenges)")))
    }

    async fn user_and_pass(&mut self, login: &Login<'_>) -> Result<(Reply, Shown), End> {
        let secret = login.secret.expose_secret();
        fits("USER", "the user name", login.user, false)?;
        fits("PASS", "the password", secret, false)?;
        let reply = reply::command(&mut self.wire, &format!("USER {}", login.user)).await?;
        if !reply.positive {
            return Ok((reply, Shown::WithTheCommand));
        }
        tracing::trace!(client = "PASS [redacted]", "command");
        let pass = SecretString::from(format!("PASS {secret}"));
        reply::say(&mut self.wire, pass.expose_secret()).await?;
        Ok((reply::reply(&mut self.wire).await?, Shown::OnRequest))
    }

    async fn apop(&mut self, login: &Login<'_>) -> Result<(Reply, Shown), End> {
        let Some(timestamp) = &self.timestamp else { return Err(End::Unfit(SaslError::NoMechanism("APOP"))) };
        fits("APOP", "the user name", login.user, true)?;
        let digest = Md5::new().chain_update(timestamp).chain_update(login.secret.expose_secret()).finalize();
        let digest: String = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hexadecimal).collect();
        self.wire.scrub_proof(digest.as_bytes(), 0);
        tracing::trace!(client = "APOP [redacted]", "command");
        let command = SecretString::from(format!("APOP {} {digest}", login.user));
        reply::say(&mut self.wire, command.expose_secret()).await?;
        Ok((reply::reply(&mut self.wire).await?, Shown::WithTheCommand))
    }

    /// What an answer says of the password (promise 7). In doubt it was judged: an account that is locked costs more than a
    /// mechanism that is not tried.
    fn judge(&self, mechanism: Mechanism, reply: &Reply, shown: Shown, of_token: Option<String>, about: &About<'_>) -> Attempt {
        if reply.positive && shown == Shown::Nothing {
            // Who was shown nothing has nothing to take.
            let rule = "the rules of AUTH (it takes a login before it was shown anything)".to_owned();
            return Attempt::Failed(broke(rule).words(reply.text()));
        }
        if reply.positive {
            return Attempt::Accepted;
        }
        let mut diagnosis = classify(Stage::Auth, reply, about);
        if let Some(said) = of_token {
            diagnosis = diagnosis.detail(format!("the server said of the token: {said}"));
        }
        match diagnosis.reason {
            Reason::RateLimited => return Attempt::TooMany(diagnosis),
            Reason::MailboxBusy | Reason::AuthenticationUnavailable | Reason::ServerBusy => return Attempt::Failed(diagnosis),
            // The account is known, and what it lacks is not the password.
            Reason::MailboxAccessDenied if reply.code != Some(Code::Auth) => return Attempt::Failed(diagnosis),
            // Inside TLS it cannot be TLS that is missing.
            Reason::TLSRequired if !self.wire.is_encrypted() && shown != Shown::OnRequest => {
                return Attempt::NotJudged(diagnosis);
            }
            _ => {}
        }
        let not_known = matches!(diagnosis.reason, Reason::AuthMechanismNotOffered | Reason::TLSRequired);
        let judged = shown == Shown::OnRequest || (shown == Shown::WithTheCommand && !not_known);
        diagnosis.reason = match (judged, diagnosis.reason) {
            (true, Reason::AuthMechanismNotOffered | Reason::TLSRequired) => Reason::AuthenticationFailed,
            (false, _) => Reason::AuthMechanismNotOffered,
            (true, reason) => reason,
        };
        if judged {
            return Attempt::Refused(diagnosis);
        }
        Attempt::NotJudged(diagnosis.fact("offered", self.offered().join(", ")).fact("allowed", mechanism.as_str()))
    }
}

/// Why a login came to no reply.
enum End {
    /// Nothing was sent: the command cannot carry it.
    Unfit(SaslError),
    /// The conversation broke.
    Broken(Diagnosis),
}

impl From<Diagnosis> for End {
    fn from(diagnosis: Diagnosis) -> Self {
        Self::Broken(diagnosis)
    }
}

/// Refuses what would end the line, and with it begin a command of its own; or the argument, where another follows.
fn fits(mechanism: &'static str, what: &'static str, text: &str, is_word: bool) -> Result<(), End> {
    let mut unfit = vec![('\r', "a line break"), ('\n', "a line break"), ('\0', "a NUL")];
    unfit.extend(is_word.then_some((' ', "a space")));
    match unfit.into_iter().find(|(character, _)| text.contains(*character)) {
        Some((_, character)) => Err(End::Unfit(SaslError::Unrepresentable { mechanism, what, character })),
        None => Ok(()),
    }
}

fn hexadecimal(digit: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(digit)])
}

#[cfg(test)]
mod tests;
