use futures::FutureExt;

use super::*;
use crate::runtime::Name;

fn name(name: &str) -> Who {
    Who::new("MailServer", Name::new("mail", name))
}

fn to(host: &str, user: Option<&str>, connections: usize) -> Target {
    Target { service: Service::Sending, host: host.to_owned(), user: user.map(ToOwned::to_owned), connections }
}

fn mailbox(host: &str, user: Option<&str>) -> Target {
    Target { service: Service::Mailbox, ..to(host, user, 1) }
}

#[test]
fn no_more_checks_run_than_the_bounds_allow() {
    let (limits, _woken) = Limits::new(3, 2);
    let places: Vec<_> = ["a", "b"].iter().filter_map(|n| limits.enter(&name(n), &to("one", None, 9))).collect();
    assert_eq!(places.len(), 2);
    assert!(limits.enter(&name("c"), &to("one", None, 9)).is_none(), "two to one host");
    let third = limits.enter(&name("d"), &to("two", None, 9));
    assert!(third.is_some());
    assert!(limits.enter(&name("e"), &to("three", None, 9)).is_none(), "three in all");
    assert_eq!((limits.in_flight(), limits.waiting()), (3, 2));
}

#[test]
fn a_freed_place_is_kept_for_the_first_who_waits_and_fits() {
    let (limits, mut woken) = Limits::new(2, 1);
    let one = limits.enter(&name("a"), &to("one", None, 1)).unwrap();
    let two = limits.enter(&name("b"), &to("two", None, 1)).unwrap();
    assert!(limits.enter(&name("c"), &to("one", None, 1)).is_none());
    assert!(limits.enter(&name("d"), &to("two", None, 1)).is_none());
    drop(two);
    assert_eq!(woken.try_recv().unwrap(), name("d"), "c waits for another host");
    assert!(limits.enter(&name("x"), &to("two", None, 1)).is_none(), "the place is d's");
    let _place = limits.enter(&name("d"), &to("two", None, 1)).unwrap();
    drop(one);
    assert_eq!(woken.try_recv().unwrap(), name("c"));
}

#[test]
fn who_was_woken_and_passes_lets_the_next_one_in() {
    let (limits, mut woken) = Limits::new(1, 1);
    let first = limits.enter(&name("a"), &to("one", None, 1)).unwrap();
    assert!(limits.enter(&name("b"), &to("one", None, 1)).is_none());
    assert!(limits.enter(&name("c"), &to("one", None, 1)).is_none());
    drop(first);
    assert_eq!(woken.try_recv().unwrap(), name("b"));
    limits.pass(&name("b"));
    assert_eq!(woken.try_recv().unwrap(), name("c"));
    limits.forget(&name("c"));
    assert_eq!((limits.in_flight(), limits.waiting()), (0, 0));
}

#[test]
fn the_lowest_grant_over_all_objects_with_an_account_counts() {
    let (limits, _woken) = Limits::new(9, 9);
    let one = limits.enter(&name("a"), &to("one", Some("u"), 3)).unwrap();
    assert!(limits.enter(&name("b"), &to("one", Some("u"), 1)).is_none(), "b grants one connection, and a has it");
    assert!(limits.enter(&name("c"), &to("one", Some("u"), 3)).is_none(), "b's word counts for c as well");
    limits.forget(&name("b"));
    assert!(limits.enter(&name("c"), &to("one", Some("u"), 3)).is_some(), "b is gone");
    assert!(limits.enter(&name("d"), &to("two", Some("u"), 1)).is_some(), "another host is another account");
    drop(one);
}

#[test]
fn a_place_that_was_kept_for_another_host_is_given_back() {
    let (limits, mut woken) = Limits::new(1, 1);
    let first = limits.enter(&name("a"), &to("one", None, 1)).unwrap();
    assert!(limits.enter(&name("b"), &to("one", None, 1)).is_none());
    drop(first);
    assert_eq!(woken.try_recv().unwrap(), name("b"));
    // The spec names another host now. The kept place still counts while it is judged, so b queues and is woken again.
    assert!(limits.enter(&name("b"), &to("two", None, 1)).is_none());
    assert_eq!(woken.try_recv().unwrap(), name("b"));
    assert!(limits.enter(&name("b"), &to("two", None, 1)).is_some());
}

#[test]
fn objects_of_two_kinds_with_one_name_are_two() {
    let (limits, mut woken) = Limits::new(1, 1);
    let profile = Who::new("EmailProfile", Name::new("mail", "a"));
    let place = limits.enter(&name("a"), &to("one", None, 1)).unwrap();
    assert!(limits.enter(&profile, &mailbox("one", None)).is_none());
    limits.forget(&name("a"));
    drop(place);
    assert_eq!(woken.try_recv().unwrap(), profile);
    assert!(limits.enter(&profile, &mailbox("one", None)).is_some());
}

