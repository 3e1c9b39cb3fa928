//! A TCP stream that answers quickly and remembers how the other side began to speak.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The number of first bytes that are remembered: enough to name a protocol.
const OPENING: usize = 64;

/// A connected stream. From the step to TLS on it acknowledges at once after each write: on the first encrypted command
/// Nagle's algorithm at the server would otherwise meet our delayed acknowledgement, and stall each check for 40 ms.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    opening: Vec<u8>,
    in_tls: bool,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Tcp {
    /// Takes over a connected stream.
    ///
    /// # Errors
    /// Where the stream is not connected any more.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        Ok(Self { stream, opening: Vec::new(), in_tls: false, peer, local })
    }

    /// Where the stream leads.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our own end.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The first bytes that came, since [`Tcp::begin_tls`] if that was called.
    #[must_use]
    pub fn opening(&self) -> &[u8] {
        &self.opening
    }

    /// From here on TLS is spoken: the other side begins anew.
    pub fn begin_tls(&mut self) {
        self.opening.clear();
        self.in_tls = true;
    }

    /// Waits until there is something to read: bytes, the end, or an error. Nothing is taken.
    ///
    /// # Errors
    /// Where the runtime is going down.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    fn acknowledge_at_once(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.in_tls {
            // Not kept by the kernel: it has to be asked for again after each write. A refusal costs 40 ms, no more.
            let _ = socket2::SockRef::from(&self.stream).set_tcp_quickack(true);
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let room = OPENING.saturating_sub(self.opening.len());
        if room > 0 {
            let new = &buf.filled()[before..];
            self.opening.extend_from_slice(&new[..new.len().min(room)]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.acknowledge_at_once();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.acknowledge_at_once();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
