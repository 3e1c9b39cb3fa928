//! A proxy before the API server that reads along, and holds a claim at a named point. The operator speaks to it without TLS.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use futures::FutureExt;
use mailverity::mail::tls::certificates;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

/// Where a claim, or the note of what was found, can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The API server has not seen it.
    Claim,
    /// The API server has taken it, and the operator has not heard of it.
    Claimed,
    /// The API server has not seen that a server took the mail.
    Sending,
    /// It has, and the operator has not heard of it.
    Sent,
    /// The API server has not seen that a mail was found.
    Finding,
    /// It has, and the operator has not heard of it.
    Found,
    /// The API server has not seen what a receiver took.
    Reply,
    /// It has, and the receiver has not heard of it.
    Replied,
    /// The API server has not seen a refresh token that is to be kept.
    Keeping,
    /// It has, and the operator has not heard of it.
    Kept,
    /// The API server has not seen that an agent takes a task.
    Taking,
    /// It has, and the agent has not heard of it.
    Taken,
}

#[derive(Default)]
struct State {
    /// Where, and in what path.
    hold: Mutex<Option<(Hold, String)>>,
    reached: Notify,
    /// Nothing gets through in either direction.
    dark: AtomicBool,
    /// What was held is lost when it is let go.
    loses: AtomicBool,
}

/// A proxy in front of the API server.
pub struct ApiProxy {
    pub port: u16,
    state: Arc<State>,
    release: watch::Sender<bool>,
}

impl ApiProxy {
    /// In front of the API server of this kubeconfig.
    pub async fn to(kubeconfig: &str) -> Self {
        let config: Value = serde_yaml::from_str(&std::fs::read_to_string(kubeconfig).unwrap()).unwrap();
        let cluster = &config["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().unwrap().trim_start_matches("https://").to_owned();
        let (host, _) = server.rsplit_once(':').unwrap();
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).unwrap();
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&authority(cluster)).unwrap() {
            roots.add(certificate).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let tls = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(tls));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (release, released) = watch::channel(false);
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (tls, server, name) = (tls.clone(), server.clone(), name.clone());
                let (state, released) = (Arc::clone(&shared), released.clone());
                tokio::spawn(async move {
                    let Ok(tcp) = TcpStream::connect(&server).await else { return };
                    let Ok(api) = tls.connect(name, tcp).await else { return };
                    let ((from_client, to_client), (from_api, to_api)) = (client.into_split(), split(api));
                    let answer = Arc::new(AtomicBool::new(false));
                    let heard = Arc::new(Notify::new());
                    let (shown, held) = (Arc::clone(&state), released.clone());
                    tokio::spawn(answers(from_api, to_client, shown, held, Arc::clone(&answer), Arc::clone(&heard)));
                    requests(from_client, to_api, &state, released, &answer, &heard).await;
                });
            }
        });
        Self { port, state, release }
    }

    /// Holds the next claim, or note, of this object there: one such as `emailprofiles/box`, or `actortasks/find`.
    pub fn hold(&self, hold: Hold, object: &str) {
        *self.state.hold.lock().unwrap() = Some((hold, format!("/{object}/")));
        self.release.send_replace(false);
    }

    /// Holds the next `ProbeReply` there.
    pub fn hold_reply(&self, hold: Hold) {
        *self.state.hold.lock().unwrap() = Some((hold, "/probereplies".to_owned()));
        self.release.send_replace(false);
    }

    /// Holds the next write of a Secret with a refresh token there.
    pub fn hold_secret(&self, hold: Hold) {
        *self.state.hold.lock().unwrap() = Some((hold, "/secrets".to_owned()));
        self.release.send_replace(false);
    }

    /// From now on nothing gets through, and nobody is told; or everything does again.
    pub fn dark(&self, dark: bool) {
        self.state.dark.store(dark, Ordering::SeqCst);
    }

    /// Waits until a claim is held.
    pub async fn reached(&self) {
        let reached = self.state.reached.notified();
        tokio::time::timeout(std::time::Duration::from_secs(30), reached).await.expect("nothing of that kind was written");
    }

    /// Lets go: what was held goes on its way.
    pub fn let_go(&self) {
        self.state.loses.store(false, Ordering::SeqCst);
        *self.state.hold.lock().unwrap() = None;
        self.release.send_replace(true);
    }

    /// Lets go of nothing: what was held never comes to the API server, as where its sender died before it left.
    pub fn lose(&self) {
        self.state.loses.store(true, Ordering::SeqCst);
        *self.state.hold.lock().unwrap() = None;
        self.release.send_replace(true);
    }
}

