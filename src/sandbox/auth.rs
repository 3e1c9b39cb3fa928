//! Logins from the server's side: PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195) for SMTP and POP3, and POP3's APOP.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{
    Account, Server,
    maildrop::Maildrop,
    peer::{Fault, Peer},
};

/// The longest line of a SASL exchange (RFC 4954 section 4.5.3.1).
pub(super) const LINE: usize = 12 * 1024;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
    CramMd5,
}

impl Mechanism {
    /// Every mechanism, in the order in which it is offered.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Login, Self::CramMd5];

    /// Its name in the IANA registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
        }
    }
}

/// Why a login came to no verdict.
pub(super) enum NoLogin {
    /// The conversation is over.
    Fault(Fault),
    /// The client sent `*`.
    Aborted,
    /// What the client sent is not base64, or not what the mechanism says.
    Malformed,
}

/// One SASL exchange, in the framing that SMTP and POP3 share.
pub(super) struct Exchange<'a> {
    /// Whom to ask.
    pub peer: &'a mut Peer,
    /// What challenges begin with: `334` in SMTP, `+` in POP3.
    pub prompt: &'static str,
    /// The initial response, in base64; `=` is an empty one.
    pub initial: Option<String>,
}

impl Exchange<'_> {
    /// The maildrop of whoever logged in; none where user name or password is wrong.
    ///
    /// # Errors
    /// See [`NoLogin`].
    pub async fn run(mut self, server: &Server, mechanism: Mechanism) -> Result<Option<&Maildrop>, NoLogin> {
        match mechanism {
            Mechanism::Plain => {
                let answer = self.ask("").await?;
                let [as_whom, user, password] = answer.split('\0').collect::<Vec<_>>()[..] else {
                    return Err(NoLogin::Malformed);
                };
                // Nobody acts for somebody else here.
                let himself = as_whom.is_empty() || as_whom == user;
                Ok(server.log_in(user, |account| himself && right(account, password)))
            }
            Mechanism::Login => {
                let user = self.ask("Username:").await?;
                let password = self.ask("Password:").await?;
                Ok(server.log_in(&user, |account| right(account, &password)))
            }
            Mechanism::CramMd5 => {
                let challenge = timestamp(&server.host);
                let answer = self.ask(&challenge).await?;
                let (user, digest) = answer.rsplit_once(' ').ok_or(NoLogin::Malformed)?;
                Ok(server.log_in(user, |account| cram_md5(account, &challenge).is_some_and(|right| right == digest)))
            }
        }
    }

    async fn ask(&mut self, challenge: &str) -> Result<String, NoLogin> {
        let answer = match self.initial.take() {
            Some(initial) if initial == "=" => Vec::new(),
            Some(initial) => initial.into_bytes(),
            None => {
                self.peer.say(format!("{} {}", self.prompt, BASE64.encode(challenge)));
                self.peer.line(LINE).await.map_err(NoLogin::Fault)?
            }
        };
        if answer == b"*" {
            return Err(NoLogin::Aborted);
        }
        let answer = BASE64.decode(answer).map_err(|_| NoLogin::Malformed)?;
        String::from_utf8(answer).map_err(|_| NoLogin::Malformed)
    }
}

impl Server {
    /// Judges a login by whatever proof the mechanism has.
    pub(super) fn log_in(&self, user: &str, proof: impl FnOnce(&Account) -> bool) -> Option<&Maildrop> {
        let drop = self.drop_of(user).filter(|drop| proof(&drop.account));
        tracing::info!(granted = drop.is_some(), "login");
        drop
    }
}

/// Whether the password is the account's.
pub(super) fn right(account: &Account, password: &str) -> bool {
    account.password.expose_secret() == password
}

/// Never the same twice, in the shape that CRAM-MD5 and APOP ask for (an RFC 5322 msg-id).
pub(super) fn timestamp(host: &str) -> String {
    format!("<{}@{host}>", Uuid::new_v4().simple())
}

/// The digest that APOP expects (RFC 1939 section 7), in hexadecimal.
pub(super) fn apop(account: &Account, timestamp: &str) -> String {
    format!("{:x}", Md5::new().chain_update(timestamp).chain_update(account.password.expose_secret()).finalize())
}

/// The digest that CRAM-MD5 expects, in hexadecimal.
fn cram_md5(account: &Account, challenge: &str) -> Option<String> {
    let mac = Hmac::<Md5>::new_from_slice(account.password.expose_secret().as_bytes()).ok()?;
    Some(format!("{:x}", mac.chain_update(challenge).finalize().into_bytes()))
}
