use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::mail::Stage;
use crate::verify::Chosen;
use crate::verify::mail_server::{
    Pause, PauseScope, Views,
    samples::{Case, account, at, failed, fine, refused_login, server, timed_out, uncertain},
};

const HOUR: i64 = 3600;

fn halted(case: &Case) -> Option<Reason> {
    match case.plan().what {
        What::Rest(Because::Halted(diagnosis)) => Some(diagnosis.reason),
        _ => None,
    }
}

fn refused(case: &Case) -> Option<Reason> {
    match case.plan().what {
        What::Refuse(diagnosis) => Some(diagnosis.reason),
        _ => None,
    }
}

fn is_not_due(case: &Case) -> bool {
    case.plan().what == What::Rest(Because::NotDue)
}

/// A server at level Deliver whose mail was taken at noon.
fn delivered() -> Case {
    server().deliver().claimed().finds(&fine())
}

#[test]
fn an_object_that_was_never_checked_is_checked_at_once() {
    let check = server().check();
    assert_eq!((check.trigger, check.level, check.attempt), (Trigger::First, Level::Authenticate, 1));
    assert_eq!((check.inputs.as_str(), check.generation), ("inputs-1", 1));
}

#[test]
fn the_default_status_of_the_schema_is_a_fresh_object() {
    let mut case = server();
    case.status = Some(serde_json::from_value(json!({"observedGeneration": -1})).unwrap());
    assert!(case.seen().object.is_fresh());
    assert_eq!(case.triggers(), Some(Trigger::First));
}

#[test]
fn after_a_check_nothing_is_due_until_the_schedule_says_so() {
    let case = server().finds(&fine());
    assert!(is_not_due(&case));
    assert_eq!(case.plan().next, Some(case.next_check()));
    assert_eq!(case.when_due().triggers(), Some(Trigger::Due));
}

#[test]
fn a_restart_or_relist_runs_no_check_that_is_not_due() {
    // promise 3
    for report in [fine(), timed_out(), refused_login()] {
        let case = server().finds(&report).later(1).restarted();
        assert!(is_not_due(&case), "{:?}", report.failure);
    }
}

#[test]
fn a_change_of_what_is_checked_runs_a_check_at_once() {
    assert_eq!(server().finds(&fine()).later(1).edited().triggers(), Some(Trigger::Changed));
}

#[test]
fn a_rotated_secret_runs_a_check_at_once_without_a_new_generation() {
    assert_eq!(server().finds(&fine()).later(1).inputs("rotated").triggers(), Some(Trigger::Changed));
}

#[test]
fn a_changed_interval_moves_the_next_check_and_runs_none() {
    let mut case =
        server().verification(json!({"interval": "24h"})).finds(&fine()).later(5 * HOUR).verification(json!({"interval": "1h"}));
    case.generation += 1;
    assert!(is_not_due(&case));
    let told = case.told();
    assert!(told.next_check() > told.now && told.next_check() <= told.now + jiff::SignedDuration::from_secs(HOUR * 3 / 2));
    assert!(is_not_due(&told));
}

#[test]
fn a_verify_request_runs_one_check_for_each_new_value() {
    let case = server().finds(&fine()).later(1).asked("2026-11-21T12:00:01Z");
    assert_eq!(case.triggers(), Some(Trigger::Requested));
    let case = case.finds(&fine()).later(1);
    assert_eq!(case.status.as_ref().unwrap().last_handled_verify_request.as_deref(), Some("2026-11-21T12:00:01Z"));
    assert!(is_not_due(&case));
    assert_eq!(case.asked("again").triggers(), Some(Trigger::Requested));
}

#[test]
fn an_endless_verify_request_is_answered_once() {
    let case = server().finds(&fine()).asked(&"x".repeat(5000)).finds(&fine());
    assert!(is_not_due(&case.later(1)));
}

