//! One reconciliation of an object of any kind: what surrounds the kind's own way through it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::runtime::controller::Action;

use super::{context::Context, glance::Glance, kind::Kind, malformed};
use crate::{
    mail::Diagnosis,
    runtime::{ApiError, Name},
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
        Ok(object) => K::go(object, name, ctx).await,
        Err(invalid) => {
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

/// How long until `next`; a time that is over is a moment away, so that a wrong plan cannot spin.
#[must_use]
pub fn wait(next: Timestamp, now: Timestamp) -> Duration {
    next.duration_since(now).try_into().unwrap_or(Duration::ZERO).max(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_over_is_a_moment_away() {
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(wait(Timestamp::from_second(160).unwrap(), now), Duration::from_mins(1));
        assert_eq!(wait(Timestamp::from_second(10).unwrap(), now), Duration::from_millis(100));
    }
}
