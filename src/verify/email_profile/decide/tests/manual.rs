//! Mode Manual: a person is asked for one mail, and the login keeps up what it proved.

use super::*;
use crate::verify::email_profile::samples::missing;

fn look(seconds: i64) -> Begin {
    Begin::look(at(seconds))
}

fn subject(case: &Case) -> String {
    case.told_status().verification.as_ref().and_then(|v| v.subject.clone()).unwrap()
}

#[test]
fn a_person_is_asked_for_a_mail_and_has_until_the_deadline() {
    let case = manual().begun();
    let verification = case.told_status().verification.clone().unwrap();
    assert_eq!(verification.deadline.map(|time| time.0), Some(at(HOUR)));
    assert_eq!((verification.to.as_deref(), subject(&case)), (Some("box@corp.example"), format!("(code of {})", case.run_id())));
    assert_eq!(case.stands("default").0, Stand::AwaitingMessage);
    let restarted = case.later(60).restarted();
    let taken_up = Begin::Look { until: at(HOUR), tries_until: Some(at(60 + 15 * MINUTE)) };
    assert_eq!((restarted.errands()[0].1, restarted.run().id), (taken_up, restarted.run_id()));
}

#[test]
fn while_its_code_is_not_found_a_request_restarts_the_deadline_with_the_same_code() {
    let asked = manual().begun();
    for case in [
        asked.clone().later(60).asked("now").ends(&Ends::Awaits),
        asked.ends(&Ends::Loses(missing())).later(2 * HOUR).asked("now"),
    ] {
        let (id, deadline) = (case.run_id(), case.now + jiff::SignedDuration::from_secs(HOUR));
        assert_eq!((case.triggers(), case.run().id), (Some(Trigger::Requested), id));
        let again = case.begun();
        assert_eq!(again.told_status().verification.as_ref().unwrap().deadline.as_ref().unwrap().0, deadline);
        assert_eq!(again.told_status().last_handled_verify_request.as_deref(), Some("now"));
        assert_eq!(again.plan().what, What::Rest(Because::Running));
    }
}

#[test]
fn a_request_after_its_code_was_found_asks_for_another() {
    let case = manual().begun().later(600).ends(&Ends::Found(0)).later(60).asked("now");
    let old = subject(&case);
    assert_eq!(case.triggers(), Some(Trigger::Requested));
    assert_ne!(subject(&case.begun()), old);
}

#[test]
fn what_a_person_proved_is_kept_up_by_visits() {
    let mut case = manual().begun().later(600).ends(&Ends::Found(0));
    let code = subject(&case);
    for _ in 0..3 {
        case = case.when_due();
        assert_eq!(case.errands(), [("default".to_owned(), Begin::Visit, 1)]);
        let due = case.now;
        case = case.ends(&Ends::Found(0));
        assert!(case.is_not_due() && case.next_run().as_second() - due.as_second() > DAY / 2);
        assert_eq!((case.stands("default"), subject(&case)), ((Stand::Verified, "CodeReceived"), code.clone()));
    }
}

#[test]
fn a_failing_visit_is_tried_again_with_back_off() {
    let case = manual().begun().ends(&Ends::Found(0)).when_due().ends(&Ends::Fails(timed_out()));
    assert!(case.next_run().as_second() - case.now.as_second() <= 30);
    let case = case.when_due();
    assert_eq!(case.errands()[0].1, Begin::Visit);
    let back = case.ends(&Ends::Found(0));
    assert_eq!(back.stands("default"), (Stand::Verified, "CodeReceived"));
    assert!(back.next_run().as_second() - back.now.as_second() > DAY / 2);
}

#[test]
fn after_the_deadline_the_mailbox_is_only_visited() {
    let case = manual().begun().at(at(HOUR)).ends(&Ends::Loses(missing()));
    assert!(case.next_run() > at(DAY / 2), "no back-off brings a mail");
    let case = case.when_due();
    assert_eq!(case.errands()[0].1, Begin::Visit);
    let case = case.ends(&Ends::Fails(timed_out())).when_due().ends(&Ends::Found(0));
    assert_eq!(case.stands("default"), (Stand::Unverified, "MessageNotReceived"), "a mailbox that opens shows no mail");
    assert!(case.next_run().as_second() - case.now.as_second() > DAY / 2);
}

#[test]
fn a_mailbox_that_fails_before_the_deadline_is_looked_at_again_until_then() {
    let case = manual().begun().later(60).ends(&Ends::Loses(timed_out()));
    assert_eq!(case.stands("default"), (Stand::Unverified, "ConnectionTimedOut"));
    let again = case.when_due();
    assert_eq!((again.errands()[0].1, again.run().id), (look(HOUR), again.run_id()));
    assert_eq!(again.ends(&Ends::Found(0)).stands("default").0, Stand::Verified);
}

#[test]
fn a_change_asks_for_a_new_mail() {
    let case = manual().begun().ends(&Ends::Found(0)).later(60).edited();
    let old = subject(&case);
    assert_eq!(case.triggers(), Some(Trigger::Changed));
    assert_ne!(subject(&case.begun()), old);
}

#[test]
fn mode_observe_looks_for_the_mail_of_a_person() {
    // promise 4: that sends nothing
    assert_eq!(manual().observing(true).errands()[0].1, look(HOUR));
}

#[test]
fn of_several_actors_only_those_that_did_not_find_it_look_again() {
    let case = manual().actors(&["default", "dmz"]).begun().at(at(HOUR));
    let case = case.ends_for(&[("dmz", Ends::Loses(missing()))], &Ends::Found(0)).later(60).asked("now");
    assert_eq!(case.errands().iter().map(|errand| errand.0.as_str()).collect::<Vec<_>>(), ["dmz"]);
    assert_eq!(case.begun().stands("default").0, Stand::Verified);
}