#[test]
fn no_second_check_begins_while_one_runs() {
    let mut case = server();
    case.running = Some(case.check());
    assert_eq!(case.plan().what, What::Rest(Because::Running));
}

#[test]
fn an_object_that_is_being_deleted_is_left_alone() {
    let mut case = server();
    case.deleted = true;
    assert_eq!((case.plan().what, case.plan().next), (What::Rest(Because::Deleted), None));
}

#[test]
fn the_same_moment_gives_the_same_check_and_another_another() {
    assert_eq!(server().check().id, server().check().id);
    assert_ne!(server().check().id, server().later(1).check().id);
}

#[test]
fn a_suspended_object_is_not_checked_and_says_so() {
    let case = server().with("suspend", json!(true));
    assert_eq!((halted(&case), case.plan().state, case.plan().next), (Some(Reason::Suspended), State::Suspended, None));
}

#[test]
fn a_suspension_by_annotation_ends_at_its_time() {
    let mut case = server();
    case.suspend_until = Some("2026-11-21T13:00:00Z".to_owned());
    assert_eq!((halted(&case), case.plan().next), (Some(Reason::Suspended), Some(at(HOUR))));
    assert_eq!(case.at(at(HOUR)).triggers(), Some(Trigger::First));
}

#[test]
fn a_suspension_until_no_time_is_told_and_lets_nothing_out() {
    let mut case = server();
    case.suspend_until = Some("tomorrow".to_owned());
    let What::Refuse(diagnosis) = case.plan().what else { panic!("{:?}", case.plan()) };
    assert!(diagnosis.reason == Reason::SpecInvalid && diagnosis.message().contains("\"tomorrow\""), "{diagnosis}");
}

#[test]
fn a_pause_stops_everything_until_it_ends() {
    let mut case = server();
    case.pause = Some(Pause { until: Some(at(60)), config_map: "mailverity/pause".to_owned(), scope: PauseScope::All });
    assert_eq!((halted(&case), case.plan().state, case.plan().next), (Some(Reason::Paused), State::Paused, Some(at(60))));
    assert_eq!(case.clone().at(at(60)).triggers(), Some(Trigger::First));
    assert_eq!(case.told().at(at(60)).triggers(), Some(Trigger::First), "what was never checked waits no longer");
}

#[test]
fn nothing_is_checked_inside_a_maintenance_window() {
    let case = server().with("maintenance", json!([{"start": "0 13 * * *", "duration": "2h"}]));
    assert_eq!(case.triggers(), Some(Trigger::First));
    let case = case.finds(&fine());
    assert!(case.plan().next <= Some(at(HOUR)), "it wakes to tell of the window");
    let inside = case.clone().at(at(HOUR)).edited();
    assert_eq!((halted(&inside), inside.plan().next), (Some(Reason::Maintenance), Some(at(3 * HOUR))));
    assert_eq!(inside.at(at(3 * HOUR)).triggers(), Some(Trigger::Changed));
}

#[test]
fn a_cron_line_or_zone_that_cannot_be_read_is_refused() {
    for window in [
        json!({"start": "0 25 * * *", "duration": "2h"}),
        json!({"start": "0 5 * * *", "duration": "2h", "timeZone": "Moon/Base"}),
    ] {
        assert_eq!(refused(&server().with("maintenance", json!([window]))), Some(Reason::ScheduleInvalid));
    }
}

#[test]
fn a_verify_request_in_a_suspension_waits_for_its_end() {
    let mut case = server().finds(&fine()).asked("now");
    case.suspend_until = Some(at(600).to_string());
    let case = case.told();
    assert_eq!(halted(&case), Some(Reason::Suspended));
    assert_eq!(case.status.as_ref().unwrap().last_handled_verify_request, None);
    assert_eq!(case.at(at(600)).triggers(), Some(Trigger::Requested));
}

