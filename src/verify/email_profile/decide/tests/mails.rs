//! Promise 3: whatever happens, what leaves is what may leave.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::verify::email_profile::samples::{Left, bounced, in_junk, missing};

#[test]
fn a_mailbox_that_swallows_everything_gets_one_mail_an_interval() {
    // promise 3: a day and a week of fake clock, with restarts
    for interval in ["15m", "1h", "24h"] {
        let mut case = profile().actors(&["default", "dmz"]).verification(json!({"interval": interval, "timeout": "10m"}));
        let every = case.spec.interval().get().as_secs().cast_signed();
        let end = at(if interval == "24h" { 7 * DAY } else { DAY });
        while case.now < end {
            case = case.begun().sends("default").sends("dmz");
            case = case.later(60).restarted().later(540).ends(&Ends::Loses(missing())).when_due();
        }
        for actor in ["default", "dmz"] {
            let times: Vec<i64> = case.mails.iter().filter(|mail| mail.actor == actor).map(|mail| mail.at.as_second()).collect();
            assert!(times.windows(2).skip(1).all(|pair| pair[1] - pair[0] == every), "{interval}: {times:?}");
            assert!(times.len() >= 7);
        }
    }
}

#[test]
fn after_a_mail_left_back_off_sends_no_other() {
    for diagnosis in [missing(), in_junk(), bounced(), timed_out(), Diagnosis::new(Reason::DeliveryUncertain).at(Stage::Data)] {
        let case = profile().ends(&Ends::Loses(diagnosis.clone()));
        assert!(case.is_not_due() && case.next_run() > at(DAY / 2), "{diagnosis}");
        assert_eq!(case.when_due().triggers(), Some(Trigger::Due));
    }
}

#[test]
fn a_mail_that_failed_before_its_final_dot_is_tried_again_in_its_run() {
    // promise 2: a new claim with attempt n + 1 and the same code
    let greylisted = Diagnosis::new(Reason::Greylisted).at(Stage::Rcpt).words("450 4.2.0 later");
    let case = profile().ends(&Ends::Returns(greylisted)).when_due();
    assert_eq!((case.errands(), case.run().id), (vec![("default".to_owned(), Begin::Send, 2)], case.run_id()));
    let sent = case.sends("default");
    assert_eq!((sent.told_status().claims[0].attempt, sent.told_status().claims[0].id.clone()), (2, sent.run_id()));
}

#[test]
fn the_next_mail_goes_at_the_interval_on_a_request_or_on_a_change() {
    for case in [verified().when_due(), verified().later(60).asked("now"), verified().later(60).edited()] {
        assert_eq!(case.errands(), [("default".to_owned(), Begin::Send, 1)]);
    }
}

#[test]
fn a_request_that_died_with_its_process_is_not_answered_by_a_second_mail() {
    // promise 2
    let case = verified().later(60).asked("now").sends("default").later(5).restarted();
    assert_eq!(case.told_status().last_handled_verify_request.as_deref(), Some("now"));
    assert!(matches!(case.errands()[0].1, Begin::Look { .. }));
}

#[test]
fn mode_observe_sends_nothing_and_what_it_kept_goes_when_sending_is_allowed() {
    // promise 4
    let mut case = profile().observing(true);
    for _ in 0..3 {
        assert_eq!(case.errands(), [("default".to_owned(), Begin::Visit, 1)]);
        case = case.ends(&Ends::Found(0));
        assert!(case.is_not_due());
        case = case.when_due();
        assert_eq!(case.triggers(), Some(Trigger::Due));
    }
    let mut case = case.observing(false);
    for _ in 0..3 {
        assert_eq!(case.errands()[0].1, Begin::Send, "and at each slot from then on");
        case = case.ends(&Ends::Found(2)).when_due();
    }
    let sent = profile().sends("default").restarted().observing(true);
    assert!(matches!(sent.errands()[0].1, Begin::Look { .. }), "a mail that left is looked for");
}

/// One thing that may befall a profile.
#[derive(Clone, Copy, Debug)]
enum Event {
    Found,
    Lost,
    Failed,
    Returned,
    Stopped,
    Awaited,
    DiesUnclaimed,
    DiesClaimed,
    DiesSent,
    Asked,
    Edited,
    Renamed,
    Suspended,
    Paused,
    Observed,
    Missing,
    Waits,
    Nothing,
}

fn event() -> impl Strategy<Value = Event> {
    use Event::{
        Asked, Awaited, DiesClaimed, DiesSent, DiesUnclaimed, Edited, Failed, Found, Lost, Missing, Nothing, Observed, Paused,
        Renamed, Returned, Stopped, Suspended, Waits,
    };
    prop::sample::select(vec![
        Found,
        Found,
        Found,
        Lost,
        Lost,
        Failed,
        Failed,
        Returned,
        Stopped,
        Awaited,
        DiesUnclaimed,
        DiesClaimed,
        DiesSent,
        DiesSent,
        Asked,
        Edited,
        Renamed,
        Suspended,
        Paused,
        Observed,
        Missing,
        Waits,
        Nothing,
        Nothing,
    ])
}

