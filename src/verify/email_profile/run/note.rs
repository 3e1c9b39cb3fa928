//! That an actor has found its code is noted before the mail is removed: whoever takes up the run of a process that is gone finds
//! the note, or else the mail.

use std::{sync::Mutex, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use super::{
    ActorReport, Finding, Permits, Setting,
    post::Letter,
    stand::{Noted, found_here},
};
use crate::{
    api::v1alpha1::AuthenticationResults,
    runtime::lock,
    verify::{
        Report,
        mailbox::attend::{self, Witness},
    },
};

/// Where what one actor finds is noted.
pub(super) struct Note<'a> {
    setting: Setting<'a>,
    permits: &'a dyn Permits,
    /// What is known of the actor before it has found anything.
    actor: ActorReport,
    mail: Letter,
    taken: Mutex<Taken>,
}

/// What an actor's finding came to.
#[derive(Clone, Debug, Default)]
pub(super) enum Taken {
    /// Nothing was found yet.
    #[default]
    Nothing,
    /// It was found, with the session until then; it is noted, or is told with the end of the run.
    Found(Finding, Report),
    /// It was found when the run might not go on any more (its object changed, it is paused): it is to be found again.
    Lapsed,
}

impl<'a> Note<'a> {
    pub(super) fn new(setting: Setting<'a>, permits: &'a dyn Permits, actor: ActorReport, mail: Letter) -> Self {
        Self { setting, permits, actor, mail, taken: Mutex::default() }
    }

    pub(super) fn taken(&self) -> Taken {
        lock(&self.taken).clone()
    }

    async fn take(&self, report: Report, mark: Option<String>, took: Option<Duration>, results: AuthenticationResults) -> bool {
        let found = Finding { received: Timestamp::now(), took, results };
        *lock(&self.taken) = Taken::Found(found.clone(), report.clone());
        let report = ActorReport {
            report,
            mail: self.mail.read(),
            claimed: self.permits.has_claimed(&self.actor.name),
            mark: self.actor.mark.clone().or(mark),
            found: Some(found),
            ..self.actor.clone()
        };
        let may_go = self.permits.found(&report).await;
        if !may_go && self.permits.logins().still().is_err() {
            *lock(&self.taken) = Taken::Lapsed;
        }
        may_go
    }
}

impl Witness for Note<'_> {
    fn found<'a>(&'a self, finding: &'a attend::Finding, so_far: Report) -> BoxFuture<'a, bool> {
        async move {
            let Some((took, results)) = found_here(self.setting.inputs, finding) else { return false };
            self.take(so_far, finding.mark.as_ref().map(ToString::to_string), took, results).await
        }
        .boxed()
    }
}

impl Noted for Note<'_> {
    fn found(&self, so_far: Report, took: Option<Duration>, results: AuthenticationResults) -> BoxFuture<'_, bool> {
        self.take(so_far, None, took, results).boxed()
    }
}
