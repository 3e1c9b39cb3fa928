//! The POP3 side (RFC 1939, 2449 and 2595): shows an account its maildrop, and deletes from it what it is told to.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::{
    Security, Server,
    auth::{self, Exchange, Mechanism, NoLogin},
    maildrop::{Maildrop, Message},
    peer::{Fault, Peer},
};

/// Refusals that a client may collect before it is sent away.
const MOST_ERRORS: usize = 20;

/// What follows `+OK`, also on further lines; or what follows `-ERR`.
type Reply = Result<Vec<u8>, &'static str>;

/// Talks with one client until it leaves or has to.
pub(super) async fn serve(peer: &mut Peer, server: &Server, security: Security) {
    let farewell = match converse(peer, server, security).await {
        Ok(farewell) => farewell,
        Err(Fault::Gone) => return,
        Err(Fault::TimedOut) => "-ERR Disconnected for inactivity.",
        Err(Fault::LineTooLong) => "-ERR Line too long.",
        Err(Fault::BareNewline) => "-ERR Bare <CR> or <LF> received.",
    };
    peer.leave(farewell).await;
}

async fn converse(peer: &mut Peer, server: &Server, security: Security) -> Result<&'static str, Fault> {
    let timestamp = auth::timestamp(&server.host);
    peer.say(format!("+OK mailverity sandbox ready. {timestamp}"));
    let mut login = Authorization { server, security, timestamp, user: None };
    let mut open: Option<Transaction> = None;
    let mut errors = 0;
    loop {
        let line = peer.line(auth::LINE).await?;
        let line = String::from_utf8_lossy(&line);
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let verb = verb.to_ascii_uppercase();
        let reply: Reply = match (verb.as_str(), &mut open) {
            ("QUIT", None) => return Ok("+OK Logging out."),
            ("QUIT", Some(transaction)) => {
                transaction.update();
                return Ok("+OK Logging out, messages deleted.");
            }
            ("CAPA", _) => Ok(login.capabilities(peer.secure, open.is_some()).into()),
            ("STLS", None) if login.may_start_tls(peer.secure) => {
                peer.say("+OK Begin TLS negotiation now.");
                peer.start_tls(&server.tls).await?;
                login.user = None;
                continue;
            }
            (_, Some(transaction)) => transaction.answer(&verb, rest),
            (_, None) => match login.answer(peer, &verb, rest).await? {
                Step::Said(words) => Ok(words.into()),
                Step::Refused(words) => Err(words),
                Step::In(drop) => Transaction::begin(drop).map(|transaction| {
                    open = Some(transaction);
                    "Logged in.".into()
                }),
            },
        };
        match reply {
            Ok(words) => peer.say([b"+OK ", words.as_slice()].concat()),
            Err(refusal) => {
                errors += 1;
                if errors > MOST_ERRORS {
                    return Ok("-ERR Too many errors.");
                }
                peer.say(format!("-ERR {refusal}"));
            }
        }
    }
}

/// The state before a login.
struct Authorization<'a> {
    server: &'a Server,
    security: Security,
    timestamp: String,
    user: Option<String>,
}

enum Step<'a> {
    Said(&'static str),
    Refused(&'static str),
    In(&'a Maildrop),
}

impl<'a> Authorization<'a> {
    fn may_start_tls(&self, secure: bool) -> bool {
        self.security == Security::StartTls && !secure
    }

    /// Whether a password may be said as it is.
    fn may_say_password(&self, secure: bool) -> bool {
        secure || self.server.allow_plaintext
    }

    fn capabilities(&self, secure: bool, logged_in: bool) -> String {
        let mut lines = vec!["Capabilities:", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"];
        if self.may_start_tls(secure) && !logged_in {
            lines.push("STLS");
        }
        if self.may_say_password(secure) {
            lines.extend(["USER", "SASL PLAIN LOGIN CRAM-MD5"]);
        } else {
            lines.push("SASL CRAM-MD5");
        }
        lines.push(".");
        lines.join("\r\n")
    }

    async fn answer(&mut self, peer: &mut Peer, verb: &str, rest: &str) -> Result<Step<'a>, Fault> {
        let drop = match verb {
            "NOOP" => return Ok(Step::Said("NOOP")),
            "APOP" => rest.split_once(' ').and_then(|(user, digest)| {
                self.server.log_in(user, |account| auth::apop(account, &self.timestamp) == digest.to_ascii_lowercase())
            }),
            "AUTH" => {
                let (name, initial) = rest.split_once(' ').map_or((rest, None), |(name, initial)| (name, Some(initial)));
                let known = Mechanism::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name));
                match known {
                    None => return Ok(Step::Refused("Unsupported authentication mechanism.")),
                    Some(Mechanism::Plain | Mechanism::Login) if !self.may_say_password(peer.secure) => {
                        return Ok(Step::Refused(PLAINTEXT));
                    }
                    Some(mechanism) => {
                        let exchange = Exchange { peer, prompt: "+", initial: initial.map(str::to_owned) };
                        match exchange.run(self.server, mechanism).await {
                            Ok(drop) => drop,
                            Err(NoLogin::Fault(fault)) => return Err(fault),
                            Err(NoLogin::Aborted) => return Ok(Step::Refused("Authentication aborted by client.")),
                            Err(NoLogin::Malformed) => return Ok(Step::Refused("Invalid base64 data in response.")),
                        }
                    }
                }
            }
            "USER" | "PASS" if !self.may_say_password(peer.secure) => return Ok(Step::Refused(PLAINTEXT)),
            "USER" => {
                self.user = Some(rest.to_owned());
                return Ok(Step::Said("Send the password."));
            }
            "PASS" => match self.user.take() {
                None => return Ok(Step::Refused("No username given.")),
                Some(user) => self.server.log_in(&user, |account| auth::right(account, rest)),
            },
            _ => return Ok(Step::Refused("Unknown command.")),
        };
        Ok(drop.map_or(Step::Refused("[AUTH] Authentication failed."), Step::In))
    }
}

