use super::*;
use proptest::prelude::*;

fn at(epoch: &str, offset: u64) -> Position {
    Position::new(epoch, offset)
}

/// What the user is told: a broadcast, that what is up to there is lost, or that what is between these offsets follows
/// until it is live.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Broadcast(u64),
    Lost(Option<Position>),
    Recovering(u64, u64),
    Live,
}

use Told::{Broadcast, Live, Lost, Recovering};

/// A user of broadcasts, and what the user was told.
#[derive(Default)]
struct User {
    broadcasts: Broadcasts,
    told: Vec<Told>,
}

impl User {
    fn since(place: Position) -> Self {
        Self { broadcasts: Broadcasts::since(Some(place)), told: Vec::new() }
    }

    fn does(&mut self, action: impl FnOnce(&mut Broadcasts, &mut dyn FnMut(Event))) {
        let told = &mut self.told;
        action(&mut self.broadcasts, &mut |event| match event {
            Event::Broadcast { position, content } => {
                let offset = position.as_ref().map(Position::offset).unwrap_or_default();
                assert_eq!(content, Content::from(offset.to_string()));
                told.push(Broadcast(offset));
            }
            Event::Lost { channel: None, position } => told.push(Lost(position)),
            Event::Recovering { channel: None, since, newest } => told.push(Recovering(since.offset(), newest)),
            Event::Live { channel: None } => told.push(Live),
            other => assert_eq!(other, Event::Dropped { count: 0 }, "no other event"),
        });
    }

    fn welcomed(&mut self, place: Position) {
        self.broadcasts.away();
        self.does(|broadcasts, tell| broadcasts.welcomed(Some(place), tell));
    }

    fn recovers(&mut self) {
        self.does(|broadcasts, tell| broadcasts.recovering(tell));
    }

    fn arrives(&mut self, offsets: impl IntoIterator<Item = u64>) {
        for offset in offsets {
            let content = Content::from(offset.to_string());
            self.does(|broadcasts, tell| broadcasts.arrived(content, Some(offset), tell));
        }
    }

    #[track_caller]
    fn was_told(&mut self, expected: &[Told]) {
        assert_eq!(std::mem::take(&mut self.told), expected);
    }
}

/// What a recovery from `since` to `newest` tells, and what follows up to `last`.
fn recovered(since: u64, newest: u64, last: u64) -> Vec<Told> {
    let missed = std::iter::once(Recovering(since, newest)).chain(broadcasts(since + 1..=newest));
    missed.chain([Live]).chain(broadcasts(newest + 1..=last)).collect()
}

fn broadcasts(offsets: impl IntoIterator<Item = u64>) -> Vec<Told> {
    offsets.into_iter().map(Broadcast).collect()
}

#[test]
fn the_first_welcome_is_where_it_begins() {
    let mut user = User::default();
    user.welcomed(at("a", 9));
    assert_eq!(user.broadcasts.missing_since(), None);
    user.arrives([10, 11]);
    user.was_told(&broadcasts([10, 11]));
    user.welcomed(at("a", 11));
    assert_eq!((user.broadcasts.missing_since(), user.broadcasts.outcome()), (None, Outcome::Recovered));
}

#[test]
fn live_ones_wait_for_those_that_were_missed() {
    // The node leaves out what it has sent live, or sends it again.
    for sent in [vec![8, 9], vec![8, 9, 10, 11]] {
        let mut user = User::since(at("a", 7));
        user.welcomed(at("a", 9));
        assert_eq!(user.broadcasts.missing_since(), Some(&at("a", 7)));
        user.arrives([10, 11]);
        user.was_told(&[]);
        user.recovers();
        user.arrives(sent);
        user.arrives([12]);
        user.was_told(&recovered(7, 9, 12));
        assert_eq!(user.broadcasts.outcome(), Outcome::Recovered);
    }
}

#[test]
fn a_node_that_is_behind_sends_what_is_dropped() {
    let mut user = User::since(at("a", 12));
    user.welcomed(at("a", 10));
    assert_eq!(user.broadcasts.missing_since(), None);
    user.arrives(11..=13);
    user.was_told(&broadcasts([13]));
}

#[test]
fn what_cannot_be_recovered_is_told_before_what_is_live() {
    for (place, further) in [
        (None, None),
        (Some(at("a", 9)), None),
        (Some(at("a", 11)), None),
        (Some(at("b", 3)), Some(Lost(Some(at("b", 3))))),
    ] {
        let mut user = User::since(at("a", 7));
        user.welcomed(at("a", 9));
        user.arrives([10, 11]);
        user.broadcasts.answered();
        user.does(|broadcasts, tell| broadcasts.give_up(place, tell));
        let expected = [Lost(Some(at("a", 9))), Broadcast(10), Broadcast(11)];
        user.was_told(&expected.into_iter().chain(further).collect::<Vec<_>>());
        assert_eq!((user.broadcasts.missing_since(), user.broadcasts.outcome()), (None, Outcome::Lost));
    }
}

