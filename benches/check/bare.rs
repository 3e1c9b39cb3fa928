//! The yardstick: tokio, rustls and the lines of a check, without stages, diagnoses, bounds or deadlines.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Result, client::Target};

/// The bare client.
pub struct Client {
    port: u16,
    tls: TlsConnector,
    login: Option<String>,
}

impl Client {
    pub fn new(target: &Target) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&fs::read(&target.ca_file)?)?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A resumed session would show no certificate, and so check nothing.
        config.resumption = Resumption::disabled();
        let login = target.login.as_ref().map(|(user, password)| BASE64.encode(format!("\0{user}\0{password}")));
        Ok(Self { port: target.port, tls: TlsConnector::from(Arc::new(config)), login })
    }

    /// Connects, greets, takes the step to TLS, greets again, logs in and leaves.
    pub async fn check(&self) -> Result<()> {
        let mut plain = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        plain.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(1024);
        reply(&mut plain, &mut buffer).await?;
        command(&mut plain, "EHLO [127.0.0.1]\r\n", &mut buffer).await?;
        command(&mut plain, "STARTTLS\r\n", &mut buffer).await?;
        let mut wire = self.tls.connect(ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST)), plain).await?;
        acknowledge(&wire)?;
        tls_command(&mut wire, "EHLO [127.0.0.1]\r\n", &mut buffer).await?;
        if let Some(login) = &self.login {
            tls_command(&mut wire, &format!("AUTH PLAIN {login}\r\n"), &mut buffer).await?;
        }
        tls_command(&mut wire, "QUIT\r\n", &mut buffer).await
    }
}

async fn tls_command(wire: &mut TlsStream<TcpStream>, line: &str, buffer: &mut Vec<u8>) -> Result<()> {
    wire.write_all(line.as_bytes()).await?;
    wire.flush().await?;
    acknowledge(wire)?;
    reply(wire, buffer).await
}

/// Without this, Nagle's algorithm at the server and our delayed acknowledgement stall a check for 40 ms. The kernel does
/// not keep it: it has to be asked for after each write.
fn acknowledge(wire: &TlsStream<TcpStream>) -> io::Result<()> {
    SockRef::from(wire.get_ref().0).set_tcp_quickack(true)
}

async fn command(wire: &mut TcpStream, line: &str, buffer: &mut Vec<u8>) -> Result<()> {
    wire.write_all(line.as_bytes()).await?;
    reply(wire, buffer).await
}

/// Reads a reply to its last line, which must be positive.
async fn reply(wire: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    loop {
        if wire.read_buf(buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let last = buffer.strip_suffix(b"\r\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
        match last {
            Some([b'2', _, _, b' ', ..]) => return Ok(()),
            Some([_, _, _, b' ', ..]) => return Err(String::from_utf8_lossy(buffer).into_owned().into()),
            _ => {}
        }
    }
}
