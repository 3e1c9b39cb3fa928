//! A server that is checked stage by stage, and the mail that may be sent there.

use std::time::Duration;

use super::endpoint::Way;
use crate::{
    api::v1alpha1::{Level, TaskMail, TaskServer},
    mail::Diagnosis,
    verify::{
        mail_server::{Inputs, Run},
        resolve::invalid,
    },
};

/// What an agent checks a server with.
#[derive(Clone, Debug)]
pub struct Order {
    /// The server.
    pub inputs: Inputs,
    /// The installation that asks.
    pub installation: String,
    /// Whom a reader of the mail may ask.
    pub contact: Option<String>,
}

impl TaskServer {
    /// The check of one endpoint as an agent is told of it.
    #[must_use]
    pub fn of(inputs: &Inputs, run: &Run<'_>) -> Self {
        let both = inputs.sender.clone().zip(inputs.test.clone()).filter(|_| run.level == Level::Deliver);
        Self {
            level: run.level,
            helo: inputs.helo.clone(),
            may_greet_with_tls: run.may_greet_with_tls.then_some(true),
            mail: both.map(|(sender, test)| TaskMail {
                sender,
                test,
                installation: run.installation.to_owned(),
                uid: inputs.uid.clone(),
                contact: run.contact.map(str::to_owned),
            }),
        }
    }

    /// What an agent works with, for `object`; `resolving`: the time that reading it took.
    ///
    /// # Errors
    /// `SpecInvalid` where a mail is to be sent and there is none.
    pub fn order(&self, way: Way, object: &str, resolving: Duration) -> Result<Order, Diagnosis> {
        if self.level == Level::Deliver && self.mail.is_none() {
            return Err(invalid("a task of level Deliver names no mail"));
        }
        let mail = self.mail.as_ref();
        Ok(Order {
            inputs: Inputs {
                endpoints: vec![way.endpoint],
                tls: way.tls,
                login: way.login,
                sender: mail.map(|mail| mail.sender.clone()),
                helo: self.helo.clone(),
                level: self.level,
                timeout: way.timeout,
                test: mail.map(|mail| mail.test.clone()),
                object: object.to_owned(),
                uid: mail.map(|mail| mail.uid.clone()).unwrap_or_default(),
                actors: Vec::new(),
                fingerprint: String::new(),
                resolving,
            },
            installation: mail.map(|mail| mail.installation.clone()).unwrap_or_default(),
            contact: mail.and_then(|mail| mail.contact.clone()),
        })
    }
}
