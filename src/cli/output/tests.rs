//! The exact output of each form; `docs/cli.md` shows the same.

use std::time::Duration;

use super::*;
use crate::{
    api::{
        Reason,
        v1alpha1::{AuthenticationResults, Capabilities, Level, TlsStatus},
    },
    mail::{
        Diagnosis, Stage,
        stage::{Outcome as Ended, Record},
    },
    manifest::{Place, Severity},
    verify::{
        email_profile::{self, Mail},
        report::LoginOutcome,
    },
};

fn record(stage: Stage, outcome: Ended, micros: u64, detail: &str) -> Record {
    Record { stage, outcome, duration: Duration::from_micros(micros), detail: Some(detail.to_owned()).filter(|d| !d.is_empty()) }
}

/// A check in which the login was refused, or taken.
pub fn report(refused: bool) -> Report {
    let words = "535 5.7.8 Error: authentication failed";
    let failure = Diagnosis::new(Reason::AuthenticationFailed)
        .at(Stage::Auth)
        .words(words)
        .fact("secret", "mail/relay")
        .fact("until", "13:00");
    let last = if refused {
        record(Stage::Auth, Ended::Failed, 2_012_300, words)
    } else {
        record(Stage::Auth, Ended::Passed, 12_300, "PLAIN")
    };
    Report {
        level: Level::Authenticate,
        failure: refused.then_some(failure),
        stages: vec![
            record(Stage::Dns, Ended::Passed, 1_200, "192.0.2.25"),
            record(Stage::Tcp, Ended::Passed, 400, ""),
            record(Stage::StartTls, Ended::Skipped, 0, "TLS is on already"),
            last,
        ],
        endpoint: "smtp.corp.example:587".to_owned(),
        primary_failure: None,
        alternate_failures: Vec::new(),
        addresses: vec!["192.0.2.25".to_owned()],
        helo: Some("corp.example".to_owned()),
        capabilities: Some(Capabilities {
            banner: Some("smtp.corp.example ESMTP".to_owned()),
            auth_mechanisms: vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
            ..Capabilities::default()
        }),
        tls: Some(TlsStatus {
            version: Some("TLSv1.3".to_owned()),
            not_after: Some("2027-01-31T12:00:00Z".to_owned()),
            ..TlsStatus::default()
        }),
        tls_verified: true,
        tls_hello: false,
        source_ip: Some("10.0.0.7".to_owned()),
        observed_ip: None,
        login: Some(if refused { LoginOutcome::Refused } else { LoginOutcome::Accepted }),
        delivery: None,
        mailbox: None,
        token: None,
        duration: Duration::from_millis(if refused { 2_041 } else { 41 }),
    }
}

fn probe(refused: bool) -> Vec<Outcome> {
    vec![Outcome { report: Some(report(refused)), ..Outcome::default() }]
}

fn subject(name: &str) -> Subject {
    Subject { file: "mail.yaml".into(), line: 3, kind: "MailServer".into(), namespace: "mail".into(), name: name.into() }
}

fn checked() -> Vec<Outcome> {
    let place = Place { file: "mail.yaml".into(), line: 9, column: 5 };
    let error = Finding::new(Severity::Error, &place, "spec.port", "0 is below 1");
    let warning = Finding::new(Severity::Warning, &place, "spec.sender", "a <b> & \"c\"");
    vec![
        Outcome { subject: Some(subject("bad")), findings: vec![error], ..Outcome::default() },
        Outcome { subject: Some(subject("odd")), findings: vec![warning], ..Outcome::default() },
        Outcome { subject: Some(subject("relay")), report: Some(report(true)), ..Outcome::default() },
    ]
}

