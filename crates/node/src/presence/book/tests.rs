#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use fanwire_protocol::{Content, NodeId};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn id(sequence: u64) -> ConnectionId {
    ConnectionId(NodeId::from_random(7), sequence)
}

fn room(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn member(sequence: u64, info: &str) -> Arc<Member> {
    Arc::new(Member { connection: id(sequence), user: None, info: Some(Content::string(info)) })
}

/// A book of one channel.
#[derive(Default)]
struct Rig {
    book: Book,
}

impl Rig {
    fn enter(&mut self, sequence: u64, info: &str) -> oneshot::Receiver<()> {
        let (entered, told) = oneshot::channel();
        self.book.enter(&room("a"), member(sequence, info), entered);
        told
    }

    fn leave(&mut self, sequence: u64) {
        self.book.leave(&room("a"), id(sequence));
    }

    /// The next batch, which must be of these changes.
    #[track_caller]
    fn take(&mut self, expected: &[&str]) -> Batch {
        let batch = self.book.take().unwrap();
        let text = |change: &Change| match change {
            Change::Enter(member) => format!("enter {}", member.connection.1),
            Change::Return(member) => format!("return {}", member.connection.1),
            Change::Leave(connection) => format!("leave {}", connection.1),
            Change::Vanish(connection) => format!("vanish {}", connection.1),
        };
        assert_eq!(batch.changes.iter().map(text).collect::<Vec<_>>(), expected);
        batch
    }

    /// The same, carried out.
    #[track_caller]
    fn done(&mut self, expected: &[&str]) {
        let batch = self.take(expected);
        self.book.done(batch, true);
    }

    #[track_caller]
    fn idle(&mut self) {
        assert!(self.book.take().is_none());
    }
}

#[test]
fn a_member_comes_and_goes_once() {
    let mut rig = Rig::default();
    let mut told = rig.enter(1, "x");
    assert!(told.try_recv().is_err());
    rig.done(&["enter 1"]);
    told.try_recv().unwrap();
    rig.idle();
    rig.leave(1);
    rig.done(&["leave 1"]);
    rig.idle();
    assert!(rig.book.is_empty());
}

/// A lease that is asked for, what befalls it meanwhile, its answer, and what is done then.
#[track_caller]
fn check_lease(befalls: impl Fn(&mut Rig), answer: Answer, expected: &[&str]) {
    let mut rig = Rig::default();
    rig.book.ask(&room("a"), member(1, "x"));
    befalls(&mut rig);
    rig.idle();
    rig.book.answered(&room("a"), id(1), answer);
    if expected.is_empty() {
        rig.idle();
    } else {
        rig.done(expected);
    }
    rig.idle();
    assert_eq!(rig.book.is_empty(), matches!(answer, Answer::Full | Answer::GivenUp));
}

#[test]
fn nothing_is_done_about_a_lease_before_its_answer() {
    let nothing = |_: &mut Rig| {};
    check_lease(nothing, Answer::Granted, &[]);
    check_lease(nothing, Answer::Full, &[]);
    check_lease(nothing, Answer::Kept, &["enter 1"]);
    check_lease(nothing, Answer::GivenUp, &["leave 1"]);
    let lost = |rig: &mut Rig| rig.book.lost();
    check_lease(lost, Answer::Granted, &["return 1"]);
    check_lease(lost, Answer::Full, &[]);
    check_lease(lost, Answer::GivenUp, &["leave 1"]);
    let removed = |rig: &mut Rig| rig.book.removed();
    check_lease(removed, Answer::Granted, &["enter 1"]);
    check_lease(removed, Answer::Kept, &["enter 1"]);
}

#[test]
fn a_lease_that_was_given_up_can_be_asked_for_again() {
    let mut rig = Rig::default();
    rig.book.ask(&room("a"), member(1, "x"));
    rig.book.answered(&room("a"), id(1), Answer::GivenUp);
    let leaving = rig.take(&["leave 1"]);
    rig.book.ask(&room("a"), member(1, "x"));
    rig.book.done(leaving, true);
    rig.idle();
    rig.book.answered(&room("a"), id(1), Answer::Granted);
    // Nobody knows which of the two came first.
    rig.done(&["enter 1"]);
    rig.idle();
    rig.leave(1);
    rig.done(&["leave 1"]);
    assert!(rig.book.is_empty());
}

#[test]
fn what_cancels_out_is_never_asked() {
    let mut rig = Rig::default();
    let mut told = rig.enter(1, "x");
    rig.leave(1);
    rig.idle();
    assert!(rig.book.is_empty() && told.try_recv().is_err());
    drop(rig.enter(2, "x"));
    rig.done(&["enter 2"]);
    rig.leave(2);
    let mut told = rig.enter(2, "x");
    rig.idle();
    told.try_recv().unwrap();
    rig.leave(2);
    drop(rig.enter(2, "y"));
    rig.done(&["enter 2"]);
    rig.idle();
}

#[test]
fn wishes_gather_while_a_batch_is_under_way() {
    let mut rig = Rig::default();
    drop(rig.enter(1, "x"));
    let batch = rig.take(&["enter 1"]);
    drop(rig.enter(2, "x"));
    rig.leave(1);
    drop(rig.enter(3, "x"));
    rig.leave(3);
    rig.idle();
    rig.book.done(batch, true);
    rig.done(&["enter 2", "leave 1"]);
    rig.idle();
}

#[test]
fn what_has_failed_is_asked_again_and_told_once() {
    let mut rig = Rig::default();
    drop(rig.enter(1, "x"));
    let batch = rig.take(&["enter 1"]);
    rig.book.done(batch, false);
    // It may be there, so it has to be taken out.
    rig.leave(1);
    let batch = rig.take(&["leave 1"]);
    rig.book.done(batch, false);
    rig.done(&["leave 1"]);
    assert!(rig.book.is_empty());
}

#[test]
fn what_was_lost_returns_in_silence() {
    let mut rig = Rig::default();
    for sequence in [1, 2, 3, 4] {
        drop(rig.enter(sequence, "x"));
    }
    rig.done(&["enter 1", "enter 2", "enter 3", "enter 4"]);
    rig.leave(4);
    rig.done(&["leave 4"]);
    rig.leave(1);
    drop(rig.enter(5, "x"));
    rig.book.lost();
    let batch = rig.book.take().unwrap();
    let mut changes: Vec<_> = batch.changes.iter().map(|change| format!("{change:?}")).collect();
    rig.book.done(batch, true);
    changes.sort();
    let kinds: Vec<_> = changes.iter().map(|change| change.split('(').next().unwrap()).collect();
    // Who leaves must be there to leave; who had left must not be.
    assert_eq!(kinds, ["Enter", "Leave", "Return", "Return", "Return", "Vanish"]);
    rig.idle();
}

#[test]
fn what_was_lost_while_it_was_written_is_written_again() {
    let mut rig = Rig::default();
    drop(rig.enter(1, "x"));
    let batch = rig.take(&["enter 1"]);
    rig.book.lost();
    rig.book.done(batch, true);
    rig.done(&["return 1"]);
    rig.idle();
    rig.leave(1);
    let batch = rig.take(&["leave 1"]);
    rig.book.removed();
    rig.book.done(batch, true);
    rig.idle();
    assert!(rig.book.is_empty());
}

#[test]
fn what_others_have_removed_joins_again() {
    let mut rig = Rig::default();
    drop(rig.enter(1, "x"));
    rig.done(&["enter 1"]);
    rig.book.removed();
    rig.done(&["enter 1"]);
    rig.idle();
}

#[test]
fn another_info_is_written_whenever_it_comes() {
    let mut rig = Rig::default();
    drop(rig.enter(1, "x"));
    let batch = rig.take(&["enter 1"]);
    rig.leave(1);
    drop(rig.enter(1, "y"));
    rig.book.done(batch, true);
    let batch = rig.take(&["enter 1"]);
    assert_eq!(batch.changes, [Change::Enter(member(1, "y"))]);
    rig.book.done(batch, true);
    rig.idle();
}

#[test]
fn batches_are_bounded_and_channels_take_turns() {
    let mut book = Book::default();
    for sequence in 0..300 {
        book.enter(&room("a"), member(sequence, "x"), oneshot::channel().0);
    }
    book.enter(&room("b"), member(1, "x"), oneshot::channel().0);
    let (first, second) = (book.take().unwrap(), book.take().unwrap());
    assert_eq!((first.changes.len(), second.channel.as_str()), (MAX_CHANGES - 1, "b"));
    assert!(book.take().is_none());
    book.done(first, true);
    assert_eq!(book.take().unwrap().channel.as_str(), "a");
}

#[test]
fn those_that_went_are_remembered_up_to_a_bound() {
    let mut book = Book::default();
    for sequence in 0..2 * GONE as u64 {
        book.enter(&room("a"), member(sequence, "x"), oneshot::channel().0);
        let batch = book.take().unwrap();
        book.done(batch, true);
        book.leave(&room("a"), id(sequence));
        let batch = book.take().unwrap();
        book.done(batch, true);
    }
    assert_eq!(book.gone.len(), GONE);
    assert!(book.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Enter(u64, u8),
    Leave(u64),
    Take,
    Done(bool),
    Fail,
    Flush,
    Removed,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u64, 0..2_u8).prop_map(|(sequence, info)| Step::Enter(sequence, info)),
        4 => (0..4_u64).prop_map(Step::Leave),
        4 => Just(Step::Take),
        4 => Just(Step::Done(true)),
        1 => any::<bool>().prop_map(Step::Done),
        1 => Just(Step::Fail),
        1 => Just(Step::Flush),
        1 => Just(Step::Removed),
    ]
}

