mod mails;
mod manual;
mod parts;

use serde_json::json;

use super::*;
use crate::{
    mail::Stage,
    verify::email_profile::samples::{Case, DAY, Ends, HOUR, MINUTE, at, manual, profile, refused_login, timed_out},
};

fn is_halted(case: &Case) -> bool {
    matches!(case.plan().what, What::Rest(Because::Halted(_)))
}

/// A profile whose code was found at noon.
fn verified() -> Case {
    profile().ends(&Ends::Found(2))
}

#[test]
fn a_fresh_profile_is_run_at_once() {
    let run = profile().run();
    assert_eq!((run.trigger, run.inputs.as_str(), run.generation), (Trigger::First, "inputs-1", 1));
    assert_eq!(run.errands, [Errand { actor: "default".to_owned(), begin: Begin::Send, attempt: 1 }]);
    let mut default = profile();
    default.status = Some(serde_json::from_value(json!({"observedGeneration": -1})).unwrap());
    assert_eq!(default.triggers(), Some(Trigger::First), "the schema's default status is no status");
}

#[test]
fn in_a_crowd_the_first_run_is_spread_over_the_interval_and_stays_where_it_was_told() {
    let mut case = profile();
    case.crowded = true;
    let planned = case.plan().next.unwrap();
    assert!(case.is_not_due() && planned > case.now && planned <= at(DAY));
    let mut told = case.asked("last year").told();
    told.crowded = false;
    assert_eq!((told.next_run(), told.is_not_due()), (planned, true));
    assert!(told.clone().later(1).restarted().is_not_due());
    assert_eq!(told.clone().at(planned).triggers(), Some(Trigger::First));
    assert_eq!(told.clone().later(1).asked("today").triggers(), Some(Trigger::Requested), "the old request counts as answered");
    assert_eq!(told.later(1).edited().triggers(), Some(Trigger::First), "an edit waits for nobody");
}

#[test]
fn one_of_a_crowd_keeps_its_place_whatever_keeps_it_from_being_tried_at_first() {
    let mut new = profile().asked("last year");
    new.crowded = true;
    let planned = new.plan().next.unwrap();
    for stopped in [new.clone().waiting(), new.clone().refused(Reason::SecretNotFound), new.clone().paused(None)] {
        let mut case = stopped.told().later(1).told().later(1).told();
        assert!(!case.is_not_due(), "what stops it is told: {:?}", case.plan());
        (case.observed, case.pause, case.crowded) = (profile().observed, None, false);
        assert!(case.is_not_due(), "{:?}", case.plan());
        let case = case.told();
        assert_eq!(case.next_run(), planned);
        assert_eq!(case.at(planned).triggers(), Some(Trigger::First));
    }
}

#[test]
fn what_sends_nothing_is_never_spread() {
    let mut case = manual();
    case.crowded = true;
    assert_eq!(case.triggers(), Some(Trigger::First));
    let mut observing = profile().observing(true);
    observing.crowded = true;
    assert_eq!(observing.triggers(), Some(Trigger::First));
}

#[test]
fn after_a_run_nothing_is_due_until_the_schedule_says_so() {
    let case = verified();
    assert!(case.is_not_due());
    assert_eq!(case.plan().next, Some(case.next_run()));
    assert!(case.next_run() > at(DAY / 2) && case.next_run() <= at(DAY * 3 / 2));
    let first = case.run_id();
    let due = case.when_due();
    assert_eq!(due.triggers(), Some(Trigger::Due));
    assert_ne!(due.run().id, first, "each run has its own codes");
}

#[test]
fn a_restart_runs_nothing_that_is_not_due() {
    for ends in [Ends::Found(2), Ends::Fails(timed_out()), Ends::Loses(timed_out()), Ends::Fails(refused_login())] {
        assert!(profile().ends(&ends).later(1).restarted().is_not_due(), "{ends:?}");
    }
}

