//! One login, in any protocol: what may be tried, asked for at the gate, and told to it once (promises 7 and 8).

use std::sync::Arc;

use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};

use super::{Credential, Gate, Report, fingerprint::Key, gate::Account, report::LoginOutcome, tokens::Access, warnings::Ends};
use crate::{
    api::{Reason, v1alpha1::Mechanism},
    mail::{
        Diagnosis, Stage, Stages,
        sasl::{self, Attempt, Kind, Redaction, Terms, choose},
    },
};

/// An account, and how it may be shown.
#[derive(Clone, Debug)]
pub struct Login {
    /// What is shown to the server.
    pub credential: Credential,
    /// The mechanisms that the spec allows.
    pub mechanisms: Vec<Mechanism>,
    /// Whether PLAIN and LOGIN may show the password.
    pub allow_plaintext: bool,
    /// `namespace/name` of the Secret, for hints.
    pub secret: String,
    /// When the Secret was changed last, RFC 3339, where that is known.
    pub changed: Option<String>,
    /// A keyed hash of user and secret.
    pub fingerprint: String,
}

impl Login {
    /// The account at one host, as the breaker and the budgets know it.
    #[must_use]
    pub fn account(&self, host: &str) -> Account {
        let host = host.to_ascii_lowercase();
        // The fingerprint was made with the installation's key, and is as hard to guess as that.
        let secret = Key::new(self.fingerprint.as_bytes()).hash(&[host.as_bytes()]);
        Account { host, user: self.credential.user().to_owned(), secret }
    }

    /// The account at the provider that gives out its tokens, where there is one.
    #[must_use]
    pub fn at_provider(&self) -> Option<Account> {
        match &self.credential {
            Credential::OAuth2 { source, .. } => Some(source.account().clone()),
            Credential::Password { .. } | Credential::Token { .. } => None,
        }
    }

    /// When what the application proves itself by ends, where that is known.
    #[must_use]
    pub fn ends(&self) -> Option<&Ends> {
        match &self.credential {
            Credential::OAuth2 { source, .. } => source.ends(),
            Credential::Password { .. } | Credential::Token { .. } => None,
        }
    }

    /// The login as it can be handed to another process: where access tokens are asked for at the moment of use, with the one that
    /// is good now, and nothing of what it is had with. With it whether the token was shown before.
    ///
    /// # Errors
    /// Those of [`super::tokens::Source::token`].
    pub async fn handed(&self, gate: &dyn Gate, deadline: Instant) -> Result<(Self, Option<Access>), Diagnosis> {
        let Credential::OAuth2 { user, source } = &self.credential else { return Ok((self.clone(), None)) };
        let access = source.token(gate, deadline).await.map_err(|diagnosis| diagnosis.at(Stage::Token))?;
        let credential = Credential::Token { user: user.clone(), token: access.secret.clone() };
        Ok((Self { credential, ..self.clone() }, Some(access)))
    }

    /// What a server's verdict on `secret` says of the account there: of a password what it says, of an access token what
    /// [`super::tokens::Source::judged`] makes of it.
    #[must_use]
    pub fn judged(&self, secret: &SecretString, by: &Account, verdict: LoginOutcome) -> LoginOutcome {
        match &self.credential {
            Credential::OAuth2 { source, .. } => source.judged(secret, by, verdict),
            Credential::Password { .. } | Credential::Token { .. } => verdict,
        }
    }

    /// The stage Token: has an access token before a server is connected to, which would wait for it. Other credentials have no
    /// such stage.
    ///
    /// # Errors
    /// Those of [`super::tokens::Source::token`].
    pub async fn prepare(
        &self,
        gate: &dyn Gate,
        stages: &mut Stages,
        report: &mut Report,
        deadline: Instant,
    ) -> Result<(), Diagnosis> {
        let Credential::OAuth2 { source, .. } = &self.credential else { return Ok(()) };
        let access = stages.run(Stage::Token, source.token(gate, deadline)).await?;
        stages.note(format!("from {}", source.host()));
        report.token = Some((source.host().to_owned(), access.expires));
        Ok(())
    }
}

/// Where the login is made, and what the server offers there.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The server's name.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The mechanisms that it offers.
    pub mechanisms: &'a [String],
    /// Whether the connection is in TLS, and the certificate was judged and found good.
    pub verified_tls: bool,
}

