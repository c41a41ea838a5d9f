#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn name(n: usize) -> Name {
    format!("c{n}").into()
}

fn linked() -> Subscriptions<usize> {
    let mut subscriptions = Subscriptions::new([]);
    subscriptions.link_made();
    subscriptions.accept();
    subscriptions
}

#[test]
fn a_confirmation_answers_all_who_wait() {
    let mut s = linked();
    assert!(matches!(s.subscribe(&name(1), 10), Subscribed::Waiting(_)));
    assert!(matches!(s.subscribe(&name(1), 11), Subscribed::Waiting(_)));
    assert_eq!(s.next_batch(256), Batch { subscribe: vec![name(1)], unsubscribe: vec![] });
    assert!(s.next_batch(256).is_empty());
    assert_eq!(s.confirmed("c1", true), [10, 11]);
    assert_eq!(s.subscribe(&name(1), 12), Subscribed::Already(12));
    assert!(s.is_settled());
    assert_eq!(s.count(), 1);
}

#[test]
fn a_later_subscribe_wins_over_an_unsubscribe_on_its_way() {
    let mut s = linked();
    s.subscribe(&name(1), 1);
    s.next_batch(256);
    s.confirmed("c1", true);
    s.unsubscribe(&name(1));
    assert_eq!(s.next_batch(256).unsubscribe, [name(1)]);
    assert!(matches!(s.subscribe(&name(1), 2), Subscribed::Waiting(_)));
    assert!(s.next_batch(256).is_empty());
    assert!(s.confirmed("c1", false).is_empty());
    assert_eq!(s.next_batch(256).subscribe, [name(1)]);
    assert_eq!(s.confirmed("c1", true), [2]);
}

#[test]
fn a_refused_first_subscribe_leaves_nothing() {
    let mut s: Subscriptions<usize> = Subscriptions::new([name(0)]);
    assert_eq!(s.subscribe(&name(1), 1), Subscribed::Refused(1));
    s.link_made();
    assert_eq!(s.subscribe(&name(1), 2), Subscribed::Refused(2));
    assert_eq!(s.next_batch(256).subscribe, [name(0)]);
    s.accept();
    s.subscribe(&name(1), 3);
    assert_eq!(s.link_lost(), [3]);
    s.link_made();
    assert_eq!(s.next_batch(256).subscribe, [name(0)]);
}

#[test]
fn what_was_confirmed_outlives_the_link() {
    let mut s = linked();
    s.subscribe(&name(1), 1);
    s.next_batch(256);
    s.confirmed("c1", true);
    s.link_lost();
    assert!(!s.is_settled());
    assert_eq!(s.count(), 0);
    assert_eq!(s.subscribe(&name(1), 2), Subscribed::Refused(2));
    s.link_made();
    assert_eq!(s.next_batch(256).subscribe, [name(1)]);
}

#[test]
fn one_who_gives_up_takes_the_wish_along() {
    let mut s = linked();
    let Subscribed::Waiting(id) = s.subscribe(&name(1), 1) else { unreachable!() };
    s.next_batch(256);
    s.cancel(&name(1), id);
    assert!(s.confirmed("c1", true).is_empty());
    assert_eq!(s.next_batch(256).unsubscribe, [name(1)]);
    s.confirmed("c1", false);
    assert!(s.is_settled() && s.entries.is_empty());
}

#[test]
fn batches_and_what_is_on_its_way_are_bounded() {
    let mut s = Subscriptions::<usize>::new((0..10_000).map(name));
    s.link_made();
    let mut sent = Vec::new();
    while s.has_work() {
        let batch = s.next_batch(256);
        assert!(batch.len() <= 256);
        sent.extend(batch.subscribe);
    }
    assert_eq!(sent.len(), MAX_IN_FLIGHT);
    sent.iter().for_each(|name| drop(s.confirmed(name, true)));
    assert!(s.has_work() && !s.is_settled());
}

#[test]
fn wishes_that_come_and_go_do_not_pile_up() {
    let mut s = linked();
    for n in 0..1_000 {
        s.subscribe(&name(1), n);
        s.unsubscribe(&name(1));
    }
    assert_eq!(s.dirty.len(), 1);
    assert!(s.next_batch(256).is_empty());
    assert!(s.entries.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Subscribe(usize),
    Unsubscribe(usize),
    Cancel(usize),
    Send(usize),
    Confirm,
    Lose,
    Make,
    Accept,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..4).prop_map(Step::Subscribe),
        4 => (0usize..4).prop_map(Step::Unsubscribe),
        2 => (0usize..40).prop_map(Step::Cancel),
        4 => (1usize..4).prop_map(Step::Send),
        6 => Just(Step::Confirm),
        1 => Just(Step::Lose),
        2 => Just(Step::Make),
        2 => Just(Step::Accept),
    ];
    prop::collection::vec(step, 0..120)
}

