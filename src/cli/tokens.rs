//! How access tokens are asked for: what the operator's flags, a shell's flags and the environment say of it.

use std::{fs, path::Path};

use crate::mail::{
    Vantage,
    https::{Hosts, Https},
    proxy::Proxy,
    tls::certificates,
};

/// Requests from a vantage to these hosts. Where it has no egress proxy: by `HTTPS_PROXY`, except to `NO_PROXY`.
///
/// # Errors
/// A proxy or a file that cannot be used, in words that show no password.
pub fn https(vantage: Vantage, hosts: Hosts, ca_file: Option<&Path>) -> Result<Https, String> {
    let proxy = variable("HTTPS_PROXY").map(|url| url.parse::<Proxy>());
    let proxy = proxy.transpose().map_err(|error| format!("HTTPS_PROXY: {error}"))?;
    let mut added = Vec::new();
    if let Some(file) = ca_file {
        let about = |fault: String| format!("--token-ca-file {}: {fault}", file.display());
        let pem = fs::read(file).map_err(|error| about(error.to_string()))?;
        added = certificates(&pem).map_err(about)?;
        if added.is_empty() {
            return Err(about("it holds no PEM certificate".to_owned()));
        }
    }
    Ok(Https::new(vantage, &added, hosts).or_by(proxy, &variable("NO_PROXY").unwrap_or_default()))
}

/// A variable of the environment, in capitals or else in small letters, as both are in use; none where it is empty.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    read(name).or_else(|| read(&name.to_ascii_lowercase()))
}
