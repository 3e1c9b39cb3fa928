//! Watching a mailbox for what comes back (promise 6): reports on mails that were sent to somebody else, in the mailbox that they
//! were sent from. One session, however many mails; nothing but reports on these mails is read or removed.

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::times::BackOff;
use crate::{
    api::Class,
    mail::{
        Diagnosis, Vantage,
        bounce::Bounce,
        mailbox::{Cleanup, Mailbox, Mark},
    },
    verify::{
        Gate,
        mailbox::{Inputs, Visit},
        report::LoginOutcome,
    },
};

/// The newest mails that were there before and are looked at: the report may have been faster than we.
const BEFORE: u32 = 50;
/// The most reports that are read: most are on other people's mails.
const REPORTS: usize = 100;

/// A mail that was sent, by what a report on it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Whose it is.
    pub actor: String,
    /// Its code, which a report may quote and nobody may see.
    pub code: Uuid,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Its ENVID (RFC 3461 section 4.4).
    pub envelope_id: Option<String>,
}

/// Watches the mailbox over IMAP until the gate ends it, and tells each report on one of these mails. A mailbox that cannot be
/// opened tells nothing: it has a profile of its own, which says why.
pub async fn returns(
    inputs: &Inputs,
    vantage: &Vantage,
    gate: &dyn Gate,
    cleanup: Cleanup,
    sent: &[Sent],
    told: &(dyn Fn(&Sent, Bounce) + Send + Sync),
) {
    let mut watch = Watch { cleanup, sent, told, reports: 0, since: None };
    let mut back_off = BackOff::default();
    loop {
        let (begun, mut visit) = (Instant::now(), Visit::new(inputs, vantage, gate, None));
        let failure = match Box::pin(visit.open(begun + inputs.timeout, cleanup == Cleanup::Delete)).await {
            Ok(Some(mut mailbox)) => {
                let ended = tokio::select! {
                    failed = watch.follow(mailbox.as_mut(), inputs) => Err(failed),
                    () = gate.ends() => Ok(()),
                };
                if ended.is_ok() {
                    mailbox.set_deadline(Instant::now() + inputs.timeout);
                    visit.leave(mailbox).await.ok();
                    return;
                }
                ended.err()
            }
            Ok(None) => return,
            Err(failure) => Some(failure),
        };
        // What judges a login ends it (promises 7 and 8).
        let judged = matches!(visit.finish(Ok(())).login, Some(LoginOutcome::Refused | LoginOutcome::TooMany));
        if judged || failure.is_some_and(|failure| failure.class != Class::Transient) || watch.reports == REPORTS {
            return;
        }
        tokio::select! {
            () = sleep(back_off.after(begun.elapsed())) => {}
            () = gate.ends() => return,
        }
    }
}

struct Watch<'a> {
    cleanup: Cleanup,
    sent: &'a [Sent],
    told: &'a (dyn Fn(&Sent, Bounce) + Send + Sync),
    reports: usize,
    since: Option<Mark>,
}

impl Watch<'_> {
    /// Looks whenever something came; ends with a failure alone.
    async fn follow(&mut self, mailbox: &mut dyn Mailbox, inputs: &Inputs) -> Diagnosis {
        loop {
            mailbox.set_deadline(Instant::now() + inputs.timeout);
            if let Err(failure) = self.look(mailbox).await {
                return failure;
            }
            if !mailbox.stays() || self.reports == REPORTS {
                std::future::pending::<()>().await;
            }
            // A session of its own renews its wait; this only bounds it.
            let next = Instant::now() + std::time::Duration::from_hours(1);
            mailbox.set_deadline(next + inputs.timeout);
            if let Err(failure) = mailbox.wait(next).await {
                return failure;
            }
        }
    }

    async fn look(&mut self, mailbox: &mut dyn Mailbox) -> Result<(), Diagnosis> {
        let since = match &self.since {
            Some(since) => since.clone(),
            None => match mailbox.note().await? {
                Mark::Imap { validity, next } => Mark::Imap { validity, next: next.saturating_sub(BEFORE).max(1) },
                mark @ Mark::Pop3 { .. } => mark,
            },
        };
        self.since = Some(since.clone());
        // Nobody's code: what passes by is looked at for reports alone.
        mailbox.look(&since, &[Uuid::nil()]).await?;
        for place in mailbox.reports() {
            if self.reports == REPORTS {
                break;
            }
            self.reports += 1;
            let Some(bounce) = mailbox.read(&place).await?.and_then(|mail| Bounce::read(&mail)) else { continue };
            let about = |sent: &&Sent| bounce.is_about(sent.envelope_id.as_deref(), sent.message_id.as_deref());
            let Some(sent) = self.sent.iter().find(about) else { continue };
            if self.cleanup == Cleanup::Delete {
                // What broke the conversation is told by what is said next. Whoever hears of the report may end this.
                mailbox.remove(&place).await.ok();
            }
            (self.told)(sent, bounce.without(&sent.code.to_string()));
        }
        Ok(())
    }
}
