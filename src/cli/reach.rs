//! From where and to where mail connections go: the flags that the operator and its agents share.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use clap::{
    Args,
    builder::{StringValueParser, TypedValueParser},
};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use super::tokens;
use crate::{
    mail::{
        Vantage,
        dns::Resolver,
        guard::{Guard, MAIL_PORTS, Ports},
        https::{Host, Hosts, Https},
        proxy::{NotAProxy, Proxy},
    },
    runtime::destinations,
};

/// Where mail connections may go, and by which way.
#[derive(Args, Clone, Debug)]
pub(super) struct Reach {
    /// Networks that mail connections may not go to, with commas between; '' denies none. If absent: loopback,
    /// unspecified, link-local and metadata addresses, and the API server.
    #[arg(long, value_name = "CIDRS")]
    deny_cidrs: Option<List<IpNet>>,
    /// Ports that mail connections may go to, such as 25,587 or 1-65535; those of mail if absent: 25, 465, 587, 2525, 110,
    /// 143, 993, 995.
    #[arg(long, value_name = "PORTS")]
    allowed_ports: Option<List<Ports>>,
    /// Name servers to ask instead of those in /etc/resolv.conf, as address or address:port, with commas between.
    #[arg(long, value_name = "ADDRESSES")]
    nameservers: Option<List<NameServer>>,
    /// A proxy for mail connections: socks5://host:port or http://host:port. A proxy with a password goes into the
    /// environment, as a process list shows what a command line holds.
    #[arg(long, env = "MAILVERITY_EGRESS_PROXY", hide_env_values = true, value_parser = hidden(), value_name = "URL")]
    egress_proxy: Option<SecretString>,
}

/// Where access tokens may be asked for.
#[derive(Args, Clone, Debug)]
pub(super) struct TokenReach {
    /// Hosts that access tokens may be asked of, or shown to over HTTPS, beside those of Microsoft and Google, as host or host:port, with
    /// commas between; the port is 443 if none is given. Networks that --deny-cidrs names stay denied.
    #[arg(long, value_name = "HOSTS")]
    allowed_token_hosts: Option<List<Host>>,
    /// CA certificates that are trusted beside the public roots where access tokens are asked for, or shown over HTTPS, in PEM.
    #[arg(long, value_name = "FILE")]
    token_ca_file: Option<PathBuf>,
}

impl TokenReach {
    /// How access tokens are asked for, from this vantage.
    ///
    /// # Errors
    /// A proxy in the environment, or a file, that cannot be used.
    pub(super) fn https(&self, vantage: Vantage) -> Result<Https, String> {
        let hosts = self.allowed_token_hosts.iter().flat_map(|list| &list.0).cloned().collect();
        tokens::https(vantage, Hosts::These(hosts), self.token_ca_file.as_deref())
    }
}

impl Reach {
    /// What may be connected to, for a process that works with the API server of `config`.
    pub(super) async fn guard(&self, config: &kube::Config) -> Guard {
        let ports = self.allowed_ports.as_ref().map_or_else(|| MAIL_PORTS.map(Ports::from).to_vec(), |list| list.0.clone());
        let denied = if let Some(list) = &self.deny_cidrs {
            list.0.clone()
        } else {
            let service = std::env::var("KUBERNETES_SERVICE_HOST").ok();
            let api_server = destinations::api_server(&config.cluster_url, service.as_deref()).await;
            Guard::default_denied().into_iter().chain(api_server.into_iter().map(IpNet::from)).collect()
        };
        Guard::new(denied, ports)
    }

    /// The place from which `actor` looks.
    ///
    /// # Errors
    /// Where the proxy cannot be read. Its text is not shown: it may hold a password.
    pub(super) fn vantage(&self, actor: &str, guard: Guard) -> Result<Vantage, NotAProxy> {
        let proxy = self.egress_proxy.as_ref().map(|url| url.expose_secret().parse::<Proxy>()).transpose()?;
        let nameservers: Vec<SocketAddr> = self.nameservers.iter().flat_map(|list| &list.0).map(|server| server.0).collect();
        Ok(Vantage { actor: actor.to_owned(), resolver: Resolver::new(&nameservers), guard, proxy })
    }
}

/// Takes any text and shows it to nobody.
fn hidden() -> impl TypedValueParser<Value = SecretString> {
    StringValueParser::new().map(SecretString::from)
}

/// Values with commas between; an empty text holds none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct List<T>(Vec<T>);

impl<T: FromStr<Err: std::fmt::Display>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| part.parse().map_err(|error| format!("{part}: {error}"))).collect::<Result<_, _>>().map(Self)
    }
}

/// A name server; port 53 if none is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NameServer(SocketAddr);

impl FromStr for NameServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
        bare.or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| "write an IP address or address:port, such as 10.0.0.10:53 or [::1]:53")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        reach: Reach,
    }

    fn parse(args: &[&str]) -> Result<Reach, String> {
        let args = std::iter::once("operator").chain(args.iter().copied());
        Alone::try_parse_from(args).map(|alone| alone.reach).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_list_of_denied_networks_denies_none_and_an_absent_one_is_the_default() {
        assert_eq!(parse(&[]).unwrap().deny_cidrs, None);
        assert_eq!(parse(&["--deny-cidrs", ""]).unwrap().deny_cidrs, Some(List(Vec::new())));
        let two = parse(&["--deny-cidrs", "10.0.0.0/8, ::1/128"]).unwrap().deny_cidrs.unwrap();
        assert_eq!(two.0.len(), 2);
        assert!(parse(&["--deny-cidrs", "10.0.0.0/99"]).is_err());
    }

    #[test]
    fn ports_are_single_or_ranges() {
        let list = parse(&["--allowed-ports", "25,587-588"]).unwrap().allowed_ports.unwrap();
        assert_eq!(list.0, [Ports::from(25), "587-588".parse().unwrap()]);
        for bad in ["0", "65536", "9-8", "a"] {
            assert!(parse(&["--allowed-ports", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn name_servers_have_a_port_or_the_usual_one() {
        let list = parse(&["--nameservers", "10.0.0.10,[::1]:5353"]).unwrap().nameservers.unwrap();
        assert_eq!(list.0, [NameServer("10.0.0.10:53".parse().unwrap()), NameServer("[::1]:5353".parse().unwrap())]);
    }
}
