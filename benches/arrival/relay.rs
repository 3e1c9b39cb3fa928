//! Passes SMTP on to a server, and takes the time at which that says that it has taken a mail.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What Postfix says when it has taken a mail.
const TAKEN: &[u8] = b"queued as";

/// A relay on a port of its own.
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    taken: Arc<Mutex<Option<Instant>>>,
}

impl Relay {
    pub async fn to(server: u16) -> super::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let relay = Self { port: listener.local_addr()?.port(), taken: Arc::default() };
        let taken = Arc::clone(&relay.taken);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let taken = Arc::clone(&taken);
                tokio::spawn(async move { pass(client, server, &taken).await });
            }
        });
        Ok(relay)
    }

    /// When the last mail was taken.
    pub fn taken(&self) -> Option<Instant> {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn forget(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

async fn pass(client: TcpStream, server: u16, taken: &Mutex<Option<Instant>>) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
    let up = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let down = async {
        let mut buffer = [0; 4096];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if read == 0 {
                return to_client.shutdown().await;
            }
            if buffer[..read].windows(TAKEN.len()).any(|window| window == TAKEN) {
                *taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    tokio::try_join!(up, down).map(|_| ())
}
