//! What monitoring asks over HTTP: `/metrics`, `/livez` and `/readyz`, which says what is pending.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_blocking,
    time::timeout,
};

use crate::{
    metrics::Metrics,
    runtime::{lock, stop::Stop},
};

/// A process whose heart did not beat for this long is stuck, and better started anew.
const STUCK: Duration = Duration::from_mins(1);

/// How many connections are served at the same time.
const PLACES: usize = 64;

/// How long a client may take to ask, and how many bytes its head may have.
const ASKING: Duration = Duration::from_secs(5);
const HEAD: usize = 16 * 1024;

/// How long a connection may last, its answer included.
const READING: Duration = Duration::from_secs(30);

/// What the process is up to, as the probes tell it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    beat: Instant,
    pending: Vec<(Cow<'static, str>, String)>,
    role: String,
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner { beat: Instant::now(), pending: Vec::new(), role: "starting".to_owned() })))
    }
}

impl Health {
    /// The main loop is at work.
    pub fn beat(&self) {
        lock(&self.0).beat = Instant::now();
    }

    /// `what` is waited for; `why` in one line.
    pub fn pending(&self, what: impl Into<Cow<'static, str>>, why: impl Into<String>) {
        let (mut inner, what) = (lock(&self.0), what.into());
        inner.pending.retain(|(known, _)| *known != what);
        inner.pending.push((what, why.into()));
    }

    /// `what` is there.
    pub fn done(&self, what: &str) {
        lock(&self.0).pending.retain(|(known, _)| known != what);
    }

    /// The role in the election, for people.
    pub fn role(&self, role: impl Into<String>) {
        lock(&self.0).role = role.into();
    }

    fn alive(&self) -> Result<String, String> {
        let silent = lock(&self.0).beat.elapsed();
        if silent < STUCK { Ok("ok\n".to_owned()) } else { Err(format!("stuck for {} s\n", silent.as_secs())) }
    }

    fn ready(&self) -> Result<String, String> {
        let inner = lock(&self.0);
        let role = format!("role: {}\n", inner.role);
        if inner.pending.is_empty() {
            return Ok(format!("ok\n{role}"));
        }
        let lines = inner.pending.iter().map(|(what, why)| format!("waiting for {what}: {why}\n"));
        Err(lines.chain([role]).collect())
    }
}

/// What is asked for, by whoever connects.
struct Desk {
    health: Health,
    metrics: Metrics,
    /// One scrape at a time: that of a fleet is megabytes before they are compressed.
    scrape: Semaphore,
}

/// Answers on `address` until `stop`.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn listen(address: SocketAddr, health: Health, metrics: Metrics, stop: Stop) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let desk = Desk { health, metrics, scrape: Semaphore::new(1) };
    tokio::spawn(async move {
        tokio::select! {
            () = accept(listener, Arc::new(desk)) => {}
            () = stop.stopped() => {}
        }
    });
    Ok(bound)
}

/// Takes connections: no more than there are places, and each for a while. Anybody in the cluster may come, and the kubelet must
/// get in.
async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(PLACES));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    serve(stream, desk).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken for the moment");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// One request and its answer.
async fn serve(stream: TcpStream, desk: Arc<Desk>) {
    let service = service_fn(|request: Request<Incoming>| {
        let desk = Arc::clone(&desk);
        async move { answer(&request, &desk).await }
    });
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).max_buf_size(HEAD).timer(TokioTimer::new()).header_read_timeout(ASKING);
    // How it ends is of no interest: whoever went away asks again.
    let _ = timeout(READING, builder.serve_connection(TokioIo::new(stream), service)).await;
}

async fn answer(request: &Request<Incoming>, desk: &Arc<Desk>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let response = Response::builder();
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return response.status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, "GET, HEAD").body(Full::default());
    }
    match request.uri().path() {
        "/livez" => verdict(desk.health.alive()),
        "/readyz" => verdict(desk.health.ready()),
        "/metrics" => scrape(request, desk).await,
        _ => response.status(StatusCode::NOT_FOUND).body(Full::default()),
    }
}

fn verdict(result: Result<String, String>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let (status, text) = match result {
        Ok(text) => (StatusCode::OK, text),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
    };
    Response::builder().status(status).header(CONTENT_TYPE, "text/plain; charset=utf-8").body(text.into())
}

