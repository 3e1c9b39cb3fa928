//! `MailServer`: what it adds to what all kinds share. `reconcile` goes observe → decide → act → tell, `check` is what runs
//! beside it and `gate` what that asks before it acts, `defaults` which servers are their namespace's default.

mod check;
mod defaults;
mod gate;
mod reconcile;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Kind, Memory,
    glance::Glance,
    kind::{self, Asks, Standing, Status},
    reconcile::Error,
};
use crate::{
    api::{Reason, v1alpha1::MailServer},
    runtime::{Name, Who},
    verify::{
        budget::Mail,
        mail_server::{Check, Views, inputs},
    },
};
use defaults::Defaults;

/// What reconciliations and checks of servers share.
pub type Context = super::Context<MailServers>;

/// The kind `MailServer`.
#[derive(Debug, Default)]
pub struct MailServers {
    defaults: Defaults,
}

impl Kind for MailServers {
    type Object = MailServer;
    type Check = Check;
    type Report = Views;

    const KIND: &'static str = "MailServer";
    const CONTROLLER: &'static str = "mailserver";

    fn go(object: MailServer, name: &Name, ctx: &Arc<Context>) -> impl Future<Output = Result<Option<Duration>, Error>> + Send {
        reconcile::go(object, name, ctx)
    }

    fn remember(server: &MailServer, memory: &Memory) {
        let claim = server.status.as_ref().and_then(|status| status.claim.as_ref());
        let (Some(claim), Some(test)) = (claim, &server.spec.test) else { return };
        let Ok(endpoints) = inputs::endpoints(&server.spec) else { return };
        let host = endpoints.first().map(|endpoint| endpoint.host.to_ascii_lowercase()).unwrap_or_default();
        // A user name that only the Secret holds is not read for this: the other budgets remember the mail all the same.
        let user = server.spec.auth.as_ref().and_then(|auth| auth.username.as_deref()).unwrap_or_default();
        let mail = Mail { host: &host, user, recipient: &test.to, run: &claim.id, borrower: None };
        memory.sent(&claim.id, &mail, claim.started_at.0, Timestamp::now());
    }

    fn standing(status: &Status<Self>) -> Standing<'_> {
        let answered = status.last_handled_verify_request.as_deref();
        Standing { observed_generation: status.observed_generation, conditions: &status.conditions, answered }
    }

    fn failure(report: &Self::Report) -> Option<Reason> {
        report.0.iter().find_map(|view| view.report.failure.as_ref()).map(|failure| failure.reason)
    }

    fn asks(object: &Self::Object) -> Asks<'_> {
        Asks { suspend: object.spec.suspend, maintenance: object.spec.maintenance.as_deref() }
    }

    fn seen(&self, object: &Glance<MailServer>) -> Vec<Who> {
        Self::look_again(self.defaults.see(object), &Name::of(object))
    }

    fn gone(&self, name: &Name) -> Vec<Who> {
        Self::look_again(self.defaults.forget(name), name)
    }
}

impl MailServers {
    /// Whichever server is the default of a namespace, for those who name none.
    #[must_use]
    pub fn default_of(namespace: &str) -> Who {
        Who::new("default MailServer", Name::new(namespace, ""))
    }

    /// Who must look again where a namespace has another default: its rivals, and those who name none.
    fn look_again(rivals: Option<Vec<Name>>, changed: &Name) -> Vec<Who> {
        let Some(rivals) = rivals else { return Vec::new() };
        rivals.iter().map(Context::who).chain([Self::default_of(&changed.namespace)]).collect()
    }
}

impl kind::Check for Check {
    fn id(&self) -> &str {
        &self.id
    }
}
