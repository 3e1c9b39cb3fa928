//! Requests over HTTPS (RFC 9110), to token endpoints and to the APIs by which mailboxes are read: guarded, bounded, inside a
//! deadline, and without redirects, as whoever could redirect us would be shown a secret. Many over one connection: `session`.

mod session;

use std::{error::Error as _, str::FromStr, sync::Arc, time::Duration};

use futures::future::{Either, select};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

pub use session::{Ask, Session};

use super::{
    Diagnosis, Stage, Tcp, Vantage, authority,
    diagnosis::WORDS,
    guard::bare,
    protocol::Protocol,
    proxy::{Direct, Proxy},
    tls::{self, MinVersion, TlsPolicy},
};
use crate::api::{Class, Reason};

/// The most bytes of an answer's body. Token answers have a few thousand.
const BODY: usize = 256 * 1024;

/// The most bytes of an answer's head.
const HEAD: usize = 32 * 1024;

/// What bodies are.
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// The port of HTTPS.
const PORT: u16 = 443;

/// Who asks.
const AGENT: &str = concat!("mailverity/", env!("CARGO_PKG_VERSION"));

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Name or IP address, lower case, without brackets.
    pub host: String,
    /// The port; 443 where the URL names none.
    pub port: u16,
    /// Path and query.
    pub path: String,
    text: String,
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| "it is no URL")?;
        if uri.scheme_str() != Some("https") {
            return Err("it must begin with https://");
        }
        let place = uri.authority().ok_or("it names no host")?;
        if place.as_str().contains('@') {
            return Err("a URL with a user name in it is not taken");
        }
        let host = bare(place.host()).trim_end_matches('.').to_ascii_lowercase();
        if host.is_empty() {
            return Err("it names no host");
        }
        if place.port_u16().is_none() && place.as_str() != place.host() {
            return Err("its port is no number");
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port: place.port_u16().unwrap_or(PORT), path, text: text.to_owned() })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A host that requests may go to, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: u16,
}

impl Host {
    /// Its name or IP address.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = format!("https://{text}").parse().map_err(|_| "write host or host:port")?;
        if url.path != "/" || text.contains('/') {
            return Err("write host or host:port, without a path");
        }
        Ok(Self { name: url.host, port: url.port })
    }
}

/// Which hosts requests may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Any: for a person at a shell.
    Any,
    /// Those of the known providers at port 443, and these.
    These(Vec<Host>),
}

