//! Plays a conversation to whoever connects, and keeps what it heard.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use crate::{
    certificates,
    script::{Script, Step, Tcp, is_like},
};

/// What was heard, in order: `C: ` and a line, or `gate: ` and what the gate was asked.
#[derive(Clone)]
pub struct Log(watch::Sender<Vec<String>>);

impl Default for Log {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl Log {
    pub fn add(&self, line: impl Into<String>) {
        self.0.send_modify(|lines| lines.push(line.into()));
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Waits until something like this was heard.
    pub async fn heard(&self, pattern: &str) {
        let mut lines = self.0.subscribe();
        lines.wait_for(|lines| lines.iter().any(|line| is_like(line, pattern))).await.unwrap();
    }
}

/// What a server heard, and what went wrong with the conversation.
#[derive(Default)]
pub struct Heard {
    /// The number of connections.
    pub connections: usize,
    /// Each mail up to its final dot, dots still stuffed.
    pub mails: Vec<String>,
    /// Where the client did not say what the conversation has.
    pub faults: Vec<String>,
    /// The number of bytes that the server could get rid of.
    pub said: usize,
}

/// A server that plays one conversation to each connection.
pub struct Player {
    pub address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    task: Option<JoinHandle<()>>,
    /// Sockets that only hold a port, or fill a backlog.
    _held: Vec<socket2::Socket>,
}

impl Player {
    pub async fn start(script: &Script, log: Log) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let v6_only = matches!(&script.names, crate::script::Names::Answer { a, aaaa, .. } if a.is_empty() && !aaaa.is_empty());
        let place: SocketAddr = if v6_only { "[::1]:0" } else { "127.0.0.1:0" }.parse().unwrap();
        if script.tcp != Tcp::Accepted {
            let held = unanswered(place, script.tcp);
            let address = held[0].local_addr().unwrap().as_socket().unwrap();
            return Self { address, heard, task: None, _held: held };
        }
        let listener = TcpListener::bind(place).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (steps, kept) = (script.steps.clone(), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                kept.lock().unwrap().connections += 1;
                let (steps, log, kept) = (steps.clone(), log.clone(), Arc::clone(&kept));
                open.spawn(async move { Conversation::new(stream, log, kept).play(&steps).await });
            }
        });
        Self { address, heard, task: Some(task), _held: Vec::new() }
    }

    /// What was heard, once the client has gone.
    pub async fn heard(mut self) -> Heard {
        // Each conversation ends as soon as it sees the client go: until then it holds a share of what was heard.
        for _ in 0..500 {
            if Arc::strong_count(&self.heard) <= 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if let Some(task) = self.task.take() {
            task.abort();
        }
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// A port that refuses (bound, and not listened on) or is silent (its backlog is full: further SYNs are dropped).
fn unanswered(place: SocketAddr, tcp: Tcp) -> Vec<socket2::Socket> {
    let new = || socket2::Socket::new(socket2::Domain::for_address(place), socket2::Type::STREAM, None).unwrap();
    let first = new();
    first.bind(&place.into()).unwrap();
    if tcp == Tcp::Refused {
        return vec![first];
    }
    first.listen(0).unwrap();
    let address = first.local_addr().unwrap();
    let mut held = vec![first];
    for _ in 0..4 {
        let filler = new();
        filler.set_nonblocking(true).unwrap();
        // "In progress" is what a connection that does not block says.
        filler.connect(&address).ok();
        held.push(filler);
    }
    held
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into).await,
            Self::Tls(stream) => stream.read(into).await,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn close(&mut self) {
        match self {
            Self::Plain(stream) => stream.shutdown().await.ok(),
            Self::Tls(stream) => stream.shutdown().await.ok(),
        };
    }
}

struct Conversation {
    stream: Option<Stream>,
    unread: Vec<u8>,
    log: Log,
    heard: Arc<Mutex<Heard>>,
}

impl Conversation {
    fn new(stream: TcpStream, log: Log, heard: Arc<Mutex<Heard>>) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream: Some(Stream::Plain(stream)), unread: Vec::new(), log, heard }
    }

    async fn play(mut self, steps: &[Step]) {
        for step in steps {
            if !self.step(step).await {
                return;
            }
        }
        // What is not written is only a goodbye.
        while let Some(line) = self.line().await {
            self.log.add(format!("C: {line}"));
            if line != "QUIT" {
                self.fault(format!("{line:?} is said behind the end of the conversation"));
            }
            self.say(b"221 2.0.0 Bye\r\n").await;
        }
    }

    /// Plays one step; whether the next one follows.
    async fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Say(bytes) => self.say(bytes).await,
            Step::Hear(pattern) => self.hear(pattern).await,
            Step::ThrowBack(words) => {
                let Some(line) = self.line().await else { return false };
                self.log.add(format!("C: {line}"));
                self.say(format!("{words} {line}\r\n").as_bytes()).await
            }
            Step::HearBytes(bytes) => {
                let mut seen = vec![0; bytes.len()];
                for byte in &mut seen {
                    let Some(next) = self.byte().await else { break };
                    *byte = next;
                }
                if seen != *bytes {
                    self.fault(format!("{seen:?} came where {bytes:?} was due"));
                }
                seen == *bytes
            }
            Step::HearMail | Step::HearHalfAMail => self.hear_mail(*step == Step::HearMail).await,
            Step::HearHello => self.hear_hello().await,
            Step::Tls(server) => self.shake_hands(server).await,
            Step::Wait(time) => {
                if let Ok(early) = timeout(*time, self.byte()).await {
                    self.fault(format!("{early:?} came before the server spoke"));
                    return false;
                }
                true
            }
            Step::Drip(bytes, every) => {
                for byte in bytes {
                    if !self.say(&[*byte]).await || timeout(*every, self.byte()).await.is_ok() {
                        return false;
                    }
                }
                true
            }
            Step::Repeat(bytes, times) => {
                for _ in 0..*times {
                    if !self.say(bytes).await {
                        return false;
                    }
                }
                true
            }
            Step::Hang => {
                while let Some(line) = self.line().await {
                    self.fault(format!("{line:?} came to a server that hangs"));
                }
                false
            }
            Step::Close => {
                if let Some(stream) = &mut self.stream {
                    stream.close().await;
                }
                false
            }
            Step::Reset => {
                let tcp = match &self.stream {
                    Some(Stream::Plain(tcp)) => tcp,
                    Some(Stream::Tls(tls)) => tls.get_ref().0,
                    None => return false,
                };
                tcp.set_zero_linger().unwrap();
                self.stream = None;
                false
            }
        }
    }

    async fn say(&mut self, bytes: &[u8]) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let said = stream.write(bytes).await.is_ok();
        if said {
            self.heard.lock().unwrap().said += bytes.len();
        }
        said
    }

    async fn hear(&mut self, pattern: &str) -> bool {
        let Some(line) = self.line().await else {
            self.fault(format!("the client went where {pattern:?} was due"));
            return false;
        };
        self.log.add(format!("C: {line}"));
        if !is_like(&line, pattern) {
            self.fault(format!("{line:?} was said where {pattern:?} was due"));
        }
        is_like(&line, pattern)
    }

    async fn hear_mail(&mut self, whole: bool) -> bool {
        let mut mail = String::new();
        while let Some(line) = self.line().await {
            if line == "." {
                self.log.add("C: [mail]");
                self.log.add("C: .");
                if !whole {
                    self.fault("a final dot was written".to_owned());
                }
                self.heard.lock().unwrap().mails.push(mail);
                return true;
            }
            mail.push_str(&line);
            mail.push_str("\r\n");
        }
        if whole {
            self.fault("the client went before the final dot".to_owned());
        }
        false
    }

    /// A whole record (RFC 8446 section 5.1): its type, its version, its length and so many bytes.
    async fn hear_hello(&mut self) -> bool {
        let mut head = [0; 5];
        for byte in &mut head {
            let Some(next) = self.byte().await else { return false };
            *byte = next;
        }
        if head[0] != 0x16 {
            self.fault(format!("{head:?} is no TLS hello"));
        }
        for _ in 0..u16::from_be_bytes([head[3], head[4]]) {
            self.byte().await;
        }
        head[0] == 0x16
    }

    async fn shake_hands(&mut self, server: &str) -> bool {
        if !self.unread.is_empty() {
            self.fault("the client spoke plain text behind STARTTLS".to_owned());
        }
        let Some(Stream::Plain(tcp)) = self.stream.take() else { return false };
        match certificates::acceptor(server).accept(tcp).into_fallible().await {
            Ok(tls) => {
                self.stream = Some(Stream::Tls(Box::new(tls)));
                true
            }
            Err((_, mut tcp)) => {
                // The alert must reach the client: a socket that is closed with bytes unread is reset.
                tcp.shutdown().await.ok();
                tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await.ok();
                false
            }
        }
    }

    /// A line without its end; none once the client has gone.
    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            match self.byte().await? {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        if !text.ends_with('\r') {
            self.fault(format!("{text:?} does not end in CRLF"));
        }
        Some(text.trim_end_matches('\r').to_owned())
    }

    async fn byte(&mut self) -> Option<u8> {
        if self.unread.is_empty() {
            let mut chunk = [0; 4096];
            let read = self.stream.as_mut()?.read(&mut chunk).await.ok()?;
            self.unread = chunk[..read].iter().rev().copied().collect();
        }
        self.unread.pop()
    }

    fn fault(&self, fault: String) {
        self.heard.lock().unwrap().faults.push(fault);
    }
}