const PLAINTEXT: &str = "[AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.";

/// The state after a login: the mails as they stood then, and which of them are to go.
struct Transaction<'a> {
    drop: &'a Maildrop,
    messages: Vec<(Arc<Message>, bool)>,
    _lock: OwnedMutexGuard<()>,
}

impl<'a> Transaction<'a> {
    fn begin(drop: &'a Maildrop) -> Result<Self, &'static str> {
        let lock = drop.open().ok_or("[IN-USE] Mailbox is locked by another POP3 session.")?;
        let messages = drop.messages().into_iter().map(|message| (message, false)).collect();
        Ok(Self { drop, messages, _lock: lock })
    }

    /// Deletes what is marked (RFC 1939 section 6).
    fn update(&self) {
        let gone: Vec<Uuid> = self.messages.iter().filter(|(_, deleted)| *deleted).map(|(message, _)| message.id).collect();
        self.drop.remove(&gone);
    }

    fn answer(&mut self, verb: &str, rest: &str) -> Reply {
        let size = |message: &Message| message.bytes.len().to_string();
        let uid = |message: &Message| message.id.simple().to_string();
        let mut words = rest.split_whitespace();
        let (first, second) = (words.next(), words.next());
        match verb {
            "NOOP" => Ok("NOOP".into()),
            "STAT" => Ok(format!("{} {}", self.kept().count(), self.octets()).into()),
            "LIST" => self.list(first, size),
            "UIDL" => self.list(first, uid),
            "RETR" => {
                let message = self.find(first)?;
                Ok([format!("{} octets\r\n", message.bytes.len()).into_bytes(), stuffed(&message.bytes, usize::MAX)].concat())
            }
            "TOP" => {
                let message = self.find(first)?;
                let lines = second.and_then(|lines| lines.parse().ok()).ok_or("Bad number of lines.")?;
                Ok([b"Top of message follows\r\n".to_vec(), stuffed(&message.bytes, lines)].concat())
            }
            "DELE" => {
                let message = self.find(first)?.id;
                for (_, deleted) in self.messages.iter_mut().filter(|(other, _)| other.id == message) {
                    *deleted = true;
                }
                Ok("Marked to be deleted.".into())
            }
            "RSET" => {
                self.messages.iter_mut().for_each(|(_, deleted)| *deleted = false);
                Ok(format!("{} messages, {} octets", self.kept().count(), self.octets()).into())
            }
            _ => Err("Unknown command."),
        }
    }

    /// The mails that are not marked, by their number.
    fn kept(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.messages.iter().enumerate().filter(|(_, (_, deleted))| !deleted).map(|(n, (message, _))| (n + 1, &**message))
    }

    fn octets(&self) -> usize {
        self.kept().map(|(_, message)| message.bytes.len()).sum()
    }

    fn find(&self, number: Option<&str>) -> Result<&Message, &'static str> {
        let number = number.and_then(|number| number.parse().ok());
        let found = number.and_then(|number: usize| self.kept().find(|(n, _)| *n == number));
        found.map(|(_, message)| message).ok_or("There's no such message.")
    }

    fn list(&self, number: Option<&str>, what: impl Fn(&Message) -> String) -> Reply {
        if let Some(number) = number {
            return Ok(format!("{number} {}", what(self.find(Some(number))?)).into());
        }
        let mut lines = vec![format!("{} messages:", self.kept().count())];
        lines.extend(self.kept().map(|(n, message)| format!("{n} {}", what(message))));
        lines.push(".".to_owned());
        Ok(lines.join("\r\n").into())
    }
}

/// A mail as a multi-line answer, its dots doubled, ended by one (RFC 1939 section 3); at most `most` lines of its body.
fn stuffed(bytes: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let mut left = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if left == Some(0) {
            break;
        }
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
        left = match left {
            None => (line == b"\r\n").then_some(most),
            Some(left) => Some(left - 1),
        };
    }
    out.push(b'.');
    out
}
