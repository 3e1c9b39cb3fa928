//! Mail that comes in: an SMTP listener for domains of ours (RFC 5321), never a relay, that reads each mail once and offers it
//! to whoever wants it. Knows no Kubernetes: what a mail means is for [`Consumer`]s to say.
//!
//! From the outside in: `seats` lets clients in, `conversation` talks with one over its `peer`, `session` knows what was said,
//! `site` who receives here, `draft` and `unstuff` the mail on its way in, `inbound` what is read of it.

mod address;
mod command;
mod consumer;
mod conversation;
mod draft;
mod inbound;
mod limits;
mod outcome;
mod peer;
mod proxy;
mod seats;
mod session;
mod site;
mod unstuff;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

pub use address::Address;
pub use consumer::{Consumer, Verdict};
pub use inbound::{Envelope, Inbound, Peer};
pub use limits::Limits;
pub use outcome::{Counters, Outcome};
pub use site::{Recipient, Role, Rules, Site, TlsMode};

use draft::Budget;
use seats::Seats;

/// What a receiver is given at its start.
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who receives here. [`Running::apply`] changes it later.
    pub rules: Rules,
    /// Who is asked about a mail, in this order, until one takes it.
    pub consumers: Vec<Arc<dyn Consumer>>,
    /// What clients may take of us.
    pub limits: Limits,
    /// Load balancers: their connections begin with a header that names the client (PROXY protocol), all others' must not.
    pub proxies: Vec<IpNet>,
    /// Where outcomes are counted.
    pub counters: Counters,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("listen", &self.listen).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// The address is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// What all conversations share.
struct Shared {
    rules: watch::Receiver<Arc<Rules>>,
    consumers: Vec<Arc<dyn Consumer>>,
    limits: Limits,
    proxies: Vec<IpNet>,
    counters: Counters,
    budget: Budget,
    seats: Arc<Seats>,
    ids: AtomicU64,
}

impl Shared {
    /// The rules as they are now.
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    /// An id that no other mail has.
    fn id(&self) -> String {
        format!("{:X}", self.ids.fetch_add(1, Relaxed))
    }

    /// Offers a mail to one consumer after the other.
    async fn offer(&self, mail: &Inbound) -> Verdict {
        for consumer in &self.consumers {
            match consumer.take(mail).await {
                Verdict::NotMine => {}
                verdict => return verdict,
            }
        }
        Verdict::NotMine
    }
}

/// A receiver at work; dropping it closes the port and cuts the conversations. See [`Running::stop`].
#[must_use = "dropping it stops the receiver"]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    rules: watch::Sender<Arc<Rules>>,
    seats: Arc<Seats>,
    ending: Arc<Notify>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Starts a receiver in background tasks of the current tokio runtime. When this returns, it listens.
///
/// # Errors
/// [`ListenError`], where the address is not to be had.
pub async fn start(options: Options) -> Result<Running, ListenError> {
    let refused = |source| ListenError { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let limits = options.limits;
    let seats = Arc::new(Seats::new(limits.connections, limits.connections_per_source));
    let (rules, heard) = watch::channel(Arc::new(options.rules));
    let shared = Arc::new(Shared {
        rules: heard,
        consumers: options.consumers,
        limits,
        proxies: options.proxies,
        counters: options.counters,
        budget: Budget::new(limits.kept_in_all),
        seats: Arc::clone(&seats),
        // Another after each start: a client's log must not name two mails alike.
        ids: AtomicU64::new(u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or_default() << 8),
    });
    let ending = Arc::new(Notify::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(listen(listener, shared, Arc::clone(&ending)));
    Ok(Running { address, rules, seats, ending, tasks })
}

impl Running {
    /// From the next mail on these rules count; a mail that is under way keeps those that it began with.
    pub fn apply(&self, rules: Rules) {
        self.rules.send_replace(Arc::new(rules));
    }

    /// Ends in order: nobody is let in any more, who waits is told to come back later, and mails that are on their way in may
    /// end within `grace`.
    pub async fn stop(mut self, grace: Duration) {
        self.ending.notify_one();
        self.seats.close();
        if timeout(grace, self.seats.empty()).await.is_err() {
            tracing::warn!(?grace, "mails that were still coming in were cut; their senders have them and come again");
        }
        self.tasks.shutdown().await;
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, ending: Arc<Notify>) {
    let mut conversations = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => match accepted {
                Ok((socket, client)) => match shared.seats.enter() {
                    Some(place) => _ = conversations.spawn(conversation::serve(socket, client, Arc::clone(&shared), place)),
                    None => turn_away(&socket, &shared),
                },
                // Out of descriptors: those in use come back when conversations end.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    shared.seats.make_room();
                    sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = conversations.join_next(), if !conversations.is_empty() => {}
            // The conversations go on; the port is free for the next.
            () = ending.notified() => listener = None,
        }
    }
}

/// Tells a client that there is no room, without waiting for it.
fn turn_away(socket: &TcpStream, shared: &Shared) {
    shared.counters.count(Outcome::Busy);
    let words = format!("421 4.3.2 {} Too many connections, try again later\r\n", shared.rules().hostname);
    // Nothing was written to it yet, so there is room for a line; if not, the closed connection says the same.
    let _ = socket2::SockRef::from(socket).send(words.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_waits_costs_little() {
        fn task<F>(_: impl FnOnce(TcpStream, SocketAddr, Arc<Shared>, seats::Place) -> F) -> usize {
            size_of::<F>()
        }
        let size = task(conversation::serve);
        assert!(size < 2048, "{size}");
    }
}
