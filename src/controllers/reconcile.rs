//! One reconciliation of an object of any kind: what surrounds the kind's own way through it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::runtime::controller::Action;

use super::{around::Around, context::Context, glance::Glance, kind::Kind, malformed};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{Auth, CaKind, Tls},
    },
    mail::Diagnosis,
    runtime::{
        ApiError, Name,
        secrets::{self, Reference},
    },
    verify::resolve::About,
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

/// One reconciliation, counted and timed.
///
/// # Errors
/// [`Error`]; it is tried again by [`error_policy`].
pub async fn reconcile<K: Kind>(object: Arc<Glance<K::Object>>, ctx: Arc<Context<K>>) -> Result<Action, Error> {
    ctx.ready().await;
    let (name, begun, metrics) = (Name::of(&*object), std::time::Instant::now(), &ctx.term.ground.metrics);
    let _under_way = metrics.reconciling(K::CONTROLLER);
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
    metrics.reconciled(K::CONTROLLER, outcome, begun.elapsed());
    let next = result?;
    ctx.went_well(&name);
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

async fn go<K: Kind>(name: &Name, ctx: &Arc<Context<K>>) -> Result<Option<Duration>, Error> {
    let Some(object) = ctx.read(name).await? else { return Ok(None) };
    match object.0 {
        Ok(object) => {
            let (around, who) = (Around::of(name, ctx), Context::<K>::who(name));
            ctx.term.looked_at(&who, around.object::<K>(&object).brakes().is_pulled());
            K::go(object, name, ctx).await
        }
        Err(invalid) => {
            ctx.term.looked_at(&Context::<K>::who(name), true);
            ctx.checks.cancel(name);
            ctx.term.limits.pass(&Context::<K>::who(name));
            malformed::tell(name, &invalid.error, ctx).await?;
            Ok(None)
        }
    }
}

/// Tries again after a while, longer after each failure in a row.
#[must_use]
pub fn error_policy<K: Kind>(object: &Glance<K::Object>, error: &Error, ctx: &Context<K>) -> Action {
    let name = Name::of(object);
    let wait = ctx.back_off(&name);
    tracing::warn!(kind = K::KIND, object = %name, %error, ?wait, "tried again");
    Action::requeue(wait)
}

/// Whose spec is resolved.
#[must_use]
pub fn about<'a, K: Kind>(name: &'a Name, uid: &'a str, ctx: &'a Context<K>) -> About<'a> {
    About {
        kind: K::KIND,
        namespace: &name.namespace,
        name: &name.name,
        uid,
        key: &ctx.term.ground.key,
        require_allowed_hosts: ctx.settings().require_allowed_hosts,
    }
}

/// What a spec names could not be had: it logs in nowhere, and sends nothing.
///
/// # Errors
/// That the API server is away, which is no news about the object.
pub fn unresolved<K: Kind>(failure: &Diagnosis, name: &Name, ctx: &Context<K>) -> Result<(), Error> {
    if failure.reason == Reason::RefUnreadable {
        if failure.class == Class::Transient {
            return Err(Error::Unreadable(failure.clone()));
        }
        // Only who installed the operator can mend it, and that is who reads the log.
        tracing::warn!(kind = K::KIND, object = %name, "{}", failure.message());
    }
    ctx.join(name, Vec::new(), None);
    Ok(())
}

/// How long until `next`; a time that is over is a moment away, so that a wrong plan cannot spin.
#[must_use]
pub fn wait(next: Timestamp, now: Timestamp) -> Duration {
    next.duration_since(now).try_into().unwrap_or(Duration::ZERO).max(Duration::from_millis(100))
}

/// The Secrets and `ConfigMaps` that a spec of this namespace names for TLS and for its account.
#[must_use]
pub fn references<'a>(namespace: &str, tls: impl IntoIterator<Item = &'a Tls>, auth: Option<&Auth>) -> BTreeSet<Reference> {
    let reference = |kind, name: &str| Reference { kind, name: Name::new(namespace, name) };
    let mut all = BTreeSet::new();
    for tls in tls {
        all.extend(tls.ca_ref.iter().map(|ca| {
            let kind = if ca.kind == CaKind::Secret { secrets::Kind::Secret } else { secrets::Kind::ConfigMap };
            reference(kind, &ca.name)
        }));
        all.extend(tls.client_certificate_ref.iter().map(|certificate| reference(secrets::Kind::Secret, &certificate.name)));
    }
    let secret = auth.and_then(|auth| auth.secret_ref.as_ref());
    all.extend(secret.map(|secret| reference(secrets::Kind::Secret, &secret.name)));
    if let Some(oauth2) = auth.and_then(|auth| auth.oauth2.as_ref()) {
        let client = oauth2.client.iter();
        let named = client.flat_map(|client| [&client.secret_ref, &client.certificate_ref, &client.service_account_key_ref]);
        let named = named.flatten().map(|secret| secret.name.as_str()).chain(oauth2.token_secret_name.as_deref());
        all.extend(named.map(|name| reference(secrets::Kind::Secret, name)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::{CaRef, ClientCertificateRef, SecretRef};

    #[test]
    fn every_secret_and_config_map_that_a_spec_names_is_watched() {
        let names = |tls: Option<&Tls>, auth: Option<&Auth>| {
            references("mail", tls, auth).into_iter().map(|r| format!("{:?} {}", r.kind, r.name)).collect::<Vec<_>>()
        };
        assert!(names(None, None).is_empty());
        let secret_ref =
            SecretRef { name: "relay".to_owned(), username_key: "username".to_owned(), password_key: "password".to_owned() };
        let auth = Auth { secret_ref: Some(secret_ref), ..Auth::default() };
        let ca = |kind| CaRef { kind, name: "ca".to_owned(), key: "ca.crt".to_owned() };
        let certificate = Some(ClientCertificateRef { name: "client".to_owned() });
        let tls = Tls { ca_ref: Some(ca(CaKind::ConfigMap)), client_certificate_ref: certificate, ..Tls::default() };
        assert_eq!(names(Some(&tls), Some(&auth)), ["Secret mail/client", "Secret mail/relay", "ConfigMap mail/ca"]);
        let tls = Tls { ca_ref: Some(ca(CaKind::Secret)), ..Tls::default() };
        assert_eq!(names(Some(&tls), Some(&auth)), ["Secret mail/ca", "Secret mail/relay"]);
    }

    #[test]
    fn a_time_that_is_over_is_a_moment_away() {
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(wait(Timestamp::from_second(160).unwrap(), now), Duration::from_mins(1));
        assert_eq!(wait(Timestamp::from_second(10).unwrap(), now), Duration::from_millis(100));
    }
}
