#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use fanwire_protocol::{Content, Epoch, Publication, Target};
use proptest::prelude::*;
use std::sync::Arc;

fn place(epoch: &str, offset: u64) -> Position {
    Position { epoch: Epoch::parse(epoch).unwrap(), offset }
}

fn delivery(epoch: &str, offset: u64) -> Delivery {
    let content = Content::json(&offset.to_string()).unwrap();
    let publication = Publication::new(Target::Broadcast, content).at(place(epoch, offset));
    Delivery { publication: Arc::new(publication), except: None, published_at: 0 }
}

fn page(newest: (&str, u64), offsets: impl IntoIterator<Item = u64>, complete: bool) -> Page {
    let publications = offsets.into_iter().map(|offset| delivery(newest.0, offset)).collect();
    Page { newest: place(newest.0, newest.1), publications, complete }
}

/// What goes on, in short: places of publications, and `!` before places that are told as lost.
fn shown(passed: &[Passed]) -> String {
    let one = |passed: &Passed| match passed {
        Passed::Delivery(delivery) => delivery.publication.position.as_ref().unwrap().to_string(),
        Passed::Lost(position) => format!("!{position}"),
    };
    passed.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What goes on at once when publications arrive.
fn arrive(continuity: &mut Continuity, epoch: &str, offsets: impl IntoIterator<Item = u64>) -> String {
    let mut passed = Vec::new();
    for offset in offsets {
        if let Arrived::Passed(delivery) = continuity.arrive(delivery(epoch, offset), &place(epoch, offset)) {
            passed.push(Passed::Delivery(delivery));
        }
    }
    shown(&passed)
}

#[test]
fn what_arrives_follows_in_one_of_four_ways() {
    for (last, arrived, expected) in [
        (("a", 5), ("a", 6), Follows::Next),
        (("a", 0), ("a", 1), Follows::Next),
        (("a", 5), ("a", 5), Follows::Duplicate),
        (("a", 5), ("a", 1), Follows::Duplicate),
        (("a", 5), ("a", 7), Follows::Gap),
        (("a", 0), ("a", u64::MAX), Follows::Gap),
        (("a", 5), ("b", 6), Follows::NewEpoch),
        (("a", 5), ("b", 1), Follows::NewEpoch),
    ] {
        assert_eq!(follows(&place(last.0, last.1), &place(arrived.0, arrived.1)), expected, "{last:?} {arrived:?}");
    }
}

#[test]
fn what_continues_is_passed_on_and_duplicates_are_not() {
    let mut continuity = Continuity::at(place("a", 5));
    assert_eq!(arrive(&mut continuity, "a", [6, 6, 5, 7]), "a.6 a.7");
    assert!(!continuity.is_filling());
    assert_eq!(continuity.last(), Some(&place("a", 7)));
}

#[test]
fn a_gap_is_filled_before_what_comes_behind_it() {
    let mut continuity = Continuity::at(place("a", 5));
    assert_eq!(arrive(&mut continuity, "a", [6, 9, 10]), "a.6");
    assert!(continuity.held() > 0);
    assert_eq!(continuity.begin_read(), Some(place("a", 6)));
    assert_eq!(shown(&continuity.filled(page(("a", 10), 7..=10, true))), "a.7 a.8 a.9 a.10");
    assert!(!continuity.is_filling());
    assert_eq!(continuity.held(), 0);
    assert_eq!(arrive(&mut continuity, "a", [11]), "a.11");
}

#[test]
fn what_has_no_place_waits_behind_what_is_held_back() {
    let without_place = || {
        let publication = Publication::new(Target::Broadcast, Content::null());
        Delivery { publication: Arc::new(publication), except: None, published_at: 0 }
    };
    let mut continuity = Continuity::at(place("a", 5));
    assert!(continuity.arrive_without_place(without_place()).is_some());
    assert_eq!(arrive(&mut continuity, "a", [7]), "");
    assert!(continuity.arrive_without_place(without_place()).is_none());
    assert_eq!(arrive(&mut continuity, "a", [8]), "");
    continuity.begin_read();
    let passed = continuity.filled(page(("a", 8), 6..=8, true));
    let places: Vec<_> = passed
        .iter()
        .map(|passed| matches!(passed, Passed::Delivery(one) if one.publication.position.is_some()))
        .collect();
    assert_eq!((places, continuity.held()), (vec![true, true, true, false], 0));
}

#[test]
fn what_arrives_while_it_is_read_comes_behind_it() {
    let mut continuity = Continuity::at(place("a", 5));
    arrive(&mut continuity, "a", [8]);
    continuity.begin_read();
    arrive(&mut continuity, "a", [9, 10]);
    assert_eq!(shown(&continuity.filled(page(("a", 8), 6..=8, true))), "a.6 a.7 a.8 a.9 a.10");
    assert!(!continuity.is_filling());
}

#[test]
fn many_pages_fill_one_gap() {
    let mut continuity = Continuity::at(place("a", 0));
    arrive(&mut continuity, "a", [6]);
    continuity.begin_read();
    assert_eq!(shown(&continuity.filled(page(("a", 6), 1..=3, true))), "a.1 a.2 a.3");
    assert!(continuity.is_filling());
    assert_eq!(continuity.begin_read(), Some(place("a", 3)));
    assert_eq!(shown(&continuity.filled(page(("a", 6), 4..=6, true))), "a.4 a.5 a.6");
    assert!(!continuity.is_filling());
}

#[test]
fn a_second_gap_behind_the_first_is_read_too() {
    let mut continuity = Continuity::at(place("a", 0));
    arrive(&mut continuity, "a", [2]);
    continuity.begin_read();
    arrive(&mut continuity, "a", [3, 6]);
    assert_eq!(shown(&continuity.filled(page(("a", 2), 1..=2, true))), "a.1 a.2 a.3");
    assert!(continuity.is_filling());
    assert_eq!(continuity.begin_read(), Some(place("a", 3)));
    assert_eq!(shown(&continuity.filled(page(("a", 6), 4..=6, true))), "a.4 a.5 a.6");
}

#[test]
fn what_was_trimmed_is_lost_and_the_rest_is_not() {
    let mut continuity = Continuity::at(place("a", 5));
    arrive(&mut continuity, "a", [20]);
    continuity.begin_read();
    assert_eq!(shown(&continuity.filled(page(("a", 20), 18..=20, false))), "!a.17 a.18 a.19 a.20");
    assert!(!continuity.is_filling());

    arrive(&mut continuity, "a", [30]);
    continuity.begin_read();
    assert_eq!(shown(&continuity.filled(page(("a", 29), [], false))), "!a.29 a.30");
}

#[test]
fn a_new_epoch_is_told_as_lost_and_comes_whole() {
    let mut continuity = Continuity::at(place("a", 5));
    arrive(&mut continuity, "b", [2]);
    assert_eq!(continuity.begin_read(), Some(place("a", 5)));
    assert_eq!(shown(&continuity.filled(page(("b", 2), 1..=2, false))), "!b.0 b.1 b.2");
    assert_eq!(arrive(&mut continuity, "b", [3]), "b.3");
}

#[test]
fn what_is_left_of_an_older_epoch_is_dropped() {
    let mut continuity = Continuity::at(place("b", 5));
    arrive(&mut continuity, "a", [9]);
    continuity.begin_read();
    assert_eq!(shown(&continuity.filled(page(("b", 6), [6], true))), "b.6");
    assert!(!continuity.is_filling());

    // One that came after the read may be of a newer one.
    arrive(&mut continuity, "b", [8]);
    continuity.begin_read();
    arrive(&mut continuity, "c", [1]);
    assert_eq!(shown(&continuity.filled(page(("b", 8), 7..=8, true))), "b.7 b.8");
    assert!(continuity.is_filling());
    continuity.begin_read();
    assert_eq!(shown(&continuity.filled(page(("c", 1), [1], false))), "!c.0 c.1");
}

#[test]
fn what_the_store_does_not_know_is_lost() {
    let mut continuity = Continuity::at(place("a", 5));
    arrive(&mut continuity, "a", [8]);
    continuity.begin_read();
    assert_eq!(shown(&continuity.filled(page(("a", 5), [], true))), "!a.7 a.8");
    assert!(!continuity.is_filling());
}

#[test]
fn a_link_that_was_away_makes_a_read_wanted_and_once_more_if_it_was_away_again() {
    let mut continuity = Continuity::at(place("a", 5));
    continuity.suspect();
    assert!(continuity.is_filling());
    assert_eq!(continuity.begin_read(), Some(place("a", 5)));
    continuity.suspect();
    assert_eq!(shown(&continuity.filled(page(("a", 6), [6], true))), "a.6");
    assert!(continuity.is_filling());
    continuity.begin_read();
    assert_eq!(shown(&continuity.filled(page(("a", 6), [], true))), "");
    assert!(!continuity.is_filling());
}

#[test]
fn an_unknown_place_is_read_first() {
    let mut continuity = Continuity::unknown();
    assert_eq!(continuity.begin_read(), None);
    assert_eq!(arrive(&mut continuity, "a", [7, 8]), "");
    assert_eq!(shown(&continuity.filled(page(("a", 7), [], true))), "a.8");
    assert_eq!(continuity.last(), Some(&place("a", 8)));
}

#[test]
fn what_can_not_be_read_is_given_up_in_order() {
    let mut continuity = Continuity::at(place("a", 5));
    arrive(&mut continuity, "a", [7, 8]);
    arrive(&mut continuity, "b", [1]);
    assert_eq!(shown(&continuity.give_up()), "!a.6 a.7 a.8 !b.0 b.1");
    assert!(!continuity.is_filling());
    continuity.suspect();
    assert_eq!(shown(&continuity.give_up()), "");
}

/// A history that keeps the newest publications, and a feed of it that loses and repeats some.
#[derive(Debug)]
struct Store {
    newest: u64,
    kept: u64,
}

impl Store {
    fn read(&self, since: Option<Position>) -> Page {
        let Some(since) = since else { return page(("a", self.newest), [], true) };
        let oldest = self.newest.saturating_sub(self.kept) + 1;
        let first = oldest.max(since.offset + 1);
        let last = self.newest.min(first + 2);
        page(("a", self.newest), first..=last, since.offset + 1 >= oldest || since.offset >= self.newest)
    }
}

#[derive(Debug, Clone)]
enum Move {
    /// Published; whether it arrives.
    Publish(bool),
    /// Something old arrives again.
    Repeat(u64),
    /// The read under way ends, or one begins.
    Read,
    Suspect,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        5 => any::<bool>().prop_map(Move::Publish),
        1 => (0_u64..5).prop_map(Move::Repeat),
        4 => Just(Move::Read),
        1 => Just(Move::Suspect),
    ];
    proptest::collection::vec(one, 0..80)
}

