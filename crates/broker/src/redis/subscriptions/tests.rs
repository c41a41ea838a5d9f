#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn name(n: usize) -> Name {
    format!("c{n}").into()
}

/// The server in tests of one; what is about it alone is name 99.
const ONE: MemberId = MemberId(1);
const TWO: MemberId = MemberId(2);

fn home() -> Partition {
    Partition::BROADCASTS
}

fn at_one(names: impl IntoIterator<Item = Name>) -> Subscriptions<usize> {
    let mut subscriptions = Subscriptions::new(names.into_iter().map(|name| (name, home())));
    subscriptions.reroute(|_| Owner::Member(ONE));
    subscriptions
}

fn linked() -> Subscriptions<usize> {
    let mut subscriptions = at_one([]);
    make(&mut subscriptions, ONE);
    subscriptions.accept(ONE);
    subscriptions
}

/// The first channel is subscribed at the first server, as waiter 1 has asked.
fn be_subscribed(subscriptions: &mut Subscriptions<usize>) {
    subscriptions.subscribe(&name(1), home(), 1);
    subscriptions.next_batch(ONE, 256);
    subscriptions.confirmed(ONE, "c1", true);
}

/// Makes a link, on which what is about the server alone is confirmed.
fn make(subscriptions: &mut Subscriptions<usize>, member: MemberId) {
    let own: Name = format!("own{}", member.0).into();
    subscriptions.link_made(member, own.clone());
    let others = subscriptions.next_batch(member, 10_000);
    assert!(others.subscribe.contains(&own));
    subscriptions.confirmed(member, &own, true);
    for name in others.subscribe.into_iter().filter(|name| *name != own) {
        // As if it had not been sent yet.
        let entry = subscriptions.entries.get_mut(&name).unwrap();
        entry.in_flight = None;
        subscriptions.sides.get_mut(&member).unwrap().in_flight -= 1;
        subscriptions.check(&name);
    }
}

fn answers(confirmed: Confirmed<usize>) -> Vec<usize> {
    let Confirmed::Answers(waiters) = confirmed else { unreachable!("it has moved") };
    waiters
}

#[test]
fn a_confirmation_answers_all_who_wait() {
    let mut s = linked();
    assert!(matches!(s.subscribe(&name(1), home(), 10), Subscribed::Waiting(_)));
    assert!(matches!(s.subscribe(&name(1), home(), 11), Subscribed::Waiting(_)));
    assert_eq!(s.next_batch(ONE, 256), Batch { subscribe: vec![name(1)], ..Batch::default() });
    assert!(s.next_batch(ONE, 256).is_empty());
    assert_eq!(answers(s.confirmed(ONE, "c1", true)), [10, 11]);
    assert_eq!(s.subscribe(&name(1), home(), 12), Subscribed::Already(12));
    assert!(s.is_settled(ONE));
    assert_eq!(s.count(), 2);
}

#[test]
fn a_later_subscribe_wins_over_an_unsubscribe_on_its_way() {
    let mut s = linked();
    s.subscribe(&name(1), home(), 1);
    s.next_batch(ONE, 256);
    answers(s.confirmed(ONE, "c1", true));
    s.unsubscribe(&name(1));
    assert_eq!(s.next_batch(ONE, 256).unsubscribe, [name(1)]);
    assert!(matches!(s.subscribe(&name(1), home(), 2), Subscribed::Waiting(_)));
    assert!(s.next_batch(ONE, 256).is_empty());
    assert!(answers(s.confirmed(ONE, "c1", false)).is_empty());
    assert_eq!(s.next_batch(ONE, 256).subscribe, [name(1)]);
    assert_eq!(answers(s.confirmed(ONE, "c1", true)), [2]);
}

#[test]
fn a_refused_first_subscribe_leaves_nothing() {
    let mut s = at_one([name(0)]);
    assert_eq!(s.subscribe(&name(1), home(), 1), Subscribed::Refused(1));
    make(&mut s, ONE);
    assert_eq!(s.subscribe(&name(1), home(), 2), Subscribed::Refused(2));
    assert_eq!(s.next_batch(ONE, 256).subscribe, [name(0)]);
    s.accept(ONE);
    s.subscribe(&name(1), home(), 3);
    assert_eq!(s.link_lost(ONE), [3]);
    make(&mut s, ONE);
    assert_eq!(s.next_batch(ONE, 256).subscribe, [name(0)]);
}

#[test]
fn what_was_confirmed_outlives_the_link() {
    let mut s = linked();
    s.subscribe(&name(1), home(), 1);
    s.next_batch(ONE, 256);
    answers(s.confirmed(ONE, "c1", true));
    s.link_lost(ONE);
    assert!(!s.is_settled(ONE));
    assert_eq!(s.count(), 0);
    assert_eq!(s.subscribe(&name(1), home(), 2), Subscribed::Refused(2));
    make(&mut s, ONE);
    assert_eq!(s.next_batch(ONE, 256).subscribe, [name(1)]);
}

