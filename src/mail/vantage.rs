//! Where a check stands: how it resolves names, what it may connect to, and by which way.

use std::{io, net::IpAddr};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{Diagnosis, authority, dns::Resolver, guard::Guard, proxy::Proxy, tcp::Tcp};
use crate::api::Reason;

/// A place from which servers are checked.
#[derive(Clone)]
pub struct Vantage {
    /// Its name: the Actor's.
    pub actor: String,
    /// How names are resolved.
    pub resolver: Resolver,
    /// What may be connected to.
    pub guard: Guard,
    /// The proxy that connections go through, if there is one.
    pub proxy: Option<Proxy>,
}

impl Vantage {
    /// The addresses of a host; none behind a proxy, which resolves for itself.
    ///
    /// # Errors
    /// As [`Resolver::addresses`].
    pub async fn resolve(&self, host: &str, deadline: Instant) -> Result<Vec<IpAddr>, Diagnosis> {
        self.resolver.addresses(host, deadline).await.map_err(|diagnosis| diagnosis.fact("actor", self.actor.as_str()))
    }

    /// Connects to the first address that answers; each gets its share of the time.
    ///
    /// # Errors
    /// `DestinationDenied` where no address may be connected to, else what the most telling address said, with all of
    /// them in the message.
    pub async fn connect(&self, addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<Tcp, Diagnosis> {
        let mut denied = None;
        let mut admitted = Vec::new();
        for address in addresses {
            match self.guard.admit(*address, port) {
                Ok(()) => admitted.push(*address),
                Err(diagnosis) => denied = Some(diagnosis),
            }
        }
        let mut failures: Vec<Diagnosis> = Vec::new();
        for (tried, address) in admitted.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(admitted.len() - tried).unwrap_or(1);
            match connect((*address, port).into(), Instant::now() + share).await {
                Ok(stream) => return Ok(stream),
                Err(diagnosis) => failures.push(diagnosis),
            }
        }
        // Name servers turn their answers around: the message must be the same whichever came first.
        failures.sort_by_cached_key(Diagnosis::said);
        let all = failures.iter().map(Diagnosis::said).collect::<Vec<_>>().join("; ");
        let telling = failures.into_iter().min_by_key(|diagnosis| match diagnosis.reason {
            Reason::ConnectionRefused => 0,
            Reason::ConnectionReset => 1,
            Reason::ConnectionTimedOut => 2,
            _ => 3,
        });
        Err(match telling {
            Some(diagnosis) => diagnosis.detail(all),
            None => denied.unwrap_or_else(|| Diagnosis::new(Reason::DNSNoAddress)),
        })
    }

    /// Connects to `host:port` through the proxy.
    ///
    /// # Errors
    /// `DestinationDenied` by the name, `ProxyFailed`.
    pub async fn connect_by(&self, proxy: &Proxy, host: &str, port: u16, deadline: Instant) -> Result<Tcp, Diagnosis> {
        self.guard.admit_name(host, port)?;
        let place = authority(host, port);
        let opened = async {
            let at = (proxy.host.as_str(), proxy.port);
            let mut stream = TcpStream::connect(at).await.map_err(|error| proxy.failed(&place, words(&error)))?;
            proxy.open(&mut stream, host, port).await?;
            Tcp::new(stream).map_err(|error| proxy.failed(&place, error.to_string()))
        };
        timeout_at(deadline, opened).await.unwrap_or_else(|_| Err(proxy.failed(&place, "no answer in time")))
    }
}

/// Connects to one address.
///
/// # Errors
/// `ConnectionRefused`, `ConnectionTimedOut`, `ConnectionReset`, `NetworkUnreachable`.
pub async fn connect(address: std::net::SocketAddr, deadline: Instant) -> Result<Tcp, Diagnosis> {
    match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Tcp::new(stream).map_err(|error| refused(address, &error)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Err(timed_out(address)),
        Ok(Err(error)) => Err(refused(address, &error)),
        Err(_) => Err(timed_out(address)),
    }
}

fn timed_out(address: std::net::SocketAddr) -> Diagnosis {
    let diagnosis = Diagnosis::new(Reason::ConnectionTimedOut)
        .fact("address", address.to_string())
        .detail(format!("no answer from {address} in time"));
    if address.port() == 25 {
        return diagnosis.fact("port25", "most clouds block port 25, use 587 or 465");
    }
    diagnosis
}

fn refused(address: std::net::SocketAddr, error: &io::Error) -> Diagnosis {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectionRefused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::NotConnected => {
            Reason::ConnectionReset
        }
        _ => Reason::NetworkUnreachable,
    };
    Diagnosis::new(reason).fact("address", address.to_string()).detail(format!("{address}: {}", words(error)))
}

/// What the system says, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
