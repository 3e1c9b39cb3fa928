use serde_json::json;

use super::*;
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{Capabilities, State, TlsStatus, condition as c},
    },
    mail::stage::{Outcome, Record},
    verify::{
        Chosen,
        mail_server::{
            Mode, Pause, PauseScope,
            samples::{Case, account, at, failed, fine, refused_login, server, timed_out, uncertain},
        },
        report::{Delivery, LoginOutcome},
    },
};

const HOUR: i64 = 3600;

/// Each condition as `Ready=True Succeeded`, in order.
fn all(case: &Case) -> Vec<String> {
    let list = case.status.iter().flat_map(|status| &status.conditions);
    list.map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect()
}

fn message(case: &Case, kind: &str) -> String {
    case.condition(kind).map(|c| c.message.clone()).unwrap_or_default()
}

fn thrice() -> Case {
    server().verification(json!({"failureThreshold": 3}))
}

fn user(reason: Reason, stage: Stage) -> Report {
    failed(Diagnosis::new(reason).at(stage))
}

#[test]
fn a_fresh_object_reads_as_in_progress() {
    assert_eq!(
        all(&server().told()),
        [
            "Ready=Unknown VerificationRunning",
            "Verified=Unknown VerificationRunning",
            "Accepted=True Succeeded",
            "ResolvedRefs=True Succeeded",
            "CredentialsReady=True Succeeded",
            "Reconciling=True NewGeneration",
        ]
    );
    let status = server().told().status.unwrap();
    assert_eq!((status.observed_generation, status.last_check.unwrap().phase), (Some(1), CheckPhase::Running));
    assert_eq!(status.endpoint.unwrap().address, "smtp.corp.example:587");
}

#[test]
fn a_server_that_works_says_what_was_proved() {
    assert_eq!(
        all(&server().finds(&fine())),
        [
            "Ready=True Succeeded",
            "Verified=True Succeeded",
            "Accepted=True Succeeded",
            "ResolvedRefs=True Succeeded",
            "CredentialsReady=True Succeeded",
            "Reachable=True Succeeded",
            "TLSValid=True Succeeded",
            "Authenticated=True Succeeded",
        ]
    );
}

#[test]
fn a_mail_that_was_taken_is_told_in_the_servers_words() {
    let case = server().deliver().claimed().finds(&fine());
    assert_eq!(case.says(c::DELIVERY_TESTED), "True TestMessageAccepted");
    assert!(message(&case, c::DELIVERY_TESTED).contains("250 2.0.0 queued"));
}

#[test]
fn conditions_stand_only_where_they_have_something_to_say() {
    let mut plain = server().with("security", json!("None")).with("auth", json!(null));
    plain.observed.as_mut().unwrap().accounts.clear();
    let mut report = fine();
    (report.login, report.tls) = (None, None);
    let kinds: Vec<_> = plain.finds(&report).status.unwrap().conditions.into_iter().map(|c| c.type_).collect();
    assert_eq!(kinds, [c::READY, c::VERIFIED, c::ACCEPTED, c::RESOLVED_REFS, c::REACHABLE]);
    let connect = server().verification(json!({"level": "Connect"})).finds(&fine());
    assert_eq!(connect.says(c::AUTHENTICATED), "");
}

#[test]
fn a_failure_names_its_condition_and_what_comes_after_is_not_known() {
    for (report, at, before, after) in [
        (timed_out(), c::REACHABLE, None, Some(c::TLS_VALID)),
        (user(Reason::HostnameMismatch, Stage::Tls), c::TLS_VALID, Some(c::REACHABLE), Some(c::AUTHENTICATED)),
        (refused_login(), c::AUTHENTICATED, Some(c::TLS_VALID), Some(c::DELIVERY_TESTED)),
        (user(Reason::RelayDenied, Stage::Rcpt), c::DELIVERY_TESTED, Some(c::AUTHENTICATED), None),
        (user(Reason::ClientHostRejected, Stage::Rcpt), c::REACHABLE, Some(c::AUTHENTICATED), Some(c::DELIVERY_TESTED)),
    ] {
        let reason = report.failure.as_ref().unwrap().reason.as_str();
        let case = server().deliver().finds(&report);
        assert_eq!(case.says(at), format!("False {reason}"));
        assert_eq!(case.says(c::VERIFIED), format!("False {reason}"));
        assert_eq!(case.says(c::READY), format!("False {reason}"));
        assert_eq!(before.map(|kind| case.says(kind)), before.map(|_| "True Succeeded".to_owned()), "{reason}");
        assert_eq!(after.map(|kind| case.says(kind)), after.map(|_| format!("Unknown {reason}")), "{reason}");
    }
}

#[test]
fn a_certificate_that_is_refused_from_the_first_byte_leaves_the_server_reachable() {
    let mut report = user(Reason::CertificateExpired, Stage::ImplicitTls);
    report
        .stages
        .insert(0, Record { stage: Stage::Tcp, outcome: Outcome::Passed, duration: std::time::Duration::ZERO, detail: None });
    let case = server().with("security", json!("TLS")).finds(&report);
    assert_eq!(
        (case.says(c::REACHABLE).as_str(), case.says(c::TLS_VALID).as_str()),
        ("True Succeeded", "False CertificateExpired")
    );
}

