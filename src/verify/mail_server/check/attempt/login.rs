//! The stage AUTH: one login, asked for at the gate and told to it.

use tokio::time::timeout_at;

use super::{Attempt, Known};
use crate::{
    api::Reason,
    mail::{
        Diagnosis,
        sasl::{self, Kind, Redaction, Terms, choose},
        smtp::{LoginJudgement, session},
        wire::Wire,
    },
    verify::{Credential, Gate, Report, gate::Account, mail_server::inputs::Login, report::LoginOutcome},
};

impl Attempt<'_> {
    pub(super) async fn log_in(
        &self,
        login: &Login,
        wire: &mut Wire,
        report: &mut Report,
        known: &Known,
    ) -> Result<&'static str, Diagnosis> {
        let kind = match login.credential {
            Credential::Password { .. } => Kind::Password,
            Credential::Token { .. } => Kind::Token,
        };
        let mechanisms = choose(&Terms {
            allowed: &login.mechanisms,
            offered: &known.extensions.auth,
            verified_tls: known.encrypted && report.tls_verified,
            allow_plaintext: login.allow_plaintext,
            kind,
        })?;
        let account = login.account(self.endpoint);
        let mut ticket = match timeout_at(wire.deadline(), Ticket::take(self.gate, &account)).await {
            Ok(ticket) => ticket?,
            Err(_) => {
                return Err(Diagnosis::new(Reason::RateBudgetExceeded)
                    .fact("budget", "the one login at a time")
                    .fact("scope", format!("account {}", account.user))
                    .detail("another check was logging in with these credentials all the time"));
            }
        };
        let credential = &login.credential;
        wire.scrub(Redaction::of(credential.user(), credential.secret()));
        let shown = sasl::Login {
            user: credential.user(),
            secret: credential.secret(),
            host: &self.endpoint.host,
            port: self.endpoint.port,
        };
        let mut failure = None;
        for mechanism in mechanisms {
            report.login = Some(LoginOutcome::Undecided);
            match session::authenticate(wire, mechanism, &shown, &self.about(known)).await {
                session::Attempt::Accepted(_) => {
                    report.login = Some(ticket.tell(LoginOutcome::Accepted));
                    return Ok(mechanism.as_str());
                }
                session::Attempt::NotJudged(diagnosis) => failure = Some(diagnosis),
                session::Attempt::Refused(judgement, diagnosis) => {
                    let too_many = judgement == LoginJudgement::TooMany;
                    let outcome = if too_many { LoginOutcome::TooMany } else { LoginOutcome::Refused };
                    report.login = Some(ticket.tell(outcome));
                    return Err(diagnosis);
                }
                session::Attempt::Failed(diagnosis) => return Err(diagnosis),
            }
        }
        Err(failure.unwrap_or_else(|| Diagnosis::new(Reason::AuthMechanismNotOffered)))
    }
}

/// A login that the gate granted: its outcome is told once, also where the check is cut short.
struct Ticket<'a> {
    gate: &'a dyn Gate,
    account: &'a Account,
    told: bool,
}

impl<'a> Ticket<'a> {
    async fn take(gate: &'a dyn Gate, account: &'a Account) -> Result<Self, Diagnosis> {
        gate.login(account).await?;
        Ok(Self { gate, account, told: false })
    }

    fn tell(&mut self, outcome: LoginOutcome) -> LoginOutcome {
        self.told = true;
        self.gate.logged_in(self.account, outcome);
        outcome
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(LoginOutcome::Undecided);
        }
    }
}
