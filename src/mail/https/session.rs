//! Requests one after the other over one connection, which is opened again where the server has closed it meanwhile.

use http_body_util::Full;
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::{Builder, SendRequest},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_rustls::client::TlsStream;

use super::{AGENT, Answer, Bound, HEAD, Https, broke, broken, host_field, read, sensitive};
use crate::{
    api::Reason,
    mail::{Diagnosis, Tcp, authority},
};

/// `Prefer` (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What is asked. It must be such that asking it twice does no more than asking it once (RFC 9110 section 9.2.2).
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// GET, PATCH, POST or DELETE.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// What is preferred (RFC 7240).
    pub prefer: Option<&'static str>,
    /// A body in JSON.
    pub json: Option<&'static str>,
    /// How much of the answer is read.
    pub bound: Bound,
}

/// Requests to one host, with one access token (RFC 6750).
pub struct Session {
    https: Https,
    host: String,
    port: u16,
    bearer: Option<SecretString>,
    connection: Option<Connection>,
    deadline: Instant,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes.
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Requests over a connection that is there.
    ///
    /// # Errors
    /// Where it is not there any more.
    pub async fn over(https: Https, host: &str, port: u16, stream: TlsStream<Tcp>, deadline: Instant) -> Result<Self, Diagnosis> {
        let mut session = Self { https, host: host.to_owned(), port, bearer: None, connection: None, deadline };
        session.connection = Some(session.begin(stream).await?);
        Ok(session)
    }

    /// From here on this token is shown with each request.
    pub fn show(&mut self, token: &SecretString) {
        use secrecy::ExposeSecret;
        self.bearer = Some(SecretString::from(format!("Bearer {}", token.expose_secret())));
    }

    /// Where requests go.
    #[must_use]
    pub fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The moment after which nothing is said or heard.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves it.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Asks. A connection that was idle may have been closed by the server: then it is asked once more over a new one.
    ///
    /// # Errors
    /// Those of [`Https::post`]. An answer with any status is none of these.
    pub async fn ask(&mut self, ask: &Ask<'_>) -> Result<Answer, Diagnosis> {
        let was_open = self.connection.is_some();
        match self.ask_once(ask).await {
            Err(failure) if was_open && failure.reason == Reason::ConnectionClosed => {
                self.connection = None;
                self.ask_once(ask).await
            }
            answer => answer,
        }
    }

    async fn ask_once(&mut self, ask: &Ask<'_>) -> Result<Answer, Diagnosis> {
        let place = authority(&self.host, self.port);
        let deadline = self.deadline;
        let silent = || {
            let silent = Diagnosis::new(Reason::ResponseTimedOut).detail(format!("{place} did not answer in time"));
            silent.fact("address", &place)
        };
        let exchange = async {
            let mut open = self.connection.take();
            if let Some(connection) = &mut open
                && connection.sender.ready().await.is_err()
            {
                open = None;
            }
            let mut connection = if let Some(connection) = open {
                connection
            } else {
                let stream = self.https.connect(&self.host, self.port, deadline).await?;
                self.begin(stream).await?
            };
            let request = self.request(ask).ok_or_else(|| broke(&place, "the request cannot be written"))?;
            let response = connection.sender.send_request(request).await.map_err(|error| broken(&place, &error))?;
            let answer = read(response, &place, ask.bound).await?;
            // Behind a body of which only the start was read there is no next answer.
            self.connection = Some(connection).filter(|_| matches!(ask.bound, Bound::Whole(_)));
            Ok(answer)
        };
        timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn begin(&self, stream: TlsStream<Tcp>) -> Result<Connection, Diagnosis> {
        let place = authority(&self.host, self.port);
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&place, &error))?;
        // What ends it is told to whoever waits for an answer.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, driver })
    }

    fn request(&self, ask: &Ask<'_>) -> Option<Request<Full<Bytes>>> {
        let body = ask.json.map(|json| Bytes::from_static(json.as_bytes()));
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(ask.path)
            .header(HOST, host_field(&self.host, self.port))
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "application/json, */*;q=0.1")
            .body(Full::new(body.unwrap_or_default()))
            .ok()?;
        let headers = request.headers_mut();
        if ask.json.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(prefer) = ask.prefer {
            headers.insert(PREFER, HeaderValue::from_static(prefer));
        }
        if let Some(bearer) = &self.bearer {
            headers.insert(AUTHORIZATION, sensitive(bearer)?);
        }
        Some(request)
    }
}
