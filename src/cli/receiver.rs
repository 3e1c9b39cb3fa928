//! `mailverity receiver`: takes mail in. With `--domain` it prints what comes, without a cluster; else it takes mail for the
//! `MailReceivers` of a cluster, and asks for nothing but what `deploy/receiver/` grants.

mod certificate;
mod cluster;
mod print;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::{Error, Exit, interrupt::Interrupt};
use crate::{
    api::v1alpha1::Span,
    receiver::{self, Consumer, Counters, Limits, Options, Rules, Running, Site, TlsMode},
    telemetry,
};
use certificate::Files;

/// Take mail in over SMTP: for the MailReceivers of a cluster, or, with --domain, for these domains, and print what comes.
///
/// It is never a relay: what is not for one of the domains is refused. Taken is what goes to the notify address, with or
/// without +TAG, and to postmaster. Nothing of a mail's text is printed, and nothing is kept. It ends on SIGINT or SIGTERM.
#[derive(Args, Clone, Debug)]
pub struct Receiver {
    /// Where to listen; port 0 takes a free one; may be repeated. A MailReceiver is heard on the port that it names.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2525")]
    listen: Vec<SocketAddr>,
    /// A domain to take mail for, without a cluster; may be repeated
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = domain)]
    domains: Vec<String>,
    /// The local part to take mail for, besides postmaster
    #[arg(long, value_name = "NAME", default_value = "notify", value_parser = local_part, requires = "domains")]
    notify_local_part: String,
    /// The name that it greets with; the first domain if absent, in a cluster the oldest MailReceiver's expectedMX
    #[arg(long, value_name = "NAME", value_parser = domain)]
    hostname: Option<String>,
    /// Whether mail comes in by TLS (STARTTLS); Opportunistic with a certificate, else None
    #[arg(long, value_name = "MODE", value_enum, requires = "domains")]
    tls: Option<Tls>,
    /// File with the certificate and its chain, PEM; read again when it changes, and the old one kept while the new one is bad
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "domains"])]
    tls_cert: Option<PathBuf>,
    /// File with the certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A network that may send; may be repeated; everybody if absent
    #[arg(long = "allow-source", value_name = "CIDR", value_parser = network, requires = "domains")]
    allowed_sources: Vec<IpNet>,
    /// The most bytes of a mail
    #[arg(long, value_name = "N", default_value_t = 10_485_760, requires = "domains",
        value_parser = clap::value_parser!(u64).range(1024..=1 << 30))]
    max_message_bytes: u64,
    /// The most connections, on each port; one more, and the one that has been silent longest is sent away
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// The most connections of one address, or of one /64 network with IPv6
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections_per_source: u32,
    /// A load balancer's network: its connections must begin with the PROXY protocol, version 1 or 2; may be repeated
    #[arg(long, value_name = "CIDR", value_parser = network)]
    proxy_protocol_from: Vec<IpNet>,
    /// How long mails that are on their way in may take at the end
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    grace: Span,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text, requires = "domains")]
    output: Output,
    #[command(flatten)]
    cluster: cluster::Flags,
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t = telemetry::Format::Text)]
    log_format: telemetry::Format,
    /// What is logged on standard error: error, warn, info, debug or trace; with --domain warn if absent, else info. RUST_LOG
    /// in the environment overrides it.
    #[arg(long)]
    log_level: Option<String>,
}

/// `tls.mode`, as manifests write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Tls {
    None,
    Opportunistic,
    Required,
}

/// How `receiver` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// One line a mail.
    Text,
    /// One JSON object a line.
    Json,
}

