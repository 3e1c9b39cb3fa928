//! Tables: seen → plan, and seen and found → conditions.

use serde_json::json;

use super::{
    Certificate, Look, What, decide, differs,
    mx::Found,
    samples::{Case, at, found, good, listener, receiver},
};
use crate::{
    api::{Reason, v1alpha1::State},
    mail::Diagnosis,
    verify::{
        halt::{Pause, PauseScope},
        schedule::due_after,
    },
};

const MX: &str = "mx.corp.example";

fn with_mx() -> Case {
    receiver(&json!({"expectedMX": MX}))
}

fn look(case: &Case) -> Look {
    match decide(&case.seen()).what {
        What::Look(look) => look,
        other => panic!("{other:?}"),
    }
}

/// Looked at just now, and found fine.
fn looked() -> Case {
    let mut case = with_mx();
    let look = look(&case);
    case.tell(Some((&look, &found(&[(10, MX)]))));
    case
}

#[test]
fn it_is_ready_once_a_receiver_listens_and_mail_finds_it() {
    let mut case = receiver(&json!({}));
    case.tell(None);
    assert_eq!(case.told("Ready"), Some(("True", "Succeeded")));
    assert_eq!((case.told("MXRecordsValid"), case.told("Degraded"), case.told("Stalled")), (None, None, None));
    let case = looked();
    assert_eq!((case.told("Ready"), case.told("MXRecordsValid")), (Some(("True", "Succeeded")), Some(("True", "Succeeded"))));
    let status = case.status.as_ref().unwrap();
    assert_eq!(status.mx[0].records, ["10 mx.corp.example"]);
    assert!(status.listeners.is_empty(), "those are the receivers' to write");
}

#[test]
fn what_receivers_say_decides_whether_it_listens() {
    let refuses = |reason: &str, message: &str| {
        let mut one = listener("pod-1", 1);
        (one.reason, one.message) = (Some(reason.to_owned()), Some(message.to_owned()));
        one
    };
    for (listeners, noticed_by, told, words) in [
        (vec![], 0, ("False", "NoListener"), "kubectl -n mailverity-receiver get pods"),
        (vec![], 10, ("Unknown", "NewGeneration"), "Generation 1"),
        (vec![listener("a", 1), listener("b", 1)], 0, ("True", "Succeeded"), "2 receivers listen on port 2525."),
        (vec![listener("a", 0)], 0, ("Unknown", "NewGeneration"), "Generation 1"),
        (
            vec![refuses("PortUnavailable", "listens on 25, 26")],
            0,
            ("False", "PortUnavailable"),
            "listen on 25, 26; set listener.port",
        ),
        (vec![refuses("PortUnavailable", "listens on 25"), listener("b", 1)], 0, ("True", "Succeeded"), "One receiver listens"),
        (vec![refuses("Conflict", "x")], 0, ("True", "Succeeded"), "One receiver listens"),
    ] {
        let mut case = Case { noticed_by: at(noticed_by), listeners, ..receiver(&json!({})) };
        case.tell(None);
        assert_eq!(case.told("Listening"), Some(told));
        assert!(case.message("Listening").contains(words), "{}", case.message("Listening"));
        assert_eq!(case.told("Ready").unwrap().0, told.0);
        assert_eq!(case.told("Reconciling").is_some(), told.0 == "Unknown");
        assert_eq!(case.told("Stalled").is_some(), told.1 == "PortUnavailable", "only that needs a person");
    }
}

#[test]
fn a_new_generation_is_judged_when_a_receiver_has_taken_it_up() {
    let mut case = receiver(&json!({}));
    case.tell(None);
    case.generation = 2;
    case.tell(None);
    assert_eq!((case.told("Listening"), case.told("Reconciling").is_some()), (Some(("True", "Succeeded")), true));
    case.listeners = vec![listener("pod-1", 2)];
    case.tell(None);
    assert_eq!((case.told("Ready"), case.told("Reconciling")), (Some(("True", "Succeeded")), None));
}

