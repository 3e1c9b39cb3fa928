//! Microsoft Graph and the Gmail API as their vendors describe them, over TLS at a free port of loopback, with a token endpoint
//! for each; and what else a server may do. `graph` and `gmail` are the APIs, `letters` the mail behind them, `http` the wire.
//!
//! It runs on a thread of its own: tests may block, or stop their clock.

pub mod gmail;
pub mod graph;
mod http;
mod letters;
mod token;

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tokio_rustls::TlsAcceptor;

pub use http::{Answer, Fault, Request};
pub use letters::{Letters, Memory};

use super::stack::Stack;

/// The secret of the application that tests register.
pub fn secret() -> String {
    super::leaks::password("cloud-app")
}

/// What a token lets its bearer do.
#[derive(Clone, Debug)]
pub struct Granted {
    /// Whose mailbox it is, at Google; empty for an application.
    pub subject: String,
    /// What for.
    pub scope: String,
}

/// What is behind all connections.
pub struct Behind {
    letters: Box<dyn Letters>,
    tokens: Mutex<HashMap<String, Granted>>,
    faults: Mutex<Vec<(String, usize, Fault)>>,
    log: Mutex<Vec<String>>,
    /// How often a token was shown that is not taken.
    refused: AtomicUsize,
    /// The longest page, whatever is asked for.
    page: AtomicUsize,
    /// How many lists of messages show nothing yet.
    late: AtomicUsize,
    /// The scope that refresh tokens stand for.
    consent: Mutex<String>,
    port: u16,
}

/// A played provider.
pub struct Cloud {
    pub port: u16,
    /// The CA that signed its certificate, in PEM.
    pub ca: String,
    pub behind: Arc<Behind>,
    folder: PathBuf,
    _stop: oneshot::Sender<()>,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Cloud {
    /// Shows the mailboxes of the mail stack.
    pub fn over(stack: &Stack) -> Self {
        Self::with(letters::Maildirs::of(stack))
    }

    /// Shows these letters.
    pub fn with(letters: impl Letters + 'static) -> Self {
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned(), "mx.test".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = socket.local_addr().unwrap().port();
        let behind = Arc::new(Behind {
            letters: Box::new(letters),
            tokens: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            refused: AtomicUsize::new(0),
            page: AtomicUsize::new(usize::MAX),
            late: AtomicUsize::new(0),
            consent: Mutex::new("https://www.googleapis.com/auth/gmail.modify".to_owned()),
            port,
        });
        let (stop, stopped) = oneshot::channel();
        let serves = Arc::clone(&behind);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(socket, acceptor, serves) => {}
                    _ = stopped => {}
                }
            });
        });
        let folder = std::env::temp_dir().join(format!("mailverity-cloud-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
        Self { port, ca: ca.pem(), behind, folder, _stop: stop }
    }

    /// A file with the CA.
    pub fn ca_file(&self) -> String {
        self.folder.join("ca.pem").display().to_string()
    }

    /// Does this with the next requests of which method and path hold `part`, so many times.
    pub fn does(&self, part: &str, times: usize, fault: Fault) {
        self.behind.faults.lock().unwrap().push((part.to_owned(), times, fault));
    }

    /// Cuts lists into pages of so many.
    pub fn pages_of(&self, most: usize) {
        self.behind.page.store(most, SeqCst);
    }

    /// Shows no message in so many lists to come.
    pub fn is_late(&self, lists: usize) {
        self.behind.late.store(lists, SeqCst);
    }

    /// What refresh tokens stand for from now on.
    pub fn consents(&self, scope: &str) {
        scope.clone_into(&mut self.behind.consent.lock().unwrap());
    }

    /// Takes no token any more that it has given out.
    pub fn revokes(&self) {
        self.behind.tokens.lock().unwrap().clear();
    }

    /// How often a token was shown that is not taken.
    pub fn refusals(&self) -> usize {
        self.behind.refused.load(SeqCst)
    }

    /// Requests whose method and path hold this.
    pub fn asked(&self, part: &str) -> Vec<String> {
        self.behind.log.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
    }

    /// The block `graph` of a profile.
    pub fn graph(&self) -> Value {
        json!({"tenantID": "corp.test", "clientID": "us", "client": {"secretRef": {"name": "app"}},
            "endpoint": format!("https://localhost:{}", self.port), "tokenURL": format!("https://localhost:{}/token", self.port)})
    }

    /// The block `gmail` of a profile, by a user's consent.
    pub fn gmail(&self) -> Value {
        json!({"clientID": "us", "client": {"secretRef": {"name": "app"}}, "tokenSecretName": "consent",
            "endpoint": format!("https://localhost:{}", self.port), "tokenURL": format!("https://localhost:{}/token", self.port)})
    }

    /// A refresh token of a user's consent.
    pub fn consent_of(user: &str) -> String {
        format!("{}-of-{user}", super::leaks::password("refresh"))
    }
}

async fn serve(socket: std::net::TcpListener, acceptor: TlsAcceptor, behind: Arc<Behind>) {
    let listener = TcpListener::from_std(socket).unwrap();
    let mut serving = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, behind) = (acceptor.clone(), Arc::clone(&behind));
        serving.spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                http::serve(stream, &behind).await;
            }
        });
    }
}

impl Behind {
    /// What is done instead of an answer, where a test wants that.
    fn fault(&self, line: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let at = faults.iter().position(|(part, times, _)| *times > 0 && line.contains(part.as_str()))?;
        faults[at].1 -= 1;
        Some(faults[at].2.clone())
    }

    fn answer(&self, request: &Request) -> Answer {
        match request.path.as_str() {
            "/token" => token::answer(self, request),
            path if path.starts_with("/v1.0/") => graph::answer(self, request),
            path if path.starts_with("/gmail/v1/") => gmail::answer(self, request),
            _ => Answer::html(404),
        }
    }

    /// What the bearer of a request's token may do.
    fn granted(&self, request: &Request) -> Option<Granted> {
        let token = request.header("authorization")?.strip_prefix("Bearer ")?.to_owned();
        let granted = self.tokens.lock().unwrap().get(&token).cloned();
        self.refused.fetch_add(usize::from(granted.is_none()), SeqCst);
        granted
    }

    /// Whether this list is one of those that show nothing yet.
    fn is_late(&self) -> bool {
        self.late.fetch_update(SeqCst, SeqCst, |late| late.checked_sub(1)).is_ok()
    }
}