#[test]
fn what_is_overdue_at_the_start_is_spread_over_ten_minutes() {
    let case = verified().later(3 * DAY).restarted();
    let next = case.plan().next.unwrap();
    assert!(case.is_not_due() && next.as_second() - case.now.as_second() < 600);
    assert_eq!(case.at(next).triggers(), Some(Trigger::Due));
}

#[test]
fn a_change_of_what_is_proved_runs_at_once_with_a_new_code() {
    for case in [verified().later(1).edited(), verified().later(1).inputs("rotated")] {
        assert_eq!(case.triggers(), Some(Trigger::Changed));
        assert_ne!(case.run().id, case.run_id());
    }
}

#[test]
fn a_new_generation_that_changes_nothing_that_is_proved_runs_nothing() {
    assert!(verified().later(1).renamed().is_not_due());
    let sooner = verified().later(2 * HOUR).verification(json!({"interval": "1h", "senderRef": {"name": "relay"}})).renamed();
    assert!(sooner.is_not_due());
    let told = sooner.told();
    assert!(told.next_run() > told.now && told.next_run() <= told.now + jiff::SignedDuration::from_secs(HOUR * 3 / 2));
    assert_eq!(told.when_due().triggers(), Some(Trigger::Due));
}

#[test]
fn a_longer_interval_that_is_read_when_a_run_is_due_runs_nothing_empty() {
    let case = profile().verification(json!({"interval": "1h"})).ends(&Ends::Found(2)).when_due();
    let case = case.verification(json!({"interval": "24h"})).renamed();
    assert!(case.is_not_due() && case.plan().next > Some(case.now));
}

#[test]
fn a_request_runs_once_for_each_new_value() {
    let case = verified().later(1).asked("now");
    assert_eq!(case.triggers(), Some(Trigger::Requested));
    let case = case.ends(&Ends::Found(2));
    assert_eq!(case.told_status().last_handled_verify_request.as_deref(), Some("now"));
    assert!(case.clone().later(1).is_not_due());
    assert_eq!(case.later(1).asked("again").triggers(), Some(Trigger::Requested));
    assert!(verified().asked(&"x".repeat(5000)).ends(&Ends::Found(2)).later(1).is_not_due(), "also an endless one");
    let first = profile().asked("at birth").ends(&Ends::Found(2));
    assert!(first.later(1).is_not_due(), "the first run answers what was asked before it");
}

#[test]
fn a_request_is_answered_by_a_run_alone() {
    let open = |case: Case| case.told().told_status().last_handled_verify_request.is_none();
    assert!(open(verified().asked("now").refused(Reason::SecretNotFound)));
    assert!(open(verified().asked("now").held_until(at(HOUR))));
    assert!(open(verified().asked("now").paused(None)));
    assert!(open(verified().asked("now").waiting()));
    let mut resumed = verified().asked("now").paused(Some(at(600))).told().at(at(600));
    resumed.pause = None;
    assert_eq!(resumed.triggers(), Some(Trigger::Requested));
}

#[test]
fn a_run_goes_on_while_it_is_what_is_wanted() {
    let case = profile().begun();
    assert_eq!(case.plan().what, What::Rest(Because::Running));
    assert_eq!(case.clone().waiting().plan().what, What::Rest(Because::Running), "what has begun does not wait");
    for (other, trigger) in [
        (case.clone().edited(), Trigger::First),
        (case.clone().renamed(), Trigger::First),
        (case.clone().asked("now"), Trigger::Requested),
    ] {
        assert_eq!(other.triggers(), Some(trigger));
    }
    assert!(is_halted(&case.paused(None)));
}

#[test]
fn nothing_goes_out_while_it_is_halted_held_or_waits() {
    assert!(is_halted(&profile().with("suspend", json!(true))));
    let paused = profile().paused(Some(at(60)));
    assert_eq!((is_halted(&paused), paused.plan().next), (true, Some(at(60))));
    let held = profile().held_until(at(HOUR));
    assert!(matches!(held.plan().what, What::Rest(Because::Held(_))));
    assert_eq!((held.plan().next, held.told().next_run()), (Some(at(HOUR)), at(HOUR)));
    assert!(matches!(profile().waiting().plan().what, What::Rest(Because::Waits(_))));
    let mut deleted = profile();
    deleted.deleted = true;
    assert_eq!(deleted.plan().what, What::Rest(Because::Deleted));
}

