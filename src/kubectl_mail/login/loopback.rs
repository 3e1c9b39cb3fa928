//! Where a browser comes back to on this machine (RFC 8252 section 7.3): one answer is taken, and nobody else keeps it waiting.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    str::FromStr,
    time::Duration,
};

use futures::{StreamExt, future::select_all, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// The longest time for a connection: a request and its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of a request's head; codes of Microsoft's have some thousand.
const HEAD: usize = 32 * 1024;
/// The most connections at once; who comes later waits for one of them to end.
const CONNECTIONS: usize = 128;
/// How long to wait where no connection can be taken.
const BREATH: Duration = Duration::from_millis(50);
/// How often a free port is looked for that is free at both addresses of `localhost`.
const TRIES: usize = 16;

/// What the browser shows when it came back.
const TAKEN: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>kubectl mail login</title>\
                     <p>The answer has arrived. You may close this page: what comes of it is told where you began.</p></html>\n";

/// Where it is to come back to, as it is registered at the provider: at any port where none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    host: &'static str,
    port: Option<u16>,
    /// As it is written; empty where nothing is.
    path: String,
}

impl FromStr for Redirect {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write http://127.0.0.1, http://127.0.0.1:PORT or http://127.0.0.1:PORT/PATH";
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        if uri.scheme_str() != Some("http") || text.contains(['@', '?', '#']) {
            return Err(FORM);
        }
        let host = match uri.host() {
            Some("127.0.0.1") => "127.0.0.1",
            Some("localhost") => "localhost",
            _ => return Err("its host must be 127.0.0.1 or localhost: nobody else may be sent the code"),
        };
        let rest = text.get("http://".len()..).unwrap_or_default();
        let path = rest.find('/').map_or("", |at| &rest[at..]).to_owned();
        if uri.port().is_none() && rest.contains(':') {
            return Err(FORM);
        }
        Ok(Self { host, port: uri.port_u16().filter(|port| *port > 0), path })
    }
}

/// What listens there.
pub struct Loopback {
    listeners: Vec<TcpListener>,
    redirect: Redirect,
    port: u16,
}

impl Loopback {
    /// Listens on the loopback interface, at both of its addresses where a browser may come by the name.
    pub async fn bind(redirect: &Redirect) -> Result<Self, String> {
        let told = |error: io::Error| match redirect.port {
            Some(port) => format!("nobody can listen at port {port} of this machine: {error}"),
            None => format!("nobody can listen on the loopback interface: {error}"),
        };
        for _ in 0..TRIES {
            let first = TcpListener::bind(("127.0.0.1", redirect.port.unwrap_or(0))).await.map_err(told)?;
            let port = first.local_addr().map_err(told)?.port();
            let mut listeners = vec![first];
            if redirect.host == "localhost" {
                match TcpListener::bind(("::1", port)).await {
                    Ok(second) => listeners.push(second),
                    // Somebody else would be sent the code.
                    Err(error) if error.kind() == ErrorKind::AddrInUse && redirect.port.is_some() => return Err(told(error)),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => continue,
                    // There is no IPv6 here.
                    Err(_) => {}
                }
            }
            return Ok(Self { listeners, redirect: redirect.clone(), port });
        }
        Err("no port is free at both addresses of localhost".to_owned())
    }

    /// The redirect URI.
    pub fn uri(&self) -> String {
        format!("http://{}:{}{}", self.redirect.host, self.port, self.redirect.path)
    }

    /// Waits until a browser comes back with a query of which `read` makes something, once. All else is answered and forgotten.
    pub async fn answer<T>(self, read: impl Fn(&str) -> Option<T>) -> T {
        let path = if self.redirect.path.is_empty() { "/" } else { &self.redirect.path };
        let taken = Cell::new(false);
        let answer = |request: &Request<Incoming>| match (request.method(), request.uri().path() == path) {
            (_, false) => Err(StatusCode::NOT_FOUND),
            (&Method::GET, true) if !taken.get() => {
                let answer = read(request.uri().query().unwrap_or_default()).ok_or(StatusCode::BAD_REQUEST)?;
                taken.set(true);
                Ok(answer)
            }
            (&Method::GET, true) => Err(StatusCode::BAD_REQUEST),
            _ => Err(StatusCode::METHOD_NOT_ALLOWED),
        };
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(taken) = open.next(), if !open.is_empty() => {
                    if let Some(taken) = taken {
                        return taken;
                    }
                }
                stream = self.accept(), if open.len() < CONNECTIONS => open.push(serve(stream, &answer)),
            }
        }
    }

    async fn accept(&self) -> TcpStream {
        loop {
            let (accepted, ..) = select_all(self.listeners.iter().map(|listener| Box::pin(listener.accept()))).await;
            if let Ok((stream, _)) = accepted {
                return stream;
            }
            // Such as too many open files, which ends only in time.
            tokio::time::sleep(BREATH).await;
        }
    }
}

