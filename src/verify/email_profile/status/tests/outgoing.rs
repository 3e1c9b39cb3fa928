//! The login to the outgoing server.

use super::*;
use crate::verify::{
    email_profile::samples::{refused_outgoing, report, unreached_outgoing},
    report::LoginOutcome,
};

fn both() -> Case {
    profile().with_outgoing()
}

fn outgoing(case: &Case) -> Stand {
    case.told_status().outgoing.as_ref().map(|outgoing| outgoing.state).unwrap_or_default()
}

/// All codes are found, and this is said of the outgoing server.
fn ends(case: Case, says: fn(&Case, &Run) -> RunReport) -> Case {
    let mut case = case.begun();
    let run = case.running.clone().unwrap();
    for errand in &run.errands {
        case = case.sends(&errand.actor);
    }
    let report = says(&case, &run);
    case.finds(&report)
}

#[test]
fn its_failure_makes_the_profile_unverified_and_names_it() {
    let case = ends(both(), refused_outgoing);
    assert_eq!(
        (case.says(c::VERIFIED).as_str(), case.says(c::STALLED).as_str()),
        ("False AuthenticationFailed", "True AuthenticationFailed")
    );
    let told = case.message(c::VERIFIED);
    assert!(told.starts_with("Outgoing server smtp.corp.example:587: AUTH: 535 5.7.8 no."), "{told}");
    assert_eq!((outgoing(&case), case.told_status().summary.as_deref()), (Stand::Unverified, Some("1/1")));
    assert!(case.next_run() > at(DAY / 2), "the user has to act");
}

#[test]
fn what_time_may_cure_is_tried_again_without_a_mail() {
    let case = ends(both(), unreached_outgoing).when_due();
    assert!(case.now <= at(30));
    let run = case.run();
    assert_eq!((run.errands.len(), run.outgoing, run.trigger), (0, true, Trigger::GoesOn));
    let again = ends(case, unreached_outgoing);
    assert!(again.next_run() > again.now && failures(&again) == Some(2), "with growing pauses");
    let well = again.when_due().ends(&Ends::Found(2));
    assert_eq!((well.says(c::VERIFIED).as_str(), outgoing(&well), well.mails.len()), ("True CodeReceived", Stand::Verified, 1));
    assert!(well.next_run() > at(DAY / 2));
}

#[test]
fn where_the_mailbox_refused_the_login_it_is_not_tried() {
    // promise 7
    let case = both().begun();
    let run = case.running.clone().unwrap();
    let refused = report(&case, &run, |_| Ends::Fails(refused_login()));
    let case = case.finds(&RunReport { outgoing: None, ..refused });
    assert_eq!((case.says(c::VERIFIED).as_str(), outgoing(&case)), ("False AuthenticationFailed", Stand::Pending));
}

#[test]
fn a_run_that_was_told_to_end_before_its_login_goes_on_with_it() {
    let case = both().ends(&Ends::Found(2)).when_due().sends("default");
    let run = case.running.clone().unwrap();
    let report = report(&case, &run, |_| Ends::Found(2));
    let case = case.finds(&RunReport { outgoing: None, ..report });
    let goes_on = case.run();
    assert_eq!((goes_on.id == run.id, goes_on.errands.len(), goes_on.outgoing), (true, 0, true));
    let first = ends(both(), |case, run| RunReport { outgoing: None, ..self::report(case, run, |_| Ends::Found(2)) });
    assert!(first.says(c::VERIFIED).starts_with("Unknown"), "nothing is True that was not proved: {}", first.says(c::VERIFIED));
}

#[test]
fn each_run_proves_it_anew_and_a_retry_does_not() {
    let case = both().actors(&["default", "dmz"]).ends_for(&[("dmz", Ends::Fails(timed_out()))], &Ends::Found(2)).when_due();
    assert!(!case.run().outgoing);
    assert!(case.ends(&Ends::Found(2)).when_due().run().outgoing);
    let person = manual().with_outgoing().begun().ends(&Ends::Found(0)).when_due();
    assert!(person.run().outgoing, "also where the mailbox is only visited");
}

#[test]
fn its_hold_is_remembered_until_it_takes_the_login() {
    // promise 8
    let mut case = both().begun();
    case.outgoing_held =
        Some(crate::verify::breaker::Hold { credentials: "credentials-out".to_owned(), until: at(HOUR), refusals: 1 });
    let run = case.running.clone().unwrap();
    let case = case.sends("default");
    let refused = refused_outgoing(&case, &run);
    let case = case.finds(&refused);
    assert_eq!(case.says(c::CREDENTIAL_HELD), "True CredentialHeld");
    let told = |case: &Case| (case.told_status().credentials_observed.clone().unwrap(), case.told_status().credential_refusals);
    assert_eq!(told(&case), ("credentials-out".to_owned(), Some(1)));
    let mut over = case.when_due();
    over.outgoing_held = None;
    let unreached = ends(over, unreached_outgoing);
    assert_eq!(told(&unreached), ("credentials-out".to_owned(), Some(1)), "so that the next refusal there doubles it");
    let accepted = unreached.when_due().ends(&Ends::Found(2));
    assert_eq!(told(&accepted), ("credentials-1".to_owned(), None));
    assert_eq!(report(&accepted, &run, |_| Ends::Found(2)).outgoing.unwrap().login, Some(LoginOutcome::Accepted));
}

#[test]
fn what_is_no_longer_asked_for_is_forgotten() {
    let case = ends(both(), refused_outgoing).later(60).inputs("without").seeing(|observed| observed.outgoing = None);
    assert_eq!(case.ends(&Ends::Found(2)).told_status().outgoing, None);
}
