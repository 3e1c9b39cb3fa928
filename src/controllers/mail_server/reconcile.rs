//! The way of one `MailServer` through one reconciliation: observe → decide → act → tell. A check that is due is begun and
//! goes on beside it; its report is found by the reconciliation that follows its end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};

use super::{CONTROLLER, Glance, checks, context::Context, malformed};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{CaKind, IS_DEFAULT_SERVER, MailServer, MailServerSpec, SUSPEND_UNTIL, State, VERIFY_REQUESTED_AT},
    },
    mail::Diagnosis,
    runtime::{
        ApiError, Name,
        limits::Target,
        lock, pause,
        secrets::{Kind, Reference},
    },
    verify::{
        Report,
        breaker::Hold,
        mail_server::{
            Because, Check, Inputs, Mode, Observed, Pause, PauseScope, Plan, Seen, What, decide, differs, inputs, resolve,
            status, transitions,
        },
    },
};

/// Why a reconciliation must be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A reference could not be read for the moment, which says nothing about the object.
    #[error("{0}")]
    Unreadable(Diagnosis),
    /// Another replica may lead: it is for that one to write.
    #[error("the lease is lost")]
    NotLeading,
}

/// One object and what surrounds it, as a decision needs it; [`Sight::seen`] is its borrowed form.
pub struct Sight {
    /// The object, in the version that the decision rests on.
    pub object: MailServer,
    observed: Result<Observed, Diagnosis>,
    held: Option<Hold>,
    pause: Option<Pause>,
    other_default: Option<String>,
    crowded: bool,
    running: Option<Check>,
    mode: Mode,
    since: Timestamp,
    now: Timestamp,
}

impl Sight {
    fn new(object: MailServer, resolved: &Result<Inputs, Diagnosis>, name: &Name, ctx: &Context) -> Self {
        let (settings, now) = (ctx.settings(), Timestamp::now());
        let pause = ctx.pause.of(&name.namespace, now).map(|paused| Pause {
            until: paused.until,
            config_map: format!("{}/{}", settings.namespace, pause::CONFIG_MAP),
            scope: if paused.scope == pause::ALL { PauseScope::All } else { PauseScope::Namespace },
        });
        let observed = resolved.as_ref().map(Observed::from).map_err(Clone::clone);
        let accounts = observed.as_ref().map(|observed| observed.accounts.as_slice()).unwrap_or_default();
        let is_default = object.annotations().get(IS_DEFAULT_SERVER).is_some_and(|value| value == "true");
        Self {
            held: lock(&ctx.ground.memory.breaker).longest(accounts, now),
            observed,
            pause,
            other_default: if is_default { ctx.known.older_default(&object) } else { None },
            crowded: settings.max_new_at_once > 0 && ctx.known.fresh() > settings.max_new_at_once,
            running: ctx.checks.running(name),
            mode: settings.mode,
            since: ctx.since,
            now,
            object,
        }
    }

    /// What the decision rests on.
    #[must_use]
    pub fn seen(&self) -> Seen<'_> {
        let (meta, annotation) = (&self.object.metadata, |key| self.object.annotations().get(key).map(String::as_str));
        Seen {
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            name: meta.name.as_deref().unwrap_or_default(),
            uid: meta.uid.as_deref().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            resource_version: meta.resource_version.as_deref().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleted: meta.deletion_timestamp.is_some(),
            verify_requested_at: annotation(VERIFY_REQUESTED_AT),
            suspend_until: annotation(SUSPEND_UNTIL),
            other_default: self.other_default.as_deref(),
            spec: &self.object.spec,
            status: self.object.status.as_ref(),
            observed: self.observed.clone(),
            held: self.held.clone(),
            pause: self.pause.clone(),
            mode: self.mode,
            crowded: self.crowded,
            running: self.running.clone(),
            since: self.since,
            now: self.now,
        }
    }
}

