//! From a host's name to its addresses, A and AAAA, with what the name server answered when there are none.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{RData, Record},
    },
};
use tokio::time::{Instant, timeout_at};

use super::{Diagnosis, domain::canonical, guard::bare};
use crate::api::Reason;

/// The most addresses of one name that are tried.
pub const ADDRESSES: usize = 16;

/// The most MX records of one domain that are read.
pub const EXCHANGES: usize = 16;

/// An MX record (RFC 5321 section 5.1). The most preferred come first where they are sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    /// The lower, the more preferred.
    pub preference: u16,
    /// The server's name in lower case, without a dot at its end; empty where mail is not wanted at all (RFC 7505).
    pub name: String,
}

impl std::fmt::Display for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.preference, if self.name.is_empty() { "." } else { &self.name })
    }
}

/// Without a time: a message must not change from check to check.
const NO_ANSWER: &str = "no answer from the name server in time";

/// Resolves names by the machine's own rules (hosts file, search list), or by name servers that were named.
#[derive(Clone)]
pub struct Resolver {
    inner: Result<TokioResolver, String>,
}

impl Resolver {
    /// A resolver over the system's name servers, or over these.
    #[must_use]
    pub fn new(name_servers: &[SocketAddr]) -> Self {
        let builder = if name_servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = name_servers.iter().map(|server| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = server.port();
                }
                NameServerConfig::new(server.ip(), true, connections)
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        };
        let inner = builder.and_then(|mut builder| {
            tune(builder.options_mut());
            builder.build()
        });
        Self { inner: inner.map_err(|error| error.to_string()) }
    }

    /// The addresses of a host, A before AAAA, at most [`ADDRESSES`]; an IP address is its own.
    ///
    /// # Errors
    /// `DNSLookupFailed` with the name server's answer, `DNSNoAddress` where the name has neither A nor AAAA.
    pub async fn addresses(&self, host: &str, deadline: Instant) -> Result<Vec<IpAddr>, Diagnosis> {
        if let Ok(address) = bare(host).parse() {
            return Ok(vec![address]);
        }
        let failed = |rcode: String| {
            Diagnosis::new(Reason::DNSLookupFailed).fact("host", host).detail(format!("{host}: {rcode}")).fact("rcode", rcode)
        };
        let resolver = self.inner.as_ref().map_err(|error| failed(format!("no name server is known ({error})")))?;
        let found = match timeout_at(deadline, resolver.lookup_ip(host)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(explain(host, &error, failed)),
            Err(_) => return Err(failed(NO_ANSWER.to_owned())),
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.iter() {
            if !addresses.contains(&address) && addresses.len() < ADDRESSES {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(no_address(host)) } else { Ok(addresses) }
    }

    /// The MX records of a domain, sorted, at most [`EXCHANGES`]; none where it has none, or does not exist.
    ///
    /// # Errors
    /// `DNSLookupFailed` with the name server's answer.
    pub async fn exchanges(&self, domain: &str, deadline: Instant) -> Result<Vec<Exchange>, Diagnosis> {
        let failed = |rcode: String| {
            Diagnosis::new(Reason::DNSLookupFailed)
                .fact("host", domain)
                .detail(format!("MX of {domain}: {rcode}"))
                .fact("rcode", rcode)
        };
        let resolver = self.inner.as_ref().map_err(|error| failed(format!("no name server is known ({error})")))?;
        // With a dot at its end, or the machine's search list would be tried as well.
        let found = match timeout_at(deadline, resolver.mx_lookup(format!("{}.", canonical(domain)))).await {
            Ok(Ok(found)) => found,
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none))))
                if [ResponseCode::NoError, ResponseCode::NXDomain].contains(&none.response_code) =>
            {
                return Ok(Vec::new());
            }
            Ok(Err(error)) => return Err(explain(domain, &error, failed)),
            Err(_) => return Err(failed(NO_ANSWER.to_owned())),
        };
        let mut exchanges: Vec<Exchange> = found.answers().iter().filter_map(exchange).collect();
        exchanges.sort();
        exchanges.truncate(EXCHANGES);
        Ok(exchanges)
    }
}

fn exchange(record: &Record) -> Option<Exchange> {
    let RData::MX(mx) = &record.data else { return None };
    let name = mx.exchange.to_ascii();
    Some(Exchange { preference: mx.preference, name: canonical(&name).into_owned() })
}

fn tune(options: &mut ResolverOpts) {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // A check asks what holds now: a name that was mended a second ago must not fail for the rest of its negative TTL.
    options.cache_size = 0;
    options.timeout = Duration::from_secs(4);
    options.attempts = 2;
}

fn explain(host: &str, error: &NetError, failed: impl Fn(String) -> Diagnosis) -> Diagnosis {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError => no_address(host),
        NetError::Dns(DnsError::NoRecordsFound(none)) => failed(rcode(none.response_code)),
        NetError::Dns(DnsError::ResponseCode(code)) => failed(rcode(*code)),
        NetError::Timeout => failed(NO_ANSWER.to_owned()),
        NetError::NoConnections => failed("no name server could be reached".to_owned()),
        NetError::Proto(error) => failed(format!("{host:?} is no name that DNS knows ({error})")),
        other => failed(other.to_string()),
    }
}

/// The code as name servers' documentation writes it (RFC 1035 section 4.1.1).
fn rcode(code: ResponseCode) -> String {
    match code {
        ResponseCode::NXDomain => "NXDOMAIN, there is no such name".to_owned(),
        ResponseCode::ServFail => "SERVFAIL, the name server could not find out".to_owned(),
        ResponseCode::Refused => "REFUSED, the name server does not answer us".to_owned(),
        other => other.to_str().to_owned(),
    }
}

fn no_address(host: &str) -> Diagnosis {
    Diagnosis::new(Reason::DNSNoAddress).fact("host", host).detail(format!("{host} has no A and no AAAA record"))
}
