use super::{
    super::samples::{ID, UID, World, at, failed, taken, uncertain, world},
    *,
};
use crate::{
    api::v1alpha1::MaintenanceWindow,
    verify::halt::{Pause, PauseScope},
};

fn settled(plan: &Plan) -> &'static str {
    match &plan.what {
        What::Settle(outcome) => outcome.reason.as_str(),
        what => panic!("not settled: {what:?}"),
    }
}

fn slot(time: Timestamp) -> bool {
    next_slot(later(time, Duration::ZERO).checked_sub(Duration::from_secs(1)).unwrap(), UID, Duration::from_mins(15)) == time
}

#[test]
fn a_fresh_policy_sends_at_once_and_then_at_its_phase() {
    let mut world = world();
    assert_eq!(world.probe().trigger, Trigger::First);
    world.send();
    let planned = world.told().next_probe_time.clone().unwrap().0;
    assert!(slot(planned), "{planned}");
    world.comes(2, None);
    assert_eq!(settled(&world.tell()), "Succeeded");
    world.came.clear();
    let plan = world.decide();
    assert_eq!((plan.what, plan.next), (What::Rest(Because::NotDue), Some(planned)));
    world.now = planned;
    assert_eq!(world.probe().trigger, Trigger::Due);
}

#[test]
fn a_day_of_probes_keeps_to_the_phase_and_skips_none() {
    let mut world = world();
    world.send();
    world.comes(1, None);
    world.tell();
    let mut sent = 0;
    for _ in 0..96 {
        world.next_slot();
        if world.decide().what == What::Rest(Because::NotDue) {
            // The first slot behind a first probe may be too near to it.
            assert_eq!(sent, 0);
            continue;
        }
        world.send();
        world.comes(3, None);
        world.tell();
        sent += 1;
    }
    assert!(sent >= 95, "{sent}");
    assert_eq!(world.told().history.len(), 10, "the history is bounded");
}

#[test]
fn one_probe_is_in_flight_and_is_settled_before_the_next() {
    let mut world = world();
    world.send();
    let plan = world.decide();
    assert_eq!(plan.what, What::Rest(Because::AwaitsAnswer));
    assert_eq!(plan.next, Some(at(602)), "its time, and what may still be on its way to us");
    // Also where somebody asks for another.
    world.request = Some("now");
    assert_eq!(world.decide().what, What::Rest(Because::AwaitsAnswer));
    world.passes(602);
    assert_eq!(settled(&world.tell()), "ReplyTimeout");
    assert_eq!(world.probe().trigger, Trigger::Requested);
}

#[test]
fn an_answer_in_time_counts_and_a_late_one_never_does() {
    for (after, reason) in [(599, "Succeeded"), (600, "Succeeded"), (601, "ReplyLate")] {
        let mut world = world();
        world.send();
        world.comes(after, None);
        assert_eq!(settled(&world.decide()), reason, "{after}");
    }
}

#[test]
fn a_wrong_answer_is_remembered_and_the_right_one_still_counts() {
    let mut world = world();
    world.send();
    world.comes(1, Some(Diagnosis::new(Reason::ReplyFromMismatch)));
    let plan = world.tell();
    assert!(matches!(plan.what, What::Note(_)), "{plan:?}");
    assert_eq!(world.decide().what, What::Rest(Because::AwaitsAnswer), "once is enough");
    // One that is nearer to the right one says more.
    world.comes(1, Some(Diagnosis::new(Reason::ReplyBodyMissing)));
    world.tell();
    assert_eq!(world.told().in_flight.as_ref().unwrap().noted.as_ref().unwrap().reason, "ReplyBodyMissing");
    let mut silent = World { status: world.status.clone(), ..super::super::samples::world() };
    silent.now = at(700);
    assert_eq!(settled(&silent.decide()), "ReplyBodyMissing");
    world.comes(1, None);
    assert_eq!(settled(&world.decide()), "Succeeded");
}

#[test]
fn a_bounce_settles_a_probe_long_before_its_time() {
    // promise 6
    let mut world = world();
    world.send();
    world.comes(1, Some(Diagnosis::new(Reason::MessageDelayed)));
    assert!(matches!(world.tell().what, What::Note(_)));
    world.comes(1, Some(Diagnosis::new(Reason::MessageBounced)));
    assert_eq!(settled(&world.decide()), "MessageBounced");
}

#[test]
fn a_mail_that_may_have_gone_is_never_sent_again_and_its_answer_counts() {
    // promise 2
    let mut world = world();
    let probe = world.probe();
    world.claim(&probe);
    world.tell_of(&probe, &uncertain());
    let mut lost = super::super::samples::world();
    lost.claim(&probe);
    for (mut world, reason) in [(world, "DeliveryUncertain"), (lost, "ProbeLost")] {
        assert_eq!(world.decide().what, What::Rest(Because::AwaitsAnswer));
        let before = world.status.clone();
        world.comes(30, None);
        assert_eq!(settled(&world.decide()), "Succeeded");
        world.status = before;
        world.came.clear();
        world.now = at(603);
        assert_eq!(settled(&world.tell()), reason);
        assert_eq!(world.decide().what, What::Rest(Because::NotDue));
    }
}

