//! Alternates: in order while the primary cannot be reached or used, with what the primary said; and many addresses of one.

use futures::future::join_all;
use mailverity::api::Reason;

use crate::world::{Played, World, login, plain};

const WORKS: &str = "-- greets, offering nothing";
const BUSY: &str = "S: 421 4.3.2 System not accepting network messages";
const REJECTS: &str = "S: 554 5.7.1 No access for you";

fn connections(played: &Played) -> Vec<usize> {
    played.as_written().heard.iter().map(|heard| heard.connections).collect()
}

#[tokio::test]
async fn a_primary_that_works_is_used_alone() {
    let played = plain().alternate(WORKS).plays(WORKS).await;
    assert_eq!(connections(&played), [1, 0]);
    assert!(played.verified().report.primary_failure.is_none());
}

#[tokio::test]
async fn the_first_alternate_that_works_is_used_and_the_primarys_failure_is_told() {
    let played = plain().alternate(REJECTS).alternate(WORKS).alternate(WORKS).plays(BUSY).await;
    assert_eq!(connections(&played), [1, 1, 1, 0]);
    let report = &played.verified().report;
    assert!(report.endpoint.starts_with("alt2.mx.test:"), "{}", report.endpoint);
    let primary = report.primary_failure.as_ref().unwrap();
    assert_eq!(primary.reason, Reason::ServerBusy);
    assert_eq!(primary.get("host"), Some("mx.test"));
    assert!(report.alternate_failures.is_empty());
}

#[tokio::test]
async fn where_all_fail_the_primarys_reason_is_told_and_the_others_are_listed() {
    let played = plain().alternate(REJECTS).alternate("-- closes").plays(BUSY).await;
    assert_eq!(connections(&played), [1, 1, 1]);
    let report = &played.report;
    assert_eq!(played.failure().reason, Reason::ServerBusy);
    assert!(report.endpoint.starts_with("mx.test:"), "{}", report.endpoint);
    let others: Vec<Reason> = report.alternate_failures.iter().map(|(_, failure)| failure.reason).collect();
    assert_eq!(others, [Reason::ClientHostRejected, Reason::ConnectionClosed]);
    let message = report.message();
    assert!(message.starts_with("Banner: 421 4.3.2"), "{message}");
    assert!(message.contains("alt1.mx.test:") && message.contains("ConnectionClosed"), "{message}");
    assert!(report.primary_failure.is_none());
}

#[tokio::test]
async fn an_alternate_gets_its_share_of_the_time_of_a_primary_that_never_answers() {
    let silent = ["TIME: 6s\nTCP: silence", "TIME: 6s\n-- hangs"];
    let played = silent.map(|silent| World { may_greet_with_tls: false, ..plain().alternate(WORKS) }.plays(silent));
    for (played, silent) in join_all(played).await.iter().zip(silent) {
        assert!(played.report.failure.is_none(), "{silent}: {}", played.report.message());
        assert!(played.report.primary_failure.is_some(), "{silent}");
    }
}

#[tokio::test]
async fn a_primary_without_a_good_certificate_is_passed_over_with_its_password_untold() {
    let good = "-- greets, offering STARTTLS\n-- protects, offering AUTH PLAIN\n-- takes the login";
    let bad = "-- greets, offering STARTTLS\nC: STARTTLS\nS: 220 go\n-- TLS of an unknown CA";
    let played = login().alternate(good).plays(bad).await;
    assert_eq!(played.verified().report.primary_failure.as_ref().unwrap().reason, Reason::CertificateUntrusted);
    assert_eq!(played.log.iter().filter(|line| line.starts_with("gate: may")).count(), 1);
}

#[tokio::test]
async fn every_address_of_a_name_is_tried_before_it_counts_as_unreachable() {
    let played = plain().plays(&format!("DNS: A 127.0.0.9, A 127.0.0.1\n{WORKS}")).await;
    assert_eq!(played.verified().report.addresses, ["127.0.0.1", "127.0.0.9"]);
    plain().plays(&format!("DNS: AAAA ::1\n{WORKS}")).await.verified();
    let played = plain().plays(&format!("DNS: AAAA ::1, A 127.0.0.1\n{WORKS}")).await;
    assert_eq!(played.verified().report.addresses, ["127.0.0.1", "::1"]);
    let played = plain().plays("DNS: A 127.0.0.1, AAAA ::1\nTCP: refused").await;
    let message = played.report.message();
    assert!(message.contains("127.0.0.1:") && message.contains("[::1]:"), "both are told: {message}");
}
