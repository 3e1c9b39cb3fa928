//! What monitoring reads: names of `mailverity_*`, and the set of controller-runtime that dashboards know.
//!
//! Gauges about objects are made from the objects at each scrape: they cost no memory, and those of a deleted object are
//! gone with it. Labels are names of objects, or words from closed enums.

mod objects;

use std::{
    fmt,
    io::{self, Write as _},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    api::Reason,
    mail::stage::Record,
    receiver::Counters,
    runtime::{Name, lock},
    verify::report::LoginOutcome,
};

use objects::Scrape;
pub use objects::{Object, Objects};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    kind: &'static str,
    reason: &'static str,
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InstallationLabels {
    installation: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PurposeLabels {
    purpose: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    controller: &'static str,
    result: &'static str,
}

/// The metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    objects: Arc<Mutex<Option<Weak<dyn Objects>>>>,
    stages: Family<StageLabels, Histogram, fn() -> Histogram>,
    failures: Family<FailureLabels, Counter>,
    sent: Family<PurposeLabels, Counter>,
    logins: Family<OutcomeLabels, Counter>,
    round_trips: Histogram,
    bounces: Counter,
    leader: Family<InstallationLabels, Gauge>,
    reconciles: Family<ResultLabels, Counter>,
    errors: Family<ControllerLabels, Counter>,
    times: Family<ControllerLabels, Histogram, fn() -> Histogram>,
    active: Family<ControllerLabels, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// From a fast answer on the own network to the longest time that a check may take.
fn stage_buckets() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

/// From a responder on the own network to the longest time that an answer may take by default, and beyond.
fn round_trip_buckets() -> Histogram {
    Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0])
}

fn reconcile_buckets() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            objects: Arc::default(),
            stages: Family::new_with_constructor(stage_buckets),
            failures: Family::default(),
            sent: Family::default(),
            logins: Family::default(),
            round_trips: round_trip_buckets(),
            bounces: Counter::default(),
            leader: Family::default(),
            reconciles: Family::default(),
            errors: Family::default(),
            times: Family::new_with_constructor(reconcile_buckets),
            active: Family::default(),
            registry: Registry::default(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let (mut registry, inner) = (Registry::default(), Inner::default());
        registry.register_collector(Box::new(Scrape(Arc::clone(&inner.objects))));
        let mail = registry.sub_registry_with_prefix("mailverity");
        mail.register("check_stage_duration_seconds", "Time that a stage of a check took", inner.stages.clone());
        mail.register("check_failures", "Checks that ended unverified", inner.failures.clone());
        mail.register("messages_sent", "Mails that a server accepted", inner.sent.clone());
        mail.register("logins", "Logins by what they came to", inner.logins.clone());
        mail.register("roundtrip_duration_seconds", "Time from a probe's sending to the right answer", inner.round_trips.clone());
        mail.register("bounces", "Probes that came back", inner.bounces.clone());
        mail.register("leader", "1 in the replica that leads", inner.leader.clone());
        let runtime = registry.sub_registry_with_prefix("controller_runtime");
        runtime.register("reconcile", "Reconciliations by result", inner.reconciles.clone());
        runtime.register("reconcile_errors", "Reconciliations that failed", inner.errors.clone());
        runtime.register("reconcile_time_seconds", "Time that a reconciliation took", inner.times.clone());
        runtime.register("active_workers", "Reconciliations under way", inner.active.clone());
        Self(Arc::new(Inner { registry, ..inner }))
    }
}

/// Bytes are written where formatting wants text, and why they could not be.
struct Text<W: io::Write> {
    to: io::BufWriter<W>,
    failed: Option<io::Error>,
}

impl<W: io::Write> fmt::Write for Text<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.to.write_all(text.as_bytes()).map_err(|error| {
            self.failed = Some(error);
            fmt::Error
        })
    }
}

impl Metrics {
    /// Those of a receiver: what became of what came in, and nothing else.
    #[must_use]
    pub fn of_receiver(counters: &Counters) -> Self {
        let mut registry = Registry::default();
        counters.register(registry.sub_registry_with_prefix("mailverity"));
        Self(Arc::new(Inner { registry, ..Inner::default() }))
    }

    /// Writes the text that Prometheus scrapes (`OpenMetrics` 1.0).
    ///
    /// # Errors
    /// Where `to` cannot be written to.
    pub fn write(&self, to: impl io::Write) -> io::Result<()> {
        let mut text = Text { to: io::BufWriter::new(to), failed: None };
        match prometheus_client::encoding::text::encode(&mut text, &self.0.registry) {
            Ok(()) => text.to.flush(),
            Err(error) => Err(text.failed.unwrap_or_else(|| io::Error::other(error))),
        }
    }

    /// All of it, for tests.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        let mut text = Vec::new();
        self.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// What gauges about objects are made from, for as long as it lives; what stood there before is replaced.
    pub fn observe(&self, objects: Weak<dyn Objects>) {
        *lock(&self.0.objects) = Some(objects);
    }

