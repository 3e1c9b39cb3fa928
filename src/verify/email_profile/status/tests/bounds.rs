//! How large a status becomes at its bounds.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::{
    api::{crd, v1alpha1::TlsStatus},
    mail::stage::{Outcome, Record},
    verify::email_profile::{ActorReport, samples::report},
};

/// A report in which everything is as long as a hostile server can make it.
fn endless(case: &Case, run: &Run, letter: &str) -> RunReport {
    let long = letter.repeat(5000);
    let mut told = report(case, run, |_| Ends::Loses(missing()));
    for actor in &mut told.actors {
        fill(actor, &long);
    }
    let outgoing = told.outgoing.as_mut().unwrap();
    outgoing.endpoint.clone_from(&long);
    outgoing.failure = Some(Diagnosis::new(Reason::AuthenticationFailed).words(&long).detail(long.clone()));
    told
}

fn fill(actor: &mut ActorReport, long: &str) {
    let stage = Stage::Auth;
    let record = Record { stage, outcome: Outcome::Failed, duration: Duration::MAX, detail: Some(long.to_owned()) };
    actor.mark = Some(long.to_owned());
    actor.report.stages = vec![record; 100];
    actor.report.source_ip = Some(long.to_owned());
    actor.report.failure =
        Some(missing().fact("sentAt", long).fact("accepted", long).fact("messageID", long).words(long).detail(long).at(stage));
    actor.report.tls = Some(TlsStatus {
        version: Some(long.to_owned()),
        cipher: Some(long.to_owned()),
        subject: Some(long.to_owned()),
        issuer: Some(long.to_owned()),
        dns_names: vec![long.to_owned(); 100],
        not_before: Some(long.to_owned()),
        not_after: Some("2026-11-22T00:00:00Z".to_owned()),
        sha256: Some(long.to_owned()),
    });
}

/// What of a value is longer than its schema allows.
fn too_long(path: &str, schema: &Value, value: &Value) -> Vec<String> {
    let over = |bound: &str, size: usize| schema[bound].as_u64().is_some_and(|most| size as u64 > most);
    let mut found = Vec::new();
    match value {
        Value::String(text) if over("maxLength", text.chars().count()) => found.push(path.to_owned()),
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            let out = schema["minimum"].as_f64().is_some_and(|least| number < least)
                || schema["maximum"].as_f64().is_some_and(|most| number > most);
            found.extend(out.then(|| path.to_owned()));
        }
        Value::Array(items) => {
            found.extend(over("maxItems", items.len()).then(|| path.to_owned()));
            found.extend(items.iter().flat_map(|item| too_long(path, &schema["items"], item)));
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let inner = &schema["properties"][name];
                assert!(!inner.is_null(), "{path}.{name} is not in the schema");
                found.extend(too_long(&format!("{path}.{name}"), inner, field));
            }
        }
        _ => {}
    }
    found
}

#[test]
fn a_full_status_stays_under_128_kib_and_within_the_schemas_bounds() {
    let crd = crd::all().unwrap().into_iter().find(|crd| crd["spec"]["names"]["kind"] == "EmailProfile").unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    let names: Vec<String> = (0..32).map(|n| format!("{n:0>253}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for letter in ["x", "é", "\"", "漢", "\u{1f600}", "\u{1}"] {
        for count in [1, 8, 32] {
            let mut case = profile().with_outgoing().actors(&names[..count]).held_until(at(-1)).asked(&letter.repeat(600));
            case = case.seeing(|observed| observed.secret = Some(letter.repeat(600)));
            case.held = None;
            let mut case = case.begun();
            let run = case.running.clone().unwrap();
            for errand in &run.errands {
                case = case.sends(&errand.actor);
            }
            let report = endless(&case, &run, letter);
            let status = case.held_until(at(HOUR)).finds(&report).told_status().clone();
            let written = serde_json::to_value(&status).unwrap();
            let size = written.to_string().len();
            assert!(size < 128 * 1024, "{letter:?} {count}: {size}");
            assert_eq!(too_long("status", schema, &written), [""; 0], "{letter:?} {count}");
            assert_eq!((status.actors.len(), status.claims.len()), (count, count));
        }
    }
}
