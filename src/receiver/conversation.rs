//! A client from its first octet to its last: reads commands, has them answered, reads mails and has them taken.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::TcpStream,
    time::{timeout, timeout_at},
};

use super::{
    Shared, command,
    consumer::Verdict,
    draft::Draft,
    inbound::{self, Envelope, Inbound},
    outcome::Outcome,
    peer::{Fault, Peer},
    seats::{Place, Told},
    session::{Next, Session, Transaction, say},
    site::Role,
    unstuff::{Stray, Unstuffer},
};
use crate::mail::diagnosis::printable;

/// Talks with one client until it leaves or has to.
pub(super) async fn serve(socket: TcpStream, address: SocketAddr, shared: Arc<Shared>, mut place: Place) {
    let mut peer = Peer::new(socket, shared.limits.handshake_timeout);
    let mut client = SocketAddr::new(address.ip().to_canonical(), address.port());
    if shared.proxies.iter().any(|net| net.contains(&client.ip())) {
        match peer.proxy_header().await {
            Ok(named) => client = named.map_or(client, |named| SocketAddr::new(named.ip().to_canonical(), named.port())),
            Err(_) => return,
        }
    }
    let rules = shared.rules();
    let refusal = match () {
        () if !rules.admits(client.ip()) => Some(("554 5.7.1", "Your address may not send mail here", Outcome::SourceDenied)),
        () if !place.belongs_to(client.ip()) => Some(("421 4.7.0", "Too many connections from your address", Outcome::Busy)),
        () => None,
    };
    if let Some((code, words, outcome)) = refusal {
        shared.counters.count(outcome);
        say(&mut peer.output, &format!("{code} {} {words}", rules.hostname));
        return peer.leave(true).await;
    }
    say(&mut peer.output, &format!("220 {} ESMTP mailverity", rules.hostname));
    drop(rules);

    let mut talk =
        Talk { session: Session::new(&shared.limits, &shared.counters, client.ip()), peer, client, place, shared: &shared };
    let fault = talk.run().await;
    let Talk { session, mut peer, .. } = talk;
    if session.is_abusive() {
        shared.counters.count(Outcome::Abuse);
    }
    let Err(fault) = fault else { return peer.leave(true).await };
    let hostname = &shared.rules().hostname;
    let farewell = match fault {
        Fault::Gone => return,
        Fault::TimedOut => format!("421 4.4.2 {hostname} You took too long"),
        Fault::LineTooLong => "500 5.5.2 The line is too long".to_owned(),
        Fault::TooLarge => "552 5.3.4 The mail is larger than allowed".to_owned(),
        Fault::Stray(stray) => {
            format!("{} 5.5.2 {} received", if session.transaction.is_some() { 550 } else { 521 }, stray.as_str())
        }
        Fault::Told(Told::Crowded) => format!("421 4.3.2 {hostname} Others need the connection, try again later"),
        Fault::Told(Told::Closing) => format!("421 4.3.2 {hostname} Shutting down, try again later"),
    };
    say(&mut peer.output, &farewell);
    // One that was silent has nothing on its way that would cost it the farewell.
    peer.leave(!matches!(fault, Fault::Told(_))).await;
}

struct Talk<'a> {
    session: Session<'a>,
    peer: Peer,
    client: SocketAddr,
    place: Place,
    shared: &'a Shared,
}

