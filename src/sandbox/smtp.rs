//! The SMTP side (RFC 5321): takes mail for the sandbox's own accounts from clients who logged in, and relays nothing.
//!
//! Replies are worded as Postfix words them, so that what is tried here reads the same in earnest. Parsing is
//! `smtp_proto`'s, logins are [`super::auth`]'s.

use std::{net::IpAddr, sync::Arc};

use jiff::{Timestamp, tz::TimeZone};
use smtp_proto::{AUTH_CRAM_MD5, AUTH_LOGIN, AUTH_PLAIN, MailFrom, Request};
use uuid::Uuid;

use super::{
    Security, Server,
    auth::{self, Exchange, Mechanism, NoLogin},
    maildrop::{Maildrop, Message},
    peer::{Fault, Peer},
};

/// The longest command, AUTH aside.
const LINE: usize = 4 * 1024;
/// The longest line of a mail; RFC 5321 promises 998, and senders take more.
const DATA_LINE: usize = 64 * 1024;
const MOST_BYTES: usize = 1024 * 1024;
const MOST_RECIPIENTS: usize = 100;
/// Refusals that a client may collect before it is sent away.
const MOST_ERRORS: usize = 20;

/// Talks with one client until it leaves or has to.
pub(super) async fn serve(peer: &mut Peer, server: &Server, security: Security, client: IpAddr) {
    let host = &server.host;
    peer.say(format!("220 {host} ESMTP mailverity sandbox"));
    let farewell = match converse(peer, server, security, client).await {
        Ok(farewell) => farewell,
        Err(Fault::Gone) => return,
        Err(Fault::TimedOut) => format!("421 4.4.2 {host} Error: timeout exceeded"),
        Err(Fault::LineTooLong) => format!("500 5.5.2 {host} Error: line too long"),
        Err(Fault::BareNewline) => format!("521 5.5.2 {host} Error: bare <CR> or <LF> received"),
    };
    peer.leave(&farewell).await;
}

async fn converse(peer: &mut Peer, server: &Server, security: Security, client: IpAddr) -> Result<String, Fault> {
    let mut session = Session::new(server, security, client);
    let mut errors = 0;
    loop {
        let mut line = peer.line(auth::LINE).await?;
        line.push(b'\n');
        let reply = match Request::parse(&mut line.iter()) {
            Ok(Request::Auth { mechanism, initial_response }) => {
                let initial = Some(initial_response.into_owned()).filter(|initial| !initial.is_empty());
                session.auth(peer, mechanism, initial).await?
            }
            _ if line.len() > LINE => return Err(Fault::LineTooLong),
            Ok(Request::Quit) => return Ok("221 2.0.0 Bye".to_owned()),
            Ok(Request::StartTls) => match session.start_tls(peer.secure) {
                Ok(ready) => {
                    peer.say(ready);
                    peer.start_tls(&server.tls).await?;
                    // What was said before TLS counts no more (RFC 3207 section 4.2).
                    session = Session::new(server, security, client);
                    continue;
                }
                Err(refusal) => refusal.to_owned(),
            },
            Ok(Request::Data) => session.data(peer).await?,
            Ok(request) => session.answer(request, peer.secure),
            Err(error) => explain(&error),
        };
        errors += usize::from(reply.starts_with('5'));
        if errors > MOST_ERRORS {
            return Ok(format!("421 4.7.0 {} Error: too many errors", server.host));
        }
        peer.say(reply);
    }
}

/// What a client said so far.
struct Session<'a> {
    server: &'a Server,
    security: Security,
    client: IpAddr,
    helo: Option<String>,
    extended: bool,
    account: Option<&'a Maildrop>,
    envelope: Option<Envelope<'a>>,
}

struct Envelope<'a> {
    from: String,
    recipients: Vec<&'a Maildrop>,
}

impl<'a> Session<'a> {
    fn new(server: &'a Server, security: Security, client: IpAddr) -> Self {
        Self { server, security, client, helo: None, extended: false, account: None, envelope: None }
    }

    fn answer(&mut self, request: Request<impl AsRef<str>>, secure: bool) -> String {
        match request {
            Request::Ehlo { host } => self.greet(host.as_ref(), true, secure),
            Request::Helo { host } => self.greet(host.as_ref(), false, secure),
            Request::Mail { from } => self.mail(&from, secure).to_owned(),
            Request::Rcpt { to } => self.rcpt(to.address.as_ref()),
            Request::Rset => {
                self.envelope = None;
                "250 2.0.0 Ok".to_owned()
            }
            Request::Noop { .. } => "250 2.0.0 Ok".to_owned(),
            Request::Vrfy { value } => format!("252 2.0.0 {}", value.as_ref()),
            _ => "502 5.5.1 Error: command not implemented".to_owned(),
        }
    }

