//! The way of one `MailReceiver` through one reconciliation: observe → decide → act → tell. A look at its MX records goes on
//! beside it; what it found is found by the reconciliation that follows its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use super::{Context, MailReceivers, handing, look};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{ListenerStatus, MailReceiver},
    },
    controllers::{
        around::Around,
        reconcile::{Error, wait},
    },
    mail::Diagnosis,
    runtime::{
        Name, lock,
        secrets::{Kind, Reference},
    },
    verify::{
        events::transitions,
        mail_receiver::{Certificate, Look, Records, Seen, What, decide, differs, handing::secret_name, inputs, status},
        schedule::later,
    },
};

/// How long a receiver at work may take to notice a new object.
const NOTICE: Duration = Duration::from_secs(10);
/// How soon a certificate that could not be handed over is handed over again.
const AGAIN: Duration = Duration::from_secs(15);

/// One object and what surrounds it.
struct Sight {
    object: MailReceiver,
    certificate: Certificate,
    listeners: Vec<ListenerStatus>,
    rivals: Vec<(String, String)>,
    noticed_by: Timestamp,
    receiver_namespace: String,
    used_by: i32,
    failures: u32,
    running: Option<Look>,
    /// What surrounds it.
    pub around: Around,
}

impl Sight {
    fn seen(&self) -> Seen<'_> {
        Seen {
            object: self.around.object::<MailReceivers>(&self.object),
            spec: &self.object.spec,
            status: self.object.status.as_ref(),
            rivals: self.rivals.clone(),
            certificate: self.certificate.clone(),
            listeners: self.listeners.clone(),
            noticed_by: self.noticed_by,
            receiver_namespace: &self.receiver_namespace,
            used_by: self.used_by,
            failures: self.failures,
            running: self.running.clone(),
        }
    }
}

/// One reconciliation of a receiver that was read just now.
///
/// # Errors
/// [`Error`].
pub async fn go(object: MailReceiver, name: &Name, ctx: &Arc<Context>) -> Result<Option<Duration>, Error> {
    // Nothing is said of who listens before it is known who is at work. It cannot fail: we hold the sender.
    let _ = ctx.own.heard.subscribe().wait_for(|heard| *heard).await;
    let mut sight = observe(object, name, ctx).await?;
    let handed = hand_over(&mut sight, name, ctx).await;
    if let Some(ended) = ctx.checks.ended(name) {
        if sight.object.metadata.uid.as_deref() == Some(ended.uid.as_str()) {
            let unknown = ended.report.iter().any(|found| found.records.is_err());
            sight.failures = lock(&ctx.own.standings).looked(name, unknown);
            tell(&mut sight, Some((&ended.check, &ended.report)), ctx).await?;
        }
        ctx.checks.told(name);
    }
    let plan = decide(&sight.seen());
    if sight.running.is_some() && plan.what != What::Running {
        ctx.checks.cancel(name);
    }
    tell(&mut sight, None, ctx).await?;
    if let What::Look(check) = &plan.what
        && sight.running.is_none()
        && !ctx.term.is_draining()
    {
        let uid = sight.object.uid().unwrap_or_default();
        look::start(ctx, name, uid, &sight.object.spec.domains, check.clone());
    }
    let again = (!handed).then(|| later(sight.around.now, AGAIN));
    Ok(plan.next.into_iter().chain(again).min().map(|next| wait(next, Timestamp::now())))
}

/// Reads what the spec refers to, and takes away what receivers said that are gone.
async fn observe(mut object: MailReceiver, name: &Name, ctx: &Context) -> Result<Sight, Error> {
    let secret = inputs::certificate(&object.spec);
    let secret = secret.map(|secret| Reference { kind: Kind::Secret, name: Name::new(&name.namespace, secret) });
    ctx.uses.set(name, secret);
    let (term, around) = (&ctx.term, Around::of(name, ctx));
    let now = around.now;
    let read = Certificate::read(&object.spec, &name.namespace, &ctx.references, &term.ground.key, now.into()).await;
    let certificate = read.map_err(Error::Unreadable)?;
    if let Certificate::Bad(fault) = &certificate
        && fault.class != Class::User
    {
        tracing::warn!(object = %name, "{}", fault.message());
    }
    let told: Vec<ListenerStatus> = object.status.iter().flat_map(|status| status.listeners.clone()).collect();
    let alive = |one: &&ListenerStatus| lock(&ctx.own.pulses).is_alive(&one.pod, Instant::now());
    let listeners: Vec<ListenerStatus> = told.iter().filter(alive).cloned().collect();
    if listeners.len() < told.len() && term.ground.fence.held() {
        tracing::info!(object = %name, gone = told.len() - listeners.len(), "receivers that are gone are taken out of its status");
        // With the version that was read: what a receiver writes meanwhile is not lost.
        object = term.teller.overwrite(&object, &json!({ "listeners": listeners })).await?;
    }
    let noticed_by = {
        let any = lock(&ctx.own.pulses).is_any(Instant::now());
        let noticed = lock(&ctx.own.standings).noticed(name, now);
        if any { later(noticed, NOTICE) } else { now }
    };
    let standings = lock(&ctx.own.standings);
    Ok(Sight {
        certificate,
        listeners,
        rivals: standings.rivals(name),
        noticed_by,
        receiver_namespace: term.settings().receiver_namespace.clone(),
        used_by: i32::try_from(term.used_by(&Context::who(name))).unwrap_or(i32::MAX),
        failures: standings.failures(name),
        running: ctx.checks.running(name),
        around,
        object,
    })
}

/// Gives the receivers the certificate, where there is a good one. Says whether they have what they should have. Where the API
/// server does not let us, that is told.
async fn hand_over(sight: &mut Sight, name: &Name, ctx: &Context) -> bool {
    let pair = match &sight.certificate {
        Certificate::Good(pair) => pair,
        Certificate::Bad(_) => return true,
        Certificate::None => {
            if ctx.own.handed.has_any(name) {
                ctx.own.sweep.notify_one();
            }
            return true;
        }
    };
    if ctx.settings().receiver_namespace.is_empty() || !ctx.term.ground.fence.held() || ctx.term.is_draining() {
        return true;
    }
    let uid = sight.object.uid().unwrap_or_default();
    let shown = sight.listeners.iter().all(|one| one.certificate == pair.status.sha256);
    let Err(error) = handing::hand_over(ctx, name, &uid, pair, shown).await else { return true };
    tracing::warn!(object = %name, %error, "its certificate could not be handed to the receivers; tried again");
    // An API server that is away is no news about the object.
    if error.code().is_some() {
        let secret = Name::new(&sight.receiver_namespace, secret_name(&uid));
        let fault = if error.is_conflict() {
            "it exists, and somebody else has made it; delete it".to_owned()
        } else {
            error.to_string()
        };
        let fault = Diagnosis::new(Reason::RefUnreadable)
            .detail("the certificate could not be handed to the receivers")
            .fact("kind", "Secret")
            .fact("name", secret.to_string())
            .fact("fault", fault);
        sight.certificate = Certificate::Bad(fault);
    }
    false
}

/// Writes the status that follows, if it is worth it, and the Events that go with it.
async fn tell(sight: &mut Sight, found: Option<(&Look, &Records)>, ctx: &Context) -> Result<(), Error> {
    let seen = sight.seen();
    let new = status(&seen, found);
    if seen.object.deleted || !differs(seen.status, &new) {
        return Ok(());
    }
    let events = transitions(seen.status.map(|old| old.conditions.as_slice()), &new.conditions);
    sight.object = ctx.tell(&sight.object, &new, events).await?;
    Ok(())
}
