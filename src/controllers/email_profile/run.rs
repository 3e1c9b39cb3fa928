//! A run of a profile: what it is begun with, and what is counted and logged of it. It runs beside its object's
//! reconciliations, so that a change of mind (a pause, a new spec, a lost lease) reaches it at once.

use std::{sync::Arc, time::Duration};

use tracing::Instrument;

use super::{Context, EmailProfiles, permits::OperatorPermits, reconcile::Sight};
use crate::{
    controllers::{
        Kind,
        checks::{self, OVERDUE},
    },
    mail::Stage,
    runtime::{Name, limits::Place, stop::Stop},
    verify::{
        email_profile::{Codes, Inputs, Run, RunReport, Setting, run, run::EVERY},
        mail_server::Mode,
    },
};

/// How long after its mails' time a run is given up, at the most: for a fault of ours, which must not last for ever. Opening the
/// mailbox, waiting for a turn and sending come before that time begins.
const PATIENCE: Duration = Duration::from_mins(10);

/// Begins a run. At its end the object is reconciled, and finds the report.
pub fn start(ctx: &Arc<Context>, name: &Name, sight: Sight, inputs: Inputs, run: Run, place: Place) {
    let uid = sight.object.metadata.uid.clone().unwrap_or_default();
    // Not a part of the reconciliation that began it, which ends long before.
    let span = tracing::info_span!(parent: None, "run", object = %name, run = run.id);
    let (mine, object, part) = (Arc::clone(ctx), name.clone(), run.clone());
    checks::start(ctx, name, uid, part, |stop| {
        async move { Box::pin(go(&mine, &object, sight, &inputs, run, place, stop)).await }.instrument(span)
    });
}

async fn go(
    ctx: &Arc<Context>,
    name: &Name,
    sight: Sight,
    inputs: &Inputs,
    plan: Run,
    place: Place,
    stop: Stop,
) -> Option<RunReport> {
    let (settings, uid) = (ctx.settings(), inputs.uid.clone());
    let permits = OperatorPermits::new(ctx, sight, plan.clone(), inputs, place, &stop);
    let setting = Setting {
        inputs,
        vantage: &settings.vantage,
        codes: Codes { key: &ctx.term.ground.key, uid: &uid },
        installation: &settings.installation,
        contact: settings.contact.as_deref(),
        observes: settings.mode == Mode::Observe,
        every: EVERY,
        watcher: None,
    };
    tracing::debug!(trigger = ?plan.trigger, actors = plan.errands.len(), "begins");
    let most = inputs.timeout + PATIENCE + OVERDUE;
    let mut report = tokio::select! {
        report = tokio::time::timeout(most, run(setting, &permits, &plan)) => report.ok()?,
        () = permits.mandate.cut() => {
            tracing::info!("cut off");
            return None;
        }
    };
    report.resume_what_was_stopped();
    for actor in &report.actors {
        told_of(ctx, name, actor);
    }
    Some(report)
}

fn told_of(ctx: &Context, name: &Name, actor: &crate::verify::email_profile::ActorReport) {
    let metrics = &ctx.term.ground.metrics;
    let failure = actor.failure();
    metrics.checked(EmailProfiles::KIND, name, &actor.report.stages, failure.map(|failure| failure.reason));
    if actor.mail.as_ref().is_some_and(|mail| mail.dot_sent) {
        metrics.sent("Verification");
    }
    match (failure, &actor.found) {
        _ if actor.awaits => tracing::info!(actor = actor.name, "goes on later"),
        (None, Some(found)) => tracing::info!(actor = actor.name, took = ?found.took, "verified"),
        (None, None) => tracing::info!(actor = actor.name, "the mailbox opens"),
        (Some(failure), _) => {
            let stage = failure.stage.map(Stage::as_str);
            tracing::info!(actor = actor.name, reason = %failure.reason, stage, "unverified");
        }
    }
}
