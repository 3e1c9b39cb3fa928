mod actors;
mod bounds;
mod manual;
mod outgoing;

use serde_json::json;

use super::*;
use crate::{
    api::{
        Reason,
        v1alpha1::{ProfileActorState as Stand, condition as c},
    },
    mail::Stage,
    verify::email_profile::samples::{
        Case, DAY, Ends, HOUR, MINUTE, at, bounced, in_junk, manual, missing, profile, refused_login, timed_out,
    },
};

/// A profile whose code was found at noon.
fn verified() -> Case {
    profile().ends(&Ends::Found(2))
}

fn failures(case: &Case) -> Option<i32> {
    case.told_status().consecutive_failures
}

#[test]
fn a_fresh_profile_reads_as_in_progress() {
    let case = profile().told();
    assert_eq!(
        case.all(),
        [
            "Ready=Unknown VerificationRunning",
            "Verified=Unknown VerificationRunning",
            "Accepted=True Succeeded",
            "ResolvedRefs=True Succeeded",
            "CredentialsReady=True Succeeded",
            "Reconciling=True NewGeneration",
        ]
    );
    assert_eq!((case.told_status().observed_generation, case.told_status().summary.as_deref()), (Some(1), Some("0/1")));
}

#[test]
fn a_code_that_was_found_verifies_and_nothing_less_does() {
    let case = verified();
    assert_eq!(case.all()[..2], ["Ready=True CodeReceived", "Verified=True CodeReceived"]);
    assert_eq!((case.says(c::RECONCILING).as_str(), case.told_status().summary.as_deref()), ("", Some("1/1")));
    assert_eq!(case.told_status().last_verified_time.as_ref().map(|time| time.0), Some(at(2)));
    for ends in [
        Ends::Fails(timed_out()),
        Ends::Fails(refused_login()),
        Ends::Fails(Diagnosis::new(Reason::RateBudgetExceeded).at(Stage::Mail)),
        Ends::Loses(missing()),
        Ends::Loses(in_junk()),
        Ends::Loses(bounced()),
        Ends::Stops,
        Ends::Awaits,
    ] {
        let case = profile().ends(&ends);
        assert!(!case.says(c::VERIFIED).starts_with("True") && !case.says(c::READY).starts_with("True"), "{ends:?}");
        assert_eq!(case.told_status().summary.as_deref(), Some("0/1"), "{ends:?}");
    }
}

#[test]
fn what_became_of_the_mail_is_the_reason() {
    for (ends, stalled) in [(missing(), ""), (in_junk(), "True MessageInJunk"), (bounced(), "True MessageBounced")] {
        let reason = ends.reason.as_str();
        let case = profile().ends(&Ends::Loses(ends));
        assert_eq!((case.says(c::VERIFIED), case.says(c::READY)), (format!("False {reason}"), format!("False {reason}")));
        assert_eq!((case.says(c::STALLED).as_str(), case.stands("default")), (stalled, (Stand::Unverified, reason)));
    }
    let told = profile().ends(&Ends::Loses(in_junk())).message(c::VERIFIED);
    assert!(told.contains("Junk") && told.contains("mailer@corp.example"), "{told}");
}

#[test]
fn a_mail_that_may_have_gone_is_settled_by_the_mailbox() {
    // promise 2
    let uncertain = Diagnosis::new(Reason::DeliveryUncertain).at(Stage::Data);
    assert_eq!(profile().ends(&Ends::Loses(uncertain)).says(c::VERIFIED), "False DeliveryUncertain");
    assert_eq!(verified().says(c::VERIFIED), "True CodeReceived", "where it was found nothing is uncertain");
}

