//! `EmailProfile`: what it adds to what all kinds share. `reconcile` goes observe → decide → act → tell, `run` is what runs
//! beside it, and `permits` what that asks before it acts.

mod permits;
mod reconcile;
mod returns;
mod run;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Kind, Memory,
    dependents::Dependents,
    glance::Glance,
    kind::{self, Asks, Standing, Status},
    mail_server::MailServers,
    reconcile::Error,
};
use crate::{
    api::{Reason, v1alpha1::EmailProfile},
    runtime::{Name, Who},
    verify::{
        budget::Mail,
        email_profile::{Run, RunReport},
    },
};

/// What reconciliations and runs of profiles share.
pub type Context = super::Context<EmailProfiles>;

/// The kind `EmailProfile`.
#[derive(Debug, Default)]
pub struct EmailProfiles {
    /// The servers that profiles name, whether they may use them or not.
    servers: Dependents,
    /// Which addresses profiles read.
    readers: Dependents,
}

/// An address, as the profiles of a namespace may read it.
fn address(namespace: &str, address: &str) -> Who {
    Who::new("address", Name::new(namespace, address.to_ascii_lowercase()))
}

impl Kind for EmailProfiles {
    type Object = EmailProfile;
    type Check = Run;
    type Report = RunReport;

    const KIND: &'static str = "EmailProfile";
    const CONTROLLER: &'static str = "emailprofile";

    fn go(object: EmailProfile, name: &Name, ctx: &Arc<Context>) -> impl Future<Output = Result<Option<Duration>, Error>> + Send {
        reconcile::go(object, name, ctx)
    }

    fn remember(profile: &EmailProfile, memory: &Memory) {
        for claim in profile.status.iter().flat_map(|status| &status.claims) {
            // Through which account it went is not read for this: the other budgets remember the mail all the same.
            let mail = Mail { host: "", user: "", recipient: &profile.spec.address, run: &claim.id, borrower: None };
            memory.sent(&charge(&claim.id, &claim.actor), &mail, claim.started_at.0, Timestamp::now());
        }
    }

    fn seen(&self, object: &Glance<EmailProfile>) -> Vec<Who> {
        let name = Name::of(object);
        self.readers.set(&name, object.address().map(|own| address(&name.namespace, own)));
        let named = object.servers().into_iter().map(|name| Who::new(MailServers::KIND, name));
        self.servers.set(&name, named)
    }

    fn gone(&self, name: &Name) -> Vec<Who> {
        self.readers.forget(name);
        self.servers.forget(name)
    }

    fn users(&self, other: &Who) -> usize {
        self.servers.of(other).len()
    }

    fn standing(status: &Status<Self>) -> Standing<'_> {
        let answered = status.last_handled_verify_request.as_deref();
        Standing { observed_generation: status.observed_generation, conditions: &status.conditions, answered }
    }

    fn failure(report: &Self::Report) -> Option<Reason> {
        report.actors.iter().find_map(|actor| actor.report.failure.as_ref()).map(|failure| failure.reason)
    }

    fn asks(object: &Self::Object) -> Asks<'_> {
        Asks { suspend: object.spec.suspend, maintenance: object.spec.maintenance.as_deref() }
    }
}

impl kind::Check for Run {
    #[expect(clippy::misnamed_getters, reason = "a run is one check each time that it is taken up")]
    fn id(&self) -> &str {
        &self.part
    }
}

/// The name under which one actor's mail of a run is charged.
fn charge(run: &str, actor: &str) -> String {
    format!("{run}/{actor}")
}
