//! `RoundTripPolicy`: what it adds to what all kinds share. `reconcile` goes observe → decide → act → tell, `probe` is what runs
//! beside it and `gate` what that asks before it sends, `replies` what receivers took, `target` the object that a policy watches
//! over.

mod gate;
mod probe;
mod reconcile;
mod replies;
mod target;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Kind, Memory,
    dependents::Dependents,
    email_profile::EmailProfiles,
    glance::Glance,
    kind::{self, Asks, Standing, Status},
    mail_server::MailServers,
    reconcile::Error,
};
use crate::{
    api::{Reason, v1alpha1::RoundTripPolicy},
    runtime::{Name, Who},
    verify::{
        budget::Mail,
        round_trip::{Probe, ProbeReport},
    },
};
use replies::Replies;

/// What reconciliations and probes of policies share.
pub type Context = super::Context<RoundTripPolicies>;

/// The kind of receivers, among those that objects name.
const RECEIVER: &str = "MailReceiver";

/// The kind `RoundTripPolicy`.
#[derive(Debug, Default)]
pub struct RoundTripPolicies {
    /// What policies name, whether they may use it or not.
    named: Dependents,
    replies: Replies,
}

impl Kind for RoundTripPolicies {
    type Object = RoundTripPolicy;
    type Check = Probe;
    type Report = ProbeReport;

    const KIND: &'static str = "RoundTripPolicy";
    const CONTROLLER: &'static str = "roundtrippolicy";

    fn go(
        object: RoundTripPolicy,
        name: &Name,
        ctx: &Arc<Context>,
    ) -> impl Future<Output = Result<Option<Duration>, Error>> + Send {
        reconcile::go(object, name, ctx)
    }

    fn remember(policy: &RoundTripPolicy, memory: &Memory) {
        let Some(probe) = policy.status.as_ref().and_then(|status| status.in_flight.as_ref()) else { return };
        // Through which account it went is not read for this: the other budgets remember the mail all the same.
        let mail = Mail { host: "", user: "", recipient: &policy.spec.to, run: &probe.id, borrower: None };
        memory.sent(&gate::charged(&probe.id, probe.attempt), &mail, probe.claimed_at.0, Timestamp::now());
    }

    fn standing(status: &Status<Self>) -> Standing<'_> {
        let answered = status.last_handled_verify_request.as_deref();
        Standing { observed_generation: status.observed_generation, conditions: &status.conditions, answered }
    }

    fn failure(report: &Self::Report) -> Option<Reason> {
        report.report.failure.as_ref().map(|failure| failure.reason)
    }

    fn asks(object: &Self::Object) -> Asks<'_> {
        Asks { suspend: object.spec.suspend, maintenance: object.spec.maintenance.as_deref() }
    }

    fn seen(&self, object: &Glance<RoundTripPolicy>) -> Vec<Who> {
        let servers = object.servers().into_iter().map(|name| Who::new(MailServers::KIND, name));
        let receiver = object.receiver().map(|name| Who::new(RECEIVER, name));
        let profile = object.profile().map(|name| Who::new(EmailProfiles::KIND, name));
        if receiver.is_some() {
            self.replies.are_awaited();
        }
        self.named.set(&Name::of(object), servers.chain(receiver).chain(profile))
    }

    fn gone(&self, name: &Name) -> Vec<Who> {
        self.named.forget(name)
    }

    fn users(&self, other: &Who) -> usize {
        self.named.of(other).len()
    }

    fn beside(ctx: &Arc<Context>) -> impl Future<Output = ()> + Send {
        replies::follow(ctx)
    }
}

impl kind::Check for Probe {
    // A probe is one check each time that it is taken up.
    fn id(&self) -> &str {
        &self.part
    }
}
