//! A check of a server: what it is begun with, and what is counted and logged of it. It runs beside its object's
//! reconciliations, so that a change of mind (a pause, a new spec, a lost lease) reaches it at once.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::Instrument;

use super::{Context, MailServers, gate::OperatorGate, reconcile::Sight};
use crate::{
    api::v1alpha1::DEFAULT_ACTOR,
    controllers::{
        Kind,
        checks::{self, OVERDUE},
    },
    mail::Stage,
    runtime::{Name, limits::Place, stop::Stop},
    verify::{
        Report,
        mail_server::{Check, Inputs, Run, check},
    },
};

/// Begins a check. At its end the object is reconciled, and finds the report.
pub fn start(ctx: &Arc<Context>, name: &Name, sight: Sight, inputs: Inputs, plan: Check, place: Place) {
    let uid = sight.object.metadata.uid.clone().unwrap_or_default();
    // Not a part of the reconciliation that began it, which ends long before.
    let span = tracing::info_span!(parent: None, "check", object = %name, check = plan.id, level = ?plan.level);
    let code = ctx.term.ground.key.code(&[uid.as_bytes(), plan.id.as_bytes(), DEFAULT_ACTOR.as_bytes()]);
    let (mine, object, check) = (Arc::clone(ctx), name.clone(), plan.clone());
    checks::start(ctx, name, uid, check, |stop| {
        let work = async move {
            let _place = place;
            Box::pin(run(&mine, &object, sight, &inputs, plan, code, stop)).await
        };
        work.instrument(span)
    });
}

async fn run(
    ctx: &Arc<Context>,
    name: &Name,
    sight: Sight,
    inputs: &Inputs,
    plan: Check,
    code: uuid::Uuid,
    stop: Stop,
) -> Option<Report> {
    let settings = ctx.settings();
    let gate = OperatorGate::new(Arc::clone(ctx), sight, plan.clone(), inputs, stop);
    let run = Run {
        id: &plan.id,
        code,
        message: code,
        reads_bounces: false,
        now: Timestamp::now(),
        installation: &settings.installation,
        contact: settings.contact.as_deref(),
        level: plan.level,
        may_greet_with_tls: plan.may_greet_with_tls,
        watcher: None,
    };
    tracing::debug!(trigger = ?plan.trigger, attempt = plan.attempt, "begins");
    let checked = tokio::time::timeout(inputs.timeout + OVERDUE, check(inputs, &settings.vantage, &gate, &run));
    let report = tokio::select! {
        report = checked => report.ok(),
        () = gate.mandate.cut() => None,
    };
    let Some(report) = report.filter(|report| gate.mandate.stands(report.failure.is_some())) else {
        tracing::info!("cut short");
        return None;
    };
    let failure = report.failure.as_ref().map(|failure| failure.reason);
    ctx.term.ground.metrics.checked(MailServers::KIND, name, &report.stages, failure);
    if report.delivery.as_ref().is_some_and(|delivery| delivery.accepted.is_some()) {
        ctx.term.ground.metrics.sent("Test");
    }
    match &report.failure {
        None => tracing::info!(duration = ?report.duration, "verified"),
        Some(failure) => {
            let stage = failure.stage.map(Stage::as_str);
            tracing::info!(reason = %failure.reason, stage, duration = ?report.duration, "unverified");
        }
    }
    Some(report)
}