#[test]
fn what_a_recheck_did_not_reach_keeps_its_value() {
    let case = server().finds(&fine()).when_due().finds(&timed_out());
    assert_eq!(
        (case.says(c::REACHABLE).as_str(), case.says(c::AUTHENTICATED).as_str()),
        ("False ConnectionTimedOut", "True Succeeded")
    );
    let edited = server().finds(&fine()).edited().finds(&timed_out());
    assert_eq!(edited.says(c::AUTHENTICATED), "Unknown ConnectionTimedOut");
}

#[test]
fn a_message_holds_what_was_said_and_what_to_do() {
    let case = server().begun().held_until(at(HOUR)).finds(&refused_login());
    let told = "AUTH: 535 5.7.8 authentication failed. Check Secret mail/relay. \
                Not tried again before 2026-11-21T13:00:00Z, so that the account is not locked.";
    assert_eq!(message(&case, c::READY), told);
    assert_eq!(message(&case, c::AUTHENTICATED), told);
}

#[test]
fn a_time_in_a_message_stands_in_the_status_and_does_not_move() {
    // promise: reasons.md, second sentence on messages
    let held = server().begun().held_until(at(HOUR)).finds(&refused_login());
    assert_eq!(held.status.as_ref().unwrap().credential_held_until.as_ref().unwrap().0, at(HOUR));
    let limited =
        |case: Case| case.finds(&failed(Diagnosis::new(Reason::RateLimited).at(Stage::Banner).words("421 4.7.0 slow down")));
    let first = limited(server());
    let second = limited(first.clone().when_due());
    assert_eq!(message(&first, c::READY), message(&second, c::READY));
    assert!(message(&first, c::READY).ends_with("next try at the time in status.nextCheckTime."));
}

#[test]
fn a_refused_login_is_stalled_and_holds_its_credentials() {
    let case = server().begun().held_until(at(HOUR)).finds(&refused_login());
    assert_eq!(case.says(c::STALLED), "True AuthenticationFailed");
    assert_eq!(case.says(c::CREDENTIAL_HELD), "True CredentialHeld");
    let status = case.status.clone().unwrap();
    assert_eq!((status.credential_refusals, status.credentials_observed.as_deref()), (Some(1), Some("credentials-1")));
    let told = case.clone().told();
    assert!(!differs(case.status.as_ref(), told.status.as_ref().unwrap()), "nothing new, nothing written");
}

#[test]
fn another_objects_refused_login_makes_an_unchecked_object_unready() {
    // promise 8
    let case = server().held_until(at(HOUR)).told();
    assert_eq!(case.says(c::READY), "False CredentialHeld");
    assert_eq!(case.says(c::VERIFIED), "Unknown CredentialHeld");
    assert_eq!(case.says(c::AUTHENTICATED), "Unknown CredentialHeld");
    assert_eq!((case.says(c::STALLED).as_str(), case.says(c::RECONCILING).as_str()), ("", ""));
    assert!(
        message(&case, c::READY).contains("Account relay was refused; no try before 2026-11-21T13:00:00Z"),
        "{}",
        message(&case, c::READY)
    );
}

#[test]
fn another_objects_refused_login_makes_a_verified_object_unready_and_leaves_what_was_verified() {
    let case = server().finds(&fine()).later(60).held_until(at(HOUR)).told();
    assert_eq!((case.says(c::READY).as_str(), case.says(c::VERIFIED).as_str()), ("False CredentialHeld", "True Succeeded"));
    assert_eq!(case.later(HOUR).told().says(c::READY), "True Succeeded");
}

#[test]
fn a_login_that_was_taken_ends_the_hold() {
    let mut case = server().begun().held_until(at(HOUR)).finds(&refused_login()).later(HOUR);
    case.held = None;
    let kept = case.status.as_ref().unwrap().credential_refusals;
    assert_eq!(kept, Some(1), "so that the next refusal doubles it after a restart");
    let status = case.finds(&fine()).status.unwrap();
    assert_eq!((status.credential_held_until, status.credential_refusals), (None, None));
}

#[test]
fn a_hold_is_forgotten_with_its_credentials() {
    let mut case = server().begun().held_until(at(HOUR)).finds(&refused_login()).inputs("rotated");
    case.held = None;
    case.observed.as_mut().unwrap().accounts = vec![account("credentials-2")];
    let status = case.told().status.unwrap();
    assert_eq!((status.credential_held_until, status.credential_refusals), (None, None));
}

