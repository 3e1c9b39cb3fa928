//! The way of one `MailServer` through one reconciliation: observe → decide → act → tell. A check that is due is begun and
//! goes on beside it; its report is found by the reconciliation that follows its end.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Context, MailServers, check};
use crate::{
    api::v1alpha1::{MailServer, MailServerSpec, State},
    controllers::{
        actors,
        around::Around,
        reconcile::{Error, about, references, unresolved, wait},
    },
    mail::Diagnosis,
    runtime::{
        Name,
        limits::{Service, Target},
        lock,
    },
    verify::{
        breaker::Hold,
        budget::Allowance,
        mail_server::{
            Because, Check, Inputs, Observed, Plan, Seen, Views, What, decide, differs, inputs::MESSAGES_PER_MINUTE, resolve,
            status, transitions,
        },
    },
};

/// One object and what surrounds it, as a decision needs it; [`Sight::seen`] is its borrowed form.
pub struct Sight {
    /// The object, in the version that the decision rests on.
    pub object: MailServer,
    observed: Result<Observed, Diagnosis>,
    held: Option<Hold>,
    other_default: Option<String>,
    used_by: i32,
    running: Option<Check>,
    /// What surrounds it.
    pub around: Around,
}

impl Sight {
    fn new(object: MailServer, resolved: &Result<Inputs, Diagnosis>, name: &Name, ctx: &Context) -> Self {
        let (term, around) = (&ctx.term, Around::of(name, ctx));
        let observed = resolved.as_ref().map(Observed::from).map_err(Clone::clone);
        let accounts = observed.as_ref().map(|observed| observed.accounts.as_slice()).unwrap_or_default();
        Self {
            held: lock(&term.ground.memory.breaker).longest(accounts, around.now),
            observed,
            other_default: ctx.own.defaults.older(&object, &ctx.known),
            used_by: i32::try_from(term.used_by(&Context::who(name))).unwrap_or(i32::MAX),
            running: ctx.checks.running(name),
            around,
            object,
        }
    }

    /// What the decision rests on.
    #[must_use]
    pub fn seen(&self) -> Seen<'_> {
        let meta = &self.object.metadata;
        Seen {
            object: self.around.object::<MailServers>(&self.object),
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            name: meta.name.as_deref().unwrap_or_default(),
            resource_version: meta.resource_version.as_deref().unwrap_or_default(),
            other_default: self.other_default.as_deref(),
            spec: &self.object.spec,
            status: self.object.status.as_ref(),
            observed: self.observed.clone(),
            held: self.held.clone(),
            used_by: self.used_by,
            running: self.running.clone(),
        }
    }
}

/// One reconciliation of a server that was read just now.
///
/// # Errors
/// [`Error`].
pub async fn go(object: MailServer, name: &Name, ctx: &Arc<Context>) -> Result<Option<Duration>, Error> {
    let resolved = observe(&object, name, ctx).await?;
    let mut sight = Sight::new(object, &resolved, name, ctx);
    if let Some(ended) = ctx.checks.ended(name) {
        if sight.object.metadata.uid.as_deref() == Some(ended.uid.as_str()) {
            let plan = Plan { what: What::Check(ended.check.clone()), next: None, state: State::Active };
            tell(&mut sight, &plan, Some(&ended.report), ctx).await?;
        }
        ctx.checks.told(name);
    }
    let plan = decide(&sight.seen());
    Box::pin(act(sight, &plan, resolved.ok(), name, ctx)).await?;
    Ok(plan.next.map(|next| wait(next, Timestamp::now())))
}

/// Reads what the spec refers to. What it refers to is noted first, or a change in between would be missed.
async fn observe(object: &MailServer, name: &Name, ctx: &Context) -> Result<Result<Inputs, Diagnosis>, Error> {
    let spec = &object.spec;
    ctx.uses.set(name, references(&name.namespace, spec.tls.iter(), spec.auth.as_ref()));
    let verification = spec.verification.as_ref();
    let names = verification.and_then(|verification| verification.actors.as_deref());
    let selects = verification.is_some_and(|verification| verification.actor_selector.is_some());
    ctx.dependents.set(name, actors::named(names, selects, &ctx.term));
    let uid = object.uid().unwrap_or_default();
    let resolved = resolve(spec, &about(name, &uid, ctx), &ctx.references).await;
    match &resolved {
        Err(failure) => unresolved(failure, name, ctx)?,
        Ok(inputs) => {
            let per_minute = spec.limits.as_ref().and_then(|limits| limits.messages_per_minute);
            let per_minute = per_minute.and_then(|n| u32::try_from(n).ok()).unwrap_or(MESSAGES_PER_MINUTE);
            let (host, user) = inputs.payer();
            ctx.join(name, inputs.accounts(), Some(Allowance { host: &host, user, per_minute }));
        }
    }
    Ok(resolved)
}

async fn act(mut sight: Sight, plan: &Plan, inputs: Option<Inputs>, name: &Name, ctx: &Arc<Context>) -> Result<(), Error> {
    let running = sight.running.is_some();
    let (What::Check(check), Some(inputs)) = (&plan.what, inputs) else {
        ctx.term.limits.pass(&Context::who(name));
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
    if ctx.term.is_draining() {
        return Ok(());
    }
    let Some(place) = ctx.term.limits.enter(&Context::who(name), &target(&sight.object.spec, &inputs)) else { return Ok(()) };
    tell(&mut sight, plan, None, ctx).await?;
    check::start(ctx, name, sight, inputs, check.clone(), place);
    Ok(())
}

/// Writes the status that follows, if it is worth it, and the Events that go with it. Afterwards `sight` holds the object as
/// it then is.
async fn tell(sight: &mut Sight, plan: &Plan, report: Option<&Views>, ctx: &Context) -> Result<(), Error> {
    let seen = sight.seen();
    let new = status(&seen, plan, report);
    if seen.object.deleted || !differs(seen.status, &new) {
        return Ok(());
    }
    let events = transitions(seen.status, &new);
    sight.object = ctx.tell(&sight.object, &new, events).await?;
    Ok(())
}

/// What a check's place is counted by: the primary's host and the account on it.
fn target(spec: &MailServerSpec, inputs: &Inputs) -> Target {
    let connections = spec.limits.as_ref().and_then(|limits| limits.connections).and_then(|n| usize::try_from(n).ok());
    Target {
        service: Service::Sending,
        host: inputs.endpoints.first().map(|endpoint| endpoint.host.to_ascii_lowercase()).unwrap_or_default(),
        user: inputs.login.as_ref().map(|login| login.credential.user().to_owned()),
        connections: connections.unwrap_or(1),
    }
}
