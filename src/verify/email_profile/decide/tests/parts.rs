//! What is left of a run: after a restart, a pause, a failure before a mail was sent.

use super::*;
use crate::verify::email_profile::samples::missing;

fn three() -> Case {
    profile().actors(&["default", "dmz", "edge"])
}

/// A search until then that is taken up now: its time is a quarter of an hour, and it is given that once more.
fn look(until: i64, taken_up: i64) -> Begin {
    Begin::Look { until: at(until), tries_until: Some(at(taken_up + 900)) }
}

#[test]
fn a_restarted_operator_goes_on_looking_and_sends_nothing() {
    // promises 1 to 3
    let case = profile().sends("default").later(60).restarted();
    assert_eq!((case.triggers(), case.errands()), (Some(Trigger::GoesOn), vec![("default".to_owned(), look(900, 60), 1)]));
    assert_eq!((case.run().id, case.run().mark.as_deref()), (case.run_id(), Some("imap:1:2")));
    let found = case.ends(&Ends::Found(2));
    assert!(found.is_not_due() && found.mails.len() == 1);
}

#[test]
fn a_mail_whose_time_is_over_at_the_restart_is_looked_for_once_more() {
    let case = profile().sends("default").later(3 * HOUR).restarted();
    assert_eq!(case.errands(), [("default".to_owned(), look(900, 3 * HOUR), 1)]);
    let case = case.ends(&Ends::Loses(missing()));
    assert_eq!(case.stands("default"), (Stand::Unverified, "MessageNotReceived"));
    assert!(case.is_not_due());
}

#[test]
fn a_mailbox_that_fails_all_the_while_is_what_is_told_of_a_mail_that_nobody_could_look_for() {
    let case = profile().sends("default").later(3 * HOUR).restarted().begun();
    assert_eq!(case.stands("default"), (Stand::AwaitingMessage, ""), "no verdict while it is tried");
    let case = case.later(900).ends(&Ends::Loses(timed_out()));
    assert_eq!(case.stands("default"), (Stand::Unverified, "ConnectionTimedOut"));
    assert!(case.is_not_due() && case.mails.len() == 1, "no back-off brings another mail");
    assert_eq!(case.when_due().triggers(), Some(Trigger::Due));
}

#[test]
fn looks_are_tried_again_to_the_next_slot_at_most_and_a_slot_that_has_passed_is_none() {
    let tries = |case: &Case| match case.errands()[0].1 {
        Begin::Look { tries_until: Some(tries_until), .. } => tries_until,
        other => panic!("{other:?}"),
    };
    let sent = profile().sends("default");
    let slot = sent.clone().ends(&Ends::Loses(missing())).next_run();
    let just_before = sent.clone().at(slot - jiff::SignedDuration::from_secs(20)).restarted();
    assert_eq!(tries(&just_before), slot);
    let missed = sent.at(slot + jiff::SignedDuration::from_hours(48)).restarted();
    assert_eq!(tries(&missed), missed.now + jiff::SignedDuration::from_secs(900), "nobody was there for it");
}

#[test]
fn the_time_of_a_mail_counts_from_its_acceptance_where_that_was_told() {
    let mut case = profile().claims("default").later(60).ends(&Ends::Awaits);
    assert_eq!(case.errands(), [("default".to_owned(), look(960, 60), 1)]);
    case = case.later(1).restarted();
    assert_eq!(case.errands(), [("default".to_owned(), look(960, 61), 1)]);
}

#[test]
fn a_search_that_our_own_hold_ends_goes_on_when_it_is_over() {
    let held = Diagnosis::new(Reason::CredentialHeld).at(Stage::Auth);
    let case = profile().sends("default").later(60).held_until(at(HOUR)).ends(&Ends::Loses(held));
    assert_eq!((case.stands("default").0, case.next_run()), (Stand::AwaitingMessage, at(HOUR)));
    assert!(matches!(case.plan().what, What::Rest(Because::Held(_))));
    assert_eq!(case.at(at(HOUR)).errands(), [("default".to_owned(), look(960, HOUR), 1)]);
}

#[test]
fn what_was_cut_before_its_mail_goes_on_as_if_it_had_not_been_tried() {
    let case = three().later(1).ends_for(&[("edge", Ends::Stops)], &Ends::Found(2));
    assert_eq!((case.triggers(), case.errands()), (Some(Trigger::GoesOn), vec![("edge".to_owned(), Begin::Send, 1)]));
    assert_eq!(case.run().id, case.run_id());
}

