//! One endpoint, stage by stage.

mod delivery;
mod login;

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;

use super::Run;
use crate::{
    api::{
        Reason,
        v1alpha1::{Capabilities, Level, Security},
    },
    mail::{
        Diagnosis, Stage, Stages, Vantage,
        diagnosis::printable,
        protocol::Protocol,
        smtp::{
            About, Extensions, Reply,
            providers::{Provider, recognise},
            session,
        },
        wire::Wire,
    },
    verify::{
        Gate, Report,
        approach::{Approach, Endpoint},
        mail_server::inputs::Inputs,
    },
};

/// The time that a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// One endpoint, and all that an attempt on it needs.
pub(super) struct Attempt<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) endpoint: &'a Endpoint,
    pub(super) vantage: &'a Vantage,
    pub(super) gate: &'a dyn Gate,
    pub(super) run: &'a Run<'a>,
}

/// What has been learnt on the way.
struct Known {
    helo: String,
    extensions: Extensions,
    provider: Option<Provider>,
    encrypted: bool,
    egress: Option<IpAddr>,
}

impl Attempt<'_> {
    /// Runs the stages. What was learnt is in the report also where one failed.
    pub(super) async fn run(self, mut stages: Stages, connect_by: Instant, until: Instant) -> Report {
        let mut report = Report::new(self.run.level, self.endpoint.to_string());
        let mut wire = None;
        let result = self.stages(&mut stages, &mut report, &mut wire, connect_by, until).await;
        if let Err(failure) = result {
            if let Some(mut wire) = wire.filter(|_| leaves_in_order(&failure)) {
                wire.set_deadline(until.min(Instant::now() + GOODBYE));
                session::quit(&mut wire).await.ok();
            }
            report.failure = Some(self.with_facts(failure, &report));
        }
        report.stages = stages.take();
        report
    }

    async fn stages(
        &self,
        stages: &mut Stages,
        report: &mut Report,
        slot: &mut Option<Wire>,
        connect_by: Instant,
        until: Instant,
    ) -> Result<(), Diagnosis> {
        let Endpoint { host, security, .. } = self.endpoint;
        let approach = self.approach();
        if let Some(login) = self.inputs.login.as_ref().filter(|_| self.run.level >= Level::Authenticate) {
            Box::pin(login.prepare(self.gate, stages, report, until)).await?;
        }
        let mut wire = approach.connect(stages, report, connect_by, until).await?;
        let local = wire.local().ip();
        let helo = self.inputs.helo.clone().unwrap_or_else(|| literal(local));
        report.helo = Some(helo.clone());
        let provider = recognise(host, None);
        let mut known = Known { helo, extensions: Extensions::default(), provider, encrypted: false, egress: Some(local) };

        if *security == Security::TLS {
            let step = Box::pin(wire.into_tls(approach.tls, host, Stage::ImplicitTls));
            wire = approach.protect(Stage::ImplicitTls, stages, report, step).await?;
            known.encrypted = true;
        }
        let wire = slot.insert(wire);
        let banner = stages.run(Stage::Banner, self.greet(wire, &known, &mut report.tls_hello)).await?;
        let greeting = printable(&banner.text(), 256);
        stages.note(greeting.as_str());
        known.provider = recognise(host, Some(&greeting));
        self.ehlo(Stage::Ehlo, stages, report, &mut known, wire, &banner).await?;
        if *security == Security::StartTLS {
            stages.run(Stage::StartTls, session::starttls(wire, &known.extensions, &self.about(&known))).await?;
            if let Some(plain) = slot.take() {
                let step = Box::pin(plain.into_tls(approach.tls, host, Stage::Tls));
                let encrypted = approach.protect(Stage::Tls, stages, report, step).await?;
                known.encrypted = true;
                let wire = slot.insert(encrypted);
                self.ehlo(Stage::Ehlo2, stages, report, &mut known, wire, &banner).await?;
            }
        }
        let Some(wire) = slot.as_mut() else { return Ok(()) };
        if let Some(login) = self.inputs.login.as_ref().filter(|_| self.run.level >= Level::Authenticate) {
            let mechanism = stages.run(Stage::Auth, self.log_in(login, wire, report, &known)).await?;
            stages.note(format!("{mechanism} as {}", login.credential.user()));
        }
        if self.run.level == Level::Deliver {
            self.deliver(stages, report, wire, &known).await?;
        }
        wire.set_deadline(until.min(Instant::now() + GOODBYE));
        let mut goodbye = None;
        stages
            .run(Stage::Quit, async {
                goodbye = session::quit(wire).await.err();
                Ok(())
            })
            .await?;
        if let Some(unanswered) = goodbye {
            stages.note(unanswered.said());
        }
        Ok(())
    }

    /// Waits for the greeting; once per generation a TLS hello may be tried on the way.
    async fn greet(&self, wire: &mut Wire, known: &Known, tls_hello: &mut bool) -> Result<Reply, Diagnosis> {
        if self.run.may_greet_with_tls {
            self.approach().hears(wire, tls_hello).await?;
        }
        session::banner(wire, &self.about(known)).await
    }

    async fn ehlo(
        &self,
        stage: Stage,
        stages: &mut Stages,
        report: &mut Report,
        known: &mut Known,
        wire: &mut Wire,
        banner: &Reply,
    ) -> Result<(), Diagnosis> {
        let extensions = stages.run(stage, session::ehlo(wire, stage, &self.about(known))).await?;
        stages.note(extensions.keywords.join(", "));
        if let Some(seen) = extensions.observed_ip {
            report.observed_ip = Some(seen.to_string());
            known.egress = Some(seen);
        }
        report.capabilities = Some(Capabilities {
            banner: Some(printable(&banner.lines.join(" "), 256)).filter(|banner| !banner.is_empty()),
            extensions: extensions.keywords.iter().take(32).map(|keyword| printable(keyword, 64)).collect(),
            auth_mechanisms: extensions.auth.iter().take(16).map(|mechanism| printable(mechanism, 32)).collect(),
            max_size: extensions.size.and_then(|size| i64::try_from(size).ok()),
        });
        known.extensions = extensions;
        Ok(())
    }

    fn approach(&self) -> Approach<'_> {
        Approach { protocol: Protocol::Smtp, endpoint: self.endpoint, tls: &self.inputs.tls, vantage: self.vantage }
    }

    fn about<'b>(&'b self, known: &'b Known) -> About<'b> {
        let login = self.inputs.login.as_ref();
        About {
            host: &self.endpoint.host,
            port: self.endpoint.port,
            security: self.endpoint.security,
            tls: known.encrypted,
            from: self.inputs.sender.as_ref().map(|sender| sender.address.as_str()),
            to: self.inputs.test.as_ref().map(|test| test.to.as_str()),
            user: login.map(|login| login.credential.user()),
            helo: &known.helo,
            egress_ip: known.egress,
            provider: known.provider,
            max_size: known.extensions.size,
            offered: &known.extensions.auth,
            allowed: login.map(|login| login.mechanisms.as_slice()).unwrap_or_default(),
        }
    }

    /// Facts that hold for every failure on this endpoint; those that the failure knows itself stand.
    fn with_facts(&self, failure: Diagnosis, report: &Report) -> Diagnosis {
        let before_banner = failure.stage == Some(Stage::Banner);
        let failure = self.approach().with_facts(failure, self.inputs.timeout, self.inputs.login.as_ref());
        // Where the server did not tell its limit: "The server takes fewer bytes".
        let mut failure = failure.fact("tlsPort", "465").fact("max", "fewer");
        if failure.reason != Reason::ConnectionClosed || before_banner {
            let egress = report.observed_ip.as_deref().or(report.source_ip.as_deref());
            failure = failure.fact("egressIP", egress.unwrap_or_default());
        }
        failure.fact("helo", report.helo.as_deref().unwrap_or_default())
    }
}