#[test]
fn people_see_stages_with_times_and_the_hint_last() {
    assert_eq!(
        render(Format::Text, &probe(true), Style::Plain).unwrap(),
        "  ok   DNS           1.2ms  192.0.2.25
  ok   TCP           0.4ms
  skip STARTTLS      0.0ms  TLS is on already
  FAIL AUTH          2.01s  535 5.7.8 Error: authentication failed
  Server: smtp.corp.example ESMTP; AUTH PLAIN LOGIN
  TLS: TLSv1.3, until 2027-01-31T12:00:00Z
Unverified smtp.corp.example:587 in 2.04s: AuthenticationFailed: AUTH: 535 5.7.8 Error: authentication failed
Hint: Check Secret mail/relay. Not tried again before 13:00, so that the account is not locked.
"
    );
    let good = render(Format::Text, &probe(false), Style::Plain).unwrap();
    assert!(good.ends_with("Verified in 41.0ms: smtp.corp.example:587 took the login\n"), "{good}");
}

#[test]
fn findings_name_file_line_object_and_field_and_are_counted() {
    assert_eq!(
        render(Format::Text, &checked()[..2], Style::Plain).unwrap(),
        "\
mail.yaml:9:5: error: MailServer mail/bad: spec.port: 0 is below 1
mail.yaml:9:5: warning: MailServer mail/odd: spec.sender: a <b> & \"c\"
2 objects checked: 1 valid, 1 invalid, 1 error, 1 warning
"
    );
}

#[test]
fn colour_is_only_where_it_was_chosen() {
    assert!(render(Format::Text, &probe(true), Style::Color).unwrap().contains("\x1b[31mFAIL\x1b[0m"));
    assert_eq!(Style::choose(true, true), Style::Plain);
    assert_eq!(Style::choose(false, false), Style::Plain);
}

#[test]
fn json_is_one_object_for_a_probe_in_the_documented_order() {
    let text = render(Format::Json, &probe(true), Style::Plain).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["result"], "Unverified");
    assert_eq!(json["reason"], "AuthenticationFailed");
    assert_eq!(json["stage"], "AUTH");
    assert_eq!(json["message"], "AUTH: 535 5.7.8 Error: authentication failed");
    assert!(json["hint"].as_str().unwrap().starts_with("Check Secret mail/relay"));
    assert_eq!(json["stages"][3]["name"], "AUTH");
    assert_eq!(json["stages"][3]["duration"], "2.01s");
    assert_eq!(json["tls"]["version"], "TLSv1.3");
    assert_eq!(json["capabilities"]["authMechanisms"][1], "LOGIN");
    let places: Vec<_> = ["\"result\"", "\"reason\"", "\"stage\"", "\"message\"", "\"hint\"", "\"stages\""]
        .map(|key| text.find(key).unwrap())
        .into();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn json_is_one_line_a_resource_for_a_check() {
    let text = render(Format::Json, &checked(), Style::Plain).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["result"].as_str().unwrap()).collect::<Vec<_>>(), ["Invalid", "Valid", "Unverified"]);
    assert_eq!(lines[0]["findings"][0]["line"], 9);
    assert_eq!((&lines[2]["name"], &lines[2]["reason"]), (&"relay".into(), &"AuthenticationFailed".into()));
}

#[test]
fn yaml_says_the_same_as_json() {
    let text = render(Format::Yaml, &checked(), Style::Plain).unwrap();
    let documents: Vec<_> =
        text.split("---\n").skip(1).map(|one| serde_yaml::from_str::<serde_json::Value>(one).unwrap()).collect();
    let json = render(Format::Json, &checked(), Style::Plain).unwrap();
    let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents, lines);
}

#[test]
fn junit_has_a_case_per_object_and_escapes_what_it_quotes() {
    let text = render(Format::Junit, &checked(), Style::Plain).unwrap();
    assert!(
        text.contains("<testsuite name=\"mail.yaml\" tests=\"3\" failures=\"2\" errors=\"0\" skipped=\"0\" time=\"2.041\">"),
        "{text}"
    );
    assert!(text.contains("<failure type=\"Invalid\" message=\"mail.yaml:9:5: error: spec.port: 0 is below 1\">"), "{text}");
    assert!(text.contains("spec.sender: a &lt;b&gt; &amp; &quot;c&quot;</system-out>"), "{text}");
}