#[test]
fn one_who_gives_up_takes_the_wish_along() {
    let mut s = linked();
    let Subscribed::Waiting(id) = s.subscribe(&name(1), home(), 1) else { unreachable!() };
    s.next_batch(ONE, 256);
    s.cancel(&name(1), id);
    assert!(answers(s.confirmed(ONE, "c1", true)).is_empty());
    assert_eq!(s.next_batch(ONE, 256).unsubscribe, [name(1)]);
    answers(s.confirmed(ONE, "c1", false));
    assert!(s.is_settled(ONE) && s.entries.len() == 1);
}

#[test]
fn batches_and_what_is_on_its_way_are_bounded() {
    let mut s = at_one((0..10_000).map(name));
    s.link_made(ONE, "own1".into());
    let mut sent = Vec::new();
    while s.has_work(ONE) {
        let batch = s.next_batch(ONE, 256);
        assert!(batch.len() <= 256);
        sent.extend(batch.subscribe);
    }
    assert_eq!(sent.len(), MAX_IN_FLIGHT);
    sent.iter().for_each(|name| drop(answers(s.confirmed(ONE, name, true))));
    assert!(s.has_work(ONE) && !s.is_settled(ONE));
}

#[test]
fn wishes_that_come_and_go_do_not_pile_up() {
    let mut s = linked();
    for n in 0..1_000 {
        s.subscribe(&name(1), home(), n);
        s.unsubscribe(&name(1));
    }
    assert_eq!(s.sides[&ONE].dirty.len(), 1);
    assert!(s.next_batch(ONE, 256).is_empty());
    assert_eq!(s.entries.len(), 1);
}

#[test]
fn what_moves_is_left_here_before_it_is_joined_there() {
    let mut s = linked();
    make(&mut s, TWO);
    s.accept(TWO);
    be_subscribed(&mut s);
    let (moved, _) = s.reroute(|partition| Owner::Member(if partition == home() { TWO } else { ONE }));
    assert_eq!(moved, [home()].into_iter().collect());
    assert!(s.next_batch(TWO, 256).is_empty() && !s.has_arrived(TWO));
    assert!(matches!(s.subscribe(&name(1), home(), 2), Subscribed::Waiting(_)));
    assert_eq!(s.next_batch(ONE, 256).unsubscribe, [name(1)]);
    assert_eq!(s.confirmed(ONE, "c1", false), Confirmed::Answers(vec![]));
    assert!(s.is_vacant(ONE) && !s.has_arrived(TWO));
    assert_eq!(s.next_batch(TWO, 256).subscribe, [name(1)]);
    assert_eq!(answers(s.confirmed(TWO, "c1", true)), [2]);
    assert!(s.has_arrived(TWO));
}

#[test]
fn what_a_server_lets_go_of_waits_until_it_is_known_who_has_it() {
    let mut s = linked();
    be_subscribed(&mut s);
    assert_eq!(s.confirmed(ONE, "c1", false), Confirmed::Moved);
    assert!(s.next_batch(ONE, 256).is_empty());
    assert!(matches!(s.subscribe(&name(2), home(), 2), Subscribed::Waiting(_)));
    assert_eq!(s.reroute(|_| Owner::Member(ONE)), ([home()].into_iter().collect(), vec![]));
    let mut again = s.next_batch(ONE, 256).subscribe;
    again.sort();
    assert_eq!(again, [name(1), name(2)]);
    s.refused(ONE, slot::of(home()));
    assert!(s.next_batch(ONE, 256).ping && !s.is_settled(ONE));
    // One was taken, though another was refused.
    assert_eq!(answers(s.confirmed(ONE, "c2", true)), [2]);
    s.pong(ONE);
    assert!(s.is_settled(ONE) && s.next_batch(ONE, 256).is_empty());
    assert_eq!(s.count(), 2);
}

#[test]
fn a_lost_link_takes_nothing_along_that_is_on_its_way_elsewhere() {
    let mut s = linked();
    make(&mut s, TWO);
    s.accept(TWO);
    be_subscribed(&mut s);
    s.reroute(|_| Owner::Member(TWO));
    s.subscribe(&name(1), home(), 2);
    assert!(s.link_lost(ONE).is_empty());
    s.leave(ONE);
    assert_eq!(s.next_batch(TWO, 256).subscribe, [name(1)]);
    assert_eq!(answers(s.confirmed(TWO, "c1", true)), [2]);
}

