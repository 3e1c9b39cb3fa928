//! Traces over OTLP (HTTP, protobuf) to a collector. Nothing waits for it: spans lie in a queue of a bound, a thread of its own sends
//! them off every few seconds, and what a collector that is away or slow does not take is lost.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, Uri,
    body::Bytes,
    client::conn::http1::SendRequest,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use super::spans;
use crate::{mail::tls, runtime::lock};

/// The most spans that wait to be sent: some 80 checks.
const QUEUE: usize = 2048;
/// The most spans of one request.
const BATCH: usize = 512;
/// How often they are sent.
const EVERY: Duration = Duration::from_secs(5);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of the process waits for the last ones.
const FAREWELL: Duration = Duration::from_secs(2);
/// The most bytes of an answer.
const ANSWER: usize = 64 * 1024;
/// How often a collector that is away is told of.
const TOLD: Duration = Duration::from_mins(10);

/// A collector: `http://HOST:4318` or `https://...`, to which `/v1/traces` is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    url: Uri,
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = format!("{}/v1/traces", text.trim_end_matches('/'));
        let url: Uri = whole.parse().map_err(|error| format!("{error}"))?;
        let known = matches!(url.scheme_str(), Some("http" | "https"));
        if !known || url.host().is_none_or(str::is_empty) || url.query().is_some() {
            return Err("it is no URL such as http://collector:4318".to_owned());
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("a URL holds no password; use OTEL_EXPORTER_OTLP_HEADERS".to_owned());
        }
        Ok(Self { url })
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)
    }
}

/// Traces on their way; ended with this.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Sends what was traced so far, if the collector takes it in time.
    pub async fn end(self) {
        // It waits on its own thread for requests that this runtime makes.
        tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FAREWELL).ok()).await.ok();
    }
}

/// What traces to `collector`: a layer beside that of the logs. Headers, such as one that says who we are, come from
/// `OTEL_EXPORTER_OTLP_HEADERS`. To be called inside the runtime.
///
/// # Errors
/// What is wrong with the headers.
pub(super) fn layer<S>(collector: &Collector, process: &'static str) -> Result<(impl Layer<S> + use<S>, Traces), String>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let client = Client { runtime: Handle::current(), lost: Arc::default() };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(collector.to_string())
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())?;
    let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_max_export_batch_size(BATCH);
    let batches = batches.with_scheduled_delay(EVERY).build();
    let about = [
        KeyValue::new("service.name", "mailverity"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("mailverity.process", process),
    ];
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().with_attributes(about).build())
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
        .build();
    let ours = filter_fn(|metadata| metadata.is_span() && metadata.target() == spans::TARGET);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("mailverity"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_level(false)
        .with_target(false)
        .with_filter(ours);
    Ok((layer, Traces { provider }))
}

/// Makes the requests, by our own TLS and on our own runtime: the thread that asks has none.
#[derive(Clone)]
struct Client {
    runtime: Handle,
    lost: Arc<Lost>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// What could not be sent, and when that was told.
#[derive(Default)]
struct Lost {
    requests: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl Lost {
    /// A request has failed: told at once, then once in a while.
    fn note(&self, error: &str) {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut told = lock(&self.told);
        if told.is_none_or(|told| told.elapsed() >= TOLD) {
            *told = Some(Instant::now());
            tracing::warn!(error, requests, "traces are lost: the collector does not take them");
        }
    }
}

impl HttpClient for Client {
    // As `async_trait` writes it.
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let (client, lost) = (self.clone(), Arc::clone(&self.lost));
        let asked = self.runtime.spawn(async move { timeout(PATIENCE, client.ask(request)).await });
        Box::pin(async move {
            let answer = match asked.await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
                Err(_) => Err("the process ends".to_owned()),
            };
            let refused = |answer: Response<Bytes>| match answer.status() {
                status if status.is_success() => Ok(answer),
                status => Err(format!("it answered {}", status.as_u16())),
            };
            answer.and_then(refused).map_err(|error| {
                lost.note(&error);
                HttpError::from(error)
            })
        })
    }
}

impl Client {
    /// One request over a connection of its own: there is one in some seconds.
    async fn ask(self, mut request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let url = request.uri().clone();
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let secure = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|error| told(&error))?;
        let authority = url.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        request.headers_mut().insert(HOST, HeaderValue::from_str(&authority).map_err(|error| error.to_string())?);
        *request.uri_mut() = url.path().parse().map_err(|_| "its path cannot be asked for".to_owned())?;
        let mut sender = if secure {
            let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
            let connector = TlsConnector::from(tls::client_config());
            begin(connector.connect(name, tcp).await.map_err(|error| told(&error))?).await?
        } else {
            begin(tcp).await?
        };
        let answer = sender.send_request(request.map(Full::new)).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(|error| error.to_string())?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

fn told(error: &io::Error) -> String {
    format!("it cannot be reached: {error}")
}

async fn begin<T>(stream: T) -> Result<SendRequest<Full<Bytes>>, String>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    // It ends with the sender.
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_its_url_and_by_nothing_else() {
        for (text, url) in [
            ("http://otel:4318", "http://otel:4318/v1/traces"),
            ("https://otel.example/base/", "https://otel.example/base/v1/traces"),
            ("http://[fd00::1]:4318", "http://[fd00::1]:4318/v1/traces"),
        ] {
            assert_eq!(text.parse::<Collector>().unwrap().to_string(), url);
        }
        for text in ["", "otel:4318", "grpc://otel:4317", "http://", "http://user:password@otel:4318", "http://otel/?a=b"] {
            assert!(text.parse::<Collector>().is_err(), "{text}");
        }
    }
}