#[test]
fn junit_of_a_probe_has_a_case_per_stage() {
    let text = render(Format::Junit, &probe(true), Style::Plain).unwrap();
    assert!(
        text.contains("<testsuite name=\"smtp.corp.example:587\" tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\""),
        "{text}"
    );
    assert!(text.contains("<testcase classname=\"smtp.corp.example:587\" name=\"TCP\" time=\"0.000\"/>"), "{text}");
}

/// A profile whose code was found, and whose outgoing server refused the login or took it.
fn proof(refused: bool) -> Vec<Outcome> {
    let found = email_profile::Finding {
        received: "2026-11-22T09:00:00.0621Z".parse().unwrap(),
        took: Some(Duration::from_micros(12_300)),
        results: AuthenticationResults { spf: Some("pass".to_owned()), ..AuthenticationResults::default() },
    };
    let mailbox = Report { endpoint: "imap.corp.example:993".to_owned(), ..report(false) };
    let mail = Mail { sent: "2026-11-22T09:00:00.0498Z".parse().unwrap(), dot_sent: true, uncertain: None };
    let proof = Proof {
        mail: Some(mail),
        found: Some(found),
        sending: Some(report(false)),
        outgoing: Some(report(refused)),
        ..Proof::new(mailbox, Level::Deliver)
    };
    let subject = Subject { kind: "EmailProfile".into(), ..subject("box") };
    vec![Outcome { subject: Some(subject), proof: Some(Box::new(proof)), ..Outcome::default() }]
}

#[test]
fn people_see_a_line_for_each_part_of_a_proof_and_all_stages_of_one_that_failed() {
    assert_eq!(
        render(Format::Text, &proof(false), Style::Plain).unwrap(),
        "\
EmailProfile mail/box (mail.yaml:3)
  ok   Sending      41.0ms  smtp.corp.example:587: DNS 1.2ms, TCP 0.4ms, STARTTLS 0.0ms, AUTH 12.3ms (PLAIN)
  ok   Mailbox      41.0ms  imap.corp.example:993: DNS 1.2ms, TCP 0.4ms, STARTTLS 0.0ms, AUTH 12.3ms (PLAIN)
  ok   Outgoing     41.0ms  smtp.corp.example:587: DNS 1.2ms, TCP 0.4ms, STARTTLS 0.0ms, AUTH 12.3ms (PLAIN)
  Sender as the mailbox's server saw it: spf=pass
Verified  EmailProfile mail/box  code found 12.3ms after it was sent
1 object checked: 1 verified
"
    );
    let failed = render(Format::Text, &proof(true), Style::Plain).unwrap();
    let (_, failed) = failed.split_once("  FAIL Outgoing smtp.corp.example:587\n").unwrap();
    assert!(failed.starts_with("  ok   DNS           1.2ms  192.0.2.25\n"), "{failed}");
    let verdict = "Unverified  EmailProfile mail/box  AuthenticationFailed: outgoing server smtp.corp.example:587: AUTH: 535 5.7.8 Error: authentication failed\nHint: Check Secret mail/relay.";
    assert!(failed.contains(verdict), "{failed}");
}