#[test]
fn what_is_about_a_server_alone_can_be_renamed() {
    let mut s = linked();
    s.rename(ONE, &"own1".into(), &"new".into());
    assert_eq!(s.next_batch(ONE, 256).subscribe, [Name::from("new")]);
    s.confirmed(ONE, "own1", false);
    s.confirmed(ONE, "new", true);
    assert_eq!(s.count(), 1);
    assert!(s.is_settled(ONE) && s.is_vacant(ONE));
    s.link_lost(ONE);
    assert!(s.entries.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Subscribe(usize),
    Unsubscribe(usize),
    Cancel(usize),
    Send(usize, usize),
    Take(usize),
    Hear(usize),
    Lose(usize),
    Make(usize),
    Accept(usize),
    Move(usize),
    Learn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..4).prop_map(Step::Subscribe),
        4 => (0usize..4).prop_map(Step::Unsubscribe),
        2 => (0usize..40).prop_map(Step::Cancel),
        6 => (0usize..2, 1usize..4).prop_map(|(at, limit)| Step::Send(at, limit)),
        8 => (0usize..2).prop_map(Step::Take),
        8 => (0usize..2).prop_map(Step::Hear),
        1 => (0usize..2).prop_map(Step::Lose),
        3 => (0usize..2).prop_map(Step::Make),
        3 => (0usize..2).prop_map(Step::Accept),
        2 => (0usize..2).prop_map(Step::Move),
        3 => Just(Step::Learn),
    ];
    prop::collection::vec(step, 0..160)
}

/// What a server says.
#[derive(Debug, PartialEq)]
enum Said {
    Confirmed(Name, bool),
    Moved(u16),
    Pong,
}

#[derive(Debug)]
enum Told {
    Change(Name, bool),
    Ping,
}

/// One of two servers, each of which does in order what it is told.
#[derive(Debug, Default)]
struct Server {
    told: VecDeque<Told>,
    said: VecDeque<Said>,
    /// What it has said the end of, and nobody has heard of yet.
    ending: Vec<Name>,
    actual: BTreeSet<Name>,
    linked: bool,
    accepting: bool,
}

/// Two servers and two slots that move between them, and everybody who ever waited.
struct World {
    subscriptions: Subscriptions<usize>,
    servers: [Server; 2],
    /// Which server has which of two partitions.
    owners: [usize; 2],
    desired: BTreeSet<Name>,
    waiting: BTreeMap<usize, (Name, WaiterId)>,
    next: usize,
}

fn partition(name: &str) -> usize {
    name.strip_prefix('c').and_then(|number| number.parse::<usize>().ok()).unwrap() % 2
}

fn nth(number: usize) -> Partition {
    Partition::every().nth(number).unwrap()
}