#[test]
fn a_running_check_does_not_outlive_a_pause() {
    let mut case = server();
    case.running = Some(case.check());
    case.pause = Some(Pause { until: None, config_map: "mailverity/pause".to_owned(), scope: PauseScope::Namespace });
    assert_eq!(halted(&case), Some(Reason::Paused));
}

#[test]
fn references_that_are_missing_are_refused_and_come_back_by_themselves() {
    let case = server().finds(&timed_out()).refused(Reason::SecretNotFound);
    assert_eq!((refused(&case), case.plan().next), (Some(Reason::SecretNotFound), None));
    let mut back = case.told();
    back.observed = server().observed;
    assert_eq!(back.triggers(), Some(Trigger::Changed));
}

#[test]
fn references_that_could_not_be_read_are_read_again_soon() {
    let mut case = server();
    case.observed = Err(Diagnosis::new(Reason::SecretNotFound).class(Class::Transient));
    let soon = |case: &Case| {
        let next = case.plan().next.unwrap();
        assert!(next > case.now && next <= case.now + jiff::SignedDuration::from_secs(30));
    };
    soon(&case);
    // Not only the API server: RBAC may forbid it, and grants it without an event.
    case.observed = Err(Diagnosis::new(Reason::RefUnreadable).class(Class::User));
    soon(&case);
}

#[test]
fn an_actor_that_was_away_is_asked_as_soon_as_it_is_back() {
    let away = |away: bool| Chosen { away: away.then(|| Diagnosis::new(Reason::ActorOffline)), ..Chosen::new("dmz") };
    let mut offline = timed_out();
    offline.failure = Some(Diagnosis::new(Reason::ActorOffline));
    let mut views = Views::from(fine());
    views.add(&away(true), offline);
    let mut case = server();
    case.observed.as_mut().unwrap().actors.push(away(true));
    let mut case = case.finds_by(&views);
    assert_eq!(case.says("Verified"), "False SomeActorsUnverified");
    assert!(is_not_due(&case));
    case.observed.as_mut().unwrap().actors[1] = away(false);
    assert_eq!(case.triggers(), Some(Trigger::Due));
    views.0[1].report.failure = Some(Diagnosis::new(Reason::ConnectionTimedOut));
    let case = case.finds_by(&views);
    assert!(is_not_due(&case), "it was asked");
}

#[test]
fn transient_failures_are_tried_again_with_growing_pauses() {
    let mut case = server();
    for (n, whole) in [(1, 30), (2, 60), (3, 120), (4, 240)] {
        case = case.finds(&timed_out());
        let pause = case.next_check().as_second() - case.now.as_second();
        assert!(pause * 10 >= whole * 9 - 10 && pause <= whole, "{n}: {pause}");
        case = case.when_due();
        assert_eq!(case.check().attempt, n + 1);
    }
}

#[test]
fn back_off_never_goes_beyond_the_schedule() {
    let mut case = server();
    for _ in 0..20 {
        case = case.finds(&timed_out());
        assert!(case.next_check().as_second() - case.now.as_second() <= HOUR * 3 / 2);
        case = case.when_due();
    }
}

#[test]
fn what_needs_the_user_waits_for_the_schedule_or_a_change() {
    let case = server().finds(&failed(Diagnosis::new(Reason::StartTLSNotOffered).at(Stage::StartTls)));
    assert!(case.next_check().as_second() - case.now.as_second() >= HOUR / 2);
    assert!(is_not_due(&case.clone().later(60)));
    assert_eq!(case.edited().triggers(), Some(Trigger::Changed));
}

#[test]
fn after_a_refused_login_the_next_try_is_at_the_end_of_the_hold() {
    // promise 8
    let case = server().begun().held_until(at(2 * HOUR)).finds(&refused_login());
    assert_eq!(case.next_check(), at(2 * HOUR));
    assert!(matches!(case.plan().what, What::Rest(Because::Held(_))));
    let asked = case.clone().asked("now").later(60);
    assert!(matches!(asked.plan().what, What::Rest(Because::Held(_))), "a request does not open the breaker");
    assert_eq!(case.at(at(2 * HOUR)).triggers(), Some(Trigger::Due));
}

