//! One POP3 conversation, a function a stage, in the order of RFC 1939: what is said, what is answered, and what a refusal
//! means. When the next stage runs is decided by who calls.

use super::{About, Capabilities, Reply, classify, reply};
use crate::{
    api::Reason,
    mail::{
        Diagnosis, Stage,
        diagnosis::{WORDS, printable},
        sasl::Redaction,
        tls::{Examination, TlsPolicy},
        wire::Wire,
    },
};

/// The most bytes of an answer to CAPA, and of one of its lines.
const CAPABILITIES: usize = 16 * 1024;
/// The longest timestamp of a greeting; RFC 1939 section 7 knows no bound, and a reply has 512 octets.
const TIMESTAMP: usize = 512;

/// A conversation with a POP3 server, and what the server told of itself in it.
pub struct Session {
    pub(super) wire: Wire,
    /// The answer to CAPA; none where it was refused, or not asked since TLS.
    pub(super) capabilities: Option<Capabilities>,
    /// What APOP is computed from.
    pub(super) timestamp: Option<String>,
}

impl Session {
    /// A conversation over a wire on which nothing was said; with TLS from the first byte, that is up already.
    #[must_use]
    pub fn new(wire: Wire) -> Self {
        Self { wire, capabilities: None, timestamp: None }
    }

    /// The wire, for its addresses and its deadline.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The wire, to move its deadline or to wait for its first byte.
    pub fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// From here on these are cut out of everything that the server says.
    pub fn scrub(&mut self, secrets: Redaction) {
        self.wire.scrub(secrets);
    }

    /// The answer to CAPA, where it was asked in this form of the conversation and given.
    #[must_use]
    pub fn capabilities(&self) -> Option<&Capabilities> {
        self.capabilities.as_ref()
    }

    /// The names of the mechanisms that may be tried: those of SASL, `PLAIN` where USER and PASS are taken, or may be as
    /// nothing is known, and `APOP` where the greeting had a timestamp.
    #[must_use]
    pub fn offered(&self) -> Vec<String> {
        let mut offered = self.capabilities.as_ref().map(|known| known.sasl.clone()).unwrap_or_default();
        if self.takes_user() && !offered.iter().any(|name| name == "PLAIN") {
            offered.push("PLAIN".to_owned());
        }
        if self.timestamp.is_some() {
            offered.push("APOP".to_owned());
        }
        offered
    }

    pub(super) fn takes_user(&self) -> bool {
        self.capabilities.as_ref().is_none_or(|known| known.user)
    }

    /// Waits for the greeting, and gives its words. Waiting means waiting: who speaks first may be blocked.
    ///
    /// # Errors
    /// As [`reply::reply`], and what a refusal to greet means.
    pub async fn greeting(&mut self, about: &About<'_>) -> Result<String, Diagnosis> {
        let reply = reply::reply(&mut self.wire).await?;
        if !reply.positive {
            return Err(classify(Stage::Greeting, &reply, about));
        }
        self.timestamp = timestamp(&reply.words).map(str::to_owned);
        Ok(printable(&reply.words, WORDS))
    }

    /// Asks for capabilities (RFC 2449 section 5). A server that refuses is older than they are: nothing is known then.
    ///
    /// # Errors
    /// As [`reply::reply`] and [`reply::listing`].
    pub async fn capa(&mut self) -> Result<(), Diagnosis> {
        self.capabilities = None;
        if reply::command(&mut self.wire, "CAPA").await?.positive {
            let listing = reply::listing(&mut self.wire, CAPABILITIES).await?;
            let listing = self.wire.scrubbed(&String::from_utf8_lossy(&listing));
            self.capabilities = Some(Capabilities::parse(listing.as_bytes()));
        }
        Ok(())
    }

    /// Asks for TLS (RFC 2595 section 4). The step itself is [`Session::into_tls`].
    ///
    /// # Errors
    /// `StartTLSNotOffered`, or what the refusal means.
    pub async fn stls(&mut self, about: &About<'_>) -> Result<(), Diagnosis> {
        let not_offered = || {
            Diagnosis::new(Reason::StartTLSNotOffered)
                .fact("host", about.host)
                .fact("port", about.port.to_string())
                .fact("tlsPort", "995")
        };
        if self.capabilities.as_ref().is_some_and(|known| !known.stls) {
            return Err(not_offered().detail("CAPA did not offer STLS"));
        }
        let reply = reply::command(&mut self.wire, "STLS").await?;
        if reply.positive {
            return Ok(());
        }
        let refused = classify(Stage::Stls, &reply, about);
        // Who does not know CAPA has offered nothing.
        if self.capabilities.is_none() && reply.code.is_none() && refused.reason == Reason::StartTLSRefused {
            return Err(not_offered().words(reply.text()));
        }
        Err(refused)
    }

    /// Takes the step to TLS behind STLS. What the server said before counts no more: capabilities and timestamp are
    /// forgotten (RFC 2595 section 4), so that CAPA has to be asked again, and APOP is no choice.
    ///
    /// # Errors
    /// As [`Wire::into_tls`].
    pub async fn into_tls(self, policy: &TlsPolicy, host: &str) -> (Option<Examination>, Result<Self, Diagnosis>) {
        let (examined, wire) = self.wire.into_tls(policy, host, Stage::Tls).await;
        (examined, wire.map(Self::new))
    }

    /// Says goodbye. Only then does the server remove what was marked for it (RFC 1939 section 6).
    ///
    /// # Errors
    /// As [`reply::reply`]; none that a check minds.
    pub async fn quit(&mut self) -> Result<Reply, Diagnosis> {
        reply::command(&mut self.wire, "QUIT").await
    }
}

/// The timestamp of a greeting, in the form of a Message-ID (RFC 1939 section 7). Anything else than one is refused: who
/// chooses freely what is hashed can find out passwords (CVE-2007-1558).
fn timestamp(words: &str) -> Option<&str> {
    let from = words.find('<')?;
    let to = from + words[from..].find('>')?;
    let (left, right) = words[from + 1..to].split_once('@')?;
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>@".contains(&byte));
    (plain(left) && plain(right) && to - from < TIMESTAMP).then(|| &words[from..=to])
}

#[cfg(test)]
mod tests;
