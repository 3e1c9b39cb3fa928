//! The way of one `EmailProfile` through one reconciliation: observe → decide → act → tell. A run that is due is begun and goes
//! on beside it; its report is found by the reconciliation that follows its end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Context, EmailProfiles, returns, run};
use crate::{
    api::v1alpha1::{EmailProfile, EmailProfileSpec, State},
    controllers::{
        Kind, actors,
        around::Around,
        mail_server::MailServers,
        reconcile::{Error, about, references, unresolved, wait},
    },
    mail::{Diagnosis, protocol::Protocol},
    runtime::{
        Name, Who,
        limits::{Service, Target},
        lock,
    },
    verify::{
        breaker::Hold,
        budget::Allowance,
        email_profile::{
            Because, Begin, Codes, Inputs, Observed, Plan, Run, RunReport, Seen, What, decide, differs, inputs, resolve, status,
            transitions,
        },
    },
};

/// Sessions of one account at the same time, over IMAP: providers grant 10 (Yahoo, Fastmail) to 15 (Gmail), and people use some.
const SESSIONS: usize = 5;
/// Requests to one mailbox at the same time that Microsoft Graph takes of one application:
/// <https://learn.microsoft.com/en-us/graph/throttling-limits#outlook-service-limits>
const REQUESTS: usize = 4;

/// One object and what surrounds it, as a decision needs it; [`Sight::seen`] is its borrowed form.
pub struct Sight {
    /// The object, in the version that the decision rests on.
    pub object: EmailProfile,
    observed: Result<Observed, Diagnosis>,
    held: Option<Hold>,
    outgoing_held: Option<Hold>,
    running: Option<Run>,
    /// What surrounds it.
    pub around: Around,
}

impl Sight {
    fn new(object: EmailProfile, resolved: &Result<Inputs, Diagnosis>, name: &Name, ctx: &Context) -> Self {
        let (term, around) = (&ctx.term, Around::of(name, ctx));
        let observed = resolved.as_ref().map(Observed::from).map_err(Clone::clone);
        let accounts = observed.as_ref().map(|observed| observed.accounts.as_slice()).unwrap_or_default();
        let (mailbox, others) = accounts.split_at(accounts.len().min(1));
        let breaker = lock(&term.ground.memory.breaker);
        let (held, outgoing_held) = (breaker.longest(mailbox, around.now), breaker.longest(others, around.now));
        drop(breaker);
        Self { held, outgoing_held, observed, running: ctx.checks.running(name), around, object }
    }

    /// What the decision rests on.
    #[must_use]
    pub fn seen(&self) -> Seen<'_> {
        Seen {
            object: self.around.object::<EmailProfiles>(&self.object),
            spec: &self.object.spec,
            status: self.object.status.as_ref(),
            observed: self.observed.clone(),
            held: self.held.clone(),
            outgoing_held: self.outgoing_held.clone(),
            running: self.running.clone(),
        }
    }
}

/// One reconciliation of a profile that was read just now.
///
/// # Errors
/// [`Error`].
pub async fn go(object: EmailProfile, name: &Name, ctx: &Arc<Context>) -> Result<Option<Duration>, Error> {
    let resolved = observe(&object, name, ctx).await?;
    let mut sight = Sight::new(object, &resolved, name, ctx);
    if let Some(ended) = ctx.checks.ended(name) {
        if sight.object.metadata.uid.as_deref() == Some(ended.uid.as_str()) {
            let plan = Plan { what: What::Run(ended.check.clone()), next: None, state: State::Active };
            tell(&mut sight, &plan, Some(&ended.report), ctx).await?;
        }
        ctx.checks.told(name);
    }
    let mut plan = decide(&sight.seen());
    if let What::Run(run) = &mut plan.what
        && sight.seen().is_manual()
    {
        let uid = sight.object.uid().unwrap_or_default();
        run.subject = Some(format!("({})", Codes { key: &ctx.term.ground.key, uid: &uid }.manual(&run.id)));
    }
    Box::pin(act(sight, &plan, resolved.ok(), name, ctx)).await?;
    Ok(plan.next.map(|next| wait(next, Timestamp::now())))
}

