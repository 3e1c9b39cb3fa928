//! `mailverity operator`: looks after the objects of a cluster until it is told to end. Several may run; one leads, the
//! others wait. It asks for nothing but what `deploy/operator/` grants.

mod turns;

use std::{net::SocketAddr, path::Path, str::FromStr, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use super::reach::{Reach, TokenReach};
use crate::{
    api::v1alpha1::{DEFAULT_ACTOR, NotASpan, Span},
    controllers::{Memory, Settings},
    mail::{guard::Guard, proxy::NotAProxy},
    metrics::Metrics,
    runtime::{
        self,
        lease::Pace,
        secrets::Access,
        stop::{Stop, Stopper},
    },
    server::{self, Health},
    telemetry,
    verify::mail_server::Mode,
};

/// Run in a cluster: check every MailServer, on a schedule and after each change.
#[derive(Args, Clone, Debug)]
pub struct Operator {
    /// Look after these namespaces only; every namespace if absent.
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// The operator's own namespace, where its Lease, its key and the pause ConfigMap are; that of its pod if absent, else
    /// mailverity-system.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    #[expect(clippy::struct_field_names, reason = "the flag is --operator-namespace")]
    operator_namespace: Option<String>,
    /// The namespace of the receivers (`mailverity receiver`), where they put what they took; '' where there are none.
    #[arg(long, default_value = "mailverity-receiver", value_name = "NAMESPACE")]
    receiver_namespace: String,
    /// The name of the installation: of its Lease, and in a header of each mail.
    #[arg(long, default_value = "mailverity")]
    name: String,
    /// How a changed Secret is noticed: Watch (within 5 s) or Get (within 70 s, without the right to list Secrets).
    #[arg(long, value_enum, default_value_t = Access::Watch)]
    secrets_access: Access,
    /// Use no Secret whose annotation mailverity.dev/allowed-hosts does not name the server.
    #[arg(long)]
    require_allowed_hosts: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    token_reach: TokenReach,
    /// Keep refresh tokens (OAuth2) in Secrets of the operator's own, beside the objects that use them: grant DeviceCode needs it,
    /// and RefreshToken where the provider gives a new one each time. Needs the rights to create and update Secrets.
    #[arg(long)]
    token_secrets: bool,
    /// Let the ServiceAccounts of this name vouch for the objects of their namespaces at providers of access tokens
    /// (workloadIdentity), so that no secret need exist there; '' lets none. Needs the right to make tokens of that name.
    #[arg(long, default_value = "", value_name = "NAME")]
    federated_service_account: String,
    /// Enforce: do what specs ask for. Observe: connect and log in, and send nothing.
    #[arg(long, value_enum, default_value_t = Behaviour::Enforce)]
    mode: Behaviour,
    /// Whom readers of a test mail may ask: an address or a URL, for the mail's text.
    #[arg(long)]
    contact: Option<String>,
    /// Checks at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    max_checks: u16,
    /// Checks at the same time to one host.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    max_checks_per_host: u16,
    /// More never-checked objects than this at once, as in a rebuilt cluster, send their test mails spread over their
    /// interval; 0: never spread.
    #[arg(long, default_value_t = 20)]
    max_new_at_once: usize,
    /// Mails that the installation sends in an hour, at most.
    #[arg(long, default_value_t = 200)]
    max_messages_per_hour: u32,
    /// Mails that one recipient gets in an hour, at most.
    #[arg(long, default_value_t = 12)]
    max_messages_per_recipient_per_hour: u32,
    /// The kinds that a RoundTripPolicy's targetRef may name, as APIVERSION/KIND with commas between; '' for none. Each needs the
    /// right to get it.
    #[arg(
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        default_value = "v1/Service,apps/v1/Deployment,apps/v1/StatefulSet"
    )]
    target_kinds: Vec<String>,
    /// How long the leader's Lease holds, which is how long nobody leads after a leader was killed: from 3s to 60s.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = lease_duration)]
    lease_duration: Duration,
    /// Where /metrics, /livez and /readyz answer; `off`: nowhere.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    metrics_address: Listen,
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t = telemetry::Format::Text)]
    log_format: telemetry::Format,
    /// What is logged: error, warn, info, debug or trace. RUST_LOG in the environment overrides it.
    #[arg(long, default_value = "info")]
    log_level: String,
    #[command(flatten)]
    tracing: telemetry::Tracing,
}

/// [`Mode`], as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Behaviour {
    #[value(name = "Enforce")]
    Enforce,
    #[value(name = "Observe")]
    Observe,
}