#[test]
fn a_login_that_an_alternate_refused_is_remembered_for_that_account() {
    // promise 8
    let mut case = server();
    case.observed.as_mut().unwrap().accounts.push(account("at-the-alternate"));
    let mut case = case.begun().held_until(at(HOUR));
    case.held.as_mut().unwrap().credentials = "at-the-alternate".to_owned();
    let case = case.finds(&refused_login());
    let told = |case: &Case| {
        let status = case.status.as_ref().unwrap();
        (status.credentials_observed.clone().unwrap(), status.credential_refusals)
    };
    assert_eq!(told(&case), ("at-the-alternate".to_owned(), Some(1)));
    let later = case.at(at(HOUR)).finds(&timed_out());
    assert_eq!(told(&later), ("at-the-alternate".to_owned(), Some(1)), "so that the next refusal there doubles it");
    let accepted = later.when_due().finds(&fine());
    assert_eq!(told(&accepted), ("credentials-1".to_owned(), None));
}

#[test]
fn stalled_only_where_the_user_has_to_act() {
    assert_eq!(server().finds(&timed_out()).says(c::STALLED), "");
    assert_eq!(server().finds(&user(Reason::StartTLSNotOffered, Stage::StartTls)).says(c::STALLED), "True StartTLSNotOffered");
    let transient = Diagnosis::new(Reason::StartTLSRefused).at(Stage::StartTls).class(Class::Transient);
    let case = server().finds(&failed(transient));
    assert_eq!(case.says(c::STALLED), "");
    assert_eq!(case.told().says(c::STALLED), "", "a 4xx stays transient when nothing new is found");
}

#[test]
fn reconciling_and_stalled_never_stand_together() {
    let stalled = server().finds(&user(Reason::StartTLSNotOffered, Stage::StartTls));
    let edited = stalled.edited().told();
    assert_eq!((edited.says(c::STALLED).as_str(), edited.says(c::RECONCILING).as_str()), ("", "True NewGeneration"));
    let judged = edited.finds(&user(Reason::StartTLSNotOffered, Stage::StartTls));
    assert_eq!((judged.says(c::STALLED).as_str(), judged.says(c::RECONCILING).as_str()), ("True StartTLSNotOffered", ""));
}

#[test]
fn during_a_recheck_all_conditions_keep_their_values_and_nothing_is_written() {
    let case = server().finds(&fine()).when_due();
    let running = case.clone().begun();
    assert!(!differs(case.status.as_ref(), running.status.as_ref().unwrap()));
    let told = running.clone().told();
    assert!(!differs(running.status.as_ref(), told.status.as_ref().unwrap()));
}

#[test]
fn a_new_generation_keeps_its_values_while_it_is_judged() {
    let case = server().finds(&fine()).edited().begun();
    assert_eq!((case.says(c::READY).as_str(), case.says(c::VERIFIED).as_str()), ("True Succeeded", "True Succeeded"));
    assert_eq!(case.says(c::RECONCILING), "True NewGeneration");
    assert_eq!(case.condition(c::VERIFIED).unwrap().observed_generation, Some(1));
    let judged = case.finds(&fine());
    assert_eq!((judged.says(c::RECONCILING).as_str(), judged.condition(c::READY).unwrap().observed_generation), ("", Some(2)));
}

#[test]
fn a_generation_that_changes_nothing_that_is_checked_is_judged_at_once() {
    let mut case = server().finds(&fine()).later(1);
    case.generation = 2;
    let case = case.told();
    assert!(case.status.as_ref().unwrap().conditions.iter().all(|c| c.observed_generation == Some(2)));
    assert_eq!((case.status.as_ref().unwrap().observed_generation, case.says(c::RECONCILING).as_str()), (Some(2), ""));
}

#[test]
fn below_the_threshold_a_verified_server_stays_so_and_is_degraded() {
    let mut case = thrice().finds(&fine());
    for _ in 0..2 {
        case = case.when_due().finds(&timed_out());
        assert_eq!((case.says(c::VERIFIED).as_str(), case.says(c::READY).as_str()), ("True Succeeded", "True Succeeded"));
        assert_eq!(
            (case.says(c::DEGRADED).as_str(), case.says(c::REACHABLE).as_str()),
            ("True ConnectionTimedOut", "False ConnectionTimedOut")
        );
    }
    let case = case.when_due().finds(&timed_out());
    assert_eq!((case.says(c::VERIFIED).as_str(), case.says(c::DEGRADED).as_str()), ("False ConnectionTimedOut", ""));
    assert_eq!(case.status.as_ref().unwrap().consecutive_failures, Some(3));
    let case = case.when_due().finds(&fine());
    assert_eq!((case.says(c::VERIFIED).as_str(), case.status.unwrap().consecutive_failures), ("True Succeeded", None));
}

#[test]
fn a_threshold_does_not_cover_settings_that_never_worked() {
    assert_eq!(thrice().finds(&timed_out()).says(c::VERIFIED), "False ConnectionTimedOut");
    assert_eq!(thrice().finds(&fine()).edited().finds(&timed_out()).says(c::VERIFIED), "False ConnectionTimedOut");
}

#[test]
fn the_transition_time_moves_with_the_value_alone() {
    let case = server().finds(&fine()).when_due().finds(&fine());
    assert_eq!(case.condition(c::READY).unwrap().last_transition_time.0, at(0));
    let failed = case.when_due().finds(&timed_out());
    assert_eq!(failed.condition(c::READY).unwrap().last_transition_time.0, failed.now);
}