/// A refusal in words leaves a conversation that can be ended in order, before the 354 of DATA as well as after the final
/// dot; between the two a QUIT would be part of the mail.
fn leaves_in_order(failure: &Diagnosis) -> bool {
    use Reason::{
        ConnectionClosed, ConnectionReset, DeliveryUncertain, ProtocolError, ResponseTimedOut, StartTLSInjection, WrongProtocol,
    };
    let answered = !matches!(
        failure.reason,
        ConnectionClosed
            | ConnectionReset
            | DeliveryUncertain
            | ProtocolError
            | ResponseTimedOut
            | StartTLSInjection
            | WrongProtocol
    );
    let spoken = failure.words.is_some() && answered && failure.stage <= Some(Stage::Data);
    let refused = matches!(failure.reason, Reason::StartTLSNotOffered | Reason::AuthNotOffered | Reason::AuthMechanismNotOffered);
    let ours =
        matches!(failure.reason, Reason::CredentialHeld | Reason::RateBudgetExceeded | Reason::Paused | Reason::ObserveOnly);
    failure.stage > Some(Stage::Banner) && (spoken || ((refused || ours) && failure.stage < Some(Stage::Data)))
}

/// RFC 5321 section 4.1.3.
fn literal(address: IpAddr) -> String {
    match crate::mail::guard::normal(address) {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_literal_is_written_as_rfc_5321_has_it() {
        for (address, written) in
            [("192.0.2.1", "[192.0.2.1]"), ("2001:db8::1", "[IPv6:2001:db8::1]"), ("::ffff:192.0.2.1", "[192.0.2.1]")]
        {
            assert_eq!(literal(address.parse().unwrap()), written);
        }
    }

    #[test]
    fn a_conversation_is_ended_in_order_only_where_quit_can_be_understood() {
        let at = |reason, stage, words: &str| Diagnosis::new(reason).at(stage).words(words);
        assert!(leaves_in_order(&at(Reason::AuthenticationFailed, Stage::Auth, "535 no")));
        assert!(leaves_in_order(&at(Reason::StartTLSNotOffered, Stage::StartTls, "")));
        assert!(leaves_in_order(&at(Reason::MessageRejected, Stage::Data, "554 no")));
        assert!(!leaves_in_order(&at(Reason::Paused, Stage::Data, "")), "it would be a line of the mail");
        assert!(!leaves_in_order(&at(Reason::ResponseTimedOut, Stage::Data, "354 g")), "it would be a line of the mail");
        assert!(!leaves_in_order(&at(Reason::DeliveryUncertain, Stage::Data, "2")));
        assert!(!leaves_in_order(&at(Reason::ProtocolError, Stage::Ehlo, "999")));
        assert!(!leaves_in_order(&at(Reason::StartTLSInjection, Stage::Tls, "250 injected")));
        assert!(!leaves_in_order(&at(Reason::ConnectionClosed, Stage::Mail, "")));
    }
}