impl Hosts {
    fn admit(&self, host: &str, port: u16) -> Result<(), Diagnosis> {
        let Self::These(hosts) = self else { return Ok(()) };
        let known = [super::oauth2::presets::HOSTS.as_slice(), &super::graph::HOSTS, &[super::gmail::HOST]];
        let known = port == PORT && known.iter().any(|known| known.contains(&host));
        if known || hosts.iter().any(|named| named.name == host && named.port == port) {
            return Ok(());
        }
        let place = authority(host, port);
        Err(Diagnosis::new(Reason::DestinationDenied)
            .detail(format!("the operator's --allowed-token-hosts does not name {place}"))
            .fact("address", place))
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The media type, lower case, without parameters.
    pub media: String,
    /// How long to wait, where the server says so in seconds (RFC 9110 section 10.2.3).
    pub retry_after: Option<Duration>,
    /// The server's clock (RFC 9110 section 6.6.1).
    pub date: Option<Timestamp>,
    /// The body.
    pub body: Vec<u8>,
}

/// How requests are made.
#[derive(Clone)]
pub struct Https {
    vantage: Vantage,
    tls: TlsPolicy,
    hosts: Hosts,
    direct: Option<Direct>,
    may: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Https {
    /// Requests from a vantage, to these hosts. Whatever ports its guard has, the networks that it denies are denied here too.
    /// Trusted are the public roots and `added`.
    #[must_use]
    pub fn new(mut vantage: Vantage, added: &[CertificateDer<'static>], hosts: Hosts) -> Self {
        vantage.guard = vantage.guard.at_any_port();
        Self { vantage, tls: TlsPolicy::new(added, MinVersion::Tls12), hosts, direct: None, may: None }
    }

    /// Where the vantage has no proxy of its own: by `proxy`, except to `direct`, as [`Direct::new`] takes it.
    #[must_use]
    pub fn or_by(mut self, proxy: Option<Proxy>, direct: &str) -> Self {
        if self.vantage.proxy.is_none() {
            self.vantage.proxy = proxy;
            self.direct = Some(Direct::new(direct));
        }
        self
    }

    /// The same, but a body is sent only while this holds: it is asked behind the connecting, which may take long.
    #[must_use]
    pub fn only_while(mut self, may: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.may = Some(Arc::new(may));
        self
    }

    /// Sends a form by POST.
    ///
    /// # Errors
    /// `DestinationDenied`, those of [`Vantage::resolve`], [`Vantage::connect`] and of TLS, and `ProtocolError`,
    /// `ConnectionClosed` or `ResponseTimedOut` for what no HTTP answer came of; `Paused` where it may not be sent any more
    /// ([`Https::only_while`]). An answer with any status is none of these.
    pub async fn post(
        &self,
        url: &Url,
        authorization: Option<&SecretString>,
        form: &SecretString,
        deadline: Instant,
    ) -> Result<Answer, Diagnosis> {
        self.send(url, authorization, (FORM, form), deadline).await
    }

    /// Sends JSON by POST.
    ///
    /// # Errors
    /// Those of [`Https::post`].
    pub async fn post_json(
        &self,
        url: &Url,
        authorization: &SecretString,
        json: &SecretString,
        deadline: Instant,
    ) -> Result<Answer, Diagnosis> {
        self.send(url, Some(authorization), (JSON, json), deadline).await
    }

    /// Sends a body, of this media type, by POST.
    async fn send(
        &self,
        url: &Url,
        authorization: Option<&SecretString>,
        body: (&'static str, &SecretString),
        deadline: Instant,
    ) -> Result<Answer, Diagnosis> {
        self.admit(&url.host, url.port)?;
        let stream = self.connect(&url.host, url.port, deadline).await?;
        let place = authority(&url.host, url.port);
        if self.may.as_ref().is_some_and(|may| !may()) {
            return Err(Diagnosis::new(Reason::Paused).class(Class::Transient).detail(format!("{place} is not asked any more")));
        }
        let request = request(url, authorization, body).ok_or_else(|| broke(&place, "the request cannot be written"))?;
        match timeout_at(deadline, exchange(stream, request, &place)).await {
            Ok(answer) => answer,
            Err(_) => Err(Diagnosis::new(Reason::ResponseTimedOut)
                .detail(format!("{place} did not answer in time"))
                .fact("address", place)),
        }
    }

    /// The same rules from another vantage, which goes by its own egress proxy where it has one.
    #[must_use]
    pub fn at(&self, vantage: &Vantage) -> Self {
        let mut there = self.clone();
        there.vantage = Vantage { guard: vantage.guard.at_any_port(), ..vantage.clone() };
        if there.vantage.proxy.is_none() {
            there.vantage.proxy.clone_from(&self.vantage.proxy);
        } else {
            there.direct = None;
        }
        there
    }

    /// How a host is connected to: by the vantage's proxy, unless it is one of those that are not.
    #[must_use]
    pub fn vantage_for(&self, host: &str) -> Vantage {
        let mut vantage = self.vantage.clone();
        vantage.proxy = vantage.proxy.filter(|_| !self.direct.as_ref().is_some_and(|direct| direct.names(host)));
        vantage
    }

    /// What a host's certificate must be.
    #[must_use]
    pub fn tls(&self) -> &TlsPolicy {
        &self.tls
    }

    /// Whether requests may go there.
    ///
    /// # Errors
    /// `DestinationDenied`.
    pub fn admit(&self, host: &str, port: u16) -> Result<(), Diagnosis> {
        self.hosts.admit(host, port)
    }

    async fn connect(&self, host: &str, port: u16, deadline: Instant) -> Result<TlsStream<Tcp>, Diagnosis> {
        let vantage = self.vantage_for(host);
        let mut tcp = if let Some(proxy) = &vantage.proxy {
            vantage.connect_by(proxy, host, port, deadline).await?
        } else {
            let addresses = vantage.resolve(host, deadline).await?;
            vantage.connect(&addresses, port, deadline).await?
        };
        tcp.begin_tls();
        let peer = tcp.peer();
        let (_, result) = tls::handshake(tcp, &self.tls, host, deadline).await;
        // Of the protocol nothing but its name is told, and that in no message that is kept.
        result.map_err(|failure| failure.diagnose(Stage::ImplicitTls, &self.tls, host, peer, Protocol::Smtp))
    }
}

fn request(
    url: &Url,
    authorization: Option<&SecretString>,
    (media, body): (&'static str, &SecretString),
) -> Option<Request<Full<Bytes>>> {
    let body = Full::new(Bytes::copy_from_slice(body.expose_secret().as_bytes()));
    let mut request = Request::post(url.path.as_str())
        .header(HOST, host_field(&url.host, url.port))
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, JSON)
        .header(CONTENT_TYPE, media)
        .body(body)
        .ok()?;
    if let Some(authorization) = authorization {
        request.headers_mut().insert(AUTHORIZATION, sensitive(authorization)?);
    }
    Some(request)
}

/// The value of the field Host (RFC 9110 section 7.2).
fn host_field(host: &str, port: u16) -> String {
    let place = authority(host, port);
    place.strip_suffix(":443").map(str::to_owned).unwrap_or(place)
}

fn sensitive(secret: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn exchange(stream: TlsStream<Tcp>, request: Request<Full<Bytes>>, place: &str) -> Result<Answer, Diagnosis> {
    let broken = |error: hyper::Error| broken(place, &error);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let work = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        read(response, place, Bound::Whole(BODY)).await
    };
    match select(std::pin::pin!(work), std::pin::pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, work)) => work.await,
    }
}

/// How much of a body is read.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// So many bytes; a longer one is refused.
    Whole(usize),
    /// The first so many bytes of it.
    Start(usize),
}

async fn read(response: Response<Incoming>, place: &str, bound: Bound) -> Result<Answer, Diagnosis> {
    let (head, mut incoming) = response.into_parts();
    let redirects = head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED;
    if redirects {
        return Err(broke(place, "it redirects, which is not followed: whoever redirects us would be shown a secret"));
    }
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| broken(place, &error))?;
        if let Some(data) = frame.data_ref() {
            match bound {
                Bound::Whole(most) if body.len() + data.len() > most => {
                    return Err(broke(place, &format!("its answer is larger than {} KiB", most / 1024)));
                }
                Bound::Start(most) if body.len() + data.len() >= most => {
                    body.extend_from_slice(&data[..most - body.len()]);
                    break;
                }
                Bound::Whole(_) | Bound::Start(_) => body.extend_from_slice(data),
            }
        }
    }
    let text = |name| header(&head.headers, name);
    let media = text(CONTENT_TYPE.as_str()).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let retry_after = text(RETRY_AFTER.as_str()).trim().parse().ok().map(Duration::from_secs);
    // The form of RFC 5322 is the one of HTTP, too (RFC 9110 section 5.6.7).
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text(DATE.as_str())).ok();
    Ok(Answer { status: head.status.as_u16(), media, retry_after, date, body })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn broken(place: &str, error: &hyper::Error) -> Diagnosis {
    // Who hangs up without a word breaks TLS, too.
    let broke_off = error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    if broke_off || error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Diagnosis::new(Reason::ConnectionClosed).detail(format!("{place} closed the connection before it had answered"));
    }
    broke(place, &format!("its answer is no HTTP ({})", super::diagnosis::printable(&error.to_string(), WORDS)))
}

