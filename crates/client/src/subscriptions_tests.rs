#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use tokio::sync::oneshot;

fn refused(code: &str) -> Result<Granted, Refusal> {
    Err(Refusal { code: code.to_owned(), message: String::new() })
}

#[test]
fn the_order_stays() {
    let mut subscriptions = Subscriptions::default();
    for (id, channel) in (1..).zip(["c", "a", "b", "c"]) {
        subscriptions.asked(channel, None, id);
    }
    subscriptions.forget("a");
    assert_eq!(subscriptions.channels().collect::<Vec<_>>(), ["c", "b"]);
}

#[test]
fn what_an_answer_means_for_a_subscription() {
    for (code, new, established) in [
        ("already_subscribed", Standing::Kept, Standing::Kept),
        ("channel_limit", Standing::Lost { established: false }, Standing::Lost { established: true }),
        ("unknown_namespace", Standing::Lost { established: false }, Standing::Lost { established: true }),
        ("bad_request", Standing::Lost { established: false }, Standing::Lost { established: true }),
        ("broker_unavailable", Standing::Lost { established: false }, Standing::Later),
        ("broker_timeout", Standing::Lost { established: false }, Standing::Later),
        ("internal", Standing::Lost { established: false }, Standing::Later),
        ("something_new", Standing::Lost { established: false }, Standing::Later),
    ] {
        let mut subscriptions = Subscriptions::default();
        subscriptions.asked("news", None, 1);
        assert_eq!(subscriptions.answered("news", 1, false, &refused(code)), new, "{code}");
        subscriptions.asked("news", None, 2);
        assert_eq!(
            subscriptions.answered("news", 2, false, &Ok(Granted::default())),
            Standing::Granted(Outcome::Unknown)
        );
        subscriptions.asked("news", None, 3);
        assert_eq!(subscriptions.answered("news", 3, false, &refused(code)), established, "{code}");
        let lost = established == Standing::Lost { established: true };
        assert_eq!(subscriptions.contains("news"), !lost, "{code}");
    }
}

#[test]
fn the_newest_command_decides() {
    let mut subscriptions = Subscriptions::default();
    subscriptions.asked("news", None, 1);
    subscriptions.forget("news");
    assert_eq!(subscriptions.answered("news", 1, false, &Ok(Granted::default())), Standing::Kept);
    assert!(!subscriptions.contains("news"));
    subscriptions.asked("news", None, 3);
    assert_eq!(subscriptions.answered("news", 1, false, &refused("channel_limit")), Standing::Kept);
    assert!(subscriptions.contains("news"));
    subscriptions.answered("news", 3, false, &Ok(Granted::default()));
    subscriptions.asked("news", None, 4);
    subscriptions.asked("news", None, 5);
    assert_eq!(subscriptions.answered("news", 4, false, &refused("broker_unavailable")), Standing::Kept);
    assert_eq!(subscriptions.answered("news", 4, true, &refused("broker_unavailable")), Standing::Later);
    assert_eq!(subscriptions.answered("news", 4, true, &refused("already_subscribed")), Standing::Kept);
    assert_eq!(subscriptions.answered("news", 5, false, &refused("broker_unavailable")), Standing::Later);
}

fn at(offset: u64) -> Option<Position> {
    Some(Position::new("a", offset))
}

/// News, in force at offset 5.
fn subscribed() -> Subscriptions {
    let mut subscriptions = Subscriptions::default();
    subscriptions.asked("news", None, 1);
    subscriptions.answered("news", 1, false, &Ok(Granted::at(at(5))));
    subscriptions
}

