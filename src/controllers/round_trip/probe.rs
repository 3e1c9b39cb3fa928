//! A probe as this process takes it up: what it is begun with, and what is counted and logged of it. It runs beside its object's
//! reconciliations, so that a change of mind (a pause, a new spec, a lost lease) reaches it at once.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::Instrument;
use uuid::Uuid;

use super::{Context, RoundTripPolicies, gate::OperatorPermits, reconcile::Sight};
use crate::{
    controllers::{
        Kind,
        checks::{self, OVERDUE},
    },
    mail::{Stage, mailbox::Cleanup},
    runtime::{Name, limits::Place, stop::Stop},
    verify::{
        halt::Mode,
        round_trip::{
            Back, Begin, Inputs, Posting, Probe, ProbeReport,
            exchange::{self, Opening, exchange},
            matching::Expectation,
            send,
        },
    },
};

/// How long after its time a probe is given up, at the most: for a fault of ours, which must not last for ever. Opening the mailbox
/// and sending come before that time begins.
const PATIENCE: Duration = Duration::from_mins(5);

/// Begins to send a probe, or to look for its answer. At its end the object is reconciled, and finds the report.
pub fn start(ctx: &Arc<Context>, name: &Name, sight: Sight, inputs: Inputs, probe: Probe, place: Option<Place>) {
    let uid = sight.object.metadata.uid.clone().unwrap_or_default();
    let id = id(ctx, &uid, &probe);
    // Not a part of the reconciliation that began it, which ends long before.
    let span = tracing::info_span!(parent: None, "probe", object = %name, probe = %id, attempt = probe.attempt);
    let (mine, object, part) = (Arc::clone(ctx), name.clone(), probe.clone());
    checks::start(ctx, name, uid, part, |stop| {
        let work = async move {
            let mut work = Work { ctx: mine, name: object, probe, id, inputs: Arc::new(inputs) };
            Box::pin(work.run(sight, place, stop)).await
        };
        work.instrument(span)
    });
}

/// The probe's id: a new one gets one that nobody can guess, as it is all that an answer is known by.
fn id(ctx: &Context, uid: &str, probe: &Probe) -> Uuid {
    let known = probe.id.as_deref().and_then(|id| id.parse().ok());
    known.unwrap_or_else(|| ctx.term.ground.key.code(&[uid.as_bytes(), probe.part.as_bytes(), b"probe"]))
}

struct Work {
    ctx: Arc<Context>,
    name: Name,
    probe: Probe,
    id: Uuid,
    inputs: Arc<Inputs>,
}

impl Work {
    async fn run(&mut self, sight: Sight, place: Option<Place>, stop: Stop) -> Option<ProbeReport> {
        let (ctx, probe, inputs) = (&self.ctx, self.probe.clone(), Arc::clone(&self.inputs));
        tracing::debug!(trigger = ?probe.trigger, begin = ?probe.begin, "begins");
        let expected = Expectation::new(&sight.object.spec, self.id, &inputs.from);
        let in_flight = sight.object.status.as_ref().and_then(|status| status.in_flight.clone());
        let permits = OperatorPermits::new(ctx, sight, probe, self.id.to_string(), Arc::clone(&inputs), place, stop);
        let work = async {
            match &inputs.back {
                Back::Receiver { .. } => Some(self.post(&permits).await),
                Back::Mailbox { mailbox, cleanup, .. } => {
                    let account = mailbox.login.as_ref()?.account(&mailbox.endpoint.host);
                    let desk = ctx.term.desks.of(account, &mailbox.mailbox);
                    let observes = ctx.settings().mode == Mode::Observe;
                    let cleanup = if observes { Cleanup::Keep } else { *cleanup };
                    let place = exchange::Place { mailbox, desk: &desk, cleanup };
                    let opening = match (self.probe.begin, &in_flight) {
                        (Begin::Look { tries_until }, Some(probe)) => {
                            Opening::Look { mark: probe.mailbox_mark.as_deref(), deadline: probe.deadline.0, tries_until }
                        }
                        _ => Opening::Send,
                    };
                    let report = exchange(self.posting(), place, &permits, &expected, opening).await;
                    permits.ends_here().await;
                    report
                }
            }
        };
        let most = inputs.sender.server.timeout + inputs.timeout + PATIENCE + OVERDUE;
        let report = tokio::select! {
            report = timeout(most, work) => report.ok().flatten(),
            // What was claimed stays so: its mail may have gone, and its answer is waited for.
            () = permits.mandate.cut() => None,
        }?;
        if !permits.mandate.stands(report.report.failure.is_some()) {
            tracing::info!("cut short");
            return None;
        }
        self.count(&report);
        Some(report)
    }

    fn posting(&self) -> Posting<'_> {
        let settings = self.ctx.settings();
        Posting { inputs: &self.inputs, vantage: &settings.vantage, installation: &settings.installation, watcher: None }
    }

    /// Sends the mail; its answer comes to a receiver.
    async fn post(&self, permits: &OperatorPermits) -> ProbeReport {
        let (report, sent) = send(self.posting(), &permits.gate(None), self.id).await;
        ProbeReport { id: self.id.to_string(), report, sent, looked: false }
    }

    /// Counts and logs what became of the sending, or of the look.
    fn count(&self, report: &ProbeReport) {
        let metrics = &self.ctx.term.ground.metrics;
        metrics.checked(RoundTripPolicies::KIND, &self.name, &report.report.stages, None);
        if report.sent.is_some() {
            metrics.sent("RoundTrip");
        }
        match &report.report.failure {
            Some(failure) if report.sent.is_none() => {
                let stage = failure.stage.map(Stage::as_str);
                tracing::info!(reason = %failure.reason, stage, looked = report.looked, "failed");
            }
            _ => tracing::info!(duration = ?report.report.duration, looked = report.looked, "done"),
        }
    }
}
