//! A small mail server on loopback for trying the product: SMTP that takes mail, POP3 that reads it, TLS, a login.
//!
//! Nothing in it leaves the machine and nothing is kept: mail lives in memory and goes with the process. Everything
//! starts at [`Sandbox::start`]; `smtp` and `pop3` are the two protocols, each straight code over a `peer::Peer`.

mod auth;
mod certificate;
mod maildrop;
mod peer;
mod pop3;
mod smtp;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use secrecy::SecretString;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use self::{
    maildrop::{Maildrop, Message},
    peer::Peer,
};

/// Connections that are served at once; more wait their turn.
const MOST_CONNECTIONS: usize = 64;
/// No conversation is longer, whatever the client does to stretch it.
const SESSION_DEADLINE: Duration = Duration::from_mins(10);

/// Who may log in, and whose mail is taken.
#[derive(Clone, Debug)]
pub struct Account {
    /// The login name and the address, `local@domain`; the domain becomes one that the sandbox takes mail for.
    pub user: String,
    /// Its password.
    pub password: SecretString,
}

impl Account {
    /// `demo@sandbox.test` with a password that nobody can guess.
    #[must_use]
    pub fn demo() -> Self {
        Self { user: "demo@sandbox.test".to_owned(), password: Uuid::new_v4().simple().to_string().into() }
    }

    fn domain(&self) -> &str {
        self.user.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// One TCP port for each listener; asked for as 0, a free one is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// SMTP with STARTTLS; a login only after it.
    pub smtp: u16,
    /// SMTP with TLS from the first byte.
    pub smtps: u16,
    /// SMTP without TLS.
    pub plain: u16,
    /// POP3 with STLS.
    pub pop3: u16,
    /// POP3 with TLS from the first byte.
    pub pop3s: u16,
}

/// What a sandbox is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on; only loopback is taken.
    pub address: IpAddr,
    /// The ports to listen on.
    pub ports: Ports,
    /// At least one; the first gets what is sent to postmaster, and its domain is the server's name.
    pub accounts: Vec<Account>,
    /// Whether passwords are also taken without TLS: PLAIN and LOGIN on the plain port, USER and PASS before STLS.
    pub allow_plaintext: bool,
    /// How long a client may take for one line, in either direction.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            ports: Ports::default(),
            accounts: vec![Account::demo()],
            allow_plaintext: false,
            patience: Duration::from_mins(1),
        }
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would have been reachable from elsewhere.
    #[error("{0} is not a loopback address; the sandbox is for this machine only")]
    NotLoopback(IpAddr),
    /// There is no account, or one that is no address.
    #[error("the user must be an address such as demo@sandbox.test, not {0:?}")]
    BadAccount(String),
    /// The port is taken, or may not be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate could not be used.
    #[error("cannot use the certificate: {0}")]
    Tls(#[from] rustls::Error),
}

/// How a listener starts its conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    None,
    StartTls,
    Tls,
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Smtp,
    Pop3,
}

/// The door to the sandbox: see [`Sandbox::start`].
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts the sandbox in background tasks of the current tokio runtime. When this returns, every port listens.
    ///
    /// # Errors
    /// See [`Error`]; nothing is left running then.
    pub async fn start(options: Options) -> Result<Running, Error> {
        if !options.address.is_loopback() {
            return Err(Error::NotLoopback(options.address));
        }
        let good = |account: &&Account| !account.user.contains(char::is_whitespace) && !account.domain().is_empty();
        if let Some(bad) = options.accounts.iter().find(|account| !good(account)) {
            return Err(Error::BadAccount(bad.user.clone()));
        }
        let first = options.accounts.first().ok_or_else(|| Error::BadAccount(String::new()))?;
        let identity = certificate::make()?;
        let server = Arc::new(Server {
            host: first.domain().to_owned(),
            drops: options.accounts.iter().cloned().map(Maildrop::new).collect(),
            tls: TlsAcceptor::from(identity.config),
            allow_plaintext: options.allow_plaintext,
            patience: options.patience,
            seats: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        });

        let mut tasks = JoinSet::new();
        let mut ports = options.ports;
        for (port, protocol, security) in [
            (&mut ports.smtp, Protocol::Smtp, Security::StartTls),
            (&mut ports.smtps, Protocol::Smtp, Security::Tls),
            (&mut ports.plain, Protocol::Smtp, Security::None),
            (&mut ports.pop3, Protocol::Pop3, Security::StartTls),
            (&mut ports.pop3s, Protocol::Pop3, Security::Tls),
        ] {
            let address = SocketAddr::new(options.address, *port);
            let refused = |source| Error::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(refused)?;
            *port = listener.local_addr().map_err(refused)?.port();
            tasks.spawn(listen(listener, Arc::clone(&server), protocol, security));
        }
        Ok(Running { address: options.address, ports, accounts: options.accounts, ca: identity.ca, server, _tasks: tasks })
    }
}