#[test]
fn another_secret_ends_the_hold() {
    // promise 8: the hold is kept by account and secret, so that another one has none
    let mut case = server().begun().held_until(at(2 * HOUR)).finds(&refused_login()).later(60).inputs("rotated");
    case.held = None;
    assert_eq!(case.triggers(), Some(Trigger::Changed));
}

#[test]
fn an_object_whose_credentials_another_one_had_refused_does_not_log_in() {
    // promise 8
    let case = server().held_until(at(HOUR));
    assert!(matches!(case.plan().what, What::Rest(Because::Held(_))));
    assert_eq!(case.plan().next, Some(at(HOUR)));
}

#[test]
fn another_secret_ends_the_wait_of_an_object_that_was_held_before_its_first_check() {
    // promise 8
    let mut case = server().held_until(at(HOUR)).told();
    assert_eq!(case.next_check(), at(HOUR));
    case.held = None;
    let mut case = case.later(60).inputs("rotated");
    case.observed.as_mut().unwrap().accounts = vec![account("credentials-2")];
    assert_eq!(case.triggers(), Some(Trigger::First));
    assert_eq!(case.told().restarted().triggers(), Some(Trigger::First), "also where the process died as it began");
}

#[test]
fn a_check_that_does_not_log_in_is_not_held() {
    let case = server().verification(json!({"level": "Connect"})).held_until(at(HOUR));
    assert_eq!(case.triggers(), Some(Trigger::First));
}

#[test]
fn what_is_overdue_at_the_start_is_spread_over_ten_minutes() {
    let case = server().finds(&fine()).later(5 * HOUR).restarted();
    assert!(is_not_due(&case));
    let next = case.plan().next.unwrap();
    assert!(next.as_second() - case.now.as_second() < 600);
    assert_eq!(case.at(next).triggers(), Some(Trigger::Due));
}

#[test]
fn what_fell_due_in_a_halt_is_spread_when_it_ends() {
    let checked = |uid: &str| {
        let mut case = server();
        case.uid = uid.to_owned();
        case.finds(&fine())
    };
    let paused = |case: Case| {
        let mut case = case;
        case.pause = Some(Pause { until: None, config_map: "mailverity/pause".to_owned(), scope: PauseScope::All });
        case.told()
    };
    let mut starts = std::collections::BTreeSet::new();
    for n in 0..20 {
        let mut case = paused(checked(&format!("uid-{n}"))).later(5 * HOUR);
        case.pause = None;
        if is_not_due(&case) {
            let told = case.clone().told();
            assert_eq!(told.plan().next, Some(told.next_check()), "it is told, and stays");
            assert!(told.next_check().as_second() - case.now.as_second() < 600);
            assert_eq!(told.clone().when_due().triggers(), Some(Trigger::Due));
            starts.insert(told.next_check());
        }
    }
    assert!(starts.len() > 15, "{starts:?}");
    let mut due_later = paused(checked("uid")).later(60);
    due_later.pause = None;
    assert_eq!(due_later.clone().told().next_check(), due_later.next_check(), "what is not overdue keeps its time");
    let mut edited = paused(checked("uid")).later(5 * HOUR).edited();
    edited.pause = None;
    assert_eq!(edited.triggers(), Some(Trigger::Changed), "a change waits for nobody");
}

#[test]
fn a_crowd_of_new_objects_spreads_its_mails_over_the_interval() {
    let mut case = server().deliver();
    case.crowded = true;
    let planned = case.plan().next.unwrap();
    assert!(is_not_due(&case) && planned > case.now && planned.as_second() - case.now.as_second() < 24 * HOUR);
    // Once told it holds, also when the crowd is gone, and for another process.
    let mut told = case.told();
    told.crowded = false;
    assert_eq!((told.next_check(), is_not_due(&told.clone().later(1))), (planned, true));
    assert!(is_not_due(&told.clone().later(1).restarted()));
    assert_eq!(told.at(planned).triggers(), Some(Trigger::First));
}