#[test]
fn what_was_not_sent_is_tried_again_with_the_same_id_while_its_time_lasts() {
    // promises 2 and 3
    let mut world = world();
    let probe = world.probe();
    world.tell();
    world.claim(&probe);
    world.tell_of(&probe, &failed(Reason::Greylisted));
    let retry = world.told().in_flight.clone().unwrap().retry_at.unwrap().0;
    assert!(retry > at(20) && retry <= at(30), "{retry}");
    assert_eq!(world.decide().next, Some(retry));
    world.now = retry;
    let again = world.probe();
    assert_eq!((again.id.as_deref(), again.attempt, again.begin), (Some(ID), 2, Begin::Send));
    world.claim(&again);
    world.tell_of(&again, &taken(retry));
    let probe = world.told().in_flight.clone().unwrap();
    assert_eq!((probe.attempt, probe.retry_at.is_none()), (2, true));
    assert_eq!(probe.deadline.0, later(retry, Duration::from_mins(10)), "the time begins when the server took it");
}

#[test]
fn what_is_never_taken_fails_when_its_time_is_over() {
    let mut world = world();
    let mut attempts = 0;
    while let What::Probe(probe) = world.decide().what {
        attempts += 1;
        world.tell();
        world.tell_of(&probe, &failed(Reason::ConnectionRefused));
        let Some(in_flight) = world.told().in_flight.clone() else { break };
        world.now = in_flight.retry_at.unwrap().0;
        assert!(attempts < 20);
    }
    assert_eq!(world.results(), ["ConnectionRefused"]);
    assert!((3..=6).contains(&attempts), "{attempts}");
    assert_eq!(world.decide().what, What::Rest(Because::NotDue));
}

#[test]
fn a_refusal_that_needs_the_user_ends_the_probe_at_once() {
    let mut world = world();
    let probe = world.probe();
    world.tell();
    world.claim(&probe);
    world.tell_of(&probe, &failed(Reason::SenderRejected));
    assert_eq!(world.results(), ["SenderRejected"]);
    assert_eq!(world.decide().what, What::Rest(Because::NotDue));
}

#[test]
fn a_change_of_what_is_proved_gives_up_the_old_probe_and_sends_a_new_one() {
    let mut world = world();
    world.send();
    world.generation = 2;
    world.observed.as_mut().unwrap().inputs = "other".to_owned();
    assert_eq!(settled(&world.tell()), "NewGeneration");
    assert_eq!(world.probe().trigger, Trigger::Changed);
    assert_eq!(world.told().consecutive_failures, None);
}

#[test]
fn nothing_goes_out_and_nothing_is_waited_for_while_it_is_halted() {
    let window = MaintenanceWindow {
        start: "0 0 * * *".to_owned(),
        duration: crate::api::v1alpha1::Span::seconds(24 * 3600),
        time_zone: None,
    };
    let pause = Pause { until: None, config_map: "x/y".to_owned(), scope: PauseScope::All };
    for (suspend, pause, maintenance, reason) in [
        (Some(true), None, None, "Suspended"),
        (None, Some(pause), None, "Paused"),
        (None, None, Some(vec![window]), "Maintenance"),
    ] {
        let mut world = world();
        world.send();
        (world.spec.suspend, world.pause, world.spec.maintenance) = (suspend, pause, maintenance);
        assert_eq!(settled(&world.tell()), reason);
        assert!(matches!(world.decide().what, What::Rest(Because::Halted(_))));
        assert_eq!(world.told().consecutive_failures, None, "{reason} is no failure");
    }
}

#[test]
fn what_it_rests_on_is_waited_for() {
    let mut world = world();
    let waits = Diagnosis::new(Reason::DependencyNotReady);
    world.observed.as_mut().unwrap().waits = Some(waits.clone());
    assert_eq!(world.decide().what, What::Rest(Because::Waits(waits)));
}