#[test]
fn an_inconclusive_check_is_never_true() {
    let budget = || Diagnosis::new(Reason::RateBudgetExceeded).at(Stage::Mail).fact("next", at(HOUR).to_string());
    for open in [budget(), Diagnosis::new(Reason::CredentialHeld).at(Stage::Auth)] {
        let reason = open.reason.as_str();
        let case = server().deliver().finds(&failed(open));
        assert_eq!(case.says(c::VERIFIED), format!("Unknown {reason}"));
        assert_eq!(case.status.as_ref().unwrap().last_check.as_ref().unwrap().result.as_deref(), Some("Unknown"));
        assert_eq!(case.status.as_ref().unwrap().consecutive_failures, None);
    }
    let known = server().deliver().claimed().finds(&fine()).when_due().finds(&failed(budget()));
    assert_eq!(
        (known.says(c::VERIFIED).as_str(), known.says(c::DEGRADED).as_str()),
        ("True Succeeded", "True RateBudgetExceeded")
    );
    assert_eq!(known.says(c::DELIVERY_TESTED), "Unknown RateBudgetExceeded");
}

#[test]
fn a_check_that_we_cut_off_answers_nothing() {
    for why in [
        Diagnosis::new(Reason::Paused),
        Diagnosis::new(Reason::Paused).class(Class::Transient),
        Diagnosis::new(Reason::ObserveOnly),
    ] {
        let mut cut = timed_out();
        cut.failure = Some(why.at(Stage::Mail));
        let case = server().asked("now").finds(&cut);
        let status = case.status.as_ref().unwrap();
        assert_eq!((status.inputs_observed.as_deref(), status.last_handled_verify_request.as_deref()), (None, None));
        assert!(case.says(c::VERIFIED).starts_with("Unknown"), "{}", case.says(c::VERIFIED));
    }
}

#[test]
fn a_report_on_settings_that_changed_meanwhile_judges_nothing() {
    let case = server().finds(&fine()).when_due().begun().edited().finds(&refused_login());
    assert_eq!((case.says(c::VERIFIED).as_str(), case.says(c::RECONCILING).as_str()), ("True Succeeded", "True NewGeneration"));
    assert_eq!(case.triggers(), Some(crate::verify::mail_server::Trigger::Changed));
}

#[test]
fn a_suspended_object_has_no_ready_and_keeps_what_was_verified() {
    for report in [fine(), user(Reason::StartTLSNotOffered, Stage::StartTls)] {
        let mut case = server().finds(&report).with("suspend", json!(true));
        case.generation = 2;
        let (before, case) = (case.says(c::VERIFIED), case.told());
        assert_eq!((case.says(c::SUSPENDED).as_str(), case.says(c::READY).as_str()), ("True Suspended", ""));
        assert_eq!((case.says(c::STALLED).as_str(), case.says(c::RECONCILING).as_str()), ("", ""));
        assert_eq!(case.says(c::VERIFIED), before);
        let status = case.status.as_ref().unwrap();
        assert_eq!((status.observed_generation, status.state), (Some(2), Some(State::Suspended)));
        let mut resumed = case.clone().with("suspend", json!(false));
        resumed.generation = 3;
        assert_eq!(resumed.told().says(c::READY), before, "and it is back afterwards");
    }
}

#[test]
fn a_stalled_object_is_stalled_again_after_a_suspension() {
    let case = server().finds(&user(Reason::StartTLSNotOffered, Stage::StartTls)).with("suspend", json!(true)).told();
    assert_eq!(case.with("suspend", json!(false)).told().says(c::STALLED), "True StartTLSNotOffered");
}

#[test]
fn an_edit_in_a_suspension_is_judged_after_it() {
    let case = server().finds(&fine()).with("suspend", json!(true)).edited().told().with("suspend", json!(false)).begun();
    assert_eq!(case.says(c::RECONCILING), "True NewGeneration");
}

#[test]
fn a_pause_is_told_with_its_end_and_its_config_map() {
    let mut case = server().finds(&fine());
    case.pause = Some(Pause { until: Some(at(60)), config_map: "mailverity/pause".to_owned(), scope: PauseScope::All });
    let case = case.told();
    assert_eq!((case.says(c::SUSPENDED).as_str(), case.status.as_ref().unwrap().state), ("True Paused", Some(State::Paused)));
    let told = message(&case, c::SUSPENDED);
    assert!(told.contains("mailverity/pause") && told.contains("2026-11-21T12:01:00Z"), "{told}");
}

#[test]
fn a_maintenance_window_says_when_checks_go_on() {
    let case = server().with("maintenance", json!([{"start": "0 12 * * *", "duration": "1h"}])).told();
    assert_eq!(case.says(c::SUSPENDED), "True Maintenance");
    assert!(message(&case, c::SUSPENDED).ends_with("Checks go on at 2026-11-21T13:00:00Z."));
    assert_eq!(case.says(c::VERIFIED), "Unknown NeverVerified");
}

