//! How the API server is reached.

use hyper::Uri;
use kube::{Config, config::InferConfigError};

/// The cluster that this process works with: by its kubeconfig, or by the service account of its pod. A proxy in `HTTPS_PROXY` is
/// for providers of access tokens: to the API server a pod goes directly, and so does whoever has a kubeconfig, unless that names a
/// proxy itself.
///
/// # Errors
/// That there is neither.
pub async fn cluster() -> Result<Config, InferConfigError> {
    let mut config = Config::infer().await?;
    let of_environment =
        ["HTTPS_PROXY", "https_proxy"].into_iter().filter_map(|name| std::env::var(name).ok()?.parse::<Uri>().ok());
    if of_environment.map(Some).any(|proxy| proxy == config.proxy_url) {
        config.proxy_url = None;
    }
    Ok(config)
}
