//! The way of one `RoundTripPolicy` through one reconciliation: observe → decide → act → tell. A probe that is due is begun and is
//! sent beside it; its report, and what receivers take, bring the object here again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;

use super::{Context, RECEIVER, RoundTripPolicies, probe, replies, target};
use crate::{
    api::v1alpha1::{RoundTripPolicy, RoundTripPolicySpec, State},
    controllers::{
        Kind,
        around::Around,
        email_profile::EmailProfiles,
        mail_server::MailServers,
        reconcile::{Error, about, references, unresolved, wait},
    },
    mail::Diagnosis,
    runtime::{
        Name, Who,
        limits::{Service, Target},
        lock,
    },
    verify::{
        breaker::Hold,
        budget::Allowance,
        round_trip::{
            Because, Begin, Came, Inputs, Observed, Plan, Probe, ProbeReport, Seen, What, decide, differs, is_told, resolve,
            status, transitions,
        },
    },
};

/// One object and what surrounds it, as a decision needs it; [`Sight::seen`] is its borrowed form.
pub struct Sight {
    /// The object, in the version that the decision rests on.
    pub object: RoundTripPolicy,
    observed: Result<Observed, Diagnosis>,
    held: Option<Hold>,
    running: Option<Probe>,
    /// What came: what receivers took by the name that it is forgotten by.
    pub came: Vec<(Option<String>, Came)>,
    target: Option<ObjectReference>,
    /// What surrounds it.
    pub around: Around,
}

impl Sight {
    fn new(
        object: RoundTripPolicy,
        resolved: &Result<(Inputs, Option<ObjectReference>), Diagnosis>,
        name: &Name,
        ctx: &Context,
    ) -> Self {
        let (term, around) = (&ctx.term, Around::of(name, ctx));
        let observed = resolved.as_ref().map(|(inputs, _)| Observed::from(inputs)).map_err(Clone::clone);
        let accounts = observed.as_ref().map(|observed| observed.accounts.as_slice()).unwrap_or_default();
        Self {
            held: lock(&term.ground.memory.breaker).longest(accounts, around.now),
            observed,
            running: ctx.checks.running(name),
            came: ctx.own.replies.of(name, object.metadata.uid.as_deref().unwrap_or_default()),
            target: resolved.as_ref().ok().and_then(|(_, target)| target.clone()),
            around,
            object,
        }
    }

    /// What the decision rests on.
    #[must_use]
    pub fn seen(&self) -> Seen<'_> {
        Seen {
            object: self.around.object::<RoundTripPolicies>(&self.object),
            spec: &self.object.spec,
            status: self.object.status.as_ref(),
            observed: self.observed.clone(),
            held: self.held.clone(),
            running: self.running.clone(),
            came: self.came.iter().map(|(_, came)| came.clone()).collect(),
        }
    }
}

/// One reconciliation of a policy that was read just now.
///
/// # Errors
/// [`Error`].
pub async fn go(object: RoundTripPolicy, name: &Name, ctx: &Arc<Context>) -> Result<Option<Duration>, Error> {
    let resolved = observe(&object, name, ctx).await?;
    let mut sight = Sight::new(object, &resolved, name, ctx);
    if let Some(ended) = ctx.checks.ended(name) {
        if is_older(&sight.object, &ended.report) {
            // It was read before the claim was written, and the probe has ended since: what is told rests on the claim.
            let Some(found) = ctx.read(name).await? else { return Ok(None) };
            // One that cannot be read any more is told so by whoever reads it next.
            let Ok(object) = found.0 else { return Ok(None) };
            sight = Sight::new(object, &resolved, name, ctx);
        }
        if sight.object.metadata.uid.as_deref() == Some(ended.uid.as_str()) {
            let plan = Plan { what: What::Probe(ended.check.clone()), next: None, state: State::Active };
            tell(&mut sight, &plan, Some(&ended.report), ctx).await?;
        }
        ctx.checks.told(name);
    }
    let (mut inputs, mut asked) = (resolved.ok().map(|(inputs, _)| inputs), false);
    loop {
        sight.around.now = Timestamp::now();
        let plan = decide(&sight.seen());
        if !matches!(plan.what, What::Settle(_) | What::Note(_)) {
            Box::pin(act(sight, &plan, inputs.take(), name, ctx)).await?;
            return Ok(plan.next.map(|next| wait(next, Timestamp::now())));
        }
        if let (What::Settle(outcome), Some(probe)) = (&plan.what, sight.seen().in_flight())
            && outcome.by_time
            && !asked
            && sight.seen().observed.as_ref().is_ok_and(|observed| !observed.reads)
        {
            replies::ask(&probe.id, ctx).await?;
            (asked, sight.came) = (true, ctx.own.replies.of(name, sight.object.metadata.uid.as_deref().unwrap_or_default()));
            continue;
        }
        // What was settled is told before anything else is begun.
        tell(&mut sight, &plan, None, ctx).await?;
    }
}

