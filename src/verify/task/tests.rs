//! There and back again.

use std::{collections::BTreeMap, time::Duration};

use proptest::{collection::btree_map, option, prelude::*};
use rcgen::{CertificateParams, KeyPair};
use tokio::time::Instant;
use uuid::Uuid;

use super::*;
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{
            Level, MailboxProtocol, Mechanism, Security, StageResult, StageStatus, TaskFailure, TaskMailbox, TaskResult,
            TaskSearch, TlsStatus,
        },
    },
    mail::{
        Diagnosis, Stage,
        mailbox::{Cleanup, Place, Shown, Sighting},
        protocol::Protocol,
        stage::{Outcome, Record},
        tls::{ClientIdentity, MinVersion, TlsPolicy, certificates},
    },
    verify::{
        Credential, Endpoint, Login, Report,
        mailbox::{
            Inputs,
            attend::{Dispatched, Finding, Found, Patience, Search},
        },
        report::LoginOutcome,
    },
};

fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(vec!["imap.corp.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    (made.pem(), key.serialize_pem())
}

fn mailbox() -> Inputs {
    let login = Login {
        credential: Credential::Password { user: "box@corp.test".to_owned(), password: "Kennwort-box-7".to_owned().into() },
        mechanisms: vec![Mechanism::Plain, Mechanism::CramMd5],
        allow_plaintext: true,
        secret: "mail/account".to_owned(),
        changed: Some("2026-01-01T00:00:00Z".to_owned()),
        fingerprint: "f".to_owned(),
    };
    let (added, _) = certificate();
    let mut tls = TlsPolicy::new(&certificates(added.as_bytes()).unwrap(), MinVersion::Tls13);
    tls.server_name = Some("imap.corp.test".to_owned());
    tls.skip_verify = true;
    Inputs {
        protocol: Protocol::Pop3,
        endpoint: Endpoint { host: "10.0.0.9".to_owned(), port: 995, security: Security::TLS },
        tls,
        login: Some(login),
        mailbox: "INBOX".to_owned(),
        junk: vec!["Spam".to_owned()],
        level: Level::Authenticate,
        timeout: Duration::from_secs(20),
        resolving: Duration::ZERO,
    }
}

#[test]
fn a_mailbox_arrives_as_it_was_and_its_password_is_not_in_it() {
    let here = mailbox();
    let wire = TaskMailbox::of(&here).unwrap();
    let text = serde_json::to_string(&wire).unwrap();
    assert!(!text.contains("Kennwort") && !text.contains("mail/account"), "{text}");
    let wire = serde_json::from_str(&text).unwrap();
    let there = inputs(&wire, "Kennwort-box-7".to_owned().into(), "tasks/t".to_owned(), Duration::from_millis(3)).unwrap();
    assert_eq!(
        (there.protocol, &there.endpoint, &there.mailbox, &there.junk),
        (here.protocol, &here.endpoint, &here.mailbox, &here.junk)
    );
    assert_eq!((there.timeout, there.level, there.resolving), (here.timeout, here.level, Duration::from_millis(3)));
    assert_eq!(there.tls.added(), here.tls.added());
    assert_eq!(there.tls.server_name, here.tls.server_name);
    assert_eq!((there.tls.min_version, there.tls.skip_verify), (MinVersion::Tls13, true));
    let (there, here) = (there.login.unwrap(), here.login.unwrap());
    assert_eq!((there.credential.user(), there.allow_plaintext), (here.credential.user(), true));
    assert_eq!(there.mechanisms, here.mechanisms);
    assert_eq!(there.secret, "tasks/t");
}

#[test]
fn what_cannot_be_handed_over_is_refused_in_words() {
    let (chain, key) = certificate();
    let mut with_certificate = mailbox();
    with_certificate.tls.client = Some(ClientIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap());
    let mut with_token = mailbox();
    let token = Credential::Token { user: "box@corp.test".to_owned(), token: "t".to_owned().into() };
    with_token.login.as_mut().unwrap().credential = token;
    let mut with_long_name = mailbox();
    let long = Credential::Password { user: "u".repeat(321), password: "p".to_owned().into() };
    with_long_name.login.as_mut().unwrap().credential = long;
    for (inputs, words) in [(with_certificate, "client certificate"), (with_token, "access token"), (with_long_name, "320")] {
        let refused = TaskMailbox::of(&inputs).unwrap_err();
        assert_eq!(refused.reason, Reason::SpecInvalid);
        assert!(refused.message().contains(words), "{refused}");
    }
}

#[test]
fn an_agent_refuses_a_mailbox_that_makes_no_sense() {
    let good = TaskMailbox::of(&mailbox()).unwrap();
    let bad = [
        TaskMailbox { port: 0, ..good.clone() },
        TaskMailbox { port: 70_000, ..good.clone() },
        TaskMailbox { host: "a b".to_owned(), ..good.clone() },
        TaskMailbox { protocol: MailboxProtocol::GmailAPI, ..good.clone() },
        TaskMailbox { ca: Some("-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n".to_owned()), ..good },
    ];
    for mailbox in bad {
        let refused = inputs(&mailbox, "p".to_owned().into(), String::new(), Duration::ZERO).unwrap_err();
        assert!(matches!(refused.reason, Reason::SpecInvalid | Reason::CABundleInvalid), "{refused}");
    }
}

#[test]
fn without_a_user_there_is_no_login() {
    let mut here = mailbox();
    here.login = None;
    let wire = TaskMailbox::of(&here).unwrap();
    assert!(inputs(&wire, String::new().into(), String::new(), Duration::ZERO).unwrap().login.is_none());
}

#[test]
fn a_search_arrives_as_it_was() {
    let code = Uuid::new_v4();
    for (patience, cleanup) in
        [(Patience::Stay, Cleanup::Delete), (Patience::Return { every: Duration::from_mins(1) }, Cleanup::Keep)]
    {
        let here = Search { code, run: Some("i/u/r"), cleanup, timeout: Duration::from_mins(15), patience, earlier: None };
        let wire = TaskSearch::of(&here, "corp.test");
        assert!(!serde_json::to_string(&wire).unwrap().contains(&code.to_string()));
        assert_eq!(wire.domain.as_deref(), Some("corp.test"));
        let there = wire.search(code);
        assert_eq!((there.code, there.run, there.cleanup), (here.code, here.run, here.cleanup));
        assert_eq!((there.timeout, there.patience), (here.timeout, here.patience));
    }
}

fn refused() -> Diagnosis {
    Diagnosis::new(Reason::AuthenticationFailed)
        .words("535 5.7.8 no")
        .detail("PLAIN was refused")
        .fact("user", "box@corp.test")
        .fact("provider", "Corp")
        .fact("secret", "tasks/t")
        .at(Stage::Auth)
}

#[test]
fn a_failure_arrives_as_it_was_but_for_the_name_of_the_tasks_secret() {
    let told = TaskFailure::of(&refused());
    assert!(!told.facts.contains_key("secret"), "{told:?}");
    let back = told.diagnosis(false);
    let expected = Diagnosis::new(Reason::AuthenticationFailed).words("535 5.7.8 no").detail("PLAIN was refused").at(Stage::Auth);
    assert_eq!(back.message(), expected.message());
    assert_eq!((back.get("user"), back.get("provider"), back.get("secret")), (Some("box@corp.test"), Some("Corp"), None));
}

#[test]
fn every_reason_class_and_stage_arrives() {
    for reason in Reason::ALL {
        for class in [Class::User, Class::Transient, Class::Information] {
            let back = TaskFailure::of(&Diagnosis::new(*reason).class(class)).diagnosis(false);
            assert_eq!((back.reason, back.class), (*reason, class));
        }
    }
    for stage in Stage::ALL {
        let told = TaskFailure::of(&Diagnosis::new(Reason::ResponseTimedOut).at(stage));
        assert_eq!(told.diagnosis(stage != Stage::ImplicitTls).stage, Some(stage));
    }
}

#[test]
fn what_only_a_newer_agent_knows_is_told_in_its_words() {
    let newer = TaskFailure {
        reason: "QuantumTunnelLost".to_owned(),
        class: "Cosmic".to_owned(),
        stage: Some("TUNNEL".to_owned()),
        words: Some("522 tunnel \u{1b}[31mlost".to_owned()),
        detail: Some("no entanglement".to_owned()),
        facts: BTreeMap::from([("host".to_owned(), "a\nb".to_owned()), ("qubit".to_owned(), "7".to_owned())]),
    };
    let told = newer.diagnosis(false);
    assert_eq!((told.reason, told.class, told.stage), (Reason::ProtocolError, Class::Transient, None));
    assert_eq!(
        told.message(),
        "the agent found QuantumTunnelLost, which this version does not know: no entanglement: 522 tunnel [31mlost"
    );
    assert_eq!((told.get("host"), told.get("qubit")), (Some("a b"), None));
}

fn report() -> Report {
    let record = |stage, outcome, millis, detail: &str| Record {
        stage,
        outcome,
        duration: Duration::from_millis(millis),
        detail: Some(detail.to_owned()).filter(|detail| !detail.is_empty()),
    };
    let mut report = Report::new(Level::Authenticate, "10.0.0.9:995".to_owned());
    report.stages = vec![
        record(Stage::StartTls, Outcome::Passed, 12, ""),
        record(Stage::Tls, Outcome::Passed, 1250, "TLSv1.3"),
        record(Stage::Auth, Outcome::Failed, 3, "535 5.7.8 no"),
    ];
    report.failure = Some(refused());
    report.login = Some(LoginOutcome::Refused);
    report.tls = Some(TlsStatus { version: Some("TLSv1.3".to_owned()), ..TlsStatus::default() });
    report.mailbox = Some(Shown { name: "INBOX".to_owned(), messages: 7, junk: vec!["Junk".to_owned()] });
    report.source_ip = Some("10.0.0.7".to_owned());
    report
}

#[test]
fn a_report_arrives_with_the_names_that_its_reader_knows() {
    let here = report();
    let there = told(&TaskResult::of_report(&here), &mailbox());
    let failure = there.report.failure.clone().unwrap();
    assert_eq!(failure.message(), here.failure.as_ref().unwrap().message());
    assert!(failure.hint().starts_with("Check Secret mail/account; last changed 2026-01-01T00:00:00Z."), "{}", failure.hint());
    let stages =
        |report: &Report| report.stages.iter().map(|r| (r.stage, r.outcome, r.duration, r.detail.clone())).collect::<Vec<_>>();
    assert_eq!(stages(&there.report), stages(&here));
    assert_eq!((there.report.login, &there.report.tls, &there.report.mailbox), (here.login, &here.tls, &here.mailbox));
    assert_eq!((there.report.source_ip, there.found), (here.source_ip, false));
    assert!(!there.report.tls_verified, "these inputs skip it");
}

#[test]
fn a_mail_that_was_found_arrives_with_its_time_and_what_the_server_wrote_of_its_sender() {
    let now = Instant::now();
    let mut report = report();
    report.failure = None;
    let results = ["mx.corp.test; spf=pass smtp.mailfrom=a@b.test; dkim=fail; dmarc=pass", "evil.test; spf=fail"];
    let sighting = Sighting {
        code: Uuid::nil(),
        run: None,
        authentication_results: results.map(str::to_owned).to_vec(),
        place: Place { folder: "INBOX".to_owned(), validity: 1, number: 1, junk: false },
    };
    let finding = Finding {
        report,
        found: Some(Found { sighting, at: now + Duration::from_millis(1234), copies: 1 }),
        in_junk: None,
        delayed: None,
        mark: None,
        dispatched: Some(Dispatched { at: now, message_id: None, envelope_id: None }),
        sessions: 1,
        removed: 1,
        swept: 0,
    };
    let there = told(&TaskResult::of_finding(&finding, "corp.test", "imap.corp.test"), &mailbox());
    assert!(there.found);
    assert_eq!(there.took, Some(Duration::from_millis(1234)));
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    assert_eq!(
        (word(&there.results.spf), word(&there.results.dkim), word(&there.results.dmarc)),
        ("pass".into(), "fail".into(), "pass".into())
    );
}

proptest! {
    #[test]
    fn no_result_is_too_broken_to_be_read(
        texts in prop::collection::vec(option::of("(?s).{0,40}"), 12),
        facts in btree_map("(host|user|secret|[a-z]{0,9})", "(?s).{0,40}", 0..9),
        durations in prop::collection::vec("([0-9.e-]{0,12}(ms|s)?)|(?s).{0,9}", 0..30),
        numbers in prop::collection::vec(any::<i64>(), 3),
        found: bool,
    ) {
        let text = |at: usize| texts[at].clone().unwrap_or_default();
        let failure = TaskFailure {
            reason: text(0), class: text(1), stage: texts[2].clone(), words: texts[3].clone(), detail: texts[4].clone(), facts,
        };
        let stages = durations.iter().map(|duration| StageStatus {
            name: text(5), result: StageResult::Failed, duration: duration.clone(), detail: texts[6].clone(),
        });
        let result = TaskResult {
            failure: Some(failure).filter(|_| texts[0].is_some()),
            stages: stages.collect(),
            login: texts[7].clone(),
            tls: Some(TlsStatus { subject: texts[8].clone(), ..TlsStatus::default() }),
            capabilities: None,
            folder: Some(crate::api::v1alpha1::TaskFolder { name: text(9), messages: numbers[0], junk: vec![text(10)] }),
            source_ip: texts[11].clone(),
            found,
            took_millis: Some(numbers[1]),
            authentication_results: None,
        };
        let told = told(&result, &mailbox());
        let shown = format!("{}{}", told.report.message(), told.report.failure.as_ref().map(Diagnosis::hint).unwrap_or_default());
        prop_assert!(!shown.chars().any(char::is_control), "{:?}", shown);
        // What is read can be handed on again.
        let _ = TaskResult::of_report(&told.report);
    }

    #[test]
    fn no_mailbox_is_too_broken_to_be_judged(host in "(?s).{0,20}", port: i32, ca in "(?s).{0,40}", timeout: i64, user in ".{0,9}") {
        let mailbox = TaskMailbox { host, port, ca: Some(ca), timeout_millis: timeout, user, ..TaskMailbox::default() };
        let _ = inputs(&mailbox, "p".to_owned().into(), String::new(), Duration::ZERO);
    }
}