#[test]
fn a_check_that_a_pause_cut_leaves_no_running_behind() {
    let mut case = server().begun();
    case.pause = Some(Pause { until: None, config_map: "mailverity/pause".to_owned(), scope: PauseScope::All });
    let last = case.told().status.unwrap().last_check.unwrap();
    assert_eq!((last.phase, last.result.as_deref()), (CheckPhase::Finished, Some("Unknown")));
}

#[test]
fn a_missing_reference_makes_the_object_unready_and_what_was_proved_unknown() {
    let case = server().finds(&fine()).refused(Reason::SecretNotFound).told();
    assert_eq!(
        all(&case),
        [
            "Ready=False SecretNotFound",
            "Verified=False SecretNotFound",
            "Accepted=True Succeeded",
            "ResolvedRefs=False SecretNotFound",
            "CredentialsReady=Unknown SecretNotFound",
            "Reachable=Unknown SecretNotFound",
            "TLSValid=Unknown SecretNotFound",
            "Authenticated=Unknown SecretNotFound",
            "Stalled=True SecretNotFound",
        ]
    );
    assert!(!differs(case.status.as_ref(), case.clone().later(60).told().status.as_ref().unwrap()));
}

#[test]
fn a_token_that_cannot_be_had_stands_on_the_credentials() {
    let case = server().refused(Reason::OAuthTokenFailed).told();
    assert_eq!(case.says(c::CREDENTIALS_READY), "False OAuthTokenFailed");
    assert_eq!(
        (case.says(c::RESOLVED_REFS).as_str(), case.says(c::STALLED).as_str()),
        ("True Succeeded", "True OAuthTokenFailed")
    );
}

#[test]
fn a_reference_that_could_not_be_read_changes_nothing() {
    let mut case = server().finds(&fine());
    let before = all(&case);
    case.observed = Err(Diagnosis::new(Reason::SecretNotFound).class(Class::Transient));
    assert_eq!(all(&case.told()), before);
}

#[test]
fn a_schedule_that_cannot_be_read_is_not_accepted_and_keeps_what_was_verified() {
    let case = server().finds(&fine()).with("maintenance", json!([{"start": "0 25 * * *", "duration": "1h"}])).told();
    assert_eq!(
        (case.says(c::ACCEPTED).as_str(), case.says(c::READY).as_str()),
        ("False ScheduleInvalid", "False ScheduleInvalid")
    );
    assert_eq!((case.says(c::VERIFIED).as_str(), case.says(c::STALLED).as_str()), ("True Succeeded", "True ScheduleInvalid"));
    let mended = case.with("maintenance", json!([])).told();
    assert_eq!((mended.says(c::READY).as_str(), mended.triggers()), ("True Succeeded", None));
}

#[test]
fn a_second_default_server_is_a_conflict_and_is_checked_all_the_same() {
    let mut case = server();
    case.other_default = Some("first".to_owned());
    let case = case.finds(&fine());
    assert_eq!((case.says(c::READY).as_str(), case.says(c::VERIFIED).as_str()), ("False Conflict", "True Succeeded"));
    assert_eq!(case.says(c::STALLED), "True Conflict");
    assert!(message(&case, c::READY).contains("MailServer first already uses"));
    let mut alone = case;
    alone.other_default = None;
    assert_eq!((alone.clone().told().says(c::READY).as_str(), alone.told().says(c::STALLED).as_str()), ("True Succeeded", ""));
}

#[test]
fn an_alternate_in_use_is_told() {
    let mut report = fine();
    report.endpoint = "smtp2.corp.example:587".to_owned();
    report.primary_failure = timed_out().failure;
    let case = server().finds(&report);
    assert_eq!((case.says(c::READY).as_str(), case.says(c::DEGRADED).as_str()), ("True Succeeded", "True UsingAlternate"));
    let told = message(&case, c::DEGRADED);
    assert!(
        told.contains("Primary smtp.corp.example:587 failed: ConnectionTimedOut; smtp2.corp.example:587 is in use."),
        "{told}"
    );
    assert_eq!(case.status.as_ref().unwrap().endpoint.as_ref().unwrap().active.as_deref(), Some("smtp2.corp.example:587"));
    assert_eq!(case.when_due().finds(&fine()).says(c::DEGRADED), "");
}

#[test]
fn where_all_servers_fail_the_others_are_listed() {
    let mut report = timed_out();
    report.alternate_failures = vec![("smtp2.corp.example:587".to_owned(), Diagnosis::new(Reason::ConnectionRefused))];
    assert!(message(&server().finds(&report), c::READY).contains("; smtp2.corp.example:587: ConnectionRefused. No answer from"));
}

#[test]
fn a_certificate_that_ends_soon_is_told_without_a_check() {
    let mut report = fine();
    report.tls.as_mut().unwrap().not_after = Some((at(600) + jiff::SignedDuration::from_hours(336)).to_string());
    let case = server().finds(&report);
    assert_eq!(case.says(c::CERTIFICATE_EXPIRING), "");
    let warned = case.later(600).told();
    assert_eq!(warned.says(c::CERTIFICATE_EXPIRING), "True CertificateExpiring");
    assert_eq!(warned.says(c::READY), "True Succeeded");
    assert_eq!(warned.when_due().finds(&fine()).says(c::CERTIFICATE_EXPIRING), "");
    let earlier = server().with("tls", json!({"expiryWarning": "1h"})).finds(&report).later(600).told();
    assert_eq!(earlier.says(c::CERTIFICATE_EXPIRING), "");
}

