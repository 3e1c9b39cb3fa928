//! Where the API server is: an address that no manifest may make the operator speak to, unless its administrator says
//! otherwise. The other denied networks are in [`crate::mail::guard`].

use std::net::IpAddr;

/// The API server's addresses as this process knows them: of the URL that the client uses, and of the Service in whose
/// cluster it runs (`service`, the variable `KUBERNETES_SERVICE_HOST`). A name that does not resolve gives none.
pub async fn api_server(url: &hyper::Uri, service: Option<&str>) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for host in url.host().into_iter().chain(service) {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse() {
            Ok(address) => found.push(address),
            Err(_) => match tokio::net::lookup_host((host, 443)).await {
                Ok(addresses) => found.extend(addresses.map(|address| address.ip())),
                Err(error) => tracing::warn!(host, %error, "the API server's name does not resolve; its address is not denied"),
            },
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_api_server_is_known_by_its_url_and_by_its_service() {
        let url = "https://[2001:db8::1]:6443".parse().unwrap();
        assert_eq!(
            api_server(&url, Some("10.96.0.1")).await,
            ["10.96.0.1".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]
        );
    }
}
