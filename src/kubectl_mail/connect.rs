//! Which cluster, by whose rights: the flags that kubectl has too.

use std::path::PathBuf;

use clap::Args;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::Error;

/// Where the objects are.
#[derive(Args, Debug)]
pub struct Connect {
    /// The namespace; the context's if absent.
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The context of the kubeconfig; the current one if absent.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig; $KUBECONFIG or ~/.kube/config if absent.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl Connect {
    /// What was said of them elsewhere than on our own command line.
    pub fn to(namespace: Option<&str>, context: Option<&str>, kubeconfig: Option<&str>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self { namespace: owned(namespace), context: owned(context), kubeconfig: kubeconfig.map(PathBuf::from) }
    }

    /// The namespace, where one was named.
    pub fn named(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// A client, and the namespace that is meant.
    pub async fn client(&self) -> Result<(Client, String), Error> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match &self.kubeconfig {
            Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
            None if self.context.is_some() => Config::from_kubeconfig(&options).await?,
            None => Config::infer().await?,
        };
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok((Client::try_from(config)?, namespace))
    }
}

/// What went wrong, in the API server's own words where it has said something.
pub fn words(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => error.to_string(),
    }
}