/// Whether an object is of a time before the claim of a probe that this tells of.
fn is_older(object: &RoundTripPolicy, report: &ProbeReport) -> bool {
    let status = object.status.as_ref();
    let in_flight = status.and_then(|status| status.in_flight.as_ref()).is_some_and(|probe| probe.id == report.id);
    let settled = status.is_some_and(|status| status.history.iter().any(|row| row.id == report.id));
    report.report.delivery.is_some() && !in_flight && !settled
}

type Resolved = Result<(Inputs, Option<ObjectReference>), Diagnosis>;

/// Reads what the spec refers to. What it refers to is noted first, or a change in between would be missed.
async fn observe(object: &RoundTripPolicy, name: &Name, ctx: &Context) -> Result<Resolved, Error> {
    let spec = &object.spec;
    ctx.dependents.set(name, named(spec, &name.namespace));
    let uid = object.uid().unwrap_or_default();
    let resolved = resolve(spec, &about(name, &uid, ctx), &ctx.references).await;
    let target = match (&resolved, &spec.target_ref) {
        (Ok(_), Some(reference)) => target::find(reference, &name.namespace, ctx).await.map(Some),
        _ => Ok(None),
    };
    let resolved = resolved.and_then(|inputs| Ok((inputs, target?)));
    // Of the secrets that a probe needs those of a mailbox are noted here: the server's are its own object's.
    ctx.uses.set(name, references(&name.namespace, [], None));
    match &resolved {
        Err(failure) => unresolved(failure, name, ctx)?,
        Ok((inputs, _)) => {
            let sender = &inputs.sender;
            let (host, user) = sender.server.payer();
            ctx.join(name, inputs.accounts(), Some(Allowance { host: &host, user, per_minute: sender.per_minute }));
        }
    }
    Ok(resolved)
}

async fn act(mut sight: Sight, plan: &Plan, inputs: Option<Inputs>, name: &Name, ctx: &Arc<Context>) -> Result<(), Error> {
    let running = sight.running.is_some();
    let (What::Probe(probe), Some(inputs)) = (&plan.what, inputs) else {
        ctx.term.limits.pass(&Context::who(name));
        if plan.what == What::Rest(Because::Running) && sight.seen().object.is_current() {
            // While a probe is being sent its claim is the only write.
            return Ok(());
        }
        if running && plan.what != What::Rest(Because::Running) {
            ctx.checks.cancel(name);
        }
        return tell(&mut sight, plan, None, ctx).await;
    };
    if running {
        // Its end brings us here again.
        ctx.checks.cancel(name);
        return Ok(());
    }
    if inputs.unsettled && probe.begin == Begin::Send {
        // The verdict on the server brings us here again: if it is a bad one, it is told there, and not here as well.
        ctx.term.limits.pass(&Context::who(name));
        return Ok(());
    }
    if ctx.term.is_draining() {
        return Ok(());
    }
    let place = match probe.begin {
        // Whoever only looks connects to a mailbox that others may watch already.
        Begin::Look { .. } => None,
        Begin::Send => match ctx.term.limits.enter(&Context::who(name), &place_of(&inputs)) {
            Some(place) => Some(place),
            None => return Ok(()),
        },
    };
    tell(&mut sight, plan, None, ctx).await?;
    probe::start(ctx, name, sight, inputs, probe.clone(), place);
    Ok(())
}