#[test]
fn it_is_asked_for_from_its_place_on() {
    let mut subscriptions = subscribed();
    assert_eq!(subscriptions.see("news", Some(6)), (Seen::Accept, at(6)));
    assert_eq!(subscriptions.see("news", Some(6)).0, Seen::Duplicate);
    // Only a new subscription begins where the user says.
    assert_eq!(subscriptions.asked("news", at(1), 2).0, at(6));
    subscriptions.forget("news");
    assert_eq!(subscriptions.see("news", Some(7)), (Seen::Accept, None));
    assert_eq!(subscriptions.asked("news", at(1), 3).0, at(1));
    // The answer to what was undone.
    assert_eq!(subscriptions.answered("news", 2, false, &Ok(Granted::at(at(7)))), Standing::Kept);
    assert_eq!(subscriptions.place("news"), at(1));
}

#[test]
fn a_place_that_is_refused_is_left_out_once() {
    for code in ["no_history", "bad_request"] {
        let mut subscriptions = subscribed();
        subscriptions.asked("news", None, 2);
        assert_eq!(subscriptions.answered("news", 2, false, &refused(code)), Standing::Placeless);
        assert_eq!(subscriptions.asked("news", None, 3).0, None);
        let granted = Ok(Granted::at(at(9)));
        assert_eq!(subscriptions.answered("news", 3, false, &granted), Standing::Granted(Outcome::Lost));
        assert_eq!(subscriptions.asked("news", None, 4).0, at(9));
    }
}

#[test]
fn what_an_older_command_is_granted_holds() {
    let mut subscriptions = subscribed();
    subscriptions.asked("news", None, 2);
    subscriptions.asked("news", None, 3);
    let granted = Ok(Granted { recovered: Some(false), ..Granted::at(at(9)) });
    assert_eq!(subscriptions.answered("news", 2, true, &granted), Standing::Granted(Outcome::Lost));
    assert_eq!(subscriptions.place("news"), at(9));
    assert_eq!(subscriptions.answered("news", 3, false, &refused("already_subscribed")), Standing::Kept);
}

#[test]
fn a_place_that_was_left_out_is_asked_for_again_once_all_is_in_force() {
    let mut subscriptions = subscribed();
    subscriptions.asked("news", None, 2);
    subscriptions.asked("news", None, 3);
    assert_eq!(subscriptions.answered("news", 2, true, &refused("no_history")), Standing::Later);
    assert_eq!(subscriptions.answered("news", 3, false, &refused("no_history")), Standing::Placeless);
    assert_eq!(subscriptions.asked("news", None, 4).0, None);
    assert_eq!(subscriptions.answered("news", 4, false, &refused("already_subscribed")), Standing::Kept);
    assert_eq!(subscriptions.asked("news", None, 5).0, at(5));
}

#[test]
fn what_became_of_a_subscription_is_the_worst() {
    let recovered = Ok(Granted { recovered: Some(true), ..Granted::at(at(5)) });
    let mut subscriptions = subscribed();
    subscriptions.away();
    assert_eq!(subscriptions.outcomes().count(), 0);
    subscriptions.answered("news", 1, false, &recovered);
    assert_eq!(subscriptions.outcomes().collect::<Vec<_>>(), [Outcome::Recovered]);
    assert!(!subscriptions.lost("news", Position::new("a", 5)) && !subscriptions.lost("x", Position::new("a", 9)));
    assert!(subscriptions.lost("news", Position::new("a", 6)));
    subscriptions.answered("news", 1, false, &recovered);
    assert_eq!(subscriptions.outcomes().collect::<Vec<_>>(), [Outcome::Lost]);
}

#[test]
fn who_waits_gets_the_next_answer_unless_nobody_wants_it() {
    let mut subscriptions = Subscriptions::default();
    let ((one, _first), (two, mut second), (three, third)) =
        (oneshot::channel(), oneshot::channel(), oneshot::channel());
    subscriptions.want("news".to_owned(), None, one);
    subscriptions.want("sport".to_owned(), None, two);
    subscriptions.want("sport".to_owned(), None, three);
    drop(third);
    assert_eq!(subscriptions.tidy(), 2);
    assert_eq!(subscriptions.asked("news", None, 1).1.len(), 1);
    assert!(second.try_recv().is_err());
    subscriptions.forget("sport");
    assert_eq!(second.try_recv().unwrap(), Ok(Granted::default()));
}