#[test]
fn a_request_that_a_restored_object_brings_along_sends_nothing_at_once() {
    let mut case = server().deliver().asked("last year");
    case.crowded = true;
    let case = case.told();
    assert!(is_not_due(&case));
    assert_eq!(case.asked("today").triggers(), Some(Trigger::Requested));
}

#[test]
fn one_of_a_crowd_keeps_its_place_whatever_keeps_it_from_being_tried_at_first() {
    let mut new = server().deliver().asked("last year");
    new.crowded = true;
    let planned = new.plan().next.unwrap();
    let mut paused = new.clone();
    paused.pause = Some(Pause { until: None, config_map: "mailverity/pause".to_owned(), scope: PauseScope::All });
    for stopped in [new.clone().refused(Reason::SecretNotFound), paused] {
        let mut case = stopped.told().later(1).told().later(1).told();
        assert!(!is_not_due(&case), "what stops it is told: {:?}", case.plan());
        (case.observed, case.pause, case.crowded) = (server().observed, None, false);
        assert!(is_not_due(&case), "{:?}", case.plan());
        let case = case.told();
        assert_eq!(case.next_check(), planned);
        assert_eq!(case.at(planned).triggers(), Some(Trigger::First));
    }
}

#[test]
fn a_crowd_that_sends_nothing_is_checked_at_once() {
    let mut case = server();
    case.crowded = true;
    assert_eq!(case.triggers(), Some(Trigger::First));
}

#[test]
fn an_edit_while_waiting_in_a_crowd_is_checked_at_once() {
    let mut case = server().deliver();
    case.crowded = true;
    assert_eq!(case.told().edited().triggers(), Some(Trigger::First));
}

#[test]
fn mode_observe_sends_no_mail() {
    // promise 4
    let mut case = server().deliver();
    case.mode = Mode::Observe;
    assert_eq!(case.check().level, Level::Authenticate);
}

#[test]
fn after_a_mail_left_back_off_sends_no_other() {
    // promise 3
    let case = server().deliver().claimed().finds(&uncertain());
    let retry = case.when_due();
    assert!(retry.now < at(60));
    assert_eq!((retry.check().level, retry.check().attempt), (Level::Authenticate, 2));
}

#[test]
fn a_mail_that_left_before_an_outage_is_not_followed_by_one_when_it_ends() {
    // promise 3
    let case = server().deliver().claimed().finds(&uncertain()).when_due().finds(&timed_out()).when_due();
    assert_eq!((case.check().level, case.check().attempt), (Level::Authenticate, 3));
}

#[test]
fn a_request_whose_check_failed_before_the_mail_still_gets_its_one_mail() {
    // promise 3
    let case = delivered().later(60).asked("now").finds(&timed_out());
    assert!(is_not_due(&case), "back-off, as ever: {:?}", case.plan());
    let case = case.when_due().finds(&timed_out()).when_due();
    assert_eq!((case.check().level, case.check().trigger), (Level::Deliver, Trigger::Due));
    let sent = case.claimed().finds(&fine());
    assert_eq!(sent.says("Verified"), "True Succeeded");
    assert!(is_not_due(&sent));
    let uncertain = delivered().later(60).asked("now").finds(&timed_out()).when_due().claimed().finds(&uncertain());
    assert_eq!(uncertain.when_due().check().level, Level::Authenticate);
}

#[test]
fn the_next_mail_goes_at_the_interval_on_a_request_or_on_a_change() {
    // promise 3
    let case = delivered();
    assert_eq!(case.clone().when_due().check().level, Level::Deliver);
    assert_eq!(case.clone().later(60).asked("now").check().level, Level::Deliver);
    assert_eq!(case.later(60).edited().check().level, Level::Deliver);
}