/// One request and its answer, and no more. Returns what was made of it.
async fn serve<T>(stream: TcpStream, answer: &impl Fn(&Request<Incoming>) -> Result<T, StatusCode>) -> Option<T> {
    let taken = Cell::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let (status, media, text) = match answer(&request) {
            Ok(value) => {
                taken.set(Some(value));
                (StatusCode::OK, "text/html; charset=utf-8", TAKEN)
            }
            Err(status) => (status, "text/plain; charset=utf-8", "This is not what kubectl mail login waits for.\n"),
        };
        async move {
            Response::builder()
                .status(status)
                .header(CONTENT_TYPE, media)
                .header(CACHE_CONTROL, "no-store")
                .header(REFERRER_POLICY, "no-referrer")
                .header(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'")
                .body(Full::new(Bytes::from_static(text.as_bytes())))
        }
    });
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).max_buf_size(HEAD).timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    // How it ends is of no interest: what was read of it counts.
    let _ = timeout(PATIENCE, builder.serve_connection(TokioIo::new(stream), service)).await;
    taken.into_inner()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A listener that takes the query `state=ours`, and what it answers.
    async fn listening() -> (u16, tokio::task::JoinHandle<String>) {
        let loopback = Loopback::bind(&"http://127.0.0.1".parse().unwrap()).await.unwrap();
        let read = |query: &str| query.contains("state=ours").then(|| query.to_owned());
        (loopback.port, tokio::task::spawn_local(loopback.answer(read)))
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(20), future).await.unwrap()
    }

    /// Says this, and returns all that is answered.
    async fn says(port: u16, text: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        // It may hang up before it has heard all of it.
        let _ = stream.write_all(text).await;
        let mut answer = Vec::new();
        let _ = within(stream.read_to_end(&mut answer)).await;
        String::from_utf8(answer).unwrap()
    }

    async fn gets(port: u16, path: &str) -> String {
        says(port, format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").as_bytes()).await
    }

    async fn locally<T>(test: impl Future<Output = T>) -> T {
        tokio::task::LocalSet::new().run_until(test).await
    }

    #[tokio::test]
    async fn what_is_not_waited_for_is_answered_and_waited_on() {
        locally(async {
            let (port, waiting) = listening().await;
            for (path, status) in [("/", 400), ("/?state=theirs", 400), ("/favicon.ico", 404), ("/x?state=ours", 404)] {
                let answer = gets(port, path).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
                assert!(!answer.contains("ours") && !answer.contains("theirs"), "{answer}");
            }
            for text in ["POST /?state=ours HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /?state=ours HTTP/1.1\r\nHost: a\r\n\r\n"] {
                assert!(says(port, text.as_bytes()).await.starts_with("HTTP/1.1 405 "), "{text}");
            }
            let huge = format!("GET /?state=ours HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(4 * HEAD));
            for nonsense in [huge.as_bytes(), b"\x16\x03\x01\x02\x00\x01\x00".as_slice(), b"GET\r\n\r\n", &vec![0; 2 * HEAD]] {
                let answer = says(port, nonsense).await;
                assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
            }
            assert!(!waiting.is_finished());
            let answer = gets(port, "/?code=c&state=ours").await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("You may close this page"), "{answer}");
            for header in
                ["cache-control: no-store", "referrer-policy: no-referrer", "content-security-policy: default-src 'none'"]
            {
                assert!(answer.contains(header), "{answer}");
            }
            assert!(!answer.contains("code=c") && !answer.contains("ours"), "{answer}");
            assert_eq!(within(waiting).await.unwrap(), "code=c&state=ours");
            assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "nobody listens any more");
        })
        .await;
    }

    #[tokio::test]
    async fn who_says_nothing_or_half_of_it_keeps_nobody_waiting() {
        locally(async {
            let (port, waiting) = listening().await;
            let mut slow = Vec::new();
            for text in [b"".as_slice(), b"GET /?state=ours&co", b"GET / HTTP/1.1\r\nHost: a\r\nX: "].repeat(20) {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.write_all(text).await.unwrap();
                slow.push(stream);
            }
            let begun = std::time::Instant::now();
            assert!(gets(port, "/?state=ours&code=c").await.starts_with("HTTP/1.1 200 "));
            assert_eq!(within(waiting).await.unwrap(), "state=ours&code=c");
            assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        })
        .await;
    }

    #[tokio::test]
    async fn more_than_can_be_served_at_once_are_hung_up_on_in_time() {
        locally(async {
            let (port, waiting) = listening().await;
            let mut slow = Vec::new();
            for _ in 0..=CONNECTIONS {
                slow.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
            }
            assert!(gets(port, "/?state=ours&code=c").await.starts_with("HTTP/1.1 200 "));
            assert_eq!(within(waiting).await.unwrap(), "state=ours&code=c");
        })
        .await;
    }

    #[tokio::test]
    async fn a_browser_that_hangs_up_after_its_question_was_heard() {
        locally(async {
            let (port, waiting) = listening().await;
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(b"GET /?state=ours HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            drop(stream);
            assert_eq!(within(waiting).await.unwrap(), "state=ours");
        })
        .await;
    }

    #[tokio::test]
    async fn a_redirect_uri_is_that_of_this_machine_alone() {
        for (text, path) in [("http://127.0.0.1", ""), ("http://127.0.0.1/", "/"), ("http://localhost/back/here", "/back/here")] {
            let loopback = Loopback::bind(&text.parse().unwrap()).await.unwrap();
            let host = if text.contains("localhost") { "localhost" } else { "127.0.0.1" };
            assert_eq!(loopback.uri(), format!("http://{host}:{}{path}", loopback.port));
            // The same port, named: where it is taken nothing is listened to.
            let error = Loopback::bind(&loopback.uri().parse().unwrap()).await.err().unwrap();
            assert!(error.starts_with(&format!("nobody can listen at port {}", loopback.port)), "{error}");
        }
        for text in [
            "",
            "127.0.0.1",
            "https://127.0.0.1",
            "http://192.0.2.1",
            "http://127.0.0.1.evil.test",
            "http://me@127.0.0.1",
            "http://evil.test@127.0.0.1",
            "http://127.0.0.1?a",
            "http://127.0.0.1/#a",
            "http://127.0.0.1:x/",
            "http://[::1]",
            "http://0.0.0.0",
        ] {
            assert!(text.parse::<Redirect>().is_err(), "{text}");
        }
    }
}