impl Receiver {
    /// Whether it works without a cluster.
    pub(super) fn is_alone(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Runs without a cluster until it is told to end.
    pub(super) async fn run(self) -> Result<Exit, Error> {
        telemetry::init(self.log_format, self.log_level.as_deref().unwrap_or("warn"))
            .map_err(|error| Error::Usage(format!("--log-level: {error}")))?;
        let mut files = self.files()?;
        let identity = files.as_mut().map(Files::read).transpose()?;
        let mode = match self.tls {
            Some(Tls::Required) => TlsMode::Required,
            Some(Tls::Opportunistic) => TlsMode::Opportunistic,
            None if identity.is_some() => TlsMode::Opportunistic,
            Some(Tls::None) | None => TlsMode::None,
        };
        let mut site = Site {
            name: "the command line".to_owned(),
            domains: self.domains.clone(),
            notify_local_part: self.notify_local_part.clone(),
            max_message_bytes: self.max_message_bytes,
            allowed_sources: self.allowed_sources.clone(),
            tls: mode,
            identity,
            is_suspended: false,
        };
        let hostname = self.hostname.as_ref().or(self.domains.first()).map(String::as_str).unwrap_or_default();
        let rules = |site: &Site| Rules::new(hostname, vec![site.clone()]);

        // Set up first, so that no signal is lost between the announcement and the wait.
        let interrupt = Interrupt::listen()?;
        let (printer, mut printing) = print::Printer::start(self.output == Output::Json);
        let (consumer, counters): (Arc<dyn Consumer>, _) = (Arc::new(printer.clone()), Counters::default());
        let running = self.listeners(&rules(&site), &consumer, &counters).await?;
        drop(consumer);
        for listener in &running {
            printer.listening(listener.address, &self.domains).await;
        }
        loop {
            tokio::select! {
                () = interrupt.heard() => break,
                // Whoever reads us has seen enough.
                _ = &mut printing => return Ok(Exit::Good),
                identity = certificate::changed(&mut files) => {
                    site.identity = Some(identity);
                    for listener in &running {
                        listener.apply(rules(&site));
                    }
                }
            }
        }
        futures::future::join_all(running.into_iter().map(|listener| listener.stop(self.grace.get()))).await;
        drop(printer);
        // All that was taken is printed before the end.
        let _ = printing.await;
        Ok(Exit::Good)
    }

    /// Listens on each address. What all of them keep of mails on their way in fits into the memory of one.
    async fn listeners(&self, rules: &Rules, consumer: &Arc<dyn Consumer>, counters: &Counters) -> Result<Vec<Running>, Error> {
        let mut running = Vec::new();
        let limits = Limits::default();
        for listen in &self.listen {
            let options = Options {
                listen: *listen,
                rules: rules.clone(),
                consumers: vec![Arc::clone(consumer)],
                limits: Limits {
                    connections: self.max_connections as usize,
                    connections_per_source: self.max_connections_per_source as usize,
                    kept_in_all: limits.kept_in_all / self.listen.len().max(1),
                    ..limits
                },
                proxies: self.proxy_protocol_from.clone(),
                counters: counters.clone(),
            };
            running.push(receiver::start(options).await.map_err(|error| Error::Usage(format!("--listen: {error}")))?);
        }
        Ok(running)
    }

    fn files(&self) -> Result<Option<Files>, Error> {
        match (&self.tls_cert, &self.tls_key, self.tls) {
            (Some(chain), Some(key), tls) if tls != Some(Tls::None) => Ok(Some(Files::new(chain, key))),
            (None, None, Some(tls @ (Tls::Opportunistic | Tls::Required))) => {
                Err(Error::Usage(format!("--tls {tls:?} needs a certificate: give --tls-cert and --tls-key")))
            }
            _ => Ok(None),
        }
    }
}

/// A domain as `spec.domains` takes it.
fn domain(text: &str) -> Result<String, String> {
    if text.contains([',', ' ']) {
        return Err("one domain each: repeat the flag".to_owned());
    }
    let plain = |label: &str| {
        let inner = label.chars().all(|c| c.is_alphanumeric() || c == '-');
        inner && !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    };
    if !text.contains('.') || !text.split('.').all(plain) {
        return Err("must be fully qualified, such as mail.example.org, without a dot at the end".to_owned());
    }
    if text.len() > 64 { Err("must have at most 64 characters".to_owned()) } else { Ok(text.to_owned()) }
}

fn local_part(text: &str) -> Result<String, String> {
    let plain =
        !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain { Ok(text.to_owned()) } else { Err("must be 1 to 32 letters, digits, '-', '_' or '.'".to_owned()) }
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| address()).map_err(|_| "must be a network such as 192.0.2.0/24, or an address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_domain_is_refused_with_what_to_do() {
        assert!(domain("mail.example.org").is_ok() && domain("bücher.example").is_ok());
        let long = format!("{}.example.org", "x".repeat(60));
        for (text, words) in
            [("a.test,b.test", "repeat"), ("localhost", "fully"), ("a.test.", "dot"), ("-a.test", "fully"), (&long, "64")]
        {
            assert!(domain(text).unwrap_err().contains(words), "{text}");
        }
        assert!(local_part("notify+x").is_err() && local_part("").is_err() && local_part("alerts").is_ok());
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert!(network("192.0.2.0/99").is_err());
    }
}