fn broke(place: &str, fault: &str) -> Diagnosis {
    Diagnosis::new(Reason::ProtocolError).detail(format!("{place}: {fault}")).fact("rule", "the rules of HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{dns::Resolver, guard::Guard};

    #[test]
    fn a_url_is_https_and_names_nobody() {
        let url: Url = "https://Login.Test.:8443/a/b?c=d".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("login.test", 8443, "/a/b?c=d"));
        assert_eq!("https://[::1]/".parse::<Url>().unwrap().host, "::1");
        assert_eq!("https://login.test".parse::<Url>().unwrap().port, 443);
        for bad in ["http://login.test/", "https://me@login.test/", "https:///x", "login.test", "https://a b/", ""] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_hosts_that_are_named_and_those_of_the_presets_are_asked() {
        let hosts = Hosts::These(vec!["login.test".parse().unwrap(), "id.test:8443".parse().unwrap()]);
        for (url, admitted) in [
            ("https://login.test/token", true),
            ("https://login.test:8443/token", false),
            ("https://id.test:8443/token", true),
            ("https://id.test/token", false),
            ("https://sub.login.test/token", false),
            ("https://login.microsoftonline.com/x/oauth2/v2.0/token", true),
            ("https://login.microsoftonline.com:444/x/oauth2/v2.0/token", false),
            ("https://oauth2.googleapis.com/token", true),
            ("https://graph.microsoft.com/v1.0/users", true),
            ("https://gmail.googleapis.com/gmail/v1/users/me", true),
            ("https://gmail.googleapis.com:8443/gmail/v1/users/me", false),
        ] {
            let url: Url = url.parse().unwrap();
            assert_eq!(hosts.admit(&url.host, url.port).is_ok(), admitted, "{url}");
            assert!(Hosts::Any.admit(&url.host, url.port).is_ok());
        }
        for bad in ["", "a/b", "https://a", "a:b"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }

    #[test]
    fn who_is_named_in_no_proxy_is_asked_directly_and_an_egress_proxy_is_never_passed_by() {
        let vantage = |proxy: Option<&str>| Vantage {
            actor: "default".to_owned(),
            resolver: Resolver::new(&["127.0.0.1:9".parse().unwrap()]),
            guard: Guard::open(),
            proxy: proxy.map(|proxy| proxy.parse().unwrap()),
        };
        let proxy = || Some("http://proxy.test:3128".parse().unwrap());
        let by = |https: &Https, host: &str| https.vantage_for(host).proxy.map(|proxy| proxy.host);
        let https = Https::new(vantage(None), &[], Hosts::Any).or_by(proxy(), "corp.test");
        assert_eq!((by(&https, "id.corp.test"), by(&https, "id.test")), (None, Some("proxy.test".to_owned())));
        let https = Https::new(vantage(Some("socks5://egress.test")), &[], Hosts::Any).or_by(proxy(), "*");
        assert_eq!(by(&https, "corp.test").unwrap(), "egress.test");
    }
}