fn authority(cluster: &Value) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    match (cluster["certificate-authority-data"].as_str(), cluster["certificate-authority"].as_str()) {
        (Some(data), _) => STANDARD.decode(data).unwrap(),
        (None, file) => std::fs::read(file.expect("a CA in the kubeconfig")).unwrap(),
    }
}

impl State {
    /// Whether this is where a claim is to be held; from then on it is not any more.
    fn takes(&self, here: Hold, request: &[u8]) -> bool {
        let mut hold = self.hold.lock().unwrap();
        let text = String::from_utf8_lossy(request);
        let line = text.lines().next().unwrap_or_default();
        let is_here = hold.as_ref().is_some_and(|(hold, path)| *hold == here && line.contains(path));
        if is_here {
            *hold = None;
        }
        is_here
    }

    async fn light(&self) {
        while self.dark.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn wait(&self, released: &mut watch::Receiver<bool>) {
        self.reached.notify_one();
        released.wait_for(|released| *released).await.ok();
    }
}

/// The length of the first whole request, if it is here.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}

/// Where a request would be held before the API server sees it, and where after that: one that takes the right to send a mail, or
/// tells that a mail was found.
fn holds(request: &[u8]) -> Option<(Hold, Hold)> {
    let text = String::from_utf8_lossy(request);
    let line = text.lines().next().unwrap_or_default();
    if line.starts_with("POST ") && line.contains("/probereplies") {
        return Some((Hold::Reply, Hold::Replied));
    }
    if (line.starts_with("POST ") || line.starts_with("PUT ")) && line.contains("/secrets") && text.contains("\"refresh_token\"")
    {
        return Some((Hold::Keeping, Hold::Kept));
    }
    let to_a_status = line.starts_with("PATCH ") && line.contains("/status");
    if to_a_status && line.contains("/actortasks/") {
        return text.contains("\"Claimed\"").then_some((Hold::Taking, Hold::Taken));
    }
    if to_a_status && line.contains("/roundtrippolicies/") {
        return of_a_policy(text.split_once("\r\n\r\n")?.1);
    }
    if !to_a_status || !line.contains("/emailprofiles/") || !text.contains("\"claims\":[{") {
        return None;
    }
    if text.contains("\"AwaitingMessage\"") {
        return Some((Hold::Claim, Hold::Claimed));
    }
    text.contains("\"receivedTime\"").then_some((Hold::Finding, Hold::Found))
}

/// The same of a policy's status.
fn of_a_policy(body: &str) -> Option<(Hold, Hold)> {
    let status = serde_json::from_str::<Value>(body).ok()?["status"].take();
    let probe = &status["inFlight"];
    match (probe.is_object(), probe["sentAt"].is_string()) {
        (true, true) => Some((Hold::Sending, Hold::Sent)),
        (true, false) => Some((Hold::Claim, Hold::Claimed)),
        (false, _) => status["lastRoundTrip"].is_object().then_some((Hold::Finding, Hold::Found)),
    }
}

async fn requests(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &State,
    mut released: watch::Receiver<bool>,
    answer: &AtomicBool,
    heard: &Notify,
) {
    let (mut buffer, mut chunk, mut was_held) = (Vec::new(), vec![0; 64 * 1024], false);
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        buffer.extend_from_slice(&chunk[..read]);
        while let Some(length) = whole(&buffer) {
            let request: Vec<u8> = buffer.drain(..length).collect();
            if let Some((before, after)) = holds(&request) {
                if state.takes(before, &request) {
                    state.wait(&mut released).await;
                    if state.loses.load(Ordering::SeqCst) {
                        return;
                    }
                    was_held = true;
                    // Answers to requests before it are none to it.
                    let _ = heard.notified().now_or_never();
                }
                answer.store(state.takes(after, &request), Ordering::SeqCst);
            }
            state.light().await;
            if to.write_all(&request).await.is_err() || to.flush().await.is_err() {
                return;
            }
        }
    }
    if was_held {
        // Whoever sent it may be dead. An API server whose client hangs up drops what it has not done yet: this one is to be done.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(10), heard.notified()).await;
    }
    to.shutdown().await.ok();
}

async fn answers(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: Arc<State>,
    mut released: watch::Receiver<bool>,
    answer: Arc<AtomicBool>,
    heard: Arc<Notify>,
) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        if answer.swap(false, Ordering::SeqCst) {
            state.wait(&mut released).await;
        }
        state.light().await;
        heard.notify_one();
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}