/// The history goes on: what is due is run and ends so, or something happens to the object.
fn step(case: Case, what: Event, actor: usize, licence: &mut Vec<Timestamp>) -> Case {
    let runs = matches!(case.plan().what, What::Run(_));
    let named = case.seen().actors().get(actor % 2).cloned().unwrap_or_default();
    let ends = |case: Case, end: Ends| if runs { case.ends_for(&[(&named, end)], &Ends::Found(2)) } else { case.told() };
    let may_send = |case: &Case| runs && case.run().errands.iter().any(|e| e.actor == named && e.begin == Begin::Send);
    match what {
        Event::Found => ends(case, Ends::Found(2)),
        Event::Lost => ends(case, Ends::Loses(missing())),
        Event::Failed => ends(case, Ends::Fails(timed_out())),
        Event::Returned => ends(case, Ends::Returns(timed_out())),
        Event::Stopped => ends(case, Ends::Stops),
        Event::Awaited => ends(case, Ends::Awaits),
        Event::DiesUnclaimed if runs => case.begun().restarted(),
        Event::DiesClaimed if may_send(&case) => case.claims(&named).restarted(),
        Event::DiesSent if may_send(&case) => case.sends(&named).restarted(),
        Event::DiesUnclaimed | Event::DiesClaimed | Event::DiesSent => case.told().restarted(),
        Event::Asked => {
            licence.push(case.now);
            let request = case.now.to_string();
            case.asked(&request).told()
        }
        Event::Edited => {
            licence.push(case.now);
            if case.observed.is_ok() { case.edited().told() } else { case.told() }
        }
        Event::Renamed => case.renamed().told(),
        Event::Suspended => {
            let suspended = case.spec.suspend == Some(true);
            case.told().suspended(!suspended).told()
        }
        Event::Paused => {
            let paused = case.pause.is_some();
            let mut case = if paused { case } else { case.paused(None) };
            case.pause = case.pause.filter(|_| !paused);
            case.told()
        }
        Event::Observed => {
            let observes = case.mode == Mode::Observe;
            case.observing(!observes).told()
        }
        Event::Missing => {
            licence.push(case.now);
            let mut missing = case.clone().refused(Reason::SecretNotFound).told().later(5);
            missing.observed = case.observed;
            missing.told()
        }
        Event::Waits => case.waiting().told().later(30).ready().told(),
        Event::Nothing => case.told(),
    }
}

/// Which mails no slot, request or change allows.
fn unlicensed(mails: &[Left], licence: &[Timestamp], interval: i64) -> Vec<(Left, Left)> {
    let pairs = mails.iter().enumerate().filter_map(|(n, mail)| {
        let before = mails[..n].iter().rev().find(|before| before.actor == mail.actor)?;
        Some((before.clone(), mail.clone()))
    });
    let allowed = |before: &Left, mail: &Left| {
        mail.at.as_second() - before.at.as_second() > interval / 2 || licence.iter().any(|at| before.at <= *at && *at <= mail.at)
    };
    pairs.filter(|(before, mail)| !allowed(before, mail)).collect()
}

proptest! {
    #[test]
    fn whatever_happens_one_mail_an_actor_and_run_and_none_before_its_time(
        uid in "[a-z0-9]{8}", steps in prop::collection::vec((event(), 0_usize..2, 1_i64..20_000, any::<bool>()), 1..40),
    ) {
        // promises 1 to 3
        let mut case = profile().actors(&["default", "dmz"]);
        case.uid = uid;
        let mut licence = Vec::new();
        for (what, actor, seconds, soon) in steps {
            let next = case.plan().next.filter(|next| soon && *next > case.now);
            case = next.map_or_else(|| case.clone().later(seconds), |next| case.clone().at(next));
            let mails = case.mails.len();
            let observes = case.mode == Mode::Observe;
            case = step(case, what, actor, &mut licence);
            prop_assert!(!observes || case.mails.len() == mails, "a mail in mode Observe");
            prop_assert!(case.says("Reconciling").is_empty() || case.says("Stalled").is_empty());
        }
        let mut runs: BTreeMap<(String, String), BTreeSet<Timestamp>> = BTreeMap::new();
        for mail in &case.mails {
            prop_assert!(runs.entry((mail.run.clone(), mail.actor.clone())).or_default().is_empty(), "twice in a run: {mail:?}");
            runs.entry((mail.run.clone(), mail.actor.clone())).or_default().insert(mail.at);
        }
        let unlicensed = unlicensed(&case.mails, &licence, DAY);
        prop_assert!(unlicensed.is_empty(), "{unlicensed:?}");
        for claim in case.told_status().claims.iter().filter(|claim| claim.id != case.run_id()) {
            prop_assert!(false, "a claim of an earlier run: {claim:?}");
        }
    }

    #[test]
    fn whatever_happens_every_mail_comes_to_a_verdict_and_nothing_is_run_without_end(
        steps in prop::collection::vec((event(), 0_usize..2, 1_i64..20_000), 1..25),
    ) {
        let mut case = profile().actors(&["default", "dmz"]);
        for (what, actor, seconds) in steps {
            case = step(case.later(seconds), what, actor, &mut Vec::new());
        }
        case.pause = None;
        case = case.with("suspend", json!(null)).observing(false).renamed().later(1);
        let mut runs = 0;
        while case.now < at(30 * DAY) && runs < 20 {
            if matches!(case.plan().what, What::Run(_)) {
                runs += 1;
                case = case.ends(&Ends::Found(2));
                prop_assert!(!matches!(case.plan().what, What::Run(_)), "at once again: {:?}", case.plan());
            }
            case = case.told();
            let next = case.plan().next.unwrap();
            prop_assert!(next > case.now || matches!(case.plan().what, What::Run(_)));
            case = case.at(next);
        }
        prop_assert_eq!(case.says("Verified"), "True AllActorsVerified");
    }
}