/// Writes the status that follows, if it is worth it, the Events that go with it, on the policy and on what it watches over, and
/// counts what has ended. Afterwards `sight` holds the object as it then is, and what is told of what came is forgotten.
///
/// # Errors
/// That it was not written.
pub async fn tell(sight: &mut Sight, plan: &Plan, report: Option<&ProbeReport>, ctx: &Context) -> Result<(), Error> {
    let seen = sight.seen();
    let new = status(&seen, plan, report);
    if seen.object.deleted {
        return Ok(());
    }
    if differs(seen.status, &new) {
        let events = transitions(seen.status, &new);
        let ended = new.last_round_trip.as_ref().filter(|last| {
            seen.status.and_then(|status| status.last_round_trip.as_ref()).is_none_or(|known| known.id != last.id)
        });
        let ended = ended.map(|last| last.result.clone());
        sight.object = ctx.tell(&sight.object, &new, events.clone()).await?;
        if let Some(target) = &sight.target {
            for event in events {
                let note = format!("RoundTripPolicy {}: {}", sight.object.name_any(), event.note);
                ctx.term.teller.event_about(target, event.warning, &event.reason, &note).await;
            }
        }
        if let Some(result) = ended {
            count(&result, plan, sight, ctx);
        }
    }
    let (told, open): (Vec<_>, Vec<_>) = std::mem::take(&mut sight.came).into_iter().partition(|(_, came)| is_told(came, &new));
    sight.came = open;
    for reply in told.into_iter().filter_map(|(reply, _)| reply) {
        replies::delete(&reply, ctx).await;
    }
    Ok(())
}

/// Counts and logs a probe that has ended.
fn count(result: &str, plan: &Plan, sight: &Sight, ctx: &Context) {
    use crate::api::Reason;
    let (name, metrics) = (Name::of(&sight.object), &ctx.term.ground.metrics);
    let reason = Reason::ALL.iter().copied().find(|reason| reason.as_str() == result);
    let failed = reason.filter(|reason| reason.class() != crate::api::Class::Information || *reason == Reason::MessageDelayed);
    if let Some(reason) = failed {
        metrics.checked(RoundTripPolicies::KIND, &name, &[], Some(reason));
    }
    if reason == Some(Reason::MessageBounced) {
        metrics.bounced();
    }
    let took = if let What::Settle(outcome) = &plan.what { outcome.took } else { None };
    if let (Some(took), Some(Reason::Succeeded)) = (took, reason) {
        metrics.round_trip(took);
    }
    tracing::info!(object = %name, result, ?took, "settled");
}

/// The objects that a policy rests on.
fn named(spec: &RoundTripPolicySpec, namespace: &str) -> BTreeSet<Who> {
    let who = |kind, reference: &crate::api::v1alpha1::ObjectRef| {
        Who::new(kind, Name::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name))
    };
    let mut named: BTreeSet<Who> = BTreeSet::new();
    match &spec.server_ref {
        Some(server) => named.insert(who(MailServers::KIND, server)),
        None => named.insert(MailServers::default_of(namespace)),
    };
    named.extend(spec.receive.receiver_ref.iter().map(|receiver| who(RECEIVER, receiver)));
    named.extend(spec.receive.profile_ref.iter().map(|profile| who(EmailProfiles::KIND, profile)));
    named
}

/// What a probe's place is counted by: the server's host and the account on it.
fn place_of(inputs: &Inputs) -> Target {
    let server = &inputs.sender.server;
    Target {
        service: Service::Sending,
        host: server.endpoints.first().map(|endpoint| endpoint.host.to_ascii_lowercase()).unwrap_or_default(),
        user: server.login.as_ref().map(|login| login.credential.user().to_owned()),
        connections: inputs.sender.connections,
    }
}
