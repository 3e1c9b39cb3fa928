//! One client on the wire: octets in, replies out, with or without TLS, bounded in length and time. An idle one costs next to
//! nothing: its buffers are there while there is something in them.

use std::{io, mem::MaybeUninit, ops::Range, pin::Pin, sync::Arc, time::Duration};

use memchr::memchr;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{LazyConfigAcceptor, rustls::server::Acceptor, server::TlsStream};

use super::{
    proxy,
    seats::{Place, Told},
    unstuff::Stray,
};

/// The most octets that are read at once.
const READ: usize = 16 * 1024;
/// Replies leave once so much waits, even if the client has more commands in the pipe.
const MOST_UNSENT: usize = 8 * 1024;
/// A buffer that is larger is given back when it is empty.
const KEEP: usize = 1024;
/// How long a client may take to hear the farewell, and how much it may still say over it.
const FAREWELL: Duration = Duration::from_secs(2);
const MOST_IGNORED: usize = 256 * 1024;

/// Why the conversation ends without the client's asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The client left, or TLS failed: nobody hears a farewell.
    Gone,
    /// It took too long.
    TimedOut,
    /// A command has no end in sight.
    LineTooLong,
    /// A mail has no end in sight.
    TooLarge,
    /// What smuggling is made of.
    Stray(Stray),
    /// We have to end it.
    Told(Told),
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Between the two.
    Nobody,
}

/// A client.
pub(super) struct Peer {
    stream: Stream,
    /// What was read, of which the first `taken` octets are done with.
    input: Vec<u8>,
    taken: usize,
    /// What has not left yet.
    pub output: Vec<u8>,
    /// For a write, and for a handshake.
    patience: Duration,
}

impl Peer {
    pub fn new(socket: TcpStream, patience: Duration) -> Self {
        // Replies are written whole; waiting for more to send only stalls the client.
        let _ = socket.set_nodelay(true);
        Self { stream: Stream::Plain(socket), input: Vec::new(), taken: 0, output: Vec::new(), patience }
    }