fn id(server: usize) -> MemberId {
    MemberId(u32::try_from(server).unwrap())
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            subscriptions: Subscriptions::new([(name(0), nth(0))]),
            servers: Default::default(),
            owners: [0, 1],
            desired: BTreeSet::from([name(0)]),
            waiting: BTreeMap::new(),
            next: 0,
        };
        world.learn();
        world
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Subscribe(n) => self.subscribe(*n),
            Step::Unsubscribe(n) => self.unsubscribe(&name(*n)),
            Step::Cancel(waiter) => self.cancel(*waiter),
            Step::Send(at, limit) => self.send(*at, *limit),
            Step::Take(at) => self.take(*at),
            Step::Hear(at) => self.hear(*at),
            Step::Lose(at) => self.lose(*at),
            Step::Make(at) => self.make(*at),
            Step::Accept(at) => {
                if self.servers[*at].linked {
                    self.servers[*at].accepting = true;
                    self.subscriptions.accept(id(*at));
                }
            }
            Step::Move(slot) => self.relocate(*slot),
            Step::Learn => self.learn(),
        }
    }

    fn subscribe(&mut self, n: usize) {
        let waiter = self.next;
        self.next += 1;
        match self.subscriptions.subscribe(&name(n), nth(n % 2), waiter) {
            Subscribed::Waiting(id) => drop(self.waiting.insert(waiter, (name(n), id))),
            Subscribed::Already(_) => drop(self.desired.insert(name(n))),
            Subscribed::Refused(_) => assert!(self.servers.iter().any(|server| !server.accepting)),
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

    fn send(&mut self, at: usize, limit: usize) {
        let batch = self.subscriptions.next_batch(id(at), limit);
        for name in batch.subscribe.iter().filter(|name| name.starts_with('c')) {
            let other = &self.servers[1 - at];
            let rest = other.ending.contains(name);
            assert!(!other.actual.contains(name) && !rest, "{name} may come from two servers");
        }
        let told = &mut self.servers[at].told;
        told.extend(batch.ping.then_some(Told::Ping));
        told.extend(batch.subscribe.into_iter().map(|name| Told::Change(name, true)));
        told.extend(batch.unsubscribe.into_iter().map(|name| Told::Change(name, false)));
    }

    /// A server does the next thing that it was told, if it has what that is about.
    fn take(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let (name, subscribed) = match server.told.pop_front() {
            Some(Told::Change(name, subscribed)) => (name, subscribed),
            Some(Told::Ping) => return server.said.push_back(Said::Pong),
            None => return,
        };
        if name.starts_with('c') && self.owners[partition(&name)] != at {
            server.said.push_back(Said::Moved(slot::of(nth(partition(&name)))));
            return;
        }
        if subscribed {
            server.actual.insert(name.clone());
        } else if server.actual.remove(&name) {
            server.ending.push(name.clone());
        }
        server.said.push_back(Said::Confirmed(name, subscribed));
    }

    fn hear(&mut self, at: usize) {
        match self.servers[at].said.pop_front() {
            Some(Said::Moved(slot)) => self.subscriptions.refused(id(at), slot),
            Some(Said::Pong) => self.subscriptions.pong(id(at)),
            Some(Said::Confirmed(name, subscribed)) => {
                if !subscribed {
                    self.servers[at].ending.retain(|ending| *ending != name);
                }
                if let Confirmed::Answers(answered) = self.subscriptions.confirmed(id(at), &name, subscribed) {
                    if !answered.is_empty() {
                        assert!(subscribed);
                        self.desired.insert(name);
                    }
                    self.answered(answered);
                }
            }
            None => {}
        }
    }

    fn lose(&mut self, at: usize) {
        let refused = self.subscriptions.link_lost(id(at));
        self.answered(refused);
        self.servers[at] = Server::default();
    }

    fn make(&mut self, at: usize) {
        if !std::mem::replace(&mut self.servers[at].linked, true) {
            self.subscriptions.link_made(id(at), format!("own{at}").into());
        }
    }

    /// A slot moves to the other server; the first one lets go of what is subscribed there.
    fn relocate(&mut self, slot: usize) {
        let server = &mut self.servers[self.owners[slot]];
        let gone: Vec<_> =
            server.actual.extract_if(.., |name| name.starts_with('c') && partition(name) == slot).collect();
        server.ending.extend(gone.iter().cloned());
        server.said.extend(gone.into_iter().map(|name| Said::Confirmed(name, false)));
        self.owners[slot] = 1 - self.owners[slot];
    }

    fn learn(&mut self) {
        let owners = self.owners;
        let (_, found) = self.subscriptions.reroute(|partition| Owner::Member(id(owners[partition.index() % 2])));
        for waiter in found {
            let (name, _) = self.waiting.remove(&waiter).unwrap();
            self.desired.insert(name);
        }
    }

    fn answered(&mut self, waiters: Vec<usize>) {
        for waiter in waiters {
            assert!(self.waiting.remove(&waiter).is_some(), "{waiter} was answered twice, or after it gave up");
        }
    }

    fn settle(&mut self) {
        for at in [0, 1] {
            self.make(at);
        }
        let rests = |world: &Self, at: usize| {
            let server = &world.servers[at];
            server.told.is_empty() && server.said.is_empty() && world.subscriptions.has_arrived(id(at))
        };
        for _ in 0..1_000 {
            self.learn();
            if rests(self, 0) && rests(self, 1) {
                return;
            }
            for at in [0, 1] {
                self.send(at, 3);
                self.take(at);
                self.hear(at);
            }
        }
        panic!("it never comes to rest: {:?} {:?}", self.subscriptions.entries, self.servers);
    }

    fn actual(&self) -> Vec<Name> {
        let of = |at: usize| self.servers[at].actual.iter().filter(move |name| name.starts_with('c'));
        let mut actual: Vec<_> = of(0).chain(of(1)).cloned().collect();
        actual.sort();
        actual
    }
}

proptest! {
    #[test]
    fn at_rest_what_is_desired_is_so_where_it_lives_and_nobody_waits(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
            let dirty: usize = world.subscriptions.sides.values().map(|side| side.dirty.len()).sum();
            prop_assert!(dirty <= world.subscriptions.entries.len());
        }
        world.settle();
        prop_assert_eq!(world.actual(), world.desired.iter().cloned().collect::<Vec<_>>());
        for at in [0, 1] {
            let there = &world.servers[at].actual;
            prop_assert!(there.iter().all(|name| !name.starts_with('c') || world.owners[partition(name)] == at));
        }
        prop_assert_eq!(world.subscriptions.count(), world.actual().len() + 2);
        prop_assert_eq!(world.subscriptions.entries.len(), world.actual().len() + 2);
        prop_assert!(world.waiting.is_empty());
    }
}