#[test]
fn a_session_that_is_held_counts_at_its_account_alone() {
    let (limits, mut woken) = Limits::new(1, 1);
    let two = |n: &str, user| limits.enter(&name(n), &Target { connections: 2, ..mailbox("imap", Some(user)) });
    let one = two("a", "u").unwrap();
    assert!(two("b", "u").is_none());
    let one = one.into_session().into_session();
    assert_eq!((woken.try_recv().unwrap(), limits.in_flight()), (name("b"), 1), "the place is free for the next");
    let other = two("b", "u").unwrap().into_session();
    assert!(two("c", "u").is_none(), "two sessions of this account");
    assert_eq!(limits.in_flight(), 0);
    drop(two("d", "v").unwrap());
    assert!(woken.try_recv().is_err());
    drop(one);
    assert_eq!(woken.try_recv().unwrap(), name("c"));
    drop((two("c", "u").unwrap(), other));
    let state = lock(&limits.state);
    assert!(state.accounts.is_empty() && state.hosts.is_empty() && state.in_flight == 0, "{state:?}");
}

#[test]
fn a_second_place_is_had_where_all_places_are_taken() {
    let (limits, _woken) = Limits::new(2, 2);
    let firsts: Vec<_> = ["a", "b"].iter().filter_map(|n| limits.enter(&name(n), &mailbox("one", None))).collect();
    assert_eq!(firsts.len(), 2);
    // On the very host where they look at mailboxes.
    let seconds: Vec<_> = (0..2).filter_map(|_| limits.place(&to("one", None, 1)).now_or_never()).collect();
    assert_eq!((seconds.len(), limits.in_flight()), (2, 2));
    assert!(limits.place(&to("one", None, 1)).now_or_never().is_none(), "two to one host");
    drop(seconds);
    assert_eq!(limits.in_flight(), 2);
}

#[test]
fn a_second_place_waits_for_its_host_and_for_its_account_in_turn_with_all_others() {
    let (limits, mut woken) = Limits::new(9, 2);
    let account = to("one", Some("u"), 1);
    let first = limits.enter(&name("server"), &account).unwrap();
    let (mut second, mut third) = (Box::pin(limits.place(&account)), Box::pin(limits.place(&account)));
    assert!((&mut second).now_or_never().is_none());
    assert!(limits.enter(&name("other"), &account).is_none());
    assert!((&mut third).now_or_never().is_none());
    assert_eq!(limits.waiting(), 1, "who has begun does not count as waiting to begin");
    let elsewhere = limits.place(&to("two", Some("u"), 1)).now_or_never();
    assert!(elsewhere.is_some(), "another host does not wait");
    drop(first);
    let second = second.now_or_never().unwrap();
    assert!(woken.try_recv().is_err() && (&mut third).now_or_never().is_none());
    drop(second);
    assert_eq!(woken.try_recv().unwrap(), name("other"));
    drop(limits.enter(&name("other"), &account).unwrap());
    assert!(third.now_or_never().is_some());
}

#[test]
fn a_second_place_is_bounded_by_what_any_object_grants_to_the_account() {
    let (limits, _woken) = Limits::new(9, 9);
    let one = limits.enter(&name("server"), &to("one", Some("u"), 1)).unwrap();
    assert!(limits.place(&to("one", Some("u"), 5)).now_or_never().is_none());
    drop(one);
    assert!(limits.place(&to("one", Some("u"), 5)).now_or_never().is_some());
}

#[test]
fn who_stops_waiting_for_a_second_place_leaves_the_queue_also_when_it_was_handed_over() {
    let (limits, mut woken) = Limits::new(9, 1);
    let one = to("one", None, 1);
    let first = limits.enter(&name("server"), &one).unwrap();
    let (mut early, mut late) = (Box::pin(limits.place(&one)), Box::pin(limits.place(&one)));
    assert!((&mut early).now_or_never().is_none() && (&mut late).now_or_never().is_none());
    assert!(limits.enter(&name("next"), &one).is_none());
    drop(early);
    drop(first);
    // Handed to the second one, which does not look any more.
    drop(late);
    assert_eq!(woken.try_recv().unwrap(), name("next"));
    limits.pass(&name("next"));
    let state = lock(&limits.state);
    assert!(state.hosts.is_empty() && state.waiting.is_empty() && state.in_flight == 0);
}

#[test]
fn an_object_that_passes_takes_nothing_from_its_check_under_way() {
    let (limits, _woken) = Limits::new(9, 1);
    let one = to("one", None, 1);
    let server = limits.enter(&name("server"), &one).unwrap();
    let _mailbox = limits.enter(&name("profile"), &mailbox("two", None)).unwrap();
    let mut second = Box::pin(limits.place(&one));
    assert!((&mut second).now_or_never().is_none());
    limits.pass(&name("profile"));
    limits.forget(&name("profile"));
    drop(server);
    assert!(second.now_or_never().is_some());
}