proptest! {
    #[test]
    fn everything_goes_on_once_in_order_or_is_told_as_lost(moves in moves(), kept in 1_u64..20) {
        let mut continuity = Continuity::at(place("a", 0));
        let (mut store, mut reading, mut passed) = (Store { newest: 0, kept }, None, Vec::new());
        let take = |continuity: &mut Continuity, offset: u64, passed: &mut Vec<Passed>| {
            let arrived = continuity.arrive(delivery("a", offset), &place("a", offset));
            if let Arrived::Passed(delivery) = arrived {
                passed.push(Passed::Delivery(delivery));
            }
        };
        for step in moves {
            match step {
                Move::Publish(arrives) => {
                    store.newest += 1;
                    if arrives {
                        take(&mut continuity, store.newest, &mut passed);
                    }
                }
                Move::Repeat(back) if store.newest > back => take(&mut continuity, store.newest - back, &mut passed),
                Move::Repeat(_) => {}
                Move::Suspect => continuity.suspect(),
                Move::Read => match reading.take() {
                    Some(page) => passed.extend(continuity.filled(page)),
                    None if continuity.is_filling() => reading = Some(store.read(continuity.begin_read())),
                    None => {}
                },
            }
        }
        // The link is up again: whatever was missing is read.
        continuity.suspect();
        if let Some(page) = reading {
            passed.extend(continuity.filled(page));
        }
        while continuity.is_filling() {
            let page = store.read(continuity.begin_read());
            passed.extend(continuity.filled(page));
        }
        let mut last = 0;
        for one in &passed {
            match one {
                Passed::Delivery(delivery) => {
                    prop_assert_eq!(delivery.publication.position.as_ref().unwrap().offset, last + 1);
                    last += 1;
                }
                Passed::Lost(position) => {
                    prop_assert!(position.offset > last, "{} behind {last}", position);
                    last = position.offset;
                }
            }
        }
        prop_assert_eq!(last, store.newest);
        prop_assert_eq!(continuity.held(), 0);
        if kept >= store.newest {
            prop_assert!(passed.iter().all(|one| matches!(one, Passed::Delivery(_))));
        }
    }
}
