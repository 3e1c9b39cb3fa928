//! There and back again.

use std::{collections::BTreeMap, time::Duration};

use proptest::{collection::btree_map, option, prelude::*};
use rcgen::{CertificateParams, KeyPair};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use uuid::Uuid;

use super::{endpoint::Way, *};
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{
            ActorTaskSpec, Failure, Level, MailServerSpec, MailboxProtocol, Mechanism, Security, StageResult, StageStatus,
            TaskDelivery, TaskEndpoint, TaskMailbox, TaskResult, TaskSearch, TaskServer, TlsStatus,
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
        Credential, Endpoint, Login, Report, mail_server,
        mailbox::{
            Inputs,
            attend::{Dispatched, Finding, Found, Patience, Search},
        },
        report::{Delivery, LoginOutcome},
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

fn endpoint(inputs: &Inputs) -> Result<TaskEndpoint, Diagnosis> {
    TaskEndpoint::of(&inputs.endpoint, &inputs.tls, inputs.login.as_ref(), inputs.timeout)
}

/// To an agent and back, with what goes by the Secret.
fn arrived(spec: &ActorTaskSpec, contents: &Contents) -> Result<(Contents, Way), Diagnosis> {
    let text = serde_json::to_string(spec).unwrap();
    for secret in contents.exposed().values() {
        assert!(!text.contains(secret), "{text}");
    }
    let spec: ActorTaskSpec = serde_json::from_str(&text).unwrap();
    let data = contents.exposed().into_iter().map(|(key, value)| (key.to_owned(), value.into_bytes())).collect();
    let contents = Contents::read(data, Needs::of(&spec))?;
    let way = spec.endpoint.way(&contents, "tasks/t".to_owned())?;
    Ok((contents, way))
}

#[test]
fn a_mailbox_arrives_as_it_was_and_its_password_is_not_in_it() {
    let here = mailbox();
    let (endpoint, wire) = (endpoint(&here).unwrap(), TaskMailbox::of(&here).unwrap());
    let spec = ActorTaskSpec { endpoint, mailbox: Some(wire.clone()), ..ActorTaskSpec::default() };
    let (_, way) = arrived(&spec, &Contents::of(&here.tls, here.login.as_ref(), None)).unwrap();
    let there = wire.inputs(way, Duration::from_millis(3)).unwrap();
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
    assert_eq!(there.credential.secret().unwrap().expose_secret(), here.credential.secret().unwrap().expose_secret());
    assert_eq!(there.mechanisms, here.mechanisms);
    assert_eq!(there.secret, "tasks/t");
}

#[test]
fn a_certificate_to_show_arrives_and_its_key_goes_by_the_secret_alone() {
    let (chain, key) = certificate();
    let mut here = mailbox();
    here.tls.client = Some(ClientIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap());
    let spec = ActorTaskSpec { endpoint: endpoint(&here).unwrap(), ..ActorTaskSpec::default() };
    let (contents, way) = arrived(&spec, &Contents::of(&here.tls, here.login.as_ref(), None)).unwrap();
    assert_eq!(way.tls.client.unwrap().chain(), here.tls.client.unwrap().chain());
    assert!(!format!("{contents:?}").contains("PRIVATE"), "{contents:?}");
}

#[test]
fn a_server_arrives_as_it_was_with_the_mail_that_it_may_be_sent() {
    let here = mailbox();
    let spec = serde_json::json!({
        "host": "10.0.0.9", "sender": {"address": "mailer@corp.test", "displayName": "Mail"}, "test": {"to": "ops@corp.test"},
    });
    let spec: MailServerSpec = serde_json::from_value(spec).unwrap();
    let mut server = mail_server::Inputs::login_only(here.endpoint.clone(), here.tls.clone(), here.login.clone(), String::new());
    (server.sender, server.test, server.helo) = (spec.sender, spec.test, Some("corp.test".to_owned()));
    server.uid = "uid".to_owned();
    let code = Uuid::new_v4();
    let run = |level| mail_server::Run {
        id: "run",
        code,
        message: code,
        reads_bounces: false,
        probe: None,
        now: jiff::Timestamp::UNIX_EPOCH,
        installation: "corp",
        contact: Some("ops"),
        level,
        may_greet_with_tls: true,
        watcher: None,
    };
    let wire = TaskServer::of(&server, &run(Level::Deliver));
    let spec = ActorTaskSpec { endpoint: endpoint(&here).unwrap(), server: Some(wire.clone()), ..ActorTaskSpec::default() };
    let (contents, way) = arrived(&spec, &Contents::of(&here.tls, here.login.as_ref(), Some(code))).unwrap();
    assert_eq!(contents.code, Some(code));
    let there = wire.order(way, "MailServer mail/relay", Duration::ZERO).unwrap();
    assert_eq!((there.installation.as_str(), there.contact.as_deref()), ("corp", Some("ops")));
    let inputs = there.inputs;
    assert_eq!((inputs.sender, inputs.test, inputs.helo), (server.sender.clone(), server.test.clone(), server.helo.clone()));
    assert_eq!((inputs.endpoints, inputs.uid.as_str(), inputs.level), (server.endpoints.clone(), "uid", Level::Deliver));
    assert_eq!((inputs.object.as_str(), wire.may_greet_with_tls), ("MailServer mail/relay", Some(true)));

    let no_mail = TaskServer::of(&server, &run(Level::Authenticate));
    assert!(no_mail.mail.is_none(), "a check that sends nothing tells of no mail");
    let needs = Needs::of(&ActorTaskSpec { server: Some(no_mail), ..ActorTaskSpec::default() });
    assert_eq!(needs, Needs::default());
}

#[test]
fn what_cannot_be_handed_over_is_refused_in_words() {
    let mut with_long_name = mailbox();
    let long = Credential::Password { user: "u".repeat(321), password: "p".to_owned().into() };
    with_long_name.login.as_mut().unwrap().credential = long;
    let refused = endpoint(&with_long_name).unwrap_err();
    assert_eq!(refused.reason, Reason::SpecInvalid);
    assert!(refused.message().contains("320"), "{refused}");
}

#[test]
fn a_secret_that_lacks_something_is_told_in_words_that_hold_nothing_of_it() {
    let needs = ActorTaskSpec {
        endpoint: TaskEndpoint { user: "u".to_owned(), client_certificate: Some(true), ..TaskEndpoint::default() },
        search: Some(TaskSearch::default()),
        ..ActorTaskSpec::default()
    };
    let (chain, _) = certificate();
    let full =
        [("password", "Kennwort"), ("code", "3f0e5f3e-54b5-8c3b-9f2c-000000000000"), ("tls.crt", &chain), ("tls.key", "Key")];
    let with = |key: &str, value: Option<&[u8]>| {
        let mut data: BTreeMap<_, _> = full.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        match value {
            Some(value) => drop(data.insert(key.to_owned(), value.to_vec())),
            None => drop(data.remove(key)),
        }
        Contents::read(data, Needs::of(&needs)).unwrap_err()
    };
    for (key, value, words) in [
        ("password", None, "has no key password"),
        ("password", Some("\u{fffd}"), "tls.crt"),
        ("code", None, "has no key code"),
        ("code", Some("Kennwort"), "key code of the task's Secret is no UUID"),
        ("tls.key", None, "has no key tls.key"),
        ("tls.crt", Some("-"), "key tls.crt of the task's Secret and its key cannot be used"),
    ] {
        let refused = with(key, value.map(str::as_bytes));
        assert!(refused.message().contains(words), "{refused}");
        assert!(!refused.message().contains("Kennwort"), "{refused}");
    }
    let binary = with("password", Some(&[0xff]));
    assert!(binary.message().contains("key password of the task's Secret is no UTF-8 text"), "{binary}");
}

#[test]
fn an_agent_refuses_what_makes_no_sense() {
    let good = endpoint(&mailbox()).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n";
    let bad = [
        TaskEndpoint { port: 0, ..good.clone() },
        TaskEndpoint { port: 70_000, ..good.clone() },
        TaskEndpoint { host: "a b".to_owned(), ..good.clone() },
        TaskEndpoint { ca: Some(broken.to_owned()), ..good.clone() },
    ];
    for endpoint in bad {
        let refused = endpoint.way(&Contents::default(), String::new()).unwrap_err();
        assert!(matches!(refused.reason, Reason::SpecInvalid | Reason::CABundleInvalid), "{refused}");
    }
    let way = || good.way(&Contents::default(), String::new()).unwrap();
    let mailbox = TaskMailbox { protocol: MailboxProtocol::GmailAPI, ..TaskMailbox::default() };
    assert_eq!(mailbox.inputs(way(), Duration::ZERO).unwrap_err().reason, Reason::SpecInvalid);
    let server = TaskServer { level: Level::Deliver, ..TaskServer::default() };
    assert_eq!(server.order(way(), "", Duration::ZERO).unwrap_err().reason, Reason::SpecInvalid);
}

#[test]
fn without_a_user_there_is_no_login() {
    let mut here = mailbox();
    here.login = None;
    let spec = ActorTaskSpec { endpoint: endpoint(&here).unwrap(), ..ActorTaskSpec::default() };
    assert!(arrived(&spec, &Contents::of(&here.tls, None, None)).unwrap().1.login.is_none());
}

#[test]
fn a_search_arrives_as_it_was() {
    let code = Uuid::new_v4();
    for (patience, cleanup) in
        [(Patience::Stay, Cleanup::Delete), (Patience::Return { every: Duration::from_mins(1) }, Cleanup::Keep)]
    {
        let here = Search {
            code,
            run: Some("i/u/r"),
            cleanup,
            timeout: Duration::from_mins(15),
            patience,
            earlier: None,
            witness: None,
        };
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
    let told = Failure::of(&refused());
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
            let back = Failure::of(&Diagnosis::new(*reason).class(class)).diagnosis(false);
            assert_eq!((back.reason, back.class), (*reason, class));
        }
    }
    for stage in Stage::ALL {
        let told = Failure::of(&Diagnosis::new(Reason::ResponseTimedOut).at(stage));
        assert_eq!(told.diagnosis(stage != Stage::ImplicitTls).stage, Some(stage));
    }
}