#[test]
fn mode_observe_says_that_delivery_was_not_tested() {
    // promise 4
    let mut case = server().deliver();
    case.mode = Mode::Observe;
    let case = case.finds(&fine());
    assert_eq!(
        (case.says(c::DELIVERY_TESTED).as_str(), case.says(c::READY).as_str()),
        ("Unknown ObserveOnly", "Unknown ObserveOnly")
    );
    assert_eq!(case.says(c::AUTHENTICATED), "True Succeeded");
}

#[test]
fn an_outage_between_two_mails_ends_with_the_servers_return() {
    // promise 3: the check that finds it back sends no mail, and the last mail's result still counts
    let case = server().deliver().claimed().finds(&fine()).held_until(at(2 * HOUR)).told().when_due().finds(&timed_out());
    assert_eq!(case.says(c::VERIFIED), "False ConnectionTimedOut");
    let back = case.when_due().finds(&fine());
    assert_eq!(
        (back.says(c::VERIFIED).as_str(), back.says(c::DELIVERY_TESTED).as_str()),
        ("True Succeeded", "True TestMessageAccepted")
    );
}

#[test]
fn a_mail_that_may_have_gone_stays_uncertain_until_the_next_one() {
    // promise 2
    let case = server().deliver().claimed().finds(&uncertain());
    assert_eq!(case.says(c::DELIVERY_TESTED), "False DeliveryUncertain");
    assert!(case.status.as_ref().unwrap().claim.is_some());
    let looked = case.when_due().finds(&fine());
    assert_eq!(
        (looked.says(c::VERIFIED).as_str(), looked.says(c::AUTHENTICATED).as_str()),
        ("False DeliveryUncertain", "True Succeeded")
    );
    assert_eq!(looked.when_due().finds(&fine()).says(c::VERIFIED), "True Succeeded");
}

#[test]
fn a_claim_holds_what_a_restarted_process_must_not_do_again() {
    // promises 1 and 2
    let case = server().deliver().asked("now").claimed();
    let status = case.status.as_ref().unwrap();
    let claim = status.claim.as_ref().unwrap();
    assert_eq!(
        (claim.id.as_str(), claim.attempt, claim.purpose.as_str()),
        (case.running.as_ref().unwrap().id.as_str(), 1, "Test")
    );
    assert_eq!(
        (status.inputs_observed.as_deref(), status.last_handled_verify_request.as_deref()),
        (Some("inputs-1"), Some("now"))
    );
}

#[test]
fn a_settled_claim_is_told_as_uncertain_delivery() {
    // promise 2
    let case = server().deliver().claimed().later(5).restarted().told();
    assert_eq!(
        (case.says(c::DELIVERY_TESTED).as_str(), case.says(c::READY).as_str()),
        ("False DeliveryUncertain", "False DeliveryUncertain")
    );
    let last = case.status.as_ref().unwrap().last_check.clone().unwrap();
    assert_eq!((last.phase, last.result.as_deref()), (CheckPhase::Finished, Some("Unknown")));
}

#[test]
fn a_mail_that_left_is_remembered_although_the_status_that_was_read_is_older_than_its_claim() {
    // promise 3
    let case = server().deliver().finds(&fine());
    assert_eq!(case.status.unwrap().claim.unwrap().started_at.0, at(0));
}

#[test]
fn what_was_found_at_another_endpoint_is_forgotten() {
    let case = server().finds(&fine()).with("host", json!("other.example")).edited().finds(&timed_out());
    let status = case.status.unwrap();
    let endpoint = status.endpoint.unwrap();
    assert_eq!((endpoint.address.as_str(), endpoint.active, status.tls), ("other.example:587", None, None));
}

#[test]
fn an_endpoint_is_read_from_host_or_url() {
    for (host, url, port, security, address, effective) in [
        (json!("h.example"), json!(null), json!(null), json!(null), "h.example:587", "StartTLS"),
        (json!("h.example"), json!(null), json!(null), json!("TLS"), "h.example:465", "TLS"),
        (json!("h.example"), json!(null), json!(2525), json!("None"), "h.example:2525", "None"),
        (json!("2001:db8::25"), json!(null), json!(null), json!(null), "[2001:db8::25]:587", "StartTLS"),
        (json!(null), json!("smtps://h.example"), json!(null), json!(null), "h.example:465", "TLS"),
        (json!(null), json!("smtp://h.example:25"), json!(null), json!("None"), "h.example:25", "None"),
        (json!(null), json!("smtp://[2001:db8::25]:25"), json!(null), json!(null), "[2001:db8::25]:25", "StartTLS"),
        (json!(null), json!("smtps://[2001:db8::25]"), json!(null), json!(null), "[2001:db8::25]:465", "TLS"),
    ] {
        let case = server().with("host", host).with("url", url).with("port", port).with("security", security).told();
        let endpoint = case.status.unwrap().endpoint.unwrap();
        assert_eq!((endpoint.address.as_str(), endpoint.security.as_str()), (address, effective));
    }
}