/// A broker that does as scripts do, and what it has told.
#[derive(Default)]
struct Model {
    there: BTreeMap<ConnectionId, Arc<Member>>,
    /// Whom others believe to be there.
    believed: std::collections::BTreeSet<ConnectionId>,
    told_twice: bool,
}

impl Model {
    fn carry_out(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Enter(member) => {
                    if self.there.insert(member.connection, Arc::clone(member)).is_none() {
                        self.told_twice |= !self.believed.insert(member.connection);
                    }
                }
                Change::Return(member) => drop(self.there.insert(member.connection, Arc::clone(member))),
                Change::Leave(connection) => {
                    if self.there.remove(connection).is_some() {
                        self.told_twice |= !self.believed.remove(connection);
                    }
                }
                Change::Vanish(connection) => drop(self.there.remove(connection)),
            }
        }
    }

    fn remove_all(&mut self) {
        for connection in std::mem::take(&mut self.there).into_keys() {
            self.told_twice |= !self.believed.remove(&connection);
        }
    }
}

proptest! {
    /// Whatever happens in between, in the end the broker has what is wanted; and where it loses nothing, others believe
    /// what is so and were told of nothing twice.
    #[test]
    fn in_the_end_the_broker_has_what_is_wanted(steps in prop::collection::vec(step(), 0..60)) {
        let (mut rig, mut model) = (Rig::default(), Model::default());
        let mut wanted: BTreeMap<ConnectionId, Arc<Member>> = BTreeMap::new();
        let (mut under_way, mut flushed) = (None::<Batch>, false);
        for step in steps {
            match step {
                Step::Enter(sequence, info) if !wanted.contains_key(&id(sequence)) => {
                    wanted.insert(id(sequence), member(sequence, &info.to_string()));
                    drop(rig.enter(sequence, &info.to_string()));
                }
                Step::Enter(..) => {}
                Step::Leave(sequence) => {
                    if wanted.remove(&id(sequence)).is_some() {
                        rig.leave(sequence);
                    }
                }
                Step::Take if under_way.is_none() => under_way = rig.book.take(),
                Step::Take => {}
                Step::Done(answered) => {
                    if let Some(batch) = under_way.take() {
                        model.carry_out(&batch.changes);
                        rig.book.done(batch, answered);
                    }
                }
                Step::Fail => {
                    if let Some(batch) = under_way.take() {
                        rig.book.done(batch, false);
                    }
                }
                Step::Flush => {
                    flushed = true;
                    model.there.clear();
                    rig.book.lost();
                }
                // Others remove what a node has that is silent: it has nothing under way that is carried out before.
                Step::Removed => {
                    model.remove_all();
                    rig.book.removed();
                }
            }
        }
        if let Some(batch) = under_way.take() {
            model.carry_out(&batch.changes);
            rig.book.done(batch, true);
        }
        while let Some(batch) = rig.book.take() {
            model.carry_out(&batch.changes);
            rig.book.done(batch, true);
        }
        prop_assert_eq!(&model.there, &wanted);
        prop_assert_eq!(rig.book.is_empty(), wanted.is_empty());
        if !flushed {
            prop_assert!(!model.told_twice);
            prop_assert_eq!(model.believed.into_iter().collect::<Vec<_>>(), wanted.into_keys().collect::<Vec<_>>());
        }
    }
}
