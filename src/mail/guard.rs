//! Where mailverity may connect to: bounds that the installation sets, judged on the address that is really used.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    str::FromStr,
};

use ipnet::IpNet;

use super::Diagnosis;
use crate::api::Reason;

/// The ports of mail: 25, 465, 587, 2525 for SMTP; 110, 143, 993, 995 for mailboxes.
pub const MAIL_PORTS: [u16; 8] = [25, 465, 587, 2525, 110, 143, 993, 995];

/// A port, or a range of them: `25`, `2000-2999`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(RangeInclusive<u16>);

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self(port..=port)
    }
}

impl FromStr for Ports {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first > 0 && first <= last => Ok(Self(first..=last)),
            _ => Err("write a port between 1 and 65535, or a range such as 2000-2999"),
        }
    }
}

/// Networks and ports that bound mail connections.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    denied: Vec<IpNet>,
    ports: Option<Vec<Ports>>,
}

impl Guard {
    /// No bounds: for a person at a shell, who could connect without us just as well.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// Denies these networks, and all ports but these.
    #[must_use]
    pub fn new(denied: Vec<IpNet>, ports: impl IntoIterator<Item = impl Into<Ports>>) -> Self {
        Self { denied, ports: Some(ports.into_iter().map(Into::into).collect()) }
    }

    /// The same networks at any port: for what is not mail.
    #[must_use]
    pub fn at_any_port(&self) -> Self {
        Self { denied: self.denied.clone(), ports: None }
    }

    /// What no mail server has a reason to be at: loopback, unspecified, link-local and the cloud's metadata services.
    #[must_use]
    pub fn default_denied() -> Vec<IpNet> {
        let v4 = |a, b, c, d, prefix| ipnet::Ipv4Net::new(Ipv4Addr::new(a, b, c, d), prefix).map(IpNet::V4);
        let v6 = |address: Ipv6Addr, prefix| ipnet::Ipv6Net::new(address, prefix).map(IpNet::V6);
        [
            v4(0, 0, 0, 0, 8),
            v4(127, 0, 0, 0, 8),
            // Link-local, with 169.254.169.254, the metadata service of most clouds.
            v4(169, 254, 0, 0, 16),
            // Alibaba Cloud's metadata service.
            v4(100, 100, 100, 200, 32),
            v6(Ipv6Addr::UNSPECIFIED, 128),
            v6(Ipv6Addr::LOCALHOST, 128),
            v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
            // The metadata service of AWS over IPv6.
            v6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Judges one address and port.
    ///
    /// # Errors
    /// `DestinationDenied`.
    pub fn admit(&self, address: IpAddr, port: u16) -> Result<(), Diagnosis> {
        self.admit_port(port, &address.to_string())?;
        let address = normal(address);
        if self.denied.iter().any(|net| net.contains(&address)) {
            return Err(denied(&super::authority(&address.to_string(), port)));
        }
        Ok(())
    }

    /// Judges a name that only a proxy will resolve.
    ///
    /// # Errors
    /// `DestinationDenied`.
    pub fn admit_name(&self, host: &str, port: u16) -> Result<(), Diagnosis> {
        if let Ok(address) = bare(host).parse::<IpAddr>() {
            return self.admit(address, port);
        }
        self.admit_port(port, host)?;
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let local = host == "localhost" || host.ends_with(".localhost");
        let metadata = host == "metadata.google.internal" || host == "metadata";
        let loopback_denied = self.denied.iter().any(|net| net.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let metadata_denied = self.denied.iter().any(|net| net.contains(&IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254))));
        if (local && loopback_denied) || (metadata && metadata_denied) {
            return Err(denied(&super::authority(&host, port)));
        }
        Ok(())
    }

    fn admit_port(&self, port: u16, host: &str) -> Result<(), Diagnosis> {
        match &self.ports {
            Some(ports) if !ports.iter().any(|ports| ports.0.contains(&port)) => Err(denied(&super::authority(host, port))),
            _ => Ok(()),
        }
    }
}

fn denied(address: &str) -> Diagnosis {
    Diagnosis::new(Reason::DestinationDenied)
        .fact("address", address)
        .detail(format!("connections to {address} are forbidden by --deny-cidrs or --allowed-ports"))
}

/// A host without the brackets of an IPv6 literal.
#[must_use]
pub fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

/// The IPv4 address inside an IPv4-mapped (RFC 4291), IPv4-compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056) address,
/// else the address: all of them lead to the IPv4 host, so none passes where it does not.
#[must_use]
pub fn normal(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if v6.is_loopback() || v6.is_unspecified() {
        return address;
    }
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0 | 1, _, _, _, high, low] | [0x2002, high, low, ..] => {
            v4(high, low)
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(Guard::default_denied(), MAIL_PORTS)
    }

    #[test]
    fn loopback_link_local_and_metadata_are_denied_in_every_dress() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a9fe:a9fe",
            "2002:7f00:1::",
            "fd00:ec2::254",
        ] {
            let denied = guard().admit(address.parse().unwrap(), 25).unwrap_err();
            assert_eq!(denied.reason, Reason::DestinationDenied, "{address}");
        }
        for address in ["192.0.2.1", "2001:db8::1", "10.0.0.1", "::ffff:192.0.2.1"] {
            assert!(guard().admit(address.parse().unwrap(), 587).is_ok(), "{address}");
        }
    }

    #[test]
    fn other_ports_than_those_of_mail_are_denied() {
        for port in [22, 80, 443, 6443] {
            assert!(guard().admit("192.0.2.1".parse().unwrap(), port).is_err(), "{port}");
        }
    }

    #[test]
    fn ports_are_written_one_by_one_or_as_a_range() {
        let guard = Guard::new(Vec::new(), ["25", "2000-2999"].map(|ports| ports.parse::<Ports>().unwrap()));
        for (port, admitted) in [(25, true), (26, false), (2000, true), (2999, true), (3000, false)] {
            assert_eq!(guard.admit("192.0.2.1".parse().unwrap(), port).is_ok(), admitted, "{port}");
        }
        for bad in ["0", "", "70000", "9-8", "a-b", "-5"] {
            assert!(bad.parse::<Ports>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_for_a_proxy_is_judged_as_far_as_a_name_tells() {
        for name in ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "[::1]", "metadata.google.internal"] {
            assert!(guard().admit_name(name, 25).is_err(), "{name}");
        }
        assert!(guard().admit_name("smtp.example.com", 25).is_ok());
    }
}