#[test]
fn below_the_threshold_a_verified_profile_stays_so_and_is_degraded() {
    let case = verified().when_due().ends(&Ends::Loses(missing()));
    assert_eq!((case.says(c::VERIFIED).as_str(), case.says(c::READY).as_str()), ("True CodeReceived", "True CodeReceived"));
    assert_eq!((case.says(c::DEGRADED).as_str(), failures(&case)), ("True MessageNotReceived", Some(1)));
    let case = case.when_due().ends(&Ends::Loses(missing()));
    assert_eq!((case.says(c::VERIFIED).as_str(), case.says(c::DEGRADED).as_str()), ("False MessageNotReceived", ""));
    let case = case.when_due().ends(&Ends::Found(2));
    assert_eq!((case.says(c::VERIFIED).as_str(), failures(&case)), ("True CodeReceived", None));
}

#[test]
fn a_threshold_does_not_cover_what_never_worked() {
    assert_eq!(profile().ends(&Ends::Loses(missing())).says(c::VERIFIED), "False MessageNotReceived");
    assert_eq!(verified().edited().ends(&Ends::Loses(missing())).says(c::VERIFIED), "False MessageNotReceived");
    // The claim has noted the new inputs, and another process ends the run.
    let restarted = verified().later(60).edited().sends("default").later(60).restarted();
    assert_eq!(restarted.ends(&Ends::Loses(missing())).says(c::VERIFIED), "False MessageNotReceived");
    let held = Diagnosis::new(Reason::RateBudgetExceeded).at(Stage::Mail);
    assert_eq!(verified().edited().ends(&Ends::Fails(held)).says(c::VERIFIED), "Unknown RateBudgetExceeded");
}

#[test]
fn during_a_run_all_conditions_keep_their_values_and_nothing_is_written_for_it() {
    let case = verified().when_due();
    let (before, writes) = (case.all(), case.writes);
    let case = case.begun();
    assert_eq!((case.all(), case.writes), (before.clone(), writes));
    let case = case.sends("default").later(60).restarted().told();
    assert_eq!(case.all(), before);
    assert_eq!(case.ends(&Ends::Awaits).all(), before);
}

#[test]
fn a_new_generation_is_pending_until_it_is_judged() {
    let case = verified().later(60).edited();
    for case in [case.clone().begun(), case.clone().sends("default").restarted().told()] {
        assert_eq!(
            (case.says(c::READY).as_str(), case.says(c::RECONCILING).as_str()),
            ("True CodeReceived", "True NewGeneration")
        );
        assert_eq!(case.condition(c::VERIFIED).unwrap().observed_generation, Some(1));
    }
    let judged = case.ends(&Ends::Found(2));
    assert_eq!((judged.says(c::RECONCILING).as_str(), judged.condition(c::READY).unwrap().observed_generation), ("", Some(2)));
}

#[test]
fn a_generation_that_changes_nothing_that_is_proved_is_current_at_once() {
    let case = verified().later(1).renamed().told();
    assert!(case.is_not_due());
    assert!(case.told_status().conditions.iter().all(|condition| condition.observed_generation == Some(2)));
    assert_eq!((case.told_status().observed_generation, case.says(c::RECONCILING).as_str()), (Some(2), ""));
}

#[test]
fn a_report_on_settings_that_changed_meanwhile_judges_nothing() {
    let case = verified().when_due().begun().edited().ends(&Ends::Fails(refused_login()));
    assert_eq!(
        (case.says(c::VERIFIED).as_str(), case.says(c::RECONCILING).as_str()),
        ("True CodeReceived", "True NewGeneration")
    );
    assert_eq!(case.triggers(), Some(Trigger::Changed));
}

#[test]
fn a_server_that_does_not_work_makes_the_profile_wait() {
    let case = verified().when_due().waiting().told();
    assert_eq!(
        (case.says(c::READY).as_str(), case.says(c::VERIFIED).as_str()),
        ("Unknown DependencyNotReady", "True CodeReceived")
    );
    assert!(case.message(c::READY).contains("Waiting for MailServer mail/relay: ConnectionRefused"));
    assert_eq!((case.says(c::STALLED).as_str(), case.says(c::RECONCILING).as_str()), ("", ""));
    assert_eq!(case.ready().told().says(c::READY), "True CodeReceived");
    let fresh = profile().waiting().told();
    assert_eq!(fresh.says(c::VERIFIED), "Unknown DependencyNotReady");
    let begun = fresh.ready().told();
    assert_eq!(
        (begun.says(c::VERIFIED).as_str(), begun.says(c::RECONCILING).as_str()),
        ("Unknown VerificationRunning", "True NewGeneration")
    );
}