async fn scrape(request: &Request<Incoming>, desk: &Arc<Desk>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let compressed = request.headers().get_all(ACCEPT_ENCODING).iter().any(takes_gzip);
    let at = Arc::clone(desk);
    let _one = desk.scrape.acquire().await;
    // Nobody else waits for it meanwhile: checks go on.
    let body = spawn_blocking(move || encoded(&at.metrics, compressed)).await;
    let Ok(Ok(body)) = body else {
        return Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(Full::default());
    };
    let mut response = Response::builder()
        .header(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        .header(VARY, "accept-encoding");
    if compressed {
        response = response.header(CONTENT_ENCODING, "gzip");
    }
    response.body(body.into())
}

/// Whether a client takes gzip (RFC 9110, section 12.5.3); Prometheus does.
fn takes_gzip(accepted: &HeaderValue) -> bool {
    let refused = |weight: &str| weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
    accepted.to_str().is_ok_and(|accepted| {
        accepted.split(',').any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim().eq_ignore_ascii_case("gzip") && !refused(weight)
        })
    })
}

fn encoded(metrics: &Metrics, compressed: bool) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if compressed {
        let mut gzip = GzEncoder::new(&mut body, Compression::fast());
        metrics.write(&mut gzip)?;
        gzip.finish()?;
    } else {
        metrics.write(&mut body)?;
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn readiness_says_what_is_pending_and_the_role() {
        let health = Health::default();
        health.pending("CRDs", "mailservers.mailverity.dev is not installed");
        health.pending("CRDs", "still not installed");
        assert_eq!(health.ready().unwrap_err(), "waiting for CRDs: still not installed\nrole: starting\n");
        health.done("CRDs");
        health.role("follower of mailverity-0");
        assert_eq!(health.ready().unwrap(), "ok\nrole: follower of mailverity-0\n");
    }

    #[test]
    fn a_process_whose_heart_stopped_is_not_alive() {
        let health = Health::default();
        assert!(health.alive().is_ok());
        lock(&health.0).beat = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        assert!(health.alive().unwrap_err().starts_with("stuck"));
        health.beat();
        assert!(health.alive().is_ok());
    }

    async fn listening() -> SocketAddr {
        let metrics = Metrics::default();
        metrics.leads("mailverity", true);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (stopper, stop) = Stop::new();
        let bound = listen(address, Health::default(), metrics, stop).await.unwrap();
        // Without it, it would stop at once.
        std::mem::forget(stopper);
        bound
    }

    /// All that is answered to these bytes.
    async fn says(address: SocketAddr, text: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
        let body = answer.split_off(end);
        (String::from_utf8(answer).unwrap(), body)
    }

    #[tokio::test]
    async fn metrics_are_compressed_for_whom_that_suits() {
        let address = listening().await;
        let (head, plain) = says(address, "GET /metrics HTTP/1.1\r\nhost: x\r\naccept-encoding: br, gzip;q=0\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && !head.contains("content-encoding"), "{head}");
        let plain = String::from_utf8(plain).unwrap();
        assert!(plain.contains("mailverity_leader{installation=\"mailverity\"} 1") && plain.ends_with("# EOF\n"), "{plain}");

        let (head, packed) = says(address, "GET /metrics HTTP/1.1\r\nhost: x\r\naccept-encoding: br, GZIP;q=0.5\r\n\r\n").await;
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut text).unwrap();
        assert_eq!(text, plain);
    }

    #[tokio::test]
    async fn what_is_not_there_is_refused() {
        let address = listening().await;
        for (asked, answered) in
            [("GET / ", "HTTP/1.1 404"), ("POST /metrics ", "HTTP/1.1 405"), ("HEAD /livez ", "HTTP/1.1 200")]
        {
            let (head, body) = says(address, &format!("{asked}HTTP/1.1\r\nhost: x\r\n\r\n")).await;
            assert!(head.starts_with(answered) && body.is_empty(), "{asked}: {head}");
        }
    }

    #[tokio::test]
    async fn those_who_hold_connections_do_not_keep_the_kubelet_out() {
        let address = listening().await;
        let mut silent = Vec::new();
        for _ in 0..PLACES {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let begun = Instant::now();
        let (head, _) = says(address, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(begun.elapsed() < ASKING + Duration::from_secs(3), "they held it for {:?}", begun.elapsed());
    }
}
