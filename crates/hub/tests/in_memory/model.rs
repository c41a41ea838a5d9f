//! Random joins, leaves, publications and reads against what was promised.

use crate::support::{Client, Fixture, Frame, settle, text, to, to_all};
use proptest::prelude::*;
use std::{collections::HashMap, ops::RangeInclusive};

const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// More than a turn serves, so that fan-outs yield.
const AUDIENCE: usize = 150;

#[derive(Debug, Clone)]
enum Step {
    Toggle { client: usize, channel: usize },
    Vanish { client: usize },
    Publish { channel: usize, count: u64 },
    Broadcast { count: u64 },
    Read { client: usize, bytes: usize },
    Settle,
}

const CLIENTS: usize = 8;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CLIENTS, 0..CHANNELS.len()).prop_map(|(client, channel)| Step::Toggle { client, channel }),
        1 => (0..CLIENTS).prop_map(|client| Step::Vanish { client }),
        6 => (0..CHANNELS.len(), 1..100u64).prop_map(|(channel, count)| Step::Publish { channel, count }),
        2 => (1..5u64).prop_map(|count| Step::Broadcast { count }),
        6 => (0..CLIENTS, 1..2000usize).prop_map(|(client, bytes)| Step::Read { client, bytes }),
        3 => Just(Step::Settle),
    ]
}

/// One stay of a client in a channel: which publication is its first, and which is the first that it doesn't get, as
/// far as is known; between them nothing is missing.
///
/// Of those that are on their way when it comes, it gets some more. Where the node had no reader for a moment, they
/// may have a hole, but only before `asked`, the first that is published after it asked to join.
#[derive(Debug, Clone)]
struct Stay {
    asked: u64,
    first: RangeInclusive<u64>,
    end: Option<RangeInclusive<u64>>,
}

/// A client, what it has received, and what it was promised.
struct Member {
    client: Client,
    frames: Vec<Frame>,
    stays: HashMap<&'static str, Vec<Stay>>,
}

/// The publications of one channel: how many were handed to the hub, and how many of them are surely fanned out.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    published: u64,
    settled: u64,
}