/// A sandbox at work; dropping it closes the ports, cuts the conversations and forgets the mail.
#[derive(Debug)]
#[must_use = "dropping it stops the sandbox"]
pub struct Running {
    /// Where it listens.
    pub address: IpAddr,
    /// The ports that it has.
    pub ports: Ports,
    /// Who may log in.
    pub accounts: Vec<Account>,
    /// The CA that signed its certificate, in PEM; made at this start and nowhere else in use.
    pub ca: String,
    server: Arc<Server>,
    _tasks: JoinSet<()>,
}

impl Running {
    /// The mails that an account has, oldest first, each as it arrived: header lines of ours, then what was sent.
    #[must_use]
    pub fn mail(&self, user: &str) -> Vec<Arc<Message>> {
        self.server.drop_of(user).map(Maildrop::messages).unwrap_or_default()
    }
}

/// What all conversations share.
struct Server {
    host: String,
    drops: Vec<Maildrop>,
    tls: TlsAcceptor,
    allow_plaintext: bool,
    patience: Duration,
    seats: Arc<Semaphore>,
}

impl Server {
    /// The maildrop of a login name.
    fn drop_of(&self, user: &str) -> Option<&Maildrop> {
        self.drops.iter().find(|drop| drop.account.user.eq_ignore_ascii_case(user))
    }

    /// The maildrop that takes mail for an address: `name+anything` is `name`, postmaster is the first account.
    fn recipient(&self, address: &str) -> Option<&Maildrop> {
        let (local, domain) = address.rsplit_once('@')?;
        let name = local.split('+').next().unwrap_or(local);
        let postmaster = || self.drops.first().filter(|_| name.eq_ignore_ascii_case("postmaster") && self.serves(address));
        self.drop_of(&format!("{name}@{domain}")).or_else(postmaster)
    }

    /// Whether the domain of an address is one of ours.
    fn serves(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.drops.iter().any(|drop| drop.account.domain().eq_ignore_ascii_case(domain)))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("host", &self.host).field("drops", &self.drops).finish_non_exhaustive()
    }
}

async fn listen(listener: TcpListener, server: Arc<Server>, protocol: Protocol, security: Security) {
    let mut conversations = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((socket, client)) => {
                let Ok(seat) = Arc::clone(&server.seats).acquire_owned().await else { return };
                let server = Arc::clone(&server);
                conversations.spawn(async move {
                    let talk = converse(socket, client.ip(), &server, protocol, security);
                    if tokio::time::timeout(SESSION_DEADLINE, talk).await.is_err() {
                        tracing::debug!(?protocol, "a conversation was cut at its deadline");
                    }
                    drop(seat);
                });
            }
            // Out of descriptors: those in use come back when conversations end.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while conversations.try_join_next().is_some() {}
    }
}

async fn converse(socket: TcpStream, client: IpAddr, server: &Server, protocol: Protocol, security: Security) {
    // Replies are written whole; waiting for more to send only stalls the client.
    let _ = socket.set_nodelay(true);
    let mut peer = Peer::new(socket, server.patience);
    if security == Security::Tls && peer.start_tls(&server.tls).await.is_err() {
        return;
    }
    match protocol {
        Protocol::Smtp => smtp::serve(&mut peer, server, security, client).await,
        Protocol::Pop3 => pop3::serve(&mut peer, server, security).await,
    }
}
