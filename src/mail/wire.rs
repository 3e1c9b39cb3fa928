//! The one thing that stands between us and every mail server.
//!
//! It owns the socket, the deadline, the bounds on what is read, the scrubbing of what the server says, and the step to
//! TLS, which fails if the server spoke before it: the check for injected plain text is here and nowhere else.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};
use tokio_rustls::client::TlsStream;

use super::{
    Diagnosis,
    diagnosis::{WORDS, printable},
    protocol::{self, Found, Protocol},
    sasl::Redaction,
    smtp::{Line, Reply},
    tcp::Tcp,
    tls::{self, Examination, TlsPolicy},
};
use crate::{api::Reason, mail::Stage};

/// The longest line that is read. RFC 5321 section 4.5.3.1.5 allows 512 octets; real servers send more.
const LINE: usize = 8 * 1024;
/// The most bytes that one server may send in one check.
const TOTAL: usize = 256 * 1024;

enum Stream {
    Plain(Tcp),
    Tls(Box<TlsStream<Tcp>>),
}

/// A conversation with a server, line by line, inside a deadline.
pub struct Wire {
    stream: Stream,
    protocol: Protocol,
    buffer: Vec<u8>,
    received: usize,
    deadline: Instant,
    secrets: Redaction,
    challenge: Option<String>,
    missed_our_certificate: bool,
    /// Whether the server has said anything, in this form of the conversation (plain or TLS).
    heard: bool,
}

impl Wire {
    /// A conversation in `protocol` over a connected stream; nothing is read or written after `deadline`.
    #[must_use]
    pub fn new(stream: Tcp, protocol: Protocol, deadline: Instant) -> Self {
        Self {
            stream: Stream::Plain(stream),
            protocol,
            buffer: Vec::new(),
            received: 0,
            deadline,
            secrets: Redaction::default(),
            challenge: None,
            missed_our_certificate: false,
            heard: false,
        }
    }