/// Why the operator could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Logs cannot be written.
    #[error(transparent)]
    Logs(#[from] telemetry::NoLogs),
    /// There is no kubeconfig, and no service account of a pod.
    #[error("no cluster is configured: {0}")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// The cluster's configuration cannot be used.
    #[error("the cluster's configuration cannot be used: {0}")]
    Client(#[from] kube::Error),
    /// The metrics address cannot be listened on.
    #[error("--metrics-address {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A receiver cannot listen where it should.
    #[error("{0}")]
    Receiver(String),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    /// A kind of targets cannot be read.
    #[error("--target-kinds {0}: {1}")]
    TargetKinds(String, &'static str),
    /// The egress proxy cannot be read. Its text is not shown: it may hold a password.
    #[error("--egress-proxy: {0}")]
    Proxy(#[from] NotAProxy),
    /// Access tokens cannot be asked for as it was said.
    #[error("{0}")]
    Tokens(String),
}

impl Operator {
    /// Runs until SIGTERM or SIGINT, then ends within 10 s. An API server that is away is waited for, however long.
    ///
    /// # Errors
    /// [`Error`], where it cannot begin.
    pub async fn run(self) -> Result<(), Error> {
        let traces = telemetry::traced(self.log_format, &self.log_level, &self.tracing, "operator")?;
        let (stopper, stop) = Stop::new();
        on_signal(stopper)?;
        let config = runtime::config::cluster().await?;
        let guard = self.reach.guard(&config).await;
        let client = Client::try_from(config)?;
        let (health, metrics) = (Health::default(), Metrics::default());
        // Told from the beginning: a replica that never gets to the election is one that does not lead.
        metrics.leads(&self.name, false);
        if let Listen::On(address) = self.metrics_address {
            let bound = server::listen(address, health.clone(), metrics.clone(), stop.clone()).await;
            let bound = bound.map_err(|source| Error::Listen { address, source })?;
            tracing::info!(address = %bound, "metrics and probes");
        }
        let settings = Arc::new(self.settings(guard)?);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            installation = settings.installation,
            namespace = settings.namespace,
            mode = ?settings.mode,
            secrets = ?settings.access,
            "mailverity operator"
        );
        let memory = Memory::new(self.max_messages_per_recipient_per_hour, self.max_messages_per_hour);
        let work = turns::lead_in_turn(client, settings, metrics, health.clone(), memory, stop);
        tokio::select! {
            () = work => {}
            () = heart(&health) => {}
        }
        if let Some(traces) = traces {
            traces.end().await;
        }
        tracing::info!("ended");
        Ok(())
    }

    fn settings(&self, guard: Guard) -> Result<Settings, Error> {
        let vantage = self.reach.vantage(DEFAULT_ACTOR, guard)?;
        Ok(Settings {
            https: self.token_reach.https(vantage.clone()).map_err(Error::Tokens)?,
            installation: self.name.clone(),
            namespace: self.operator_namespace.clone().filter(|given| !given.is_empty()).unwrap_or_else(own_namespace),
            receiver_namespace: self.receiver_namespace.clone(),
            namespaces: self.namespaces.iter().filter(|namespace| !namespace.is_empty()).cloned().collect(),
            access: self.secrets_access,
            require_allowed_hosts: self.require_allowed_hosts,
            token_secrets: self.token_secrets,
            federated_account: Some(self.federated_service_account.clone()).filter(|name| !name.is_empty()),
            mode: match self.mode {
                Behaviour::Enforce => Mode::Enforce,
                Behaviour::Observe => Mode::Observe,
            },
            contact: self.contact.clone(),
            vantage,
            max_checks: self.max_checks.into(),
            max_checks_per_host: self.max_checks_per_host.into(),
            max_new_at_once: self.max_new_at_once,
            target_kinds: self
                .target_kinds
                .iter()
                .filter(|kind| !kind.is_empty())
                .map(|kind| kind.parse().map_err(|fault| Error::TargetKinds(kind.clone(), fault)))
                .collect::<Result<_, _>>()?,
            identity: own_name(),
            pace: Pace { duration: self.lease_duration },
        })
    }
}

/// Shows that the main task is at work: it runs in that task, between everything else.
pub(super) async fn heart(health: &Health) {
    loop {
        health.beat();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

pub(super) fn on_signal(stopper: Stopper) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to end");
        stopper.stop();
        // Kept, as dropping it says stop as well; the process ends before this does.
        std::future::pending::<()>().await;
    });
    Ok(())
}

/// The namespace of the pod that this runs in.
fn own_namespace() -> String {
    let mounted = Path::new("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
    let read = std::fs::read_to_string(mounted).ok().map(|text| text.trim().to_owned());
    read.filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "mailverity-system".to_owned())
}

/// The pod, or the host, that this runs on.
pub(super) fn own_name() -> String {
    let given = ["POD_NAME", "HOSTNAME"].into_iter().filter_map(|variable| std::env::var(variable).ok());
    let host = std::fs::read_to_string("/etc/hostname").ok().map(|text| text.trim().to_owned());
    given.chain(host).find(|name| !name.is_empty()).unwrap_or_else(|| "mailverity".to_owned())
}

/// How long a Lease may hold: shorter, and a slow answer of the API server ends a term; longer, and nobody leads for minutes.
fn lease_duration(written: &str) -> Result<Duration, String> {
    let span: Span = written.parse().map_err(|error: NotASpan| error.to_string())?;
    let bounds = Duration::from_secs(3)..=Duration::from_mins(1);
    if bounds.contains(&span.get()) { Ok(span.get()) } else { Err("it must be from 3s to 60s".to_owned()) }
}

/// Where to listen, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listen {
    Off,
    On(SocketAddr),
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" | "" | "0" => Ok(Self::Off),
            text => text.parse().map(Self::On).map_err(|_| "write address:port, such as 0.0.0.0:8080, or off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        operator: Operator,
    }

    fn parse(args: &[&str]) -> Result<Operator, String> {
        let args = std::iter::once("operator").chain(args.iter().copied());
        Alone::try_parse_from(args).map(|alone| alone.operator).map_err(|error| error.to_string())
    }

    #[test]
    fn metrics_can_be_turned_off() {
        assert_eq!(parse(&["--metrics-address", "off"]).unwrap().metrics_address, Listen::Off);
        assert_eq!(parse(&[]).unwrap().metrics_address, Listen::On("0.0.0.0:8080".parse().unwrap()));
    }

    #[test]
    fn a_proxys_password_is_not_shown_where_the_proxy_cannot_be_read() {
        let operator = parse(&["--egress-proxy", "ftp://me:hunter2@proxy"]).unwrap();
        assert!(!format!("{operator:?}").contains("hunter2"));
        let error = operator.settings(Guard::open()).err().unwrap().to_string();
        assert!(error.starts_with("--egress-proxy") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn no_check_at_all_is_no_setting() {
        assert!(parse(&["--max-checks", "0"]).is_err());
    }
}
