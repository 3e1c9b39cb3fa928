//! `mailverity receiver` in a cluster: takes mail for its `MailReceivers`.

use std::sync::Arc;

use clap::Args;
use kube::Client;

use super::Receiver;
use crate::{
    cli::{
        Exit,
        operator::{Error, Listen, heart, on_signal, own_name},
    },
    metrics::Metrics,
    receiver::{Consumer, Counters, Rules},
    reception::{self, Answers, Settings},
    runtime::{self, stop::Stop},
    server::{self, Health},
    telemetry,
};

/// What is said of the cluster.
#[derive(Args, Clone, Debug)]
pub(super) struct Flags {
    /// Work for the MailReceivers and RoundTripPolicies of these namespaces only; of every namespace if absent.
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE", conflicts_with = "domains")]
    namespaces: Vec<String>,
    /// The receivers' own namespace, where certificates are read and replies are put; that of the pod or of the kubeconfig if
    /// absent.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    receiver_namespace: Option<String>,
    /// The operator's namespace, whose ConfigMap mailverity-pause is heeded.
    #[arg(long, default_value = "mailverity-system", value_name = "NAMESPACE", conflicts_with = "domains")]
    operator_namespace: String,
    /// Where /metrics, /livez and /readyz answer, such as 127.0.0.1:8080; `off`: nowhere.
    #[arg(long, default_value = "off", value_name = "ADDRESS", conflicts_with = "domains")]
    metrics_address: Listen,
}

impl Receiver {
    /// Runs until SIGTERM or SIGINT. An API server that is away is waited for, however long: meanwhile mail that needs it is
    /// answered 451.
    ///
    /// # Errors
    /// [`Error`], where it cannot begin.
    pub(in crate::cli) async fn serve(self) -> Result<Exit, Error> {
        telemetry::init(self.log_format, self.log_level.as_deref().unwrap_or("info"))?;
        let (stopper, stop) = Stop::new();
        on_signal(stopper)?;
        let config = runtime::config::cluster()
            .await
            .map_err(|error| Error::Receiver(format!("no cluster is configured: {error}; with --domain none is needed")))?;
        let flags = &self.cluster;
        let given = flags.receiver_namespace.clone().filter(|given| !given.is_empty());
        let settings = Settings {
            namespaces: flags.namespaces.iter().filter(|namespace| !namespace.is_empty()).cloned().collect(),
            namespace: given.unwrap_or_else(|| config.default_namespace.clone()),
            operator_namespace: flags.operator_namespace.clone(),
            pod: own_name().chars().take(253).collect(),
            pod_uid: std::env::var("POD_UID").ok().filter(|uid| !uid.is_empty()),
            hostname: self.hostname.clone(),
            grace: self.grace.get(),
        };
        let client = Client::try_from(config)?;
        let (health, counters) = (Health::default(), Counters::default());
        if let Listen::On(address) = flags.metrics_address {
            let bound = server::listen(address, health.clone(), Metrics::of_receiver(&counters), stop.clone()).await;
            let bound = bound.map_err(|source| Error::Listen { address, source })?;
            tracing::info!(address = %bound, "metrics and probes");
        }
        let answers = Arc::new(Answers::new(client.clone(), &settings.namespace, settings.namespaces.clone()));
        let hostname = settings.hostname.as_ref().unwrap_or(&settings.pod);
        // Until it is known whom mail is taken for, all of it has to wait.
        let nobody = Rules::new(hostname, Vec::new());
        let running = self.listeners(&nobody, &(Arc::<Answers>::clone(&answers) as Arc<dyn Consumer>), &counters).await;
        let running = running.map_err(|error| Error::Receiver(error.to_string()))?;
        for listener in &running {
            tracing::info!(address = %listener.address, "listens");
        }
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            pod = settings.pod,
            namespace = settings.namespace,
            "mailverity receiver"
        );
        tokio::select! {
            () = reception::run(client, settings, running, answers, health.clone(), stop) => {}
            () = heart(&health) => {}
        }
        tracing::info!("ended");
        Ok(Exit::Good)
    }
}
