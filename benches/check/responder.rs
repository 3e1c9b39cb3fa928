//! A server that costs as little as TLS allows, so that what is measured against it is the client: answers each SMTP
//! command at once with a fixed reply. Runs in a process, and so on a core, of its own.

use std::{
    env, fs, io,
    io::BufRead,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::{Result, client::Target};

/// A responder in another process; dropping it ends it.
pub struct Running {
    child: Child,
    /// Where it listens.
    pub target: Target,
}

impl Running {
    pub fn start() -> Result<Self> {
        let mut child = Command::new(env::current_exe()?).arg("responder").stdout(Stdio::piped()).spawn()?;
        let mut port = String::new();
        io::BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut port)?;
        let login = Some(("user@example.test".to_owned(), "password".to_owned()));
        Ok(Self { target: Target { port: port.trim().parse()?, ca_file: ca_file(child.id()), login }, child })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.target.ca_file);
    }
}

fn ca_file(pid: u32) -> std::path::PathBuf {
    env::temp_dir().join(format!("mailverity-bench-{pid}.pem"))
}

/// The responder process: prints its port, then answers until it is killed.
pub fn run() -> Result<()> {
    let (tls, ca) = identity()?;
    fs::write(ca_file(std::process::id()), ca)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let (socket, _) = listener.accept().await?;
            let tls = tls.clone();
            tokio::spawn(async move {
                // A client that leaves early is no concern of ours.
                let _ = serve(socket, tls).await;
            });
        }
    })
}

fn identity() -> Result<(TlsAcceptor, String)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let ca = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    // Tickets cost, and nobody here resumes.
    config.send_tls13_tickets = 0;
    Ok((TlsAcceptor::from(Arc::new(config)), ca.pem()))
}

async fn serve(mut plain: TcpStream, tls: TlsAcceptor) -> Result<()> {
    plain.set_nodelay(true)?;
    plain.write_all(b"220 responder.test ESMTP\r\n").await?;
    if answer(&mut plain).await? {
        answer(&mut tls.accept(plain).await?).await?;
    }
    Ok(())
}

/// Answers until QUIT, or STARTTLS, when it returns true.
async fn answer(wire: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<bool> {
    let mut buffer = Vec::with_capacity(512);
    loop {
        buffer.clear();
        while !buffer.ends_with(b"\r\n") {
            if wire.read_buf(&mut buffer).await? == 0 {
                return Ok(false);
            }
        }
        let reply: &[u8] = match &buffer[..4] {
            b"EHLO" => b"250-responder.test\r\n250-SIZE 10485760\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n",
            b"STAR" => b"220 2.0.0 Ready to start TLS\r\n",
            b"AUTH" => b"235 2.7.0 Authentication successful\r\n",
            b"QUIT" => b"221 2.0.0 Bye\r\n",
            _ => b"250 2.0.0 Ok\r\n",
        };
        wire.write_all(reply).await?;
        wire.flush().await?;
        match &buffer[..4] {
            b"STAR" => return Ok(true),
            b"QUIT" => return wire.shutdown().await.map(|()| false).map_err(Into::into),
            _ => {}
        }
    }
}
