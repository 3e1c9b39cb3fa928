//! How a command is said, and what may come before it is answered (RFC 9051 section 2.2).

use std::time::Instant as Clock;

use tokio::time::Instant;

use super::{Said, Session, Status, classify, response::Response, session::COURTESY};
use crate::mail::{
    Diagnosis, Stage,
    diagnosis::{WORDS, printable},
    wire::broke,
};

/// What a command brought: its end, and the data before it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) said: Said,
    pub(super) data: Vec<Response>,
}

/// What comes while a command is under way.
pub(super) enum Turn {
    /// It is over: tagged, or with BYE.
    Done(Said),
    /// The server asks for more.
    Asked(String),
    /// Data, or a status in passing.
    Data(Response),
}

impl Session {
    /// Sends a command, and wants an OK.
    ///
    /// # Errors
    /// As [`Session::command`], and what the refusal means.
    pub(super) async fn accepted(&mut self, stage: Stage, command: &str) -> Result<Answer, Diagnosis> {
        let answer = self.command(stage, command).await?;
        if answer.said.status == Status::Ok { Ok(answer) } else { Err(classify(stage, &answer.said, &self.about)) }
    }

    /// Sends a command and reads up to its end. What shows a secret is said by `login` alone.
    ///
    /// # Errors
    /// As [`Wire::raw_line`], and `ProtocolError` for an answer to what was not asked.
    pub(super) async fn command(&mut self, stage: Stage, command: &str) -> Result<Answer, Diagnosis> {
        // A code that is searched for is a secret too.
        let shown = if stage == Stage::Search { "[redacted]" } else { command };
        tracing::trace!(client = %shown, "command");
        self.converse(command).await.map_err(|diagnosis| diagnosis.at(stage))
    }

    async fn converse(&mut self, command: &str) -> Result<Answer, Diagnosis> {
        let begun = Clock::now();
        let tag = self.begin(command).await?;
        let mut data = Vec::new();
        loop {
            match self.turn(&tag).await? {
                Turn::Done(said) => {
                    self.round_trip = begun.elapsed();
                    return Ok(Answer { said, data });
                }
                Turn::Asked(_) => return Err(broke("the order of commands and answers (it asked for more)".to_owned())),
                Turn::Data(Response::Other | Response::Untagged(_) | Response::Exists(_) | Response::Expunge) => {}
                Turn::Data(response) => data.push(response),
            }
        }
    }

    /// Sends a command, and gives its tag. The wire's bound holds for what comes of it.
    pub(super) async fn begin(&mut self, command: &str) -> Result<String, Diagnosis> {
        let tag = self.next_tag();
        // A server may say things unasked at any time, so nothing is wrong with what stands in the buffer.
        self.wire.write(format!("{tag} {command}\r\n").as_bytes()).await?;
        Ok(tag)
    }

    pub(super) fn next_tag(&mut self) -> String {
        self.tags += 1;
        self.wire.measure_anew();
        format!("a{}", self.tags)
    }

    /// What comes next while the command of this tag is under way. May be dropped while it waits.
    pub(super) async fn turn(&mut self, tag: &str) -> Result<Turn, Diagnosis> {
        match self.read().await? {
            Response::Tagged(theirs, said) if theirs == tag => Ok(Turn::Done(said)),
            Response::Tagged(_, said) => {
                Err(broke("the rule that an answer has its command's tag (RFC 9051 section 2.2.2)".to_owned())
                    .words(said.words()))
            }
            Response::Untagged(said) if said.status == Status::Bye => Ok(self.goodbye(tag, said).await),
            Response::Unreadable(text) => {
                let broken = broke("the syntax of responses (RFC 9051 section 7)".to_owned());
                // In an open folder it may be a piece of somebody's mail.
                Err(if self.selected.name.is_empty() { broken.words(text) } else { broken })
            }
            Response::Continue(text) => Ok(Turn::Asked(text)),
            other => Ok(Turn::Data(other)),
        }
    }

    /// Some refuse a command behind the BYE that ends the session; what they say to the command tells more.
    async fn goodbye(&mut self, tag: &str, bye: Said) -> Turn {
        let deadline = self.wire.deadline();
        self.wire.set_deadline(deadline.min(Instant::now() + COURTESY));
        let next = self.read().await;
        self.wire.set_deadline(deadline);
        match next {
            Ok(Response::Tagged(theirs, said)) if theirs == tag && said.status != Status::Ok => Turn::Done(said),
            _ => Turn::Done(bye),
        }
    }

    /// Reads one response, scrubs it, and keeps count of the messages.
    pub(super) async fn read(&mut self) -> Result<Response, Diagnosis> {
        let mut response = self.reader.read(&mut self.wire).await?;
        match &mut response {
            Response::Tagged(_, said) | Response::Untagged(said) => {
                said.text = self.wire.scrubbed(&said.text);
                tracing::trace!(server = %printable(&said.words(), WORDS), "response");
            }
            Response::Unreadable(text) => *text = self.wire.scrubbed(text),
            Response::Exists(count) => self.selected.exists = *count,
            Response::Expunge => self.selected.lose_one(),
            _ => {}
        }
        if let Response::Untagged(said) = &response {
            self.selected.learn(said);
        }
        Ok(response)
    }
}