#[test]
fn a_status_that_differs_in_times_alone_is_not_written() {
    let case = server().finds(&fine());
    let old = case.status.clone().unwrap();
    let mut new = old.clone();
    new.next_check_time = Some(Time(at(5 * HOUR)));
    new.conditions[0].last_transition_time = Time(at(9));
    assert!(!differs(Some(&old), &new));
    new.conditions[0].message.push('!');
    assert!(differs(Some(&old), &new));
    assert!(differs(None, &old));
    let again = case.when_due().finds(&fine());
    assert!(differs(Some(&old), again.status.as_ref().unwrap()), "each check is written once");
}

#[test]
fn deciding_again_writes_nothing() {
    let mut paused = server().finds(&fine());
    paused.pause = Some(Pause { until: Some(at(HOUR)), config_map: "mailverity/pause".to_owned(), scope: PauseScope::All });
    let mut crowded = server().deliver();
    crowded.crowded = true;
    let cases = vec![
        server().finds(&fine()),
        server().finds(&timed_out()),
        server().finds(&user(Reason::StartTLSNotOffered, Stage::StartTls)),
        server().begun(),
        server().held_until(at(HOUR)),
        server().refused(Reason::SecretNotFound),
        server().with("suspend", json!(true)),
        server().deliver().claimed().finds(&uncertain()),
        thrice().finds(&fine()).when_due().finds(&timed_out()),
        paused,
        crowded,
    ];
    for case in cases {
        let once = case.told();
        let twice = once.clone().later(1).told();
        assert!(!differs(once.status.as_ref(), twice.status.as_ref().unwrap()), "{:?} {:?}", all(&once), all(&twice));
        let restarted = once.clone().later(2).restarted();
        if restarted.triggers().is_none() {
            assert!(!differs(once.status.as_ref(), restarted.told().status.as_ref().unwrap()), "{:?}", all(&once));
        }
    }
}

#[test]
fn one_cause_is_one_event() {
    // promise 14
    let told = |old: &Case, new: &Case| -> Vec<String> {
        let events = transitions(old.status.as_ref(), new.status.as_ref().unwrap());
        events.into_iter().map(|e| format!("{} {}", if e.warning { "Warning" } else { "Normal" }, e.reason)).collect()
    };
    let fresh = server();
    let running = fresh.clone().begun();
    let good = running.clone().finds(&fine());
    let bad = good.clone().when_due().finds(&timed_out());
    let worse = good.clone().when_due().begun().held_until(at(9 * HOUR)).finds(&refused_login());
    let held = good.clone().later(1).held_until(at(HOUR)).told();
    let suspended = good.clone().with("suspend", json!(true)).told();
    let missing = good.clone().refused(Reason::SecretNotFound).told();
    assert_eq!(told(&fresh, &running), ["Normal Accepted"]);
    assert_eq!(told(&running, &good), ["Normal Verified"]);
    assert_eq!(told(&good, &good.clone().when_due().finds(&fine())), [""; 0]);
    assert_eq!(told(&good, &bad), ["Warning ConnectionTimedOut"]);
    assert_eq!(told(&bad, &bad.clone().when_due().finds(&timed_out())), [""; 0]);
    assert_eq!(told(&bad, &bad.clone().when_due().finds(&fine())), ["Normal Verified"]);
    assert_eq!(told(&good, &worse), ["Warning AuthenticationFailed"]);
    assert_eq!(told(&good, &held), ["Warning CredentialHeld"]);
    assert_eq!(told(&good, &missing), ["Warning SecretNotFound"]);
    assert_eq!(told(&good, &suspended), ["Normal Suspended"]);
    assert_eq!(told(&suspended, &suspended.clone().with("suspend", json!(false)).told()), ["Normal Resumed"]);
    let delivered = server().deliver().claimed();
    assert_eq!(told(&delivered, &delivered.clone().finds(&fine())), ["Normal TestMessageAccepted", "Normal Verified"]);
}

/// A report in which everything is as long as a hostile server can make it.
fn endless(letter: &str) -> Report {
    let long = letter.repeat(5000);
    let many = vec![long.clone(); 100];
    let mut report = refused_login();
    let record = Record {
        stage: Stage::Auth,
        outcome: Outcome::Failed,
        duration: std::time::Duration::from_secs(u64::MAX),
        detail: Some(long.clone()),
    };
    report.stages = vec![record; 100];
    report.failure = Some(Diagnosis::new(Reason::AuthenticationFailed).at(Stage::Auth).words(&long).detail(long.clone()));
    report.alternate_failures = vec![(long.clone(), Diagnosis::new(Reason::ConnectionRefused)); 3];
    report.addresses.clone_from(&many);
    report.helo = Some(long.clone());
    let auth_mechanisms = many.clone();
    report.capabilities =
        Some(Capabilities { banner: Some(long.clone()), extensions: many.clone(), auth_mechanisms, max_size: Some(-1) });
    report.tls = Some(TlsStatus {
        version: Some(long.clone()),
        cipher: Some(long.clone()),
        subject: Some(long.clone()),
        issuer: Some(long.clone()),
        dns_names: many,
        not_before: Some(long.clone()),
        not_after: Some("2026-11-22T00:00:00Z".to_owned()),
        sha256: Some(long.clone()),
    });
    (report.source_ip, report.observed_ip) = (Some(long.clone()), Some(long.clone()));
    (report.endpoint, report.duration) = (long.clone(), std::time::Duration::from_secs(u64::MAX));
    report.login = Some(LoginOutcome::Refused);
    report.delivery = Some(Delivery { message_id: long.clone(), dot_sent: true, accepted: Some(long) });
    report
}