#[test]
fn the_rest_of_what_was_missed_follows_a_loss() {
    let mut user = User::since(at("a", 2));
    user.welcomed(at("a", 9));
    user.arrives([10]);
    user.recovers();
    user.does(|broadcasts, tell| broadcasts.give_up(Some(at("a", 5)), tell));
    user.arrives([6]);
    // More has gone while it was read.
    user.does(|broadcasts, tell| broadcasts.give_up(Some(at("a", 7)), tell));
    user.arrives([8, 9, 11]);
    let told = [Recovering(2, 9), Lost(Some(at("a", 5))), Broadcast(6), Lost(Some(at("a", 7)))];
    let rest = [Broadcast(8), Broadcast(9), Live, Broadcast(10), Broadcast(11)];
    user.was_told(&told.into_iter().chain(rest).collect::<Vec<_>>());
    assert_eq!(user.broadcasts.outcome(), Outcome::Lost);
}

#[test]
fn another_history_is_recovered_from_the_old_place_or_lost() {
    let mut user = User::since(at("a", 7));
    user.welcomed(at("b", 2));
    assert_eq!(user.broadcasts.missing_since(), Some(&at("a", 7)));
    user.arrives([3]);
    user.does(|broadcasts, tell| broadcasts.give_up(Some(at("b", 3)), tell));
    user.was_told(&[Lost(Some(at("b", 2))), Broadcast(3)]);
}

#[test]
fn a_node_without_the_history_loses_it() {
    let mut user = User::since(at("a", 7));
    user.broadcasts.away();
    user.does(|broadcasts, tell| broadcasts.welcomed(None, tell));
    user.was_told(&[Lost(None)]);
    assert_eq!(user.broadcasts.outcome(), Outcome::Lost);
    user.does(|broadcasts, tell| broadcasts.arrived("0".into(), None, tell));
    user.was_told(&[Broadcast(0)]);
}

#[test]
fn what_is_held_is_bounded() {
    let mut user = User::since(at("a", 7));
    user.welcomed(at("a", 9));
    let held = u64::try_from(HELD).unwrap_or_default();
    user.arrives(10..10 + held);
    user.was_told(&[]);
    user.arrives([10 + held]);
    let live = broadcasts(10..=10 + held);
    user.was_told(&std::iter::once(Lost(Some(at("a", 9)))).chain(live).collect::<Vec<_>>());
    // What was missed comes too late.
    user.arrives([8, 9, 11 + held]);
    user.was_told(&[Broadcast(11 + held)]);
}

#[test]
fn so_are_its_bytes() {
    let mut user = User::since(at("a", 7));
    user.welcomed(at("a", 9));
    let large = Content::Binary(vec![0; HELD_BYTES + 1].into());
    let mut told = Vec::new();
    user.broadcasts.arrived(large, Some(10), |event| told.push(event));
    assert!(matches!(told[..], [Event::Lost { .. }, Event::Broadcast { .. }]), "{}", told.len());
}

#[test]
fn a_hole_is_told_unless_it_may_be_an_own_broadcast() {
    let mut user = User::since(at("a", 7));
    user.arrives([8, 10]);
    user.was_told(&[Broadcast(8), Lost(Some(at("a", 9))), Broadcast(10)]);
    user.broadcasts.sends();
    user.arrives([12]);
    user.was_told(&[Broadcast(12)]);
}

#[test]
fn own_broadcasts_are_not_told_by_a_recovery_either() {
    let mut user = User::since(at("a", 7));
    user.broadcasts.sends();
    user.broadcasts.sent(&at("a", 8));
    user.broadcasts.sent(&at("b", 10));
    user.broadcasts.sent(&at("a", 11));
    user.welcomed(at("a", 12));
    assert_eq!(user.broadcasts.missing_since(), Some(&at("a", 8)));
    user.recovers();
    user.arrives(9..=13);
    let told = [Recovering(8, 12), Broadcast(9), Broadcast(10), Broadcast(12), Live, Broadcast(13)];
    user.was_told(&told);
}

#[test]
fn a_connection_that_ends_meanwhile_leaves_nothing_out() {
    let mut user = User::since(at("a", 7));
    user.welcomed(at("a", 9));
    user.arrives([10]);
    user.recovers();
    user.arrives([8]);
    user.was_told(&[Recovering(7, 9), Broadcast(8)]);
    user.welcomed(at("a", 11));
    assert_eq!(user.broadcasts.missing_since(), Some(&at("a", 8)));
    user.recovers();
    user.arrives(9..=12);
    user.was_told(&recovered(8, 11, 12));
}

proptest! {
    /// Whenever the answer comes between the live ones, and however often something is repeated.
    #[test]
    fn everything_comes_once_and_in_order(missed in 1..20_u64, before in 0..20_u64, again in 0..30_u64, after in 0..9_u64) {
        let mut user = User::since(at("a", 5));
        let until = 5 + missed;
        user.welcomed(at("a", until));
        user.arrives(until + 1..=until + before);
        user.recovers();
        let resent = until + again.min(before);
        user.arrives(6..=resent);
        user.arrives(until + before + 1..=until + before + after);
        prop_assert_eq!(user.told, recovered(5, until, until + before + after));
    }
}