    fn greet(&mut self, name: &str, extended: bool, secure: bool) -> String {
        if !name.chars().all(|c| c.is_ascii_graphic()) {
            return "501 5.5.2 Error: invalid host name".to_owned();
        }
        (self.helo, self.extended, self.envelope) = (Some(name.to_owned()), extended, None);
        if !extended {
            return format!("250 {}", self.server.host);
        }
        let mut lines = vec![self.server.host.clone(), "PIPELINING".to_owned(), format!("SIZE {MOST_BYTES}")];
        if self.start_tls(secure).is_ok() {
            lines.push("STARTTLS".to_owned());
        }
        let mechanisms: Vec<_> = self.mechanisms(secure).map(Mechanism::as_str).collect();
        if !mechanisms.is_empty() {
            lines.push(format!("AUTH {}", mechanisms.join(" ")));
        }
        lines.extend(["ENHANCEDSTATUSCODES", "8BITMIME", "DSN"].map(str::to_owned));
        format!("250-{}\r\n250 SMTPUTF8", lines.join("\r\n250-"))
    }

    /// What may be used to log in now.
    fn mechanisms(&self, secure: bool) -> impl Iterator<Item = Mechanism> {
        let (security, plaintext) = (self.security, self.server.allow_plaintext);
        Mechanism::ALL.into_iter().filter(move |mechanism| match security {
            _ if secure => true,
            Security::None => plaintext || *mechanism == Mechanism::CramMd5,
            Security::StartTls | Security::Tls => false,
        })
    }

    fn start_tls(&self, secure: bool) -> Result<&'static str, &'static str> {
        match self.security {
            _ if secure => Err("503 5.5.1 Error: TLS already active"),
            Security::None | Security::Tls => Err("502 5.5.1 Error: command not implemented"),
            Security::StartTls => Ok("220 2.0.0 Ready to start TLS"),
        }
    }

    async fn auth(&mut self, peer: &mut Peer, mechanism: u64, initial: Option<String>) -> Result<String, Fault> {
        let known = match mechanism {
            AUTH_PLAIN => Some(Mechanism::Plain),
            AUTH_LOGIN => Some(Mechanism::Login),
            AUTH_CRAM_MD5 => Some(Mechanism::CramMd5),
            _ => None,
        };
        let refusal = match known.filter(|known| self.mechanisms(peer.secure).any(|offered| offered == *known)) {
            _ if !self.extended => "503 5.5.1 Error: send EHLO first",
            _ if self.account.is_some() => "503 5.5.1 Error: already authenticated",
            _ if self.envelope.is_some() => "503 5.5.1 Error: MAIL transaction in progress",
            None if self.start_tls(peer.secure).is_ok() => "530 5.7.0 Must issue a STARTTLS command first",
            None if known.is_some() => "538 5.7.11 Encryption required for requested authentication mechanism",
            None => "504 5.5.4 Error: unrecognized authentication mechanism",
            Some(mechanism) => match (Exchange { peer, prompt: "334", initial }).run(self.server, mechanism).await {
                Ok(Some(account)) => {
                    self.account = Some(account);
                    return Ok("235 2.7.0 Authentication successful".to_owned());
                }
                Ok(None) => "535 5.7.8 Error: authentication failed: authentication failure",
                Err(NoLogin::Fault(fault)) => return Err(fault),
                Err(NoLogin::Aborted) => "501 5.7.0 Authentication aborted",
                Err(NoLogin::Malformed) => "501 5.5.2 Error: authentication failed: cannot decode response",
            },
        };
        Ok(refusal.to_owned())
    }

