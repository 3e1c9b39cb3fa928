//! One client as the sandbox sees it: lines in, lines out, bounded in length and time, with or without TLS.
//! Knows no protocol; [`super::smtp`] and [`super::pop3`] do.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// Replies are sent once this much waits, even if the client has more commands in the pipe.
const MOST_UNSENT: usize = 8 * 1024;

/// How long a client may take to hear the farewell, and how much it may still say over it.
const FAREWELL: Duration = Duration::from_secs(2);
const MOST_IGNORED: u64 = 256 * 1024;

pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Why there is no next line. Each ends the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The client left, or TLS failed: nobody hears a farewell.
    Gone,
    /// It took too long.
    TimedOut,
    /// The line has no end in sight.
    LineTooLong,
    /// A CR or an LF stood alone: the stuff that SMTP smuggling is made of.
    BareNewline,
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// A client.
pub(super) struct Peer {
    socket: BufReader<Box<dyn Socket>>,
    unsent: Vec<u8>,
    patience: Duration,
    /// Whether TLS is up.
    pub secure: bool,
}

impl Peer {
    /// A client on `socket`, who has `patience` for each line that it sends or reads.
    pub fn new(socket: impl Socket + 'static, patience: Duration) -> Self {
        Self { socket: BufReader::new(Box::new(socket)), unsent: Vec::new(), patience, secure: false }
    }

    /// Queues a line; it leaves before the next line is waited for.
    pub fn say(&mut self, line: impl AsRef<[u8]>) {
        self.unsent.extend_from_slice(line.as_ref());
        self.unsent.extend_from_slice(b"\r\n");
    }

    /// The next line, at most `most` bytes, without its CRLF.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn line(&mut self, most: usize) -> Result<Vec<u8>, Fault> {
        timeout(self.patience, self.next_line(most)).await.unwrap_or(Err(Fault::TimedOut))
    }

    async fn next_line(&mut self, most: usize) -> Result<Vec<u8>, Fault> {
        // The replies to pipelined commands leave together (RFC 2920 section 3.2).
        if self.unsent.len() > MOST_UNSENT || !self.socket.buffer().contains(&b'\n') {
            self.flush().await?;
        }
        let most = most + 2;
        let mut line = Vec::new();
        (&mut self.socket).take(most as u64).read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return Err(if line.len() == most { Fault::LineTooLong } else { Fault::Gone });
        }
        match line.strip_suffix(b"\r\n").map(<[u8]>::len) {
            Some(end) if !line[..end].contains(&b'\r') => {
                line.truncate(end);
                Ok(line)
            }
            _ => Err(Fault::BareNewline),
        }
    }

    /// Sends what is queued and shakes hands. What the client sent before that is dropped unread (RFC 3207 section 5).
    ///
    /// # Errors
    /// [`Fault::Gone`] if there is no TLS then, [`Fault::TimedOut`].
    pub async fn start_tls(&mut self, tls: &TlsAcceptor) -> Result<(), Fault> {
        let patience = self.patience;
        let handshake = async {
            self.flush().await?;
            let nobody: Box<dyn Socket> = Box::new(tokio::io::empty());
            let plain = std::mem::replace(&mut self.socket, BufReader::new(nobody)).into_inner();
            self.socket = BufReader::new(Box::new(tls.accept(plain).await?));
            self.secure = true;
            Ok(())
        };
        timeout(patience, handshake).await.unwrap_or(Err(Fault::TimedOut))
    }

    /// Says the last line and hangs up.
    pub async fn leave(&mut self, farewell: &str) {
        self.say(farewell);
        let leaving = async {
            self.flush().await?;
            self.socket.shutdown().await?;
            // Closing over unread bytes resets the connection, and the client would not see the farewell.
            let mut rest = (&mut self.socket).take(MOST_IGNORED);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
            Ok::<_, Fault>(())
        };
        // Whether the client hears it is its own affair.
        let _ = timeout(FAREWELL, leaving).await;
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        self.socket.write_all(&self.unsent).await?;
        self.unsent.clear();
        Ok(self.socket.flush().await?)
    }
}
