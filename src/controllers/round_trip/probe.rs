//! A probe as this process takes it up: what it is begun with, and what is counted and logged of it. It runs beside its object's
//! reconciliations, so that a change of mind (a pause, a new spec, a lost lease) reaches it at once.

use std::sync::Arc;

use tokio::time::timeout;
use tracing::Instrument;
use uuid::Uuid;

use super::{Context, RoundTripPolicies, gate::ProbeGate, reconcile::Sight};
use crate::{
    controllers::{
        Kind,
        checks::{self, OVERDUE},
    },
    mail::Stage,
    runtime::{Name, limits::Place, stop::Stop},
    verify::round_trip::{Inputs, Posting, Probe, ProbeReport, send},
};

/// Begins to send a probe. At its end the object is reconciled, and finds the report.
pub fn start(ctx: &Arc<Context>, name: &Name, sight: Sight, inputs: Inputs, probe: Probe, place: Place) {
    let uid = sight.object.metadata.uid.clone().unwrap_or_default();
    let id = id(ctx, &uid, &probe);
    // Not a part of the reconciliation that began it, which ends long before.
    let span = tracing::info_span!(parent: None, "probe", object = %name, probe = %id, attempt = probe.attempt);
    let (mine, object, part, inputs) = (Arc::clone(ctx), name.clone(), probe.clone(), Arc::new(inputs));
    checks::start(ctx, name, uid, part, |stop| {
        let work = async move {
            let _place = place;
            Box::pin(post(&mine, &object, sight, inputs, probe, id, stop)).await
        };
        work.instrument(span)
    });
}

/// The probe's id: a new one gets one that nobody can guess, as it is all that an answer is known by.
fn id(ctx: &Context, uid: &str, probe: &Probe) -> Uuid {
    let known = probe.id.as_deref().and_then(|id| id.parse().ok());
    known.unwrap_or_else(|| ctx.term.ground.key.code(&[uid.as_bytes(), probe.part.as_bytes(), b"probe"]))
}

async fn post(
    ctx: &Arc<Context>,
    name: &Name,
    sight: Sight,
    inputs: Arc<Inputs>,
    probe: Probe,
    id: Uuid,
    stop: Stop,
) -> Option<ProbeReport> {
    let (settings, text) = (ctx.settings(), id.to_string());
    tracing::debug!(trigger = ?probe.trigger, "begins");
    let gate = ProbeGate::new(ctx, sight, probe, &text, Arc::clone(&inputs), None, stop);
    let posting = Posting { inputs: &inputs, vantage: &settings.vantage, installation: &settings.installation, watcher: None };
    let most = inputs.sender.server.timeout + OVERDUE;
    let (report, sent) = tokio::select! {
        sent = timeout(most, send(posting, &gate, id)) => sent.ok()?,
        // What was claimed stays so: its mail may have gone, and its answer is waited for.
        () = gate.mandate.cut() => {
            tracing::info!("cut short");
            return None;
        }
    };
    if !gate.mandate.stands(report.failure.is_some()) {
        tracing::info!("cut short");
        return None;
    }
    let metrics = &ctx.term.ground.metrics;
    metrics.checked(RoundTripPolicies::KIND, name, &report.stages, None);
    if sent.is_some() {
        metrics.sent("RoundTrip");
    }
    match &report.failure {
        Some(failure) if sent.is_none() => {
            let stage = failure.stage.map(Stage::as_str);
            tracing::info!(reason = %failure.reason, stage, duration = ?report.duration, "not sent");
        }
        _ => tracing::info!(duration = ?report.duration, "sent"),
    }
    Some(ProbeReport { id: text, report, sent, claimed: gate.has_claimed(), looked: false })
}
