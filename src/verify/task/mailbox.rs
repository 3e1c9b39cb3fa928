//! A mailbox.

use std::time::Duration;

use super::endpoint::Way;
use crate::{
    api::v1alpha1::{Level, MailboxProtocol, TaskMailbox},
    mail::{Diagnosis, protocol::Protocol},
    verify::{mailbox::Inputs, resolve::invalid},
};

impl TaskMailbox {
    /// The mailbox as an agent is told of it.
    ///
    /// # Errors
    /// `SpecInvalid` for a protocol that agents do not speak: they are given one server, and no rules for HTTPS.
    pub fn of(inputs: &Inputs) -> Result<Self, Diagnosis> {
        Ok(Self {
            protocol: match inputs.protocol {
                Protocol::Imap => MailboxProtocol::IMAP,
                Protocol::Pop3 => MailboxProtocol::POP3,
                other => {
                    let fault = format!(
                        "an agent opens no mailbox over {}: the operator itself does, and needs no actor",
                        other.as_str()
                    );
                    return Err(invalid(&fault));
                }
            },
            level: Some(inputs.level).filter(|level| *level != Level::Authenticate),
            folder: inputs.mailbox.clone(),
            junk: inputs.junk.iter().take(8).cloned().collect(),
        })
    }

    /// What an agent works with; `resolving`: the time that reading it took.
    ///
    /// # Errors
    /// `SpecInvalid` for a protocol that this version does not speak.
    pub fn inputs(&self, way: Way, resolving: Duration) -> Result<Inputs, Diagnosis> {
        Ok(Inputs {
            protocol: match self.protocol {
                MailboxProtocol::IMAP => Protocol::Imap,
                MailboxProtocol::POP3 => Protocol::Pop3,
                _ => return Err(invalid("an agent of this version opens mailboxes over IMAP and POP3 only")),
            },
            endpoint: way.endpoint,
            tls: way.tls,
            login: way.login,
            mailbox: self.folder.clone(),
            junk: self.junk.clone(),
            level: self.level.unwrap_or(Level::Authenticate),
            timeout: way.timeout,
            resolving,
        })
    }
}
