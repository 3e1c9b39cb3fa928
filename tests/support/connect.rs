//! A proxy that connects (RFC 9110 section 9.3.6), and knows whom it was asked for.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// A proxy on loopback.
pub struct Connect {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Connect {
    /// Connects to whatever it is asked for.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                tokio::spawn(async move { serve(stream, &log).await });
            }
        });
        Self { port, asked }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whom it was asked for, as host:port.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(stream: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut client = BufReader::new(stream);
    let mut place = None;
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        if let Some(rest) = line.strip_prefix("CONNECT ") {
            place = rest.split(' ').next().map(str::to_owned);
        }
        if line.trim_end().is_empty() {
            break;
        }
    }
    let place = place?;
    asked.lock().unwrap().push(place.clone());
    let mut server = TcpStream::connect(&place).await.ok()?;
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok().map(|_| ())
}