#[test]
fn a_hold_is_told_with_its_time_and_remembered() {
    // promise 8
    let case = profile().begun().held_until(at(HOUR)).ends(&Ends::Fails(refused_login()));
    assert_eq!(
        (case.says(c::VERIFIED).as_str(), case.says(c::STALLED).as_str()),
        ("False AuthenticationFailed", "True AuthenticationFailed")
    );
    assert_eq!(case.says(c::CREDENTIAL_HELD), "True CredentialHeld");
    assert!(
        case.message(c::VERIFIED).contains("Check Secret mail/box. Not tried again before 2026-11-21T13:00:00Z"),
        "{}",
        case.message(c::VERIFIED)
    );
    let status = case.told_status();
    assert_eq!((status.credential_held_until.as_ref().map(|t| t.0), status.credential_refusals), (Some(at(HOUR)), Some(1)));
    assert_eq!(status.credentials_observed.as_deref(), Some("credentials-1"));
    let mut over = case.at(at(HOUR));
    over.held = None;
    let accepted = over.ends(&Ends::Found(2));
    assert_eq!((accepted.told_status().credential_refusals, accepted.says(c::CREDENTIAL_HELD).as_str()), (None, ""));
}

#[test]
fn a_hold_that_others_brought_makes_it_unready_and_leaves_what_was_verified() {
    let case = verified().later(60).held_until(at(HOUR)).told();
    assert_eq!((case.says(c::READY).as_str(), case.says(c::VERIFIED).as_str()), ("False CredentialHeld", "True CodeReceived"));
    assert_eq!(case.later(HOUR).told().says(c::READY), "True CodeReceived");
    let fresh = profile().held_until(at(HOUR)).told();
    assert_eq!(
        (fresh.says(c::READY).as_str(), fresh.says(c::VERIFIED).as_str()),
        ("False CredentialHeld", "Unknown CredentialHeld")
    );
}

#[test]
fn a_missing_secret_is_told_and_says_nothing_once_it_is_back() {
    let case = verified().refused(Reason::SecretNotFound).told();
    assert_eq!(
        case.all(),
        [
            "Ready=False SecretNotFound",
            "Verified=False SecretNotFound",
            "Accepted=True Succeeded",
            "ResolvedRefs=False SecretNotFound",
            "CredentialsReady=Unknown SecretNotFound",
            "Stalled=True SecretNotFound",
        ]
    );
    let mut back = case.later(60);
    back.observed = profile().observed;
    let back = back.begun();
    assert_eq!((back.says(c::VERIFIED).as_str(), back.says(c::STALLED).as_str()), ("Unknown VerificationRunning", ""));
    assert_eq!(back.ends(&Ends::Found(2)).says(c::READY), "True CodeReceived");
    let mut unread = verified();
    unread.observed = Err(Diagnosis::new(Reason::SecretNotFound).class(crate::api::Class::Transient));
    let before = unread.all();
    assert_eq!(unread.told().all(), before, "what could not be read is no news");
}

#[test]
fn a_schedule_that_cannot_be_read_is_not_accepted_and_keeps_what_was_verified() {
    let case = verified().with("maintenance", json!([{"start": "0 25 * * *", "duration": "1h"}])).told();
    assert_eq!(
        (case.says(c::ACCEPTED).as_str(), case.says(c::VERIFIED).as_str()),
        ("False ScheduleInvalid", "True CodeReceived")
    );
    assert_eq!(case.says(c::STALLED), "True ScheduleInvalid");
    let mended = case.with("maintenance", json!([])).told();
    assert_eq!((mended.says(c::READY).as_str(), mended.triggers()), ("True CodeReceived", None));
}

