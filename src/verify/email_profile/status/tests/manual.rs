//! Mode Manual: what a person is told. And mode Automatic, where no status holds a code.

use super::*;

#[test]
fn a_person_is_told_what_to_send_where_and_until_when() {
    let case = manual().begun();
    assert_eq!(
        (case.says(c::VERIFIED).as_str(), case.says(c::READY).as_str()),
        ("Unknown AwaitingManualMessage", "Unknown AwaitingManualMessage")
    );
    let told = case.message(c::VERIFIED);
    let asked =
        format!("Send a mail to box@corp.example with the subject (code of {}) before 2026-11-21T13:00:00Z", case.run_id());
    assert!(told.contains(&asked), "{told}");
    assert_eq!(case.ends(&Ends::Found(0)).says(c::VERIFIED), "True CodeReceived");
}

#[test]
fn a_mail_that_never_came_is_told_and_no_visit_makes_up_for_it() {
    let case = manual().begun().at(at(HOUR)).ends(&Ends::Loses(missing()));
    assert_eq!(case.says(c::VERIFIED), "False MessageNotReceived");
    let visited = case.when_due().ends(&Ends::Found(0));
    assert_eq!(visited.says(c::VERIFIED), "False MessageNotReceived");
    let back = visited.when_due().ends(&Ends::Fails(timed_out())).when_due().ends(&Ends::Found(0));
    assert_eq!(back.says(c::VERIFIED), "False MessageNotReceived", "{}", back.message(c::VERIFIED));
    assert_eq!(back.later(60).asked("again").begun().ends(&Ends::Found(0)).says(c::VERIFIED), "True CodeReceived");
}

#[test]
fn a_failing_visit_counts_towards_the_threshold() {
    let case = manual().begun().ends(&Ends::Found(0)).when_due().ends(&Ends::Fails(timed_out()));
    assert_eq!(
        (case.says(c::VERIFIED).as_str(), case.says(c::DEGRADED).as_str()),
        ("True CodeReceived", "True ConnectionTimedOut")
    );
    let down = case.clone().when_due().ends(&Ends::Fails(timed_out()));
    assert_eq!(down.says(c::VERIFIED), "False ConnectionTimedOut");
    let back = case.when_due().ends(&Ends::Found(0));
    assert_eq!(
        (back.says(c::VERIFIED).as_str(), back.says(c::DEGRADED).as_str(), failures(&back)),
        ("True CodeReceived", "", None)
    );
}

#[test]
fn below_the_threshold_a_second_mail_that_never_came_degrades_and_a_visit_does_not_mend_it() {
    let case = manual().begun().ends(&Ends::Found(0)).later(60).asked("now").begun().later(HOUR).ends(&Ends::Loses(missing()));
    assert_eq!(
        (case.says(c::VERIFIED).as_str(), case.says(c::DEGRADED).as_str()),
        ("True CodeReceived", "True MessageNotReceived")
    );
    let visited = case.when_due().ends(&Ends::Found(0));
    assert_eq!((visited.says(c::DEGRADED).as_str(), failures(&visited)), ("True MessageNotReceived", Some(1)));
    assert_eq!(visited.when_due().ends(&Ends::Fails(timed_out())).says(c::VERIFIED), "False ConnectionTimedOut");
}

#[test]
fn each_visit_is_told_so_that_it_is_not_repeated() {
    let mut case = manual().begun().ends(&Ends::Found(0));
    for _ in 0..3 {
        case = case.when_due().ends(&Ends::Found(0));
        assert!(case.is_not_due() && case.next_run() > case.now);
    }
}

#[test]
fn no_status_of_mode_automatic_holds_a_code() {
    // promise 14
    let mut case = manual().begun().verification(json!({"senderRef": {"name": "relay"}})).edited().ends(&Ends::Awaits);
    for _ in 0..4 {
        assert_eq!(case.told_status().verification.as_ref().and_then(|v| v.subject.clone()), None);
        let written = serde_json::to_string(&case.status).unwrap();
        assert!(!written.contains("code of"), "{written}");
        case = if case.triggers().is_some() { case.ends(&Ends::Loses(missing())) } else { case.when_due().sends("default") };
    }
}
