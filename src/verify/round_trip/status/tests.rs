use super::{
    super::samples::{ID, at, failed, taken, world},
    *,
};
use crate::api::v1alpha1::{Span, condition as c};

#[test]
fn the_whole_life_of_a_probe_is_told() {
    let mut world = world();
    let probe = world.probe();
    world.tell();
    assert_eq!(world.condition(c::ROUND_TRIP_HEALTHY), ("Unknown", "AwaitingReply"));
    assert_eq!(world.condition(c::RECONCILING), ("True", "NewGeneration"));
    world.claim(&probe);
    let claimed = world.told().in_flight.clone().unwrap();
    assert_eq!((claimed.id.as_str(), claimed.attempt, claimed.sent_at.is_none()), (ID, 1, true));
    assert_eq!(claimed.from, "probe@corp.test");
    world.tell_of(&probe, &taken(at(1)));
    assert_eq!(world.told().in_flight.as_ref().unwrap().deadline.0, at(601));
    world.comes(5, None);
    world.tell();
    let told = world.told();
    assert_eq!(told.last_success_time.as_ref().unwrap().0, at(5));
    let last = told.last_round_trip.clone().unwrap();
    assert_eq!((last.result.as_str(), last.duration.as_deref()), ("Succeeded", Some("4.0s")));
    assert_eq!(world.results(), ["Succeeded"]);
    assert_eq!((world.condition(c::READY), world.condition(c::RECONCILING)), (("True", "Succeeded"), ("", "")));
    assert_eq!(told.return_address.as_deref(), Some("notify@in.corp.test"));
}

#[test]
fn below_the_threshold_a_round_trip_that_worked_is_degraded_and_then_unhealthy() {
    let mut world = world();
    world.send();
    world.comes(1, None);
    world.tell();
    for (healthy, degraded) in [
        (("True", "Succeeded"), ("True", "ReplyTimeout")),
        (("False", "ReplyTimeout"), ("", "")),
        (("False", "ReplyTimeout"), ("", "")),
    ] {
        world.now = world.told().next_probe_time.clone().unwrap().0;
        world.came.clear();
        world.send();
        world.passes(603);
        world.tell();
        assert_eq!((world.condition(c::ROUND_TRIP_HEALTHY), world.condition(c::DEGRADED)), (healthy, degraded));
    }
    assert_eq!(world.told().consecutive_failures, Some(3));
    world.now = world.told().next_probe_time.clone().unwrap().0;
    world.send();
    world.comes(1, None);
    world.tell();
    assert_eq!((world.condition(c::READY), world.told().consecutive_failures), (("True", "Succeeded"), None));
}

#[test]
fn a_policy_that_never_worked_is_unhealthy_at_its_first_failure() {
    let mut world = world();
    world.send();
    world.passes(603);
    world.tell();
    assert_eq!(world.condition(c::READY), ("False", "ReplyTimeout"));
    let message = &world.told().conditions.iter().find(|c| c.type_ == c::READY).unwrap().message;
    assert!(message.contains("Nothing came to notify@in.corp.test within 10m"), "{message}");
}

#[test]
fn a_late_answer_is_counted_in_its_row_and_changes_no_verdict() {
    let mut world = world();
    world.send();
    world.passes(603);
    world.tell();
    world.comes(100, None);
    world.tell();
    let row = world.told().history[0].clone();
    assert_eq!((row.result.as_str(), row.duration.as_deref()), ("ReplyLate", Some("11m43s")));
    assert_eq!(world.told().last_round_trip.as_ref(), Some(&row));
    assert_eq!(world.condition(c::READY), ("False", "ReplyTimeout"));
    assert_eq!(world.told().last_success_time, None);
    let told = world.status.clone();
    world.tell();
    assert_eq!(world.status, told, "the same mail once more says nothing new");
}

#[test]
fn a_slow_answer_is_right_and_the_policy_degraded_until_one_is_fast() {
    let mut world = world();
    world.spec.slow_after = Some(Span::seconds(60));
    world.send();
    world.comes(61, None);
    world.tell();
    assert_eq!((world.condition(c::READY), world.condition(c::DEGRADED)), (("True", "Succeeded"), ("True", "SlowReply")));
    world.now = world.told().next_probe_time.clone().unwrap().0;
    world.came.clear();
    world.send();
    world.comes(60, None);
    world.tell();
    assert_eq!(world.condition(c::DEGRADED), ("", ""));
}

#[test]
fn a_rewritten_from_is_told_while_it_is_so() {
    let mut world = world();
    world.send();
    world.comes(1, None);
    world.came[0].answer.rewritten_from = Some("account@gmail.test".to_owned());
    world.tell();
    assert_eq!((world.condition(c::READY), world.condition(c::FROM_REWRITTEN).0), (("True", "Succeeded"), "True"));
    let message = &world.told().conditions.iter().find(|c| c.type_ == c::FROM_REWRITTEN).unwrap().message;
    assert!(message.contains("probe@corp.test") && message.contains("account@gmail.test"), "{message}");
    world.now = world.told().next_probe_time.clone().unwrap().0;
    world.came.clear();
    world.send();
    world.comes(1, None);
    world.tell();
    assert_eq!(world.condition(c::FROM_REWRITTEN), ("", ""));
}

#[test]
fn our_own_limits_are_no_verdict_and_name_the_time_when_there_is_room() {
    let mut world = world();
    let probe = world.probe();
    world.tell();
    let mut report = failed(Reason::RateBudgetExceeded);
    let room = at(1200);
    report.report.failure = report.report.failure.map(|failure| failure.fact("next", room.to_string()));
    world.tell_of(&probe, &report);
    assert_eq!(world.condition(c::ROUND_TRIP_HEALTHY), ("Unknown", "RateBudgetExceeded"));
    assert_eq!((world.told().in_flight.is_none(), world.told().next_probe_time.clone().unwrap().0), (true, room));
    assert!(world.results().is_empty());
}