/// A login that the gate granted: its outcome is told once, also where the check is cut short.
pub struct Granted<'a> {
    login: &'a Login,
    offer: Offer<'a>,
    gate: &'a dyn Gate,
    account: Account,
    secret: SecretString,
    mechanisms: Vec<Mechanism>,
    failure: Option<Diagnosis>,
    told: bool,
}

impl<'a> Granted<'a> {
    /// Chooses the mechanisms, and asks the gate; waits for it until `deadline`.
    ///
    /// # Errors
    /// Those of [`choose`] and of [`Gate::login`]; `RateBudgetExceeded` where another check was logging in all the time.
    pub async fn ask(gate: &'a dyn Gate, login: &'a Login, offer: Offer<'a>, deadline: Instant) -> Result<Self, Diagnosis> {
        let kind = match login.credential {
            Credential::Password { .. } => Kind::Password,
            Credential::Token { .. } | Credential::OAuth2 { .. } => Kind::Token,
        };
        let mechanisms = choose(&Terms {
            allowed: &login.mechanisms,
            offered: offer.mechanisms,
            verified_tls: offer.verified_tls,
            allow_plaintext: login.allow_plaintext,
            kind,
        })?;
        let secret = match &login.credential {
            Credential::Password { password: secret, .. } | Credential::Token { token: secret, .. } => secret.clone(),
            Credential::OAuth2 { source, .. } => {
                source.token(gate, deadline).await.map_err(|diagnosis| diagnosis.at(Stage::Token))?.secret
            }
        };
        let account = login.account(offer.host);
        match timeout_at(deadline, gate.login(&account)).await {
            Ok(granted) => granted?,
            Err(_) => {
                return Err(Diagnosis::new(Reason::RateBudgetExceeded)
                    .fact("budget", "the one login at a time")
                    .fact("scope", format!("account {}", account.user))
                    .detail("another check was logging in with these credentials all the time"));
            }
        }
        Ok(Self { login, offer, gate, account, secret, mechanisms, failure: None, told: false })
    }

    /// The mechanisms to try, in order: each only where the one before was not judged.
    #[must_use]
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        self.mechanisms.clone()
    }

    /// What must never be seen again, once this login is shown.
    #[must_use]
    pub fn redaction(&self) -> Redaction {
        Redaction::of(self.login.credential.user(), &self.secret)
    }

    /// What is shown to the server.
    #[must_use]
    pub fn shown(&self) -> sasl::Login<'_> {
        sasl::Login { user: self.login.credential.user(), secret: &self.secret, host: self.offer.host, port: self.offer.port }
    }

    /// Is to be told where the server refuses in the same session what it has taken; says whether something else may help.
    #[must_use]
    pub fn revoked(&self) -> Box<dyn Fn() -> bool + Send> {
        match &self.login.credential {
            Credential::OAuth2 { source, .. } => {
                let (source, secret) = (Arc::clone(source), self.secret.clone());
                Box::new(move || source.revoked(&secret))
            }
            Credential::Password { .. } | Credential::Token { .. } => Box::new(|| false),
        }
    }

    /// Takes what an attempt came to, and keeps it in `outcome`; none where the next mechanism may be tried.
    pub fn judge(&mut self, attempt: Attempt, outcome: &mut Option<LoginOutcome>) -> Option<Result<(), Diagnosis>> {
        let (judged, result) = match attempt {
            Attempt::Accepted => (LoginOutcome::Accepted, Ok(())),
            Attempt::Refused(diagnosis) => (LoginOutcome::Refused, Err(diagnosis)),
            Attempt::TooMany(diagnosis) => (LoginOutcome::TooMany, Err(diagnosis)),
            Attempt::Failed(diagnosis) => {
                *outcome = Some(LoginOutcome::Undecided);
                return Some(Err(diagnosis));
            }
            Attempt::NotJudged(diagnosis) => {
                *outcome = Some(LoginOutcome::Undecided);
                self.failure = Some(diagnosis);
                return None;
            }
        };
        *outcome = Some(judged);
        self.tell(self.login.judged(&self.secret, &self.account, judged));
        Some(result)
    }

    /// Why no mechanism came to a judgement.
    #[must_use]
    pub fn exhausted(mut self) -> Diagnosis {
        self.failure.take().unwrap_or_else(|| Diagnosis::new(Reason::AuthMechanismNotOffered))
    }

    fn tell(&mut self, outcome: LoginOutcome) {
        self.told = true;
        self.gate.logged_in(&self.account, outcome);
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(LoginOutcome::Undecided);
        }
    }
}
