//! A collector of traces: takes OTLP over HTTP, and keeps what came.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How long spans may take: a check, and the 5 s after which they are sent.
const PATIENCE: Duration = Duration::from_mins(1);

/// A collector on loopback.
pub struct Collector {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// What came: the head in lower case, and the body.
type Request = (String, Vec<u8>);

impl Collector {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = Arc::clone(&taken);
                tokio::spawn(async move {
                    if let Some(request) = take(stream).await {
                        taken.lock().unwrap().push(request);
                    }
                });
            }
        });
        Self { port, requests }
    }

    /// As a flag.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The heads of all requests.
    pub fn heads(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(head, _)| head.clone()).collect()
    }

    /// All bodies, as they came.
    pub fn bytes(&self) -> Vec<u8> {
        self.requests.lock().unwrap().iter().flat_map(|(_, body)| body.clone()).collect()
    }

    /// The spans that came so far.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap().clone();
        let decoded = requests.iter().map(|(_, body)| ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
        let resources = decoded.flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// The first root of a trace for which this holds, and its children in the order in which they began.
    pub async fn trace(&self, what: &str, is_it: impl Fn(&BTreeMap<String, String>) -> bool) -> (Span, Vec<Span>) {
        let end = Instant::now() + PATIENCE;
        loop {
            let all = self.spans();
            if let Some(root) = all.iter().find(|span| span.parent_span_id.is_empty() && is_it(&attributes(span))) {
                let mut children: Vec<_> = all.iter().filter(|span| span.parent_span_id == root.span_id).cloned().collect();
                children.sort_by_key(|span| (span.start_time_unix_nano, span.end_time_unix_nano));
                return (root.clone(), children);
            }
            assert!(Instant::now() < end, "no trace of {what}: {:#?}", all.iter().map(attributes).collect::<Vec<_>>());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What a span says of itself.
pub fn attributes(span: &Span) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    };
    span.attributes.iter().filter_map(|pair| Some((pair.key.clone(), text(pair)?))).collect()
}

/// One request, which is answered 200.
async fn take(mut stream: TcpStream) -> Option<Request> {
    let (mut read, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let length = stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        read.extend_from_slice(&chunk[..length]);
        let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else { continue };
        let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
        let body: usize = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap();
        if read.len() >= head + body {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
            return Some((text, read.split_off(head)));
        }
    }
}