#[test]
fn a_suspended_profile_has_no_ready_and_keeps_what_was_verified() {
    for ends in [Ends::Found(2), Ends::Loses(in_junk())] {
        let case = profile().ends(&ends);
        let (before, stalled) = (case.says(c::VERIFIED), case.says(c::STALLED));
        let case = case.suspended(true).told();
        assert_eq!((case.says(c::SUSPENDED).as_str(), case.says(c::READY).as_str()), ("True Suspended", ""));
        assert_eq!((case.says(c::VERIFIED), case.says(c::STALLED).as_str()), (before.clone(), ""));
        assert_eq!(case.told_status().observed_generation, Some(2));
        let resumed = case.suspended(false).told();
        assert_eq!(
            (resumed.says(c::READY), resumed.says(c::STALLED), resumed.says(c::SUSPENDED)),
            (before, stalled, String::new())
        );
    }
}

#[test]
fn mode_observe_proves_nothing_and_takes_nothing_away() {
    // promise 4
    let case = profile().observing(true).ends(&Ends::Found(0));
    assert_eq!((case.says(c::VERIFIED).as_str(), case.says(c::READY).as_str()), ("Unknown ObserveOnly", "Unknown ObserveOnly"));
    let kept = verified().when_due().observing(true).ends(&Ends::Found(0));
    assert_eq!((kept.says(c::VERIFIED).as_str(), kept.says(c::DEGRADED).as_str()), ("True CodeReceived", ""));
    let changed = verified().later(60).edited().observing(true).ends(&Ends::Found(0));
    assert_eq!(changed.says(c::VERIFIED), "Unknown ObserveOnly", "changed settings were not proved");
    let refused = verified().when_due().ends(&Ends::Fails(Diagnosis::new(Reason::SendAsDenied).at(Stage::Mail))).when_due();
    let visited = refused.ends(&Ends::Fails(Diagnosis::new(Reason::SendAsDenied).at(Stage::Mail))).when_due().observing(true);
    assert_eq!(visited.ends(&Ends::Found(0)).says(c::VERIFIED), "False SendAsDenied", "a login says nothing of the sender");
}

#[test]
fn what_works_and_not_as_it_should_is_told() {
    let slow = profile().ends(&Ends::Found(8 * MINUTE));
    assert_eq!((slow.says(c::READY).as_str(), slow.says(c::DEGRADED).as_str()), ("True CodeReceived", "True SlowMail"));
    assert!(slow.message(c::DEGRADED).contains("480s of 900s"));
    assert_eq!(slow.when_due().ends(&Ends::Found(2)).says(c::DEGRADED), "");
    let own = profile().seeing(|observed| observed.from = Some("Box@corp.example".to_owned())).ends(&Ends::Found(2));
    assert_eq!(own.says(c::DEGRADED), "True SharedMailbox");
}

#[test]
fn what_the_receiving_server_wrote_of_the_sender_is_told() {
    let results = |dmarc: &str| {
        let case = profile().begun();
        let run = case.running.clone().unwrap();
        let case = case.sends("default");
        let mut report = crate::verify::email_profile::samples::report(&case, &run, |_| Ends::Found(2));
        let found = report.actors[0].found.as_mut().unwrap();
        found.results.dmarc = Some(dmarc.to_owned());
        case.finds(&report)
    };
    assert_eq!(results("pass").says(c::SENDER_ALIGNED), "True Succeeded");
    let fails = results("fail");
    assert_eq!(
        (fails.says(c::SENDER_ALIGNED).as_str(), fails.says(c::READY).as_str()),
        ("False SenderNotAligned", "True CodeReceived")
    );
    assert!(fails.message(c::SENDER_ALIGNED).contains("corp.example"));
    let later = fails.when_due().ends(&Ends::Fails(timed_out()));
    assert_eq!(later.says(c::SENDER_ALIGNED), "False SenderNotAligned", "no mail, no news");
    assert_eq!(later.edited().ends(&Ends::Fails(timed_out())).says(c::SENDER_ALIGNED), "");
}

