//! What is kept of an object, and what follows from it.

use serde_json::json;

use super::*;
use crate::api::v1alpha1::MailServer;

type Glance = super::Glance<MailServer>;

#[test]
fn what_metrics_and_checks_need_is_kept_and_the_rest_is_not() {
    let glance: Glance = serde_json::from_value(json!({
        "metadata": {
            "name": "relay", "namespace": "mail", "generation": 3, "labels": {"a": "b"},
            "annotations": {"mailverity.dev/verify-requested-at": "x", "example.com/other": "y"},
        },
        "spec": {"host": "smtp.corp.example", "suspend": true},
        "status": {
            "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Alien", "status": "True"}],
            "tls": {"notAfter": "1970-01-01T00:01:00Z"},
            "claim": {"id": "x"},
            "credentialsObserved": "abc", "credentialHeldUntil": "1970-01-01T00:02:00Z", "credentialRefusals": 2,
        },
    }))
    .unwrap();
    assert!(glance.is_suspended() && !glance.is_fresh() && glance.status.is_claimed());
    assert_eq!(glance.conditions().collect::<Vec<_>>(), [("Ready", "True")]);
    assert_eq!((glance.not_after(), glance.status.credential_refusals), (Some(60), Some(2)));
    assert_eq!(glance.status.credentials_observed.as_deref(), Some("abc"));
    assert_eq!(glance.metadata.labels, None);
    assert_eq!(glance.metadata.annotations.unwrap().into_keys().collect::<Vec<_>>(), ["mailverity.dev/verify-requested-at"]);
}

#[test]
fn no_object_is_too_malformed_to_be_known() {
    for (spec, status) in [
        (json!(null), json!(null)),
        (json!("text"), json!([])),
        (
            json!({"suspend": "yes"}),
            json!({"conditions": {"a": 1}, "tls": 5, "credentialRefusals": -1, "observedGeneration": "1"}),
        ),
    ] {
        let object = json!({"metadata": {"name": "relay"}, "spec": spec, "status": status});
        let glance: Glance = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{object}: {error}"));
        assert!(glance.is_fresh() && !glance.is_suspended(), "{object}");
    }
    assert!(serde_json::from_value::<Glance>(json!({"metadata": {"name": "relay"}})).unwrap().is_fresh());
}

#[test]
fn one_claim_or_a_list_of_them_is_a_claim_and_an_empty_list_is_none() {
    for (status, claimed) in [
        (json!({"claims": [{"id": "x"}]}), true),
        (json!({"claims": [], "claim": {"id": "x"}}), true),
        (json!({"claims": []}), false),
        (json!({"claims": {"id": "x"}}), false),
        (json!({}), false),
    ] {
        let glance: Glance = serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
        assert_eq!(glance.status.is_claimed(), claimed, "{status}");
    }
}

#[test]
fn the_next_check_is_told_only_of_an_object_whose_check_would_run() {
    let condition = |type_: &str, status: &str, reason: &str| json!({"type": type_, "status": status, "reason": reason});
    let ready = condition("Ready", "True", "Succeeded");
    let told = |conditions: serde_json::Value| json!({"observedGeneration": 1, "conditions": conditions, "nextCheckTime": "1970-01-01T00:01:00Z"});
    let told_of = |conditions: serde_json::Value| json!({"observedGeneration": 1, "conditions": conditions});
    let spec = json!({"host": "smtp.corp.example"});
    for (spec, status, due) in [
        (spec.clone(), told(json!([ready])), Some(60)),
        (spec.clone(), told(json!([condition("Ready", "False", "ConnectionRefused")])), Some(60)),
        (spec.clone(), json!({"observedGeneration": 1, "nextRunTime": "1970-01-01T00:01:00Z"}), Some(60)),
        (spec.clone(), json!({"observedGeneration": 1, "nextProbeTime": "1970-01-01T00:01:00Z"}), Some(60)),
        (
            spec.clone(),
            json!({"observedGeneration": 1, "nextRunTime": "1970-01-01T00:01:00Z", "verification": {"deadline": "1970-01-01T00:02:00Z"}}),
            Some(120),
        ),
        (spec.clone(), json!({"observedGeneration": 1}), None),
        (spec.clone(), told_of(json!([condition("Verified", "Unknown", "NeverVerified")])), Some(5)),
        (spec.clone(), told_of(json!([condition("Listening", "Unknown", "NeverVerified")])), None),
        (spec.clone(), json!(null), Some(5)),
        (json!({"suspend": true}), json!(null), None),
        (json!({"suspend": true}), told(json!([ready])), None),
        (spec.clone(), told(json!([condition("Suspended", "True", "Paused")])), None),
        (spec.clone(), told(json!([ready, condition("CredentialHeld", "True", "CredentialHeld")])), None),
        (spec.clone(), told(json!([ready, condition("ResolvedRefs", "False", "RefNotFound")])), None),
        (spec.clone(), told(json!([ready, condition("ResolvedRefs", "True", "Succeeded")])), Some(60)),
        (spec, told(json!([condition("Ready", "Unknown", "DependencyNotReady")])), None),
    ] {
        let metadata = json!({"name": "relay", "creationTimestamp": "1970-01-01T00:00:05Z"});
        let glance: Glance = serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap();
        assert_eq!(glance.next_check(), due, "{spec} {status}");
    }
}

#[test]
fn every_condition_type_has_a_number() {
    assert!(TYPES.iter().all(|type_| TYPES.iter().filter(|other| *other == type_).count() == 1));
}