/// Reads what the spec refers to. What it refers to is noted first, or a change in between would be missed.
async fn observe(object: &EmailProfile, name: &Name, ctx: &Context) -> Result<Result<Inputs, Diagnosis>, Error> {
    let spec = &object.spec;
    let tls =
        [spec.server.as_ref().and_then(|server| server.tls.as_ref()), spec.outgoing.as_ref().and_then(|out| out.tls.as_ref())];
    let auth = inputs::auth(spec).ok();
    ctx.uses.set(name, references(&name.namespace, tls.into_iter().flatten(), auth.as_deref()));
    ctx.dependents.set(name, named(object, &name.namespace, ctx));
    let uid = object.uid().unwrap_or_default();
    let resolved = resolve(spec, &about(name, &uid, ctx), &ctx.references).await;
    match &resolved {
        Err(failure) => unresolved(failure, name, ctx)?,
        Ok(inputs) => {
            // Said here as well: the MailServer may be one that another installation looks after.
            let sending = inputs.sender.as_ref().map(|sender| (sender.server.payer(), sender.per_minute));
            let allowance = sending.as_ref().map(|((host, user), per_minute)| Allowance { host, user, per_minute: *per_minute });
            ctx.join(name, inputs.accounts(), allowance);
        }
    }
    Ok(resolved)
}

async fn act(mut sight: Sight, plan: &Plan, inputs: Option<Inputs>, name: &Name, ctx: &Arc<Context>) -> Result<(), Error> {
    let running = sight.running.is_some();
    let (What::Run(run), Some(mut inputs)) = (&plan.what, inputs) else {
        ctx.term.limits.pass(&Context::who(name));
        if plan.what == What::Rest(Because::Running) {
            // While a run is under way its claims are the only writes.
            return Ok(());
        }
        if running {
            ctx.checks.cancel(name);
        }
        return tell(&mut sight, plan, None, ctx).await;
    };
    if running {
        // Its end brings us here again.
        ctx.checks.cancel(name);
        return Ok(());
    }
    if inputs.unsettled && run.errands.iter().any(|errand| errand.begin == Begin::Send) {
        // The verdict on the server brings us here again: if it is a bad one, it is told there, and not here as well.
        ctx.term.limits.pass(&Context::who(name));
        return Ok(());
    }
    if ctx.term.is_draining() {
        return Ok(());
    }
    inputs.returns = returns::find(&inputs, name, ctx).await;
    let Some(place) = ctx.term.limits.enter(&Context::who(name), &target(&inputs)) else { return Ok(()) };
    tell(&mut sight, plan, None, ctx).await?;
    run::start(ctx, name, sight, inputs, run.clone(), place);
    Ok(())
}

/// Tells what a run under way has found so far.
///
/// # Errors
/// That it was not written.
pub async fn tell_found(sight: &mut Sight, run: &Run, found: &RunReport, ctx: &Context) -> Result<(), Error> {
    sight.around.now = Timestamp::now();
    let plan = Plan { what: What::Run(run.clone()), next: None, state: State::Active };
    tell(sight, &plan, Some(found), ctx).await
}

/// Writes the status that follows, if it is worth it, and the Events that go with it. Afterwards `sight` holds the object as
/// it then is.
async fn tell(sight: &mut Sight, plan: &Plan, report: Option<&RunReport>, ctx: &Context) -> Result<(), Error> {
    let seen = sight.seen();
    let new = status(&seen, plan, report);
    if seen.object.deleted || !differs(seen.status, &new) {
        return Ok(());
    }
    let events = transitions(seen.status, &new);
    sight.object = ctx.tell(&sight.object, &new, events).await?;
    Ok(())
}

/// The objects that a profile rests on: the `MailServer`s and Actors that its spec names, or that its status tells of.
fn named(profile: &EmailProfile, namespace: &str, ctx: &Context) -> BTreeSet<Who> {
    let spec = &profile.spec;
    let mut named = servers(spec, namespace);
    named.extend(actors::named(spec.actors.as_deref(), spec.actor_selector.is_some(), &ctx.term));
    named
}

/// The `MailServer`s that a spec names.
fn servers(spec: &EmailProfileSpec, namespace: &str) -> BTreeSet<Who> {
    let sender = spec.verification.as_ref().and_then(|verification| verification.sender_ref.as_ref());
    let outgoing = spec.outgoing.as_ref().and_then(|outgoing| outgoing.server_ref.as_ref());
    let who = |reference: &crate::api::v1alpha1::ObjectRef| {
        let namespace = reference.namespace.as_deref().unwrap_or(namespace);
        Who::new(MailServers::KIND, Name::new(namespace, &reference.name))
    };
    sender.into_iter().chain(outgoing).map(who).collect()
}

/// What a run's place is counted by: the mailbox's host and the account on it.
fn target(inputs: &Inputs) -> Target {
    let mailbox = &inputs.mailbox;
    Target {
        service: Service::Mailbox,
        host: mailbox.endpoint.host.to_ascii_lowercase(),
        user: mailbox.login.as_ref().map(|login| login.credential.user().to_owned()),
        connections: match mailbox.protocol {
            // A POP3 session locks the maildrop.
            Protocol::Pop3 => 1,
            Protocol::Graph | Protocol::Gmail => REQUESTS,
            Protocol::Imap | Protocol::Smtp => SESSIONS,
        },
    }
}