    fn mail(&mut self, from: &MailFrom<impl AsRef<str>>, secure: bool) -> &'static str {
        if self.start_tls(secure).is_ok() {
            return "530 5.7.0 Must issue a STARTTLS command first";
        }
        if self.helo.is_none() {
            return "503 5.5.1 Error: send HELO/EHLO first";
        }
        if self.account.is_none() {
            return "530 5.7.0 Authentication required";
        }
        if self.envelope.is_some() {
            return "503 5.5.1 Error: nested MAIL command";
        }
        if from.size > MOST_BYTES {
            return "552 5.3.4 Message size exceeds fixed limit";
        }
        self.envelope = Some(Envelope { from: from.address.as_ref().to_owned(), recipients: Vec::new() });
        "250 2.1.0 Ok"
    }

    fn rcpt(&mut self, to: &str) -> String {
        let Some(envelope) = &mut self.envelope else {
            return "503 5.5.1 Error: need MAIL command".to_owned();
        };
        if envelope.recipients.len() == MOST_RECIPIENTS {
            return "452 4.5.3 Error: too many recipients".to_owned();
        }
        // The parser says the same of `<>`, which is nobody, and of the bare `<postmaster>`.
        if to.is_empty() {
            return "501 5.1.3 Bad recipient address syntax".to_owned();
        }
        match self.server.recipient(to) {
            Some(drop) => {
                envelope.recipients.push(drop);
                "250 2.1.5 Ok".to_owned()
            }
            None if self.server.serves(to) => {
                format!("550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table")
            }
            None => format!("550 5.7.1 <{to}>: Relay access denied"),
        }
    }

    async fn data(&mut self, peer: &mut Peer) -> Result<String, Fault> {
        let Some(envelope) = &self.envelope else {
            return Ok("503 5.5.1 Error: need RCPT command".to_owned());
        };
        if envelope.recipients.is_empty() {
            return Ok("554 5.5.1 Error: no valid recipients".to_owned());
        }
        let id = Uuid::new_v4();
        let mut bytes = self.trace(&envelope.from, id, peer.secure).into_bytes();
        peer.say("354 End data with <CR><LF>.<CR><LF>");
        let mut size = 0;
        loop {
            let line = peer.line(DATA_LINE).await?;
            if line == b"." {
                break;
            }
            let line = line.strip_prefix(b".").unwrap_or(&line);
            size += line.len() + 2;
            // What is too much is still read: the reply belongs behind the final dot.
            if size <= MOST_BYTES {
                bytes.extend_from_slice(line);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        let recipients = self.envelope.take().map(|envelope| envelope.recipients).unwrap_or_default();
        if size > MOST_BYTES {
            return Ok("552 5.3.4 Error: message file too big".to_owned());
        }
        let message = Arc::new(Message { id, bytes });
        for (n, drop) in recipients.iter().enumerate() {
            // Named twice, it still comes once.
            if !recipients[..n].iter().any(|earlier| std::ptr::eq(*earlier, *drop)) {
                drop.push(Arc::clone(&message));
            }
        }
        tracing::info!(%id, size, recipients = recipients.len(), "mail taken");
        Ok(format!("250 2.0.0 Ok: queued as {}", id.simple()))
    }

    /// The header lines of a server that delivers (RFC 5321 section 4.4).
    fn trace(&self, from: &str, id: Uuid, secure: bool) -> String {
        let (helo, client, host) = (self.helo.as_deref().unwrap_or_default(), self.client, &self.server.host);
        let protocol = match (self.extended, secure) {
            (true, true) => "ESMTPSA",
            (true, false) => "ESMTPA",
            (false, _) => "SMTP",
        };
        let address = if client.is_ipv6() { format!("IPv6:{client}") } else { client.to_string() };
        let now = jiff::fmt::rfc2822::to_string(&Timestamp::now().to_zoned(TimeZone::UTC)).unwrap_or_default();
        let from: String = from.chars().filter(|c| !c.is_control()).collect();
        format!(
            "Return-Path: <{from}>\r\nReceived: from {helo} ([{address}])\r\n\tby {host} (mailverity sandbox) with {protocol} id {};\r\n\t{now}\r\n",
            id.simple()
        )
    }
}

fn explain(error: &smtp_proto::Error) -> String {
    use smtp_proto::Error as E;
    match error {
        E::UnknownCommand => "502 5.5.2 Error: command not recognized".to_owned(),
        E::InvalidSenderAddress => "501 5.1.7 Bad sender address syntax".to_owned(),
        E::InvalidRecipientAddress => "501 5.1.3 Bad recipient address syntax".to_owned(),
        E::SyntaxError { syntax } => format!("501 5.5.4 Syntax: {syntax}"),
        E::InvalidParameter { param } => format!("501 5.5.4 Error: bad parameter {param}"),
        E::UnsupportedParameter { param } => {
            let param: String = param.chars().filter(char::is_ascii_graphic).collect();
            format!("555 5.5.4 Unsupported option: {param}")
        }
        _ => "500 5.5.2 Error: bad syntax".to_owned(),
    }
}
