//! One actor's mail: sent through the profile's `MailServer` once the mailbox is open, and what is known of it afterwards.

use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use super::{Opened, Permits, Setting, is_about_the_mail};
use crate::{
    api::{Reason, v1alpha1::Level},
    mail::{Diagnosis, Stage, mailbox::Mark},
    runtime::lock,
    verify::{
        Report,
        email_profile::{Errand, Inputs, Mail, Run},
        mail_server,
        mailbox::attend::{Dispatch, Dispatched},
    },
};

/// How far a mail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not being sent: before or after.
    Still,
    /// On its way to the server: not to be dropped now.
    Sending,
}

/// What became of a mail, where one was begun.
#[derive(Clone, Default)]
pub(super) struct Letter(Arc<Mutex<Option<Mail>>>);

impl Letter {
    pub(super) fn read(&self) -> Option<Mail> {
        lock(&self.0).clone()
    }
}

/// Sends one actor's mail.
pub struct Post<'a> {
    setting: Setting<'a>,
    permits: &'a dyn Permits,
    run: &'a Run,
    errand: &'a Errand,
    code: Uuid,
    opened: &'a watch::Sender<Opened>,
    progress: watch::Sender<Progress>,
    mail: Letter,
    accepted: Option<String>,
    message_id: Option<String>,
}

impl<'a> Post<'a> {
    pub(super) fn new(
        setting: Setting<'a>,
        permits: &'a dyn Permits,
        run: &'a Run,
        errand: &'a Errand,
        code: Uuid,
        opened: &'a watch::Sender<Opened>,
    ) -> Self {
        let progress = watch::channel(Progress::Still).0;
        Self { setting, permits, run, errand, code, opened, progress, mail: Letter::default(), accepted: None, message_id: None }
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// What becomes of the mail.
    pub(super) fn mail(&self) -> Letter {
        self.mail.clone()
    }

    /// A failure with what is known of the mail: that it may have gone weighs more than that it did not come.
    pub(super) fn explain(&mut self, failure: Diagnosis) -> Diagnosis {
        let mail = self.mail.read();
        let uncertain = mail.as_ref().and_then(|mail| mail.uncertain.clone());
        match uncertain.filter(|_| failure.reason == Reason::MessageNotReceived) {
            Some(uncertain) => uncertain,
            None if is_about_the_mail(&failure) => failure
                .fact("sentAt", mail.map(|mail| crate::verify::halt::told_time(mail.sent)).unwrap_or_default())
                .fact("accepted", self.accepted.clone().unwrap_or_default())
                .fact("messageID", self.message_id.clone().unwrap_or_default()),
            None => failure,
        }
    }

    async fn send(&mut self, noted: &Mark) -> Result<Dispatched, Diagnosis> {
        let Setting { inputs, vantage, codes, .. } = self.setting;
        let sender = inputs.sender.as_ref().ok_or_else(|| {
            let fault = "Automatic verification needs verification.senderRef";
            Diagnosis::new(Reason::SpecInvalid).detail(fault).fact("fault", fault)
        })?;
        let message = codes.message(&self.run.id, &self.errand.actor);
        let mark = noted.to_string();
        let _turn = self.permits.turn().await;
        let gate = self.permits.sending(&self.errand.actor, &mark);
        let check = mail_server::Run {
            id: &self.run.id,
            code: self.code,
            message,
            reads_bounces: reads_bounces(inputs),
            probe: None,
            now: Timestamp::now(),
            installation: self.setting.installation,
            contact: self.setting.contact,
            level: Level::Deliver,
            may_greet_with_tls: false,
            watcher: self.setting.watcher,
        };
        let report = mail_server::check(&sender.server, vantage, &*gate, &check).await;
        self.permits.sent(&report);
        // What the server said after it took the mail took time, too.
        let goodbye = report.stages.iter().find(|record| record.stage == Stage::Quit).map(|record| record.duration);
        let at = Instant::now().checked_sub(goodbye.unwrap_or_default()).unwrap_or_else(Instant::now);
        self.settle(report, &sender.name)?;
        let dispatched = Dispatched { at, message_id: self.message_id.clone(), envelope_id: Some(message.to_string()) };
        Ok(dispatched)
    }

    fn settle(&mut self, report: Report, server: &str) -> Result<(), Diagnosis> {
        let failure = report.failure.map(|failure| {
            let detail =
                failure.detail.as_ref().map_or_else(|| format!("MailServer {server}"), |d| format!("MailServer {server}: {d}"));
            failure.detail(detail)
        });
        if let Some(delivery) = report.delivery {
            let uncertain = failure.clone().filter(|failure| failure.reason == Reason::DeliveryUncertain && delivery.dot_sent);
            self.message_id = Some(delivery.message_id);
            self.accepted.clone_from(&delivery.accepted);
            let settled = delivery.accepted.is_some() || uncertain.is_some();
            *lock(&self.mail.0) = Some(Mail { sent: Timestamp::now(), dot_sent: delivery.dot_sent, uncertain });
            if settled {
                return Ok(());
            }
        }
        Err(failure.unwrap_or_else(|| Diagnosis::new(Reason::ProtocolError)))
    }
}

impl Dispatch for Post<'_> {
    fn dispatch<'a>(&'a mut self, noted: &'a Mark) -> BoxFuture<'a, Result<Dispatched, Diagnosis>> {
        async move {
            self.opened.send_if_modified(|opened| std::mem::replace(opened, Opened::Yes) != Opened::Yes);
            self.progress.send_replace(Progress::Sending);
            let sent = self.send(noted).await;
            self.progress.send_replace(Progress::Still);
            self.permits.waits();
            sent
        }
        .boxed()
    }
}

/// Ends when the run is to end and no mail is on its way.
pub(super) async fn may_end(permits: &dyn Permits, mut progress: watch::Receiver<Progress>) {
    permits.ends().await;
    // An error means that the sender is gone: nothing is on its way.
    let _ = progress.wait_for(|progress| *progress == Progress::Still).await;
}

/// The domain of the sender's address, where a mailbox has a sender.
pub(super) fn domain(inputs: &Inputs) -> Option<&str> {
    let sender = inputs.sender.as_ref()?.server.sender.as_ref()?;
    sender.address.rsplit_once('@').map(|(_, domain)| domain)
}

/// Whether what comes back to the sender's address comes to a mailbox that is looked at.
fn reads_bounces(inputs: &Inputs) -> bool {
    if inputs.returns.is_some() {
        return true;
    }
    let sender = inputs.sender.as_ref().and_then(|sender| sender.server.sender.as_ref());
    sender.is_some_and(|sender| sender.address.eq_ignore_ascii_case(&inputs.address))
}