#[test]
fn a_mail_that_never_left_is_tried_again() {
    // promise 2: as a new attempt
    let greylisted = failed(Diagnosis::new(Reason::Greylisted).at(Stage::Rcpt).words("450 4.2.0 try later"));
    let case = server().deliver().claimed().finds(&greylisted);
    assert_eq!(case.status.as_ref().unwrap().claim, None);
    let retry = case.when_due().check();
    assert_eq!((retry.level, retry.attempt), (Level::Deliver, 2));
}

#[test]
fn a_mail_that_our_budget_kept_goes_when_there_is_room() {
    // promise 4
    let mut exceeded = failed(Diagnosis::new(Reason::RateBudgetExceeded).at(Stage::Mail).fact("next", at(HOUR + 60).to_string()));
    exceeded.failure = exceeded.failure.map(|failure| failure.fact("budget", "12 mails an hour").fact("scope", "x"));
    let case = delivered().later(60).asked("now").finds(&exceeded);
    assert_eq!(case.next_check(), at(HOUR + 60));
    assert!(is_not_due(&case.clone().later(60)));
    assert_eq!(case.when_due().check().level, Level::Deliver);
}

#[test]
fn whatever_ends_a_check_behind_the_final_dot_its_mail_is_not_sent_again() {
    // promise 2
    for (reason, stage) in
        [(Reason::Paused, Stage::Data), (Reason::AuthenticationUnavailable, Stage::Data), (Reason::ConnectionReset, Stage::Quit)]
    {
        let mut report = uncertain();
        report.failure = Some(Diagnosis::new(reason).at(stage));
        for case in [server().deliver(), delivered().later(60).edited()] {
            let case = case.claimed().finds(&report);
            assert!(is_not_due(&case), "{reason}");
            assert_eq!(case.when_due().check().level, Level::Authenticate, "{reason}");
        }
    }
}

#[test]
fn a_change_whose_first_check_never_reached_the_mail_still_owes_one() {
    let case = delivered().later(60).edited().finds(&timed_out()).when_due();
    assert_eq!(case.check().level, Level::Deliver);
    let verified = case.claimed().finds(&fine());
    assert_eq!(verified.says("Verified"), "True Succeeded");
}

#[test]
fn the_mail_that_mode_observe_kept_goes_once_sending_is_allowed() {
    // promise 4
    let mut case = server().deliver();
    case.mode = Mode::Observe;
    let mut case = case.finds(&fine());
    case.mode = Mode::Enforce;
    assert!(is_not_due(&case.clone().later(60)));
    assert_eq!(case.when_due().check().level, Level::Deliver);
}

#[test]
fn a_claim_without_a_result_is_settled_and_its_mail_not_sent_again() {
    // promises 1 to 3: killed between claim and result
    let case = server().deliver().claimed().later(5).restarted();
    let What::Settle(claim) = case.plan().what else { panic!("{:?}", case.plan()) };
    assert_eq!(Some(&claim), case.status.as_ref().unwrap().claim.as_ref());
    let mut case = case.told();
    for _ in 0..5 {
        assert!(is_not_due(&case), "{:?}", case.plan());
        case = case.when_due();
        if case.now >= due_after(at(0), &case.uid, std::time::Duration::from_hours(24)) {
            break;
        }
        assert_eq!(case.check().level, Level::Authenticate);
        case = case.finds(&timed_out());
    }
}

#[test]
fn a_request_that_died_with_its_process_is_not_answered_by_a_second_mail() {
    // promise 2
    let case = delivered().later(60).asked("now").claimed().later(5).restarted();
    assert!(matches!(case.plan().what, What::Settle(_)));
    assert!(is_not_due(&case.told()));
}

