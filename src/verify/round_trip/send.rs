//! A probe's mail: composed, and sent through the policy's `MailServer`. The same for the operator and for `check --live`.

use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::Inputs;
use crate::{
    api::v1alpha1::Level,
    mail::{Stage, Vantage, message::ProbeMail, stage::Record},
    verify::{Gate, Report, mail_server},
};

/// What surrounds a probe.
#[derive(Clone, Copy)]
pub struct Posting<'a> {
    /// What it needs.
    pub inputs: &'a Inputs,
    /// From where it is sent.
    pub vantage: &'a Vantage,
    /// The installation's name, for the mail's header.
    pub installation: &'a str,
    /// Told each finished stage.
    pub watcher: Option<fn(&Record)>,
}

/// What became of a probe's mail, and of the look for its answer.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// The probe's id.
    pub id: String,
    /// The stages of the sending, and why it failed; of a look that could not be had, why not.
    pub report: Report,
    /// When the server took it.
    pub sent: Option<Timestamp>,
    /// It is of the look for the answer in a mailbox, until the probe's time was over: the report says why that could not be had,
    /// where it could not.
    pub looked: bool,
}

/// Sends a probe.
pub async fn send(posting: Posting<'_>, gate: &dyn Gate, id: Uuid) -> (Report, Option<Timestamp>) {
    let Posting { inputs, vantage, installation, watcher } = posting;
    let (now, back) = (Timestamp::now(), inputs.return_address(id));
    let sender = inputs.sender.server.sender.as_ref().map(|sender| sender.address.as_str()).unwrap_or_default();
    let text = id.to_string();
    let run = mail_server::Run {
        id: &text,
        code: id,
        message: id,
        reads_bounces: true,
        probe: Some(ProbeMail {
            from: &inputs.from,
            display_name: inputs.display_name.as_deref(),
            return_address: &back,
            to: &inputs.to,
            subject: inputs.subject.as_deref(),
            body: &inputs.body,
            id,
            domain: sender.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default(),
            date: now,
            installation,
            uid: &inputs.uid,
        }),
        now,
        installation,
        contact: None,
        level: Level::Deliver,
        may_greet_with_tls: false,
        watcher,
    };
    let begun = Instant::now();
    let report = mail_server::check(&inputs.sender.server, vantage, gate, &run).await;
    // What the server said after it took the mail took time, too.
    let goodbye = report.stages.iter().find(|record| record.stage == Stage::Quit).map(|record| record.duration);
    let took = begun.elapsed().saturating_sub(goodbye.unwrap_or_default());
    let taken = report.delivery.as_ref().is_some_and(|delivery| delivery.accepted.is_some());
    let sent = taken.then(|| crate::verify::schedule::later(now, took));
    (report, sent)
}