#[test]
fn a_missing_reference_is_refused_and_what_comes_back_is_run_anew() {
    for ended in [verified(), profile().sends("default")] {
        let case = ended.later(5).refused(Reason::SecretNotFound);
        assert!(matches!(case.plan().what, What::Refuse(_)));
        let mut back = case.told().restarted();
        back.observed = profile().observed;
        assert_eq!((back.triggers(), back.errands()[0].1), (Some(Trigger::First), Begin::Send));
    }
}

#[test]
fn references_that_could_not_be_read_are_read_again_soon() {
    let mut case = profile();
    for class in [Class::Transient, Class::User] {
        case.observed = Err(Diagnosis::new(Reason::RefUnreadable).class(class));
        let next = case.plan().next.unwrap();
        assert!(next > case.now && next <= at(30));
    }
}

#[test]
fn after_a_refused_login_the_next_try_is_at_the_end_of_the_hold() {
    // promise 8
    let case = profile().begun().held_until(at(2 * HOUR)).ends(&Ends::Fails(refused_login()));
    assert_eq!(case.next_run(), at(2 * HOUR));
    assert!(matches!(case.clone().asked("now").plan().what, What::Rest(Because::Held(_))), "no request opens the breaker");
    assert_eq!(case.clone().at(at(2 * HOUR)).errands(), [("default".to_owned(), Begin::Send, 2)]);
    let mut rotated = case.later(60).inputs("rotated");
    rotated.held = None;
    assert_eq!(rotated.triggers(), Some(Trigger::Changed));
}

#[test]
fn what_the_senders_own_hold_stopped_is_tried_when_that_ends() {
    // Each try logs in to the mailbox.
    let held = Diagnosis::new(Reason::CredentialHeld).at(Stage::Auth).fact("until", at(HOUR).to_string());
    let case = profile().ends(&Ends::Fails(held));
    assert_eq!(case.next_run(), at(HOUR));
    let budget = Diagnosis::new(Reason::RateBudgetExceeded).at(Stage::Mail).fact("next", at(HOUR + 60).to_string());
    let case = profile().ends(&Ends::Fails(budget));
    assert_eq!((case.next_run(), case.when_due().errands()[0].1), (at(HOUR + 60), Begin::Send));
}

#[test]
fn what_a_broken_sender_kept_from_being_sent_goes_when_it_works_again() {
    let refused = Diagnosis::new(Reason::SendAsDenied).at(Stage::Mail);
    let case = profile().ends(&Ends::Fails(refused)).later(MINUTE).waiting().told();
    assert_eq!(case.clone().later(60).ready().errands(), [("default".to_owned(), Begin::Send, 2)]);
    let verified = verified().later(60).waiting().told().later(60).ready();
    assert!(verified.is_not_due(), "nothing was kept");
    let left = profile().ends(&Ends::Loses(timed_out())).later(60).waiting().told().later(60).ready();
    assert!(left.is_not_due(), "a mail that left is not followed (promise 3)");
}

#[test]
fn it_wakes_when_a_certificate_is_to_be_warned_of_and_when_a_window_begins() {
    let mut case = verified();
    let not_after = at(600) + jiff::SignedDuration::from_hours(336);
    let tls = serde_json::from_value(json!({"notAfter": not_after.to_string()})).unwrap();
    case.status.as_mut().unwrap().tls = Some(tls);
    assert_eq!(case.plan().next, Some(at(600)));
    let case = verified().with("maintenance", json!([{"start": "0 13 * * *", "duration": "2h"}]));
    assert_eq!(case.plan().next, Some(at(HOUR)));
    assert!(is_halted(&case.at(at(HOUR))));
}