#[test]
fn a_new_request_or_change_sends_although_a_claim_is_open() {
    // promise 3
    let case = server().deliver().claimed().later(5).restarted();
    assert_eq!(case.clone().asked("now").check().level, Level::Deliver);
    assert_eq!(case.edited().check().level, Level::Deliver);
}

#[test]
fn a_mail_whose_result_is_told_is_not_called_uncertain_by_a_later_check_in_the_same_second() {
    let over = failed(Diagnosis::new(Reason::RateBudgetExceeded).at(Stage::Mail));
    let soon = at(0) + jiff::SignedDuration::from_millis(300);
    let case = delivered().at(soon).asked("now").finds(&over);
    assert!(is_not_due(&case), "{:?}", case.plan());
}

#[test]
fn a_claim_of_the_check_that_runs_is_not_settled() {
    assert_eq!(server().deliver().claimed().plan().what, What::Rest(Because::Running));
}

#[test]
fn a_mail_of_a_check_that_a_pause_cut_is_settled_when_the_pause_ends() {
    // promise 2
    let mut case = server().deliver().claimed();
    case.pause = Some(Pause { until: Some(at(60)), config_map: "mailverity/pause".to_owned(), scope: PauseScope::All });
    let mut case = case.told();
    case.running = None;
    assert!(matches!(case.told().at(at(60)).plan().what, What::Settle(_)));
}

#[test]
fn a_silent_banner_is_tried_with_a_tls_hello_once_a_generation() {
    // promise 12
    let silent = failed(Diagnosis::new(Reason::ResponseTimedOut).at(Stage::Banner));
    let wrong = failed(Diagnosis::new(Reason::WrongTLSMode).at(Stage::Banner));
    assert!(server().check().may_greet_with_tls);
    for mut report in [silent, wrong] {
        report.tls_hello = true;
        let case = server().finds(&report).when_due();
        assert!(!case.check().may_greet_with_tls, "{:?}", report.failure);
        assert!(case.clone().edited().check().may_greet_with_tls);
        // Nor after another failure, or a success, in between.
        let case = case.finds(&timed_out()).when_due();
        assert!(!case.check().may_greet_with_tls);
        assert!(!case.finds(&fine()).when_due().restarted().check().may_greet_with_tls);
    }
    assert!(server().finds(&timed_out()).when_due().check().may_greet_with_tls, "none was sent");
}

#[test]
fn it_wakes_when_a_certificate_is_to_be_warned_of() {
    let mut report = fine();
    report.tls.as_mut().unwrap().not_after = Some((at(600) + jiff::SignedDuration::from_hours(336)).to_string());
    assert_eq!(server().finds(&report).plan().next, Some(at(600)));
}

proptest! {
    #[test]
    fn whatever_happens_no_two_mails_go_within_half_an_interval(
        uid in "[a-z0-9]{8}", steps in prop::collection::vec((0_u8..4, 1_i64..40_000), 1..25),
    ) {
        // promise 3, without requests and changes
        let mut case = server().deliver();
        case.uid = uid;
        let mut mails = Vec::new();
        for (what, seconds) in steps {
            case = case.later(seconds);
            case = match case.plan().what {
                What::Check(check) => {
                    let sends = check.level == Level::Deliver;
                    match what {
                        0 => case.finds(&timed_out()),
                        1 if sends => {
                            mails.push(case.now);
                            case.claimed().restarted()
                        }
                        2 if sends => {
                            mails.push(case.now);
                            case.claimed().finds(&uncertain())
                        }
                        _ if sends => {
                            mails.push(case.now);
                            case.claimed().finds(&fine())
                        }
                        _ => case.finds(&fine()),
                    }
                }
                _ => case.told(),
            };
        }
        for pair in mails.windows(2) {
            prop_assert!(pair[1].as_second() - pair[0].as_second() > 12 * HOUR, "{:?}", mails);
        }
    }
}