    /// This replica leads its installation, or does not.
    pub fn leads(&self, installation: &str, leads: bool) {
        let labels = InstallationLabels { installation: installation.to_owned() };
        self.0.leader.get_or_create(&labels).set(i64::from(leads));
    }

    /// A check has ended: the stages that ran, and why it failed.
    pub fn checked(&self, kind: &'static str, name: &Name, stages: &[Record], failure: Option<Reason>) {
        for record in stages {
            let labels = StageLabels { stage: record.stage.as_str() };
            self.0.stages.get_or_create(&labels).observe(record.duration.as_secs_f64());
        }
        if let Some(reason) = failure {
            self.0.failures.get_or_create(&failure_labels(kind, reason, name)).inc();
        }
    }

    /// A login was tried.
    pub fn logged_in(&self, outcome: LoginOutcome) {
        let outcome = match outcome {
            LoginOutcome::Accepted => "accepted",
            LoginOutcome::Refused => "refused",
            LoginOutcome::TooMany => "too_many",
            LoginOutcome::Undecided => "undecided",
        };
        self.0.logins.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// The right answer to a probe came in time.
    pub fn round_trip(&self, took: Duration) {
        self.0.round_trips.observe(took.as_secs_f64());
    }

    /// A probe came back.
    pub fn bounced(&self) {
        self.0.bounces.inc();
    }

    /// A server took a mail.
    pub fn sent(&self, purpose: &'static str) {
        self.0.sent.get_or_create(&PurposeLabels { purpose }).inc();
    }

    /// A reconciliation begins; drop what is returned when it ends.
    #[must_use]
    pub fn reconciling(&self, controller: &'static str) -> Reconciling {
        let active = self.0.active.get_or_create_owned(&ControllerLabels { controller });
        active.inc();
        Reconciling { active }
    }

    /// A reconciliation ended: `success`, `requeue_after` or `error`.
    pub fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.0.reconciles.get_or_create(&ResultLabels { controller, result }).inc();
        self.0.times.get_or_create(&ControllerLabels { controller }).observe(took.as_secs_f64());
        // A series that is there from the beginning: none would read as no controller.
        let errors = self.0.errors.get_or_create(&ControllerLabels { controller });
        if result == "error" {
            errors.inc();
        }
    }

    /// An object is gone, and with it the series that were counted for it.
    pub fn forget(&self, kind: &'static str, name: &Name) {
        for reason in Reason::ALL {
            self.0.failures.remove(&failure_labels(kind, *reason, name));
        }
    }
}

fn failure_labels(kind: &'static str, reason: Reason, name: &Name) -> FailureLabels {
    FailureLabels { kind, reason: reason.as_str(), namespace: name.namespace.clone(), name: name.name.clone() }
}

/// A reconciliation under way.
#[derive(Debug)]
pub struct Reconciling {
    active: Gauge,
}

impl Drop for Reconciling {
    fn drop(&mut self) {
        self.active.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Stage, stage::Outcome};

    #[test]
    fn series_that_were_counted_for_an_object_disappear_with_it() {
        let (metrics, name) = (Metrics::default(), Name::new("shop", "relay"));
        let record = Record { stage: Stage::Dns, outcome: Outcome::Failed, duration: Duration::from_millis(7), detail: None };
        metrics.checked("MailServer", &name, &[record], Some(Reason::DNSLookupFailed));
        let failures =
            r#"mailverity_check_failures_total{kind="MailServer",reason="DNSLookupFailed",namespace="shop",name="relay"} 1"#;
        let text = metrics.text();
        assert!(text.contains(failures), "{text}");
        assert!(text.contains(r#"mailverity_check_stage_duration_seconds_count{stage="DNS"} 1"#), "{text}");
        metrics.forget("MailServer", &name);
        assert!(!metrics.text().contains("relay"));
    }

    #[test]
    fn the_names_that_dashboards_know_are_there() {
        let metrics = Metrics::default();
        let under_way = metrics.reconciling("mailserver");
        metrics.reconciled("mailserver", "error", Duration::from_millis(2));
        metrics.logged_in(LoginOutcome::Refused);
        metrics.sent("Test");
        metrics.round_trip(Duration::from_millis(1200));
        metrics.bounced();
        metrics.leads("mailverity", true);
        let text = metrics.text();
        for start in [
            r#"controller_runtime_reconcile_total{controller="mailserver",result="error"} 1"#,
            r#"controller_runtime_reconcile_errors_total{controller="mailserver"} 1"#,
            r#"controller_runtime_reconcile_time_seconds_count{controller="mailserver"} 1"#,
            r#"controller_runtime_active_workers{controller="mailserver"} 1"#,
            r#"mailverity_logins_total{outcome="refused"} 1"#,
            r#"mailverity_messages_sent_total{purpose="Test"} 1"#,
            "mailverity_roundtrip_duration_seconds_count 1",
            "mailverity_bounces_total 1",
            r#"mailverity_leader{installation="mailverity"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == start), "{start} in\n{text}");
        }
        drop(under_way);
        assert!(metrics.text().contains(r#"active_workers{controller="mailserver"} 0"#));
    }
}
