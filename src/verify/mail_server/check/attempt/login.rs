//! The stage AUTH.

use super::{Attempt, Known};
use crate::{
    mail::{Diagnosis, smtp::session, wire::Wire},
    verify::{
        Report,
        login::{Granted, Login, Offer},
        report::LoginOutcome,
    },
};

impl Attempt<'_> {
    pub(super) async fn log_in(
        &self,
        login: &Login,
        wire: &mut Wire,
        report: &mut Report,
        known: &Known,
    ) -> Result<&'static str, Diagnosis> {
        let offer = Offer {
            host: &self.endpoint.host,
            port: self.endpoint.port,
            mechanisms: &known.extensions.auth,
            verified_tls: known.encrypted && report.tls_verified,
        };
        let mut granted = Granted::ask(self.gate, login, offer, wire.deadline()).await?;
        wire.scrub(granted.redaction());
        for mechanism in granted.mechanisms() {
            report.login = Some(LoginOutcome::Undecided);
            let attempt = session::authenticate(wire, mechanism, &granted.shown(), &self.about(known)).await;
            if let Some(result) = granted.judge(attempt, &mut report.login) {
                return result.map(|()| mechanism.as_str());
            }
        }
        Err(granted.exhausted())
    }
}