#[test]
fn a_bad_certificate_is_told_and_closes_the_door_only_where_none_is_in_use() {
    let bad = || Certificate::Bad(Diagnosis::new(Reason::CertificateKeyMismatch).fact("secret", "mail/mx"));
    let tls = json!({"tls": {"mode": "Required", "certificateRef": {"name": "mx"}}});
    let mut case = Case { certificate: bad(), ..receiver(&tls) };
    case.tell(None);
    assert_eq!(case.told("Listening"), Some(("False", "CertificateKeyMismatch")));
    case.certificate = good(9_999_999);
    case.status = None;
    case.tell(None);
    assert_eq!(case.told("Listening"), Some(("Unknown", "NewGeneration")), "it is on its way to the receivers");
    case.listeners[0].certificate = Some("aa".to_owned());
    case.tell(None);
    assert_eq!((case.told("Listening"), case.told("CertificateExpiring")), (Some(("True", "Succeeded")), None));
    let shown = case.status.as_ref().unwrap().tls.clone();
    case.certificate = bad();
    case.tell(None);
    assert_eq!(
        (case.told("Ready"), case.told("Degraded")),
        (Some(("True", "Succeeded")), Some(("True", "CertificateKeyMismatch")))
    );
    assert!(case.message("Degraded").contains("The certificate before it stays in use."), "{}", case.message("Degraded"));
    assert_eq!(case.status.as_ref().unwrap().tls, shown, "the one that is shown");
    let missing = Diagnosis::new(Reason::SecretNotFound).fact("secret", "mail/mx").fact("keys", "tls.crt and tls.key");
    case.certificate = Certificate::Bad(missing);
    case.tell(None);
    assert_eq!(case.told("ResolvedRefs"), Some(("False", "SecretNotFound")));
    case.certificate = good(9_999_999);
    case.tell(None);
    assert_eq!((case.told("Degraded"), case.told("ResolvedRefs")), (None, Some(("True", "Succeeded"))));
}

#[test]
fn a_certificate_that_ends_soon_is_told_two_weeks_before() {
    let day = 86_400;
    let tls = json!({"tls": {"mode": "Opportunistic", "certificateRef": {"name": "mx"}}});
    let mut case = Case { certificate: good(15 * day), ..receiver(&tls) };
    assert_eq!(decide(&case.seen()).next, Some(at(day)));
    case.now = at(day);
    case.tell(None);
    assert_eq!(case.told("CertificateExpiring"), Some(("True", "CertificateExpiring")));
    assert_eq!(decide(&case.seen()).next, Some(at(15 * day)));
}

#[test]
fn a_domain_that_an_older_one_has_is_a_conflict_and_needs_a_person() {
    let mut case = Case { rivals: vec![("corp.example".to_owned(), "other/inbound".to_owned())], ..receiver(&json!({})) };
    case.tell(None);
    assert_eq!((case.told("Ready"), case.told("Stalled")), (Some(("False", "Conflict")), Some(("True", "Conflict"))));
    assert!(
        case.message("Ready").ends_with("MailReceiver other/inbound already uses corp.example."),
        "{}",
        case.message("Ready")
    );
}

#[test]
fn a_source_that_is_no_network_is_not_accepted() {
    let mut case = receiver(&json!({"listener": {"allowedSources": ["1.2.3"]}, "expectedMX": MX}));
    case.listeners[0].reason = Some("SpecInvalid".to_owned());
    assert_eq!(decide(&case.seen()).what, What::Rest);
    case.tell(None);
    assert_eq!((case.told("Accepted"), case.told("Ready")), (Some(("False", "SpecInvalid")), Some(("False", "SpecInvalid"))));
    assert!(case.message("Ready").contains("allowedSources[0] \"1.2.3\""), "{}", case.message("Ready"));
    assert!(case.told("Stalled").is_some());
}

