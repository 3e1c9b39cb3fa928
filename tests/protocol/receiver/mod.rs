//! The receive side: clients that behave, clients that do not, and those who try to break in. Clients are conversations, the
//! receiver is the real one.
//!
//! `C:` lines that follow one another are sent at once, `C>` sends what stands there without a line's end, `S:` is a line
//! that has to come, in which `*` stands for anything.

mod command;
mod conversations;
mod hostile;
mod limits;
mod smuggling;
mod tls;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use mailverity::receiver::{self, Consumer, Counters, Inbound, Limits, Options, Rules, Running, Site, TlsMode, Verdict};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::script::{is_like, unescape};

/// However slow the machine: no conversation takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps every mail, and says of each what it was told to say.
pub struct Keeper {
    pub mails: Mutex<Vec<Inbound>>,
    pub says: Mutex<Verdict>,
}

impl Consumer for Keeper {
    fn take<'a>(&'a self, mail: &'a Inbound) -> BoxFuture<'a, Verdict> {
        Box::pin(async {
            self.mails.lock().unwrap().push(mail.clone());
            self.says.lock().unwrap().clone()
        })
    }
}

/// A receiver at work, and what it took.
pub struct World {
    pub running: Running,
    pub keeper: Arc<Keeper>,
    pub counters: Counters,
}

pub fn site(domain: &str) -> Site {
    Site {
        name: domain.to_owned(),
        domains: vec![domain.to_owned()],
        notify_local_part: "notify".to_owned(),
        max_message_bytes: 1_000_000,
        allowed_sources: Vec::new(),
        tls: TlsMode::None,
        identity: None,
        is_suspended: false,
    }
}

pub fn rules(site: Site) -> Rules {
    Rules::new("mx.example.org", vec![site])
}

/// A receiver for example.org, with what `change` changes.
pub async fn receiver(change: impl FnOnce(&mut Options)) -> World {
    let keeper = Arc::new(Keeper { mails: Mutex::default(), says: Mutex::new(Verdict::Taken) });
    let counters = Counters::default();
    let mut options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        rules: rules(site("example.org")),
        consumers: vec![keeper.clone()],
        limits: Limits::default(),
        proxies: Vec::new(),
        counters: counters.clone(),
    };
    change(&mut options);
    World { running: receiver::start(options).await.unwrap(), keeper, counters }
}

impl World {
    /// Plays a conversation to its end.
    pub async fn plays(&self, talk: &str) {
        Client::connect(self.running.address).await.plays(talk).await;
    }

    pub fn mails(&self) -> Vec<Inbound> {
        self.keeper.mails.lock().unwrap().clone()
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A client in the middle of a conversation.
pub struct Client {
    stream: BufReader<Box<dyn Socket>>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap())
    }

    pub fn on(socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(socket)) }
    }

    pub async fn plays(&mut self, talk: &str) {
        let lines: Vec<&str> = talk.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let mut to_send = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            match line.split_at(2.min(line.len())) {
                ("C:", text) => {
                    to_send.extend(unescape(text.trim_start()));
                    to_send.extend(b"\r\n");
                }
                ("C>", text) => to_send.extend(unescape(text.trim_start())),
                ("S:", pattern) => {
                    let said = self.line().await;
                    assert!(is_like(&said, pattern.trim_start()), "{said:?} is not {pattern:?} in {talk}");
                }
                ("--", " closed") => self.closed().await,
                _ => panic!("{line:?} is no line of a conversation"),
            }
            let more = lines.get(at + 1).is_some_and(|next| next.starts_with('C'));
            if !more && !to_send.is_empty() {
                self.sends(&to_send).await;
                to_send.clear();
            }
        }
    }

    pub async fn sends(&mut self, bytes: &[u8]) {
        // A server that has hung up is noticed when it is listened to.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Whether the server took all of it, and did not hang up.
    pub async fn took(&mut self, bytes: &[u8]) -> bool {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("somebody who reads or hangs up").is_ok()
    }

    /// The next line without its CRLF; empty if there is none.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("a reply in time");
        if read.is_err() {
            return "(reset)".to_owned();
        }
        line.trim_end_matches("\r\n").to_owned()
    }

    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("an end in time");
        assert!(rest.is_empty() || read.is_err(), "{:?}", String::from_utf8_lossy(&rest));
    }

    /// What is below, for TLS to be put on.
    pub fn into_socket(self) -> Box<dyn AsyncReadWrite> {
        assert!(self.stream.buffer().is_empty());
        Box::new(self.stream.into_inner())
    }
}

/// What TLS can be put on.
pub trait AsyncReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> AsyncReadWrite for T {}

/// One mail to notify@example.org from greeting to goodbye.
pub const HONEST: &str = "
    S: 220 mx.example.org ESMTP *
    C: EHLO client.test
    S: 250-mx.example.org
    S: 250-PIPELINING
    S: 250-SIZE *
    S: 250-ENHANCEDSTATUSCODES
    S: 250-8BITMIME
    S: 250-SMTPUTF8
    S: 250 CHUNKING
    C: MAIL FROM:<ops@client.test>
    S: 250 2.1.0 Ok
    C: RCPT TO:<notify@example.org>
    S: 250 2.1.5 Ok
    C: DATA
    S: 354 *
    C: Subject: honest
    C:
    C: body
    C: .
    S: 250 2.0.0 Ok: *
    C: QUIT
    S: 221 2.0.0 *
    -- closed
";