#[test]
fn a_claim_is_freed_where_nothing_left_and_kept_where_it_may_have() {
    // promise 2
    let freed = profile().claims("default").ends(&Ends::Stops);
    assert_eq!((freed.told_status().claims.len(), freed.errands()[0].1), (0, Begin::Send));
    let kept = profile().claims("default").ends(&Ends::Awaits);
    assert_eq!((kept.told_status().claims.len(), kept.errands()[0].1), (1, look(900, 0)));
}

#[test]
fn a_mail_that_left_is_remembered_although_the_status_that_was_read_is_older_than_its_claim() {
    // promise 3
    for (ends, goes_on) in [(Ends::Found(2), false), (Ends::Awaits, true), (Ends::Loses(timed_out()), false)] {
        let mut case = profile().begun();
        let (before, run) = (case.status.clone(), case.running.clone());
        case = case.ends(&ends);
        (case.status, case.running) = (before, run.clone());
        let report = crate::verify::email_profile::samples::report(&case, &run.unwrap(), |_| ends.clone());
        let case = case.finds(&report);
        assert_eq!(case.told_status().claims.len(), 1);
        assert_eq!(case.triggers(), goes_on.then_some(Trigger::GoesOn), "{ends:?}");
    }
}

#[test]
fn a_run_that_is_cut_by_a_pause_or_a_new_name_goes_on() {
    let mut paused = profile().sends("default").paused(Some(at(300))).ends(&Ends::Awaits);
    assert!(is_halted(&paused));
    paused = paused.told().at(at(300));
    paused.pause = None;
    assert_eq!(paused.errands(), [("default".to_owned(), look(900, 300), 1)]);
    let renamed = profile().sends("default").renamed().ends(&Ends::Awaits).later(1);
    assert_eq!((renamed.triggers(), renamed.errands()[0].1), (Some(Trigger::GoesOn), look(900, 1)));
    let unsent = verified().when_due().begun().renamed().ends(&Ends::Stops).later(1);
    assert_eq!((unsent.triggers(), unsent.errands()[0].1), (Some(Trigger::GoesOn), Begin::Send));
    let suspended = verified().when_due().begun().suspended(true).ends(&Ends::Stops).told().later(60).suspended(false);
    let due = suspended.plan().next.unwrap();
    assert_eq!(suspended.told().at(due).errands()[0].1, Begin::Send, "what fell due in a halt is spread, and goes on then");
}

#[test]
fn one_that_failed_before_its_mail_is_tried_again_alone_with_growing_pauses() {
    let mut case = three().ends_for(&[("dmz", Ends::Fails(timed_out()))], &Ends::Found(2));
    for (attempt, whole) in [(2, 30), (3, 60), (4, 120)] {
        let pause = case.next_run().as_second() - case.now.as_second();
        assert!(pause * 10 >= whole * 9 - 10 && pause <= whole, "{attempt}: {pause}");
        case = case.when_due();
        assert_eq!((case.triggers(), case.errands()), (Some(Trigger::GoesOn), vec![("dmz".to_owned(), Begin::Send, attempt)]));
        case = case.ends(&Ends::Fails(timed_out()));
    }
    let case = case.when_due().ends(&Ends::Found(2));
    assert_eq!((case.told_status().summary.as_deref(), case.mails.len()), (Some("3/3"), 3));
    assert!(case.next_run() > at(DAY / 2));
}

#[test]
fn back_off_never_goes_beyond_the_schedule() {
    let mut case = profile();
    let mut runs = std::collections::BTreeSet::new();
    while case.now < at(3 * DAY) {
        case = case.ends(&Ends::Fails(timed_out()));
        runs.insert(case.run_id());
        assert!(case.next_run() > case.now && case.next_run().as_second() - case.now.as_second() <= DAY * 3 / 2);
        case = case.when_due();
    }
    assert!(runs.len() >= 3, "each slot begins a run: {runs:?}");
}

#[test]
fn whoever_needs_the_user_is_not_tried_along_with_the_others() {
    let denied = Diagnosis::new(Reason::MailboxAccessDenied).at(Stage::Select);
    let case = three().ends_for(&[("dmz", Ends::Fails(timed_out())), ("edge", Ends::Fails(denied))], &Ends::Found(2));
    assert_eq!(case.when_due().errands(), [("dmz".to_owned(), Begin::Send, 2)]);
}

#[test]
fn a_removed_actor_is_forgotten_with_its_claim_and_a_new_one_waits_for_its_run() {
    let case = three().ends(&Ends::Found(2)).later(60).actors(&["edge", "default"]).inputs("fewer").told();
    let names: Vec<_> = case.told_status().actors.iter().map(|actor| actor.name.as_str()).collect();
    assert_eq!(names, ["edge", "default"]);
    assert!(case.told_status().claims.iter().all(|claim| claim.actor != "dmz"));
    assert_eq!((case.triggers(), case.errands().len()), (Some(Trigger::Changed), 2));
}