#[test]
fn mx_records_are_told_by_what_they_are() {
    for (records, told, result) in [
        (found(&[]), ("False", "MXRecordMissing"), "MXRecordMissing"),
        (found(&[(10, "old.example")]), ("False", "MXPointsElsewhere"), "MXPointsElsewhere"),
        (
            vec![Found { domain: "corp.example".to_owned(), records: Err(Diagnosis::new(Reason::DNSLookupFailed)) }],
            ("Unknown", "DNSLookupFailed"),
            "DNSLookupFailed",
        ),
    ] {
        let mut case = with_mx();
        let look = look(&case);
        case.failures = u32::from(told.0 == "Unknown");
        case.tell(Some((&look, &records)));
        assert_eq!((case.told("MXRecordsValid"), case.told("Ready")), (Some(told), Some(told)));
        let status = case.status.as_ref().unwrap();
        assert_eq!(status.mx[0].result, result);
        let next = status.next_check_time.as_ref().unwrap().0;
        if told.0 == "Unknown" {
            assert!(next <= at(30), "tried again soon: {next}");
        } else {
            assert_eq!(next, due_after(at(0), "uid", std::time::Duration::from_hours(1)));
        }
        assert_eq!(case.told("Stalled").is_some(), told.0 == "False");
    }
}

#[test]
fn records_are_looked_at_first_at_a_change_when_asked_and_when_due() {
    let case = looked();
    let next = case.status.as_ref().unwrap().next_check_time.clone().unwrap().0;
    let plan = decide(&case.seen());
    assert_eq!((plan.what, plan.next), (What::Rest, Some(next)));
    let due = Case { now: next, ..looked() };
    look(&due);
    look(&Case { generation: 2, listeners: vec![listener("a", 2)], ..looked() });
    let mut asked = Case { request: Some("now".to_owned()), ..looked() };
    let look = look(&asked);
    asked.running = Some(look.clone());
    assert_eq!(decide(&asked.seen()).what, What::Running);
    asked.tell(Some((&look, &found(&[(10, MX)]))));
    asked.running = None;
    assert_eq!(decide(&asked.seen()).what, What::Rest);
    assert_eq!(asked.status.unwrap().last_handled_verify_request.as_deref(), Some("now"));
}

#[test]
fn what_was_found_for_an_older_generation_says_nothing() {
    let mut case = with_mx();
    let look = look(&case);
    (case.generation, case.listeners) = (2, vec![listener("a", 2)]);
    case.tell(Some((&look, &found(&[]))));
    assert_eq!(case.told("MXRecordsValid"), Some(("Unknown", "NewGeneration")));
    assert!(case.told("Reconciling").is_some());
}

#[test]
fn nothing_is_looked_at_while_it_is_halted() {
    let pause = Pause { until: Some(at(60)), config_map: "ops/mailverity-pause".to_owned(), scope: PauseScope::All };
    for (mut case, state, reason, next) in [
        (receiver(&json!({"expectedMX": MX, "suspend": true})), State::Suspended, "Suspended", None),
        (Case { suspend_until: Some(at(90).to_string()), ..with_mx() }, State::Suspended, "Suspended", Some(at(90))),
        (Case { pause: Some(pause), ..with_mx() }, State::Paused, "Paused", Some(at(60))),
    ] {
        let plan = decide(&case.seen());
        assert_eq!((plan.what, plan.next), (What::Rest, next));
        case.tell(None);
        assert_eq!((case.told("Suspended"), case.told("Ready")), (Some(("True", reason)), None));
        assert_eq!(case.status.unwrap().state, Some(state));
    }
}

#[test]
fn a_status_that_says_nothing_new_is_not_written() {
    let mut case = looked();
    let before = case.status.clone();
    case.now = at(100);
    case.tell(None);
    assert!(!differs(before.as_ref(), case.status.as_ref().unwrap()));
    let mut others = before.clone().unwrap();
    others.listeners = vec![listener("x", 1)];
    assert!(!differs(Some(&others), case.status.as_ref().unwrap()), "those are not ours");
    case.listeners.push(listener("pod-2", 1));
    case.tell(None);
    assert!(differs(before.as_ref(), case.status.as_ref().unwrap()));
}