#[test]
fn what_was_asked_for_or_changed_waits_for_room_and_does_not_log_in_until_then() {
    for asked in [true, false] {
        let mut world = world();
        world.send();
        world.comes(1, None);
        world.tell();
        world.came.clear();
        if asked {
            world.request = Some("now");
        } else {
            world.observed.as_mut().unwrap().inputs = "others".to_owned();
        }
        let probe = world.probe();
        world.id = format!("{}ff", &ID[..34]); // it has no claim yet
        let room = later(world.now, Duration::from_secs(40));
        let mut report = failed(Reason::RateBudgetExceeded);
        report.report.failure = report.report.failure.map(|failure| failure.fact("next", room.to_string()));
        world.tell_of(&probe, &report);
        let plan = world.tell();
        assert_eq!((plan.what, plan.next), (What::Rest(Because::NotDue), Some(room)), "asked: {asked}");
        world.now = room;
        assert_eq!(world.probe().id, None);
    }
}

#[test]
fn trouble_on_the_way_is_told_at_once_and_counted_once() {
    let mut world = world();
    world.send();
    world.comes(1, None);
    world.tell();
    world.now = world.told().next_probe_time.clone().unwrap().0;
    world.came.clear();
    let probe = world.probe();
    world.tell();
    world.claim(&probe);
    world.tell_of(&probe, &failed(Reason::ServerBusy));
    assert_eq!((world.condition(c::READY), world.condition(c::DEGRADED)), (("True", "Succeeded"), ("True", "ServerBusy")));
    assert_eq!(world.told().consecutive_failures, None);
}

#[test]
fn a_refusal_that_needs_the_user_stalls() {
    let mut world = world();
    let probe = world.probe();
    world.tell();
    world.claim(&probe);
    world.tell_of(&probe, &failed(Reason::RecipientRejected));
    assert_eq!(world.condition(c::READY), ("False", "RecipientRejected"));
    assert_eq!(world.condition(c::STALLED).0, "True");
    assert_eq!(world.told().in_flight, None);
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let mut world = world();
    world.send();
    let told = world.told().clone();
    world.passes(10);
    let plan = world.decide();
    assert!(!differs(Some(&told), &status(&world.seen(), &plan, None)));
    world.comes(1, None);
    world.tell();
    world.came.clear();
    let told = world.told().clone();
    world.passes(10);
    let plan = world.decide();
    assert!(!differs(Some(&told), &status(&world.seen(), &plan, None)));
}

#[test]
fn a_missing_reference_is_told_and_forgotten_when_it_is_there() {
    let mut world = world();
    let observed = world.observed.clone();
    world.observed = Err(Diagnosis::new(Reason::ReceiverNotFound).fact("name", "team/inbound"));
    world.tell();
    assert_eq!(world.condition(c::RESOLVED_REFS), ("False", "ReceiverNotFound"));
    assert_eq!(world.condition(c::READY), ("False", "ReceiverNotFound"));
    assert_eq!(world.condition(c::STALLED).0, "True");
    world.observed = observed;
    world.tell();
    assert_eq!(world.condition(c::RESOLVED_REFS), ("True", "Succeeded"));
    assert_eq!(world.condition(c::READY), ("Unknown", "AwaitingReply"));
}

#[test]
fn what_a_receiver_took_in_time_is_a_success_also_where_we_heard_of_it_too_late() {
    let mut world = world();
    world.send();
    world.passes(700);
    world.tell();
    assert_eq!(world.condition(c::READY), ("False", "ReplyTimeout"));
    world.comes(1, None);
    world.came[0].received = at(30);
    world.tell();
    assert_eq!((world.results(), world.condition(c::READY)), (vec!["Succeeded"], ("True", "Succeeded")));
    assert_eq!(world.told().last_success_time.as_ref().unwrap().0, at(30));
    assert_eq!(world.told().consecutive_failures, None);
}

#[test]
fn what_is_told_twice_counts_once() {
    // The API server took the status, and its answer was lost.
    let mut world = world();
    let probe = world.probe();
    world.tell();
    world.claim(&probe);
    for _ in 0..2 {
        world.tell_of(&probe, &failed(Reason::SenderRejected));
        assert_eq!((world.results(), world.told().consecutive_failures), (vec!["SenderRejected"], Some(1)));
    }
}

#[test]
fn a_mailbox_that_our_own_limits_keep_closed_is_no_verdict_and_no_probe_for_ever() {
    let mut world = world();
    world.observed.as_mut().unwrap().reads = true;
    world.send();
    world.passes(605);
    let probe = world.probe();
    let held = ProbeReport { looked: true, ..failed(Reason::CredentialHeld) };
    world.tell_of(&probe, &held);
    assert_eq!((world.told().in_flight.is_none(), world.results()), (true, vec!["CredentialHeld"]));
    assert_eq!(world.told().consecutive_failures, None);
}

#[test]
fn what_was_found_with_an_older_spec_is_no_verdict_on_the_new_one() {
    let mut world = world();
    world.send();
    world.generation = 2;
    world.observed.as_mut().unwrap().inputs = "other".to_owned();
    world.comes(1, None);
    world.tell();
    assert_eq!(world.results(), ["NewGeneration"]);
    assert_eq!(world.condition(c::RECONCILING).0, "True");
    assert_ne!(world.condition(c::ROUND_TRIP_HEALTHY).0, "True");
}
