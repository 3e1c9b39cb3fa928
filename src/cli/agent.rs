//! `mailverity agent`: looks at mailboxes from where it runs, as the operator asks, until it is told to end. It asks for
//! nothing but what `deploy/agent/` grants, and needs no port.

use clap::Args;
use kube::Client;
use uuid::Uuid;

use super::{
    operator::{Error, Listen, heart, on_signal, own_name},
    reach::Reach,
};
use crate::{
    agent::{self, Settings},
    metrics::Metrics,
    runtime::{self, stop::Stop},
    server::{self, Health},
    telemetry,
};

/// Run elsewhere, as an Actor: do the tasks that the operator puts into this actor's namespace.
#[derive(Args, Clone, Debug)]
pub struct Agent {
    /// The Actor that this is.
    #[arg(long, value_name = "NAME")]
    actor: String,
    /// The Actor's taskNamespace; that of the pod or of the kubeconfig if absent.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    reach: Reach,
    /// Where /livez and /readyz answer, such as 127.0.0.1:8080; `off`: nowhere.
    #[arg(long, default_value = "off", value_name = "ADDRESS")]
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

impl Agent {
    /// Runs until SIGTERM or SIGINT, then ends within 10 s. An API server that is away is waited for, however long.
    ///
    /// # Errors
    /// [`Error`], where it cannot begin.
    pub async fn run(self) -> Result<(), Error> {
        let traces = telemetry::traced(self.log_format, &self.log_level, &self.tracing, "agent")?;
        let (stopper, stop) = Stop::new();
        on_signal(stopper)?;
        let config = runtime::config::cluster().await?;
        let namespace = self.namespace.filter(|given| !given.is_empty()).unwrap_or_else(|| config.default_namespace.clone());
        let vantage = self.reach.vantage(&self.actor, self.reach.guard(&config).await)?;
        let client = Client::try_from(config)?;
        let (health, metrics) = (Health::default(), Metrics::default());
        if let Listen::On(address) = self.metrics_address {
            let bound = server::listen(address, health.clone(), metrics, stop.clone()).await;
            let bound = bound.map_err(|source| Error::Listen { address, source })?;
            tracing::info!(address = %bound, "metrics and probes");
        }
        let host: String = own_name().chars().take(200).collect();
        let node = std::env::var("NODE_NAME").ok().filter(|node| !node.is_empty());
        // Another in each process: a claim of an earlier one is never taken for one's own.
        let identity = format!("{host}_{}", Uuid::new_v4());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), actor = self.actor, namespace, identity, "mailverity agent");
        let settings = Settings { actor: self.actor, namespace, identity, host, node, vantage };
        tokio::select! {
            () = agent::run(client, settings, &health, stop) => {}
            () = heart(&health) => {}
        }
        if let Some(traces) = traces {
            traces.end().await;
        }
        tracing::info!("ended");
        Ok(())
    }
}
