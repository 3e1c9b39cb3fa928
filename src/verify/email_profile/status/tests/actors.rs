//! Several actors: who found a code, who did not, and what stands for all.

use super::*;

fn three() -> Case {
    profile().actors(&["default", "dmz", "edge"])
}

#[test]
fn one_that_fails_is_named_and_tried_again_until_all_are_verified() {
    let case = three().ends_for(&[("dmz", Ends::Fails(timed_out()))], &Ends::Found(2));
    assert_eq!(
        (case.says(c::VERIFIED).as_str(), case.told_status().summary.as_deref()),
        ("False SomeActorsUnverified", Some("2/3"))
    );
    assert!(
        case.message(c::VERIFIED).contains("2 of 3 actors verified; see status.actors for dmz"),
        "{}",
        case.message(c::VERIFIED)
    );
    assert_eq!((case.says(c::STALLED).as_str(), case.stands("dmz")), ("", (Stand::Unverified, "ConnectionTimedOut")));
    assert_eq!(case.told_status().last_verified_time, None);
    let case = case.when_due().ends(&Ends::Found(2));
    assert_eq!((case.says(c::VERIFIED).as_str(), case.told_status().summary.as_deref()), ("True AllActorsVerified", Some("3/3")));
    assert_eq!((case.mails.len(), failures(&case)), (3, None));
    assert!(case.told_status().last_verified_time.is_some());
}

#[test]
fn where_one_needs_the_user_so_does_the_profile() {
    let denied = Diagnosis::new(Reason::MailboxAccessDenied).at(Stage::Select);
    let case = three().ends_for(&[("dmz", Ends::Fails(timed_out())), ("edge", Ends::Fails(denied))], &Ends::Found(2));
    assert_eq!(case.says(c::STALLED), "True SomeActorsUnverified");
}

#[test]
fn what_all_say_alike_is_told_as_one_says_it() {
    let case = three().ends(&Ends::Loses(missing()));
    assert_eq!(case.says(c::VERIFIED), "False MessageNotReceived");
    let mixed = three().ends_for(&[("dmz", Ends::Loses(in_junk()))], &Ends::Loses(missing()));
    assert_eq!(mixed.says(c::VERIFIED), "False SomeActorsUnverified");
}

#[test]
fn what_an_earlier_part_of_a_run_found_still_counts_at_its_end() {
    let case = three().ends_for(&[("dmz", Ends::Fails(timed_out())), ("edge", Ends::Loses(in_junk()))], &Ends::Found(2));
    let case = case.when_due().ends(&Ends::Found(2));
    assert_eq!(
        (case.says(c::VERIFIED).as_str(), case.told_status().summary.as_deref()),
        ("False SomeActorsUnverified", Some("2/3"))
    );
    assert!(case.message(c::VERIFIED).ends_with("for edge."), "{}", case.message(c::VERIFIED));
    assert_eq!(case.says(c::STALLED), "True SomeActorsUnverified");
}

#[test]
fn below_the_threshold_it_stays_degraded_for_the_one_that_still_fails() {
    let case = three().verification(json!({"failureThreshold": 3})).ends(&Ends::Found(2)).when_due();
    let case = case.ends_for(&[("dmz", Ends::Fails(timed_out())), ("edge", Ends::Loses(missing()))], &Ends::Found(2));
    let case = case.when_due().ends(&Ends::Found(2));
    assert_eq!(
        (case.says(c::VERIFIED).as_str(), case.says(c::DEGRADED).as_str()),
        ("True AllActorsVerified", "True SomeActorsUnverified")
    );
    assert_eq!((failures(&case), case.told_status().summary.as_deref()), (Some(1), Some("2/3")));
}

#[test]
fn a_failure_in_a_part_that_was_cut_is_told_when_the_run_ends() {
    let case = three().ends_for(&[("dmz", Ends::Loses(in_junk())), ("edge", Ends::Awaits)], &Ends::Found(2));
    assert_eq!(case.says(c::VERIFIED), "Unknown VerificationRunning", "a cut run says nothing");
    let case = case.later(60).ends(&Ends::Found(2));
    assert_eq!((case.says(c::VERIFIED).as_str(), failures(&case)), ("False SomeActorsUnverified", Some(1)));
}

#[test]
fn changed_settings_are_not_verified_by_what_an_actor_found_before() {
    let case = three().ends(&Ends::Found(2)).later(60).edited();
    let case = case.ends_for(&[("edge", Ends::Stops)], &Ends::Found(2));
    assert_eq!((case.stands("edge").0, case.told_status().summary.as_deref()), (Stand::Pending, Some("2/3")));
    assert_eq!(case.says(c::RECONCILING), "True NewGeneration");
}

#[test]
fn an_actor_says_what_it_found_and_from_where() {
    let case = verified();
    let actor = case.actor("default");
    assert_eq!((actor.state, actor.attempt, actor.source_ip.as_deref()), (Stand::Verified, Some(1), Some("10.0.0.7")));
    assert_eq!((actor.sent_time.as_ref().map(|t| t.0), actor.received_time.as_ref().map(|t| t.0)), (Some(at(0)), Some(at(2))));
    assert_eq!((actor.duration.as_deref(), actor.checks.len()), (Some("2.00s"), 1));
    assert_eq!(actor.authentication_results.as_ref().and_then(|results| results.spf.as_deref()), Some("pass"));
    let failed = case.when_due().ends(&Ends::Loses(in_junk()));
    assert!(failed.actor("default").hint.as_deref().unwrap().contains("Junk"));
}
