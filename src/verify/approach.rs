//! The way to a server, the same for every protocol: DNS, proxy, TCP and TLS; and what holds for every failure there.

use std::{fmt, time::Duration};

use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::{Login, Report};
use crate::{
    api::{
        Reason,
        v1alpha1::{Security, TlsStatus},
    },
    mail::{
        Diagnosis, Stage, Stages, Tcp, Vantage, authority,
        protocol::{Found, Protocol},
        tls::{self, Examination, TlsPolicy},
        vantage::connect,
        wire::Wire,
    },
};

/// Who speaks before the greeting is blocked as a spammer on these (promise 12): no TLS hello is tried there.
const NEVER_FIRST: [u16; 2] = [25, 587];

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&authority(&self.host, self.port))
    }
}

/// An endpoint, and how it is approached.
#[derive(Clone, Copy)]
pub(super) struct Approach<'a> {
    pub(super) protocol: Protocol,
    pub(super) endpoint: &'a Endpoint,
    pub(super) tls: &'a TlsPolicy,
    pub(super) vantage: &'a Vantage,
}

impl Approach<'_> {
    /// DNS and TCP, or the proxy.
    pub(super) async fn connect(
        &self,
        stages: &mut Stages,
        report: &mut Report,
        connect_by: Instant,
        until: Instant,
    ) -> Result<Wire, Diagnosis> {
        Ok(Wire::new(self.reach(stages, report, connect_by).await?, self.protocol, until))
    }

    /// The same, for what is no conversation line by line.
    pub(super) async fn reach(&self, stages: &mut Stages, report: &mut Report, connect_by: Instant) -> Result<Tcp, Diagnosis> {
        let Endpoint { host, port, .. } = self.endpoint;
        let tcp = if let Some(proxy) = &self.vantage.proxy {
            stages.skip(Stage::Dns, format!("{proxy} resolves the name"));
            let tcp = stages.run(Stage::Proxy, self.vantage.connect_by(proxy, host, *port, connect_by)).await?;
            stages.skip(Stage::Tcp, format!("through {proxy}"));
            tcp
        } else {
            let addresses = stages.run(Stage::Dns, self.vantage.resolve(host, connect_by)).await?;
            report.addresses = addresses.iter().map(ToString::to_string).collect();
            stages.note(report.addresses.join(", "));
            report.addresses.sort_unstable();
            let tcp = stages.run(Stage::Tcp, self.vantage.connect(&addresses, *port, connect_by)).await?;
            stages.note(tcp.peer().to_string());
            tcp
        };
        report.source_ip = Some(tcp.local().ip().to_string());
        Ok(tcp)
    }

    /// The handshake of TLS on a connection that [`Approach::reach`] made.
    pub(super) async fn shake_hands(
        &self,
        tcp: Tcp,
        deadline: Instant,
    ) -> (Option<Examination>, Result<TlsStream<Tcp>, Diagnosis>) {
        let (peer, host) = (tcp.peer(), self.endpoint.host.as_str());
        let (examined, stream) = tls::handshake(tcp, self.tls, host, deadline).await;
        (examined, stream.map_err(|failure| failure.diagnose(Stage::ImplicitTls, self.tls, host, peer, self.protocol)))
    }

    /// Waits for the server to speak. On a port that is not SMTP's own, half of the time in silence is enough to ask on a
    /// second connection whether TLS is spoken; the first goes on waiting. `hello` says whether that was asked.
    ///
    /// # Errors
    /// `WrongTLSMode` where TLS is spoken, `WrongProtocol` where something else is.
    pub(super) async fn hears(&self, wire: &Wire, hello: &mut bool) -> Result<(), Diagnosis> {
        if self.vantage.proxy.is_some() || !may_speak_first(self.endpoint) {
            return Ok(());
        }
        let (peer, deadline) = (wire.peer(), wire.deadline());
        let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        if timeout_at(half, wire.hears_something()).await.is_ok() {
            return Ok(());
        }
        let ask = async {
            let stream = connect(peer, deadline).await.ok()?;
            *hello = true;
            match tls::handshake(stream, self.tls, &self.endpoint.host, deadline).await.1 {
                Ok(_) => Some(Found::Tls),
                Err(failure) => failure.spoke(self.protocol),
            }
        };
        let found = tokio::select! {
            biased;
            () = wire.hears_something() => None,
            found = ask => found,
        };
        match found {
            None => Ok(()),
            Some(other @ Found::Other(_)) => Err(other.diagnose(peer, self.protocol)),
            Some(Found::Tls) => Err(Diagnosis::new(Reason::WrongTLSMode)
                .fact("found", "TLS")
                .fact("mode", "TLS")
                .detail(format!("{peer} does not greet, and answers a TLS hello"))),
        }
    }

    /// The step to TLS, [`Stage::ImplicitTls`], or [`Stage::Tls`] after the server agreed to it: runs it, and keeps what the
    /// server showed.
    pub(super) async fn protect<T>(
        &self,
        stage: Stage,
        stages: &mut Stages,
        report: &mut Report,
        step: impl Future<Output = (Option<Examination>, Result<T, Diagnosis>)>,
    ) -> Result<T, Diagnosis> {
        let mut examined = None;
        let wire = stages.run(stage, async {
            let (shown, result) = step.await;
            examined = shown;
            result
        });
        let wire = wire.await;
        if let Some(examined) = examined {
            report.tls_verified = examined.verified && wire.is_ok();
            if wire.is_ok() {
                stages.note(in_short(&examined.status, self.tls.skip_verify));
            }
            report.tls = Some(examined.status);
        }
        wire
    }

    /// Facts that hold for every failure on this endpoint; those that the failure knows itself stand.
    pub(super) fn with_facts(&self, failure: Diagnosis, timeout: Duration, login: Option<&Login>) -> Diagnosis {
        let mut failure = failure
            .fact("host", self.endpoint.host.as_str())
            .fact("port", self.endpoint.port.to_string())
            .fact("address", self.endpoint.to_string())
            .fact("security", self.endpoint.security.as_str())
            .fact("timeout", format!("{}s", timeout.as_secs_f64()))
            .fact("minVersion", self.tls.min_version.as_str())
            .fact("protocol", self.protocol.as_str());
        if let Some(login) = login {
            failure = failure
                .fact("user", login.credential.user())
                .fact("secret", login.secret.as_str())
                .fact("changed", login.changed.as_deref().unwrap_or_default());
        }
        match &self.tls.client {
            Some(client) if failure.reason == Reason::ClientCertificateRejected => {
                failure.fact("subject", client.subject.as_str())
            }
            _ => failure,
        }
    }
}

/// Whether a TLS hello may be tried at all where an endpoint does not greet (promise 12).
fn may_speak_first(endpoint: &Endpoint) -> bool {
    endpoint.security != Security::TLS && !NEVER_FIRST.contains(&endpoint.port)
}

fn in_short(status: &TlsStatus, skipped: bool) -> String {
    let version = status.version.as_deref().unwrap_or("TLS");
    let until = status.not_after.as_deref().unwrap_or("an unknown time");
    let judged = if skipped { ", not verified" } else { "" };
    format!("{version}, certificate until {until}{judged}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_hello_is_never_tried_on_ports_where_who_speaks_first_is_blocked() {
        let endpoint = |port, security| Endpoint { host: "mx.test".to_owned(), port, security };
        for security in [Security::None, Security::StartTLS] {
            for (port, may) in [(25, false), (587, false), (465, true), (2525, true), (1025, true)] {
                assert_eq!(may_speak_first(&endpoint(port, security)), may, "{port} {security:?}");
            }
        }
        assert!(!may_speak_first(&endpoint(465, Security::TLS)), "TLS is spoken there anyway");
    }
}
