//! A check of a server by all its actors: what it is begun with, and what is counted and logged of it. It runs beside its
//! object's reconciliations, so that a change of mind (a pause, a new spec, a lost lease) reaches it at once.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::timeout;
use tracing::Instrument;

use super::{Context, MailServers, gate::OperatorGate, reconcile::Sight};
use crate::{
    api::{Class, Reason},
    controllers::{
        Kind,
        actors::{Standpoint, Work},
        checks::{self, OVERDUE},
    },
    mail::{Diagnosis, Stage},
    runtime::{Name, limits::Place},
    verify::{
        Chosen, Report,
        mail_server::{By, Check, Inputs, Run, Views, check_by},
        report::Delivery,
    },
};

/// What giving work to an agent may take beside the check itself: that it takes the task, and that it tells what it found.
const HANDED_OVER: Duration = Duration::from_mins(2);

/// Begins a check. At its end the object is reconciled, and finds the report.
pub fn start(ctx: &Arc<Context>, name: &Name, sight: Sight, inputs: Inputs, plan: Check, place: Place) {
    let uid = sight.object.metadata.uid.clone().unwrap_or_default();
    // Not a part of the reconciliation that began it, which ends long before.
    let span = tracing::info_span!(parent: None, "check", object = %name, check = plan.id, level = ?plan.level);
    let (mine, object, check) = (Arc::clone(ctx), name.clone(), plan.clone());
    checks::start(ctx, name, uid, check, |stop| {
        let work = async move {
            let _place = place;
            let gate = OperatorGate::new(Arc::clone(&mine), sight, plan.clone(), &inputs, stop);
            Box::pin(run(&mine, &object, &gate, &inputs, plan)).await
        };
        work.instrument(span)
    });
}

/// Runs a check: its actors one after the other, as the server grants so many connections and no more.
async fn run(ctx: &Arc<Context>, name: &Name, gate: &OperatorGate, inputs: &Inputs, mut plan: Check) -> Option<Views> {
    tracing::debug!(trigger = ?plan.trigger, attempt = plan.attempt, "begins");
    let mut views = Views::default();
    for actor in &inputs.actors {
        let claims = gate.claims();
        let checked = timeout(inputs.timeout + OVERDUE + HANDED_OVER, by(ctx, name, gate, inputs, &plan, actor));
        let report = tokio::select! {
            report = checked => report.ok(),
            () = gate.mandate.cut() => None,
        };
        let Some(report) = report else {
            // A mail that is not waited for any more may be on its way: it is never sent again (promise 2).
            if gate.claims() > claims {
                views.add(actor, unheard(&plan));
            }
            break;
        };
        told(ctx, name, actor, &report);
        plan.may_greet_with_tls &= !report.tls_hello;
        views.add(actor, report);
    }
    let whole = views.0.len() == inputs.actors.len();
    let failed = views.0.iter().any(|view| view.report.failure.is_some());
    // What only some have found is no verdict, and is told only where a mail has gone.
    if views.0.is_empty() || !gate.mandate.stands(failed || !whole) {
        tracing::info!("cut short");
        return None;
    }
    for actor in inputs.actors.iter().skip(views.0.len()) {
        let mut report = Report::new(plan.level, String::new());
        let cut = || Diagnosis::new(Reason::Paused).class(Class::Transient).detail("the check was cut short");
        report.failure = Some(gate.mandate.still().err().unwrap_or_else(cut));
        views.add(actor, report);
    }
    Some(views)
}

/// What is known of a check that was cut off behind its claim.
fn unheard(plan: &Check) -> Report {
    let mut report = Report::new(plan.level, String::new());
    report.delivery = Some(Delivery { message_id: String::new(), dot_sent: true, accepted: None });
    report.failure = Some(Diagnosis::new(Reason::DeliveryUncertain).at(Stage::Data).detail("the check was cut short"));
    report
}

/// One actor's check.
async fn by(ctx: &Context, name: &Name, gate: &OperatorGate, inputs: &Inputs, plan: &Check, actor: &Chosen) -> Report {
    let (settings, uid) = (ctx.settings(), &inputs.uid);
    let code = ctx.term.ground.key.code(&[uid.as_bytes(), plan.id.as_bytes(), actor.name.as_bytes()]);
    let run = Run {
        id: &plan.id,
        code,
        message: code,
        reads_bounces: false,
        probe: None,
        now: Timestamp::now(),
        installation: &settings.installation,
        contact: settings.contact.as_deref(),
        level: plan.level,
        may_greet_with_tls: plan.may_greet_with_tls,
        watcher: None,
    };
    let work = Work {
        object: format!("MailServer {name}"),
        uid: uid.clone(),
        run: plan.id.clone(),
        part: plan.id.clone(),
        ..Work::default()
    };
    match Standpoint::of(&actor.name, &ctx.term, work) {
        Standpoint::Here(vantage) => {
            check_by(By::Here(vantage.as_deref().unwrap_or(&settings.vantage)), inputs, gate, &run).await
        }
        Standpoint::There(agent) => check_by(By::Agent(&*agent), inputs, gate, &run).await,
        Standpoint::Away(away) => {
            let mut report = Report::new(plan.level, inputs.endpoints.first().map(ToString::to_string).unwrap_or_default());
            report.failure = Some(away);
            report
        }
    }
}

/// Counts and logs what an actor found.
fn told(ctx: &Context, name: &Name, actor: &Chosen, report: &Report) {
    let metrics = &ctx.term.ground.metrics;
    metrics.checked(MailServers::KIND, name, &report.stages, report.failure.as_ref().map(|failure| failure.reason));
    if report.delivery.as_ref().is_some_and(|delivery| delivery.accepted.is_some()) {
        metrics.sent("Test");
    }
    match &report.failure {
        None => tracing::info!(actor = actor.name, duration = ?report.duration, "verified"),
        Some(failure) => {
            let stage = failure.stage.map(Stage::as_str);
            tracing::info!(actor = actor.name, reason = %failure.reason, stage, duration = ?report.duration, "unverified");
        }
    }
}