#[test]
fn what_only_a_newer_agent_knows_is_told_in_its_words() {
    let newer = Failure {
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
    report.observed_ip = Some("192.0.2.7".to_owned());
    report.addresses = vec!["10.0.0.9".to_owned()];
    report.helo = Some("corp.test".to_owned());
    report.tls_hello = true;
    report.delivery = Some(Delivery { message_id: "<a@b.test>".to_owned(), dot_sent: true, accepted: Some("250 ok".to_owned()) });
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
    assert_eq!((there.report.observed_ip, there.report.addresses), (here.observed_ip, here.addresses));
    assert_eq!((there.report.helo, there.report.delivery), (here.helo, here.delivery));
    assert!(there.report.tls_hello);
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
        place: Place { folder: "INBOX".to_owned(), validity: 1, number: 1, id: String::new(), junk: false },
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
        let failure = Failure {
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
            observed_ip: texts[8].clone(),
            helo: texts[9].clone(),
            addresses: vec![text(10)],
            tls_hello: None,
            delivery: Some(TaskDelivery { message_id: text(6), dot_sent: found, accepted: texts[7].clone() }),
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
    fn no_endpoint_is_too_broken_to_be_judged(host in "(?s).{0,20}", port: i32, ca in "(?s).{0,40}", timeout: i64, user in ".{0,9}") {
        let endpoint = TaskEndpoint { host, port, ca: Some(ca), timeout_millis: timeout, user, ..TaskEndpoint::default() };
        let _ = endpoint.way(&Contents::default(), String::new());
    }
}