/// A Redis that confirms in order, and everybody who ever waited.
struct World {
    subscriptions: Subscriptions<usize>,
    wire: VecDeque<(Name, bool)>,
    actual: BTreeSet<Name>,
    desired: BTreeSet<Name>,
    waiting: BTreeMap<usize, (Name, WaiterId)>,
    next: usize,
}

impl World {
    fn new() -> Self {
        Self {
            subscriptions: Subscriptions::new([name(0)]),
            wire: VecDeque::new(),
            actual: BTreeSet::new(),
            desired: BTreeSet::from([name(0)]),
            waiting: BTreeMap::new(),
            next: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Subscribe(n) => self.subscribe(*n),
            Step::Unsubscribe(n) => self.unsubscribe(&name(*n)),
            Step::Cancel(waiter) => self.cancel(*waiter),
            Step::Send(limit) => self.send(*limit),
            Step::Confirm => self.confirm(),
            Step::Lose => self.lose(),
            Step::Make if !self.subscriptions.linked => self.subscriptions.link_made(),
            Step::Accept if self.subscriptions.linked => self.subscriptions.accept(),
            Step::Make | Step::Accept => {}
        }
    }

    fn subscribe(&mut self, n: usize) {
        let waiter = self.next;
        self.next += 1;
        match self.subscriptions.subscribe(&name(n), waiter) {
            Subscribed::Waiting(id) => drop(self.waiting.insert(waiter, (name(n), id))),
            Subscribed::Already(_) => {
                assert!(self.actual.contains(&name(n)), "told that it is so, but it is not");
                self.desired.insert(name(n));
            }
            Subscribed::Refused(_) => assert!(!self.subscriptions.accepting),
        }
    }

    fn unsubscribe(&mut self, name: &Name) {
        let refused = self.subscriptions.unsubscribe(name);
        self.answered(refused);
        self.desired.remove(name);
    }

    fn cancel(&mut self, waiter: usize) {
        if let Some((name, id)) = self.waiting.remove(&waiter) {
            self.subscriptions.cancel(&name, id);
        }
    }

    fn send(&mut self, limit: usize) {
        let batch = self.subscriptions.next_batch(limit);
        self.wire.extend(batch.subscribe.into_iter().map(|name| (name, true)));
        self.wire.extend(batch.unsubscribe.into_iter().map(|name| (name, false)));
    }

    fn confirm(&mut self) {
        let Some((name, subscribed)) = self.wire.pop_front() else { return };
        let changed = if subscribed { self.actual.insert(name.clone()) } else { self.actual.remove(&name) };
        assert!(changed, "a change was sent that changes nothing");
        let answered = self.subscriptions.confirmed(&name, subscribed);
        if !answered.is_empty() {
            assert!(subscribed);
            self.desired.insert(name);
        }
        self.answered(answered);
    }

    fn lose(&mut self) {
        let refused = self.subscriptions.link_lost();
        self.answered(refused);
        assert!(self.waiting.is_empty(), "somebody waits without a link");
        self.wire.clear();
        self.actual.clear();
    }

    fn answered(&mut self, waiters: Vec<usize>) {
        for waiter in waiters {
            assert!(self.waiting.remove(&waiter).is_some(), "{waiter} was answered twice, or after it gave up");
        }
    }

    fn settle(&mut self) {
        if !self.subscriptions.linked {
            self.subscriptions.link_made();
        }
        while !self.subscriptions.is_settled() {
            self.send(3);
            self.confirm();
        }
    }
}

proptest! {
    #[test]
    fn at_rest_what_is_desired_is_so_and_nobody_waits(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
            prop_assert!(world.subscriptions.dirty.len() <= world.subscriptions.entries.len());
        }
        world.settle();
        prop_assert_eq!(&world.actual, &world.desired);
        prop_assert_eq!(world.subscriptions.count(), world.actual.len());
        prop_assert_eq!(world.subscriptions.entries.len(), world.actual.len());
        prop_assert!(world.waiting.is_empty());
        prop_assert!(world.wire.is_empty());
    }
}
