//! Mails as `mailverity receiver` prints them, one line each. Their text is not printed, and whatever is was made printable.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::receiver::{Consumer, Inbound, Verdict};

/// Lines that wait to be printed. Who reads slowly slows down the mail, which its senders keep.
const WAITING: usize = 256;

/// Takes every mail and prints it.
#[derive(Clone)]
pub(super) struct Printer {
    lines: mpsc::Sender<String>,
    json: bool,
}

impl Printer {
    /// A printer on standard output, and the task that writes, which ends when nobody reads any more.
    pub fn start(json: bool) -> (Self, JoinHandle<()>) {
        let (lines, mut printed) = mpsc::channel::<String>(WAITING);
        // A pipe that is full must not stop the conversations.
        let writing = tokio::task::spawn_blocking(move || {
            while let Some(line) = printed.blocking_recv() {
                let mut out = io::stdout().lock();
                // Flushed, since programs that started us wait for it.
                if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
        });
        (Self { lines, json }, writing)
    }

    /// Says where it listens.
    pub async fn listening(&self, address: SocketAddr, domains: &[String]) {
        let line = if self.json {
            json!({"listening": address, "domains": domains}).to_string()
        } else {
            format!("listening on {address} for {}", domains.join(", "))
        };
        // If nobody reads, the writing task has ended, which is seen to elsewhere.
        let _ = self.lines.send(line).await;
    }
}

impl Consumer for Printer {
    fn take<'a>(&'a self, mail: &'a Inbound) -> BoxFuture<'a, Verdict> {
        Box::pin(async {
            let line = if self.json { object(mail).to_string() } else { text(mail) };
            match self.lines.send(line).await {
                Ok(()) => Verdict::Taken,
                Err(_) => Verdict::Later("nobody reads standard output".to_owned()),
            }
        })
    }
}

fn text(mail: &Inbound) -> String {
    let from = mail.envelope.from.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
    let to: Vec<String> = mail.envelope.to.iter().map(|to| to.address.to_string()).collect();
    let tls = mail.peer.tls.as_ref().map_or("no TLS", |(version, _)| version);
    let mut line = format!(
        "{}  {}  {from} -> {}  {} bytes, {tls}, from {}",
        mail.received.strftime("%FT%TZ"),
        mail.id,
        to.join(", "),
        mail.size,
        mail.peer.address.ip(),
    );
    if let Some(subject) = &mail.letter.header.subject {
        let _ = write!(line, "  {subject:?}");
    }
    if let Some(bounce) = &mail.letter.bounce {
        let words = bounce.words.as_deref().or(bounce.status.as_deref()).unwrap_or_default();
        let _ = write!(line, "  {:?}: {words}", bounce.action);
    }
    line
}

fn object(mail: &Inbound) -> Value {
    let header = &mail.letter.header;
    let mut line = json!({
        "id": mail.id,
        "received": mail.received.strftime("%FT%TZ").to_string(),
        "from": mail.envelope.from.as_ref().map(ToString::to_string),
        "to": mail.envelope.to.iter().map(|to| to.address.to_string()).collect::<Vec<_>>(),
        "size": mail.size,
        "peer": {"address": mail.peer.address.ip(), "helo": mail.peer.helo},
        "header": {
            "from": header.from,
            "subject": header.subject,
            "messageID": header.message_id,
            "inReplyTo": header.in_reply_to,
            "references": header.references,
            "autoSubmitted": header.auto_submitted,
        },
    });
    for (name, value) in &header.ours {
        line["header"][name] = value.as_str().into();
    }
    if let Some((version, cipher)) = &mail.peer.tls {
        line["tls"] = json!({"version": version, "cipher": cipher});
    }
    if let Some(bounce) = &mail.letter.bounce {
        line["bounce"] = json!({
            "action": format!("{:?}", bounce.action),
            "status": bounce.status,
            "remote": bounce.remote,
            "words": bounce.words,
            "recipient": bounce.recipient,
            "messageID": bounce.message_id,
            "envelopeID": bounce.envelope_id,
        });
    }
    line
}