#[test]
fn json_of_a_proof_begins_as_that_of_a_server_and_has_its_parts_behind() {
    let text = render(Format::Json, &proof(true), Style::Plain).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["kind"], &json["result"]), (&"EmailProfile".into(), &"Unverified".into()));
    assert_eq!((&json["reason"], &json["stage"]), (&"AuthenticationFailed".into(), &"AUTH".into()));
    assert_eq!((&json["sent"], &json["took"]), (&"2026-11-22T09:00:00.049Z".into(), &"12.3ms".into()));
    assert_eq!((&json["authenticationResults"]["spf"], &json["level"]), (&"pass".into(), &"Deliver".into()));
    assert_eq!((&json["sending"]["result"], &json["outgoing"]["result"]), (&"Verified".into(), &"Unverified".into()));
    let json: serde_json::Value = serde_json::from_str(&render(Format::Json, &proof(false), Style::Plain).unwrap()).unwrap();
    assert_eq!((&json["result"], &json["reason"]), (&"Verified".into(), &"CodeReceived".into()));
    let junit = render(Format::Junit, &proof(true), Style::Plain).unwrap();
    assert!(
        junit.contains("<failure type=\"AuthenticationFailed\" message=\"outgoing server smtp.corp.example:587: "),
        "{junit}"
    );
}

/// A round trip whose answer was found, or one that only a cluster can prove.
fn trip(unproved: bool) -> Vec<Outcome> {
    let mut outcomes = proof(false);
    let proof = outcomes[0].proof.as_mut().unwrap();
    (proof.outgoing, proof.answer) = (None, Some("; it came with From a@b.se (FromRewritten)".to_owned()));
    proof.found.as_mut().unwrap().results = AuthenticationResults::default();
    if unproved {
        let report = Report::new(Level::Authenticate, "smtp.corp.example:587".to_owned());
        **proof = Proof { sending: proof.sending.take(), ..Proof::new(report, Level::Authenticate) };
        proof.unproved = Some("only a cluster can prove it".to_owned());
    }
    outcomes[0].subject = Some(Subject { kind: "RoundTripPolicy".into(), ..subject("echo") });
    outcomes
}

#[test]
fn an_answer_is_told_as_one_in_every_form() {
    let text = render(Format::Text, &trip(false), Style::Plain).unwrap();
    let verdict = "Verified  RoundTripPolicy mail/echo  answer found 12.3ms after it was sent; it came with From a@b.se (FromRewritten)\n1 object checked: 1 verified\n";
    assert!(text.ends_with(verdict), "{text}");
    let json: serde_json::Value = serde_json::from_str(&render(Format::Json, &trip(false), Style::Plain).unwrap()).unwrap();
    assert_eq!((&json["result"], &json["reason"], &json["took"]), (&"Verified".into(), &"Succeeded".into(), &"12.3ms".into()));
    assert!(!render(Format::Junit, &trip(false), Style::Plain).unwrap().contains("skipped message"));
}

#[test]
fn what_only_a_cluster_can_prove_is_skipped_with_the_reason_and_fails_where_its_server_does() {
    assert_eq!(
        render(Format::Text, &trip(true), Style::Plain).unwrap(),
        "\
RoundTripPolicy mail/echo (mail.yaml:3)
  ok   Sending      41.0ms  smtp.corp.example:587: DNS 1.2ms, TCP 0.4ms, STARTTLS 0.0ms, AUTH 12.3ms (PLAIN)
Skipped  RoundTripPolicy mail/echo  only a cluster can prove it
1 object checked: 1 skipped
"
    );
    let json: serde_json::Value = serde_json::from_str(&render(Format::Json, &trip(true), Style::Plain).unwrap()).unwrap();
    assert_eq!((&json["result"], &json["message"]), (&"Skipped".into(), &"only a cluster can prove it".into()));
    assert_eq!((&json["sending"]["result"], json.get("reason")), (&"Verified".into(), None));
    let junit = render(Format::Junit, &trip(true), Style::Plain).unwrap();
    assert!(junit.contains("failures=\"0\" errors=\"0\" skipped=\"1\"") && junit.contains("only a cluster"), "{junit}");

    let mut failed = trip(true);
    let proof = failed[0].proof.as_mut().unwrap();
    proof.sending = Some(report(true));
    proof.report.failure = report(true).failure;
    assert_eq!(failed[0].result(), "Unverified");
    assert!(render(Format::Text, &failed, Style::Plain).unwrap().contains("  FAIL Sending smtp.corp.example:587\n"));
}