impl Talk<'_> {
    async fn run(&mut self) -> Result<(), Fault> {
        let limits = &self.shared.limits;
        loop {
            self.place.is_quiet();
            let line = self.peer.line(limits.command_line, limits.command_timeout, &self.place).await?;
            let (rules, secure) = (self.shared.rules(), self.peer.is_secure());
            let (line, output) = self.peer.line_and_output(line);
            match self.session.answer(command::read(line), &rules, secure, output) {
                Next::Stay => self.peer.relieve().await?,
                Next::Data => self.data().await?,
                Next::Bdat { size, last, wanted } => self.bdat(size, last, wanted).await?,
                Next::StartTls => {
                    self.peer.start_tls(|name| rules.identity(name).map(|identity| Arc::clone(&identity.config))).await?;
                    self.session.forget();
                }
                Next::Leave => return Ok(()),
            }
        }
    }

    async fn data(&mut self) -> Result<(), Fault> {
        let draft = Draft::new(Unstuffer::new(), &self.shared.limits, &self.shared.budget);
        // Boxed, as is all that a mail needs: those who wait are many, and hold no room for it.
        let read = Box::pin(self.text(draft)).await;
        let draft = self.counted(read)?;
        self.finish(draft).await;
        Ok(())
    }

    /// Reads a mail up to its dot. What is too much is read all the same, as the reply belongs behind it; within reason.
    async fn text(&mut self, mut draft: Draft) -> Result<Draft, Fault> {
        let most = self.most();
        loop {
            let pending = self.peer.pending();
            let (ended, length) = (draft.feed(pending).map_err(Fault::Stray)?, pending.len());
            self.peer.take(ended.unwrap_or(length));
            if ended.is_some() {
                return Ok(draft);
            }
            if draft.size() / 2 > most {
                return Err(Fault::TooLarge);
            }
            self.more(&mut draft, most).await?;
        }
    }

    async fn bdat(&mut self, size: u64, last: bool, wanted: bool) -> Result<(), Fault> {
        let begun = self.session.transaction.as_mut().and_then(|mail| mail.draft.take());
        let mut draft = begun.unwrap_or_else(|| Draft::new(Unstuffer::without_dots(), &self.shared.limits, &self.shared.budget));
        if !wanted {
            draft.give_up();
        }
        let read = Box::pin(self.chunk(draft, size)).await;
        let draft = self.counted(read)?;
        if last && draft.ends_badly() {
            return self.counted(Err(Fault::Stray(Stray::Cr))).map(drop);
        }
        if wanted && (last || draft.size() > self.most()) {
            self.finish(draft).await;
        } else if let Some(mail) = self.session.transaction.as_mut() {
            mail.draft = Some(draft);
            say(&mut self.peer.output, &format!("250 2.0.0 {size} octets received"));
        }
        Ok(())
    }

    /// Reads so many octets of a mail (RFC 3030 section 2).
    async fn chunk(&mut self, mut draft: Draft, mut left: u64) -> Result<Draft, Fault> {
        let most = self.most();
        loop {
            let pending = self.peer.pending();
            let length = usize::try_from(left).map_or(pending.len(), |left| left.min(pending.len()));
            draft.feed(&pending[..length]).map_err(Fault::Stray)?;
            self.peer.take(length);
            left -= length as u64;
            if left == 0 {
                return Ok(draft);
            }
            self.more(&mut draft, most).await?;
        }
    }

    /// Waits for more of a mail.
    async fn more(&mut self, draft: &mut Draft, most: u64) -> Result<(), Fault> {
        if draft.size() > most {
            draft.give_up();
        }
        self.place.receives(draft.begun(), draft.size());
        let filled = timeout_at(draft.deadline(&self.shared.limits), self.peer.fill());
        tokio::select! {
            biased;
            filled = filled => filled.map_err(|_| Fault::TimedOut)?,
            told = self.place.crowded() => Err(Fault::Told(told)),
        }
    }

    /// The most octets of the mail that is under way.
    fn most(&self) -> u64 {
        self.session.transaction.as_ref().map_or(0, |mail| mail.most)
    }

    fn counted(&self, read: Result<Draft, Fault>) -> Result<Draft, Fault> {
        read.inspect_err(|fault| {
            self.shared.counters.count(match fault {
                Fault::Stray(_) => Outcome::Malformed,
                Fault::TooLarge => Outcome::TooLarge,
                _ => Outcome::Cut,
            });
        })
    }

    /// Has a whole mail taken, and answers.
    async fn finish(&mut self, draft: Draft) {
        let Some(mail) = self.session.transaction.take() else { return };
        self.place.is_busy();
        let id = self.shared.id();
        let (client, size) = (self.client.ip(), draft.size());
        let (outcome, reply) = Box::pin(self.settle(id.clone(), *mail, draft)).await;
        self.shared.counters.count(outcome);
        tracing::debug!(id, %client, size, outcome = outcome.as_str(), "mail received");
        if outcome == Outcome::Taken || outcome == Outcome::Unclaimed {
            say(&mut self.peer.output, &format!("{reply} {id}"));
        } else {
            say(&mut self.peer.output, reply);
        }
    }

    async fn settle(&self, id: String, mail: Transaction, draft: Draft) -> (Outcome, &'static str) {
        let limits = &self.shared.limits;
        if draft.size() > mail.most {
            return (Outcome::TooLarge, "552 5.3.4 The mail is larger than allowed");
        }
        if draft.is_starved() {
            return (Outcome::NoRoom, "452 4.3.1 Too many mails are on their way in, try again later");
        }
        if draft.longest_line() > limits.text_line {
            return (Outcome::Malformed, "550 5.6.0 A line of the mail is too long");
        }
        let helo = self.session.helo.as_deref().map(|helo| printable(helo, 255)).unwrap_or_default();
        let peer = inbound::Peer { address: self.client, helo, tls: self.peer.tls() };
        let envelope = Envelope { from: mail.from, to: mail.to };
        let inbound = Inbound::read(id, envelope, peer, draft.kept(), draft.size());
        // What was read of it is no larger: while it waits for a consumer it stays counted.
        let verdict = timeout(limits.consumer_timeout, self.shared.offer(&inbound)).await;
        drop(draft);
        match verdict {
            Ok(Verdict::Taken) => (Outcome::Taken, "250 2.0.0 Ok:"),
            Ok(Verdict::NotMine) if inbound.envelope.to.iter().all(|to| matches!(to.role, Role::Notify { .. })) => {
                (Outcome::Unclaimed, "250 2.0.0 Ok:")
            }
            Ok(Verdict::NotMine) => (Outcome::Unwanted, "550 5.1.1 Nobody here reads such mail"),
            Ok(Verdict::Later(reason)) => {
                tracing::warn!(id = inbound.id, reason, "a mail could not be taken now, and will come again");
                (Outcome::Later, "451 4.3.0 The mail cannot be taken now, try again later")
            }
            Err(_) => {
                tracing::warn!(id = inbound.id, after = ?limits.consumer_timeout, "taking a mail took too long; it will come again");
                (Outcome::Later, "451 4.3.0 The mail cannot be taken now, try again later")
            }
        }
    }
}