    /// Whether TLS is up.
    pub fn is_secure(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The version of TLS and its cipher.
    pub fn tls(&self) -> Option<(&'static str, String)> {
        let Stream::Tls(stream) = &self.stream else { return None };
        let connection = stream.get_ref().1;
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        Some((version, cipher.to_owned()))
    }

    /// What was read and is not done with.
    pub fn pending(&self) -> &[u8] {
        self.input.get(self.taken..).unwrap_or_default()
    }

    /// So much of it is done with.
    pub fn take(&mut self, octets: usize) {
        self.taken += octets;
    }

    /// A line and the place for its reply, which cannot be had one by one.
    pub fn line_and_output(&mut self, line: Range<usize>) -> (&[u8], &mut Vec<u8>) {
        (&self.input[line], &mut self.output)
    }

    /// Where the next line stands in the input, without its CRLF. While it is waited for, `place` can be told to leave.
    pub async fn line(&mut self, most: usize, patience: Duration, place: &Place) -> Result<Range<usize>, Fault> {
        let deadline = Instant::now() + patience;
        let mut seen = 0;
        loop {
            let pending = self.pending();
            if let Some(end) = memchr(b'\n', &pending[seen..]).map(|at| at + seen) {
                let line = &pending[..end];
                let line = line.strip_suffix(b"\r").ok_or(Fault::Stray(Stray::Lf))?;
                let begin = self.taken;
                let range = match memchr::memchr2(b'\r', 0, line).map(|at| line[at]) {
                    _ if line.len() > most => return Err(Fault::LineTooLong),
                    None => begin..begin + line.len(),
                    Some(0) => return Err(Fault::Stray(Stray::Nul)),
                    Some(_) => return Err(Fault::Stray(Stray::Cr)),
                };
                self.taken += end + 1;
                return Ok(range);
            }
            seen = pending.len();
            if seen > most + 1 {
                return Err(Fault::LineTooLong);
            }
            let filled = timeout_at(deadline, self.fill());
            tokio::select! {
                biased;
                filled = filled => filled.map_err(|_| Fault::TimedOut)??,
                told = place.told() => return Err(Fault::Told(told)),
            }
        }
    }

    /// Reads on, after all replies have left.
    pub async fn fill(&mut self) -> Result<(), Fault> {
        self.flush().await?;
        if self.taken == self.input.len() {
            self.input.clear();
            if self.input.capacity() > KEEP {
                self.input = Vec::new();
            }
        } else {
            self.input.drain(..self.taken);
        }
        self.taken = 0;
        if self.stream.read(&mut self.input).await? == 0 { Err(Fault::Gone) } else { Ok(()) }
    }

    /// Sends the replies where there are so many that they should not wait for one another any more.
    pub async fn relieve(&mut self) -> Result<(), Fault> {
        if self.output.len() > MOST_UNSENT { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        if self.output.is_empty() {
            return Ok(());
        }
        // A client that does not read must not hold a connection for ever.
        timeout(self.patience, self.stream.write(&self.output)).await.map_err(|_| Fault::TimedOut)??;
        self.output.clear();
        if self.output.capacity() > KEEP {
            self.output = Vec::new();
        }
        Ok(())
    }

    /// Reads the header of a load balancer; nothing is answered before. None where it speaks for itself.
    pub async fn proxy_header(&mut self) -> Result<Option<std::net::SocketAddr>, Fault> {
        let reading = async {
            loop {
                match proxy::read(&self.input) {
                    proxy::Header::Whole(octets, client) => {
                        self.taken = octets;
                        return Ok(client);
                    }
                    proxy::Header::Bad => return Err(Fault::Gone),
                    proxy::Header::Partial => _ = self.stream.read(&mut self.input).await.and_then(some)?,
                }
            }
        };
        timeout(self.patience, reading).await.unwrap_or(Err(Fault::TimedOut))
    }

    /// Sends what waits and shakes hands, showing what `config` chooses by the name that the client asks for. What the client
    /// said before counts no more: it may be somebody else's (RFC 3207 section 4.2, section 5).
    pub async fn start_tls(&mut self, config: impl FnOnce(Option<&str>) -> Option<Arc<ServerConfig>>) -> Result<(), Fault> {
        let patience = self.patience;
        let handshake = async {
            self.flush().await?;
            (self.input, self.taken) = (Vec::new(), 0);
            let Stream::Plain(socket) = std::mem::replace(&mut self.stream, Stream::Nobody) else { return Err(Fault::Gone) };
            let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
            let config = config(hello.client_hello().server_name()).ok_or(Fault::Gone)?;
            self.stream = Stream::Tls(Box::new(hello.into_stream(config).await?));
            Ok(())
        };
        // A handshake is large, and few of those who wait are in one.
        timeout(patience, Box::pin(handshake)).await.unwrap_or(Err(Fault::TimedOut))
    }

    /// Says what waits, the last of it, and hangs up; `hear` what the client still says, as closing over unread octets would
    /// reset the connection, and the client would not see the farewell.
    pub async fn leave(mut self, hear: bool) {
        let leaving = async {
            self.flush().await?;
            self.stream.shutdown().await?;
            let (mut ignored, mut rest) = (0, Vec::new());
            while hear && ignored < MOST_IGNORED {
                rest.clear();
                ignored += self.stream.read(&mut rest).await.and_then(some)?;
            }
            Ok::<_, Fault>(())
        };
        // Whether the client hears it is its own affair.
        let _ = timeout(FAREWELL, Box::pin(leaving)).await;
    }
}

fn some(octets: usize) -> io::Result<usize> {
    if octets == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(octets) }
}

impl Stream {
    /// Appends what is there. It is read on the stack first, so that who waits for octets holds no room for them.
    async fn read(&mut self, input: &mut Vec<u8>) -> io::Result<usize> {
        std::future::poll_fn(|context| {
            let mut room = [const { MaybeUninit::uninit() }; READ];
            let mut room = ReadBuf::uninit(&mut room);
            let polled = match self {
                Self::Plain(socket) => Pin::new(socket).poll_read(context, &mut room),
                Self::Tls(stream) => Pin::new(stream).poll_read(context, &mut room),
                Self::Nobody => return std::task::Poll::Ready(Ok(0)),
            };
            polled.map_ok(|()| {
                input.extend_from_slice(room.filled());
                room.filled().len()
            })
        })
        .await
    }

    async fn write(&mut self, output: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(output).await,
            Self::Tls(stream) => {
                stream.write_all(output).await?;
                stream.flush().await
            }
            Self::Nobody => Ok(()),
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
            Self::Nobody => Ok(()),
        }
    }
}