/// One reconciliation, counted and timed.
///
/// # Errors
/// [`Error`]; it is tried again by [`error_policy`].
pub async fn reconcile(object: Arc<Glance>, ctx: Arc<Context>) -> Result<Action, Error> {
    ctx.ready().await;
    let (name, begun) = (Name::of(&*object), std::time::Instant::now());
    let _under_way = ctx.ground.metrics.reconciling(CONTROLLER);
    let result = match Box::pin(go(&name, &ctx)).await {
        // Somebody else wrote to the object meanwhile: it is judged anew, as it is now.
        Err(Error::Api(error)) if error.is_conflict() => Box::pin(go(&name, &ctx)).await,
        other => other,
    };
    let result = match result {
        // Deleted meanwhile: the watch tells.
        Err(Error::Api(error)) if error.is_gone() => Ok(None),
        other => other,
    };
    let outcome = match &result {
        Ok(Some(_)) => "requeue_after",
        Ok(None) => "success",
        Err(_) => "error",
    };
    ctx.ground.metrics.reconciled(CONTROLLER, outcome, begun.elapsed());
    let next = result?;
    ctx.went_well(&name);
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

/// Tries again after a while, longer after each failure in a row.
#[must_use]
pub fn error_policy(object: &Glance, error: &Error, ctx: &Context) -> Action {
    let name = Name::of(object);
    let wait = ctx.back_off(&name);
    tracing::warn!(object = %name, %error, ?wait, "tried again");
    Action::requeue(wait)
}

async fn go(name: &Name, ctx: &Arc<Context>) -> Result<Option<Duration>, Error> {
    let Some(object) = ctx.read(name).await? else { return Ok(None) };
    let object = match object.0 {
        Ok(server) => server,
        Err(invalid) => {
            ctx.checks.cancel(name);
            ctx.limits.pass(name);
            malformed::tell(name, &invalid.error, ctx).await?;
            return Ok(None);
        }
    };
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
    ctx.uses.set(name, references(spec, &name.namespace));
    let uid = object.uid().unwrap_or_default();
    let about = inputs::About {
        namespace: &name.namespace,
        name: &name.name,
        uid: &uid,
        key: &ctx.ground.key,
        require_allowed_hosts: ctx.settings().require_allowed_hosts,
    };
    let resolved = resolve(spec, &about, &ctx.references).await;
    match &resolved {
        // The API server is away: that is no news about a mail server.
        Err(failure) if failure.reason == Reason::RefUnreadable && failure.class == Class::Transient => {
            return Err(Error::Unreadable(failure.clone()));
        }
        Err(failure) => {
            if failure.reason == Reason::RefUnreadable {
                // Only who installed the operator can mend it, and that is who reads the log.
                tracing::warn!(object = %name, "{}", failure.message());
            }
            ctx.join(name, Vec::new(), 0);
        }
        Ok(inputs) => {
            let per_minute = spec.limits.as_ref().and_then(|limits| limits.messages_per_minute);
            let per_minute = per_minute.and_then(|n| u32::try_from(n).ok()).unwrap_or(MESSAGES_PER_MINUTE);
            ctx.join(name, inputs.accounts(), per_minute);
        }
    }
    Ok(resolved)
}

/// `limits.messagesPerMinute` where the spec names none.
const MESSAGES_PER_MINUTE: u32 = 6;

async fn act(mut sight: Sight, plan: &Plan, inputs: Option<Inputs>, name: &Name, ctx: &Arc<Context>) -> Result<(), Error> {
    let running = sight.running.is_some();
    let (What::Check(check), Some(inputs)) = (&plan.what, inputs) else {
        ctx.limits.pass(name);
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
    if ctx.is_draining() {
        return Ok(());
    }
    let Some(place) = ctx.limits.enter(name, &target(&sight.object.spec, &inputs)) else { return Ok(()) };
    tell(&mut sight, plan, None, ctx).await?;
    checks::start(ctx, name.clone(), sight, inputs, check.clone(), place);
    Ok(())
}

/// Writes the status that follows, if it is worth it, and the Events that go with it. Afterwards `sight` holds the object as
/// it then is.
async fn tell(sight: &mut Sight, plan: &Plan, report: Option<&Report>, ctx: &Context) -> Result<(), Error> {
    let seen = sight.seen();
    let new = status(&seen, plan, report);
    if seen.deleted || !differs(seen.status, &new) {
        return Ok(());
    }
    if !ctx.ground.fence.held() {
        return Err(Error::NotLeading);
    }
    let events = transitions(seen.status, &new);
    let mut written: MailServer = ctx.teller.apply(&sight.object, &new).await?;
    if written.status.as_ref().is_some_and(|status| status.conditions.len() > new.conditions.len()) {
        // A condition that is not ours any more, and was not written by an apply of ours: it would stay for ever.
        written = ctx.teller.overwrite(&written, &serde_json::json!({ "conditions": new.conditions })).await?;
    }
    for event in events {
        ctx.teller.event(&written, event.warning, &event.reason, &event.note).await;
    }
    ctx.known.looked_at(&Name::of(&written));
    sight.object = written;
    Ok(())
}

/// The Secrets and `ConfigMaps` that a spec names.
fn references(spec: &MailServerSpec, namespace: &str) -> BTreeSet<Reference> {
    let reference = |kind, name: &str| Reference { kind, name: Name::new(namespace, name) };
    let mut all = BTreeSet::new();
    if let Some(tls) = &spec.tls {
        all.extend(
            tls.ca_ref
                .iter()
                .map(|ca| reference(if ca.kind == CaKind::Secret { Kind::Secret } else { Kind::ConfigMap }, &ca.name)),
        );
        all.extend(tls.client_certificate_ref.iter().map(|certificate| reference(Kind::Secret, &certificate.name)));
    }
    all.extend(spec.auth.iter().filter_map(|auth| auth.secret_ref.as_ref()).map(|secret| reference(Kind::Secret, &secret.name)));
    all
}

/// What a check's place is counted by: the primary's host and the account on it.
fn target(spec: &MailServerSpec, inputs: &Inputs) -> Target {
    let connections = spec.limits.as_ref().and_then(|limits| limits.connections).and_then(|n| usize::try_from(n).ok());
    Target {
        host: inputs.endpoints.first().map(|endpoint| endpoint.host.to_ascii_lowercase()).unwrap_or_default(),
        user: inputs.login.as_ref().map(|login| login.credential.user().to_owned()),
        connections: connections.unwrap_or(1),
    }
}

/// How long until `next`; a time that is over is a moment away, so that a wrong plan cannot spin.
fn wait(next: Timestamp, now: Timestamp) -> Duration {
    next.duration_since(now).try_into().unwrap_or(Duration::ZERO).max(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::{Auth, CaRef, ClientCertificateRef, SecretRef, Tls};

    #[test]
    fn every_secret_and_config_map_that_a_spec_names_is_watched() {
        let mut spec = MailServerSpec::default();
        assert!(references(&spec, "mail").is_empty());
        let ca = |kind| CaRef { kind, name: "ca".to_owned(), key: "ca.crt".to_owned() };
        spec.auth = Some(Auth {
            secret_ref: Some(SecretRef {
                name: "relay".to_owned(),
                username_key: "username".to_owned(),
                password_key: "password".to_owned(),
            }),
            ..Auth::default()
        });
        let certificate = Some(ClientCertificateRef { name: "client".to_owned() });
        spec.tls = Some(Tls { ca_ref: Some(ca(CaKind::ConfigMap)), client_certificate_ref: certificate, ..Tls::default() });
        let names = |spec: &MailServerSpec| {
            references(spec, "mail").into_iter().map(|r| format!("{:?} {}", r.kind, r.name)).collect::<Vec<_>>()
        };
        assert_eq!(names(&spec), ["Secret mail/client", "Secret mail/relay", "ConfigMap mail/ca"]);
        spec.tls = Some(Tls { ca_ref: Some(ca(CaKind::Secret)), ..Tls::default() });
        assert_eq!(names(&spec), ["Secret mail/ca", "Secret mail/relay"]);
    }

    #[test]
    fn a_time_that_is_over_is_a_moment_away() {
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(wait(Timestamp::from_second(160).unwrap(), now), Duration::from_mins(1));
        assert_eq!(wait(Timestamp::from_second(10).unwrap(), now), Duration::from_millis(100));
    }
}