#[derive(Default)]
struct Counts(HashMap<&'static str, Count>);

impl Counts {
    fn of(&mut self, name: &'static str) -> &mut Count {
        self.0.entry(name).or_default()
    }
}

impl Member {
    async fn new(fixture: &Fixture, capacity: usize) -> Self {
        Self { client: fixture.connect_narrow(capacity).await, frames: Vec::new(), stays: HashMap::new() }
    }

    fn is_in(&self, name: &str) -> bool {
        self.stays.get(name).and_then(|stays| stays.last()).is_some_and(|stay| stay.end.is_none())
    }

    async fn toggle(&mut self, name: &'static str, count: Count) {
        let on_the_way = count.settled..=count.published;
        if self.is_in(name) {
            self.client.leave(name).await;
            self.stays.get_mut(name).unwrap().last_mut().unwrap().end = Some(on_the_way);
        } else {
            self.client.join(name).await;
            self.stays.entry(name).or_default().push(Stay { asked: count.published, first: on_the_way, end: None });
        }
    }

    /// Publications that came before the shard had read of a join or leave may or may not be received.
    fn widen(&mut self, name: &str, published: u64) {
        let stay = self.stays.get_mut(name).and_then(|stays| stays.last_mut()).unwrap();
        let bound = stay.end.as_mut().unwrap_or(&mut stay.first);
        *bound = *bound.start()..=published;
    }

    /// The numbers that were received of a channel in each stay.
    fn received(&self, name: &str) -> Vec<Vec<u64>> {
        let (joined, left) = (text(&format!("joined {name}")), text(&format!("left {name}")));
        let start = format!(r#"{{"type":"message","channel":"{name}","#);
        let (mut stays, mut inside): (Vec<Vec<u64>>, bool) = (Vec::new(), false);
        for frame in &self.frames {
            if *frame == joined {
                stays.push(Vec::new());
                inside = true;
            } else if *frame == left {
                inside = false;
            } else if matches!(frame, Frame::Text(text) if text.starts_with(&start)) {
                assert!(inside, "{frame:?} came outside of a stay");
                stays.last_mut().unwrap().push(frame.number().unwrap());
            }
        }
        stays
    }

    fn check(&self, name: &'static str, published: u64) {
        let promised = self.stays.get(name).cloned().unwrap_or_default();
        let received = self.received(name);
        assert_eq!(received.len(), promised.len());
        for (numbers, stay) in received.iter().zip(promised) {
            let end = stay.end.clone().unwrap_or(published..=published);
            let follows = |last: &u64, next: &u64| last + 1 == *next || last < next && *next <= stay.asked;
            assert!(numbers.is_sorted_by(follows), "{name}: {stay:?}: {numbers:?}");
            assert!(numbers.first().is_none_or(|first| first >= stay.first.start()), "{name}: {stay:?}: {numbers:?}");
            assert!(numbers.last().is_none_or(|last| last < end.end()), "{name}: {stay:?}: {numbers:?}");
            let mut promised = *stay.first.end()..*end.start();
            assert!(promised.all(|number| numbers.binary_search(&number).is_ok()), "{name}: {stay:?}: {numbers:?}");
        }
    }
}

async fn check(capacity: usize, steps: Vec<Step>) {
    let fixture = Fixture::with(1, |config| config.outbox_limit = 1 << 30);
    let mut audience = fixture.subscribers(AUDIENCE, CHANNELS[0]).await;
    let mut members = Vec::new();
    for _ in 0..CLIENTS {
        members.push(Some(Member::new(&fixture, capacity).await));
    }
    settle().await;
    let (mut counts, mut pending, mut broadcasts) = (Counts::default(), Vec::new(), 0);
    for step in steps {
        match step {
            Step::Toggle { client, channel } => {
                let Some(member) = &mut members[client] else { continue };
                let name = CHANNELS[channel];
                // Within one turn a second message about the same channel would make "on the way" ambiguous.
                if !pending.contains(&(client, name)) {
                    member.toggle(name, *counts.of(name)).await;
                    pending.push((client, name));
                }
            }
            Step::Vanish { client } => {
                if let Some(member) = members[client].take() {
                    member.client.gone().await;
                }
            }
            Step::Publish { channel, count } => {
                let name = CHANNELS[channel];
                let start = counts.of(name).published;
                counts.of(name).published += count;
                fixture.deliver((start..start + count).map(|number| to(name, number))).await;
            }
            Step::Broadcast { count } => {
                fixture.deliver((broadcasts..broadcasts + count).map(to_all)).await;
                broadcasts += count;
            }
            Step::Read { client, bytes } => {
                if let Some(member) = &mut members[client] {
                    member.frames.extend(member.client.read_some(bytes).await);
                }
            }
            Step::Settle => settle_all(&mut members, &mut counts, &mut pending).await,
        }
    }
    settle_all(&mut members, &mut counts, &mut pending).await;
    for member in members.iter_mut().flatten() {
        member.frames.extend(member.client.frames().await);
        for name in CHANNELS {
            member.check(name, counts.of(name).published);
        }
        let is_broadcast = |frame: &&Frame| matches!(frame, Frame::Text(text) if text.contains("broadcast"));
        let numbers = member.frames.iter().filter(is_broadcast).filter_map(Frame::number);
        assert_eq!(numbers.collect::<Vec<_>>(), (0..broadcasts).collect::<Vec<_>>());
    }
    let total = counts.of(CHANNELS[0]).published + broadcasts;
    for client in &mut audience {
        let frames = client.frames().await;
        assert_eq!(frames.iter().filter_map(Frame::number).count() as u64, total);
    }
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
    assert_eq!(
        fixture.metric("fanwire_connections", "json"),
        i64::try_from(AUDIENCE + members.iter().flatten().count()).unwrap()
    );
}

async fn settle_all(members: &mut [Option<Member>], counts: &mut Counts, pending: &mut Vec<(usize, &'static str)>) {
    settle().await;
    for (index, name) in pending.drain(..) {
        if let Some(member) = &mut members[index] {
            member.widen(name, counts.of(name).published);
        }
    }
    counts.0.values_mut().for_each(|count| count.settled = count.published);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn everyone_gets_what_was_published_during_their_stay(
        capacity in 1..500usize,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        crate::support::run(check(capacity, steps));
    }
}