#[test]
fn a_certificate_that_ends_soon_is_told_without_a_run() {
    let mut case = verified();
    let not_after = at(600) + jiff::SignedDuration::from_hours(336);
    let tls = json!({"notAfter": not_after.to_string(), "subject": "CN=imap"});
    case.status.as_mut().unwrap().tls = Some(serde_json::from_value(tls).unwrap());
    assert_eq!(case.clone().told().says(c::CERTIFICATE_EXPIRING), "");
    let warned = case.later(600).told();
    assert_eq!((warned.says(c::CERTIFICATE_EXPIRING).as_str(), warned.triggers()), ("True CertificateExpiring", None));
}

#[test]
fn deciding_again_writes_nothing() {
    let mut crowded = profile();
    crowded.crowded = true;
    let held = Diagnosis::new(Reason::CredentialHeld).at(Stage::Auth).fact("until", at(HOUR).to_string());
    let cases = vec![
        verified(),
        crowded,
        profile().begun(),
        profile().sends("default"),
        profile().ends(&Ends::Fails(timed_out())),
        profile().ends(&Ends::Fails(held)),
        profile().ends(&Ends::Loses(in_junk())),
        profile().ends(&Ends::Fails(timed_out())).waiting(),
        verified().when_due().ends(&Ends::Loses(missing())),
        profile().held_until(at(HOUR)),
        profile().refused(Reason::SecretNotFound),
        profile().with("suspend", json!(true)),
        verified().paused(Some(at(DAY))),
        verified().waiting(),
        verified().renamed(),
        manual().begun(),
        manual().begun().ends(&Ends::Found(0)),
    ];
    for case in cases {
        let once = case.told();
        let twice = once.clone().later(1).told();
        assert_eq!(once.writes, twice.writes, "{:?} {:?}", once.all(), twice.all());
        let restarted = once.clone().later(2).restarted();
        if restarted.triggers().is_none() {
            assert_eq!(restarted.told().writes, once.writes, "{:?}", once.all());
        }
    }
}

#[test]
fn a_status_that_differs_in_the_times_of_its_conditions_alone_is_not_written() {
    let old = verified().told_status().clone();
    let mut new = old.clone();
    new.conditions[0].last_transition_time = Time(at(9));
    assert!(!differs(Some(&old), &new));
    new.next_run_time = Some(Time(at(DAY)));
    assert!(differs(Some(&old), &new), "or the run would be repeated at once");
    assert!(differs(None, &old));
}

#[test]
fn one_cause_is_one_event() {
    // promise 14
    let told = |old: &Case, new: &Case| -> Vec<String> {
        let events = transitions(old.status.as_ref(), new.told_status());
        events.into_iter().map(|e| format!("{} {}", if e.warning { "Warning" } else { "Normal" }, e.reason)).collect()
    };
    let (fresh, good) = (profile(), verified());
    let running = fresh.clone().begun();
    let held = good.clone().later(1).held_until(at(HOUR)).told();
    assert_eq!(told(&fresh, &running), ["Normal Accepted"]);
    assert_eq!(told(&running, &good), ["Normal Verified"]);
    assert_eq!(told(&good, &good.clone().when_due().ends(&Ends::Found(2))), [""; 0]);
    let degraded = good.clone().when_due().ends(&Ends::Loses(missing()));
    assert_eq!(told(&good, &degraded), ["Warning MessageNotReceived"]);
    assert_eq!(told(&degraded, &degraded.clone().when_due().ends(&Ends::Loses(missing()))), ["Warning MessageNotReceived"]);
    assert_eq!(told(&good, &held), ["Warning CredentialHeld"]);
    assert_eq!(told(&good, &good.clone().refused(Reason::SecretNotFound).told()), ["Warning SecretNotFound"]);
    assert_eq!(told(&good, &good.clone().waiting().told()), [""; 0], "one dead relay is one alert: its own");
}