#[test]
fn one_of_a_crowd_keeps_its_place_whatever_keeps_it_from_being_sent_at_first() {
    let pause = Pause { until: None, config_map: "mailverity/pause".to_owned(), scope: PauseScope::All };
    let missing = Diagnosis::new(Reason::MailServerNotFound);
    let stops: [&dyn Fn(&mut World); 3] = [
        &|world| world.observed.as_mut().unwrap().waits = Some(Diagnosis::new(Reason::DependencyNotReady)),
        &|world| world.observed = Err(missing.clone()),
        &|world| world.pause = Some(pause.clone()),
    ];
    for stop in stops {
        let mut world = World { crowded: true, ..world() };
        let planned = world.decide().next.unwrap();
        assert!(planned > world.now);
        stop(&mut world);
        for _ in 0..3 {
            world.tell();
            world.passes(1);
        }
        assert_ne!(world.decide().what, What::Rest(Because::NotDue), "what stops it is told");
        let free = self::world();
        (world.observed, world.pause, world.crowded) = (free.observed, None, false);
        assert_eq!(world.tell().what, What::Rest(Because::NotDue));
        assert_eq!(world.told().next_probe_time.clone().unwrap().0, planned);
        world.now = planned;
        assert!(matches!(world.decide().what, What::Probe(_)));
    }
}

#[test]
fn after_a_restart_a_missed_slot_is_made_up_for_and_the_phase_is_kept() {
    let mut world = world();
    world.send();
    world.comes(1, None);
    world.tell();
    world.came.clear();
    world.passes(3 * 3600);
    world.since = world.now;
    let due = world.decide().next.unwrap();
    assert!(due <= later(world.now, Duration::from_mins(10)), "{due}");
    world.now = due;
    world.send();
    assert!(slot(world.told().next_probe_time.clone().unwrap().0));
}

#[test]
fn answers_to_a_mailbox_are_looked_for_after_a_restart_also_when_their_time_is_over() {
    let mut world = world();
    world.observed.as_mut().unwrap().reads = true;
    world.send();
    world.now = at(5000);
    let probe = world.probe();
    let Begin::Look { tries_until } = probe.begin else { panic!("{:?}", probe.begin) };
    assert_eq!(probe.id.as_deref(), Some(ID));
    // A mailbox that fails has the timeout once more, of ten minutes, and never beyond the next slot.
    assert!(tries_until > world.now && tries_until <= later(world.now, Duration::from_mins(10)), "{tries_until}");
    let slot = next_slot(world.now, UID, world.spec.interval().get());
    world.now = slot.checked_sub(Duration::from_secs(5)).unwrap();
    assert_eq!(world.probe().begin, Begin::Look { tries_until: slot });
}

#[test]
fn what_is_in_hand_in_time_is_in_time_whatever_the_receivers_clock_says() {
    for ahead in [-3600, 3600] {
        let mut world = world();
        world.send();
        world.comes(5, None);
        world.came[0].received = at(5).checked_add(jiff::SignedDuration::from_secs(ahead)).unwrap();
        let What::Settle(outcome) = world.decide().what else { panic!("not settled") };
        assert_eq!(outcome.reason, Reason::Succeeded, "{ahead}");
        assert!(outcome.took.unwrap() <= Duration::from_secs(5), "{ahead}");
    }
}

#[test]
fn a_bounce_for_another_recipient_is_remembered_and_settles_nothing() {
    let mut world = world();
    world.send();
    world.comes(1, Some(Diagnosis::new(Reason::MessageBounced).fact("recipient", "archive@partner.test")));
    assert!(matches!(world.tell().what, What::Note(_)));
    assert_eq!(world.decide().what, What::Rest(Because::AwaitsAnswer));
    let noted = world.status.clone();
    world.comes(1, None);
    assert_eq!(settled(&world.decide()), "Succeeded");
    (world.status, world.now) = (noted, at(700));
    world.came.clear();
    assert_eq!(settled(&world.decide()), "MessageBounced");
    for recipient in ["", "Echo@PARTNER.test"] {
        let mut world = super::super::samples::world();
        world.send();
        world.comes(1, Some(Diagnosis::new(Reason::MessageBounced).fact("recipient", recipient)));
        assert_eq!(settled(&world.decide()), "MessageBounced", "{recipient}");
    }
}

#[test]
fn a_probe_whose_time_is_over_is_settled_also_while_something_that_it_names_is_gone() {
    let mut world = world();
    world.send();
    world.observed = Err(Diagnosis::new(Reason::RefNotFound));
    assert!(matches!(world.decide().what, What::Refuse(_)));
    world.passes(603);
    assert_eq!(settled(&world.decide()), "ReplyTimeout");
}

#[test]
fn what_is_under_way_for_an_older_spec_is_told_to_end() {
    let mut world = world();
    let probe = world.probe();
    world.claim(&probe);
    world.running = Some(probe);
    assert_eq!(world.decide().what, What::Rest(Because::Running));
    world.observed.as_mut().unwrap().inputs = "other".to_owned();
    assert_eq!(world.decide().what, What::Rest(Because::Outdated));
}

#[test]
fn what_nobody_tells_of_is_looked_for_again() {
    let mut world = world();
    world.observed = Err(Diagnosis::new(Reason::RefNotFound));
    assert!(world.decide().next.is_some());
    world.observed = Err(Diagnosis::new(Reason::ReceiverNotFound));
    assert!(world.decide().next.is_none(), "its coming is told");
}
