//! Gauges about the objects that there are, made from them at each scrape.

use std::{
    fmt,
    sync::{Arc, Mutex, Weak},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::MetricType,
};

use crate::runtime::lock;

/// What the metrics about objects are made from, at the moment of a scrape.
pub trait Objects: Send + Sync {
    /// Calls `each` with every object: its kind, its name, its conditions as type and status, and the last moment of its
    /// server's certificate in seconds since 1970.
    fn each(&self, each: &mut dyn FnMut(Object<'_>));
    /// The name of the installation that looks after them.
    fn installation(&self) -> &str;
    /// The mails that the installation may still send in this hour.
    fn budget_remaining(&self) -> u32;
    /// What is paused: `all` and names of namespaces.
    fn paused(&self) -> Vec<String>;
    /// Checks that wait for a place.
    fn waiting(&self) -> usize;
    /// Checks in flight.
    fn in_flight(&self) -> usize;
}

/// One object, as metrics show it.
#[derive(Debug)]
pub struct Object<'a> {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its conditions: type and status.
    pub conditions: Vec<(&'a str, &'a str)>,
    /// When its next check is due, in seconds since 1970, where one would run then.
    pub next_check: Option<i64>,
    /// The end of its server's certificate, likewise.
    pub not_after: Option<i64>,
    /// The end of what its application proves itself by, likewise.
    pub credential_ends: Option<i64>,
    /// When a right answer to a probe last came in time, likewise.
    pub last_success: Option<i64>,
}

/// Makes the gauges about objects at each scrape.
pub(super) struct Scrape(pub(super) Arc<Mutex<Option<Weak<dyn Objects>>>>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(objects) = lock(&self.0).as_ref().and_then(Weak::upgrade) else { return Ok(()) };
        let mut gauge = |name, help, write: &mut dyn FnMut(&mut MetricEncoder) -> fmt::Result| {
            write(&mut encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("mailverity_condition", "1 for the status that a condition has", &mut |metric| {
            every(&*objects, |object| {
                for (condition, status) in &object.conditions {
                    let labels = [("type", *condition), ("status", *status)];
                    metric.encode_family(&(object.labels(), labels))?.encode_gauge(&1_i64)?;
                }
                Ok(())
            })
        })?;
        gauge("mailverity_next_check_timestamp_seconds", "When the next check of an object is due, since 1970", &mut |metric| {
            let of = [("installation", objects.installation())];
            every(&*objects, |object| match object.next_check {
                Some(due) => metric.encode_family(&(object.labels(), of))?.encode_gauge(&due),
                None => Ok(()),
            })
        })?;
        gauge("mailverity_tls_certificate_not_after_seconds", "End of a server's certificate, since 1970", &mut |metric| {
            every(&*objects, |object| match object.not_after {
                Some(end) => metric.encode_family(&object.labels())?.encode_gauge(&end),
                None => Ok(()),
            })
        })?;
        gauge("mailverity_credential_expiry_seconds", "End of a client secret or certificate, since 1970", &mut |metric| {
            every(&*objects, |object| match object.credential_ends {
                Some(end) => metric.encode_family(&object.labels())?.encode_gauge(&end),
                None => Ok(()),
            })
        })?;
        gauge(
            "mailverity_roundtrip_last_success_timestamp_seconds",
            "When a right answer last came, since 1970",
            &mut |metric| {
                every(&*objects, |object| match object.last_success {
                    Some(time) => metric.encode_family(&object.labels())?.encode_gauge(&time),
                    None => Ok(()),
                })
            },
        )?;
        gauge("mailverity_budget_remaining", "Mails that may still be sent in this hour", &mut |metric| {
            metric.encode_family(&[("budget", "installation")])?.encode_gauge(&i64::from(objects.budget_remaining()))
        })?;
        gauge("mailverity_paused", "1 for what is paused: all, or a namespace", &mut |metric| {
            for scope in objects.paused() {
                metric.encode_family(&[("scope", scope.as_str())])?.encode_gauge(&1_i64)?;
            }
            Ok(())
        })?;
        gauge("workqueue_depth", "Checks that wait for a place", &mut |metric| {
            metric.encode_family(&[("name", "checks")])?.encode_gauge(&count(objects.waiting()))
        })?;
        gauge("mailverity_checks_in_flight", "Checks under way", &mut |metric| metric.encode_gauge(&count(objects.in_flight())))
    }
}

impl Object<'_> {
    fn labels(&self) -> [(&'static str, &str); 3] {
        [("kind", self.kind), ("namespace", self.namespace), ("name", self.name)]
    }
}

/// Calls `write` with each object until one fails.
fn every(objects: &dyn Objects, mut write: impl FnMut(&Object<'_>) -> fmt::Result) -> fmt::Result {
    let mut result = Ok(());
    objects.each(&mut |object| {
        if result.is_ok() {
            result = write(&object);
        }
    });
    result
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    struct One;

    impl Objects for One {
        fn each(&self, each: &mut dyn FnMut(Object<'_>)) {
            let conditions = vec![("Ready", "True"), ("Verified", "Unknown")];
            each(Object {
                kind: "MailServer",
                namespace: "shop",
                name: "relay",
                conditions,
                next_check: Some(1_800_000_000),
                not_after: Some(1_900_000_000),
                credential_ends: Some(1_950_000_000),
                last_success: Some(7),
            });
        }
        fn installation(&self) -> &'static str {
            "second"
        }
        fn budget_remaining(&self) -> u32 {
            200
        }
        fn paused(&self) -> Vec<String> {
            vec!["shop".to_owned()]
        }
        fn waiting(&self) -> usize {
            3
        }
        fn in_flight(&self) -> usize {
            2
        }
    }

    #[test]
    fn gauges_about_objects_are_those_of_the_objects_that_there_are() {
        let metrics = Metrics::default();
        assert!(!metrics.text().contains("mailverity_condition{"));
        let objects: Arc<dyn Objects> = Arc::new(One);
        metrics.observe(Arc::downgrade(&objects));
        let text = metrics.text();
        for line in [
            r#"mailverity_condition{kind="MailServer",namespace="shop",name="relay",type="Ready",status="True"} 1"#,
            r#"mailverity_condition{kind="MailServer",namespace="shop",name="relay",type="Verified",status="Unknown"} 1"#,
            r#"mailverity_next_check_timestamp_seconds{kind="MailServer",namespace="shop",name="relay",installation="second"} 1800000000"#,
            r#"mailverity_tls_certificate_not_after_seconds{kind="MailServer",namespace="shop",name="relay"} 1900000000"#,
            r#"mailverity_credential_expiry_seconds{kind="MailServer",namespace="shop",name="relay"} 1950000000"#,
            r#"mailverity_roundtrip_last_success_timestamp_seconds{kind="MailServer",namespace="shop",name="relay"} 7"#,
            r#"mailverity_budget_remaining{budget="installation"} 200"#,
            r#"mailverity_paused{scope="shop"} 1"#,
            r#"workqueue_depth{name="checks"} 3"#,
            "mailverity_checks_in_flight 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        drop(objects);
        assert!(!metrics.text().contains("shop"), "objects that are gone leave nothing");
    }
}