    /// Where it leads.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.tcp().peer()
    }

    /// Our own end.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.tcp().local()
    }

    /// Whether the conversation is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The moment after which nothing is read or written.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the deadline.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// From here on these are cut out of everything that the server says: it may echo what it was sent.
    pub fn scrub(&mut self, secrets: Redaction) {
        self.secrets = secrets;
    }

    /// From here on this proof of a password, telling from byte `from` on, is cut out as well.
    pub fn scrub_proof(&mut self, proof: &[u8], from: usize) {
        self.secrets.add_proof(proof, from);
    }

    /// What the server said, without what [`Wire::scrub`] forbids.
    #[must_use]
    pub fn scrubbed(&self, text: &str) -> String {
        self.secrets.scrub(text).into_owned()
    }

    /// The challenge in the last line, if it was one (334), as it came: an answer is computed from it, and scrubbing would
    /// spoil one that names the user's own domain. Nobody may see it.
    pub fn take_challenge(&mut self) -> Option<String> {
        self.challenge.take()
    }

    /// Reads one reply (RFC 5321 section 4.2).
    ///
    /// # Errors
    /// `ResponseTimedOut`, `ConnectionClosed`, `ConnectionReset`, `ProtocolError` where a bound is passed or the lines are
    /// no reply, `WrongProtocol` and `WrongTLSMode` where it is another protocol's.
    pub async fn reply(&mut self) -> Result<Reply, Diagnosis> {
        let mut reply: Option<Reply> = None;
        loop {
            let text = self.line().await?;
            let read = Line::parse(&text).and_then(|line| match reply.take() {
                None => Ok(Reply::from(line)),
                Some(mut so_far) => so_far.push(line).map(|()| so_far),
            });
            let so_far = read.map_err(|malformed| match protocol::of_line(&text, self.protocol) {
                Some(name) => Found::Other(name).diagnose(self.peer(), self.protocol).words(&text),
                None => broke(format!("the rule that {malformed}")).words(&text),
            })?;
            if so_far.is_complete() {
                tracing::trace!(server = %printable(&so_far.text(), WORDS), "reply");
                return Ok(so_far);
            }
            reply = Some(so_far);
        }
    }

    /// Sends one command and reads the reply.
    ///
    /// # Errors
    /// As [`Wire::reply`] and [`Wire::send`].
    pub async fn command(&mut self, command: &str) -> Result<Reply, Diagnosis> {
        tracing::trace!(client = %command, "command");
        self.say(command).await
    }

    /// As [`Wire::command`], for what no log may show.
    ///
    /// # Errors
    /// As [`Wire::command`].
    pub async fn secret_command(&mut self, command: &str) -> Result<Reply, Diagnosis> {
        tracing::trace!(client = "[redacted]", "command");
        self.say(command).await
    }

    async fn say(&mut self, command: &str) -> Result<Reply, Diagnosis> {
        // The one reply that may come unasked, where a server goes (RFC 5321 section 3.8): what it says tells more.
        if !self.buffer.starts_with(b"421") {
            self.send(format!("{command}\r\n").as_bytes()).await?;
        }
        self.reply().await
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// `ProtocolError` where the server spoke out of turn, `ResponseTimedOut`, `ConnectionClosed`, `ConnectionReset`.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Diagnosis> {
        self.has_answered_no_more()?;
        self.write(bytes).await
    }

    /// That nothing stands behind the reply that was read last: it would be taken for the answer to what is said next.
    ///
    /// # Errors
    /// `ProtocolError` where the server spoke out of turn.
    pub fn has_answered_no_more(&self) -> Result<(), Diagnosis> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let words = self.words_in_buffer();
        Err(broke("the order of commands and replies (it answered before it was asked)".to_owned()).words(words))
    }

    /// Waits until the server says anything in plain text, or goes; [`Wire::reply`] then reads it.
    pub async fn hears_something(&self) {
        if self.buffer.is_empty() {
            // An error is told again to who reads.
            self.tcp().readable().await.ok();
        }
    }

    /// Writes bytes as they are, whatever the server has said meanwhile.
    ///
    /// # Errors
    /// `ResponseTimedOut`, `ConnectionClosed`, `ConnectionReset`.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Diagnosis> {
        let write = async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.write_all(bytes).await,
                Stream::Tls(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
            }
        };
        match timeout_at(self.deadline, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    /// Takes the step to TLS; `Tls` after STARTTLS, or [`Stage::ImplicitTls`] at the start of a connection.
    ///
    /// What the server showed is told also where it is refused.
    ///
    /// # Errors
    /// `StartTLSInjection` where the server said anything in plain text behind its reply to STARTTLS, and all that
    /// [`tls::handshake`] can find.
    pub async fn into_tls(self, policy: &TlsPolicy, host: &str, stage: Stage) -> (Option<Examination>, Result<Self, Diagnosis>) {
        let Self { stream, protocol, buffer, received, deadline, secrets, .. } = self;
        let Stream::Plain(mut stream) = stream else {
            return (None, Err(broke("TLS inside TLS".to_owned())));
        };
        if !buffer.is_empty() {
            return (None, Err(injected(&String::from_utf8_lossy(&buffer))));
        }
        stream.begin_tls();
        let peer = stream.peer();
        let (examined, result) = tls::handshake(stream, policy, host, deadline).await;
        let asked = examined.as_ref().is_some_and(|e| e.client_certificate_asked) && policy.client.is_none();
        let result = match result {
            Ok(stream) => Ok(Self {
                stream: Stream::Tls(Box::new(stream)),
                protocol,
                buffer: Vec::new(),
                received,
                deadline,
                secrets,
                challenge: None,
                missed_our_certificate: asked,
                heard: false,
            }),
            Err(failure) => Err(failure.diagnose(stage, policy, host, peer, protocol)),
        };
        (examined, result)
    }

    /// Reads one line, without its end.
    ///
    /// # Errors
    /// As [`Wire::reply`].
    pub async fn line(&mut self) -> Result<String, Diagnosis> {
        let line = self.raw_line().await?;
        let text = String::from_utf8_lossy(&line);
        self.challenge = text.strip_prefix("334").map(|challenge| challenge.trim().to_owned());
        // A password may be a number: the code of a refusal must be seen, or it would be tried again.
        let code = if text.len() > 3 && text.as_bytes()[..3].iter().all(u8::is_ascii_digit) { 4 } else { 0 };
        let (code, words) = text.split_at_checked(code).unwrap_or(("", &text));
        Ok(format!("{code}{}", self.secrets.scrub(words)))
    }

    /// Reads one line as it came, without its end; nobody may see it before [`Wire::scrubbed`] has. May be dropped while it
    /// waits: nothing is lost.
    ///
    /// # Errors
    /// As [`Wire::reply`].
    pub async fn raw_line(&mut self) -> Result<Vec<u8>, Diagnosis> {
        self.raw_line_within(LINE).await
    }

    /// As [`Wire::raw_line`], with a bound of the caller's: a line of somebody's mail may be longer than any reply.
    ///
    /// # Errors
    /// As [`Wire::reply`].
    pub async fn raw_line_within(&mut self, most: usize) -> Result<Vec<u8>, Diagnosis> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + end).collect();
                let kept = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
                line.truncate(kept);
                return Ok(line);
            }
            searched = self.buffer.len();
            if searched > most {
                let words = self.words_in_buffer();
                return Err(broke(format!("the length of a line (over {most} bytes)")).words(words));
            }
            self.more().await?;
        }
    }

    /// Reads so many octets as they came: a literal of IMAP (RFC 9051 section 4.3). Who asks has seen to it that they are few.
    ///
    /// # Errors
    /// As [`Wire::reply`].
    pub async fn octets(&mut self, count: usize) -> Result<Vec<u8>, Diagnosis> {
        while self.buffer.len() < count {
            self.more().await?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// The bound on what the server may send holds from here anew: for conversations that last.
    pub fn measure_anew(&mut self) {
        self.received = 0;
    }

    async fn more(&mut self) -> Result<(), Diagnosis> {
        if self.received > TOTAL {
            return Err(broke(format!("every measure: over {} KiB in one check", TOTAL / 1024)));
        }
        let read = match timeout_at(self.deadline, self.fill()).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(self.broken(&error)),
            Err(_) => return Err(self.silent()),
        };
        if read == 0 {
            return Err(self.closed());
        }
        if !self.is_encrypted()
            && let Some(found) = protocol::of_bytes(self.tcp().opening(), self.protocol)
        {
            return Err(found.diagnose(self.peer(), self.protocol));
        }
        Ok(())
    }

    async fn fill(&mut self) -> io::Result<usize> {
        // A stack buffer keeps a connection that only waits at a few hundred bytes of heap.
        let mut chunk = [0_u8; 2048];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut chunk).await?,
            Stream::Tls(stream) => stream.read(&mut chunk).await?,
        };
        self.buffer.extend_from_slice(&chunk[..read]);
        self.received += read;
        self.heard |= read > 0;
        Ok(read)
    }

    fn tcp(&self) -> &Tcp {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    fn words_in_buffer(&self) -> String {
        let start = &self.buffer[..self.buffer.len().min(WORDS * 4)];
        printable(&self.secrets.scrub(&String::from_utf8_lossy(start)), WORDS)
    }

    /// How long was waited is told by the stage's time alone: a message must not change from check to check.
    fn silent(&self) -> Diagnosis {
        let diagnosis = Diagnosis::new(Reason::ResponseTimedOut).fact("address", self.peer().to_string());
        if self.buffer.is_empty() {
            return diagnosis.detail(format!("{} said nothing until the check's time was over", self.peer()));
        }
        let words = self.words_in_buffer();
        diagnosis.detail(format!("{} did not end its line until the check's time was over", self.peer())).words(words)
    }

    fn closed(&self) -> Diagnosis {
        if let Some(diagnosis) = self.given_up_on() {
            return diagnosis;
        }
        let diagnosis = Diagnosis::new(Reason::ConnectionClosed).detail(format!("{} closed the connection", self.peer()));
        if self.buffer.is_empty() { diagnosis } else { diagnosis.words(self.words_in_buffer()) }
    }

    /// In TLS 1.3 a server judges our certificate when the handshake is over for us, and its alert may be lost in the reset
    /// that our next command meets.
    fn given_up_on(&self) -> Option<Diagnosis> {
        (self.missed_our_certificate && !self.heard).then(tls::gave_up)
    }

    fn broken(&self, error: &io::Error) -> Diagnosis {
        if let Some(alert) = tls::alert(error) {
            return tls::alert_diagnosis(alert, self.missed_our_certificate);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => self.closed(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => self.given_up_on().unwrap_or_else(|| {
                Diagnosis::new(Reason::ConnectionReset)
                    .fact("address", self.peer().to_string())
                    .detail("the connection was reset")
            }),
            _ => Diagnosis::new(Reason::ConnectionReset).fact("address", self.peer().to_string()).detail(error.to_string()),
        }
    }
}

/// Plain text behind the reply to STARTTLS (CVE-2011-0411 and its many sisters).
pub(super) fn injected(words: &str) -> Diagnosis {
    Diagnosis::new(Reason::StartTLSInjection).detail("plain text stood behind the reply to STARTTLS").words(words)
}

/// The server broke a rule, or sent more than is reasonable.
pub(super) fn broke(rule: String) -> Diagnosis {
    Diagnosis::new(Reason::ProtocolError).detail(format!("the server broke {rule}")).fact("rule", rule)
}
