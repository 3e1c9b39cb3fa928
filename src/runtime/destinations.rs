//! The addresses that no manifest may make the operator speak to, unless its administrator says otherwise: its own host,
//! the link, cloud metadata and the API server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What is denied where `--deny-cidrs` is not given: loopback, unspecified and link-local addresses (RFC 6890) and
/// metadata services, 169.254.169.254 of most clouds being link-local, fd00:ec2::254 (AWS), 168.63.129.16 (Azure) and
/// 100.100.100.200 (Alibaba) not; and the API server at `api_server`.
#[must_use]
pub fn denied_by_default(api_server: impl IntoIterator<Item = IpAddr>) -> Vec<IpNet> {
    let net = |address: IpAddr, bits: u8| IpNet::new(address, bits).ok();
    let v4 = |a, b, c, d, bits| net(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits);
    let v6 = |address: Ipv6Addr, bits| net(IpAddr::V6(address), bits);
    let fixed = [
        v4(127, 0, 0, 0, 8),
        v4(0, 0, 0, 0, 8),
        v4(169, 254, 0, 0, 16),
        v4(168, 63, 129, 16, 32),
        v4(100, 100, 100, 200, 32),
        v6(Ipv6Addr::LOCALHOST, 128),
        v6(Ipv6Addr::UNSPECIFIED, 128),
        v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
        v6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
    ];
    fixed.into_iter().flatten().chain(api_server.into_iter().map(IpNet::from)).collect()
}

/// The API server's addresses as this process knows them: of the URL that the client uses, and of the Service in whose
/// cluster it runs (`service`, the variable `KUBERNETES_SERVICE_HOST`). A name that does not resolve gives none.
pub async fn api_server(url: &axum::http::Uri, service: Option<&str>) -> Vec<IpAddr> {
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

    #[test]
    fn the_own_host_the_link_metadata_services_and_the_api_server_are_denied() {
        let denied = denied_by_default(["10.96.0.1".parse().unwrap()]);
        for address in
            ["127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "168.63.129.16", "::1", "::", "fe80::1", "10.96.0.1"]
        {
            let address: IpAddr = address.parse().unwrap();
            assert!(denied.iter().any(|net| net.contains(&address)), "{address}");
        }
        for address in ["10.96.0.2", "192.0.2.1", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert!(!denied.iter().any(|net| net.contains(&address)), "{address}");
        }
    }

    #[tokio::test]
    async fn the_api_server_is_known_by_its_url_and_by_its_service() {
        let url = "https://[2001:db8::1]:6443".parse().unwrap();
        assert_eq!(
            api_server(&url, Some("10.96.0.1")).await,
            ["10.96.0.1".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]
        );
    }
}