#[test]
fn a_full_status_stays_under_32_kib_and_within_the_schemas_bounds() {
    for letter in ["x", "é", "\"", "漢", "\u{1f600}"] {
        let mut case = thrice().with("host", json!("h".repeat(253))).deliver().claimed().held_until(at(HOUR));
        case.observed.as_mut().unwrap().secret = Some(letter.repeat(600));
        let status = case.finds(&endless(letter)).status.unwrap();
        let written = serde_json::to_string(&status).unwrap();
        assert!(written.len() < 32 * 1024, "{letter}: {}", written.len());
        assert!(status.conditions.iter().all(|c| c.message.chars().count() <= 1024));
        let last = status.last_check.unwrap();
        assert_eq!(last.stages.len(), 16);
        assert!(
            last.stages.iter().all(|stage| stage.detail.as_ref().unwrap().chars().count() <= 128 && stage.duration.len() <= 16)
        );
        let (tls, capabilities) = (status.tls.unwrap(), status.capabilities.unwrap());
        assert_eq!((tls.dns_names.len(), capabilities.extensions.len(), capabilities.auth_mechanisms.len()), (16, 32, 16));
        assert_eq!((capabilities.max_size, status.endpoint.unwrap().addresses.len()), (None, 16));
    }
}

#[test]
fn a_vantage_point_says_what_it_found_and_from_where() {
    let case = server().begun().held_until(at(HOUR)).finds(&refused_login());
    let actor = &case.status.as_ref().unwrap().actors[0];
    assert_eq!(
        (actor.name.as_str(), actor.state.as_str(), actor.reason.as_deref()),
        ("default", "Unverified", Some("AuthenticationFailed"))
    );
    assert_eq!((actor.source_ip.as_deref(), actor.observed_ip.as_deref()), (Some("10.0.0.7"), None));
    assert!(actor.hint.as_deref().unwrap().contains("Not tried again before 2026-11-21T13:00:00Z"), "{actor:?}");
}

/// What the operator itself and one actor more found.
fn by_two(own: Report, other: Report) -> Views {
    let mut views = Views::from(own);
    views.add(&Chosen { zone: Some("dmz".to_owned()), ..Chosen::new("dmz") }, other);
    views
}

#[test]
fn actors_that_differ_are_told_apart() {
    let case = server().finds_by(&by_two(fine(), timed_out()));
    assert_eq!(case.says("Verified"), "False SomeActorsUnverified");
    assert_eq!(case.condition("Verified").unwrap().message, "1 of 2 actors verified; see status.actors for dmz.");
    assert_eq!((case.says("Reachable"), case.says("Stalled")), ("False ConnectionTimedOut".to_owned(), String::new()));
    let actors = &case.status.as_ref().unwrap().actors;
    assert_eq!((actors[0].state.as_str(), actors[1].state.as_str()), ("Verified", "Unverified"));
    assert_eq!((actors[1].zone.as_deref(), actors[1].reason.as_deref()), (Some("dmz"), Some("ConnectionTimedOut")));
    let case = case.when_due().finds_by(&by_two(fine(), fine()));
    assert_eq!(case.says("Verified"), "True Succeeded");
}

#[test]
fn actors_that_fail_alike_are_told_as_one() {
    let case = server().finds_by(&by_two(timed_out(), timed_out()));
    assert_eq!(case.says("Verified"), "False ConnectionTimedOut");
}

#[test]
fn a_login_that_the_breaker_keeps_from_the_second_actor_is_told_as_the_first_ones() {
    // promise 8
    let mut held = failed(Diagnosis::new(Reason::CredentialHeld).at(Stage::Auth));
    held.login = None;
    let case = server().finds_by(&by_two(refused_login(), held));
    assert_eq!(case.says("Verified"), "False AuthenticationFailed");
    assert_eq!(case.status.as_ref().unwrap().actors[1].state, "Pending");
}

#[test]
fn the_mail_of_one_actor_counts_also_where_another_speaks() {
    // promise 2
    let case = server().deliver().claimed().finds_by(&by_two(timed_out(), fine()));
    assert!(case.status.as_ref().unwrap().claim.is_some(), "a mail has left");
    assert_eq!(case.says("Verified"), "False SomeActorsUnverified");
}
