//! Which cluster, by whose rights: the flags that kubectl has too.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;
use hyper::Uri;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use mailverity::{cli::tokens::variable, mail::proxy::Direct};

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

    /// The flags of the cluster as they were given, each behind a blank, for a command line that a person is to run.
    pub fn cluster(&self) -> String {
        let kubeconfig = self.kubeconfig.as_ref().map(|file| file.display().to_string());
        let said = [("--context", self.context.clone()), ("--kubeconfig", kubeconfig)];
        said.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", word(&value?)))).collect()
    }

    /// A client, and the namespace that is meant. It goes by the proxy that the kubeconfig names, else by that of the environment, as
    /// kubectl does.
    pub async fn client(&self) -> Result<(Client, String), Error> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let mut config = match read {
            Ok(kubeconfig) => {
                let named = proxy(&kubeconfig, self.context.as_deref()).map(str::parse::<Uri>).transpose()?;
                let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
                config.proxy_url = named;
                config
            }
            Err(error) if self.kubeconfig.is_some() || self.context.is_some() => return Err(error.into()),
            // In a pod.
            Err(_) => Config::infer().await?,
        };
        if config.proxy_url.is_none() {
            let [proxy, direct] = ["HTTPS_PROXY", "NO_PROXY"].map(|name| variable(name).unwrap_or_default());
            config.proxy_url = of_environment(&config.cluster_url, &proxy, &direct)?;
        }
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok((Client::try_from(config)?, namespace))
    }
}

/// A text as one word of a shell.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The proxy that a kubeconfig names for the cluster of this context, or of its current one.
fn proxy<'a>(kubeconfig: &'a Kubeconfig, context: Option<&str>) -> Option<&'a str> {
    let name = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == name)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.as_deref().filter(|proxy| !proxy.is_empty())
}

/// The proxy of the environment for a server: none for this machine itself, nor for what `direct` names.
fn of_environment(server: &Uri, proxy: &str, direct: &str) -> Result<Option<Uri>, Error> {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if proxy.is_empty() || is_here {
        return Ok(None);
    }
    let url = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    // Its words would show a password.
    let found = url.parse().map_err(|_| "HTTPS_PROXY is no URL")?;
    Ok(Some(found).filter(|_| !Direct::new(direct).names(host)))
}

/// What went wrong, in the API server's own words where it has said something.
pub fn words(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_is_reached_as_kubectl_reaches_it() {
        for (server, proxy, direct, by) in [
            ("https://api.corp.test:6443", "http://proxy.test:3128", "", Some("http://proxy.test:3128/")),
            ("https://api.corp.test:6443", "proxy.test:3128", "other.test,10.0.0.0/8", Some("http://proxy.test:3128/")),
            ("https://api.corp.test:6443", "socks5://proxy.test:1080", "", Some("socks5://proxy.test:1080")),
            ("https://api.corp.test:6443", "", "", None),
            ("https://api.corp.test:6443", "http://proxy.test:3128", "other.test, .corp.test,", None),
            ("https://api.corp.test:6443", "http://proxy.test:3128", "*", None),
            ("https://10.1.2.3:6443", "http://proxy.test:3128", "10.0.0.0/8", None),
            ("https://127.0.0.1:6443", "http://proxy.test:3128", "", None),
            ("https://[::1]:6443", "http://proxy.test:3128", "", None),
            ("https://localhost:6443", "http://proxy.test:3128", "", None),
        ] {
            let found = of_environment(&server.parse().unwrap(), proxy, direct).unwrap();
            assert_eq!(found, by.map(|by| by.parse().unwrap()), "{server} {proxy} {direct}");
        }
        let error = of_environment(&"https://api.corp.test".parse().unwrap(), "http://me:hunter 2@proxy.test", "").unwrap_err();
        assert!(!error.to_string().contains("hunter"), "{error}");
    }

    #[test]
    fn a_command_that_a_person_is_to_run_names_the_cluster_that_was_named() {
        assert_eq!(Connect::to(Some("mail"), None, None).cluster(), "");
        let plain = Connect::to(None, Some("arn:aws:eks:eu:1:cluster/a"), Some("/home/me/.kube/config"));
        assert_eq!(plain.cluster(), " --context arn:aws:eks:eu:1:cluster/a --kubeconfig /home/me/.kube/config");
        assert_eq!(Connect::to(None, Some("it's a; b"), None).cluster(), r" --context 'it'\''s a; b'");
    }

    #[test]
    fn a_kubeconfigs_own_proxy_is_that_of_the_contexts_cluster() {
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- {name: a, context: {cluster: one}}\n- {name: b, context: \
                    {cluster: two}}\nclusters:\n- {name: one, cluster: {server: 'https://a.test'}}\n- {name: two, cluster: {server: \
                    'https://b.test', proxy-url: 'http://p.test'}}\n";
        let kubeconfig = Kubeconfig::from_yaml(text).unwrap();
        assert_eq!(proxy(&kubeconfig, None), None);
        assert_eq!(proxy(&kubeconfig, Some("b")), Some("http://p.test"));
        assert_eq!(proxy(&kubeconfig, Some("c")), None);
    }
}
