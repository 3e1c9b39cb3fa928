//! The way out through an egress proxy: SOCKS5 (RFC 1928) or HTTP CONNECT (RFC 9110 section 9.3.6). The proxy resolves the name.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Diagnosis, authority, diagnosis::WORDS, guard::bare};
use crate::api::Reason;

/// The most bytes of an HTTP proxy's answer.
const ANSWER: usize = 4096;

/// A proxy that all connections go through.
#[derive(Clone, Debug)]
pub struct Proxy {
    kind: Kind,
    /// Its own host.
    pub host: String,
    /// Its own port.
    pub port: u16,
    login: Option<(String, SecretString)>,
}

/// Who is reached without the proxy that the environment names.
#[derive(Clone, Debug)]
pub struct Direct(Arc<Matcher>);

impl Direct {
    /// As in the environment variable `NO_PROXY`: names, which also stand for what is below them, addresses and networks, with commas
    /// between, or `*`.
    #[must_use]
    pub fn new(written: &str) -> Self {
        // Which proxy it is that they are not reached by is of no interest.
        Self(Arc::new(Matcher::builder().all("http://proxy").no(written).build()))
    }

    /// Whether this name or address is one of them.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        let url = format!("https://{}", authority(host, 443)).parse::<Uri>();
        url.is_ok_and(|url| self.0.intercept(&url).is_none())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Socks5,
    Http,
}

/// What is wrong with a proxy's address.
#[derive(Debug, thiserror::Error)]
#[error("{0}; write socks5://[user:password@]host:port or http://[user:password@]host:port")]
pub struct NotAProxy(&'static str);

impl FromStr for Proxy {
    type Err = NotAProxy;

    fn from_str(url: &str) -> Result<Self, NotAProxy> {
        let (scheme, rest) = url.split_once("://").ok_or(NotAProxy("the egress proxy has no scheme"))?;
        let (kind, usual) = match scheme {
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            "http" => (Kind::Http, 3128),
            _ => return Err(NotAProxy("the egress proxy's scheme is not known")),
        };
        let rest = rest.trim_end_matches('/');
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (Some((user.to_owned(), SecretString::from(password))), place)
            }
            None => (None, rest),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| NotAProxy("the egress proxy's port is no number"))?)
            }
            _ => (place, usual),
        };
        if host.is_empty() || host.contains('/') {
            return Err(NotAProxy("the egress proxy has no host, or has a path"));
        }
        Ok(Self { kind, host: bare(host).to_owned(), port, login })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.kind == Kind::Socks5 { "socks5" } else { "http" };
        write!(f, "{scheme}://{}", authority(&self.host, self.port))
    }
}

impl Proxy {
    /// Asks the proxy, over a connected stream, for a connection to `host:port`. The caller sets the deadline.
    ///
    /// # Errors
    /// `ProxyFailed`, with what the proxy said.
    pub async fn open(&self, stream: &mut TcpStream, host: &str, port: u16) -> Result<(), Diagnosis> {
        let result = match self.kind {
            Kind::Socks5 => self.socks5(stream, host, port).await,
            Kind::Http => self.connect(stream, host, port).await,
        };
        result.map_err(|said| self.failed(&authority(host, port), said))
    }

    /// The proxy did not connect us to `address`, for this reason.
    #[must_use]
    pub fn failed(&self, address: &str, said: impl AsRef<str>) -> Diagnosis {
        let said = super::diagnosis::printable(said.as_ref(), WORDS);
        Diagnosis::new(Reason::ProxyFailed)
            .fact("proxy", self.to_string())
            .fact("address", address)
            .detail(format!("the egress proxy {self}: {said}"))
    }

    async fn socks5(&self, stream: &mut TcpStream, host: &str, port: u16) -> Result<(), String> {
        let broken = |error: std::io::Error| error.to_string();
        let methods: &[u8] = if self.login.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
        stream.write_all(methods).await.map_err(broken)?;
        let mut chosen = [0; 2];
        stream.read_exact(&mut chosen).await.map_err(broken)?;
        match (chosen, &self.login) {
            ([5, 0], _) => {}
            ([5, 2], Some((user, password))) => {
                // RFC 1929.
                let (user, password) = (short(user)?, short(password.expose_secret())?);
                let mut login = vec![1, user.0];
                login.extend(user.1);
                login.push(password.0);
                login.extend(password.1);
                stream.write_all(&login).await.map_err(broken)?;
                let mut answer = [0; 2];
                stream.read_exact(&mut answer).await.map_err(broken)?;
                if answer[1] != 0 {
                    return Err("it refused user name or password".to_owned());
                }
            }
            ([5, 0xff], _) => return Err("it takes no login that we have".to_owned()),
            _ => return Err("it does not speak SOCKS5".to_owned()),
        }
        let mut request = vec![5, 1, 0];
        match bare(host).parse() {
            Ok(IpAddr::V4(address)) => {
                request.push(1);
                request.extend(address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(4);
                request.extend(address.octets());
            }
            Err(_) => {
                let (length, name) = short(host)?;
                request.extend([3, length]);
                request.extend(name);
            }
        }
        request.extend(port.to_be_bytes());
        stream.write_all(&request).await.map_err(broken)?;
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.map_err(broken)?;
        if head[1] != 0 {
            return Err(refusal(head[1]).to_owned());
        }
        let rest = match head[3] {
            1 => 4 + 2,
            4 => 16 + 2,
            3 => usize::from(stream.read_u8().await.map_err(broken)?) + 2,
            _ => return Err("it does not speak SOCKS5".to_owned()),
        };
        let mut bound = vec![0; rest];
        stream.read_exact(&mut bound).await.map_err(broken)?;
        Ok(())
    }

    async fn connect(&self, stream: &mut TcpStream, host: &str, port: u16) -> Result<(), String> {
        let broken = |error: std::io::Error| error.to_string();
        let place = authority(host, port);
        let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
        if let Some((user, password)) = &self.login {
            let login = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&login);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        // Byte by byte: what stands behind the empty line is the mail server's already.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= ANSWER {
                return Err("its answer has no end".to_owned());
            }
            answer.push(stream.read_u8().await.map_err(broken)?);
        }
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.lines().next().unwrap_or_default();
        let code = status.split(' ').nth(1).unwrap_or_default();
        if status.starts_with("HTTP/1.") && code.len() == 3 && code.starts_with('2') { Ok(()) } else { Err(status.to_owned()) }
    }
}

fn short(text: &str) -> Result<(u8, &[u8]), String> {
    u8::try_from(text.len())
        .map(|length| (length, text.as_bytes()))
        .map_err(|_| "a name is longer than SOCKS5 can say".to_owned())
}

/// RFC 1928 section 6.
fn refusal(code: u8) -> &'static str {
    match code {
        2 => "its rules forbid the connection",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 | 8 => "it does not know the request",
        _ => "general failure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reached_directly_is_named_as_in_no_proxy() {
        let direct = Direct::new("corp.test, .local.test,, 10.0.0.0/8,fd00::/8,192.0.2.7");
        for (host, is_named) in [
            ("corp.test", true),
            ("id.corp.test", true),
            ("notcorp.test", false),
            ("a.local.test", true),
            ("id.test", false),
            ("10.1.2.3", true),
            ("fd00::1", true),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
        ] {
            assert_eq!(direct.names(host), is_named, "{host}");
        }
        assert!(!Direct::new("").names("corp.test") && Direct::new("*").names("corp.test"));
    }
}
